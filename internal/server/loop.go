package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/chat"
	"kaban/wire"
)

const (
	// flushesPerRound is after how many connections that were written to the loop
	// looks for new input: what comes while a large room is served then shares the
	// writes to those whose turn is still to come.
	flushesPerRound = 64
	// checksPerRound is how many connections are looked after in a round.
	checksPerRound = 4096
	// maxSweep and endingSweep are how often a loop looks after everything that
	// has to do with time: at most, and while connections are ending.
	maxSweep    = 500 * time.Millisecond
	endingSweep = 50 * time.Millisecond
	// stepsPerSweep is how many times longer than between two sweeps a round may
	// take until the rest does not count: somebody has stopped the process.
	stepsPerSweep = 2
)

// loop serves many connections. One goroutine does everything that concerns
// them, so what a loop and its handlers own needs no lock. It works in rounds:
// take all input that is ready, submit it as one batch, then write to each
// connection that has something new, once. There is no timer: at low load a
// round is one message, under load many share a write.
//
// Nothing in a round blocks. What may block, a read of the store, is done by
// the manager's workers, which post what comes next.
type loop struct {
	manager *Manager
	poller  poller

	// The loop's own.
	handlers []*handler
	reads    []*handler // that have something to read
	spare    []*handler // what reads was before; empty
	heavy    queue      // that have something to read, and had much before
	spent    int        // units of work of requests, in this round
	writes   queue      // that have something to write, or to decide
	answers  queue      // the same, but first: their clients wait for it, or few do
	fetches  queue      // that wait for a worker to read for them
	fetching int        // for how many one does, or has and it was not given yet
	ending   int        // handlers that are ending
	sends    []chat.Send
	request  wire.Request // being carried out
	pulse                 // now is the time of this round
	swept    time.Duration
	toCheck  int // handlers that the sweep has still to look after: the first so many
	giveUps  int // silent connections that this sweep may still end
	stopped  bool
	refusing bool   // the last connection could not be served, and the log says so
	scratch  []byte // for what is swallowed; nil until then

	// Everybody's.
	asleep atomic.Bool // wake has to end a wait
	posted atomic.Bool // there is something below
	mu     sync.Mutex  // a leaf; guards all below
	posts  posts
	empty  posts // what posts was before
}

// posts are what others have for a loop.
type posts struct {
	audiences     []*chat.Audience
	subscriptions []*chat.Subscription
	calls         []func()
}

// queue is handlers in the order in which they came.
type queue struct {
	handlers []*handler
	first    int
}

func (q *queue) len() int { return len(q.handlers) - q.first }

func (q *queue) push(h *handler) {
	if len(q.handlers) == cap(q.handlers) && q.first > 0 { // there is room in front
		n := copy(q.handlers, q.handlers[q.first:])
		clear(q.handlers[n:])
		q.handlers, q.first = q.handlers[:n], 0
	}
	q.handlers = append(q.handlers, h)
}

func (q *queue) pop() *handler {
	h := q.handlers[q.first]
	q.handlers[q.first] = nil
	if q.first++; q.first == len(q.handlers) {
		q.handlers, q.first = q.handlers[:0], 0
	}
	return h
}

func newLoop(m *Manager, p poller) *loop {
	l := &loop{manager: m, poller: p, pulse: newPulse(m.config.clock, stepsPerSweep*m.sweepEvery)}
	l.swept = l.now
	return l
}

// Wake implements chat.Waker.
func (l *loop) Wake(a *chat.Audience) {
	l.mu.Lock()
	l.posts.audiences = append(l.posts.audiences, a)
	l.mu.Unlock()
	l.wake()
}

// WakeOne implements chat.Waker.
func (l *loop) WakeOne(s *chat.Subscription) {
	l.mu.Lock()
	l.posts.subscriptions = append(l.posts.subscriptions, s)
	l.mu.Unlock()
	l.wake()
}

// post has the loop call something. Anybody may call it.
func (l *loop) post(call func()) {
	l.mu.Lock()
	l.posts.calls = append(l.posts.calls, call)
	l.mu.Unlock()
	l.wake()
}

func (l *loop) wake() {
	l.posted.Store(true)
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		l.poller.wake()
	}
}

// run is the loop's goroutine. It ends after stop, when it has no connections.
func (l *loop) run() {
	defer func() {
		if err := l.poller.close(); err != nil {
			l.manager.config.Log.Error("close a poller", "err", err)
		}
	}()
	for !l.stopped || len(l.handlers) > 0 {
		if err := l.poll(); err != nil { // nothing can be told any more
			l.manager.config.Log.Error("cannot wait for connections; all of this loop end", "err", err)
			l.closeAll()
			l.stopped = true
		}
		l.round()
	}
}

// round does what is ready.
func (l *loop) round() {
	l.tick(l.manager.config.clock)
	l.takePosts()
	l.read()
	l.write()
	if l.toCheck > 0 || l.now-l.swept >= l.sweepEvery() {
		l.sweep()
	}
}

// busy reports whether there is work left for the next round.
func (l *loop) busy() bool {
	return len(l.reads)+l.heavy.len()+l.writes.len()+l.answers.len()+len(l.sends) > 0
}

// poll waits for work, not at all if there is some.
func (l *loop) poll() error {
	if l.busy() || l.toCheck > 0 {
		return l.poller.wait(l, 0)
	}
	timeout := time.Duration(-1)
	if len(l.handlers) > 0 {
		timeout = max(l.sweepEvery()-(l.now-l.swept), 0)
	}
	l.asleep.Store(true)
	if l.posted.Load() {
		timeout = 0
	}
	err := l.poller.wait(l, timeout)
	l.asleep.Store(false)
	return err
}

// takePosts does what others have for the loop.
func (l *loop) takePosts() {
	if !l.posted.Load() {
		return
	}
	l.posted.Store(false)
	l.mu.Lock()
	taken := l.posts
	l.posts, l.empty = l.empty, posts{}
	l.mu.Unlock()
	for _, call := range taken.calls {
		call()
	}
	for _, s := range taken.subscriptions {
		l.notifyFirst(s)
	}
	for _, a := range taken.audiences {
		notify := l.notifyFirst
		members := a.Members()
		if len(members) > flushesPerRound { // small rooms do not wait for a large one
			notify = l.notify
		}
		for _, s := range members {
			notify(s)
		}
	}
	taken.clear()
	l.mu.Lock()
	l.empty = taken
	l.mu.Unlock()
}

// clear keeps the memory, unless it is much.
func (p *posts) clear() {
	const most = 1024
	if cap(p.audiences) > most || cap(p.subscriptions) > most || cap(p.calls) > most {
		*p = posts{}
		return
	}
	clear(p.audiences)
	clear(p.subscriptions)
	clear(p.calls)
	p.audiences, p.subscriptions, p.calls = p.audiences[:0], p.subscriptions[:0], p.calls[:0]
}

// note notes that a subscription may have something. It returns the handler if that
// is to look. A connection that takes nothing looks at all of its subscriptions when
// it does again, and one that a worker reads for is looked at when that is done.
func (l *loop) note(s *chat.Subscription) *handler {
	h := s.Member().(*handler)
	if s.Marked || h.blocked || h.closed || s == h.fetching {
		return nil
	}
	s.Marked = true
	h.ready = append(h.ready, s)
	return h
}

// notify notes that a subscription may have something.
func (l *loop) notify(s *chat.Subscription) {
	if h := l.note(s); h != nil {
		l.mark(h)
	}
}

// notifyFirst notes that a subscription may have something for few.
func (l *loop) notifyFirst(s *chat.Subscription) {
	if h := l.note(s); h != nil {
		l.answer(h)
	}
}

// mark notes that a handler has something to write, or to decide.
func (l *loop) mark(h *handler) {
	if !h.marked {
		h.marked = true
		l.writes.push(h)
	}
}

// answer notes that a handler has something to write that its client waits for:
// it need not wait until a large room is served.
func (l *loop) answer(h *handler) {
	if !h.waits {
		h.waits = true
		l.answers.push(h)
	}
}

// readable notes that a socket has something to read.
func (l *loop) readable(h *handler) {
	if !h.reading {
		h.reading = true
		l.reads = append(l.reads, h)
	}
}

// writable notes that a socket takes something again.
func (l *loop) writable(h *handler) {
	if h.blocked {
		h.blocked = false
		for _, s := range h.rooms {
			s.Rise()
		}
		h.lookAround()
	}
}

// read takes the input that is ready and submits it as one batch. Connections that
// asked for much in their last step come after all others and share a part of the
// round; who is left of them waits for the next.
func (l *loop) read() {
	reads := l.reads
	l.reads, l.spare = l.spare, nil
	for _, h := range reads {
		if h.heavy {
			l.heavy.push(h)
			continue
		}
		h.reading = false
		h.guard((*handler).readStep)
	}
	l.spent = 0
	for range l.heavy.len() {
		if l.spent >= heavyShare {
			break
		}
		h := l.heavy.pop()
		h.reading = false
		h.guard((*handler).readStep)
	}
	clear(reads)
	l.spare = reads[:0]
	if len(l.sends) > 0 {
		l.manager.chat.Submit(l.sends)
		clear(l.sends)
		if l.sends = l.sends[:0]; cap(l.sends) > 4*maxSends {
			l.sends = nil
		}
		l.takePosts() // where the store does not block there is something by now
	}
}

// write serves some of those that have something to write.
func (l *loop) write() {
	for range min(l.answers.len(), flushesPerRound) {
		h := l.answers.pop()
		h.waits = false
		h.guard((*handler).writeStep)
	}
	for range min(l.writes.len(), flushesPerRound) {
		h := l.writes.pop()
		h.marked = false
		h.guard((*handler).writeStep)
	}
}

// sweepEvery is how often the loop looks after time.
func (l *loop) sweepEvery() time.Duration {
	if l.ending > 0 {
		return min(endingSweep, l.manager.sweepEvery)
	}
	return l.manager.sweepEvery
}

// sweep looks after time. It goes on in the next round when it has looked at many
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
		l.toCheck-- // one that ends makes room for the last
		l.handlers[l.toCheck].guard((*handler).check)
		if l.writes.len()-writes >= flushesPerRound {
			return
		}
	}
}

// accept begins to serve a connection.
func (l *loop) accept(h *handler, conn net.Conn) {
	h.index = len(l.handlers)
	h.quiet = l.now
	l.handlers = append(l.handlers, h)
	var err error
	if h.socket, err = l.poller.add(conn, h); err != nil {
		if !l.refusing { // once, not for each of many who try
			l.refusing = true
			l.manager.config.Log.Error("cannot serve new connections for now; raise the limit of open files or lower --max-clients", "err", err)
		}
		h.socket = nil
		h.finish()
		return
	}
	l.refusing = false
	l.readable(h) // what has come before has no edge for a poller that starts late
}

// forget drops a handler that has finished.
func (l *loop) forget(h *handler) {
	last := len(l.handlers) - 1
	l.handlers[h.index] = l.handlers[last]
	l.handlers[h.index].index = h.index
	l.handlers[last] = nil
	l.handlers = l.handlers[:last]
}

// drain tells everybody to come back later.
func (l *loop) drain(spread time.Duration) {
	for i := len(l.handlers) - 1; i >= 0; i-- {
		h := l.handlers[i]
		h.guard(func(h *handler) { h.end(ending{reason: wire.ReasonDraining, reconnect: spread/4 + rand.N(spread)}) })
	}
}

// closeAll ends all connections without a word.
func (l *loop) closeAll() {
	for len(l.handlers) > 0 {
		l.handlers[len(l.handlers)-1].finish()
	}
}

// guard runs a step and turns a panic in it into the end of the connection.
func (h *handler) guard(step func(*handler)) {
	defer func() {
		if cause := recover(); cause != nil {
			h.loop.manager.panics.Add(1)
			h.loop.manager.config.Log.Error("a handler panicked; its connection ends, please report this", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			h.finish()
		}
	}()
	if !h.closed {
		step(h)
	}
}
