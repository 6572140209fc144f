package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// openJournal opens the journal of a data directory.
func openJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	loaded, err := journal.Load(filepath.Join(dir, journalName), progressIn(t, dir).Mark)
	if err != nil {
		t.Fatal(err)
	}
	j, err := loaded.Open()
	if err == nil {
		err = j.Begin()
	}
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// beginSegment begins a segment as a server does that is killed before it notes it.
func beginSegment(t *testing.T, dir string) {
	t.Helper()
	j := openJournal(t, dir)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// namesIn returns the names of the files in a directory.
func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestUntil(t *testing.T) {
	for _, c := range []struct {
		batch       uint64
		found, want string
	}{
		{0, "", ""},
		{0, "1 2 3", "1 2 3"},
		{0, "2 3", ""},    // batch 1 is in the database, which was read before
		{3, "1 3", "1 3"}, // batch 2 is there
		{3, "5", ""},      // batch 4 is not
		{3, "1 4 5", "1 4 5"},
		{3, "2 4 5 7 8", "2 4 5"},
		{9, "2 4 7", "2 4 7"},
		{9, "2 10 12", "2 10"},
		{9, "11", ""},
	} {
		var found []journal.Frame
		for _, batch := range strings.Fields(c.found) {
			var n uint64
			if _, err := fmt.Sscan(batch, &n); err != nil {
				t.Fatal(err)
			}
			found = append(found, journal.Frame{Batch: n})
		}
		var got []string
		for _, f := range until(c.batch, found) {
			got = append(got, fmt.Sprint(f.Batch))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("until(%d, %s) = %s, want %s", c.batch, c.found, got, c.want)
		}
	}
}

// A snapshot of the database with a later journal is cut at the first missing batch, so
// that an archive never has a later message without an earlier one.
func TestALaterJournalIsCutAtTheFirstMissingBatch(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, append(numbered(t, "lobby", "ann", 0, 2), numbered(t, "attic", "ann", 0, 1)...)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 2, 1)...)
	a := archive(t, dir)
	if err := a.conn.exec(t.Context(), "BEGIN"); err != nil { // the snapshot of an archive
		t.Fatal(err)
	}
	if _, err := a.conn.number(t.Context(), "SELECT count(*) FROM progress"); err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 1)...)
	appendSlowly(t, s, numbered(t, "attic", "ann", 1, 1)...)
	storetest.Append(t, s, append(numbered(t, "lobby", "ann", 4, 1), numbered(t, "attic", "ann", 2, 1)...)...)
	read := func(c *conn) map[string]uint64 {
		heads := make(map[string]uint64)
		authors, err := c.newAuthors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		contents, err := load(t.Context(), c, authors, framesIn(s.journalDir), asError)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range contents.rooms {
			heads[r.key] = r.head
		}
		return heads
	}
	if got := read(a.conn); got["lobby"] != 4 || got["attic"] != 1 {
		t.Errorf("the heads are %v, want those before the batch that the snapshot lacks: 4 and 1", got)
	}
	if err := a.conn.rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(a.conn); got["lobby"] != 5 || got["attic"] != 3 {
		t.Errorf("the heads are %v, want 5 and 3", got)
	}
}

// A closed store needs no journal, and does not mind what is left of one.
func TestAClosedDatabaseNeedsNoJournal(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 2)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 2, 2)...)
	appendSlowly(t, s, numbered(t, "lobby", "ann", 4, 2)...)
	want := all(t, s, "lobby")
	crashed := copyFiles(t, dir)
	closeStore(t, s)
	if names := namesIn(t, dir); !slices.Equal(names, []string{databaseName, lockName}) {
		t.Errorf("after Close there are %q, want the database and the lock", names)
	}
	start := func(t *testing.T, dir string) {
		t.Helper()
		s := still(t, dir, Options{})
		if got := all(t, s, "lobby"); !slices.Equal(got, want) {
			t.Errorf("%d entries, want %d", len(got), len(want))
		}
		results := storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 4)...)
		if !results[2].Duplicate || results[3].Seq != 7 {
			t.Errorf("appended again: %+v", results)
		}
		after := copyFiles(t, dir)
		if got := all(t, open(t, after, Options{}), "lobby"); len(got) != 7 || !slices.Equal(got[:6], want) {
			t.Errorf("after a crash there are %d entries, want 7", len(got))
		}
		closeStore(t, s)
		if names := namesIn(t, dir); !slices.Equal(names, []string{databaseName, lockName}) {
			t.Errorf("after Close there are %q, want the database and the lock", names)
		}
	}
	t.Run("without it", func(t *testing.T) { start(t, copyFiles(t, dir)) })
	t.Run("with all of it", func(t *testing.T) { // the server was killed before it removed anything
		dir := copyFiles(t, dir)
		if err := os.CopyFS(filepath.Join(dir, journalName), os.DirFS(filepath.Join(crashed, journalName))); err != nil {
			t.Fatal(err)
		}
		if err := check(t.Context(), dir); err != nil {
			t.Errorf("check: %v", err)
		}
		start(t, dir)
	})
	t.Run("with an empty directory", func(t *testing.T) {
		dir := copyFiles(t, dir)
		if err := os.Mkdir(filepath.Join(dir, journalName), 0o700); err != nil {
			t.Fatal(err)
		}
		start(t, dir)
	})
	t.Run("with a segment that was just begun", func(t *testing.T) {
		dir := copyFiles(t, dir)
		beginSegment(t, dir)
		start(t, dir)
	})
	t.Run("with that of another database", func(t *testing.T) {
		dir, other := copyFiles(t, dir), t.TempDir()
		s := open(t, other, Options{})
		storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
		storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
		if err := os.CopyFS(filepath.Join(dir, journalName), os.DirFS(s.journalDir)); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, "that of another database", filepath.Join(dir, journalName), "put the right database", "move that directory away")
	})
}

// A server that was killed after it had begun a segment, and before it had noted it,
// starts again, whatever batch was the newest.
func TestKilledBeforeTheJournalIsNoted(t *testing.T) {
	for name, add := range map[string]func(s *Store){
		"nothing":      func(*Store) {},
		"fast batches": func(s *Store) { storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...) },
		"slow batches": func(s *Store) { appendSlowly(t, s, numbered(t, "lobby", "ann", 1, 1)...) },
		"both, merged": func(s *Store) {
			storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
			appendSlowly(t, s, numbered(t, "lobby", "ann", 2, 1)...)
			mergeNow(t, s)
		},
		"slow, merged":  func(s *Store) { appendSlowly(t, s, numbered(t, "lobby", "ann", 1, 1)...); mergeNow(t, s) },
		"merged before": func(s *Store) { mergeNow(t, s); storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := still(t, dir, Options{})
			storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
			add(s)
			want := all(t, s, "lobby")
			at := copyFiles(t, dir)
			for range 3 {
				beginSegment(t, at)
			}
			if err := check(t.Context(), at); err != nil {
				t.Errorf("check: %v", err)
			}
			s = still(t, at, Options{})
			if got := all(t, s, "lobby"); !slices.Equal(got, want) {
				t.Errorf("%d entries, want %d", len(got), len(want))
			}
			storetest.Append(t, s, numbered(t, "lobby", "ann", 10, 1)...)
			if got := all(t, open(t, copyFiles(t, at), Options{}), "lobby"); len(got) != len(want)+1 {
				t.Errorf("%d entries after another crash, want %d", len(got), len(want)+1)
			}
		})
	}
}

// Starts that fail or are killed do not fill the disk with segments.
func TestStartsThatFailLeaveABoundedJournal(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
	damaged := copyFiles(t, dir)
	corrupt(t, filepath.Join(damaged, databaseName), "UPDATE unmerged SET time = time + 1")
	before := namesIn(t, filepath.Join(damaged, journalName))
	for range 3 {
		if _, err := Open(t.Context(), damaged, Options{}); !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("Open: %v, want ErrDamaged", err)
		}
	}
	if after := namesIn(t, filepath.Join(damaged, journalName)); !slices.Equal(before, after) {
		t.Errorf("starts that are refused have made %q, there was %q", after, before)
	}
	const most = 12
	for i := range 3 * most {
		dir = crash(t, s)
		s = still(t, dir, Options{})
		if n := len(namesIn(t, s.journalDir)); n > most {
			t.Fatalf("after start %d the journal has %d files, want at most %d", i, n, most)
		}
	}
	if got := all(t, s, "lobby"); len(got) != 2 {
		t.Errorf("%d entries are there", len(got))
	}
}

// manySegments returns a crash copy whose journal has four segments, the first of which has
// only what is merged.
func manySegments(t *testing.T) (dir string, messages int) {
	t.Helper()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 1, maxUnmerged: 1 << 20})
	hold, err := journal.Take(s.journalDir) // keeps the first one
	if err != nil {
		t.Fatal(err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	n := 1
	for s.journal.Size() < 4*journal.SegmentSize {
		drafts := numbered(t, "lobby", "ann", n, 100)
		for i := range drafts {
			drafts[i].Body = strings.Repeat("x", 3900)
		}
		// Append would merge some.
		if done, err := s.appendFast(t.Context(), storetest.Writes(drafts...), make([]store.Result, 100)); !done || err != nil {
			t.Fatal(done, err)
		}
		n += 100
	}
	merge(t, s, 700)
	dir = copyFiles(t, from)
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	return dir, n
}

// doesNotStart checks that Open refuses a crash copy, always, and leaves its journal.
func doesNotStart(t *testing.T, dir string, words ...string) {
	t.Helper()
	journalDir := filepath.Join(dir, journalName)
	before, _ := os.ReadDir(journalDir)
	for range 2 {
		s, err := Open(t.Context(), dir, Options{})
		if err == nil {
			s.Close()
		}
		wantError(t, err, words...)
	}
	after, _ := os.ReadDir(journalDir)
	if len(before) != len(after) {
		t.Errorf("the journal has %v, want %v", after, before)
	}
}

// A journal that does not fit the database is refused, and the error says what to do.
func TestAJournalThatDoesNotFitIsRefused(t *testing.T) {
	original, messages := manySegments(t)
	segments, err := filepath.Glob(filepath.Join(original, journalName, "*.segment"))
	if err != nil || len(segments) != 4 {
		t.Fatalf("the journal has %q, %v", segments, err)
	}
	if got := all(t, open(t, copyFiles(t, original), Options{}), "lobby"); len(got) != messages {
		t.Fatalf("%d messages are there, want %d", len(got), messages)
	}
	advice := []string{"the journal is damaged", "restore a backup", "kaban backup", "kaban restore"}
	for name, c := range map[string]struct {
		change func(dir string) error
		words  []string
	}{
		"all missing":          {func(dir string) error { return os.RemoveAll(dir) }, []string{"its files are missing"}},
		"the first one needed": {func(dir string) error { return os.Remove(filepath.Join(dir, filepath.Base(segments[1]))) }, []string{"segment before", filepath.Base(segments[2]), "missing"}},
		"one in the middle":    {func(dir string) error { return os.Remove(filepath.Join(dir, filepath.Base(segments[2]))) }, []string{"segment before", filepath.Base(segments[3]), "missing"}},
		"the last one":         {func(dir string) error { return os.Remove(filepath.Join(dir, filepath.Base(segments[3]))) }, []string{"its newest file is missing"}},
		"two exchanged": {func(dir string) error {
			a, b, other := filepath.Join(dir, filepath.Base(segments[2])), filepath.Join(dir, filepath.Base(segments[3])), filepath.Join(dir, "other")
			return errors.Join(os.Rename(a, other), os.Rename(b, a), os.Rename(other, b))
		}, []string{"it is segment"}},
		"of another database": {func(dir string) error {
			other := t.TempDir()
			s := open(t, other, Options{})
			storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
			storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(s.journalDir)))
		}, []string{"that of another database"}},
		"cut short": {func(dir string) error { return os.Truncate(filepath.Join(dir, filepath.Base(segments[2])), 1<<20) }, []string{"it is truncated"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyFiles(t, original)
			if err := c.change(filepath.Join(dir, journalName)); err != nil {
				t.Fatal(err)
			}
			words := append(c.words, advice...)
			if name == "of another database" || name == "the last one" {
				words = append(c.words, "put the right database", "move that directory away")
			}
			doesNotStart(t, dir, words...)
			a := archive(t, dir)
			a.pause = 0
			if err := a.Lost(t.Context()); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("lost: %v, want ErrDamaged", err)
			}
		})
	}
	// The one that nobody needs any more may be missing.
	dir := copyFiles(t, original)
	if err := os.Remove(filepath.Join(dir, journalName, filepath.Base(segments[0]))); err != nil {
		t.Fatal(err)
	}
	if got := all(t, open(t, dir, Options{}), "lobby"); len(got) != messages {
		t.Errorf("%d messages are there, want %d", len(got), messages)
	}
}

// A database that is older than its journal, from a copy of the database alone, is refused
// if a batch is in neither.
func TestADatabaseOlderThanItsJournalIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
	older := copyFiles(t, dir)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 2, 1)...)
	replaceJournal := func() {
		t.Helper()
		at := filepath.Join(older, journalName)
		if err := errors.Join(os.RemoveAll(at), os.CopyFS(at, os.DirFS(s.journalDir))); err != nil {
			t.Fatal(err)
		}
	}
	replaceJournal()
	if got := all(t, open(t, copyFiles(t, older), Options{}), "lobby"); len(got) != 3 { // as after a crash
		t.Errorf("%d messages are there, want 3", len(got))
	}
	appendSlowly(t, s, numbered(t, "lobby", "ann", 3, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 4, 1)...)
	replaceJournal()
	doesNotStart(t, older, "has batch 5 of the journal, but not the one before it", "kaban restore")
	wantLost(t, older, "has batch 5 of the journal, but not the one before it", "kaban restore")

	closeStore(t, s) // and of a journal that is gone
	if err := os.RemoveAll(filepath.Join(older, journalName)); err != nil {
		t.Fatal(err)
	}
	doesNotStart(t, older, "its files are missing", "kaban restore")
}

// Without its database a journal is not thrown away.
func TestAJournalWithoutItsDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	crashed := copyFiles(t, dir)
	for _, suffix := range companions {
		if err := os.Remove(filepath.Join(crashed, databaseName+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	before := namesIn(t, filepath.Join(crashed, journalName))
	_, err := Open(t.Context(), crashed, Options{})
	wantError(t, err, "is missing", "its journal is there", filepath.Join(crashed, journalName))
	if after := namesIn(t, filepath.Join(crashed, journalName)); !slices.Equal(before, after) {
		t.Errorf("the journal has %q, want %q", after, before)
	}
}

// wantLost fails unless an archive of a directory says that newest entries are lost, whatever is asked of it.
func wantLost(t *testing.T, dir string, words ...string) {
	t.Helper()
	a := archive(t, dir)
	wantError(t, a.Lost(t.Context()), words...)
	report, err := a.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, report.Err(), words...)
	var damage []error
	err = a.Export(t.Context(), nil, store.Receiver{Record: func(*store.Record) error { return nil }, Damaged: func(err error) error {
		damage = append(damage, err)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, errors.Join(damage...), words...)
	if report, err = a.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db"), nil); err != nil {
		t.Fatal(err)
	}
	wantError(t, report.Lost, words...)
}
