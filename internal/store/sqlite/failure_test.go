package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// childVariable is set in a child process and names a directory.
const childVariable = "KABAN_SQLITE_TEST_DIR"

// child runs the current test again in a child process.
func child(t *testing.T, dir string) (output string, err error) {
	t.Helper()
	text, err := childCommand(t, dir).CombinedOutput()
	return string(text), err
}

func childCommand(t *testing.T, dir string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), childVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	return c
}

func TestOneProcessAtATime(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		_, err := Open(t.Context(), dir, Options{})
		fmt.Println("child:", errors.Is(err, ErrInUse), err)
		return
	}
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 1)...)
	output, err := child(t, dir)
	if err != nil || !strings.Contains(output, "child: true") || !strings.Contains(output, dir) || !strings.Contains(output, fmt.Sprint(os.Getpid())) {
		t.Errorf("the second process printed (%v):\n%s\nwant ErrInUse with %s and process %d", err, output, dir, os.Getpid())
	}
	_, err = Open(t.Context(), dir, Options{})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("Open again in one process: %v, want ErrInUse", err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "alice", 1, 1)...)
	closeStore(t, s)
	if output, err := child(t, dir); err != nil || !strings.Contains(output, "child: false <nil>") {
		t.Errorf("after Close the second process printed (%v):\n%s", err, output)
	}
}

// A full disk stores nothing of a batch and changes nothing, wherever it has no room: in
// the database for a slow batch or a merge.
func TestFullStoresNothingAndRecovers(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		append  func(*Store, []store.Write, []store.Result) error
	}{
		"the merge": {Options{maxUnmerged: 25}, func(s *Store, writes []store.Write, results []store.Result) error {
			return s.Append(context.Background(), writes, results)
		}},
		"the merge before a slow batch": {Options{maxUnmerged: 25}, func(s *Store, writes []store.Write, results []store.Result) error {
			if err := s.relieve(context.Background()); err != nil {
				return err
			}
			return s.appendSlowly(context.Background(), writes, results)
		}},
		"the slow batch": {Options{}, func(s *Store, writes []store.Write, results []store.Result) error {
			return s.appendSlowly(context.Background(), writes, results)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.maxPages, c.options.walPages = 40, 10
			testFull(t, c.options, c.append)
		})
	}
}

func testFull(t *testing.T, options Options, appendTo func(*Store, []store.Write, []store.Result) error) {
	dir := t.TempDir()
	s := open(t, dir, options)
	stored := 0
	var err error
	for ; err == nil && stored < 10_000; stored += 10 {
		results := make([]store.Result, 10)
		if err = appendTo(s, storetest.Writes(numbered(t, "lobby", "alice", stored, 10)...), results); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) {
		t.Fatalf("after %d messages: %v, want ErrFull", stored, err)
	}
	before := all(t, s, "lobby")
	if len(before) != stored {
		t.Fatalf("%d messages are there, %d were acknowledged", len(before), stored)
	}
	// The rooms and users of a failed batch must not stay in memory.
	large := numbered(t, "new-room", "newcomer", 0, 2000)
	for range 3 {
		if err := s.Append(t.Context(), storetest.Writes(large...), make([]store.Result, len(large))); !errors.Is(err, store.ErrFull) {
			t.Fatalf("still full: %v, want ErrFull", err)
		}
	}
	if rooms, err := s.Rooms(t.Context()); err != nil || len(rooms) != 1 || rooms[0].Head != uint64(stored) {
		t.Errorf("Rooms = %v, %v; want the lobby with %d", rooms, err, stored)
	}
	if diff := cmp.Diff(before, all(t, s, "lobby")); diff != "" {
		t.Errorf("entries changed:\n%s", diff)
	}
	// What was acknowledged survives a crash and a Close now.
	full := copyFiles(t, dir)
	for range 2 {
		copied := open(t, full, Options{})
		if diff := cmp.Diff(before, all(t, copied, "lobby")); diff != "" {
			t.Errorf("entries changed after a start:\n%s", diff)
		}
		closeStore(t, copied)
	}
	s.writing.Lock()
	err = s.writer.exec(t.Context(), "PRAGMA max_page_count = 100000")
	s.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	results := storetest.Append(t, s, numbered(t, "lobby", "alice", stored-1, 11)...)
	if !results[0].Duplicate || results[0].Seq != uint64(stored) || results[10].Duplicate || results[10].Seq != uint64(stored+10) {
		t.Errorf("with free space again: %+v to %+v", results[0], results[10])
	}
	if results := storetest.Append(t, s, large...); results[1999].Seq != 2000 {
		t.Errorf("with free space again: %+v, want seq 2000", results[1999])
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	if got := len(all(t, s, "lobby")) + len(all(t, s, "new-room")); got != stored+10+2000 {
		t.Errorf("after reopening there are %d messages, want %d", got, stored+10+2000)
	}
}

// A database that is full takes fast batches, because only the journal stores them.
func TestAFullDatabaseTakesFastBatches(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxPages: 40, walPages: 10})
	var err error
	stored := 0
	for ; err == nil; stored += 10 {
		if err = s.appendSlowly(t.Context(), storetest.Writes(numbered(t, "lobby", "alice", stored, 10)...), make([]store.Result, 10)); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrFull", stored, err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "alice", stored, 10)...)
	want := all(t, s, "lobby")
	if err := s.Close(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Close: %v, want ErrFull, because what is unmerged has no room", err)
	}
	if got := all(t, open(t, dir, Options{}), "lobby"); len(got) != stored+10 || !slices.Equal(got, want) {
		t.Errorf("%d messages are there, %d were acknowledged", len(got), stored+10)
	}
}

// limitFiles makes writes behind so many bytes of a file fail, in this process, until the
// returned function is called.
func limitFiles(t *testing.T, bytes uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}

// A journal that cannot grow is full: the batch leaves no trace, whether it is a part of a
// frame that is written or a segment that cannot be made. Then it goes on.
func TestAFullJournalStoresNothingAndRecovers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs RLIMIT_FSIZE")
	}
	dir := os.Getenv(childVariable)
	if dir == "" {
		dir = t.TempDir()
		output, err := child(t, dir)
		if err != nil || !strings.Contains(output, "child: passed") {
			t.Fatalf("the child printed (%v):\n%s", err, output)
		}
		s := open(t, dir, Options{}) // after the child has ended without Close
		if got := all(t, s, "lobby"); len(got) == 0 || fmt.Sprintln("child: passed", len(got), got[len(got)-1].ID) != output[strings.Index(output, "child: passed"):][:len(fmt.Sprintln("child: passed", len(got), got[len(got)-1].ID))] {
			t.Errorf("%d messages are there, and the child printed:\n%s", len(got), output)
		}
		return
	}
	s, err := Open(t.Context(), dir, Options{maxUnmerged: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.stopMerger()
	storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 1)...)
	next, content := 1, strings.Repeat("x", 1000)
	drafts := func(n int) []kaban.Draft {
		drafts := numbered(t, "lobby", "alice", next, n)
		for i := range drafts {
			drafts[i].Body = content
		}
		return drafts
	}
	// A frame of many batches until one does not fit, and one that needs a segment of its own.
	for _, c := range []struct {
		what  string
		limit uint64
		size  int
	}{{"a frame", 300_000, 7}, {"a segment", 1_000_000, 2200}} {
		what := c.what
		lift := limitFiles(t, c.limit)
		var err error
		for range 100 {
			if err = s.Append(t.Context(), storetest.Writes(drafts(c.size)...), make([]store.Result, c.size)); err != nil {
				break
			}
			next += c.size
		}
		if !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "journal") {
			t.Fatalf("%s, after %d messages: %v, want ErrFull", what, next, err)
		}
		noTrace := func() {
			t.Helper()
			state, err := s.Room(t.Context(), storetest.RoomName(t, "lobby"))
			if got := all(t, s, "lobby"); err != nil || state.Head != uint64(next) || len(got) != next {
				t.Fatalf("%s: the head is %d and %d messages are there, want %d", what, state.Head, len(got), next)
			}
			bytes := 0
			for _, e := range s.rooms["lobby"].tail {
				bytes += len(e.Content)
			}
			if len(s.unmerged.keys) != next || s.unmerged.bytes != bytes || len(s.rooms["lobby"].tail) != next || s.rooms["lobby"].next != uint64(next) {
				t.Fatalf("%s: %d keys, %d bytes, %d entries and the head %d in memory; want %d of %d bytes", what, len(s.unmerged.keys), s.unmerged.bytes, len(s.rooms["lobby"].tail), s.rooms["lobby"].next, next, bytes)
			}
		}
		noTrace()
		if err := s.Append(t.Context(), storetest.Writes(drafts(c.size)...), make([]store.Result, c.size)); !errors.Is(err, store.ErrFull) {
			t.Fatalf("%s: still full: %v, want ErrFull", what, err)
		}
		noTrace()
		// A crash now leaves what was acknowledged.
		lift()
		if got := all(t, open(t, copyFiles(t, dir), Options{}), "lobby"); len(got) != next {
			t.Fatalf("%s: %d messages are there after a crash, want %d", what, len(got), next)
		}
		other := drafts(c.size)
		other[0].Body = "what was not stored is forgotten, so its id is free"
		for i, got := range storetest.Append(t, s, other...) {
			if next++; got.Duplicate || got.Seq != uint64(next) {
				t.Fatalf("%s: with free space again, message %d: %+v, want seq %d", what, i, got, next)
			}
		}
	}
	entries := all(t, s, "lobby")
	fmt.Println("child: passed", len(entries), entries[len(entries)-1].ID)
}

// Writes that break the store, with what limits them.
var breaking = map[string]struct {
	limit  uint64 // in bytes
	append func(t *testing.T, s *Store, first int) error
}{
	"the WAL": {200_000, func(t *testing.T, s *Store, first int) error {
		return s.appendSlowly(t.Context(), storetest.Writes(numbered(t, "lobby", "alice", first, 10)...), make([]store.Result, 10))
	}},
	"the merge": {200_000, func(t *testing.T, s *Store, first int) error {
		return s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "alice", first, 10)...), make([]store.Result, 10))
	}},
	"the journal": {1 << 40, func(t *testing.T, s *Store, first int) error {
		if first == 500 { // segments cannot be made any more
			if err := os.Rename(s.journalDir, s.journalDir+"-elsewhere"); err != nil {
				t.Fatal(err)
			}
		}
		drafts := numbered(t, "lobby", "alice", first, 10)
		for i := range drafts {
			drafts[i].Body += strings.Repeat(" ", 3000)
		}
		return s.Append(t.Context(), storetest.Writes(drafts...), make([]store.Result, 10))
	}},
}

// A write that the kernel refuses is an I/O error, like a failed fsync.
func TestBrokenStaysBroken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs RLIMIT_FSIZE")
	}
	for name := range breaking {
		t.Run(name, func(t *testing.T) { testBroken(t, name) })
	}
}

func testBroken(t *testing.T, name string) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		dir = t.TempDir()
		output, err := child(t, dir)
		if err != nil || !strings.Contains(output, "child: broken after ") {
			t.Fatalf("the child printed (%v):\n%s", err, output)
		}
		var acknowledged int
		_, rest, _ := strings.Cut(output, "child: broken after ")
		if _, err := fmt.Sscan(rest, &acknowledged); err != nil || acknowledged == 0 {
			t.Fatalf("the child printed (%v):\n%s", err, output)
		}
		if name == "the journal" {
			if err := os.Rename(filepath.Join(dir, journalName+"-elsewhere"), filepath.Join(dir, journalName)); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, dir, Options{})
		got := all(t, s, "lobby")
		if len(got) < acknowledged || len(got) > acknowledged+10 {
			t.Errorf("%d messages are there, %d were acknowledged", len(got), acknowledged)
		}
		again := numbered(t, "lobby", "alice", 0, acknowledged+1000)
		for i := range got {
			again[i].Body = got[i].Content
		}
		storetest.Append(t, s, again...)
		if got := all(t, s, "lobby"); len(got) != acknowledged+1000 {
			t.Errorf("%d messages after sending all again, want %d", len(got), acknowledged+1000)
		}
		return
	}
	options := Options{}
	if name == "the merge" {
		options = Options{maxUnmerged: 25, mergeStep: 10}
	}
	s, err := Open(t.Context(), dir, options)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 10)...)
	lift := limitFiles(t, breaking[name].limit)
	acknowledged := 10
	for ; err == nil && acknowledged < 100_000; acknowledged += 10 {
		if err = breaking[name].append(t, s, acknowledged); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrBroken", acknowledged, err)
	}
	lift()
	lobby := storetest.RoomName(t, "lobby")
	later := map[string]error{"Append": s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "alice", 0, 1)...), make([]store.Result, 1))}
	_, later["Room"] = s.Room(t.Context(), lobby)
	_, later["Rooms"] = s.Rooms(t.Context())
	_, later["Read"] = s.Read(t.Context(), lobby, store.Page{Limit: 1})
	later["a merge"] = s.mergeSome(1)
	later["Close"] = s.Close()
	for call, err := range later {
		if !errors.Is(err, store.ErrBroken) {
			t.Errorf("%s on a broken store: %v, want ErrBroken", call, err)
		}
	}
	fmt.Println("child: broken after", acknowledged)
}

// large is the content of a database file with 3,000 messages.
var large []byte

// made returns a directory with a database after some statements.
func made(t *testing.T, statements ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, databaseName)
	if large == nil {
		s := open(t, dir, Options{})
		storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 3000)...)
		mergeNow(t, s)
		closeStore(t, s)
		var err error
		if large, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	} else if err := os.WriteFile(path, large, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if err := c.exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// refused checks that Open refuses a database and does not change it.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	path := filepath.Join(dir, databaseName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock must be released
		s, err := Open(t.Context(), dir, Options{})
		if err == nil {
			s.Close()
		}
		wantError(t, err, append(words, path)...)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	refused(t, made(t, "PRAGMA user_version = 99"), "newer version of kaban", "99")
}

func TestForeignDatabaseIsLeftAlone(t *testing.T) {
	refused(t, made(t, "PRAGMA application_id = 12345"), "another program")
	refused(t, made(t, "PRAGMA application_id = 0", "PRAGMA journal_mode = delete"), "another program")
}

func TestForeignFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseName)
	if err := os.WriteFile(path, []byte(strings.Repeat("This is a letter to my aunt.\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "no SQLite database", "backup")
}

func TestDamagedDatabase(t *testing.T) {
	change := func(t *testing.T, edit func(content []byte) []byte) (dir string) {
		dir = made(t)
		path := filepath.Join(dir, databaseName)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, edit(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Run("cut to half", func(t *testing.T) {
		refused(t, change(t, func(b []byte) []byte { return b[:len(b)/2] }), "damaged or truncated", "backup")
	})
	t.Run("cut to nothing", func(t *testing.T) {
		refused(t, change(t, func([]byte) []byte { return nil }), "empty", "backup")
	})
	t.Run("cut in the header", func(t *testing.T) {
		refused(t, change(t, func(b []byte) []byte { return b[:50] }), "50 bytes, so it was truncated", "backup")
		refused(t, change(t, func(b []byte) []byte { return b[:99] }), "99 bytes, so it was truncated", "backup")
	})
	t.Run("schema overwritten", func(t *testing.T) {
		refused(t, change(t, func(b []byte) []byte { copy(b[100:4096], bytes.Repeat([]byte{0xAA}, 3996)); return b }), "damaged", "backup")
	})
	t.Run("rooms overwritten", func(t *testing.T) {
		refused(t, change(t, func(b []byte) []byte { copy(b[2*4096:], bytes.Repeat([]byte{0xAA}, 4096)); return b }), "damaged", "backup")
	})
	t.Run("missing beside its WAL", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, databaseName+"-wal"), []byte("something"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), dir, Options{})
		wantError(t, err, "missing", "-wal")
	})
	t.Run("found while running", func(t *testing.T) {
		s := open(t, change(t, func(b []byte) []byte {
			for page := 4096; page < len(b); page += 4096 {
				const leaf = 0x0D // https://www.sqlite.org/fileformat.html, 1.6
				if b[page] == leaf && bytes.Contains(b[page:page+4096], []byte("message 1500")) {
					copy(b[page:], bytes.Repeat([]byte{0xAA}, 4096))
				}
			}
			return b
		}), Options{})
		lobby := storetest.RoomName(t, "lobby")
		read, damaged := 0, 0
		for after := uint64(0); after < 3000; {
			entries, err := s.Read(t.Context(), lobby, store.Page{After: after, Limit: 100})
			bad, ok := errors.AsType[*store.DamagedError](err)
			switch {
			case err == nil && len(entries) > 0 && entries[0].Seq == after+1 && entries[0].Content == fmt.Sprint("message ", after):
				read += len(entries)
				after = entries[len(entries)-1].Seq
			case ok && bad.Seq == after+1 && bad.Room == lobby && errors.Is(err, store.ErrDamaged):
				damaged++
				after = bad.Seq
			default:
				t.Fatalf("reading after %d: %d entries, %v", after, len(entries), err)
			}
		}
		if read+damaged != 3000 || damaged == 0 || damaged > 200 {
			t.Errorf("%d entries were read and %d are damaged; want those of one page to be damaged", read, damaged)
		}
		// Other rooms stay usable.
		storetest.Append(t, s, storetest.Draft(t, "kitchen", "bob", "b-1", "hello"))
		if got := all(t, s, "kitchen"); len(got) != 1 {
			t.Errorf("the kitchen has %v", got)
		}
	})
}

func TestReadOnlyFiles(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can write everywhere")
	}
	dir := made(t)
	path := filepath.Join(dir, databaseName)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir, Options{})
	wantError(t, err, path, "writable")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := os.Remove(filepath.Join(dir, lockName)); err == nil {
		t.Fatal("a read-only directory could be changed")
	}
	_, err = Open(t.Context(), dir, Options{})
	wantError(t, err, path)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir, Options{})
	wantError(t, err, dir, "writable")
}

func TestADirectoryThatCannotBeMade(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can create directories everywhere")
	}
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), filepath.Join(parent, "data"), Options{})
	wantError(t, err, "permission denied", "choose a directory")
}

func TestDirectoryThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, Options{})
	wantError(t, err, path, "not a directory")
}

// firstSchema returns a directory with a database of version 1.
func firstSchema(t *testing.T) (dir string) {
	t.Helper()
	dump, err := os.ReadFile("testdata/v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rwc", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.exec(t.Context(), string(dump)), c.close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A restored backup of an older version has the newest schema.
func TestRestoreFromTheFirstSchema(t *testing.T) {
	dir := t.TempDir()
	if _, err := Restore(t.Context(), dir, filepath.Join(firstSchema(t), databaseName), true); err != nil {
		t.Fatal(err)
	}
	if report, err := archive(t, dir).Check(t.Context()); err != nil || len(report.Problems) > 0 || len(report.Rooms) != 1 || report.Rooms[0].Entries != 3 {
		t.Errorf("check: %+v, %v", report, err)
	}
}

// In a database from before identities, authors keep their ids and all checksums are
// valid after the migration.
func TestUsersBecomeIdentities(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	batch := numbered(t, "lobby", "Alice", 0, 3)
	storetest.Append(t, s, batch...)
	storetest.Append(t, s, numbered(t, "kitchen", "carol", 0, 1)...)
	mergeNow(t, s)
	closeStore(t, s)
	corrupt(t, filepath.Join(dir, databaseName), toVersion5...)
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.transact(t.Context(), func() error {
		return errors.Join(
			c.exec(t.Context(), "UPDATE users SET key = substr(key, 1 + length('visitor:'))"),
			sumAll(t.Context(), c, staleSums(1, identityVersion), nil),
			c.exec(t.Context(), "UPDATE users SET name = 'karol' WHERE key = 'carol'"), // damaged
			c.exec(t.Context(), "DROP VIEW log; CREATE VIEW log AS SELECT 1; ALTER TABLE entries DROP COLUMN target"),
			c.exec(t.Context(), "PRAGMA user_version = 4"))
	})
	if err := errors.Join(err, c.close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	for i, got := range storetest.Append(t, s, batch...) {
		if !got.Duplicate || got.Seq != uint64(i+1) {
			t.Errorf("message %d again: %+v", i, got)
		}
	}
	storetest.Append(t, s, numbered(t, "lobby", "bob", 0, 1)...)
	closeStore(t, s)
	report, err := archive(t, dir).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rooms := report.Rooms; len(rooms) != 2 || rooms[1].Entries != 4 || rooms[1].Trouble != "" {
		t.Errorf("check: %+v", rooms)
	}
	if problems := report.Problems; len(problems) != 1 || !strings.Contains(problems[0], "karol") {
		t.Errorf("check: %q, want the user that was damaged before the migration", problems)
	}
}

// The first schema with data. The file never changes.
func TestFirstSchemaIsBroughtUpToDate(t *testing.T) {
	dir := firstSchema(t)
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	next := append(scripts, "ALTER TABLE rooms ADD COLUMN topic TEXT; UPDATE rooms SET topic = 'none'")
	check := func(options Options, version int) {
		t.Helper()
		s := open(t, dir, options)
		defer closeStore(t, s)
		if s.Epoch() != "EPOCHOFTHEFIRSTSCHEMA" {
			t.Errorf("the epoch is %q", s.Epoch())
		}
		want := []store.Entry{
			{Seq: 1, Time: 1700000000001, Kind: 1, ID: "a-1", Author: "visitor:alice", Username: "Alice", Content: "hello"},
			{Seq: 2, Time: 1700000000002, Kind: 1, ID: "b-1", Author: "visitor:bob", Username: "bob", Content: "it's\ntwo lines"},
			{Seq: 3, Time: 1700000000003, Kind: 1, ID: "a-2", Author: "visitor:alice", Username: "alice", Content: "written otherwise"},
		}
		if diff := cmp.Diff(want, all(t, s, "lobby")); diff != "" {
			t.Errorf("lobby (-want +got):\n%s", diff)
		}
		if got := storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", "a-1", "hello"))[0]; !got.Duplicate || got.Seq != 1 {
			t.Errorf("sent again: %+v", got)
		}
		if got, err := s.writer.number(t.Context(), "PRAGMA user_version"); err != nil || got != version {
			t.Errorf("the schema has version %d, %v; want %d", got, err, version)
		}
	}
	check(Options{}, len(scripts))

	// A script that fails undoes the scripts before it, too.
	_, err = Open(t.Context(), dir, Options{migrations: append(next[:len(next):len(next)], "CREATE TABLE half (x); SELECT nonsense")})
	wantError(t, err, "nonsense")
	check(Options{}, len(scripts))

	check(Options{migrations: next}, len(next))
	_, err = Open(t.Context(), dir, Options{})
	wantError(t, err, "newer version of kaban")
	check(Options{migrations: next}, len(next))
}

func TestANewDatabaseIsMadeEntirelyOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseName)
	_, err := Open(t.Context(), dir, Options{migrations: []string{"CREATE TABLE a (x)", "nonsense"}})
	wantError(t, err, "nonsense")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a database was left: %v", err)
	}
	if err := os.WriteFile(path+".new", []byte("of a start that was cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, open(t, dir, Options{}))
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		err          error
		full, broken bool
	}{
		"no space":                   {fmt.Errorf("write: %w", syscall.ENOSPC), true, false},
		"no descriptors":             {&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, false, false},
		"no memory":                  {syscall.ENOMEM, false, false},
		"no space at a sync":         {fmt.Errorf("%w: %w", journal.ErrSync, syscall.ENOSPC), false, true},
		"a failed sync":              {fmt.Errorf("%w: %w", journal.ErrSync, syscall.EIO), false, true},
		"a failed write":             {syscall.EIO, false, true},
		"a file system without hope": {syscall.EROFS, false, true},
	} {
		err := classifyJournal(c.err)
		if errors.Is(err, store.ErrFull) != c.full || errors.Is(err, store.ErrBroken) != c.broken || !errors.Is(err, c.err) {
			t.Errorf("%s of the journal: %v", name, err)
		}
	}
	if err := classify(errors.New("driver: bad connection")); !errors.Is(err, store.ErrBroken) {
		t.Errorf("an error that is not from SQLite: %v, want ErrBroken", err)
	}
	c, err := connect(context.Background(), filepath.Join(t.TempDir(), "x"), "rwc", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := classify(c.exec(t.Context(), "nonsense")); errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrFull) {
		t.Errorf("an error in a statement: %v, want neither ErrBroken nor ErrFull", err)
	}
}
