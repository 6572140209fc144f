package server

import (
	"container/list"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"kaban/internal/tcp"
	"kaban/wire"
)

const (
	// newcomerShare is which part of MaxClients there is in places for newcomers
	// alone, and minNewcomers the least there is.
	newcomerShare = 4
	minNewcomers  = 64
	// makeRoomShare is which part of the newcomers' places is made free at a time
	// when there is none, so that a flood does not have each connection wait for a
	// loop.
	makeRoomShare = 16
	// makeRoomTries is how often a connection has room made for it; others may be
	// quicker to take it.
	makeRoomTries = 8
	// crowdedEvery is how often the log tells at most that newcomers make room.
	crowdedEvery = time.Minute
)

// newcomers are the connections that have not said hello. They need no proof of
// anything, so anybody can have as many as there is room for. When there is none
// the ones that came first make room for new ones: whoever means it says hello at
// once, and so gets in beside any number that do not.
type newcomers struct {
	mostFromOne int // from one address

	mu      sync.Mutex                  // a leaf; guards all below
	all     list.List                   // of *handler, the first to come in front
	sources map[netip.Prefix]*list.List // of *handler, the same for each address
	made    int                         // room for how many was made since the log told
	told    time.Duration               // when it did
}

// newcomerPlace is where a newcomer is in the lists.
type newcomerPlace struct {
	source       netip.Prefix
	all, sources *list.Element // the second is nil where the source is not bounded
}

// sourceOf returns what counts as one address; see tcp.NetworkOf. What is not TCP has
// none.
func sourceOf(conn net.Conn) netip.Prefix {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return tcp.NetworkOf(remote.AddrPort().Addr())
}

// enter adds a connection. When there are more from its address than may be, it
// returns the first of those, which has to make room and is no newcomer any more.
func (n *newcomers) enter(h *handler, source netip.Prefix) (first *handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.newcomer = &newcomerPlace{source: source, all: n.all.PushBack(h)}
	if !source.IsValid() {
		return nil
	}
	same := n.sources[source]
	if same == nil {
		if n.sources == nil {
			n.sources = make(map[netip.Prefix]*list.List)
		}
		same = list.New()
		n.sources[source] = same
	}
	h.newcomer.sources = same.PushBack(h)
	if same.Len() <= n.mostFromOne {
		return nil
	}
	first = same.Front().Value.(*handler)
	n.removeLocked(first)
	return first
}

// leave removes a connection, if it is one of them.
func (n *newcomers) leave(h *handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.removeLocked(h)
}

func (n *newcomers) removeLocked(h *handler) {
	place := h.newcomer
	if place == nil {
		return
	}
	h.newcomer = nil
	n.all.Remove(place.all)
	if place.sources == nil {
		return
	}
	same := n.sources[place.source]
	if same.Remove(place.sources); same.Len() == 0 {
		delete(n.sources, place.source)
	}
}

// first removes and returns the first to have come, up to most.
func (n *newcomers) first(most int) (handlers []*handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range min(most, n.all.Len()) {
		h := n.all.Front().Value.(*handler)
		n.removeLocked(h)
		handlers = append(handlers, h)
	}
	return handlers
}

// crowded counts those that make room. It returns how many did since the log told
// of it when it is time to tell, and 0 before.
func (n *newcomers) crowded(made int, now time.Duration) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made += made
	if n.told != 0 && now-n.told < crowdedEvery {
		return 0
	}
	made, n.made, n.told = n.made, 0, max(now, 1)
	return made
}

// makeRoom ends newcomers, the first to have come first, and returns when that is
// done. It reports whether there were any.
func (m *Manager) makeRoom() bool {
	done := make(chan struct{}, m.config.MaxNewcomers)
	m.mu.Lock() // so that each was accepted before
	handlers := m.newcomers.first(max(m.config.MaxNewcomers/makeRoomShare, 1))
	for _, h := range handlers {
		h.loop.post(func() {
			h.guard((*handler).makeRoom)
			done <- struct{}{}
		})
	}
	m.mu.Unlock()
	for range handlers {
		select {
		case <-done:
		case <-m.stop: // the loops end, and everybody with them
			return false
		}
	}
	m.logCrowded(len(handlers))
	return len(handlers) > 0
}

func (m *Manager) logCrowded(made int) {
	if made == 0 {
		return
	}
	if n := m.newcomers.crowded(made, m.config.clock()); n > 0 {
		m.config.Log.Warn("there are more connections without hello than there is room for; those that came first make room", "connections", n)
	}
}

// makeRoom ends a connection that has not said hello, so that another may come. A
// hello that has come is read before.
func (h *handler) makeRoom() {
	if h.ending == nil && h.session == nil {
		h.readStep()
	}
	switch {
	case h.closed, h.session != nil:
		return
	case h.ending == nil: // whoever reads is told; nobody is waited for
		retry := retryLater()
		event := errorEvent(wire.CodeServerFull, "too many connections have not said hello, and this one had the longest time for it; come back and say hello at once")
		event.RetryAfter = retry
		h.append(&event)
		h.append(goodbye(wire.ReasonInternal, retry))
		h.socket.Write(h.framing.farewell(h.out, &ending{close: wire.CodeServerFull.Close()}))
	}
	h.finish()
}

// retryLater returns when somebody for whom there was no room should come back.
func retryLater() time.Duration { return time.Second + rand.N(4*time.Second) }

// fullEvent says that there is no room for another client.
func (m *Manager) fullEvent(retry time.Duration) *wire.Event {
	return &wire.Event{
		Type: wire.TypeError, Code: wire.CodeServerFull, RetryAfter: retry, Max: m.config.MaxClients,
		Text: fmt.Sprintf("the server is full: it takes %d clients at a time; try again later", m.config.MaxClients),
	}
}
