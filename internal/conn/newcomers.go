package conn

import (
	"container/list"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
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
// any number that are not. One that needs a round trip first, for TLS, gets in unless a
// flood fills all places meanwhile. When an address has too many, a random one of them makes
// room.
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
	mu      sync.Mutex                   // taken before loop.mu; guards all below
	all     list.List                    // of *Handler, the first to come in front
	sources map[netip.Prefix]*[]*Handler // by address, in no order
	_       [64]byte
}

// newcomerPlace is where a newcomer is in the lists of its shard.
type newcomerPlace struct {
	arrival uint64        // counts connections
	source  netip.Prefix  // invalid: not bounded
	all     *list.Element // in newcomerShard.all
	index   int           // in newcomerShard.sources[source]
}

var sourceSeed = maphash.MakeSeed()

// enter adds a connection and has its loop accept it, which must happen before
// anything else is posted for the handler; the caller owes the loop a wake. If
// there are more from its address than may be, enter returns another one of those,
// which has to make room and is no newcomer any more.
func (n *newcomers) enter(h *Handler, source netip.Prefix, arrival uint64, accept func()) (other *Handler) {
	shard := n.shardOf(h, source)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	h.shard = shard
	other = shard.addLocked(h, &newcomerPlace{arrival: arrival, source: source}, n.mostFromOne)
	h.loop.add(accept) // it may be admitted at once, and leaves the newcomers then
	return other
}

// shardOf returns where a connection belongs.
func (n *newcomers) shardOf(h *Handler, source netip.Prefix) *newcomerShard {
	if source.IsValid() {
		return &n.shards[maphash.Comparable(sourceSeed, source)%newcomerShards]
	}
	return &n.shards[h.token.ID()%newcomerShards] // ids of a processor's shard of the pool are in few of these
}

// move has a newcomer count for another address, with the result of enter. Only the
// goroutine of the handler's loop calls it.
func (n *newcomers) move(h *Handler, source netip.Prefix) (other *Handler) {
	h.shard.mu.Lock()
	place := h.place
	h.shard.removeLocked(h)
	h.shard.mu.Unlock()
	if place == nil {
		return nil
	}
	place.source = source
	h.shard = n.shardOf(h, source)
	h.shard.mu.Lock()
	defer h.shard.mu.Unlock()
	return h.shard.addLocked(h, place, n.mostFromOne)
}

// addLocked gives a connection of the shard a place. Beyond most from its address it
// removes and returns another one of those, each with the same probability.
func (s *newcomerShard) addLocked(h *Handler, place *newcomerPlace, most int) (other *Handler) {
	h.place = place
	place.all = s.all.PushBack(h)
	if !place.source.IsValid() {
		return nil
	}
	same := s.sources[place.source]
	if same == nil {
		if s.sources == nil {
			s.sources = make(map[netip.Prefix]*[]*Handler)
		}
		same = new([]*Handler)
		s.sources[place.source] = same
	}
	if len(*same) >= most {
		other = (*same)[rand.IntN(len(*same))]
		s.removeLocked(other)
	}
	if len(*same) == 0 { // removing the last has removed the address
		s.sources[place.source] = same
	}
	place.index = len(*same)
	*same = append(*same, h)
	return other
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
	s.all.Remove(place.all)
	if !place.source.IsValid() {
		h.place = nil
		return
	}
	same := s.sources[place.source]
	last := len(*same) - 1
	(*same)[place.index] = (*same)[last]
	(*same)[place.index].place.index = place.index
	(*same)[last] = nil
	h.place = nil
	if *same = (*same)[:last]; last == 0 {
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
		m.config.Log.Warn("there are more connections without hello than there is room for, so some of them make room", "connections", n)
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
	h.socket.Write(h.out) // a peer that reads learns why; none is waited for
	h.finish()
}

// retryLater returns when a peer that there was no room for should come back.
func retryLater() time.Duration { return time.Second + rand.N(4*time.Second) }
