package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
)

func testEmpty(t *testing.T, s store.Store) {
	if s.Epoch() == "" {
		t.Error("Epoch is empty")
	}
	if rooms, err := s.Rooms(t.Context()); err != nil || len(rooms) != 0 {
		t.Errorf("Rooms = %v, %v; want none", rooms, err)
	}
	name := RoomName(t, "lobby")
	got, err := s.Room(t.Context(), name)
	if want := (store.Room{Name: name, Head: 0, Oldest: 1}); err != nil || got != want {
		t.Errorf("Room = %+v, %v; want %+v", got, err, want)
	}
	if entries, err := s.Read(t.Context(), name, store.Page{Limit: 10}); err != nil || len(entries) != 0 {
		t.Errorf("Read = %v, %v; want nothing", entries, err)
	}
}

func testNumbering(t *testing.T, s store.Store) {
	next := map[string]uint64{}
	for batch := range 20 {
		var drafts []kaban.Draft
		for i := range batch + 1 {
			room := fmt.Sprintf("room-%d", i%3)
			drafts = append(drafts, Draft(t, room, "alice", fmt.Sprintf("b%d.%d", batch, i), "hi"))
		}
		for i, result := range Append(t, s, drafts...) {
			room := drafts[i].Room.String()
			next[room]++
			if result.Seq != next[room] || result.Duplicate || result.Err != nil || result.Time == 0 {
				t.Fatalf("batch %d, draft %d to %s: got %+v, want seq %d", batch, i, room, result, next[room])
			}
		}
	}
	rooms, err := s.Rooms(t.Context())
	if err != nil || len(rooms) != len(next) {
		t.Fatalf("Rooms = %v, %v; want %d", rooms, err, len(next))
	}
	for _, room := range rooms {
		if want := next[room.Name.String()]; room.Head != want || room.Oldest != 1 {
			t.Errorf("%s: head %d, oldest %d; want %d, 1", room.Name, room.Head, room.Oldest, want)
		}
		if one, err := s.Room(t.Context(), room.Name); err != nil || one != room {
			t.Errorf("Room(%s) = %+v, %v; Rooms says %+v", room.Name, one, err, room)
		}
	}
}

func testReadBack(t *testing.T, s store.Store) {
	contents := []string{
		"plain", "two\nlines\tand a tab", `quotes " and \ and </script>`, "emoji 👩‍👩‍👧‍👦 and e\u0301",
		strings.Repeat("𐍈", kaban.DefaultMaxContent), "'; DROP TABLE entries; --", "%s %d", "\u202eright to left",
	}
	var want []store.Entry
	for i, content := range contents {
		d := Draft(t, "lobby", "Alice", fmt.Sprintf("id-%d", i), content)
		result := Append(t, s, d)[0]
		want = append(want, store.Entry{
			Seq: result.Seq, Time: result.Time, Kind: kaban.KindMessage,
			ID: d.ID.String(), Author: d.Author.ID(), Username: "Alice", Content: content,
		})
	}
	got, err := s.Read(t.Context(), RoomName(t, "lobby"), store.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the entries read differ (-appended +read):\n%s", diff)
	}
}

func testDuplicate(t *testing.T, s store.Store) {
	d := Draft(t, "lobby", "alice", "one", "hello")
	first := Append(t, s, d)[0]
	Append(t, s, Draft(t, "lobby", "alice", "two", "between"))
	want := store.Result{Seq: first.Seq, Time: first.Time, Duplicate: true}
	if got := Append(t, s, d)[0]; got != want {
		t.Errorf("sent again: %+v, want %+v", got, want)
	}
	twice := Draft(t, "lobby", "alice", "three", "twice in one batch")
	results := Append(t, s, twice, twice)
	if results[0].Seq != 3 || results[0].Duplicate {
		t.Errorf("first of two in a batch: %+v, want seq 3", results[0])
	}
	if want := (store.Result{Seq: 3, Time: results[0].Time, Duplicate: true}); results[1] != want {
		t.Errorf("second of two in a batch: %+v, want %+v", results[1], want)
	}
	if room, _ := s.Room(t.Context(), d.Room); room.Head != 3 {
		t.Errorf("head is %d, want 3: a duplicate must store nothing", room.Head)
	}
}

func testConflict(t *testing.T, s store.Store) {
	Append(t, s, Draft(t, "lobby", "alice", "one", "hello"))
	results := Append(t, s,
		Draft(t, "lobby", "alice", "one", "other content"),
		Draft(t, "lobby", "alice", "two", "the rest of the batch is stored"),
	)
	if got := results[0]; !errors.Is(got.Err, store.ErrIDConflict) || got.Seq != 0 || got.Duplicate {
		t.Errorf("an id for something else: %+v, want ErrIDConflict", got)
	}
	if results[1].Seq != 2 || results[1].Err != nil {
		t.Errorf("the draft after a conflict: %+v, want seq 2", results[1])
	}
}

// An id in one room has nothing to do with the same id in another one, in one batch or
// in several, whether the rooms exist or not.
func testIDsPerRoom(t *testing.T, s store.Store) {
	lobby, kitchen := Draft(t, "lobby", "alice", "one", "hello"), Draft(t, "kitchen", "alice", "one", "hello")
	attic := Draft(t, "attic", "alice", "one", "other content")
	first := append(Append(t, s, lobby), Append(t, s, kitchen, attic, attic)...)
	for i, want := range []store.Result{{Seq: 1}, {Seq: 1}, {Seq: 1}, {Seq: 1, Duplicate: true}} {
		if got := first[i]; got.Seq != want.Seq || got.Duplicate != want.Duplicate || got.Err != nil {
			t.Errorf("draft %d: %+v, want %+v", i, got, want)
		}
	}
	Append(t, s, many(t, "kitchen", 0, 300)...) // so that a driver moves some to their place
	for i, want := range first[:3] {
		d := []kaban.Draft{lobby, kitchen, attic}[i]
		if got := Append(t, s, d)[0]; !got.Duplicate || got.Seq != 1 || got.Time != want.Time {
			t.Errorf("draft %d again: %+v, want a duplicate of %+v", i, got, want)
		}
		d.Body = "something else"
		if got := Append(t, s, d)[0]; !errors.Is(got.Err, store.ErrIDConflict) {
			t.Errorf("draft %d with another body: %+v, want ErrIDConflict", i, got)
		}
	}
}

func testIDsPerAuthor(t *testing.T, s store.Store) {
	results := Append(t, s,
		Draft(t, "lobby", "alice", "one", "hello"),
		Draft(t, "lobby", "bob", "one", "hello"),
		Draft(t, "lobby", "bob", "One", "hello"),
	)
	for i, result := range results {
		if result.Seq != uint64(i+1) || result.Duplicate || result.Err != nil {
			t.Errorf("draft %d: %+v, want seq %d", i, result, i+1)
		}
	}
}

func testIdentities(t *testing.T, s store.Store) {
	visitor := Draft(t, "lobby", "alice", "one", "hello")
	account, renamed := visitor, visitor
	account.Author = kaban.Account("17", Username(t, "alice"))
	renamed.Author = kaban.Account("17", Username(t, "amelia"))
	results := Append(t, s, visitor, account)
	if results[1].Seq != 2 || results[1].Duplicate || results[1].Err != nil {
		t.Errorf("an account with the name of a visitor: %+v, want seq 2", results[1])
	}
	if got := Append(t, s, renamed)[0]; !got.Duplicate || got.Seq != 2 {
		t.Errorf("the account under another name: %+v, want a duplicate of 2", got)
	}
	renamed.ID = Draft(t, "lobby", "alice", "two", "x").ID
	Append(t, s, renamed)
	entries, err := s.Read(t.Context(), RoomName(t, "lobby"), store.Page{Limit: 10})
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %+v, %v; want 3 entries", entries, err)
	}
	for i, want := range []string{"alice", "alice", "amelia"} {
		if entries[i].Username != want {
			t.Errorf("entry %d is by %s, want %s", i+1, entries[i].Username, want)
		}
		if got, want := entries[i].Author, []kaban.Draft{visitor, account, renamed}[i].Author.ID(); got != want {
			t.Errorf("entry %d is by %s, want %s", i+1, got, want)
		}
	}
}

func testKinds(t *testing.T, s store.Store) {
	Append(t, s, Draft(t, "lobby", "alice", "one", "hello"))
	other := Draft(t, "lobby", "alice", "two", "hello")
	other.Kind, other.Target = 200, 1
	empty := Draft(t, "lobby", "alice", "three", "x")
	empty.Kind, empty.Target, empty.Body = 255, 1<<40-1, ""
	Append(t, s, other, empty)
	entries, err := s.Read(t.Context(), RoomName(t, "lobby"), store.Page{After: 1, Limit: 10})
	if err != nil || len(entries) != 2 {
		t.Fatalf("got %+v, %v; want 2 entries", entries, err)
	}
	for i, d := range []kaban.Draft{other, empty} {
		if got := entries[i]; got.Seq != uint64(i+2) || got.Kind != d.Kind || got.Target != d.Target || got.Content != d.Body {
			t.Errorf("got %+v of %+v", got, d)
		}
	}
	if got := Append(t, s, other)[0]; !got.Duplicate || got.Seq != 2 {
		t.Errorf("the same again: %+v, want a duplicate of 2", got)
	}
	kind, target := other, other
	kind.Kind, target.Target = kaban.KindMessage, 2
	for _, d := range []kaban.Draft{kind, target} {
		if got := Append(t, s, d)[0]; !errors.Is(got.Err, store.ErrIDConflict) {
			t.Errorf("the same id with another kind or target: %+v, want ErrIDConflict", got)
		}
	}
}

func testKeys(t *testing.T, s store.Store) {
	Append(t, s, Draft(t, "lobby", "Alice", "one", "hello"))
	if got := Append(t, s, Draft(t, "lobby", "alice", "one", "hello"))[0]; !got.Duplicate || got.Seq != 1 {
		t.Errorf("the same name in another case: %+v, want a duplicate of 1", got)
	}
	// "l0bby" looks like "lobby", so they are one room under its first name.
	if got := Append(t, s, Draft(t, "l0bby", "bob", "two", "hello"))[0]; got.Seq != 2 {
		t.Errorf("append to a look-alike name: %+v, want seq 2", got)
	}
	room, err := s.Room(t.Context(), RoomName(t, "l0bby"))
	if err != nil || room.Name != RoomName(t, "lobby") || room.Head != 2 {
		t.Errorf("Room = %+v, %v; want lobby with head 2", room, err)
	}
	entries, err := s.Read(t.Context(), RoomName(t, "l0bby"), store.Page{Limit: 10})
	if err != nil || len(entries) != 2 {
		t.Errorf("Read = %v, %v; want 2 entries", entries, err)
	}
}

func testConcurrentAppends(t *testing.T, s store.Store) {
	const writers, batches, size = 4, 25, 4
	drafts := make([][]kaban.Draft, writers)
	for w := range writers {
		for i := range batches * size {
			drafts[w] = append(drafts[w], Draft(t, "lobby", fmt.Sprint("writer-", w), fmt.Sprint("id", i), fmt.Sprint(w, " ", i)))
		}
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for b := range batches {
				results := make([]store.Result, size)
				if err := s.Append(context.Background(), Writes(drafts[w][b*size:(b+1)*size]...), results); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	group.Wait()
	entries, err := s.Read(t.Context(), RoomName(t, "lobby"), store.Page{Limit: writers*batches*size + 1})
	if err != nil || len(entries) != writers*batches*size {
		t.Fatalf("Read = %d entries, %v; want %d", len(entries), err, writers*batches*size)
	}
	seen := map[string]int{}
	for i, e := range entries {
		if e.Seq != uint64(i+1) {
			t.Fatalf("entry %d has seq %d", i, e.Seq)
		}
		if want := fmt.Sprint("id", seen[e.Username]); e.ID != want {
			t.Fatalf("seq %d of %s has id %s, want %s: an author's order was not kept", e.Seq, e.Username, e.ID, want)
		}
		seen[e.Username]++
	}
}

func testClosed(t *testing.T, s store.Store) {
	d := Draft(t, "lobby", "alice", "one", "hello")
	Append(t, s, d)
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	calls := map[string]error{}
	_, calls["Rooms"] = s.Rooms(t.Context())
	_, calls["Room"] = s.Room(t.Context(), d.Room)
	_, calls["Tallies"] = s.Tallies(t.Context(), d.Author.ID(), []kaban.RoomName{d.Room})
	_, calls["CountTo"] = s.CountTo(t.Context(), d.Room, d.Author.ID(), 1, store.Mark{})
	_, calls["Read"] = s.Read(t.Context(), d.Room, store.Page{Limit: 1})
	_, calls["History"] = s.History(t.Context(), d.Room, store.Page{Limit: 1})
	calls["Append"] = s.Append(t.Context(), Writes(d), make([]store.Result, 1))
	calls["Update"] = s.Update(t.Context(), func(store.Tx) error { return nil })
	calls["View"] = s.View(t.Context(), func(store.Tx) error { return nil })
	for call, err := range calls {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", call, err)
		}
	}
}
