package storetest

import (
	"path/filepath"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// changed returns the location of a store that is still open, with the story in two rooms.
func (a *Archives) changed(t *testing.T) (location string, s store.Importer) {
	t.Helper()
	location = a.New(t)
	s = a.open(t, location)
	script, entries, history := story(t)
	play(t, script, entries, history, s)
	return location, s
}

// storyRooms are the rooms that changed fills.
func storyRooms(t *testing.T) []kaban.RoomName {
	return []kaban.RoomName{RoomName(t, "line-by-line"), RoomName(t, "in-one-batch")}
}

// moment is all that a store has in the rooms of the story.
type moment struct {
	Entries [][]store.Entry
	History []store.History
}

func momentOf(t *testing.T, s store.Store) (m moment) {
	t.Helper()
	for _, room := range storyRooms(t) {
		m.Entries = append(m.Entries, read(t, s, room))
		m.History = append(m.History, readHistory(t, s, room, all))
	}
	return m
}

// goOn changes the rooms of the story further, in a store that took them over. Whether it
// knows the texts that were edited depends on how.
func goOn(t *testing.T, s store.Store, knowsOriginals bool) {
	t.Helper()
	lines := []line{
		says(message(t, "ann", "a1", "helo"), known(1)),
		says(edit(t, "ann", "a2", 1, "hello"), known(2)),
		says(edit(t, "ann", "a2", 3, "hello"), refused(store.ErrIDConflict)),
		says(with(reply(t, "bob", "b1", 1, "hi"), Files(t, "cat.png")), known(3)),
		says(with(reply(t, "bob", "b1", 1, "other"), Files(t, "cat.png")), refused(store.ErrIDConflict)),
		says(with(reply(t, "bob", "b1", 1, "hi"), Files(t, "dog.png")), refused(store.ErrIDConflict)),
		says(reply(t, "bob", "b1", 1, "hi"), refused(store.ErrIDConflict)),
		says(react(t, "bob", "b2", 1, true, "👍"), known(4)),
		says(react(t, "bob", "b2", 1, true, "🎉"), refused(store.ErrIDConflict)),
		says(message(t, "carol", "c1", "anything"), known(6)),
		says(edit(t, "carol", "c3", 6, "anything"), known(8)),
		says(reply(t, "ann", "a4", 6, "anything"), known(10)),
		says(react(t, "carol", "k1", 1, true, "👍"), known(13)),
		says(react(t, "bob", "k2", 1, false, "👍"), known(1)),
		says(pin(t, "ann", "k3", 1, true), known(12)),
		says(edit(t, "ann", "id", 6, "x"), refused(store.ErrGone)),
		says(edit(t, "ann", "id", 15, "x"), refused(store.ErrNoTarget)),
		says(editOf(t, "ann", "id", 1, 2, "x"), refused(store.ErrEditConflict)),
		says(editOf(t, "ann", "a9", 1, 14, "Hello!"), stored(21)),
		says(pin(t, "ann", "a10", 1, false), stored(22)),
		says(react(t, "carol", "c7", 1, false, "👍"), stored(23)),
		says(remove(t, "bob", "b7", 3, ""), stored(24)),
		says(reply(t, "carol", "c8", 1, "well"), stored(25)),
	}
	if knowsOriginals {
		lines = append(lines,
			says(message(t, "ann", "a1", "Hello"), refused(store.ErrIDConflict)),
			says(edit(t, "ann", "a2", 1, "Hello"), refused(store.ErrIDConflict)),
			says(edit(t, "ann", "a5", 1, "hello"), refused(store.ErrIDConflict)))
	}
	_, entries, history := story(t)
	entries[0], entries[13] = "1 ann: Hello! (edited 21, 3 replies)", "14 ann edits 1"
	entries[2] = "3 bob answers 1 (deleted 24)"
	history[0], history[1] = "1 ann: Hello! (edited 21, 3 replies, 👍 dan 19, 🎉 ann 20)", entries[2]
	entries = append(entries, "21 ann edits 1: Hello!", "22 ann pins 1: -", "23 carol reacts to 1: -👍", "24 bob deletes 3", "25 carol answers 1: well")
	history = append(history, "25 carol answers 1: well")
	for _, room := range storyRooms(t) {
		for i := range lines {
			lines[i].Room = room
		}
		playBatch(t, s, "going on in "+room.String(), lines)
		wantLog(t, s, room, entries, history)
	}
}

// wantSound checks a store with the story.
func (a *Archives) wantSound(t *testing.T, location string) {
	t.Helper()
	report, err := a.archive(t, location).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Err() != nil || len(report.Rooms) != 2 || report.Rooms[0].Entries != report.Rooms[0].Room.Head {
		t.Errorf("the check reports %+v", report)
	}
}

func (a *Archives) testReopenStates(t *testing.T) {
	location, s := a.changed(t)
	before := momentOf(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		a.wantSound(t, location)
		s = a.open(t, location)
		if diff := difference(before, momentOf(t, s)); diff != "" {
			t.Errorf("a store that was opened again (-before +now):\n%s", diff)
		}
	}
	goOn(t, s, true)
	a.wantSound(t, location)
}

func (a *Archives) testExportStates(t *testing.T) {
	location, _ := a.changed(t)
	texts := []string{"Hello", "", "hi", "+👍", "+🎉", "", "+👍", "", "+", "", "it is spam", "+", "+👍", "Hello", "cats", "-👍", "", "hey", "+👍", "+🎉"}
	records := a.export(t, location)
	if len(records) != 2*len(texts) {
		t.Fatalf("the export has %d records, want %d", len(records), 2*len(texts))
	}
	script, _, _ := story(t)
	script = slices.DeleteFunc(script, func(l line) bool { return l.want.Err != nil })
	for i, r := range records {
		d := script[i%len(script)].Draft
		d.Room, d.Base, d.Body = storyRooms(t)[1-i/len(script)], 0, texts[i%len(script)]
		if d.Kind == kaban.KindEdit && r.Body == "" {
			d.Body = "" // the message has the text
		}
		if d.Kind == kaban.KindMessage && r.Body == "" {
			d.Files = kaban.Files{} // deleted
		}
		if r.Draft != d || r.Seq != uint64(i%len(script)+1) {
			t.Errorf("record %d is %+v, want %+v", i, r, d)
		}
	}
}

func (a *Archives) testImportStates(t *testing.T) {
	location, s := a.changed(t)
	want, records := momentOf(t, s), a.export(t, location)
	for name, size := range map[string]int{"at once": len(records), "one by one": 1, "in parts": 5} {
		to := a.New(t)
		target := a.open(t, to)
		for from := 0; from < len(records); from += size {
			part := records[from:min(from+size, len(records))]
			if n, err := target.Import(t.Context(), part); err != nil || n != len(part) {
				t.Fatalf("%s: Import of %d records from %d on = %d, %v", name, len(part), from, n, err)
			}
		}
		if diff := difference(want, momentOf(t, target)); diff != "" {
			t.Errorf("%s: the import (-want +got):\n%s", name, diff)
		}
		if n, err := target.Import(t.Context(), records); err != nil || n != 0 {
			t.Errorf("%s: Import of the same again = %d, %v; want 0", name, n, err)
		}
		if diff := difference(want, momentOf(t, target)); diff != "" {
			t.Errorf("%s: the import, twice (-want +got):\n%s", name, diff)
		}
		equalRecords(t, name+": an export of an import", a.export(t, to), records)
		a.wantSound(t, to)
		goOn(t, target, false)
		a.wantSound(t, to)
	}
}

func (a *Archives) testBackupStates(t *testing.T) {
	location, s := a.changed(t)
	want := momentOf(t, s)
	file := filepath.Join(t.TempDir(), "backup")
	if report, err := a.archive(t, location).Backup(t.Context(), file, nil); err != nil || report.Err() != nil {
		t.Fatalf("Backup: %+v, %v", report, err)
	}
	goOn(t, s, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{location, a.New(t)} {
		a.Restore(t, to, file)
		restored := a.open(t, to)
		if diff := difference(want, momentOf(t, restored)); diff != "" {
			t.Errorf("a restored backup (-want +got):\n%s", diff)
		}
		a.wantSound(t, to)
		goOn(t, restored, true)
		restored.Close()
	}
}
