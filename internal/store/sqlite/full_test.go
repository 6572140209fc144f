package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

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
			c.options.room = func() error { return store.ErrFull } // as long as nothing is stored
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
		if _, err := s.Refusing(); !errors.Is(err, store.ErrFull) {
			t.Fatalf("still full: Refusing says %v", err)
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
		lift := childtest.LimitFiles(t, c.limit)
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
	lift := childtest.LimitFiles(t, breaking[name].limit)
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

// The merger tries again by itself after it had no room.
func TestTheMergerTriesAgain(t *testing.T) {
	s := open(t, t.TempDir(), Options{maxUnmerged: 25, maxPages: 40, walPages: 10})
	var err error
	stored := 0
	for ; err == nil; stored += 10 {
		if err = s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "ann", stored, 10)...), make([]store.Result, 10)); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrFull", stored, err)
	}
	select {
	case <-s.merger.wake: // nobody wakes it any more
	default:
	}
	s.writing.Lock()
	err = s.writer.exec(t.Context(), "PRAGMA max_page_count = 100000")
	s.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "at most 25 entries are unmerged", func() bool { return unmergedIn(s) <= 25 })
	if got := storetest.Append(t, s, numbered(t, "lobby", "ann", stored, 1)...)[0]; got.Seq != uint64(stored+1) {
		t.Errorf("with free space again: %+v, want message %d", got, stored+1)
	}
}

// lendSpares makes the next files of a journal links to a device, until the returned function
// is called: /dev/full has no room, and /dev/null cannot be synced.
func lendSpares(t *testing.T, dir, device string) (end func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs the devices of Linux")
	}
	var links []string
	for n := range 50 {
		link := filepath.Join(dir, fmt.Sprintf("%016d.spare", n+1))
		if err := os.Symlink(device, link); err == nil {
			links = append(links, link)
		} else if !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	return func() {
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && target == device {
				if err := os.Remove(link); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// While the journal has no room, batches go into the database, and everything is merged.
// With room again the journal goes on.
func TestBatchesWithoutRoomForTheJournal(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	n := 0
	end := func() {}
	more := func() {
		t.Helper()
		for i, got := range storetest.Append(t, s, long(t, "lobby", "ann", n, 50)...) {
			if got.Duplicate || got.Seq != uint64(n+i+1) {
				t.Fatalf("message %d: %+v", n+i+1, got)
			}
		}
		n += 50
	}
	crashed := func(when string) {
		t.Helper()
		end()
		copied := still(t, copyFiles(t, dir), Options{})
		if got := all(t, copied, "lobby"); len(got) != n {
			t.Errorf("%s, after a crash, %d messages are there, want %d", when, len(got), n)
		}
		closeStore(t, copied)
	}
	more()
	end = lendSpares(t, s.journalDir, "/dev/full")
	for !s.scarce.Load() {
		if n > 5000 {
			t.Fatal("the segment is never full")
		}
		more()
	}
	more()
	if rows := count(t, s, "unmerged"); rows < 2 {
		t.Fatalf("%d batches are in the database", rows)
	}
	crashed("without room")
	end = lendSpares(t, s.journalDir, "/dev/full")
	if err := s.mergeExcess(); !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) {
		t.Errorf("the merger: %v, want ErrFull", err)
	}
	if left := unmergedIn(s); left != 0 {
		t.Errorf("%d entries are unmerged, and their segments are not free", left)
	}
	more()
	end()
	if frames, rows := len(framesOf(t, s)), count(t, s, "unmerged"); frames != 0 || rows != 1 {
		t.Errorf("%d batches are in the journal and %d in the database, want 0 and 1", frames, rows)
	}
	crashed("after the merge")
	if err := s.mergeExcess(); err != nil {
		t.Fatal(err)
	}
	more()
	if frames := len(framesOf(t, s)); frames != 1 {
		t.Errorf("with room again %d batches are in the journal, want 1", frames)
	}
	crashed("with room again")
	closeStore(t, s)
	if got := all(t, open(t, dir, Options{}), "lobby"); len(got) != n {
		t.Errorf("after Close %d messages are there, want %d", len(got), n)
	}
}

// A sync that fails when a spare segment is made breaks the store, although nobody waits.
func TestAFailedSyncOfASpareBreaksTheStore(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
	heard := 0
	s.Alarm(func(error) { heard++ })
	end := lendSpares(t, s.journalDir, "/dev/null")
	if err := s.mergeExcess(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("the merger: %v, want ErrBroken", err)
	}
	if err := s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "ann", 2, 1)...), make([]store.Result, 1)); !errors.Is(err, store.ErrBroken) || heard != 1 {
		t.Errorf("Append: %v, want ErrBroken; the alarm was heard %d times, want once", err, heard)
	}
	end()
	if got := all(t, open(t, copyFiles(t, dir), Options{}), "lobby"); len(got) != 2 {
		t.Errorf("after a start %d messages are there, want 2", len(got))
	}
}

// A server starts without room for the journal: batches go into the database. With room
// again the journal begins by itself.
func TestAStartWithoutRoomForTheJournal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs RLIMIT_FSIZE")
	}
	dir := os.Getenv(childVariable)
	if dir == "" {
		if output, err := child(t, t.TempDir()); err != nil || !strings.Contains(output, "child: passed") {
			t.Fatalf("the child printed (%v):\n%s", err, output)
		}
		return
	}
	const room = 1 << 20 // less than a segment
	n := 0
	more := func(s *Store, begun bool) {
		t.Helper()
		storetest.Append(t, s, numbered(t, "lobby", "ann", n, 2)...)
		if n += 2; s.begun.Load() != begun {
			t.Errorf("the journal has begun: %t, want %t", !begun, begun)
		}
		if got := all(t, s, "lobby"); len(got) != n {
			t.Errorf("%d messages are there, want %d", len(got), n)
		}
	}
	crashed := func(dir, when string) {
		t.Helper()
		copied := still(t, copyFiles(t, dir), Options{})
		if got := all(t, copied, "lobby"); len(got) != n {
			t.Errorf("%s, after a crash, %d messages are there, want %d", when, len(got), n)
		}
		closeStore(t, copied)
	}
	s := open(t, dir, Options{})
	more(s, true)
	closeStore(t, s)
	lift := childtest.LimitFiles(t, room)
	for range 2 { // and after a clean end
		s = still(t, dir, Options{})
		more(s, false)
		more(s, false)
		crashed(dir, "without room")
		if err := s.mergeExcess(); !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) {
			t.Errorf("the merger: %v, want ErrFull", err)
		}
		more(s, false)
		closeStore(t, s)
	}
	s = open(t, dir, Options{})
	more(s, false)
	lift()
	storetest.Append(t, s, numbered(t, "lobby", "ann", n, 1)...) // wakes the merger
	n++
	eventually(t, "the journal begins", s.begun.Load)
	crashed(dir, "with room again")
	more(s, true)
	if frames := framesOf(t, s); len(frames) == 0 || int64(frames[len(frames)-1]) != s.batchNow() {
		t.Errorf("the journal has the batches %d, want the newest, %d", frames, s.batchNow())
	}
	crashed(dir, "with room again")

	// After a crash there is an old journal.
	dir = copyFiles(t, dir)
	lift = childtest.LimitFiles(t, room)
	s = still(t, dir, Options{})
	more(s, false)
	lift()
	crashed(dir, "without room after a crash")
	if err := s.mergeExcess(); err != nil {
		t.Fatal(err)
	}
	more(s, true)
	crashed(dir, "with room again after a crash")
	closeStore(t, s)
	if got := all(t, open(t, dir, Options{}), "lobby"); len(got) != n {
		t.Errorf("at the end %d messages are there, want %d", len(got), n)
	}
	if !t.Failed() {
		fmt.Println("child: passed")
	}
}
