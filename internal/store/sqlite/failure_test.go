package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban/internal/childtest"
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
	dir := made(t)
	path := filepath.Join(dir, databaseName)
	change := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(dir, 0o700)
	refused := func(want ...string) {
		t.Helper()
		childtest.WithModes(t, func() {
			_, err := Open(t.Context(), dir, Options{})
			wantError(t, err, want...)
		})
	}
	change(path, 0o400)
	refused(path, "writable")
	change(path, 0o600)
	change(dir, 0o500)
	refused(path)
	change(dir, 0)
	refused(dir, "writable")
}

func TestADirectoryThatCannotBeMade(t *testing.T) {
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o500); err != nil {
		t.Fatal(err)
	}
	childtest.WithModes(t, func() {
		_, err := Open(t.Context(), filepath.Join(parent, "data"), Options{})
		wantError(t, err, "permission denied", "choose a directory")
	})
}

// SQLite has a code of its own for the index of the WAL, which it makes even to read.
func TestAdviceForAFullDisk(t *testing.T) {
	for code, want := range map[int]bool{codeFull: true, codeIOErrorShmSize: true, codeIOError | 1<<8: false, codeBusy: false} {
		err := explain("kaban.db", withCode(code))
		if IsFull(err) != want || strings.Contains(err.Error(), "no space left") != want {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

func TestADirectoryThatAnotherUserHas(t *testing.T) {
	dir := made(t)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	childtest.WithModes(t, func() {
		_, err := OpenArchive(t.Context(), dir)
		wantError(t, err, "permission denied", "run this as the user that runs the server")
	})
}

func TestABackupIntoADirectoryOfOthers(t *testing.T) {
	a, err := OpenArchive(t.Context(), made(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	childtest.WithModes(t, func() {
		_, err := a.Backup(t.Context(), filepath.Join(folder, "b.db"), nil)
		wantError(t, err, "permission denied", "name a file in a directory")
	})
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
	if _, err := Restore(t.Context(), dir, filepath.Join(firstSchema(t), databaseName), true, nil); err != nil {
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
	downgrade(t, filepath.Join(dir, databaseName), toVersion5...)
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

// Each function that was set hears once that the store broke, also one that is set later.
func TestEachAlarmIsHeardOnce(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	heard := make([]int, 3)
	set := func(i int) {
		s.Alarm(func(err error) {
			if heard[i]++; !errors.Is(err, store.ErrBroken) {
				t.Errorf("alarm %d is about %v, want ErrBroken", i, err)
			}
		})
	}
	set(0)
	set(1)
	for range 2 {
		s.broke("test", syscall.EIO)
	}
	set(2)
	s.broke("test", syscall.EIO)
	if !slices.Equal(heard, []int{1, 1, 1}) {
		t.Errorf("the alarms were heard %d times, want each once", heard)
	}
}

// Close of a broken store ends its goroutine.
func TestABrokenStoreLeavesNoMerger(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	s.broke("test", syscall.EIO)
	if err := s.Close(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Close: %v, want ErrBroken", err)
	}
	if s.merger.stop != nil {
		close(s.merger.stop) // so that it ends now
		t.Error("the merger runs after Close")
	}
	s.merger.group.Wait()
}
