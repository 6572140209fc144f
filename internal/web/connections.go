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
	"kaban/wire"
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
	// maxHeld bounds the content of the pages of messages that wait to be read, in
	// bytes. What is made of it takes about three times as much memory. Other answers
	// are small, or the same bytes for all; streams write little at a time.
	maxHeld = 32 << 20
	// fullLogInterval is how often the log says that there is no more room.
	fullLogInterval = time.Minute
)

// connections are those of HTTP, without streams that were hijacked. Where there
// is no room it is made: the connection that has kept the server waiting longest
// for a request, a body or for taking an answer is closed. What the server is busy
// with stays.
type connections struct {
	max        int
	perAddress int
	stallStep  time.Duration
	log        *slog.Logger

	mu        sync.Mutex // guards all below; nothing else is locked while it is held
	count     int
	byAddress map[netip.Prefix]int
	waiting   list.List // of *connection: clients that the server waits for, the longest first
	held      int       // the sum of connection.held
	loggedAt  time.Time // when the log last had that it is full
}

func newConnections(limit int, log *slog.Logger) *connections {
	return &connections{max: limit, perAddress: max(limit/addressShare, 1), stallStep: stallStep, log: log, byAddress: make(map[netip.Prefix]int)}
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

	// Guarded by all.mu.
	place      *list.Element // in all.waiting, nil while the client is not waited for
	held       int           // bytes of content in the pages of messages that are its answers
	stalled    int           // answers of HTTP/2 that wait for the client
	isReserved bool          // it is beyond the limit
	isGone     bool          // it is not counted any more

	deadlines sync.Mutex // guards final, and the deadline of Conn for writing
	final     time.Time  // the deadline for writing that somebody has set
}

// listener gives connections to net/http that are counted.
type listener struct {
	net.Listener
	all   *connections
	rules *peer.Rules
}

// Accept implements net.Listener. A connection for which there is no room is
// closed.
func (l listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.admit(conn, l.rules); c != nil {
			tcp.BoundUnsent(conn, maxUnsent)
			return c, nil
		}
		conn.Close()
	}
}

// admit counts a connection, and makes room for it if need be. It returns nil if
// it cannot.
func (all *connections) admit(conn net.Conn, rules *peer.Rules) *connection {
	from, err := rules.Accept(addressOf(conn.RemoteAddr()))
	c := &connection{Conn: conn, all: all, rules: rules, from: from, refused: err, address: countedFor(from)}
	victim, ok := all.place(c)
	if victim != nil {
		victim.Conn.Close()
	}
	if !ok {
		return nil
	}
	return c
}

// place does what admit says. The victim is to be closed.
func (all *connections) place(c *connection) (victim *connection, ok bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case c.address.IsValid() && all.byAddress[c.address] >= all.perAddress:
		if victim = all.longestLocked(c.address); victim == nil {
			all.logFullLocked("an address has as many connections to HTTP as it may have", "address", c.address, "max", all.perAddress)
			return nil, false
		}
	case all.count >= all.max:
		all.logFullLocked("HTTP has as many connections as it takes; it closes those that do not make progress", "max", all.max)
		if victim = all.longestLocked(netip.Prefix{}); victim == nil && all.count >= all.max+reserve {
			return nil, false
		}
	}
	if victim != nil {
		all.removeLocked(victim)
	}
	all.count++
	if c.address.IsValid() {
		all.byAddress[c.address]++
	}
	c.isReserved = all.count > all.max
	c.place = all.waiting.PushBack(c)
	return victim, true
}

// longestLocked returns the connection of an address, or of any if it is the zero
// Addr, that has been waited for longest; nil if there is none.
func (all *connections) longestLocked(address netip.Prefix) *connection {
	for e := all.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*connection); !address.IsValid() || c.address == address {
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
	if c.address.IsValid() {
		if all.byAddress[c.address]--; all.byAddress[c.address] == 0 {
			delete(all.byAddress, c.address)
		}
	}
	all.takeLocked(c)
	all.letGoLocked(c, c.held)
}

// wait notes that the server waits for the client from now on, and returns false
// if it does already.
func (all *connections) wait(c *connection) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if c.place != nil || c.isGone {
		return false
	}
	c.place = all.waiting.PushBack(c)
	return true
}

// hold notes the content of the answer to a request until it is served. Where that
// is too much in all, it closes connections that have not read theirs for longest.
func hold(ctx context.Context, bytes int) {
	if own, ok := ctx.Value(heldKey{}).(*int); ok {
		*own += bytes
	}
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		for _, victim := range c.all.hold(c, bytes) {
			victim.Conn.Close()
		}
	}
}

// hold does that, and returns the connections that are to be closed.
func (all *connections) hold(c *connection, bytes int) (victims []*connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if c.isGone {
		return nil
	}
	c.held, all.held = c.held+bytes, all.held+bytes
	for e := all.waiting.Front(); e != nil && all.held > maxHeld; {
		victim := e.Value.(*connection)
		e = e.Next()
		if victim.held > 0 && victim != c {
			all.removeLocked(victim)
			victims = append(victims, victim)
		}
	}
	return victims
}

// letGo notes that some of what a connection holds is served.
func (all *connections) letGo(c *connection, bytes int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.letGoLocked(c, bytes)
}

func (all *connections) letGoLocked(c *connection, bytes int) {
	bytes = min(bytes, c.held) // it may be gone meanwhile
	all.held -= bytes
	c.held -= bytes
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
	if c.all.wait(c) { // a body may be waited for already
		defer c.all.resume(c)
	}
	untaken, steps := -1, 0
	for {
		final := c.step()
		n, err := c.Conn.Write(p[written:])
		written += n
		if err == nil || final || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
		left := tcp.Untaken(c.Conn)
		if n > 0 || left < untaken {
			steps = 0
		}
		untaken = left
		if steps++; steps >= stallSteps {
			return written, err
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

// heldKey finds an int in the context of a request: how many bytes of content its
// answer holds.
type heldKey struct{}

// patient serves a request whose body is read for as long as it comes. While it
// does not, the connection may have to make room for others.
func (s *Server) patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		if !isHealth(r.URL.Path) && !s.connections.isServed(c) {
			w.Header().Set("Connection", "close")
			p := problem(wire.CodeServerFull, "the server has as many connections as it takes; try again later")
			p.RetryAfter = new(comeBack.Milliseconds())
			s.writeProblem(w, p)
			return
		}
		held := new(int)
		defer func() { c.all.letGo(c, *held) }()
		r = r.WithContext(context.WithValue(r.Context(), heldKey{}, held)) // net/http looks at the body of its own one
		var client sender = c
		if r.ProtoMajor > 1 {
			m := newMultiplexed(w, c)
			defer m.finish()
			w, client = m, other{m.control, c}
		}
		if r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		b := &body{ReadCloser: r.Body, client: client, end: time.Now().Add(requestTimeout)}
		r.Body = b
		next.ServeHTTP(w, r)
		switch {
		case b.isOver:
		case r.ProtoMajor == 1: // net/http reads the rest
			client.await()
			client.SetReadDeadline(b.deadline())
		case b.isBegun: // the rest goes with the request
			client.resume()
		}
	})
}

// sender is the client that a body comes from.
type sender interface {
	await()  // the server waits for the client
	resume() // it does not any more
	SetReadDeadline(t time.Time) error
}

func (c *connection) await()  { c.all.wait(c) }
func (c *connection) resume() { c.all.resume(c) }

// other is the sender of one of several requests on a connection of HTTP/2. Their time is
// not over with its own, but while it is waited for the connection may have to make room.
type other struct {
	*http.ResponseController
	conn *connection
}

func (o other) await()  { o.conn.all.stall(o.conn) }
func (o other) resume() { o.conn.all.unstall(o.conn) }

// body is the body of a request as it comes in.
type body struct {
	io.ReadCloser
	client  sender
	end     time.Time
	isBegun bool
	isOver  bool
}

// bodyError says that a body did not come as a whole.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

func (b *body) deadline() time.Time {
	if next := time.Now().Add(bodyTimeout); next.Before(b.end) {
		return next
	}
	return b.end
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.isOver {
		return b.ReadCloser.Read(p)
	}
	if !b.isBegun {
		b.isBegun = true
		b.client.await()
	}
	b.client.SetReadDeadline(b.deadline())
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	b.isOver = true
	b.client.resume()
	b.client.SetReadDeadline(time.Time{}) // from here on a read only finds out whether the client goes
	if err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}
