package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// The suite of the contract runs three times, so that each of its properties is checked more
// than a hundred times.
func TestMain(m *testing.M) {
	storetest.Checks(40)
	m.Run()
}

func open(t testing.TB, dir string, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, options)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// all returns everything in a room.
func all(t testing.TB, s store.Store, room string) []store.Entry {
	t.Helper()
	entries, err := s.Read(context.Background(), storetest.RoomName(t, room), store.Page{Limit: 1 << 30, Bytes: 1 << 40})
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return entries
}

// numbered returns n drafts for a room with ids from first.
func numbered(t testing.TB, room, author string, first, n int) []kaban.Draft {
	batch := make([]kaban.Draft, n)
	for i := range batch {
		batch[i] = storetest.Draft(t, room, author, fmt.Sprint("id-", first+i), fmt.Sprint("message ", first+i))
	}
	return batch
}

// wantError fails the test unless err contains all of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not contain %q", err, word)
		}
	}
}

// copyFiles copies the files of a data directory as they are after a crash.
func copyFiles(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// driver returns the driver for storetest.
func driver(options Options) storetest.Driver {
	return storetest.Driver{
		Open: func(t *testing.T) store.Store { return open(t, t.TempDir(), options) },
		Share: func(t *testing.T, s store.Store) store.Store {
			other, err := s.(*Store).Share()
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, driver(Options{}))
}

// The suite again with a checkpoint in nearly every append.
func TestConformanceWithSmallWAL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, driver(Options{walPages: 1}))
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parent", "odd ?name# 100%41 &é")
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "Alice", 0, 10)...)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", "small", "the same user, written otherwise"))
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 5)...)
	epoch, lobby, kitchen := s.Epoch(), all(t, s, "lobby"), all(t, s, "kitchen")
	closeStore(t, s)
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("after Close the directory has %v, want the database and the lock", files)
	}

	s = open(t, dir, Options{})
	if s.Epoch() != epoch {
		t.Errorf("the epoch was %q and is %q", epoch, s.Epoch())
	}
	if diff := cmp.Diff(lobby, all(t, s, "lobby")); diff != "" {
		t.Errorf("lobby (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(kitchen, all(t, s, "kitchen")); diff != "" {
		t.Errorf("kitchen (-before +after):\n%s", diff)
	}
	if name := lobby[10].Username; name != "alice" {
		t.Errorf("the message of alice is by %q", name)
	}
	results := storetest.Append(t, s,
		storetest.Draft(t, "LOBBY", "ALICE", "id-3", "message 3"),
		storetest.Draft(t, "lobby", "alice", "id-4", "other content"),
		storetest.Draft(t, "l0bby", "alice", "new", "new"))
	if !results[0].Duplicate || results[0].Seq != 4 || results[0].Time != lobby[3].Time {
		t.Errorf("sent again after reopening: %+v, want a duplicate of 4", results[0])
	}
	if !errors.Is(results[1].Err, store.ErrIDConflict) || results[2].Seq != 12 {
		t.Errorf("got %+v, want a conflict and seq 12", results[1:])
	}
}

func TestWithoutCloseNothingAcknowledgedIsLost(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{walPages: 20, maxUnmerged: 100, mergeStep: 10}) // so that all files have data
	for i := range 40 {
		storetest.Append(t, s, numbered(t, fmt.Sprint("room-", i%2), "alice", i*10, 10)...)
	}
	eventually(t, "something is merged", func() bool { return unmergedIn(s) <= 100 })
	s.stopMerger()
	if len(framesOf(t, s)) == 0 || count(t, s, "entries") == 0 {
		t.Error("the journal or the database is empty, so the test proves little")
	}
	if info, err := os.Stat(s.path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("there is no WAL, so the test proves nothing: %v", err)
	}
	copied := open(t, copyFiles(t, dir), Options{})
	for _, room := range []string{"room-0", "room-1"} {
		if diff := cmp.Diff(all(t, s, room), all(t, copied, room)); diff != "" {
			t.Errorf("%s (-before +after the crash):\n%s", room, diff)
		}
	}
	if s.Epoch() != copied.Epoch() {
		t.Error("the epoch changed")
	}
}

func TestTwoRoomsInOneBatch(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a, b := numbered(t, "a", "alice", 0, 3), numbered(t, "b", "alice", 3, 3)
	batch := []kaban.Draft{a[0], b[0], b[0], a[1], b[1], a[2], a[0], b[2]}
	var got []uint64
	for _, result := range storetest.Append(t, s, batch...) {
		got = append(got, result.Seq)
	}
	if want := []uint64{1, 1, 1, 2, 2, 3, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("seqs %v, want %v", got, want)
	}
	if len(all(t, s, "a")) != 3 || len(all(t, s, "b")) != 3 {
		t.Errorf("rooms have %d and %d entries, want 3 and 3", len(all(t, s, "a")), len(all(t, s, "b")))
	}
}

func TestUsersAreForgottenAndFoundAgain(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	d := storetest.Draft(t, "lobby", "Alice", "one", "hello")
	storetest.Append(t, s, d)
	for range 2 { // unmerged, and merged
		s.appending.Lock()
		clear(s.users)
		s.appending.Unlock()
		if got := storetest.Append(t, s, d)[0]; !got.Duplicate {
			t.Errorf("got %+v, want a duplicate", got)
		}
		mergeNow(t, s)
	}
}

func TestPagingThroughALargeHistory(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	const head = 6000
	for i := 0; i < head; i += 1000 {
		storetest.Append(t, s, numbered(t, "lobby", "alice", i, 1000)...)
		storetest.Append(t, s, numbered(t, "other", "bob", i, 10)...)
	}
	lobby := storetest.RoomName(t, "lobby")
	next := uint64(1)
	for {
		page, err := s.Read(t.Context(), lobby, store.Page{After: next - 1, Limit: 700, Bytes: 8000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Seq != next || e.Content != fmt.Sprint("message ", next-1) {
				t.Fatalf("got %+v, want seq %d", e, next)
			}
			next++
		}
	}
	if next != head+1 {
		t.Errorf("forward ended before %d", next)
	}
	before := uint64(0)
	for next = head; ; {
		page, err := s.Read(t.Context(), lobby, store.Page{Before: before, Last: true, Limit: 700})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range slices.Backward(page) {
			if e.Seq != next {
				t.Fatalf("got %+v, want seq %d", e, next)
			}
			next--
		}
		before = page[0].Seq
		if before == 1 {
			break
		}
	}
	if next != 0 {
		t.Errorf("backward ended after %d", next)
	}
	for _, page := range []store.Page{{After: 1<<64 - 1, Limit: 5}, {After: head, Limit: 5}, {Before: 1, Limit: 5}} {
		if got, err := s.Read(t.Context(), lobby, page); err != nil || len(got) != 0 {
			t.Errorf("%+v: %d entries, %v; want none", page, len(got), err)
		}
	}
}

func TestReadsAndAppendsAtOnceUntilClose(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Options{walPages: 5, maxUnmerged: 30, mergeStep: 10}) // with many merges
	lobby := storetest.RoomName(t, "lobby")
	storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 1)...)
	done := make(chan error, 3*readers)
	for range 3 * readers {
		go func() { // ends when the store is closed
			for {
				state, err := s.Room(context.Background(), lobby)
				if err == nil {
					var page []store.Entry
					page, err = s.Read(context.Background(), lobby, store.Page{Last: true, Limit: 50})
					if err == nil && (len(page) == 0 || page[len(page)-1].Seq < state.Head) {
						err = fmt.Errorf("the head was %d, a later page is %d entries", state.Head, len(page))
					}
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for i := range 40 {
		storetest.Append(t, s, numbered(t, "lobby", "alice", 1+i*10, 10)...)
	}
	closeStore(t, s)
	for range cap(done) {
		if err := <-done; !errors.Is(err, store.ErrClosed) {
			t.Errorf("a reader ended with %v, want ErrClosed", err)
		}
	}
}

func TestTheWALIsBounded(t *testing.T) {
	t.Parallel()
	s := still(t, t.TempDir(), Options{walPages: 50})
	// Merges write to the WAL, and so do slow batches.
	write := func(author string, n int) {
		for i := range n {
			if i%2 == 0 {
				appendSlowly(t, s, numbered(t, "lobby", author, i*2, 2)...)
			} else {
				storetest.Append(t, s, numbered(t, "lobby", author, i*2, 2)...)
			}
			merge(t, s, 1)
		}
	}
	write("alice", 200)
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(50 * 3 * 4200); info.Size() > most || info.Size() < 50*4096 {
		t.Errorf("the WAL has %d bytes, want at most %d, and enough to prove it", info.Size(), most)
	}

	// A reader that does not end keeps the WAL from restarting. Afterwards it is
	// truncated.
	r := <-s.readers
	defer func() { s.readers <- r }()
	if err := r.exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.number(t.Context(), "SELECT count(*) FROM rooms"); err != nil {
		t.Fatal(err)
	}
	if err := s.writer.exec(t.Context(), "PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	write("bob", 300)
	if info, err = os.Stat(s.path + "-wal"); err != nil || info.Size() < 50*truncateFactor*4096 {
		t.Fatalf("the WAL has %d bytes (%v): the test does not keep it from restarting", info.Size(), err)
	}
	if err := r.rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("carol", 200)
	var busy, pages, moved int
	if err := s.stmts.walState.QueryRowContext(t.Context()).Scan(&busy, &pages, &moved); err != nil || pages > 50*3 {
		t.Errorf("the WAL has %d pages (%v) after the reader has ended", pages, err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir, Options{})
	check := func() {
		t.Helper()
		storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 1)...)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
		}
		for _, name := range []string{databaseName, databaseName + "-wal", databaseName + "-shm", lockName} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600", name, info.Mode())
			}
		}
		if info, err := os.Stat(s.journalDir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the journal has mode %v, %v; want 0700", info.Mode(), err)
		}
		segments, err := filepath.Glob(filepath.Join(s.journalDir, "*"))
		if err != nil || len(segments) == 0 {
			t.Errorf("the journal has %q, %v", segments, err)
		}
		for _, name := range segments {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v; want 0600", name, info.Mode(), err)
			}
		}
	}
	check()
	closeStore(t, s)
	for _, name := range []string{databaseName, lockName} {
		if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, Options{})
	check()

	// A crash copy may have other modes.
	storetest.Append(t, s, numbered(t, "lobby", "alice", 1, 1)...)
	crashed := copyFiles(t, dir)
	for _, name := range segmentsIn(t, filepath.Join(crashed, journalName)) {
		if err := os.Chmod(name, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	copied := open(t, crashed, Options{})
	for _, name := range segmentsIn(t, copied.journalDir) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s of a copy has mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
}

// A link in place of the lock is refused, wherever it leads, and what it leads to stays
// as it is.
func TestTheLockFollowsNoLink(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{outside, outside + "-absent"} {
		dir := t.TempDir()
		path := filepath.Join(dir, lockName)
		if err := os.Symlink(target, path); err != nil {
			t.Skip("this system has no symbolic links for everybody:", err)
		}
		_, err := Open(t.Context(), dir, Options{})
		wantError(t, err, path, "remove the link")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		closeStore(t, open(t, dir, Options{}))
	}
	kept, err := os.ReadFile(outside)
	info, statErr := os.Stat(outside)
	if err != nil || statErr != nil || string(kept) != "precious" || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the file outside is now %q, %v, %v, %v", kept, info, err, statErr)
	}
	if _, err := os.Lstat(outside + "-absent"); err == nil {
		t.Error("a file was made outside")
	}
}

// A directory that other users can read is logged and left as it is.
func TestAnOpenDirectoryIsLogged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	for mode, want := range map[os.FileMode]bool{0o700: false, 0o755: true, 0o710: true, 0o707: true} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		closeStore(t, open(t, dir, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}))
		if got := strings.Contains(log.String(), "other users can read the data directory"); got != want {
			t.Errorf("%v: the log has\n%s", mode, &log)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v has become %v (%v)", mode, info.Mode(), err)
		}
	}
}

func TestEveryConnectionHasItsPragmas(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	check := func(c *conn, want map[string]string) {
		t.Helper()
		for name, want := range want {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", name, got, err, want)
			}
		}
	}
	check(s.writer, map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "0",
		"application_id": fmt.Sprint(applicationID), "user_version": fmt.Sprint(len(scripts)),
	})
	if len(s.all) != readers {
		t.Errorf("there are %d readers, want %d", len(s.all), readers)
	}
	for _, r := range s.all {
		check(r.conn, map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "1",
		})
		if err := r.exec(t.Context(), "DELETE FROM entries"); err == nil {
			t.Error("a reader could write")
		}
	}
	if _, err := connect(t.Context(), s.path, "rw", []pragma{{"synchronous", "7"}}); err == nil {
		t.Error("a setting that SQLite did not accept was not noticed")
	}
}

func TestLibraryVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"3.51.3": true, "3.51.10": true, "3.54.1": true, "4.0.0": true, "3.52": true,
		"3.51.2": false, "3.9.9": false, "2.99.9": false, "": false, "new": false,
	} {
		if err := checkLibrary(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestBusyForAMoment(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	other, err := connect(t.Context(), s.path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := errors.Join(s.writer.exec(t.Context(), "PRAGMA busy_timeout = 1"), other.exec(t.Context(), "BEGIN IMMEDIATE")); err != nil {
		t.Fatal(err)
	}
	batch := numbered(t, "lobby", "alice", 0, 2)
	err = s.Append(t.Context(), storetest.Writes(batch...), make([]store.Result, 2))
	if err == nil || errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrFull) {
		t.Errorf("while another program writes: %v; want an error that does not break the store", err)
	}
	if err := other.rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := storetest.Append(t, s, batch...); got[1].Seq != 2 || got[1].Duplicate {
		t.Errorf("got %+v, want seq 1 and 2", got)
	}
	// A merge fails, too, and is made later. Fast batches go on meanwhile.
	if err := other.exec(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.mergeSome(1); err == nil || errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrFull) {
		t.Errorf("a merge while another program writes: %v; want an error that does not break the store", err)
	}
	if got := storetest.Append(t, s, numbered(t, "lobby", "alice", 0, 3)...); !got[1].Duplicate || got[2].Seq != 3 {
		t.Errorf("got %+v, want a duplicate and seq 3", got[1:])
	}
	if err := other.rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mergeNow(t, s)
	if got := all(t, s, "lobby"); len(got) != 3 {
		t.Errorf("%d messages are there, want 3", len(got))
	}
}

func TestCanceledContext(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batch := numbered(t, "lobby", "alice", 0, 1)
	if err := s.Append(ctx, storetest.Writes(batch...), make([]store.Result, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	if _, err := s.Read(ctx, batch[0].Room, store.Page{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	storetest.Append(t, s, batch...)
}
