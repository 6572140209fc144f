package conn

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/trace"
)

const (
	// flushesPerRound is after how many writing connections the loop looks for new
	// input: input that comes while a large room is served then shares the writes to
	// those whose turn is still to come.
	flushesPerRound = 64
	// checksPerRound is how many connections a sweep checks in a round.
	checksPerRound = 4096
	// maxSweep and endingSweep are the time between sweeps: at most, and while
	// connections are ending.
	maxSweep    = 500 * time.Millisecond
	endingSweep = 50 * time.Millisecond
	// stepsPerSweep is how many times longer than between two sweeps a round may
	// take before the rest does not count: the process was stopped.
	stepsPerSweep = 2
)

// loop serves many connections. One goroutine does everything that concerns them,
// so what a loop and its handlers own needs no lock. It works in rounds: take all
// input that is ready, submit the sends in it as one batch, then write to each
// connection that has something new, once. There is no timer: at low load a round
// is one message, under load many messages share a write.
//
// Nothing in a round blocks. Calls that may block, such as reads of the store, are
// made by the manager's workers, which post what comes next.
type loop struct {
	manager *Manager
	poller  poller

	// The loop's own.
	handlers []*Handler
	reads    []*Handler   // that have input
	spare    []*Handler   // the memory of the last reads; empty
	heavy    queue        // that have input, and asked for much before
	spent    int          // units of work for requests, in this round
	writes   queue        // that have something to write, or to decide
	answers  queue        // the same, but first: their peers wait for it, or few do
	fetches  queue        // that wait for a worker to read for them
	fetching int          // workers that read, and pages of theirs not yet written
	ending   int          // handlers that are ending
	pauses   pauses       // handlers whose input waits for a time
	began    trace.Moment // the reads of this round
	sends    []dispatch.Send
	pulse    // now is the time of this round
	swept    time.Duration
	toCheck  int // handlers that the sweep has still to check: the first so many
	giveUps  int // silent connections that this sweep may still end
	stage    stage
	refusing bool   // the last connection could not be served, and the log says so
	sealed   []byte // ciphertext of one write; what is not taken is copied
	scratch  []byte // for input that is discarded; nil until there is some
	tally    tally  // of this loop since its start
	shown    tally  // the tally as it was published last
	published

	// Everybody's.
	asleep atomic.Bool // wake has to end a wait
	posted atomic.Bool // there is something below
	mu     sync.Mutex  // a leaf; guards all below
	posts  posts
	empty  posts // the memory of the last posts
}

// stage is how far a loop is with its own end. It only grows.
type stage uint8

const (
	running  stage = iota
	draining       // connections end once they have what they are owed, new ones too
	killing        // connections end at once, new ones too
	stopped        // the loop ends when it has no connections
)

func newLoop(m *Manager, p poller) *loop {
	l := &loop{manager: m, poller: p, pulse: newPulse(m.config.Clock, stepsPerSweep*m.sweepEvery)}
	l.swept = l.now
	return l
}

// run is the loop's goroutine. It ends after stop, when it has no connections.
func (l *loop) run() {
	defer func() {
		if err := l.poller.close(); err != nil {
			l.manager.config.Log.Error("close a poller", "err", err)
		}
	}()
	for l.stage < stopped || len(l.handlers) > 0 {
		if err := l.poll(); err != nil { // no event can be reported any more
			l.manager.config.Log.Error("cannot wait for connections; all of this loop end", "err", err)
			l.closeAll()
			l.stop()
		}
		l.round()
	}
}

// round does everything that is ready.
func (l *loop) round() {
	l.tick(l.manager.config.Clock)
	l.takePosts()
	l.goOn()
	l.read()
	l.write()
	if l.toCheck > 0 || l.now-l.swept >= l.sweepEvery() {
		l.sweep()
	}
	l.publish()
}

// busy reports whether there is work left for the next round.
func (l *loop) busy() bool {
	return len(l.reads)+l.heavy.len()+l.writes.len()+l.answers.len()+len(l.sends) > 0
}

// poll waits for work, unless there is some, and notes which sockets are ready.
func (l *loop) poll() error {
	var events []event
	var err error
	if l.busy() || l.toCheck > 0 {
		events, err = l.poller.wait(0)
	} else {
		timeout := l.rest()
		l.asleep.Store(true)
		if l.posted.Load() {
			timeout = 0
		}
		events, err = l.poller.wait(timeout)
		l.asleep.Store(false)
	}
	for i := range events {
		if e := &events[i]; e.readable {
			l.readable(e.handler)
		}
		if e := &events[i]; e.writable {
			l.writable(e.handler)
		}
	}
	return err
}

// readable notes that a socket has input.
func (l *loop) readable(h *Handler) {
	if !h.reading {
		h.reading = true
		l.reads = append(l.reads, h)
	}
}

// writable notes that a socket takes output again.
func (l *loop) writable(h *Handler) {
	if h.blocked {
		if s, ok := h.socket.(*tlsSocket); ok && !s.unblock() {
			return
		}
		h.block(false)
		for _, s := range h.rooms {
			s.Rise()
		}
		h.lookAround()
	}
}

// read takes the input that is ready and submits it as one batch. Connections that
// asked for much in their last step come after all others and share a part of the
// round; the rest of them wait for the next.
func (l *loop) read() {
	l.began = trace.Now()
	reads := l.reads
	l.reads, l.spare = l.spare, nil
	for _, h := range reads {
		if h.heavy {
			l.heavy.push(h)
			continue
		}
		h.reading = false
		h.guard((*Handler).readStep)
	}
	l.spent = 0
	for range l.heavy.len() {
		if l.spent >= heavyShare {
			break
		}
		h := l.heavy.pop()
		h.reading = false
		h.guard((*Handler).readStep)
	}
	clear(reads)
	l.spare = reads[:0]
	if len(l.sends) > 0 {
		l.manager.config.Submit(l.sends)
		clear(l.sends)
		if l.sends = l.sends[:0]; cap(l.sends) > 4*maxSends {
			l.sends = nil
		}
		l.takePosts() // if the store does not block, the receipts are there
	}
}

// write serves some of those that have something to write.
func (l *loop) write() {
	for range min(l.answers.len(), flushesPerRound) {
		h := l.answers.pop()
		h.waits = false
		h.guard((*Handler).writeStep)
	}
	for range min(l.writes.len(), flushesPerRound) {
		h := l.writes.pop()
		h.marked = false
		h.guard((*Handler).writeStep)
	}
}

// sweepEvery is the time between sweeps.
func (l *loop) sweepEvery() time.Duration {
	if l.ending > 0 {
		return min(endingSweep, l.manager.sweepEvery)
	}
	return l.manager.sweepEvery
}

// sweep checks time-outs. It goes on in the next round when it has checked many
// or has given the loop as much to write as a round writes: pings that wait for
// their turn take memory.
func (l *loop) sweep() {
	if l.toCheck == 0 {
		l.swept, l.toCheck = l.now, len(l.handlers)
		l.giveUps = max(1, int(time.Duration(len(l.handlers))*l.manager.sweepEvery/l.manager.config.Heartbeat))
	}
	writes := l.writes.len()
	for range min(l.toCheck, checksPerRound) {
		if l.toCheck = min(l.toCheck, len(l.handlers)); l.toCheck == 0 {
			return
		}
		l.toCheck-- // one that closes makes room for the last
		l.handlers[l.toCheck].guard((*Handler).check)
		if l.writes.len()-writes >= flushesPerRound {
			return
		}
	}
}

// accept begins to serve a connection.
func (l *loop) accept(h *Handler, conn net.Conn) {
	h.index = int32(len(l.handlers))
	h.quiet = l.now
	l.handlers = append(l.handlers, h)
	if l.stage >= killing {
		conn.Close()
		h.finish()
		return
	}
	encrypted, carrier, below := layersOf(conn)
	var err error
	if h.socket, err = l.poller.add(below, h); err != nil {
		if !l.refusing { // once, not for each of many
			l.refusing = true
			l.manager.config.Log.Error("cannot serve new connections for now; raise the limit of open files or lower --max-clients", "err", err)
		}
		h.socket = nil
		h.finish()
		return
	}
	l.refusing = false
	if encrypted != nil {
		h.encrypt(encrypted, carrier)
	}
	l.readable(h) // no poller reports input that came before add
	if l.stage == draining {
		h.drain(time.Second)
	}
}

// forget drops a handler that has closed.
func (l *loop) forget(h *Handler) {
	last := len(l.handlers) - 1
	l.handlers[h.index] = l.handlers[last]
	l.handlers[h.index].index = h.index
	l.handlers[last] = nil
	l.handlers = l.handlers[:last]
}

// drain ends all connections once they have what they are owed. They should come
// back spread over some time.
func (l *loop) drain(spread time.Duration) {
	l.stage = max(l.stage, draining)
	for i := len(l.handlers) - 1; i >= 0; i-- {
		l.handlers[i].guard(func(h *Handler) { h.drain(spread) })
	}
}

// drain has up to a thousand clients come back within a second, to the next server of this place or to
// another node.
func (h *Handler) drain(spread time.Duration) { h.End(Draining, spread/10+rand.N(spread*8/10)) }

// kill ends all connections at once.
func (l *loop) kill() {
	l.stage = max(l.stage, killing)
	l.closeAll()
}

func (l *loop) closeAll() {
	for len(l.handlers) > 0 {
		l.handlers[len(l.handlers)-1].finish()
	}
}

// stop ends the loop when it has no connections.
func (l *loop) stop() { l.stage = stopped }

// guard runs a step and turns a panic in it into the end of the connection.
func (h *Handler) guard(step func(*Handler)) {
	defer func() {
		if cause := recover(); cause != nil {
			h.loop.manager.panics.Add(1)
			h.loop.manager.config.Log.Error("a handler panicked; its connection ends, please report this", "connection", h.Origin(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			h.finish()
		}
	}()
	if !h.isClosed() {
		step(h)
	}
}
