package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// runHandles runs the tests of two handles on the same data.
func (d *Driver) runHandles(t *testing.T) {
	if d.Share == nil {
		return
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, a, b store.Store)
	}{
		{"one handle reads what the other appends", testHandlesRead},
		{"one handle knows the rooms and heads of the other", testHandlesRooms},
		{"ids are unique over both handles", testHandlesIDs},
		{"concurrent appends of both handles keep one gap-free order", testHandlesOrder},
		{"both handles send the same at once", testHandlesSendTheSame},
		{"no handle sees part of a batch", testHandlesBatches},
		{"revisions and documents are shared", testHandlesRevisions},
		{"a transaction is visible at once", testHandlesAtOnce},
		{"transactions of both handles come one after the other", func(t *testing.T, a, b store.Store) { testCounter(t, a, b) }},
		{"both handles change messages", testHandlesStates},
		{"history of the other handle is of one moment", testOneMoment},
		{"a closed handle leaves the other one open", testHandlesClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := d.open(t)
			b := d.Share(t, a)
			t.Cleanup(func() { b.Close() })
			if a.Epoch() != b.Epoch() {
				t.Errorf("the epochs are %q and %q", a.Epoch(), b.Epoch())
			}
			test.run(t, a, b)
		})
	}
}

// read returns all entries of a room or fails the test.
func read(t *testing.T, s store.Store, room kaban.RoomName) []store.Entry {
	t.Helper()
	entries, err := s.Read(context.Background(), room, store.Page{Limit: 1 << 20})
	if err != nil {
		t.Fatalf("Read of %s: %v", room, err)
	}
	return entries
}

func testHandlesRead(t *testing.T, a, b store.Store) {
	lobby := RoomName(t, "lobby")
	for i := range 50 {
		writer, reader := a, b
		if i%2 == 1 {
			writer, reader = b, a
		}
		// Some batches are large enough to make a driver write to more than one table.
		var batch []kaban.Draft
		for j := range 1 + i%7 {
			batch = append(batch, Draft(t, "lobby", "alice", fmt.Sprintf("%d.%d", i, j), fmt.Sprint("message ", i)))
		}
		results := Append(t, writer, batch...)
		entries := read(t, reader, lobby)
		last := results[len(results)-1].Seq
		if len(entries) == 0 || entries[len(entries)-1].Seq != last || entries[len(entries)-1].Content != batch[0].Body {
			t.Fatalf("after batch %d the other handle has %d entries, want %d", i, len(entries), last)
		}
		if mine := read(t, writer, lobby); !slices.Equal(mine, entries) {
			t.Fatalf("after batch %d the handles read different entries", i)
		}
	}
}

func testHandlesRooms(t *testing.T, a, b store.Store) {
	want := make(map[string]uint64)
	for i := range 30 {
		writer, reader := a, b
		if i%3 == 1 {
			writer, reader = b, a
		}
		name := RoomName(t, fmt.Sprint("room-", i%10))
		Append(t, writer, Draft(t, name.String(), "alice", fmt.Sprint("id-", i), "hello"))
		want[name.String()]++
		state := store.Room{Name: name, Head: want[name.String()], Oldest: 1}
		if got, err := reader.Room(t.Context(), name); err != nil || got != state {
			t.Fatalf("Room(%s) of the other handle = %+v, %v; want %+v", name, got, err, state)
		}
		rooms, err := reader.Rooms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]uint64)
		for _, room := range rooms {
			got[room.Name.String()] = room.Head
		}
		if !maps.Equal(got, want) || len(rooms) != len(want) {
			t.Fatalf("Rooms of the other handle = %v, want %v", got, want)
		}
	}
}

func testHandlesIDs(t *testing.T, a, b store.Store) {
	draft := Draft(t, "lobby", "alice", "one", "hello")
	first := Append(t, a, draft)[0]
	// Reads of its own must not keep a handle from seeing what comes later.
	read(t, b, draft.Room)
	if got := Append(t, b, draft)[0]; !got.Duplicate || got.Seq != first.Seq || got.Time != first.Time {
		t.Errorf("the same on the other handle: %+v, want a duplicate of %+v", got, first)
	}
	results := Append(t, b,
		Draft(t, "lobby", "alice", "one", "other content"),
		Draft(t, "lobby", "alice", "two", "hello again"),
		Draft(t, "kitchen", "alice", "one", "hello"),
	)
	if !errors.Is(results[0].Err, store.ErrIDConflict) {
		t.Errorf("the id for something else on the other handle: %+v, want ErrIDConflict", results[0])
	}
	if results[1].Seq != 2 {
		t.Errorf("the next draft: %+v, want seq 2", results[1])
	}
	if results[2].Seq != 1 || results[2].Duplicate {
		t.Errorf("the id in another room: %+v, want seq 1", results[2])
	}
	if got := Append(t, a, Draft(t, "lobby", "alice", "two", "x"))[0]; !errors.Is(got.Err, store.ErrIDConflict) {
		t.Errorf("an id of the other handle: %+v, want ErrIDConflict", got)
	}
}

func testHandlesOrder(t *testing.T, a, b store.Store) {
	const writers, batches, size = 2, 20, 6 // writers of each handle
	drafts := make([][]kaban.Draft, 2*writers)
	for w := range drafts {
		for i := range batches * size {
			room := "shared"
			if i%3 == 0 {
				room = fmt.Sprint("own-", w)
			} else if i%3 == 1 {
				room = fmt.Sprint("new-", i)
			}
			drafts[w] = append(drafts[w], Draft(t, room, fmt.Sprint("writer-", w), fmt.Sprint("id-", i), fmt.Sprint(w, " ", i)))
		}
	}
	var group sync.WaitGroup
	for w := range drafts {
		s := []store.Store{a, b}[w%2]
		group.Go(func() {
			for n := range batches {
				if err := s.Append(context.Background(), Writes(drafts[w][n*size:(n+1)*size]...), make([]store.Result, size)); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	group.Wait()
	total := 0
	rooms, err := a.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range rooms {
		entries := read(t, a, room.Name)
		if other := read(t, b, room.Name); !slices.Equal(entries, other) {
			t.Errorf("%s: the handles read different entries", room.Name)
		}
		if uint64(len(entries)) != room.Head {
			t.Errorf("%s has %d entries and head %d", room.Name, len(entries), room.Head)
		}
		for i, e := range entries {
			if e.Seq != uint64(i+1) {
				t.Fatalf("%s: entry %d has seq %d", room.Name, i, e.Seq)
			}
		}
		total += len(entries)
	}
	if want := len(drafts) * batches * size; total != want {
		t.Errorf("%d entries are stored, want %d", total, want)
	}
}

// Both handles race to be the first with each id: exactly one is, and the other is
// told its seq.
func testHandlesSendTheSame(t *testing.T, a, b store.Store) {
	const n, size = 20, 5
	var batches [n][]kaban.Draft
	for i := range batches {
		for j := range size {
			batches[i] = append(batches[i], Draft(t, "lobby", "alice", fmt.Sprintf("%d.%d", i, j), "hello"))
		}
	}
	var results [2][n][size]store.Result
	var group sync.WaitGroup
	for h, s := range []store.Store{a, b} {
		group.Go(func() {
			for i := range batches {
				if err := s.Append(context.Background(), Writes(batches[i]...), results[h][i][:]); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	group.Wait()
	for i := range batches {
		for j := range size {
			x, y := results[0][i][j], results[1][i][j]
			if x.Err != nil || y.Err != nil || x.Seq != y.Seq || x.Time != y.Time || x.Duplicate == y.Duplicate {
				t.Errorf("the handles got %+v and %+v, want one seq and one duplicate", x, y)
			}
		}
	}
	if entries := read(t, b, RoomName(t, "lobby")); len(entries) != n*size {
		t.Errorf("%d entries are stored, want %d", len(entries), n*size)
	}
}

func testHandlesBatches(t *testing.T, a, b store.Store) {
	const batches, size = 60, 4
	lobby := RoomName(t, "lobby")
	var drafts [batches][]kaban.Draft
	for i := range drafts {
		for j := range size {
			drafts[i] = append(drafts[i], Draft(t, "lobby", "alice", fmt.Sprintf("%d.%d", i, j), "hello"))
		}
	}
	var writing sync.WaitGroup
	done := make(chan struct{})
	writing.Go(func() {
		defer close(done)
		for i := range drafts {
			if err := a.Append(context.Background(), Writes(drafts[i]...), make([]store.Result, size)); err != nil {
				t.Errorf("Append: %v", err)
			}
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
		entries := read(t, b, lobby)
		if before.Head%size != 0 || len(entries)%size != 0 || uint64(len(entries)) < before.Head {
			t.Fatalf("the other handle has head %d and then %d entries of batches of %d", before.Head, len(entries), size)
		}
	}
}

func testHandlesClose(t *testing.T, a, b store.Store) {
	draft := Draft(t, "lobby", "alice", "one", "hello")
	Append(t, a, draft)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(t.Context(), Writes(draft), make([]store.Result, 1)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Append to the closed handle: %v, want ErrClosed", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if got := Append(t, b, draft, Draft(t, "attic", "bob", "one", "hello")); !got[0].Duplicate || got[1].Seq != 1 {
		t.Errorf("Append to the other handle: %+v", got)
	}
	if entries := read(t, b, draft.Room); len(entries) != 1 {
		t.Errorf("the other handle reads %d entries, want 1", len(entries))
	}
	if rooms, err := b.Rooms(t.Context()); err != nil || len(rooms) != 2 {
		t.Errorf("Rooms of the other handle: %v, %v; want 2", rooms, err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close of the other handle: %v", err)
	}
	if _, err := b.Read(t.Context(), draft.Room, store.Page{Limit: 1}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Read from a closed handle: %v, want ErrClosed", err)
	}
}
