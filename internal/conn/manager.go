package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/idpool"
	"kaban/internal/turns"
)

// Manager is the server manager: it accepts connections and delegates each to a
// handler. All methods are safe for concurrent use.
//
// Accepting takes no lock that all connections share: a token comes from the
// sharded id pool, the place among the newcomers from a shard of theirs, and the
// rest is atomic.
type Manager struct {
	config       Config
	pool         *idpool.Pool
	newcomers    newcomers
	handshakes   handshakes
	refusedTurns *turns.Turns // of handshakes for connections that are refused

	panics   atomic.Int64
	clients  atomic.Int64 // admitted connections that are not closed
	arrivals atomic.Uint64
	refused  atomic.Uint64          // connections that no handler got
	ended    [reasons]atomic.Uint64 // connections, by why
	draining atomic.Bool            // set with mu held

	sweepEvery time.Duration      // between sweeps of a loop in which nothing ends
	ctx        context.Context    // of the workers' calls
	cancel     context.CancelFunc // when nobody waits for them any more
	readers    *workers           // of the log
	answerers  *workers           // of what peers ask
	checkers   *workers           // of what takes long; see Handler.AskLong
	seekers    *workers           // of what waits for its turn; see Handler.AskInTurn
	group      sync.WaitGroup     // loops, workers, goodbyes
	closing    chan struct{}      // closed by Shutdown, at its beginning
	stop       chan struct{}      // closed by Shutdown, at its end
	accepting  sync.WaitGroup     // Serves; grows with mu held, and not while draining
	turnedAway chan struct{}      // a slot for each goodbye under way
	loops      []*loop            // for plain TCP, in turn
	others     *loop              // for all other connections

	mu        sync.Mutex // guards all below; taken before loop.mu
	listeners map[net.Listener]struct{}
	stopped   bool
}

// New returns a manager. The caller ends it with Shutdown or Close, and the
// dispatcher after that.
func New(config Config) (*Manager, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		config:     config,
		pool:       idpool.New(config.MaxClients + config.MaxNewcomers),
		stop:       make(chan struct{}),
		turnedAway: make(chan struct{}, maxTurnedAway),
		listeners:  make(map[net.Listener]struct{}),
		closing:    make(chan struct{}),
	}
	m.newcomers.mostFromOne = config.MaxFromAddress
	m.handshakes.most = config.MaxHandshakes
	m.refusedTurns = turns.New(refusedAtWork)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.readers, m.answerers, m.checkers, m.seekers = newWorkers(&m.group)
	shortest := min(config.Heartbeat, config.HelloTimeout, config.StallTimeout)
	m.sweepEvery = min(max(shortest/8, 5*time.Millisecond), maxSweep)
	m.others = m.startLoop(newPortablePoller())
	for range config.Loops {
		p, err := newPoller()
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("start a loop: %w", err)
		}
		m.loops = append(m.loops, m.startLoop(p))
	}
	return m, nil
}

func (m *Manager) startLoop(p poller) *loop {
	l := newLoop(m, p)
	m.group.Go(l.run)
	return l
}

// allLoops returns all loops that there are.
func (m *Manager) allLoops() []*loop { return append(m.loops[:len(m.loops):len(m.loops)], m.others) }

// Config returns the configuration, defaults filled in.
func (m *Manager) Config() Config { return m.config }

// Clients returns how many connections hold a token.
func (m *Manager) Clients() int { return m.pool.InUse() }

// Panics returns how many panics were recovered. Anything but 0 is a defect.
func (m *Manager) Panics() int64 { return m.panics.Load() }

// Shutdown is a graceful shutdown: it stops accepting and reading, waits until
// everything that was read is stored and acknowledged, has every front say
// farewell with a spread time to come back, and returns when every token was
// redeemed. If ctx ends first, it ends all connections at once and returns the
// context's cause.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	first := !m.draining.Swap(true)
	if first {
		close(m.closing)
	}
	for l := range m.listeners {
		l.Close()
	}
	m.mu.Unlock()
	if first {
		m.endAccepting(ctx)
	}
	spread := spreadOver(m.pool.InUse())
	for _, l := range m.allLoops() {
		l.post(func() { l.drain(spread) })
	}
	if first {
		m.config.Log.Info("draining", "clients", m.pool.InUse())
	}
	err := m.pool.Drain(ctx)
	if err != nil {
		m.cancel()
		for _, l := range m.allLoops() {
			l.post(l.kill)
		}
		m.pool.Drain(context.WithoutCancel(ctx)) // nothing holds a killed handler
	}
	m.mu.Lock()
	if !m.stopped {
		m.stopped = true
		close(m.stop)
		for _, l := range m.allLoops() {
			l.post(l.stop)
		}
	}
	m.mu.Unlock()
	m.group.Wait()
	m.cancel()
	return err
}

// endAccepting waits until connections that were accepted have their tokens, so that they
// are told to come back, too. The listeners are closed.
func (m *Manager) endAccepting(ctx context.Context) {
	ended := make(chan struct{})
	m.group.Go(func() {
		m.accepting.Wait()
		close(ended)
	})
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Close ends all connections at once.
func (m *Manager) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// spreadOver is the time over which n clients should come back: a thousand a
// second, so that they do not come back all at once.
func spreadOver(n int) time.Duration {
	return min(max(time.Duration(n)*time.Millisecond, time.Second), 30*time.Second)
}
