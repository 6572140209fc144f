// Package server speaks kaban/1 with clients. The Manager accepts connections
// and delegates each to a handler, which owns the connection and its two loops:
// the read loop decodes what the client says and hands it to the dispatcher,
// the write loop takes what the dispatcher has for the client.
//
// Both loops are steps of the handler (readStep, writeStep). A step never waits:
// it does what can be done now. A loop (loop.go) calls them, one goroutine for
// many connections, when its poller says that a socket is ready: over epoll on
// Linux, over a goroutine that waits for each connection elsewhere and for what
// is not plain TCP. There is one loop for two cores.
//
// What a peer sends costs it an error at most. The memory of a connection is
// bounded whatever the peer does: 64 KiB of input, 64 KiB of replies, maxSends
// sends under way, and one cursor per room.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kaban/internal/chat"
	"kaban/internal/idpool"
	"kaban/wire"
)

// Config is what a Manager can be told. Zero values mean the defaults.
type Config struct {
	// Name is what the server calls itself in welcome, such as "kaban/1.2.3".
	Name string
	// MaxClients bounds the connections that have said hello, at a time. Default
	// 10,000.
	MaxClients int
	// MaxNewcomers is how many more there may be that have not. Newcomers take free
	// places of clients as well; when there is no place at all, those that came first
	// make room. Default: DefaultMaxNewcomers.
	MaxNewcomers int
	// MaxFromAddress bounds the newcomers from one address: of IPv6 a network of 64
	// bits counts as one, and loopback is not bounded. Beyond it the first from there
	// makes room. Default 100.
	MaxFromAddress int
	// Heartbeat is the silence after which the server pings; after two more the
	// connection ends. Whole seconds are told to clients. Default 30 s.
	Heartbeat time.Duration
	// HelloTimeout is the time a new connection has to say hello. Default 10 s.
	HelloTimeout time.Duration
	// StallTimeout is how long a write may make no progress. Default 30 s.
	StallTimeout time.Duration
	// Loops is how many loops serve plain TCP connections. Default: one for two
	// processors.
	Loops int
	// Log gets one line for what an operator should know. Default: discarded.
	Log *slog.Logger

	clock clock // of all time-outs; tests have their own
}

// DefaultMaxNewcomers returns how many newcomers a server has places for beside so
// many clients: a quarter as many, and 64 at least.
func DefaultMaxNewcomers(clients int) int { return max(clients/newcomerShare, minNewcomers) }

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "kaban"
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 10_000
	}
	if c.MaxNewcomers <= 0 {
		c.MaxNewcomers = DefaultMaxNewcomers(c.MaxClients)
	}
	if c.MaxFromAddress <= 0 {
		c.MaxFromAddress = 100
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 30 * time.Second
	}
	if c.HelloTimeout <= 0 {
		c.HelloTimeout = 10 * time.Second
	}
	if c.StallTimeout <= 0 {
		c.StallTimeout = 30 * time.Second
	}
	if c.Loops <= 0 {
		c.Loops = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.clock == nil {
		c.clock = stopwatch()
	}
	return c
}

const (
	// finishTimeout is how long a connection that ends may take to get what it
	// is still owed, when nothing but its peer holds it up.
	finishTimeout = 5 * time.Second
	// owedTimeout is how long a client that has hung up its side is given what
	// it is owed, while it takes it: in a busy room there is no end of it.
	owedTimeout = 30 * time.Second
	// drainStall is how long a peer may take no byte while the server drains.
	drainStall = time.Second
	// lingerTimeout is how long a closing connection swallows what the peer has
	// sent already, so that the peer can read the last frames: closing with
	// unread input would reset the connection and destroy them.
	lingerTimeout = 500 * time.Millisecond
	// maxTurnedAway bounds the goodbyes to connections beyond MaxClients that
	// are under way; further ones are closed without a word.
	maxTurnedAway = 64
)

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("server is closed")

// Manager accepts connections and delegates each to a handler. All methods are
// safe for concurrent use.
type Manager struct {
	config Config
	chat   *chat.Chat
	pool   *idpool.Pool

	panics atomic.Int64
	// clients are the connections that have said hello, until they are closed.
	clients   atomic.Int64
	newcomers newcomers

	sweepEvery time.Duration      // how often a loop looks after time, when nothing ends
	ctx        context.Context    // of what workers do
	cancel     context.CancelFunc // when nobody waits for them any more
	workers    workers
	group      sync.WaitGroup // loops, workers, goodbyes
	stop       chan struct{}  // closed by Shutdown, at its end
	turnedAway chan struct{}  // a slot for each goodbye under way

	mu        sync.Mutex // guards all below; taken before loop.mu
	listeners map[net.Listener]struct{}
	loops     []*loop // for plain TCP, in turn
	next      int
	others    *loop // for all other connections; nil until there is one
	draining  bool
	stopped   bool
}

// New returns a manager over a chat. The caller ends it with Shutdown or Close,
// and the dispatcher of the chat after that.
func New(config Config, c *chat.Chat) (*Manager, error) {
	config = config.withDefaults()
	m := &Manager{
		config:     config,
		chat:       c,
		pool:       idpool.New(config.MaxClients + config.MaxNewcomers),
		newcomers:  newcomers{mostFromOne: config.MaxFromAddress},
		stop:       make(chan struct{}),
		turnedAway: make(chan struct{}, maxTurnedAway),
		listeners:  make(map[net.Listener]struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.workers.group = &m.group
	shortest := min(config.Heartbeat, config.HelloTimeout, config.StallTimeout)
	m.sweepEvery = min(max(shortest/8, 5*time.Millisecond), maxSweep)
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

// Clients returns how many connections hold a token.
func (m *Manager) Clients() int { return m.pool.InUse() }

// Panics returns how many panics were recovered. Anything but 0 is a defect.
func (m *Manager) Panics() int64 { return m.panics.Load() }

// Serve accepts connections until the listener fails for good or the manager
// is shut down; then it returns ErrClosed. It closes the listener.
func (m *Manager) Serve(l net.Listener) error {
	defer l.Close()
	m.mu.Lock()
	if m.draining {
		m.mu.Unlock()
		return ErrClosed
	}
	m.listeners[l] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, l)
	}()
	var pause time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			if pause > 0 {
				m.config.Log.Info("accepting again")
			}
			pause = 0
			m.delegate(conn, lines{})
		case m.isDraining():
			return ErrClosed
		case !isTemporary(err):
			return fmt.Errorf("accept: %w", err)
		case isOutOfFiles(err) && m.makeRoom():
		default:
			if pause == 0 {
				m.config.Log.Warn("cannot accept connections for now; raise the limit of open files or lower --max-clients", "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause/2 + rand.N(pause)):
			case <-m.stop:
			}
		}
	}
}

// ServeWebSocket takes over a connection on which the handshake of WebSocket is
// done, without extensions and subprotocols; early is what the client has sent
// behind it. The connection is served as one from a listener is.
func (m *Manager) ServeWebSocket(conn net.Conn, early []byte) {
	m.delegate(conn, &webSocket{early: early})
}

// isTemporary reports whether accepting may work again later: the machine is
// out of something, or the peer went away first.
func isTemporary(err error) bool {
	for _, temporary := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EPROTO, syscall.EPERM,
	} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// isOutOfFiles reports whether accepting works again when a connection is closed.
func isOutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func (m *Manager) isDraining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}

// delegate gives a connection to a handler of its own, or turns it away.
func (m *Manager) delegate(conn net.Conn, f framing) {
	token, err := m.acquire()
	if err != nil {
		m.turnAway(conn, f, err)
		return
	}
	source := sourceOf(conn)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		conn.Close()
		if err := token.Redeem(); err != nil {
			m.config.Log.Error("token", "err", err)
		}
		return
	}
	l := m.loopForLocked(conn)
	h := newHandler(l, token, f)
	first := m.newcomers.enter(h, source)
	l.post(func() { l.accept(h, conn) })
	if first != nil {
		first.loop.post(func() { first.guard((*handler).makeRoom) })
		m.logCrowded(1)
	}
}

// acquire returns a token for a connection that has come, and makes room for it if
// it must.
func (m *Manager) acquire() (token *idpool.Token, err error) {
	if m.clients.Load() >= int64(m.config.MaxClients) {
		return nil, idpool.ErrFull
	}
	for range makeRoomTries {
		if token, err = m.pool.Acquire(); !errors.Is(err, idpool.ErrFull) || !m.makeRoom() {
			break
		}
	}
	return token, err
}

// loopForLocked returns the loop that a new connection belongs to.
func (m *Manager) loopForLocked(conn net.Conn) *loop {
	if takes(conn) {
		m.next++
		return m.loops[m.next%len(m.loops)]
	}
	if m.others == nil {
		m.others = m.startLoop(newPortablePoller())
	}
	return m.others
}

// allLoopsLocked returns all loops that there are.
func (m *Manager) allLoopsLocked() []*loop {
	if m.others != nil {
		return append(slices.Clone(m.loops), m.others)
	}
	return m.loops
}

// turnAway says politely that there is no room, without holding up Accept.
func (m *Manager) turnAway(conn net.Conn, f framing, reason error) {
	select {
	case m.turnedAway <- struct{}{}:
	default:
		conn.Close()
		return
	}
	m.config.Log.Warn("turned a connection away", "remote", conn.RemoteAddr(), "err", reason, "max_clients", m.config.MaxClients)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		conn.Close()
		<-m.turnedAway
		return
	}
	m.group.Go(func() {
		defer func() { <-m.turnedAway }()
		defer conn.Close()
		retry := retryLater()
		farewell := appendFrame(nil, f, m.fullEvent(retry))
		farewell = appendFrame(farewell, f, goodbye(wire.ReasonInternal, retry))
		farewell = f.farewell(farewell, &ending{close: wire.CodeServerFull.Close()})
		conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
		if _, err := conn.Write(farewell); err == nil {
			lingerOn(conn)
		}
	})
}

// Shutdown drains: it stops accepting and reading, lets everything that was
// read be stored and acknowledged, tells every client goodbye with a spread
// delay to come back after, and returns when every token was redeemed. When ctx
// ends first it ends all connections at once and returns the context's cause.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	first := !m.draining
	m.draining = true
	for l := range m.listeners {
		l.Close()
	}
	spread := spreadOver(m.pool.InUse())
	loops := m.allLoopsLocked() // there will not be more
	m.mu.Unlock()
	for _, l := range loops {
		l.post(func() { l.drain(spread) })
	}
	if first {
		m.config.Log.Info("draining", "clients", m.pool.InUse())
	}
	err := m.pool.Drain(ctx)
	if err != nil {
		m.cancel()
		for _, l := range loops {
			l.post(l.closeAll)
		}
		m.pool.Drain(context.WithoutCancel(ctx)) // nothing holds a killed handler
	}
	m.mu.Lock()
	if !m.stopped {
		m.stopped = true
		close(m.stop)
		for _, l := range loops {
			l.post(func() { l.stopped = true })
		}
	}
	m.mu.Unlock()
	m.group.Wait()
	m.cancel()
	return err
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

// spreadOver is the time over which n clients shall come back: a thousand a
// second, so that nobody is stampeded.
func spreadOver(n int) time.Duration {
	return min(max(time.Duration(n)*time.Millisecond, time.Second), 30*time.Second)
}

// lingerOn ends what is sent to a connection that no loop has, and swallows what
// its peer has sent.
func lingerOn(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
		conn.SetReadDeadline(time.Now().Add(lingerTimeout))
		io.Copy(io.Discard, conn)
	}
}
