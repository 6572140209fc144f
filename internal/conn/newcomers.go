package conn

import (
	"container/list"
	"hash/maphash"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"kaban/internal/tcp"
)

const (
	// newcomerShards is over how many locks the newcomers are spread.
	newcomerShards = 16
	// makeRoomShare is which part of the newcomers' places is made free at a time
	// when there is none, so that a flood does not have each connection wait for a
	// loop.
	makeRoomShare = 16
	// makeRoomTries is how often a connection has room made for it; others may be
	// quicker to take it.
	makeRoomTries = 8
	// crowdedEvery is the least time between lines in the log that say that
	// newcomers make room.
	crowdedEvery = time.Minute
)

// newcomers are the connections that are not admitted. They have proven nothing,
// so anybody can have as many as there is room for. When there is none, those that
// came first make room: a real client is admitted at once, and so gets in beside
// any number that are not.
//
// They are sharded as the id pool is, so that connections that come and go at the
// same time do not queue at one lock. All newcomers of an address are in the same
// shard. Which came first of all is found by looking at the first of each shard,
// which happens only when there is no room.
type newcomers struct {
	mostFromOne int // from one address
	shards      [newcomerShards]newcomerShard
	crowd       crowdLog
}

// newcomerShard is a part of the newcomers. Its padding keeps shards that are used
// by different cores off one cache line.
type newcomerShard struct {
	mu      sync.Mutex                  // taken before loop.mu; guards all below
	all     list.List                   // of *Handler, the first to come in front
	sources map[netip.Prefix]*list.List // of *Handler, the same for each address
	_       [64]byte
}

// newcomerPlace is where a newcomer is in the lists of its shard.
type newcomerPlace struct {
	arrival      uint64 // counts connections
	source       netip.Prefix
	all, sources *list.Element // the second is nil where the source is not bounded
}

var sourceSeed = maphash.MakeSeed()

// sourceOf returns what counts as one address; see tcp.NetworkOf. A connection
// other than TCP has none.
func sourceOf(conn net.Conn) netip.Prefix {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return tcp.NetworkOf(remote.AddrPort().Addr())
}

// enter adds a connection and has its loop accept it, which must happen before
// anything else is posted for the handler; the caller owes the loop a wake. If
// there are more from its address than may be, enter returns the first of those,
// which has to make room and is no newcomer any more.
func (n *newcomers) enter(h *Handler, source netip.Prefix, arrival uint64, accept func()) (first *Handler) {
	shard := &n.shards[arrival%newcomerShards]
	if source.IsValid() {
		shard = &n.shards[maphash.Comparable(sourceSeed, source)%newcomerShards]
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	h.shard = shard
	h.place = &newcomerPlace{arrival: arrival, source: source, all: shard.all.PushBack(h)}
	h.loop.add(accept)
	if !source.IsValid() {
		return nil
	}
	same := shard.sources[source]
	if same == nil {
		if shard.sources == nil {
			shard.sources = make(map[netip.Prefix]*list.List)
		}
		same = list.New()
		shard.sources[source] = same
	}
	h.place.sources = same.PushBack(h)
	if same.Len() <= n.mostFromOne {
		return nil
	}
	first = same.Front().Value.(*Handler)
	shard.removeLocked(first)
	return first
}

// leave removes a connection, if it is one of them.
func (n *newcomers) leave(h *Handler) {
	if h.shard == nil {
		return
	}
	h.shard.mu.Lock()
	defer h.shard.mu.Unlock()
	h.shard.removeLocked(h)
}

func (s *newcomerShard) removeLocked(h *Handler) {
	place := h.place
	if place == nil {
		return
	}
	h.place = nil
	s.all.Remove(place.all)
	if place.sources == nil {
		return
	}
	same := s.sources[place.source]
	if same.Remove(place.sources); same.Len() == 0 {
		delete(s.sources, place.source)
	}
}

// first removes and returns the first to have come, up to most.
func (n *newcomers) first(most int) (handlers []*Handler) {
	for i := range n.shards {
		n.shards[i].mu.Lock()
		defer n.shards[i].mu.Unlock()
	}
	for range most {
		var first *Handler
		for i := range n.shards {
			front := n.shards[i].all.Front()
			if front == nil {
				continue
			}
			if h := front.Value.(*Handler); first == nil || h.place.arrival < first.place.arrival {
				first = h
			}
		}
		if first == nil {
			break
		}
		first.shard.removeLocked(first)
		handlers = append(handlers, first)
	}
	return handlers
}

// crowdLog counts newcomers that make room, for the log.
type crowdLog struct {
	mu     sync.Mutex    // a leaf; guards all below
	made   int           // made room since the last line
	logged time.Duration // when that was; 0: never
}

// due counts those that make room. It returns how many did since the last line
// when it is time for another, and 0 before.
func (c *crowdLog) due(made int, now time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made += made
	if c.logged != 0 && now-c.logged < crowdedEvery {
		return 0
	}
	made, c.made, c.logged = c.made, 0, max(now, 1)
	return made
}

func (m *Manager) logCrowded(made int) {
	if made == 0 {
		return
	}
	if n := m.newcomers.crowd.due(made, m.config.Clock()); n > 0 {
		m.config.Log.Warn("there are more connections without hello than there is room for; those that came first make room", "connections", n)
	}
}

// makeRoom ends newcomers, the first to have come first, and returns when that is
// done. It reports whether there were any.
func (m *Manager) makeRoom() bool {
	handlers := m.newcomers.first(max(m.config.MaxNewcomers/makeRoomShare, 1))
	done := make(chan struct{}, len(handlers))
	for _, h := range handlers {
		h.loop.post(func() {
			h.guard((*Handler).makeRoom)
			done <- struct{}{}
		})
	}
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

// makeRoom ends a newcomer so that another connection may come. Input that has
// come is read first: it may be a hello.
func (h *Handler) makeRoom() {
	if h.reads() && !h.admitted {
		h.readStep()
	}
	if h.isClosed() || h.admitted {
		return
	}
	h.End(Crowded, retryLater()) // unless a hello that was refused ends it
	if h.phase < said {
		h.sayFarewell()
	}
	h.socket.Write(h.out) // whoever reads learns why; nobody is waited for
	h.finish()
}

// retryLater returns when a peer that there was no room for should come back.
func retryLater() time.Duration { return time.Second + rand.N(4*time.Second) }
