package conn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// The limits that tests check.
const (
	MaxSends        = maxSends
	MaxSendBytes    = maxSendBytes
	MaxReplies      = maxReplies
	MaxPings        = maxPings
	HeavyShare      = heavyShare
	StepShare       = stepShare
	FlushesPerRound = flushesPerRound
	FinishTimeout   = finishTimeout
	DrainStall      = drainStall
)

// testPoller hands out one socket. The test itself reports readiness.
type testPoller struct{ next socket }

func (p *testPoller) add(net.Conn, *Handler) (socket, error) { return p.next, nil }
func (p *testPoller) wait(time.Duration) ([]event, error)    { return nil, nil }
func (p *testPoller) wake()                                  {}
func (p *testPoller) close() error                           { return nil }

// TestLoop is a loop without a goroutine: the test turns it.
type TestLoop struct {
	loop   *loop
	poller *testPoller
}

func NewTestLoop(m *Manager) *TestLoop {
	p := new(testPoller)
	return &TestLoop{newLoop(m, p), p}
}

// Accept has the loop serve a socket.
func (t *TestLoop) Accept(s socket, p Protocol) (*Handler, error) {
	token, err := t.loop.manager.pool.Acquire()
	if err != nil {
		return nil, err
	}
	t.poller.next = s
	h, _ := newHandler(t.loop, token, p, netip.IPv6Loopback())
	t.loop.accept(h, nil)
	return h, nil
}

func (t *TestLoop) Tick()                 { t.loop.tick(t.loop.manager.config.Clock) }
func (t *TestLoop) TakePosts()            { t.loop.takePosts() }
func (t *TestLoop) Read()                 { t.loop.read() }
func (t *TestLoop) Write()                { t.loop.write() }
func (t *TestLoop) Round()                { t.loop.round() }
func (t *TestLoop) Sweep()                { t.loop.sweep() }
func (t *TestLoop) Drain(d time.Duration) { t.loop.drain(d) }
func (t *TestLoop) CloseAll()             { t.loop.closeAll() }
func (t *TestLoop) Readable(h *Handler)   { t.loop.readable(h) }
func (t *TestLoop) Writable(h *Handler)   { t.loop.writable(h) }

// Later moves the loop's time without a round.
func (t *TestLoop) Later(d time.Duration) { t.loop.now += d }
func (t *TestLoop) Now() time.Duration    { return t.loop.now }

// Writes returns how many turns to write there are.
func (t *TestLoop) Writes() int                     { return t.loop.writes.len() + t.loop.answers.len() }
func (t *TestLoop) Unhurried() int                  { return t.loop.writes.len() }
func (t *TestLoop) Posted() bool                    { return t.loop.posted.Load() }
func (t *TestLoop) Busy() bool                      { return t.loop.busy() }
func (t *TestLoop) Spent() int                      { return t.loop.spent }
func (t *TestLoop) ToCheck() int                    { return t.loop.toCheck }
func (t *TestLoop) Fetches() (waiting, running int) { return t.loop.fetches.len(), t.loop.fetching }

// Rest returns how long the loop would wait for work.
func (t *TestLoop) Rest() time.Duration { return t.loop.rest() }

// Pauses returns how many connections are paused.
func (t *TestLoop) Pauses() int { return len(t.loop.pauses) }

func (m *Manager) SweepEvery() time.Duration { return m.sweepEvery }

func (h *Handler) IsBlocked() bool       { return h.blocked }
func (h *Handler) IsCut() bool           { return h.cut != nil }
func (h *Handler) IsFetching() bool      { return h.fetching != nil }
func (h *Handler) IsAsking() bool        { return h.asking }
func (h *Handler) SetAsking(asking bool) { h.asking = asking }
func (h *Handler) InFlightSize() int     { return int(h.inFlightSize) }
func (h *Handler) Waiting() []byte       { return h.out }
func (h *Handler) Quiet() time.Duration  { return h.quiet }
func (h *Handler) IsClosed() bool        { return h.isClosed() }

// Ends reports whether the end has begun, why, and whether it skips what the peer
// is owed.
func (h *Handler) Ends() (begun bool, why Reason, hurried bool) {
	return !h.reads(), h.reason, !h.sends()
}

// AddSent has the kernel hold more bytes of the output.
func (h *Handler) AddSent(bytes int) { h.sent += uint32(bytes) }

// MakeRoom has a newcomer make room.
func (h *Handler) MakeRoom() { h.guard((*Handler).makeRoom) }

var MaxReaders, MaxAnswerers, MaxCheckers, MaxSeekers = maxReaders, maxAnswerers, maxCheckers, maxSeekers

// TestWorkers are the workers of a manager.
type TestWorkers struct {
	group                                 sync.WaitGroup
	readers, answerers, checkers, seekers *workers
}

func NewTestWorkers() *TestWorkers {
	t := new(TestWorkers)
	t.readers, t.answerers, t.checkers, t.seekers = newWorkers(&t.group)
	return t
}

func (t *TestWorkers) Read(call func())   { t.readers.run(call) }
func (t *TestWorkers) Answer(call func()) { t.answerers.run(call) }
func (t *TestWorkers) Check(call func())  { t.checkers.run(call) }
func (t *TestWorkers) Seek(call func())   { t.seekers.run(call) }
func (t *TestWorkers) Wait()              { t.group.Wait() }
func (t *TestWorkers) Running() int {
	return t.readers.running + t.answerers.running + t.checkers.running + t.seekers.running
}

// Unflushed returns how many bytes of ciphertext wait for a connection.
func Unflushed(h *Handler) int { return len(h.socket.(*tlsSocket).unflushed) }

// HoldsCiphertext reports whether a connection has memory for ciphertext.
func HoldsCiphertext(h *Handler) bool { return h.socket.(*tlsSocket).unflushed != nil }

// TestHandshakes are handshakes without connections.
type TestHandshakes struct {
	all   handshakes
	named map[*handshake]int
}

func NewTestHandshakes(most int) *TestHandshakes {
	return &TestHandshakes{handshakes{most: most}, make(map[*handshake]int)}
}

// Enter gives a handshake a place. It returns which one has made room, 0 for none.
func (t *TestHandshakes) Enter(name int) (other int) {
	s := &handshake{index: noPlace}
	t.named[s] = name
	return t.named[t.all.enter(s)]
}

// Handshakes returns how many handshakes have a place.
func (m *Manager) Handshakes() int {
	m.handshakes.mu.Lock()
	defer m.handshakes.mu.Unlock()
	return len(m.handshakes.all)
}
