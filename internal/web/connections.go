package web

import (
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"kaban/internal/peer"
	"kaban/internal/tcp"
	"kaban/internal/turns"
)

// Bounds of connections beside Config.MaxRequests.
const (
	// reserve is how many connections are accepted beyond the limit when no other
	// can make room. They get /healthz and /readyz, and a 503 for anything else.
	reserve = 64
	// addressShare is the part of all connections that one address may have: an
	// IPv4 address or the /64 of an IPv6 one. Loopback may have all.
	addressShare = 4
	// stallStep and stallSteps: a write ends when the peer has taken nothing at so
	// many looks in a row. They are counted, so that a time in which this process
	// did not run counts as one.
	stallStep  = 5 * time.Second
	stallSteps = 6
	// maxUnsent bounds what the kernel takes from us before the peer has room for
	// it, in bytes. A slow peer so makes steps that are small enough to be seen.
	maxUnsent = 16 << 10
	// fullLogInterval is how often the log says that there is no more room.
	fullLogInterval = time.Minute
)

// connections are those of HTTP, without streams that were hijacked. Where there
// is no room it is made: the connection that has kept the server waiting longest
// for a request, a body or for taking an answer is closed. What the server is busy
// with stays. Handshakes of TLS make room for each other; see anyShakingLocked.
type connections struct {
	max        int
	perAddress int
	stallStep  time.Duration
	turns      *turns.Turns // of handshakes
	log        *slog.Logger

	mu        sync.Mutex // guards all below; nothing else is locked while it is held
	count     int
	shaking   []*connection // those of them that are in a handshake of TLS, in no order
	byAddress map[netip.Prefix]int
	waiting   list.List             // of *connection: clients that the server waits for, the longest first
	held      int                   // the sum of holding.bytes
	holdings  map[*holding]struct{} // those with bytes
	byOwner   map[owner]int         // their bytes
	bodies    map[owner]int         // those of them that are in bodies
	waits     uint64                // counts the times that a client was waited for
	loggedAt  time.Time             // when the log last had that it is full
}

func newConnections(config Config) *connections {
	return &connections{
		max: config.MaxRequests, perAddress: max(config.MaxRequests/addressShare, 1), stallStep: stallStep, turns: config.Turns,
		log: config.Log, byAddress: make(map[netip.Prefix]int),
		holdings: make(map[*holding]struct{}), byOwner: make(map[owner]int), bodies: make(map[owner]int),
	}
}

// Open returns how many connections there are, without WebSockets, and how many
// of them carry a stream of events.
func (s *Server) Open() (connections, streams int) {
	s.streams.mu.Lock()
	streams = len(s.streams.open)
	s.streams.mu.Unlock()
	s.connections.mu.Lock()
	defer s.connections.mu.Unlock()
	return s.connections.count, streams
}

// connection is one of HTTP. Its writes end when the peer makes no progress,
// however long they take.
type connection struct {
	net.Conn
	all     *connections
	rules   *peer.Rules  // of its listener
	from    peer.Peer    // what it comes from; a proxy, maybe
	refused error        // why from there none may come; nil: it may
	address netip.Prefix // what it counts for; the zero Prefix is not counted
	turn    turns.Turn   // of its handshake

	// Guarded by all.mu.
	place      *list.Element // in all.waiting, nil while the client is not waited for
	since      uint64        // when that began
	holdings   int           // of its requests that are in all.holdings
	stalled    int           // answers of HTTP/2 that wait for the client
	isReserved bool          // it is beyond the limit
	shaking    int           // its place in all.shaking, the first is 1; 0 without one
	isGone     bool          // it is not counted any more

	deadlines sync.Mutex // guards final, and the deadline of Conn for writing
	final     time.Time  // the deadline for writing that somebody has set
}

// listener gives connections to net/http that are counted.
type listener struct {
	net.Listener
	all   *connections
	rules *peer.Rules
	tls   bool // there is TLS above
}

// Accept implements net.Listener. A connection for which there is no room is
// closed.
func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.admit(conn, l.rules, l.tls); c != nil {
			tcp.BoundUnsent(conn, maxUnsent)
			return c, nil
		}
		conn.Close()
	}
}

// admit counts a connection, and makes room for it if need be. It returns nil if
// it cannot.
func (all *connections) admit(conn net.Conn, rules *peer.Rules, encrypted bool) *connection {
	from, err := rules.Accept(addressOf(conn.RemoteAddr()))
	c := &connection{Conn: conn, all: all, rules: rules, from: from, refused: err, address: countedFor(from)}
	if encrypted {
		c.turn.Enter(all.turns)
	}
	victim, ok := all.place(c, encrypted)
	if victim != nil {
		victim.Conn.Close()
	}
	if !ok {
		return nil
	}
	return c
}

// place does what admit says. The victim is to be closed.
func (all *connections) place(c *connection, encrypted bool) (victim *connection, ok bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case c.address.IsValid() && all.byAddress[c.address] >= all.perAddress:
		if victim = all.longestLocked(func(o *connection) bool { return o.address == c.address }); victim == nil {
			all.logFullLocked("an address has as many connections to HTTP as it may have", "address", c.address, "max", all.perAddress)
			return nil, false
		}
	case encrypted && len(all.shaking) >= max(all.max/handshakeShare, 1): // they push out nobody else
		victim = all.anyShakingLocked()
	case all.count >= all.max:
		all.logFullLocked("HTTP has as many connections as it takes; it closes those that do not make progress", "max", all.max)
		if victim = all.longestLocked(nil); victim == nil && all.count >= all.max+reserve {
			return nil, false
		}
	}
	if victim != nil {
		all.removeLocked(victim)
	}
	all.count++
	if encrypted {
		all.shakeLocked(c)
	}
	if c.address.IsValid() {
		all.byAddress[c.address]++
	}
	c.isReserved = all.count > all.max
	all.waitLocked(c)
	return victim, true
}

// longestLocked returns the connection of a kind, or of any if that is nil, that has been
// waited for longest; nil if there is none.
func (all *connections) longestLocked(is func(*connection) bool) *connection {
	for e := all.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*connection); is == nil || is(c) {
			return c
		}
	}
	return nil
}

func (all *connections) logFullLocked(text string, args ...any) {
	if now := time.Now(); all.loggedAt.IsZero() || now.Sub(all.loggedAt) >= fullLogInterval {
		all.loggedAt = now
		all.log.Warn(text, args...)
	}
}

// isEmpty reports whether there is no connection of HTTP.
func (all *connections) isEmpty() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.count == 0
}

func (all *connections) remove(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.removeLocked(c)
}

func (all *connections) removeLocked(c *connection) {
	if c.isGone {
		return
	}
	c.isGone = true
	all.count--
	all.shakenLocked(c)
	if c.address.IsValid() {
		if all.byAddress[c.address]--; all.byAddress[c.address] == 0 {
			delete(all.byAddress, c.address)
		}
	}
	all.takeLocked(c)
	all.letGoOfLocked(c)
}

// wait notes that the server waits for the client from now on, and returns false
// if it does already.
func (all *connections) wait(c *connection) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if c.place != nil || c.isGone {
		return false
	}
	all.waitLocked(c)
	return true
}

func (all *connections) waitLocked(c *connection) {
	all.waits++
	c.since = all.waits
	c.place = all.waiting.PushBack(c)
}

// resume notes that the server has what it waited for.
func (all *connections) resume(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.resumeLocked(c)
}

func (all *connections) resumeLocked(c *connection) {
	if c.stalled == 0 {
		all.takeLocked(c)
	}
}

// takeLocked takes a connection out of those that are waited for.
func (all *connections) takeLocked(c *connection) {
	if c.place != nil {
		all.waiting.Remove(c.place)
		c.place = nil
	}
}

// isServed reports whether a connection gets more than what the reserve is for.
func (all *connections) isServed(c *connection) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	c.isReserved = c.isReserved && all.count > all.max
	return !c.isReserved
}

// watch follows what net/http says of a connection.
func (all *connections) watch(conn net.Conn, state http.ConnState) {
	c, ok := connectionOf(conn)
	if !ok {
		return
	}
	if state != http.StateNew {
		all.shaken(c)
	}
	switch state {
	case http.StateActive:
		all.resume(c)
	case http.StateIdle:
		all.wait(c)
	case http.StateHijacked, http.StateClosed:
		all.remove(c)
	}
}

// connectionOf returns the connection that has no TLS, or that is below it.
func connectionOf(conn net.Conn) (c *connection, ok bool) {
	for conn != nil {
		if c, ok = conn.(*connection); ok {
			return c, true
		}
		layer, isLayer := conn.(interface{ NetConn() net.Conn })
		if !isLayer {
			return nil, false
		}
		conn = layer.NetConn()
	}
	return nil, false
}

// addressOf returns the address in a net.Addr. Whoever connects by other means than
// TCP is on this machine.
func addressOf(remote net.Addr) netip.Addr {
	if at, ok := remote.(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap()
	}
	return netip.IPv6Loopback()
}

// Write implements net.Conn. It goes on for as long as the peer takes something:
// bytes into its buffers, or out of ours.
func (c *connection) Write(p []byte) (written int, err error) {
	n, err := c.pass(func(done int64) (int64, error) {
		n, err := c.Conn.Write(p[done:])
		return int64(n), err
	})
	return int(n), err
}

// filePiece is how many bytes of a file go out before the connection counts as one that has taken
// something.
const filePiece = 256 << 10

// ReadFrom implements io.ReaderFrom for net/http: the system sends files without copying them
// through this process. It goes on like Write.
func (c *connection) ReadFrom(source io.Reader) (sent int64, err error) {
	limited, _ := source.(*io.LimitedReader)
	system, ok := c.Conn.(io.ReaderFrom)
	if ok = ok && limited != nil; ok {
		_, ok = limited.R.(*os.File)
	}
	if !ok {
		return io.Copy(writerOnly{c}, source)
	}
	for limited.N > 0 {
		piece := &io.LimitedReader{R: limited.R, N: min(limited.N, filePiece)}
		want := piece.N
		n, err := c.pass(func(int64) (int64, error) { return system.ReadFrom(piece) })
		sent += n
		limited.N -= n
		if err != nil || n < want { // a file that was cut short is net/http's to report
			return sent, err
		}
	}
	return sent, nil
}

// writerOnly hides other methods of a writer.
type writerOnly struct{ io.Writer }

// pass calls a function that sends the next bytes, and is told how many were sent so far, until it
// does not end by a deadline, or the peer takes nothing for too long.
func (c *connection) pass(send func(done int64) (int64, error)) (sent int64, err error) {
	c.turn.Rest()      // a handshake writes at the end of what it computes
	if c.all.wait(c) { // a body may be waited for already
		defer c.all.resume(c)
	}
	untaken, steps := -1, 0
	for {
		final := c.step()
		n, err := send(sent)
		sent += n
		if err == nil || final || !errors.Is(err, os.ErrDeadlineExceeded) {
			return sent, err
		}
		left := tcp.Untaken(c.Conn)
		if n > 0 || left < untaken {
			steps = 0
		}
		untaken = left
		if steps++; steps >= stallSteps {
			return sent, err
		}
	}
}

// step sets the deadline for the next step of a write, and reports whether it is
// the last.
func (c *connection) step() (final bool) {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	next := time.Now().Add(c.all.stallStep)
	if final = !c.final.IsZero() && c.final.Before(next); final {
		next = c.final
	}
	c.Conn.SetWriteDeadline(next)
	return final
}

// SetWriteDeadline implements net.Conn.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.final = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// release gives up a connection that is no longer one of HTTP.
func (c *connection) release() net.Conn {
	tcp.BoundUnsent(c.Conn, 0)
	return c.Conn
}

// NetConn returns what is below, for whoever takes over a connection with TLS.
func (c *connection) NetConn() net.Conn { return c.Conn }

// connectionKey finds the connection in the context of a request.
type connectionKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	c, ok := connectionOf(conn)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, connectionKey{}, c)
}
