package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"kaban/internal/peer"
)

// holder is a request of HTTP/1.1 on a connection of its own, from an address.
func holder(t *testing.T, all *connections, address string) *holding {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	c := &connection{Conn: ours, all: all, from: peer.Peer{Addr: netip.MustParseAddr(address)}}
	return newHolding(c, &http.Request{ProtoMajor: 1})
}

// While the server is busy with as much as it may hold, more is refused, and those that
// are waited for stay, because ending them would not be enough.
func TestHeldByWhatCannotEnd(t *testing.T) {
	all := newConnections(Config{MaxRequests: 1000, Log: slog.New(slog.DiscardHandler)})
	slow := holder(t, all, "192.0.2.1")
	slow.conn.await()
	if err := slow.hold(1000, false); err != nil {
		t.Fatal(err)
	}
	const size = 100 << 10
	var busy []*holding
	var err error
	for i := 0; err == nil && i < 2*maxHeld/size; i++ {
		h := holder(t, all, fmt.Sprintf("198.51.100.%d", i%200+1))
		if err = h.holdBody(size); err == nil {
			busy = append(busy, h)
		}
	}
	if !errors.Is(err, errHeld) || all.held > maxHeld || all.held < maxHeld-size {
		t.Fatalf("%d bytes are held: %v", all.held, err)
	}
	if slow.isOver {
		t.Error("a slow reader was ended for nothing")
	}
	all.bodies[owner{}] = maxBodies // the bounds are independent of each other
	busy[0].letGo()
	if err := holder(t, all, "192.0.2.2").holdBody(size); err != nil || slow.isOver {
		t.Errorf("when there is room again: %v", err)
	}
	if p := bodyProblem(fmt.Errorf("read: %w", errHeld)); p.Status != http.StatusServiceUnavailable || p.GetHeaders().Get("Retry-After") != "1" {
		t.Errorf("the refusal is %+v", p)
	}
	for _, h := range busy[1:] {
		h.letGo()
	}
}

// Room is made by the address that holds the most, not by the one that waits longest.
func TestRoomIsMadeByWhoHoldsTheMost(t *testing.T) {
	all := newConnections(Config{MaxRequests: 1000, Log: slog.New(slog.DiscardHandler)})
	add := func(address string, bytes int) *holding {
		h := holder(t, all, address)
		h.conn.await()
		if err := h.hold(bytes, false); err != nil {
			t.Fatal(err)
		}
		return h
	}
	small := add("192.0.2.1", 2<<20)
	var many []*holding
	for range 29 {
		many = append(many, add("192.0.2.2", 1<<20))
	}
	last := add("192.0.2.3", 3<<20) // 2 MiB more than there is
	for i, h := range append([]*holding{small, last}, many...) {
		if want := i == 2 || i == 3; h.isOver != want {
			t.Errorf("request %d has ended: %v, want %v", i, h.isOver, want)
		}
	}
	if all.held != maxHeld || len(all.holdings) != 29 {
		t.Errorf("%d bytes are held by %d requests", all.held, len(all.holdings))
	}
	for _, h := range append(many, small, last) {
		h.letGo()
	}
	if all.held != 0 || len(all.holdings)+len(all.byOwner)+len(all.bodies) != 0 {
		t.Errorf("%d bytes are held in the end, of %v", all.held, all.byOwner)
	}
}
