package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// Archives is a driver with archives under test.
type Archives struct {
	// New returns the location of data that do not exist yet.
	New func(t *testing.T) (location string)
	// Open opens the store at a location, where no other handle is open, and creates
	// it if it does not exist. The suite closes it.
	Open func(t *testing.T, location string) store.Importer
	// Archive opens an archive at a location, where a store may be open. The suite
	// closes it.
	Archive func(t *testing.T, location string) store.Archive
	// Restore replaces the data at a location, where no handle is open, with a backup. It is nil
	// if archives make no backups.
	Restore func(t *testing.T, location, backup string)
}

// RunArchive runs the suite of archives.
func RunArchive(t *testing.T, archives Archives) {
	type test struct {
		name string
		run  func(t *testing.T)
	}
	tests := []test{
		{"an export has everything, by room and seq", archives.testExport},
		{"an export of some rooms", archives.testExportOfRooms},
		{"an export ends with the error of a visitor", archives.testExportEnds},
		{"an import carries every kind and author", archives.testImport},
		{"an import goes on where the room ends", archives.testImportGoesOn},
		{"an import refuses what differs", archives.testImportDiffers},
		{"an export has all documents first, of the same moment", archives.testExportDocuments},
		{"an import of documents", archives.testImportDocuments},
		{"a closed store imports nothing", archives.testImportClosed},
		{"logs that were cut are exported and imported", archives.testFronts},
		{"an import refuses other fronts", archives.testFrontsDiffer},
		{"a check of sound data", archives.testCheck},
		{"an archive sees one moment", archives.testMoment},
		{"a store that is opened again knows what became of messages", archives.testReopenStates},
		{"an export has the texts that are left", archives.testExportStates},
		{"an import carries what became of messages", archives.testImportStates},
	}
	if archives.Restore != nil {
		tests = append(tests, test{"a backup is restored with another epoch", archives.testBackup},
			test{"a backup replaces no file", archives.testBackupReplacesNothing},
			test{"a backup carries what became of messages", archives.testBackupStates})
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func (a *Archives) open(t *testing.T, location string) store.Importer {
	t.Helper()
	s := a.Open(t, location)
	t.Cleanup(func() { s.Close() })
	return s
}

func (a *Archives) archive(t *testing.T, location string) store.Archive {
	t.Helper()
	archive := a.Archive(t, location)
	t.Cleanup(func() { archive.Close() })
	return archive
}

// varied are drafts of every kind of author, some kinds and three rooms.
func varied(t *testing.T) []kaban.Draft {
	t.Helper()
	drafts := []kaban.Draft{
		Draft(t, "lobby", "Alice", "one", "hello"),
		Draft(t, "lobby", "alice", "two", "\u202eright to left\n\t\"quoted\" \\ 👩‍👩‍👧‍👦"),
		Draft(t, "kitchen", "bob", "one", strings.Repeat("𐍈", kaban.DefaultMaxContent)),
		Draft(t, "lobby", "alice", "three", "by an account"),
		Draft(t, "lobby", "amelia", "four", "by the same account"),
		Draft(t, "lobby", "alice", "five", "of an unknown kind"),
		Draft(t, "attic", "bob", "six", "x"),
		Draft(t, "lobby", "bob", "seven", "x"),
		with(Draft(t, "attic", "bob", "files", "see these"), Files(t, "cat.png", "<a> & \"b\".pdf")),
	}
	drafts[3].Author = kaban.Account("17", Username(t, "alice"))
	drafts[4].Author = kaban.Account("17", Username(t, "amelia"))
	drafts[5].Kind, drafts[5].Target = 200, 1
	drafts[6].Kind, drafts[6].Body = 255, ""
	drafts[7].Kind, drafts[7].Target = 201, 1<<40-1
	return drafts
}

// filled returns the location of a store that is still open, with the drafts of
// varied, and their records as an export has them.
func (a *Archives) filled(t *testing.T) (location string, s store.Importer, records []store.Record) {
	t.Helper()
	location = a.New(t)
	s = a.open(t, location)
	drafts := varied(t)
	for i := range drafts { // one by one, so that a driver may move the older ones
		result := Append(t, s, drafts[i])[0]
		if result.Err != nil {
			t.Fatalf("draft %d: %v", i, result.Err)
		}
		records = append(records, store.Record{Draft: drafts[i], Seq: result.Seq, Time: result.Time})
	}
	slices.SortStableFunc(records, func(a, b store.Record) int { return strings.Compare(a.Room.String(), b.Room.String()) })
	return location, s, records
}

// export returns everything in some rooms, or in all.
func (a *Archives) export(t *testing.T, location string, rooms ...kaban.RoomName) []store.Record {
	t.Helper()
	var records []store.Record
	err := a.archive(t, location).Export(t.Context(), rooms, store.Receiver{Record: func(r *store.Record) error {
		records = append(records, *r)
		return nil
	}, Damaged: asError})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	return records
}

// asError ends an export at damage.
func asError(err error) error { return err }

func equalRecords(t *testing.T, what string, got, want []store.Record) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: record %d is %+v, want %+v", what, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d records, want %d", what, len(got), len(want))
	}
}

func (a *Archives) testExport(t *testing.T) {
	location, _, want := a.filled(t)
	equalRecords(t, "an export", a.export(t, location), want)
	rooms, err := a.archive(t, location).Rooms(t.Context())
	var names []string
	for _, room := range rooms {
		names = append(names, room.Name.String())
	}
	if err != nil || !slices.Equal(names, []string{"attic", "kitchen", "lobby"}) || rooms[2].Head != 6 || rooms[2].Oldest != 1 {
		t.Errorf("Rooms = %+v, %v", rooms, err)
	}
}

func (a *Archives) testExportOfRooms(t *testing.T) {
	location, _, all := a.filled(t)
	got := a.export(t, location, RoomName(t, "LOBBY"), RoomName(t, "attic"), RoomName(t, "nowhere"))
	equalRecords(t, "two rooms", got, slices.DeleteFunc(all, func(r store.Record) bool { return r.Room == RoomName(t, "kitchen") }))
}

func (a *Archives) testExportEnds(t *testing.T) {
	location, _, _ := a.filled(t)
	enough := errors.New("enough")
	n := 0
	archive := a.archive(t, location)
	err := archive.Export(t.Context(), nil, store.Receiver{Record: func(*store.Record) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	}, Damaged: asError})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("Export = %v after %d records, want the error of the third", err, n)
	}
	if rooms, err := archive.Rooms(t.Context()); err != nil || len(rooms) != 3 {
		t.Errorf("Rooms after that = %v, %v", rooms, err)
	}
}

func (a *Archives) testImport(t *testing.T) {
	location, s, records := a.filled(t)
	to := a.New(t)
	target := a.open(t, to)
	for _, part := range [][]store.Record{records[:4], records[4:]} {
		if n, err := target.Import(t.Context(), part); err != nil || n != len(part) {
			t.Fatalf("Import = %d, %v; want %d", n, err, len(part))
		}
	}
	if n, err := target.Import(t.Context(), records); err != nil || n != 0 {
		t.Errorf("Import of the same again = %d, %v; want 0", n, err)
	}
	// The same record twice in one batch is skipped, too.
	next := records[len(records)-1]
	next.Seq, next.ID = next.Seq+1, Draft(t, "lobby", "bob", "eight", "x").ID
	if n, err := target.Import(t.Context(), []store.Record{next, next}); err != nil || n != 1 {
		t.Errorf("Import of a record and the same again = %d, %v; want 1", n, err)
	}
	for _, name := range []string{"lobby", "kitchen", "attic"} {
		want, got := read(t, s, RoomName(t, name)), read(t, target, RoomName(t, name))
		if !slices.Equal(got[:len(want)], want) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	equalRecords(t, "an export of an import", a.export(t, to), append(a.export(t, location), next))
}

func (a *Archives) testImportGoesOn(t *testing.T) {
	_, _, records := a.filled(t)
	target := a.open(t, a.New(t))
	if _, err := target.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	drafts := varied(t)
	next := Draft(t, "lobby", "alice", "next", "hello")
	conflict := Draft(t, "lobby", "alice", "two", "other content")
	results := Append(t, target, append(drafts, next, conflict)...)
	for i, result := range results[:len(drafts)] {
		if !result.Duplicate || result.Err != nil {
			t.Errorf("draft %d after an import: %+v, want a duplicate", i, result)
		}
	}
	if got := results[len(drafts)]; got.Seq != 7 || got.Duplicate {
		t.Errorf("the next draft: %+v, want seq 7", got)
	}
	if got := results[len(drafts)+1]; !errors.Is(got.Err, store.ErrIDConflict) {
		t.Errorf("an imported id for something else: %+v, want ErrIDConflict", got)
	}
}

func (a *Archives) testImportDiffers(t *testing.T) {
	_, s, records := a.filled(t)
	lobby := records[slices.IndexFunc(records, func(r store.Record) bool { return r.Room == RoomName(t, "lobby") }):]
	last := lobby[len(lobby)-1]
	fresh := Draft(t, "lobby", "bob", "fresh", "x").ID
	for name, change := range map[string]func(r *store.Record){
		"another body":     func(r *store.Record) { r.Body = "other" },
		"other files":      func(r *store.Record) { r.Files = Files(t, "x") },
		"another time":     func(r *store.Record) { r.Time++ },
		"another kind":     func(r *store.Record) { r.Kind = 202 },
		"another target":   func(r *store.Record) { r.Target++ },
		"another author":   func(r *store.Record) { r.Author = kaban.Visitor(Username(t, "carol")) },
		"another identity": func(r *store.Record) { r.Author = kaban.Account("18", r.Author.Name()) },
		"another id":       func(r *store.Record) { r.ID = fresh },
		"a gap":            func(r *store.Record) { r.Seq, r.ID = 8, fresh },
		"an id used twice": func(r *store.Record) { r.Seq = 7 },
		"no first":         func(r *store.Record) { r.Seq, r.Room = 2, RoomName(t, "new-room") },
	} {
		t.Run(name, func(t *testing.T) {
			// The batch also has something that alone would be imported.
			good, bad := last, last
			good.Room, good.Seq, good.ID = RoomName(t, "good"), 1, Draft(t, "good", "bob", "good", "x").ID
			change(&bad)
			for _, batch := range [][]store.Record{{good, bad}, append(slices.Clone(lobby), good, bad)} {
				if n, err := s.Import(t.Context(), batch); !errors.Is(err, store.ErrDiffers) || n != 0 {
					t.Errorf("Import = %d, %v; want ErrDiffers", n, err)
				}
			}
			rooms, err := s.Rooms(t.Context())
			if err != nil || len(rooms) != 3 || len(read(t, s, last.Room)) != len(lobby) {
				t.Errorf("something was stored: %v, %v", rooms, err)
			}
		})
	}
	// One author uses an id twice in one batch.
	twin := last
	twin.Seq++
	target := a.open(t, a.New(t))
	if n, err := target.Import(t.Context(), append(slices.Clone(lobby), twin)); !errors.Is(err, store.ErrDiffers) || n != 0 {
		t.Errorf("Import of an id that is used twice = %d, %v; want ErrDiffers", n, err)
	}
	// In another room the id is another one.
	elsewhere := last
	elsewhere.Room, elsewhere.Seq = RoomName(t, "new-room"), 1
	if n, err := target.Import(t.Context(), append(slices.Clone(lobby), elsewhere)); err != nil || n != len(lobby)+1 {
		t.Errorf("Import after that = %d, %v; want %d", n, err, len(lobby)+1)
	}
	if got := Append(t, target, elsewhere.Draft)[0]; !got.Duplicate || got.Seq != 1 {
		t.Errorf("the imported draft in another room: %+v, want a duplicate of 1", got)
	}
}

// exported returns the documents of an export as "key=value".
func (a *Archives) exported(t *testing.T, location string, during func(), rooms ...kaban.RoomName) (found []string) {
	t.Helper()
	records := 0
	err := a.archive(t, location).Export(t.Context(), rooms, store.Receiver{Damaged: asError, Document: func(d *store.Document) error {
		if during(); records > 0 {
			t.Errorf("the document %q comes after records", d.Key)
		}
		found = append(found, d.Key+"="+string(d.Value))
		return nil
	}, Record: func(*store.Record) error {
		records++
		return nil
	}})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	return found
}

func (a *Archives) testExportDocuments(t *testing.T) {
	location, s, records := a.filled(t)
	put(t, s, "b", "2", "a", "\x00\xff", "c", "")
	writes := 0
	got := a.exported(t, location, func() {
		writes++
		put(t, s, "a", fmt.Sprint(writes), fmt.Sprint("new-", writes), "x")
		Append(t, s, Draft(t, "lobby", "carol", fmt.Sprint("later-", writes), "x"))
	})
	if want := []string{"a=\x00\xff", "b=2", "c="}; !slices.Equal(got, want) {
		t.Errorf("the documents are %q, want %q", got, want)
	}
	if got := a.exported(t, location, func() {}, RoomName(t, "lobby")); got != nil {
		t.Errorf("an export of a room has the documents %q", got)
	}
	if got := a.exported(t, location, func() {}); len(got) != 6 {
		t.Errorf("the next export has %q", got)
	}
	if got := a.export(t, location); len(got) != len(records)+3 {
		t.Errorf("it has %d records, want %d", len(got), len(records)+3)
	}
	enough := errors.New("enough")
	err := a.archive(t, location).Export(t.Context(), nil, store.Receiver{Damaged: asError, Document: func(*store.Document) error { return enough }})
	if !errors.Is(err, enough) {
		t.Errorf("Export = %v, want the error of the receiver", err)
	}
}

func (a *Archives) testImportDocuments(t *testing.T) {
	s := a.open(t, a.New(t))
	put(t, s, "old", "1")
	list := []store.Document{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}}, {Key: "old", Value: []byte("1")}, {Key: "a", Value: []byte("1")}}
	for i, want := range []int{2, 0} {
		if n, err := s.ImportDocuments(t.Context(), list); err != nil || n != want {
			t.Errorf("import %d = %d, %v; want %d", i, n, err, want)
		}
	}
	for name, bad := range map[string]store.Document{
		"another value":   {Key: "old", Value: []byte("2")},
		"an empty value":  {Key: "old", Value: []byte{}},
		"no value":        {Key: "c"},
		"no key":          {Value: []byte("x")},
		"too long a key":  {Key: strings.Repeat("k", store.MaxKey+1), Value: []byte("x")},
		"its own earlier": {Key: "new", Value: []byte("y")},
	} {
		n, err := s.ImportDocuments(t.Context(), []store.Document{{Key: "new", Value: []byte("x")}, bad})
		if differs := bad.Value != nil && (bad.Key == "old" || bad.Key == "new"); n != 0 || err == nil || errors.Is(err, store.ErrDiffers) != differs || errors.Is(err, store.ErrBroken) {
			t.Errorf("import of %s = %d, %v", name, n, err)
		}
	}
	wantDocuments(t, s, "a=1", "b=", "old=1")
}

func (a *Archives) testImportClosed(t *testing.T) {
	_, s, records := a.filled(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), records); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Import after Close: %v, want ErrClosed", err)
	}
	if _, err := s.ImportDocuments(t.Context(), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("ImportDocuments after Close: %v, want ErrClosed", err)
	}
}

func (a *Archives) testCheck(t *testing.T) {
	location, s, records := a.filled(t)
	put(t, s, "a", "1", "b", "")
	for _, when := range []string{"open", "closed"} {
		archive := a.archive(t, location)
		report, err := archive.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var entries uint64
		for _, room := range report.Rooms {
			entries += room.Entries
		}
		if report.Err() != nil || len(report.Rooms) != 3 || report.Rooms[2].Room.Name != RoomName(t, "lobby") || entries != uint64(len(records)) || report.Documents != 2 {
			t.Errorf("check of an %s store: %+v", when, report)
		}
		if err := archive.Lost(t.Context()); err != nil {
			t.Errorf("an %s store has lost %v", when, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is appended while an export runs is not in it.
func (a *Archives) testMoment(t *testing.T) {
	location, s, want := a.filled(t)
	var got []store.Record
	err := a.archive(t, location).Export(t.Context(), nil, store.Receiver{Damaged: asError, Record: func(r *store.Record) error {
		got = append(got, *r)
		Append(t, s, Draft(t, r.Room.String(), "carol", fmt.Sprint("later-", len(got)), "x"), Draft(t, "zoo", "carol", fmt.Sprint("zoo-", len(got)), "x"))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	equalRecords(t, "an export beside a writer", got, want)
	if again := a.export(t, location); len(again) != 3*len(want) {
		t.Errorf("the next export has %d records, want %d", len(again), 3*len(want))
	}
}

func (a *Archives) testBackup(t *testing.T) {
	location, s, records := a.filled(t)
	put(t, s, "a", "1", "b", "")
	bump(t, s, "lobby")
	bump(t, s, "empty-room")
	file := filepath.Join(t.TempDir(), "backup")
	var done, total int64
	report, err := a.archive(t, location).Backup(t.Context(), file, func(d, n int64) { done, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	if report.Err() != nil || len(report.Rooms) != 4 || report.Rooms[3].Entries != 6 || report.Documents != 2 {
		t.Errorf("the backup is %+v", report)
	}
	if done != total || total == 0 {
		t.Errorf("the progress ends with %d of %d", done, total)
	}
	epoch := s.Epoch()
	Append(t, s, Draft(t, "lobby", "alice", "later", "not in the backup"))
	put(t, s, "a", "not in the backup")
	bump(t, s, "lobby")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	epochs := []string{epoch}
	for _, to := range []string{location, a.New(t), a.New(t)} {
		a.Restore(t, to, file)
		restored := a.open(t, to)
		if slices.Contains(epochs, restored.Epoch()) || restored.Epoch() == "" {
			t.Errorf("a restored backup has the epoch %q after %q", restored.Epoch(), epochs)
		}
		epochs = append(epochs, restored.Epoch())
		equalRecords(t, "a restored backup", a.export(t, to), records)
		wantDocuments(t, restored, "a=1", "b=")
		wantRevision(t, restored, "lobby", 1)
		wantRevision(t, restored, "empty-room", 1)
		if got := Append(t, restored, Draft(t, "lobby", "alice", "later", "something else"))[0]; got.Seq != 7 || got.Err != nil {
			t.Errorf("the next draft: %+v, want seq 7", got)
		}
		restored.Close()
	}
}

func (a *Archives) testBackupReplacesNothing(t *testing.T) {
	location, _, _ := a.filled(t)
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.archive(t, location).Backup(context.Background(), file, nil); err == nil {
		t.Error("a backup over a file succeeds")
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file has %q, %v", content, err)
	}
	if files, err := os.ReadDir(filepath.Dir(file)); err != nil || len(files) != 1 {
		t.Errorf("the directory has %v, %v", files, err)
	}
}
