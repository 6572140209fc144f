package index

import (
	"testing"
	"time"

	"kaban"
	"kaban/internal/store/storetest"
)

// TestPurgedByItself takes a text back and comes again after the time for that: nothing is
// left in the files, without Forget.
func TestPurgedByItself(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, openSQLite(t, dir), dir, usual)
	const edited, deleted = "ζζedited", "ηηremoved"
	room := storetest.RoomName(t, "lobby")
	first, second := w.say(room, "ann", "x "+edited), w.say(room, "ann", "x "+deleted)
	w.wait()
	w.append(room, "ann", kaban.KindEdit, first, "something else", true)
	w.append(room, "ann", kaban.KindDelete, second, "", true)
	w.wait()
	in := func() (names []string) {
		for _, word := range []string{edited[4:], deleted[4:]} {
			names = append(names, filesWith(t, dir, word)...)
		}
		return names
	}
	if len(in()) == 0 {
		t.Error("it is in no file before: the test sees nothing")
	}
	x := w.index
	x.writing.Lock()
	x.dirtySince, x.tidied = time.Now().Add(-dirtyAge), time.Time{}
	x.writing.Unlock()
	if _, err := x.tidy(); err != nil {
		t.Fatal(err)
	}
	if names := in(); len(names) > 0 {
		t.Errorf("it is still in %v", names)
	}
}

// TestEraseUnused erases in the index of a directory that no server uses. It has not read the
// deletion before.
func TestEraseUnused(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, openSQLite(t, dir), dir, usual)
	const deleted = "ηηremoved"
	room := storetest.RoomName(t, "lobby")
	seq := w.say(room, "ann", "x "+deleted)
	w.wait()
	if err := w.index.Close(); err != nil {
		t.Fatal(err)
	}
	w.append(room, "ann", kaban.KindDelete, seq, "", false)
	if len(filesWith(t, dir, deleted[4:])) == 0 {
		t.Error("it is in no file before: the test sees nothing")
	}
	if err := Erase(t.Context(), w.store, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if in := filesWith(t, dir, deleted[4:]); len(in) > 0 {
		t.Errorf("it is still in %v", in)
	}
	if err := Erase(t.Context(), w.store, t.TempDir(), Options{}); err != nil {
		t.Errorf("without an index: %v", err)
	}
}
