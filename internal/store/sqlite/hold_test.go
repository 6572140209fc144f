package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// long returns drafts of 3,900 bytes.
func long(t testing.TB, room, author string, first, n int) []kaban.Draft {
	drafts := numbered(t, room, author, first, n)
	for i := range drafts {
		drafts[i].Body = fmt.Sprint(first+i, strings.Repeat(" x", 1945))
	}
	return drafts
}

// segmentsIn returns the names of the segments in a journal.
func segmentsIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// While an archive holds the journal, no segment is used again or removed, not even by
// Close and the next start. What a hold has left that was not released is removed.
func TestAHoldKeepsSegments(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	n := 0
	fill := func() {
		t.Helper()
		for before := segmentsIn(t, s.journalDir); len(segmentsIn(t, s.journalDir)) == len(before); n += 50 {
			storetest.Append(t, s, long(t, "lobby", "ann", n, 50)...)
		}
	}
	fill()
	hold, err := journal.Take(s.journalDir)
	if err != nil {
		t.Fatal(err)
	}
	fill()
	appendSlowly(t, s, long(t, "lobby", "ann", n, 1)...)
	n++
	mark, batch := s.progress.Mark, s.progress.batch // what a snapshot of now has
	held := segmentsIn(t, s.journalDir)
	contents := func() (all []string) {
		for _, name := range held {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Errorf("a segment that is held: %v", err)
			}
			all = append(all, string(content))
		}
		return all
	}
	before := contents()
	readable := func(when string) {
		t.Helper()
		frames, err := journal.Read(filepath.Join(dir, journalName), mark)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		entries := 0
		for _, f := range until(batch, frames) {
			if f.Batch > batch {
				continue
			}
			found, _, err := parseFrame(f.Batch, f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			entries += len(found)
		}
		if entries != n-1-50 && entries != n-1 { // all but that of the slow batches: the first 50, and the last
			t.Errorf("%s: %d entries can be read, want %d", when, entries, n-51)
		}
	}
	readable("at first")
	mergeNow(t, s)
	readable("after a merge")
	closeStore(t, s)
	readable("after Close")
	s = still(t, dir, Options{})
	readable("after a start")
	appended := n
	storetest.Append(t, s, long(t, "lobby", "ann", appended, 3)...)
	appended += 3
	readable("after more")
	mergeNow(t, s)
	if !slices.Equal(before, contents()) {
		t.Error("a segment that is held has changed")
	}
	if got := all(t, open(t, copyFiles(t, dir), Options{}), "lobby"); len(got) != appended {
		t.Errorf("after a crash there are %d entries, want %d", len(got), appended)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, long(t, "lobby", "ann", appended, 1)...)
	mergeNow(t, s)
	// It was taken over at the start. Those before it go with Close.
	if left := segmentsIn(t, s.journalDir); slices.Contains(left, held[len(held)-1]) {
		t.Errorf("after the release and a merge there are the segments %q, with the newest that was held", left)
	}

	// The file of a process that was killed.
	stale := filepath.Join(s.journalDir, "hold-12345")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if names := namesIn(t, dir); !slices.Equal(names, []string{databaseName, lockName}) {
		t.Errorf("after Close there are %q, want the database and the lock", names)
	}
}

// Archives of a store that appends, merges and uses its segments again see every
// acknowledged message, in order, and never any damage.
func TestArchivesOfABusyStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 40, mergeStep: 20, walPages: 50})
	storetest.Append(t, s, long(t, "lobby", "ann", 0, 1)...)
	storetest.Append(t, s, long(t, "attic", "ann", 0, 1)...)
	head := func() uint64 {
		state, err := s.Room(context.Background(), storetest.RoomName(t, "lobby"))
		if err != nil {
			t.Error(err)
		}
		return state.Head
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { // each message of the lobby comes before one of the attic
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for _, room := range []string{"lobby", "attic"} {
				writes, results := storetest.Writes(long(t, room, "ann", i*10, 10)...), make([]store.Result, 10)
				appendTo := s.Append
				if i%5 == 0 {
					appendTo = s.appendSlowly
				}
				if err := appendTo(context.Background(), writes, results); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	inOrder := func(what string, lobby, attic, before uint64) {
		if lobby < before || attic > lobby || lobby-attic > 10 {
			t.Errorf("%s: %d messages in the lobby and %d in the attic; %d were acknowledged before", what, lobby, attic, before)
		}
	}
	looks := 0
	for begin := s.batchNow(); looks < 12 || s.batchNow() < begin+600; looks++ {
		a, err := OpenArchive(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		before := head()
		rooms, err := a.Rooms(t.Context())
		if err != nil || len(rooms) != 2 {
			t.Fatalf("the rooms are %+v, %v", rooms, err)
		}
		inOrder("Rooms", rooms[1].Head, rooms[0].Head, before)
		before = head()
		seqs := make(map[string]uint64)
		err = a.Export(t.Context(), nil, store.Receiver{Damaged: asError, Record: func(r *store.Record) error {
			if seqs[r.Room.Key()]++; seqs[r.Room.Key()] != r.Seq {
				return fmt.Errorf("message %d of %s follows %d", r.Seq, r.Room, seqs[r.Room.Key()]-1)
			}
			return nil
		}})
		if err != nil {
			t.Fatalf("export: %v", err)
		}
		inOrder("Export", seqs["lobby"], seqs["attic"], before)
		before = head()
		switch looks % 3 {
		case 0:
			report, err := a.Check(t.Context())
			if err != nil || report.Err() != nil {
				t.Fatalf("check: %+v, %v", report, err)
			}
			inOrder("Check", report.Rooms[1].Entries, report.Rooms[0].Entries, before)
		case 1:
			report, err := a.Backup(t.Context(), filepath.Join(t.TempDir(), "backup"), nil)
			if err != nil {
				t.Fatalf("backup: %v", err)
			}
			inOrder("Backup", report.Rooms[1].Entries, report.Rooms[0].Entries, before)
		default:
			if err := a.Lost(t.Context()); err != nil {
				t.Fatalf("lost: %v", err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	group.Wait()
	if held, err := filepath.Glob(filepath.Join(s.journalDir, "*hold-*")); err != nil || len(held) > 0 {
		t.Errorf("archives have left %q, %v", held, err)
	}
	newest := segmentsIn(t, s.journalDir)
	if first := fmt.Sprintf("%016d", 5); filepath.Base(newest[0]) < first {
		t.Errorf("the segments are %q: none was used again, so the test proves little", newest)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// batchNow returns the newest batch.
func (s *Store) batchNow() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.unmerged.batch
}

// A backup that a server starts in the middle of has what the server's journal has.
func TestBackupWhileAServerStarts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	closeStore(t, s)
	var started sync.Once
	file := filepath.Join(t.TempDir(), "backup.db")
	report, err := archive(t, dir).Backup(t.Context(), file, func(done, total int64) {
		if done < total {
			return
		}
		started.Do(func() {
			s, err := Open(context.Background(), dir, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { s.Close() })
			if err := s.Append(context.Background(), storetest.Writes(numbered(t, "lobby", "ann", 3, 3)...), make([]store.Result, 3)); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil || report.Rooms[0].Entries != 6 {
		t.Fatalf("the backup has %+v, %v; want 6 entries", report, err)
	}
	to := t.TempDir()
	if _, err := Restore(t.Context(), to, file, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := all(t, open(t, to, Options{}), "lobby"); len(got) != 6 {
		t.Errorf("%d entries were restored, want 6", len(got))
	}
}

// A backup of a database whose journal is damaged has everything before the damage. Lost
// reports that there is more.
func TestBackupOfADamagedJournal(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	segment := filepath.Base(segmentsIn(t, s.journalDir)[0])
	read := func(dir string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, journalName, segment))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	ends := make(map[int]int) // of the frames of messages
	for i := 3; i < 13; i++ {
		before := read(dir)
		storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)
		after := read(dir)
		for at := range after {
			if after[at] != before[at] {
				ends[i] = at + 1
			}
		}
	}
	merge(t, s, 5) // batches 1 to 3
	want := all(t, s, "lobby")
	for i := 3; i < 13; i++ { // damages the frame of message i
		damaged := copyFiles(t, dir)
		path := filepath.Join(damaged, journalName, segment)
		content := read(damaged)
		content[ends[i]-6] ^= 4
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		intact := max(i, 5) // those that are merged are in the database
		a := archive(t, damaged)
		a.pause = 0
		lost := a.Lost(t.Context())
		if !errors.Is(lost, store.ErrDamaged) || !strings.Contains(lost.Error(), path) {
			t.Errorf("message %d: lost: %v, want the damage of %s", i, lost, path)
		}
		checked, err := a.Check(t.Context())
		if err != nil || len(checked.Problems) == 0 || !strings.Contains(checked.Problems[0], path) {
			t.Errorf("message %d: check: %+v, %v; want the damage of %s", i, checked, err, path)
		}
		var records []string
		var problems []error
		err = a.Export(t.Context(), nil, store.Receiver{
			Record:  func(r *store.Record) error { records = append(records, r.Body); return nil },
			Damaged: func(err error) error { problems = append(problems, err); return nil },
		})
		if err != nil || len(records) != intact || len(problems) != 1 || !errors.Is(problems[0], store.ErrDamaged) {
			t.Errorf("message %d: export: %d records, %v, %v; want %d and the damage", i, len(records), problems, err, intact)
		}
		file := filepath.Join(t.TempDir(), "backup.db")
		report, err := a.Backup(t.Context(), file, nil)
		if err != nil || report.Rooms[0].Entries != uint64(intact) {
			t.Errorf("message %d: the backup: %+v, %v; want %d entries", i, report, err, intact)
			continue
		}
		doesNotStart(t, damaged, "the journal is damaged", path, "kaban backup", "kaban restore")
		// As the error says, it is restored.
		done, err := Restore(t.Context(), damaged, file, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, damaged, Options{})
		if got := all(t, s, "lobby"); !slices.Equal(got, want[:intact]) {
			t.Errorf("message %d: %d entries were restored, want %d", i, len(got), intact)
		}
		// What was replaced is kept, with its journal.
		aside, err := os.ReadFile(filepath.Join(strings.Replace(done.Kept, databaseName, journalName, 1), segment))
		if err != nil || string(aside) != string(content) {
			t.Errorf("message %d: the journal was not kept as it was: %v", i, err)
		}
	}
}

// A journal that grows because an archive holds it is a line in the log, and the end of that
// another one, also if nothing is said meanwhile.
func TestAJournalThatGrows(t *testing.T) {
	var log bytes.Buffer
	s := still(t, t.TempDir(), Options{largeJournal: 5 * journal.SegmentSize, Log: slog.New(slog.NewTextHandler(&log, nil))})
	log.Reset()
	n := 0
	logs := func(when string, want ...string) {
		t.Helper()
		mergeNow(t, s)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		log.Reset()
		if len(want) == 0 {
			want = []string{""}
		}
		if len(lines) != len(want) || !strings.Contains(lines[0], want[0]) {
			t.Errorf("%s: the log has %q, want %q", when, lines, want)
		}
	}
	grow := func() {
		t.Helper()
		for range 6 {
			for before := len(segmentsIn(t, s.journalDir)); len(segmentsIn(t, s.journalDir)) == before; n += 50 {
				storetest.Append(t, s, long(t, "lobby", "ann", n, 50)...)
			}
		}
	}
	grow()
	logs("nobody reads it")
	hold, err := journal.Take(s.journalDir)
	if err != nil {
		t.Fatal(err)
	}
	logs("it is small")
	grow()
	logs("it grows", "keeps growing")
	grow()
	logs("it grows on")
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	s.startMerger()
	for s.grown.Load() {
		time.Sleep(time.Millisecond)
	}
	s.stopMerger()
	logs("nobody reads it any more", "does not grow any more")
	if size := s.Size().Files["journal"]; size >= s.largeJournal {
		t.Errorf("it still has %d bytes", size)
	}
}

// A backup of a database whose journal is damaged or gone has everything before, although
// later entries of the same room are in the database. Its report says that there were more.
func TestBackupOfSlowBatchesBehindALostFrame(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	read := func(journal string) (path string, content []byte) {
		t.Helper()
		path = segmentsIn(t, journal)[0]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, content
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...) // in the database
	storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
	_, before := read(s.journalDir)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 2, 1)...)
	_, after := read(s.journalDir)
	last := len(after) - 1 // of the frame of message 2
	for after[last] == before[last] {
		last--
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 1)...)
	appendSlowly(t, s, numbered(t, "lobby", "ann", 4, 2)...)
	appendSlowly(t, s, numbered(t, "attic", "ann", 0, 2)...)
	appendSlowly(t, s, numbered(t, "lobby", "ann", 6, 1)...)
	want, attic := all(t, s, "lobby"), all(t, s, "attic")
	for name, c := range map[string]struct {
		lose func(journal string) error
		left int
		word string
	}{
		"damaged": {func(journal string) error {
			path, content := read(journal)
			content[last-6] ^= 4
			return os.WriteFile(path, content, 0o600)
		}, 2, "the journal is damaged"},
		"gone": {os.RemoveAll, 1, "its files are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := copyFiles(t, dir)
			if err := c.lose(filepath.Join(damaged, journalName)); err != nil {
				t.Fatal(err)
			}
			doesNotStart(t, damaged, c.word, "kaban backup", "kaban restore")
			file := filepath.Join(t.TempDir(), "backup.db")
			a := archive(t, damaged)
			a.pause = 0
			report, err := a.Backup(t.Context(), file, nil)
			if err != nil || !errors.Is(report.Lost, store.ErrDamaged) || report.Err() != nil {
				t.Fatalf("the backup: %+v, %v; want one that has lost something and is sound", report, err)
			}
			wantError(t, report.Lost, c.word)
			done, err := Restore(t.Context(), damaged, file, true, nil)
			if err != nil || done.Report.Lost != nil {
				t.Fatalf("%+v, %v", done.Report, err)
			}
			restored := open(t, damaged, Options{})
			if got := all(t, restored, "lobby"); !slices.Equal(got, want[:c.left]) {
				t.Errorf("the lobby has %d entries, want %d", len(got), c.left)
			}
			if got := all(t, restored, "attic"); !slices.Equal(got, attic) {
				t.Errorf("the attic has %d entries, want %d", len(got), len(attic))
			}
			for i, got := range storetest.Append(t, restored, numbered(t, "lobby", "ann", 0, 7)...) {
				if got.Seq != uint64(i+1) || got.Duplicate != (i < c.left) {
					t.Errorf("message %d again: %+v", i+1, got)
				}
			}
		})
	}

	// The file itself is no backup.
	if done, err := s.checkpoint(t.Context(), "TRUNCATE"); !done || err != nil {
		t.Fatal(done, err)
	}
	alone := filepath.Join(t.TempDir(), "alone.db")
	if err := copyFile(alone, s.path); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(t.Context(), t.TempDir(), alone, false, nil)
	wantError(t, err, "cannot be restored", "its files are missing")
}

// Restore moves the journal of what it replaces aside, and refuses to replace a journal
// that is alone.
func TestRestoreMovesTheJournalAside(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 3)...)
	want := all(t, s, "lobby")
	crashed := copyFiles(t, dir)
	done, err := Restore(t.Context(), crashed, file, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, open(t, crashed, Options{}), "lobby"); !slices.Equal(got, want[:3]) {
		t.Errorf("%d entries were restored, want 3", len(got))
	}
	// The old one can be put back.
	old := t.TempDir()
	for _, suffix := range companions {
		if err := os.Rename(done.Kept+suffix, filepath.Join(old, databaseName+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(strings.Replace(done.Kept, databaseName, journalName, 1), filepath.Join(old, journalName)); err != nil {
		t.Fatal(err)
	}
	if got := all(t, open(t, old, Options{}), "lobby"); !slices.Equal(got, want) {
		t.Errorf("what was replaced has %d entries, want %d", len(got), len(want))
	}

	alone := t.TempDir()
	if err := os.CopyFS(filepath.Join(alone, journalName), os.DirFS(s.journalDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), alone, file, false, nil); !errors.Is(err, ErrOccupied) {
		t.Errorf("beside a journal alone: %v, want ErrOccupied", err)
	}
	if _, err := Restore(t.Context(), alone, file, true, nil); err != nil {
		t.Fatal(err)
	}
	if got := all(t, open(t, alone, Options{}), "lobby"); !slices.Equal(got, want[:3]) {
		t.Errorf("%d entries were restored, want 3", len(got))
	}
}

// What a restore replaced can be restored again: its journal is found beside it.
func TestRestoreOfWhatWasReplaced(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 3)...)
	if done, err := s.checkpoint(t.Context(), "TRUNCATE"); !done || err != nil {
		t.Fatal(done, err)
	}
	want := all(t, s, "lobby")
	crashed := copyFiles(t, dir)
	first, err := Restore(t.Context(), crashed, file, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Restore(t.Context(), crashed, first.Kept, true, nil)
	if err != nil || again.Report.Rooms[0].Entries != 6 || again.Kept == first.Kept {
		t.Fatalf("restore of %s: %+v, %v", first.Kept, again, err)
	}
	if got := all(t, open(t, crashed, Options{}), "lobby"); !slices.Equal(got, want) {
		t.Errorf("%d entries were restored, want %d", len(got), len(want))
	}
	if _, err := Restore(t.Context(), t.TempDir(), again.Kept, false, nil); err != nil { // a closed database, without a journal
		t.Error(err)
	}
	if err := os.RemoveAll(journalOf(first.Kept)); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(t.Context(), t.TempDir(), first.Kept, false, nil)
	wantError(t, err, "cannot be restored", "its files are missing")
}

// A restore that was interrupted between two renames can be repeated. Until then the server
// refuses to start, or starts with the old or the new database.
func TestAnInterruptedRestoreIsRepeated(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 3)...)
	want := all(t, s, "lobby")
	path := func(dir string) string { return filepath.Join(dir, databaseName) }
	aside := func(dir string) string { return path(dir) + asideMark + "once" }
	for n := range len(moves("", "")) + 1 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := copyFiles(t, dir)
			if err := copyFile(path(dir)+draftSuffix, file); err != nil {
				t.Fatal(err)
			}
			for _, m := range moves(path(dir), aside(dir))[:n] {
				if err := os.Rename(m.from, m.to); err != nil {
					t.Fatal(err)
				}
			}
			if s, err := Open(t.Context(), copyFiles(t, dir), Options{}); err == nil {
				got := all(t, s, "lobby")
				if closeStore(t, s); !slices.Equal(got, want) && !slices.Equal(got, want[:3]) {
					t.Errorf("the server starts with %d entries", len(got))
				}
			} else {
				t.Logf("the server does not start: %v", err)
			}
			done, err := Restore(t.Context(), dir, file, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := all(t, open(t, dir, Options{}), "lobby"); !slices.Equal(got, want[:3]) {
				t.Errorf("%d entries were restored, want 3", len(got))
			}
			if done.Kept != "" {
				kept, err := filepath.Glob(done.Kept + "*")
				if err != nil || len(kept) == 0 {
					t.Errorf("there is no %s (%v)", done.Kept, err)
				}
			}
			// Every file of the old one is still there, under some name.
			for _, pattern := range []string{databaseName + asideMark + "*[0-9e]", databaseName + asideMark + "*-wal", journalName + asideMark + "*"} {
				if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) == 0 {
					t.Errorf("nothing is called %s (%v)", pattern, err)
				}
			}
		})
	}
}

// The database file of a crash copy can be restored: with its journal beside it everything
// is there.
func TestRestoreOfACrashCopy(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 3)...)
	appendSlowly(t, s, numbered(t, "lobby", "ann", 6, 3)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 9, 3)...)
	merge(t, s, 2)
	if done, err := s.checkpoint(t.Context(), "TRUNCATE"); !done || err != nil {
		t.Fatal(done, err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 3)...)
	want := all(t, s, "lobby")
	copied := copyFiles(t, dir)
	if err := os.Remove(filepath.Join(copied, databaseName+"-shm")); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	done, err := Restore(t.Context(), to, filepath.Join(copied, databaseName), false, nil)
	if err != nil || done.Report.Rooms[0].Entries != 15 {
		t.Fatalf("%+v, %v", done.Report, err)
	}
	if got := all(t, open(t, to, Options{}), "lobby"); !slices.Equal(got, want) {
		t.Errorf("%d entries were restored, want %d", len(got), len(want))
	}
	if got := all(t, open(t, copied, Options{}), "lobby"); !slices.Equal(got, want) {
		t.Errorf("the crash copy has %d entries, want %d", len(got), len(want))
	}
	// Nothing is lost without a word: what the WAL has, or what neither file has.
	appendSlowly(t, s, numbered(t, "lobby", "ann", 15, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 16, 1)...)
	later := filepath.Join(copyFiles(t, dir), databaseName)
	_, err = Restore(t.Context(), t.TempDir(), later, false, nil)
	wantError(t, err, "cannot be restored", databaseName+"-wal", "kaban backup")
	if err := os.Remove(later + "-wal"); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(t.Context(), t.TempDir(), later, false, nil)
	wantError(t, err, "cannot be restored", "but not the one before it")
	// Without its journal it is refused.
	if err := os.Mkdir(filepath.Join(to, "alone"), 0o700); err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(to, "alone", "kaban.db")
	if err := copyFile(alone, filepath.Join(copyFiles(t, dir), databaseName)); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(t.Context(), t.TempDir(), alone, false, nil)
	wantError(t, err, "cannot be restored", "its files are missing")
}

// An import beside unmerged entries of both kinds compares with them and goes on from them.
func TestImportBesideUnmergedEntries(t *testing.T) {
	from := t.TempDir()
	s := open(t, from, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 20)...)
	exported := records(t, from)
	for name, prepare := range map[string]func(t *testing.T, dir string) *Store{
		"running":       func(t *testing.T, dir string) *Store { return still(t, dir, Options{mergeStep: 1}) },
		"after a crash": func(t *testing.T, dir string) *Store { return still(t, copyFiles(t, dir), Options{mergeStep: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := still(t, dir, Options{mergeStep: 1})
			if n, err := s.Import(t.Context(), exported[:5]); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			storetest.Append(t, s, numbered(t, "lobby", "bob", 100, 1)...)
			storetest.Append(t, s, numbered(t, "lobby", "bob", 101, 2)...)
			appendSlowly(t, s, numbered(t, "lobby", "ann", 102, 1)...)
			storetest.Append(t, s, numbered(t, "lobby", "bob", 103, 1)...)
			if name != "running" {
				s = prepare(t, dir)
			}
			own := records(t, filepath.Dir(s.path))
			_, err := s.Import(t.Context(), exported)
			wantError(t, err, "message 6 of lobby is another message there")
			if n := unmergedIn(s); n != 5 {
				t.Errorf("a refused import leaves %d unmerged entries, want 5", n)
			}
			more := own[9]
			more.Seq, more.ID = 11, storetest.Draft(t, "lobby", "bob", "imported", "x").ID
			if n, err := s.Import(t.Context(), append(slices.Clone(own), more)); n != 1 || err != nil {
				t.Errorf("import: %d, %v; want 1", n, err)
			}
			if n := unmergedIn(s); n != 0 {
				t.Errorf("an import leaves %d unmerged entries", n)
			}
			results := storetest.Append(t, s, storetest.Draft(t, "lobby", "bob", "imported", more.Body), storetest.Draft(t, "lobby", "bob", "next", "x"))
			if !results[0].Duplicate || results[0].Seq != 11 || results[1].Seq != 12 {
				t.Errorf("after the import: %+v", results)
			}
			if got := all(t, open(t, copyFiles(t, filepath.Dir(s.path)), Options{}), "lobby"); len(got) != 12 || !slices.Equal(got, all(t, s, "lobby")) {
				t.Errorf("after a crash there are %d entries, want 12", len(got))
			}
		})
	}
}
