package conn_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// heapOf returns by how much build grows the heap in use.
func heapOf(build func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // sync.Pool survives the first
	runtime.ReadMemStats(&before)
	build()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// A stalled connection, cut in the middle of a message and in a room that goes on,
// holds no more memory than an idle one.
func TestStalledConnectionsHoldNothing(t *testing.T) {
	const crowd = 2000
	heaps := make(map[bool]uint64)
	for _, stalled := range []bool{false, true} {
		// A small window, so that both cases keep as much of the log.
		d, err := dispatch.New(context.Background(), memory.New(64<<10), dispatch.Options{TailBytes: 8 << 10, PresenceDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		manager, front := newServer(t, conn.Config{MaxClients: 2 * crowd}, d)
		m := &model{t: t, manager: manager, server: front, loop: conn.NewTestLoop(manager)}
		speaker := m.enter()
		speaker.socket.room = 1 << 30
		speaker.say(`{"type":"join","room":"lobby"}`)
		m.settle()
		heaps[stalled] = heapOf(func() {
			for range crowd {
				p := m.enter()
				p.say(`{"type":"join","room":"lobby"}`)
				p.socket.room = 1 << 30
			}
			m.settle()
			if stalled {
				for _, p := range m.peers[1:] {
					p.socket.room = 6000 // one and a half messages
				}
			}
			for i := range 100 {
				speaker.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("x", 4000))
				m.settle()
			}
			for _, p := range m.peers {
				if p != speaker && p.handler.IsBlocked() != stalled {
					t.Fatal("a connection is not as it should be")
				}
				p.socket.out = nil // the peer's memory is not the server's
				p.asked = nil
			}
			speaker.socket.in = nil
		})
		m.loop.CloseAll()
		manager.Close()
		d.Close()
	}
	t.Logf("%d idle connections hold %d KiB, as many stalled ones %d KiB", crowd, heaps[false]>>10, heaps[true]>>10)
	if heaps[true] > heaps[false]+heaps[false]/10 {
		t.Errorf("%d stalled connections hold %d bytes, idle ones %d: more than a tenth more", crowd, heaps[true], heaps[false])
	}
}

// A connection that has left a room holds nothing of what is said there afterwards, although its
// subscription lives as long as it does.
func TestALeftRoomIsNotHeld(t *testing.T) {
	const messages, size = 2000, 4000
	d, err := dispatch.New(context.Background(), memory.New(64<<10), dispatch.Options{TailBytes: 8 << 10, PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	manager, front := newServer(t, conn.Config{MaxClients: 10}, d)
	m := &model{t: t, manager: manager, server: front, loop: conn.NewTestLoop(manager)}
	defer func() {
		m.loop.CloseAll()
		manager.Close()
		d.Close()
	}()
	for range 3 { // one that speaks, one that stays, and one that leaves
		p := m.enter()
		p.socket.room = 1 << 30
		p.say(`{"type":"join","room":"lobby"}`)
	}
	speaker, leaver := m.peers[0], m.peers[2]
	speaker.say(`{"type":"send","room":"lobby","id":"first","content":"x"}`)
	m.settle()
	leaver.say(`{"type":"part","room":"lobby"}`)
	m.settle()
	held := heapOf(func() {
		for i := range messages {
			speaker.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("x", size))
			m.settle()
			for _, p := range m.peers { // the peers' memory is not the server's
				p.socket.out, p.socket.in, p.asked = nil, nil, nil
			}
		}
	})
	if leaver.handler.IsClosed() {
		t.Fatal("the connection that left the room is closed")
	}
	if held > messages*size/4 {
		t.Errorf("after %d bytes of messages the server holds %d", messages*size, held)
	}
}
