package conn

import "sync/atomic"

// Stats are what a manager has counted since its start, and how much there is now.
type Stats struct {
	Clients     int   // connections that are admitted
	Connections int   // all
	Behind      int   // cursors that wait for entries from the store
	Blocked     int   // connections with a socket that takes nothing
	Panics      int64 // that were recovered

	Opened  uint64 // connections that a handler got
	Refused uint64 // connections that none got
	// Ended are the connections that have ended, by their Reason.
	Ended [reasons]uint64

	Deliveries         uint64 // entries given to sockets, each as often as there are readers
	ReadBytes, Written uint64 // bytes from and to sockets
}

// Stats returns the present numbers. It takes no lock that a loop takes, and no time
// for each connection. A loop publishes its numbers once a round.
func (m *Manager) Stats() Stats {
	s := Stats{
		Clients: int(m.clients.Load()), Connections: m.pool.InUse(), Panics: m.panics.Load(),
		Opened: m.arrivals.Load(), Refused: m.refused.Load(),
	}
	for i := range m.ended {
		s.Ended[i] = m.ended[i].Load()
	}
	for _, l := range m.allLoops() {
		p := &l.published
		s.Deliveries += p.deliveries.Load()
		s.ReadBytes += p.read.Load()
		s.Written += p.written.Load()
		s.Behind += int(p.behind.Load())
		s.Blocked += int(p.blocked.Load())
	}
	return s
}

// tally is what a loop counts. It is the loop's own, so counting is an addition.
type tally struct {
	deliveries    uint64
	read, written uint64
	behind        int
	blocked       int
}

// published is the tally as others see it, apart from what the loop works with.
type published struct {
	_                         [64]byte
	deliveries, read, written atomic.Uint64
	behind, blocked           atomic.Int64
	_                         [64]byte
}

// publish shows others what has changed since the last round.
func (l *loop) publish() {
	l.tally.behind = l.fetching + l.fetches.len()
	if l.tally == l.shown {
		return
	}
	p := &l.published
	p.deliveries.Store(l.tally.deliveries)
	p.read.Store(l.tally.read)
	p.written.Store(l.tally.written)
	if l.tally.behind != l.shown.behind || l.tally.blocked != l.shown.blocked {
		p.behind.Store(int64(l.tally.behind))
		p.blocked.Store(int64(l.tally.blocked))
	}
	l.shown = l.tally
}

// block notes whether the socket takes nothing.
func (h *Handler) block(blocked bool) {
	switch {
	case blocked && !h.blocked:
		h.loop.tally.blocked++
	case !blocked && h.blocked:
		h.loop.tally.blocked--
	}
	h.blocked = blocked
}

// reasonNames are the reasons as labels of metrics.
var reasonNames = [reasons]string{
	HungUp: "hung_up", Late: "late", Crowded: "crowded", Full: "full", Refused: "refused", Violation: "violation", Idle: "idle",
	SlowConsumer: "slow_consumer", Replaced: "replaced", Draining: "draining", Unavailable: "unavailable", Internal: "internal", Lost: "lost",
}

// String returns the reason as it is a label of metrics.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return reasonNames[Internal]
}
