package memory

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Driver{Open: func(*testing.T) store.Store { return New(0) }, Instant: true})
}

func TestWindowForgetsTheOldestOfAllRooms(t *testing.T) {
	s := New(4 * (entryOverhead + 100))
	content := strings.Repeat("x", 80) // just under 100 bytes with id and name
	for i := range 6 {
		storetest.Append(t, s, storetest.Draft(t, fmt.Sprintf("room-%d", i%2), "alice", fmt.Sprint("id", i), content))
	}
	for i, want := range []store.Room{{Head: 3, Oldest: 2}, {Head: 3, Oldest: 2}} {
		want.Name = storetest.RoomName(t, fmt.Sprintf("room-%d", i))
		if got, _ := s.Room(t.Context(), want.Name); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	entries, err := s.Read(t.Context(), storetest.RoomName(t, "room-0"), store.Page{Limit: 10})
	if err != nil || len(entries) != 2 || entries[0].Seq != 2 {
		t.Errorf("Read = %v, %v; want seq 2 and 3", entries, err)
	}
	// The id of a forgotten message is free again; that of a kept one is not.
	results := storetest.Append(t, s,
		storetest.Draft(t, "room-0", "alice", "id4", "something else"),
		storetest.Draft(t, "room-0", "alice", "id0", "something else"),
	)
	if results[0].Err == nil || results[1].Err != nil || results[1].Seq != 4 {
		t.Errorf("got %+v, want a conflict and seq 4", results)
	}
}

// Messages that are forgotten stay counted, unless nothing of a visitor is kept.
func TestForgottenMessagesAreCounted(t *testing.T) {
	s := New(4 * (entryOverhead + 100))
	room, content := storetest.RoomName(t, "lobby"), strings.Repeat("x", 80)
	ann := kaban.Account("ann", storetest.Username(t, "ann"))
	for i := range 8 { // ann writes 1, 3, 5 and bob, a visitor, 2, 4, 6 to 8
		d := storetest.Draft(t, "lobby", "bob", fmt.Sprint("id", i), content)
		if i%2 == 0 && i < 5 {
			d.Author = ann
		}
		storetest.Append(t, s, d)
	}
	for author, want := range map[string]store.Tally{
		ann.ID():      {Head: 8, Oldest: 5, Counts: store.Counts{Messages: 8, Own: 3}, Front: store.Counts{Messages: 4, Own: 2}},
		"visitor:bob": {Head: 8, Oldest: 5, Counts: store.Counts{Messages: 8, Own: 5}, Front: store.Counts{Messages: 4, Own: 2}},
	} {
		tallies, err := s.Tallies(t.Context(), author, []kaban.RoomName{room})
		if err != nil || tallies[0] != want {
			t.Errorf("%s: %+v, %v; want %+v", author, tallies, err, want)
		}
		// What is not kept is not unread.
		for seq, unread := range map[uint64]uint64{0: 4 - (want.Own - want.Front.Own), 3: 4 - (want.Own - want.Front.Own), 8: 0} {
			mark, err := s.CountTo(t.Context(), room, author, seq, store.Mark{})
			if got := tallies[0].Unread(mark); err != nil || got != unread || mark.Seq != max(seq, 4) {
				t.Errorf("%s has %d unread behind %d, %v; want %d", author, got, seq, err, unread)
			}
			if got := tallies[0].Unread(store.Mark{Seq: seq}); seq < 4 && got != unread {
				t.Errorf("%s has %d unread behind %d, which is forgotten; want %d", author, got, seq, unread)
			}
		}
	}
	for i := range 5 {
		storetest.Append(t, s, storetest.Draft(t, "attic", "cat", fmt.Sprint("id", i), content))
	}
	lobby := s.rooms["lobby"]
	if _, known := lobby.authors["visitor:bob"]; known || lobby.authors[ann.ID()] != (wrote{all: 3}) || lobby.forgotten != 8 {
		t.Errorf("what is forgotten is counted as %+v, %d", lobby.authors, lobby.forgotten)
	}
}

func TestWindowKeepsTheNewestEntryWhateverItsSize(t *testing.T) {
	s := New(1)
	for i := range 3 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", fmt.Sprint("id", i), "hi"))
	}
	got, _ := s.Room(t.Context(), storetest.RoomName(t, "lobby"))
	if got.Head != 3 || got.Oldest != 3 {
		t.Errorf("head %d, oldest %d; want 3, 3", got.Head, got.Oldest)
	}
}

func TestWindowBoundsTheHeap(t *testing.T) {
	const window = 8 << 20
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	s := New(window)
	batch := make([]kaban.Draft, 1000)
	for round := range 60 { // more than twice the window
		for i := range batch {
			batch[i] = storetest.Draft(t, "lobby", "alice", fmt.Sprintf("%d.%d", round, i), fmt.Sprintf("message %d of %d", i, round))
		}
		storetest.Append(t, s, batch...)
	}
	if room, _ := s.Room(t.Context(), storetest.RoomName(t, "lobby")); room.Oldest == 1 {
		t.Fatal("nothing was forgotten: the window was not full")
	}
	if used := heap() - before; used > window*5/4 {
		t.Errorf("the heap grew by %d bytes for a window of %d", used, window)
	}
	runtime.KeepAlive(s)
}
