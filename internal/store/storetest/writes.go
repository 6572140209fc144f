package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// bump increments a revision or fails the test.
func bump(t *testing.T, s store.Store, room string) {
	t.Helper()
	name := RoomName(t, room)
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Bump(name) }); err != nil {
		t.Fatalf("Bump of %s: %v", room, err)
	}
}

// wantRevision compares a revision in a View, an Update and the state of the room.
func wantRevision(t *testing.T, s store.Store, room string, want uint64) {
	t.Helper()
	name := RoomName(t, room)
	for where, run := range map[string]func(context.Context, func(store.Tx) error) error{"a View": s.View, "an Update": s.Update} {
		err := run(context.Background(), func(tx store.Tx) error {
			if got, err := tx.Revision(name); got != want || err != nil {
				t.Errorf("in %s the revision of %s is %d, %v; want %d", where, room, got, err, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := s.Room(context.Background(), name)
	if err != nil || state.Revision != want {
		t.Errorf("Room(%s) = %+v, %v; want revision %d", room, state, err, want)
	}
}

// appendWrites appends or fails the test.
func appendWrites(t *testing.T, s store.Store, batch ...store.Write) []store.Result {
	t.Helper()
	results := make([]store.Result, len(batch))
	if err := s.Append(context.Background(), batch, results); err != nil {
		t.Fatalf("Append of %d writes: %v", len(batch), err)
	}
	return results
}

// decided returns a draft with a decision.
func decided(d kaban.Draft, decide func(tx store.Tx) error) store.Write {
	return store.Write{Draft: d, Decide: decide}
}

func testRefusal(t *testing.T, s store.Store) {
	bump(t, s, "lobby")
	Append(t, s, Draft(t, "lobby", "alice", "old", "hello"))
	no := errors.New("no")
	never := func(store.Tx) error { t.Error("a write that is refused is decided"); return nil }
	refused := func(d kaban.Draft, revision uint64) store.Write {
		return store.Write{Draft: d, Refusal: no, Checked: true, Revision: revision, Decide: never}
	}
	for range 2 { // the first time nobody knows bob and the attic
		results := appendWrites(t, s,
			refused(Draft(t, "lobby", "alice", "old", "hello"), 1),
			refused(Draft(t, "lobby", "alice", "old", "other"), 1),
			refused(Draft(t, "lobby", "alice", "new", "hello"), 1),
			refused(Draft(t, "lobby", "alice", "new", "hello"), 0),
			refused(Draft(t, "lobby", "bob", "new", "hello"), 1),
			refused(Draft(t, "lobby", "bob", "new", "hello"), 7))
		results = append(results, appendWrites(t, s,
			refused(Draft(t, "attic", "alice", "new", "hello"), 0),
			refused(Draft(t, "attic", "bob", "new", "hello"), 1))...)
		if !results[0].Duplicate || results[0].Seq != 1 || results[0].Err != nil {
			t.Errorf("a repeated message that would be refused now: %+v", results[0])
		}
		for i, want := range []error{store.ErrIDConflict, no, store.ErrStale, no, store.ErrStale, no, store.ErrStale} {
			if got := results[i+1]; !errors.Is(got.Err, want) || got.Seq != 0 {
				t.Errorf("write %d: %+v, want %v", i+1, got, want)
			}
		}
	}
	if rooms, err := s.Rooms(context.Background()); err != nil || len(rooms) != 1 || rooms[0].Head != 1 {
		t.Errorf("the rooms are %+v, %v; want the lobby with one entry", rooms, err)
	}
}

func testDecide(t *testing.T, s store.Store) {
	put(t, s, "order", "")
	failure := errors.New("no")
	note := func(name string, err error) func(tx store.Tx) error {
		return func(tx store.Tx) error {
			before, failed := tx.Get("order")
			return errors.Join(failed, tx.Put("order", append(before, name...)), tx.Put(name, []byte("x")), err)
		}
	}
	Append(t, s, Draft(t, "lobby", "alice", "old", "hello"))
	never := func(store.Tx) error { t.Error("a repeated id is decided"); return nil }
	results := appendWrites(t, s,
		decided(Draft(t, "lobby", "alice", "a", "1"), note("a", nil)),
		decided(Draft(t, "lobby", "alice", "b", "2"), note("b", failure)),
		decided(Draft(t, "attic", "alice", "c", "3"), func(tx store.Tx) error {
			return errors.Join(note("c", nil)(tx), tx.Bump(RoomName(t, "attic")), tx.Bump(RoomName(t, "cellar")), failure)
		}),
		decided(Draft(t, "lobby", "alice", "old", "hello"), never),
		decided(Draft(t, "lobby", "alice", "old", "other"), never),
		decided(Draft(t, "lobby", "alice", "a", "1"), never),
		decided(Draft(t, "lobby", "alice", "d", "4"), note("d", nil)),
		decided(Draft(t, "lobby", "alice", "e", "5"), func(tx store.Tx) error { _ = tx.Put("f", nil); return nil }),
		decided(Draft(t, "lobby", "carol", "g", "6"), func(tx store.Tx) error {
			order, err := tx.Get("order")
			if string(order) != "ad" {
				t.Errorf("the last one sees the order %q", order)
			}
			return err
		}),
		decided(Draft(t, "lobby", "alice", "b", "2"), note("b", nil)), // once more
	)
	for i, want := range []store.Result{{Seq: 2}, {Err: failure}, {Err: failure}, {Seq: 1, Duplicate: true}, {Err: store.ErrIDConflict}, {Seq: 2, Duplicate: true}, {Seq: 3}, {}, {Seq: 4}, {Seq: 5}} {
		got := results[i]
		if i == 7 { // the transaction fails, although the function does not
			if got.Err == nil || got.Seq != 0 {
				t.Errorf("write 7: %+v, want an error", got)
			}
			continue
		}
		if got.Seq != want.Seq || got.Duplicate != want.Duplicate || !errors.Is(got.Err, want.Err) {
			t.Errorf("write %d: %+v, want %+v", i, got, want)
		}
	}
	wantDocuments(t, s, "a=x", "b=x", "d=x", "order=adb")
	var contents []string
	for _, e := range read(t, s, RoomName(t, "lobby")) {
		contents = append(contents, e.Content)
	}
	if !slices.Equal(contents, []string{"hello", "1", "4", "6", "2"}) {
		t.Errorf("the lobby has %q", contents)
	}
	rooms, err := s.Rooms(t.Context())
	if err != nil || len(rooms) != 1 || rooms[0].Revision != 0 {
		t.Errorf("Rooms = %+v, %v; want the lobby only", rooms, err)
	}
}

func testRevisions(t *testing.T, s store.Store) {
	lobby, attic := RoomName(t, "lobby"), RoomName(t, "attic")
	checked := func(room, id string, revision uint64) store.Write {
		return store.Write{Draft: Draft(t, room, "alice", id, "hello"), Revision: revision, Checked: true}
	}
	raise := func(room kaban.RoomName) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.Bump(room) }
	}
	with := func(w store.Write, decide func(store.Tx) error) store.Write {
		w.Decide = decide
		return w
	}
	unchecked := checked("lobby", "u", 99)
	unchecked.Checked = false
	results := appendWrites(t, s,
		checked("lobby", "a", 1),                     // there is no room
		checked("lobby", "b", 0),                     // it is made
		with(checked("lobby", "c", 0), raise(lobby)), // compared before its own decision
		checked("lobby", "d", 0),                     // stale by then
		checked("lobby", "e", 1),
		checked("lobby", "b", 0), // a duplicate first of all
		unchecked,
		with(checked("attic", "f", 0), raise(attic)), // the decision makes the room
		checked("attic", "g", 1),
		with(checked("lobby", "h", 1), func(tx store.Tx) error { return errors.Join(tx.Bump(lobby), errors.New("no")) }),
		checked("lobby", "i", 1), // that was undone
		with(checked("lobby", "j", 0), func(store.Tx) error { t.Error("a stale write is decided"); return nil }),
	)
	for i, want := range []store.Result{
		{Err: store.ErrStale}, {Seq: 1}, {Seq: 2}, {Err: store.ErrStale}, {Seq: 3}, {Seq: 1, Duplicate: true}, {Seq: 4}, {Seq: 1}, {Seq: 2}, {Err: results[9].Err}, {Seq: 5}, {Err: store.ErrStale},
	} {
		if got := results[i]; got.Seq != want.Seq || got.Duplicate != want.Duplicate || !errors.Is(got.Err, want.Err) {
			t.Errorf("write %d: %+v, want %+v", i, got, want)
		}
	}
	wantRevision(t, s, "lobby", 1)
	wantRevision(t, s, "attic", 1)
	testBumps(t, s, checked)
}

// testBumps raises revisions of the rooms of testRevisions.
func testBumps(t *testing.T, s store.Store, checked func(room, id string, revision uint64) store.Write) {
	bump(t, s, "LOBBY") // by its key
	bump(t, s, "cellar")
	wantRevision(t, s, "lobby", 2)
	wantRevision(t, s, "cellar", 1)
	wantRevision(t, s, "nowhere", 0)
	rooms, err := s.Rooms(t.Context())
	slices.SortFunc(rooms, func(a, b store.Room) int { return int(b.Head) - int(a.Head) })
	want := []store.Room{{Name: RoomName(t, "lobby"), Head: 5, Oldest: 1, Revision: 2}, {Name: RoomName(t, "attic"), Head: 2, Oldest: 1, Revision: 1}, {Name: RoomName(t, "cellar"), Head: 0, Oldest: 1, Revision: 1}}
	if err != nil || !slices.Equal(rooms, want) {
		t.Errorf("Rooms = %+v, %v; want %+v", rooms, err, want)
	}
	if entries := read(t, s, RoomName(t, "cellar")); len(entries) != 0 {
		t.Errorf("a room without entries has %+v", entries)
	}
	// Many entries of other rooms make a driver move those of the lobby.
	for i := range 3 {
		Append(t, s, many(t, "kitchen", i*3000, 3000)...)
		bump(t, s, "lobby")
	}
	wantRevision(t, s, "lobby", 5)
	if got := appendWrites(t, s, checked("lobby", "k", 4), checked("lobby", "l", 5)); !errors.Is(got[0].Err, store.ErrStale) || got[1].Seq != 6 {
		t.Errorf("Append = %+v, want ErrStale and seq 6", got)
	}
}

func testHandlesRevisions(t *testing.T, a, b store.Store) {
	lobby := RoomName(t, "lobby")
	for i, id := range []string{"a", "b", "c", "d"} {
		if i%2 == 1 {
			a, b = b, a
		}
		wantRevision(t, b, "lobby", uint64(i))
		bump(t, a, "lobby")
		put(t, a, "by", id)
		w := store.Write{Draft: Draft(t, "lobby", "alice", id, "hello"), Revision: uint64(i), Checked: true}
		if got := appendWrites(t, b, w)[0]; !errors.Is(got.Err, store.ErrStale) {
			t.Errorf("a write that relies on revision %d: %+v, want ErrStale", i, got)
		}
		wantRevision(t, b, "lobby", uint64(i)+1)
		wantDocuments(t, b, "by="+id)
		w.Revision++
		if got := appendWrites(t, b, w)[0]; got.Err != nil || got.Seq != uint64(i)+1 {
			t.Errorf("a write that relies on revision %d: %+v, want seq %d", w.Revision, got, i+1)
		}
	}
	if entries := read(t, b, lobby); len(entries) != 4 {
		t.Errorf("the lobby has %d entries", len(entries))
	}
}

// What one transaction writes, entries, documents and revisions, is visible at once.
func testHandlesAtOnce(t *testing.T, a, b store.Store) {
	const rounds = 100
	lobby := RoomName(t, "lobby")
	add := func(tx store.Tx) error {
		n, err := tx.Get("n")
		return errors.Join(err, tx.Put("n", append(n, 'x')), tx.Bump(lobby))
	}
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer close(done)
		for i := range rounds {
			if i%3 == 2 { // without an entry
				if err := a.Update(context.Background(), add); err != nil {
					t.Errorf("Update: %v", err)
				}
				continue
			}
			appendWrites(t, a, decided(many(t, "lobby", i, 1)[0], add))
		}
	})
	defer writing.Wait()
	for running := true; running; {
		select {
		case <-done:
			running = false // and look once more
		default:
		}
		before, err := b.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		var n, revision uint64
		err = b.View(t.Context(), func(tx store.Tx) error {
			value, err := tx.Get("n")
			n = uint64(len(value))
			if err == nil {
				revision, err = tx.Revision(lobby)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		after, err := b.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		entries := n/3*2 + n%3
		if n != revision || before.Revision > n || after.Revision < n || before.Head > entries || after.Head < entries {
			t.Fatalf("%+v, then %d documents and revision %d, then %+v", before, n, revision, after)
		}
	}
}
