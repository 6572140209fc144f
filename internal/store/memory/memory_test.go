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
