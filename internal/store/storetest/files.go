package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// Files returns the files of a message with some names, which say all about them.
func Files(t testing.TB, names ...string) kaban.Files {
	t.Helper()
	list := make([]kaban.File, len(names))
	for i, name := range names {
		sum := sha256.Sum256([]byte(name))
		id := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
		list[i] = kaban.File{ID: strings.ToLower(id[:kaban.FileIDLength]), Name: name, Size: int64(sum[0]), Type: "image/png", Width: 1 + int(sum[1]), Height: 1 + int(sum[2])}
	}
	files, err := kaban.NewFiles(list...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// with returns a draft with files.
func with(d kaban.Draft, files kaban.Files) kaban.Draft {
	d.Files = files
	return d
}

// filesOf returns the files of an entry.
func filesOf(e *store.Entry) []kaban.File {
	files, err := kaban.ParseFiles(e.Files)
	if err != nil || files.String() != e.Files {
		return []kaban.File{{Name: fmt.Sprintf("%q, which are no files", e.Files)}}
	}
	return files.List()
}

// An edit keeps the files of a message, and a deletion takes them away.
func testFiles(t *testing.T, s store.Store) {
	one, two := Files(t, "one.png"), Files(t, "two.pdf", "one.png")
	silent := with(message(t, "ann", "a4", "x"), one)
	silent.Body = "" // a message may have files alone
	script := []line{
		says(with(message(t, "ann", "a1", "look"), two), stored(1)),
		says(with(reply(t, "bob", "b1", 1, "nice"), one), stored(2)),
		says(edit(t, "ann", "a2", 1, "look here"), stored(3)),
		says(edit(t, "ann", "a3", 1, "look there"), stored(4)),
		says(silent, stored(5)),
		says(message(t, "bob", "b2", "no files"), stored(6)),
		says(pin(t, "bob", "b3", 1, true), stored(7)),
		says(react(t, "bob", "b4", 5, true, "👍"), stored(8)),
		says(remove(t, "bob", "b5", 2, ""), stored(9)),
		says(edit(t, "ann", "a5", 5, "words"), stored(10)),
		says(edit(t, "bob", "b6", 2, "late"), refused(store.ErrGone)),
		says(with(message(t, "bob", "b7", "more"), two), stored(11)),
		says(edit(t, "bob", "b8", 11, "much more"), stored(12)),
		says(remove(t, "bob", "b9", 11, "too much"), stored(13)),
	}
	play(t, script, []string{
		"1 ann: look there with two.pdf, one.png (edited 4, pinned 7, 1 replies)", "2 bob answers 1 (deleted 9)", "3 ann edits 1", "4 ann edits 1: look there",
		"5 ann: words with one.png (edited 10)", "6 bob: no files", "7 bob pins 1: +", "8 bob reacts to 5: +👍", "9 bob deletes 2", "10 ann edits 5: words",
		"11 bob (edited 12, deleted 13)", "12 bob edits 11", "13 bob deletes 11: too much",
	}, []string{
		"1 ann: look there with two.pdf, one.png (edited 4, pinned 7, 1 replies)", "2 bob answers 1 (deleted 9)",
		"5 ann: words with one.png (edited 10, 👍 bob 8)", "6 bob: no files", "11 bob (edited 12, deleted 13)",
	}, s)
	// Whoever decides about a change sees the files.
	seen := ""
	appendWrites(t, s, store.Write{Draft: pinIn(t, "line-by-line", "b10", 5), Allow: func(e *store.Entry) error {
		seen = describe(e)
		return nil
	}})
	if want := "5 ann: words with one.png (edited 10, 👍 bob 8)"; seen != want {
		t.Errorf("Allow sees %q, want %q", seen, want)
	}
	// Redactions leave them alone.
	room := RoomName(t, "in-one-batch")
	if err := s.Redact(t.Context(), room, []store.Redaction{{Seq: 1, Content: "x"}, {Seq: 5, Content: "x"}, {Seq: 13, Content: ""}}); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(&read(t, s, room)[4]), "5 ann: words with one.png (edited 10)"; got != want {
		t.Errorf("after a redaction there is %q, want %q", got, want)
	}
}

func pinIn(t *testing.T, room, id string, target uint64) kaban.Draft {
	d := pin(t, "bob", id, target, true)
	d.Room = RoomName(t, room)
	return d
}

// Files belong to what a repeat must be equal in, until the message is deleted.
func testRepeatedFiles(t *testing.T, s store.Store) {
	one, two, none := Files(t, "one.png"), Files(t, "one.png", "two.png"), kaban.Files{}
	first, plain := message(t, "ann", "m", "look"), message(t, "ann", "p", "plain")
	Append(t, s, with(first, one), plain)
	check := func(when string, text string, want map[string]error) {
		t.Helper()
		for name, d := range map[string]kaban.Draft{
			"the same": with(first, one), "other files": with(first, two), "no files": with(first, none),
			"another text": with(message(t, "ann", "m", text), one), "another text and other files": with(message(t, "ann", "m", text), two),
			"files where there were none": with(plain, one), "none again": plain,
		} {
			got := Append(t, s, d)[0]
			if err := want[name]; got.Err != err || err == nil && !got.Duplicate {
				t.Errorf("%s, %s: %+v, want %v", when, name, got, err)
			}
		}
	}
	conflict := map[string]error{
		"other files": store.ErrIDConflict, "no files": store.ErrIDConflict, "another text": store.ErrIDConflict,
		"another text and other files": store.ErrIDConflict, "files where there were none": store.ErrIDConflict,
	}
	check("at first", "other", conflict)
	Append(t, s, edit(t, "ann", "e", 1, "edited"))
	check("edited", "edited", conflict)
	Append(t, s, many(t, "lobby", 0, 300)...) // so that a driver moves them to their place
	check("long after", "edited", conflict)
	Append(t, s, remove(t, "ann", "d", 1, ""))
	gone := map[string]error{"files where there were none": store.ErrIDConflict}
	check("deleted", "other", gone)
	Append(t, s, many(t, "lobby", 300, 300)...)
	check("long deleted", "other", gone)
}

// Files count like contents.
func testFileBytes(t *testing.T, s store.Store) {
	files := Files(t, "a.png")
	size := len(files.String())
	for i := range 4 {
		Append(t, s, with(message(t, "ann", fmt.Sprint(i), "x"), files))
	}
	for _, c := range []struct{ bytes, want int }{{1, 1}, {size + 1, 1}, {2*size + 1, 1}, {2*size + 2, 2}, {3*size + 3, 3}, {0, 4}, {4*size + 4, 4}} {
		for _, last := range []bool{false, true} {
			page := store.Page{Limit: 9, Bytes: c.bytes, Last: last}
			h := readHistory(t, s, RoomName(t, "lobby"), page)
			entries, err := s.Read(t.Context(), RoomName(t, "lobby"), page)
			if err != nil || len(entries) != c.want || len(h.Entries) != c.want {
				t.Errorf("%+v: %d entries, %d in the history, %v; want %d", page, len(entries), len(h.Entries), err, c.want)
			}
		}
	}
}

// releasedIn returns the messages of a room that have released their files.
func releasedIn(t *testing.T, s store.Store, room kaban.RoomName) (seqs []uint64) {
	t.Helper()
	if eraser, ok := s.(store.Eraser); ok {
		if err := eraser.Erase(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	from, to := store.ReleasedKeys()
	err := s.View(context.Background(), func(tx store.Tx) error {
		found, err := tx.Scan(from, to, 1<<20)
		for _, d := range found {
			key, seq, err := store.ParseReleased(d.Key)
			if err != nil || string(d.Value) != store.ReleasedValue {
				t.Errorf("a document has the key %q and the value %q, %v", d.Key, d.Value, err)
			}
			if key == room.Key() {
				seqs = append(seqs, seq)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(seqs)
	return seqs
}

// What a message had is released once, with the deletion or the cut, and with nothing else.
func testReleased(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	check := func(when string, want ...uint64) {
		t.Helper()
		if got := releasedIn(t, s, lobby); !slices.Equal(got, want) {
			t.Errorf("%s the files of %v are released, want %v", when, got, want)
		}
	}
	for i := range 6 {
		d := message(t, "ann", fmt.Sprint("m", i), "look")
		if i%2 == 0 { // 1, 3 and 5
			d = with(d, Files(t, "a.png"))
		}
		Append(t, s, d)
	}
	check("at first")
	Append(t, s, edit(t, "ann", "e", 1, "look here"), pin(t, "ann", "p", 3, true), reply(t, "bob", "r", 5, "nice"))
	check("after changes")
	Append(t, s, remove(t, "ann", "d1", 1, ""), remove(t, "ann", "d2", 2, ""))
	check("after deletions", 1)
	// In one batch, of what is in it and what is not; a repeat changes nothing.
	Append(t, s, with(message(t, "ann", "x", "oops"), Files(t, "b.png")), remove(t, "ann", "d3", 12, ""), remove(t, "ann", "d4", 3, ""), remove(t, "bob", "d5", 3, ""), remove(t, "ann", "d4", 3, ""))
	check("after more", 1, 3, 12)
	err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(store.ReleasedKey(lobby, 3)) })
	if err != nil {
		t.Fatal(err)
	}
	check("swept", 1, 12)
	// A write whose function has failed deletes nothing.
	refusal := store.Write{Draft: remove(t, "ann", "d6", 5, ""), Decide: func(store.Tx) error { return errNotAllowed }}
	appendWrites(t, s, refusal)
	check("after a refusal", 1, 12)
	for n := 1; n > 0; {
		if n, err = s.Cut(t.Context(), lobby, ever, 4); err != nil {
			t.Fatal(err)
		}
	}
	check("cut", 1, 5, 12)
}
