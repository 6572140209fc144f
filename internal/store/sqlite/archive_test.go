package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

func archive(t *testing.T, dir string) *Archive {
	t.Helper()
	s, err := OpenArchive(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// records returns an export of a directory.
func records(t *testing.T, dir string, only ...kaban.RoomName) []store.Record {
	t.Helper()
	var all []store.Record
	err := archive(t, dir).Export(t.Context(), only, store.Receiver{Record: func(r *store.Record) error {
		all = append(all, *r)
		return nil
	}, Damaged: asError})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// asError ends an export at damage.
func asError(err error) error { return err }

// corrupt damages a closed database with SQL statements.
func corrupt(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
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
}

func TestBackUpOfARunningStoreAndRestore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1000)...)
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 10)...)
	// A writer keeps appending.
	stop, written := make(chan struct{}), 0
	var writing sync.WaitGroup
	writing.Go(func() {
		for ; ; written++ {
			select {
			case <-stop:
				return
			default:
				storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("later-", written), "x"))
			}
		}
	})
	file := filepath.Join(t.TempDir(), "backup.db")
	var done, total int64
	report, err := archive(t, dir).Backup(t.Context(), file, func(d, n int64) { done, total = d, n })
	close(stop)
	writing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if rooms := report.Rooms; len(rooms) != 2 || rooms[1].Room.Head < 1000 || rooms[0].Entries != 10 {
		t.Errorf("the backup has %+v", rooms)
	}
	if done != total || total == 0 {
		t.Errorf("progress ended with %d of %d", done, total)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has the mode %v, %v", info.Mode(), err)
	}
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a second backup to the same file: %v", err)
	}
	before, epoch := all(t, s, "lobby"), s.Epoch()
	if _, err := Restore(t.Context(), dir, file, true, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("restore under a running store: %v", err)
	}
	closeStore(t, s)
	outcome, err := Restore(t.Context(), dir, file, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Report == nil || len(outcome.Report.Rooms) != 2 {
		t.Errorf("the report of what was restored is %+v", outcome.Report)
	}
	if old := records(t, moved(t, outcome.Kept)); len(old) != len(before)+10 {
		t.Errorf("the previous database has %d entries, want %d", len(old), len(before)+10)
	}
	s = open(t, dir, Options{})
	restored := all(t, s, "lobby")
	if len(restored) < 1000 || !slices.Equal(restored, before[:len(restored)]) {
		t.Errorf("%d entries were restored, of %d", len(restored), len(before))
	}
	if s.Epoch() == epoch || s.Epoch() == "" {
		t.Errorf("the restored database has the old epoch %q", s.Epoch())
	}
	// Restoring the same backup again starts another history.
	epoch = s.Epoch()
	closeStore(t, s)
	if _, err := Restore(t.Context(), dir, file, true, nil); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if s.Epoch() == epoch {
		t.Error("two restores of one backup have the same epoch")
	}
	epoch = s.Epoch()
	closeStore(t, s)
	if s = open(t, dir, Options{}); s.Epoch() != epoch {
		t.Error("the epoch changes when the store is opened again")
	}
}

// moved moves a database that Restore has kept into a directory of its own.
func moved(t *testing.T, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Rename(path, filepath.Join(dir, databaseName)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestABackupBesideAnotherWALIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 10)...)
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	crashed := copyFiles(t, dir)
	if err := copyFile(filepath.Join(crashed, databaseName), file); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), crashed, Options{})
	wantError(t, err, "-wal of another database", "move that -wal file away")
}

func TestDamagedBackupsAreNotRestored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 100)...)
	mergeNow(t, s)
	closeStore(t, s)
	cases := map[string]struct {
		damage string
		want   string
	}{
		"a gap":           {"DELETE FROM entries WHERE place & 0xFFFFFFFFFF = 50", "missing: entry 50"},
		"a lost end":      {"DELETE FROM entries WHERE place & 0xFFFFFFFFFF > 90", "missing: entries 91 to 100"},
		"a lost start":    {"DELETE FROM entries WHERE place & 0xFFFFFFFFFF = 1", "missing: entry 1"},
		"a lost room":     {"DELETE FROM rooms", "100 entries are of room 1, which does not exist"},
		"a lost user":     {"PRAGMA foreign_keys = 0; DELETE FROM users", "refers to nothing"},
		"a wrong head":    {"UPDATE rooms SET head = 101", "missing: entry 101"},
		"no entries":      {"DELETE FROM entries", "missing: entries 1 to 100"},
		"newer":           {"PRAGMA user_version = 99", "newer version"},
		"another program": {"PRAGMA application_id = 7", "it is the database of another program; name a file that"},
		"a broken page":   {"", "cannot be restored"},
		"a lost half":     {"", "name an older backup"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(copyFiles(t, dir), databaseName)
			if c.damage == "" {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				half := len(content) / 8192 * 4096
				copy(content[half:], strings.Repeat("damage", len(content)))
				if name == "a lost half" {
					content = content[:half]
				}
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				corrupt(t, file, c.damage)
				if name == "a wrong head" { // so that the head is wrong and not only its checksum
					sumAgain(t, file)
				}
			}
			target := t.TempDir()
			_, err := Restore(t.Context(), target, file, true, nil)
			wantError(t, err, c.want)
			if files, _ := filepath.Glob(filepath.Join(target, databaseName+"*")); len(files) > 0 {
				t.Errorf("it left %q behind", files)
			}
		})
	}
}

// A database is replaced only if somebody wants that, and a WAL that has lost its
// database is never replayed into a restored one.
func TestRestoreBesideADatabase(t *testing.T) {
	from := t.TempDir()
	s := open(t, from, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 100)...)
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, err := archive(t, from).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	want := all(t, s, "lobby")
	storetest.Append(t, s, numbered(t, "lobby", "ann", 100, 100)...)
	for _, name := range []string{databaseName, databaseName + "-wal"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			content, err := os.ReadFile(filepath.Join(from, name))
			if err != nil || len(content) == 0 {
				t.Fatalf("%d bytes, %v", len(content), err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(t.Context(), dir, file, false, nil); !errors.Is(err, ErrOccupied) {
				t.Errorf("got %v, want ErrOccupied", err)
			}
			if now, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !slices.Equal(now, content) {
				t.Errorf("a refused restore changed %s (%v)", name, err)
			}
			done, err := Restore(t.Context(), dir, file, true, nil)
			if err != nil || done.Kept == "" {
				t.Fatalf("got %+v, %v", done, err)
			}
			if got := all(t, open(t, dir, Options{}), "lobby"); !slices.Equal(got, want) {
				t.Errorf("%d entries were restored, want %d", len(got), len(want))
			}
		})
	}
}

func TestCheckOfASoundDatabase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 100)...)
	report, err := archive(t, dir).Check(t.Context())
	if err != nil || report.Err() != nil || len(report.Rooms) != 1 || report.Rooms[0].Entries != 100 {
		t.Errorf("check: %+v, %v", report, err)
	}
}

func TestAnArchiveNeedsADatabase(t *testing.T) {
	_, err := OpenArchive(t.Context(), t.TempDir())
	wantError(t, err, "there is no database", "data directory")
}

func TestExportAndImport(t *testing.T) {
	from := t.TempDir()
	s := open(t, from, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "Ann", 0, 50)...)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "other-spelling", "x"))
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 20)...)
	exported := records(t, from)
	if len(exported) != 71 || exported[0].Room.String() != "kitchen" {
		t.Fatalf("%d records, the first of %s", len(exported), exported[0].Room)
	}
	if some := records(t, from, storetest.RoomName(t, "Lobby")); len(some) != 51 {
		t.Errorf("an export of one room has %d records, want 51", len(some))
	}

	to := t.TempDir()
	other := open(t, to, Options{})
	for _, part := range [][]store.Record{exported[:30], exported[30:]} {
		if n, err := other.Import(t.Context(), part); err != nil || n != len(part) {
			t.Fatalf("import: %d, %v, want %d", n, err, len(part))
		}
	}
	if n, err := other.Import(t.Context(), exported); err != nil || n != 0 {
		t.Errorf("importing the same again: %d, %v", n, err)
	}
	for _, room := range []string{"lobby", "kitchen"} {
		if !slices.Equal(all(t, s, room), all(t, other, room)) {
			t.Errorf("%s is not the same after the import", room)
		}
	}
	// Numbering continues, and ids are known.
	results := storetest.Append(t, other, storetest.Draft(t, "lobby", "ann", "id-3", "message 3"), storetest.Draft(t, "lobby", "ann", "new", "new"))
	if !results[0].Duplicate || results[0].Seq != 4 || results[1].Seq != 52 {
		t.Errorf("after the import: %+v", results)
	}
	if again := records(t, to); !slices.Equal(again[:20], exported[:20]) {
		t.Error("an export of the import is not the same")
	}
}

// exported is an export without documents.
type exported struct {
	fronts  []store.Front
	records []store.Record
}

func exportOf(t *testing.T, dir string) (all exported) {
	t.Helper()
	err := archive(t, dir).Export(t.Context(), nil, store.Receiver{Front: func(f *store.Front) error {
		if n := len(all.records); n > 0 && all.records[n-1].Room == f.Room {
			t.Errorf("the front of %s follows its records", f.Room)
		}
		part := *f
		part.Written = slices.Clone(f.Written)
		all.fronts = append(all.fronts, part)
		return nil
	}, Record: func(r *store.Record) error {
		all.records = append(all.records, *r)
		return nil
	}, Damaged: asError})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportRefusesWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 10)...)
	good := records(t, dir)
	change := func(i int, f func(*store.Record)) []store.Record {
		changed := slices.Clone(good)
		f(&changed[i])
		return changed
	}
	next := good[9]
	next.Seq, next.ID = 11, good[3].ID
	gap := good[9]
	gap.Seq, gap.ID = 13, storetest.Draft(t, "lobby", "ann", "fresh", "x").ID
	for name, c := range map[string]struct {
		records []store.Record
		want    string
	}{
		"another content":  {change(4, func(r *store.Record) { r.Body = "x" }), "message 5 of lobby has another text there: it was edited or deleted"},
		"another target":   {change(4, func(r *store.Record) { r.Body, r.Target = "x", 2 }), "message 5 of lobby is another message there"},
		"another time":     {change(4, func(r *store.Record) { r.Time++ }), "message 5 of lobby is another message there"},
		"another author":   {change(4, func(r *store.Record) { r.Author = kaban.Visitor(storetest.Username(t, "bob")) }), "message 5 of lobby is another message there"},
		"another id":       {change(4, func(r *store.Record) { r.ID = gap.ID }), "message 5 of lobby is another message there"},
		"an id used twice": {append(slices.Clone(good), next), "is another message of ann there"},
		"a gap":            {append(slices.Clone(good), gap), "message 13 of lobby would leave a gap, the room has 10"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := s.Import(t.Context(), c.records)
			wantError(t, err, c.want)
			if !errors.Is(err, store.ErrDiffers) || n != 0 {
				t.Errorf("import: %d, %v; want store.ErrDiffers", n, err)
			}
			if len(all(t, s, "lobby")) != 10 {
				t.Error("it stored something")
			}
		})
	}
}

func TestArchiveConformance(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]Options{"standard": {}, "small merges": {maxUnmerged: 3, mergeStep: 1}} {
		t.Run(name, func(t *testing.T) {
			storetest.RunArchive(t, storetest.Archives{
				New:     func(t *testing.T) string { return t.TempDir() },
				Open:    func(t *testing.T, dir string) store.Importer { return open(t, dir, options) },
				Archive: func(t *testing.T, dir string) store.Archive { return archive(t, dir) },
				Restore: func(t *testing.T, dir, backup string) {
					if _, err := Restore(t.Context(), dir, backup, true, nil); err != nil {
						t.Fatal(err)
					}
				},
			})
		})
	}
}

// A check names every run of entries that is missing, beside what else is damaged.
func TestCheckNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 200)...)
	mergeNow(t, s)
	closeStore(t, s)
	for name, c := range map[string]struct{ damage, want string }{
		"runs": {
			"DELETE FROM entries WHERE place & 0xFF IN (1, 2, 7, 50, 51, 52, 200)",
			"missing: entries 1 to 2, entry 7, entries 50 to 52, entry 200",
		},
		"a run and damage": {
			"DELETE FROM entries WHERE place & 0xFF = 9; UPDATE entries SET content = 'x' WHERE place & 0xFF IN (20, 30)",
			"message 20 of lobby is damaged: its checksum does not match, and 1 more are damaged, and missing: entry 9",
		},
		"many runs": {
			"DELETE FROM entries WHERE place & 1",
			"entry 37, entry 39, 80 more runs",
		},
		"a head far off":   {"UPDATE rooms SET head = 1 << 39", "missing: entries 201 to 549755813888"},
		"a head too small": {"UPDATE rooms SET head = 190", "the newest entry is 200, and it should be 190"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(copyFiles(t, dir), databaseName)
			corrupt(t, file, c.damage)
			if strings.Contains(name, "head") { // so that it is wrong and not only its checksum
				sumAgain(t, file)
			}
			report, err := archive(t, filepath.Dir(file)).Check(t.Context())
			if err != nil || len(report.Rooms) != 1 || !strings.Contains(report.Rooms[0].Trouble, c.want) {
				t.Errorf("%+v, %v; want %q", report, err, c.want)
			}
		})
	}
}

// A check finds what is kept of messages although nothing has a use for it.
func TestCheckFindsWhatNothingUses(t *testing.T) {
	dir := copyFiles(t, varied(t))
	closeStore(t, open(t, dir, Options{}))
	for name, c := range map[string]struct{ damage, want string }{
		"a state of an edit":              {"UPDATE states SET place = (SELECT min(place) FROM entries WHERE kind = 2) WHERE place = (SELECT min(place) FROM states)", "1 states are of messages that do not exist"},
		"a reaction of an edit":           {"UPDATE reactions SET place = (SELECT min(place) FROM entries WHERE kind = 2) WHERE place = (SELECT min(place) FROM reactions)", "reactions are of messages that do not exist"},
		"a reaction of a deleted message": {"UPDATE reactions SET place = (SELECT place FROM states WHERE deleted <> 0) WHERE place = (SELECT min(place) FROM reactions)", "reactions are of messages that were deleted"},
		"an edit of nothing":              {"UPDATE states SET edited = edited + 1 WHERE place = (SELECT min(place) FROM states WHERE edited <> 0)", "1 states are of changes that do not exist"},
		"a deletion of nothing":           {"UPDATE states SET deleted = 1 WHERE place = (SELECT min(place) FROM states WHERE deleted = 0)", "1 states are of changes that do not exist"},
		"a pin of nothing":                {"UPDATE states SET pinned = 1 WHERE place = (SELECT min(place) FROM states WHERE pinned = 0)", "1 states are of changes that do not exist"},
		"replies":                         {"UPDATE states SET replies = replies + 1 WHERE place = (SELECT min(place) FROM states)", "1 states have a wrong number of replies"},
		"a hash of a text as it was":      {"UPDATE originals SET place = (SELECT min(place) FROM entries WHERE kind = 1 AND place NOT IN (SELECT place FROM states)) WHERE place = (SELECT min(place) FROM originals)", "1 hashes are of texts"},
		"a hash of a deleted text":        {"UPDATE originals SET place = (SELECT place FROM states WHERE deleted <> 0) WHERE place = (SELECT min(place) FROM originals)", "1 hashes are of texts"},
		"a run of a message":              {"UPDATE runs SET place = place - 1 WHERE place = (SELECT min(place) FROM runs)", "1 runs of changes are not what"},
		"a run of what is to come":        {"UPDATE runs SET last = place + 1000 WHERE place = (SELECT max(place) FROM runs)", "1 runs of changes are not what"},
		"a run of no room":                {"UPDATE runs SET place = place + (7 << 40), last = last + (7 << 40) WHERE place = (SELECT max(place) FROM runs)", "1 runs of changes are not what"},
		"a hash of nothing":               {"UPDATE originals SET place = 7 WHERE place = (SELECT min(place) FROM originals)", "1 hashes are of texts"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(copyFiles(t, dir), databaseName)
			corrupt(t, file, c.damage)
			report, err := archive(t, filepath.Dir(file)).Check(t.Context())
			if err != nil || !slices.ContainsFunc(report.Problems, func(p string) bool { return strings.Contains(p, c.want) }) {
				t.Errorf("%+v, %v; want %q", report, err, c.want)
			}
		})
	}
	if report, err := archive(t, dir).Check(t.Context()); err != nil || report.Err() != nil {
		t.Errorf("without damage: %+v, %v", report, err)
	}
}

// An export of a running store has deletions of the journal, and so it has the documents that their merge
// adds: whoever imports it lets go of the files.
func TestExportReleasesFilesOfTheJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	for i := range 6 {
		d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", i), "x")
		if i != 4 {
			d.Files = storetest.Files(t, fmt.Sprint(i, ".png"))
		}
		storetest.Append(t, s, d)
		if i == 2 { // merges those before
			closeStore(t, s)
			s = open(t, dir, Options{})
		}
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put("a", []byte("first")), tx.Put("zebra", []byte("last")))
	}); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{2, 5, 6} { // the second has no files
		storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", fmt.Sprint("d", seq), seq, ""))
	}
	var keys []string
	err := archive(t, dir).Export(t.Context(), nil, store.Receiver{Document: func(d *store.Document) error {
		keys = append(keys, d.Key)
		if key := d.Key; key[0] == 'r' && string(d.Value) != store.ReleasedValue {
			t.Errorf("%s is %q", key, d.Value)
		}
		return nil
	}, Record: func(*store.Record) error { return nil }, Damaged: asError})
	lobby := storetest.RoomName(t, "lobby")
	want := []string{"a", store.ReleasedKey(lobby, 2), store.ReleasedKey(lobby, 6), "zebra"}
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("the documents are %q, %v; want %q", keys, err, want)
	}
}

// A backup that replaces what was moved elsewhere is the database of a server again.
func TestRestoreOverWhatWasMoved(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := open(t, dir, Options{Moving: true})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.NoteMove(t.Context(), store.Move{Role: store.RoleLeft, ID: "x", Other: "postgres://elsewhere"}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("what was moved opens: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, moveName), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir, Options{})
	wantError(t, err, "migration is not as it was written")
	if _, err := Restore(t.Context(), dir, file, true, nil); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
}
