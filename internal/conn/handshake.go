package conn

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"sync"

	"kaban/internal/tcp"
	"kaban/internal/turns"
)

const (
	// refusedAtWork is how many handshakes of connections that are refused compute at a
	// time. They have turns of their own: they must not take those of clients that are
	// served.
	refusedAtWork = 1
	// maxHandshakeInput is how much input of a handshake waits for it, and so how long
	// a first record may be: the longest with its header.
	maxHandshakeInput = recordHeader + recordSize + 256
	// maxHandshakeOutput bounds the output of a handshake that its peer has not taken:
	// the server's certificates are most of it.
	maxHandshakeOutput = 128 << 10
	// recordHeader is the size of a record's header: type, version, length.
	recordHeader = 5
)

// TLSError says why there is no encrypted connection, or none any more. The front that
// gets it from Handler.Read need not answer, unless IsPlain is true.
type TLSError struct {
	// IsPlain: the peer does not speak TLS, so it can be answered in the clear.
	IsPlain bool
	Err     error
}

// Error implements error. The text begins with "tls: " or what the system says.
func (e *TLSError) Error() string { return e.Err.Error() }

// Unwrap returns the error of crypto/tls.
func (e *TLSError) Unwrap() error { return e.Err }

// Secure has the rest of a newcomer's connection encrypted. early is what was read and
// belongs to the handshake. Reads return nothing until that is done, or a
// *TLSError. The time for it is that in which a newcomer must be admitted.
func (h *Handler) Secure(config *tls.Config, early []byte) {
	s := &tlsSocket{handler: h, below: h.socket, carrier: new(tcp.Carrier)}
	s.shaking = &handshake{socket: s, index: noPlace, in: append([]byte(nil), early...)}
	s.shaking.more.L = &s.shaking.mu
	s.shaking.turn.Enter(h.loop.manager.config.Turns)
	s.carrier.Conn = s.shaking
	s.conn = tls.Server(s.carrier, config)
	h.socket = s
}

// handshake is the way of the bytes of a handshake: crypto/tls waits for input in it, in
// a goroutine of its own, so the loop carries the bytes. The goroutine starts when there
// is a whole record, so peers that say nothing or little have none.
type handshake struct {
	unmoved
	socket  *tlsSocket
	index   int // in handshakes.all; noPlace without one. Guarded by handshakes.mu
	turn    turns.Turn
	started bool // the loop's

	mu     sync.Mutex // guards all below
	more   sync.Cond  // on mu: there is input, or an end
	in     []byte     // was read, and not yet taken by Read
	inEnd  error      // follows the input
	out    []byte     // was written, and not yet taken by the loop
	posted bool       // the loop knows of output
}

// pump takes input of the socket below to the handshake, as a socket's Read does.
func (s *handshake) pump() error {
	l := s.socket.handler.loop
	if l.scratch == nil {
		l.scratch = make([]byte, 16<<10)
	}
	for range readsPerStep {
		s.mu.Lock()
		room, ended := maxHandshakeInput-len(s.in), s.inEnd != nil
		s.mu.Unlock()
		if room <= 0 || ended {
			return s.start(ErrBlocked)
		}
		n, err := s.socket.below.Read(l.scratch[:min(room, len(l.scratch))])
		s.mu.Lock()
		s.in = append(s.in, l.scratch[:n]...)
		if err != nil && !errors.Is(err, ErrBlocked) {
			s.inEnd = err
		}
		s.more.Signal()
		s.mu.Unlock()
		if err != nil {
			return s.start(ErrBlocked)
		}
	}
	return s.start(nil)
}

// start begins the handshake if there is enough of it, and returns err.
func (s *handshake) start(err error) error {
	if s.started || !s.isWhole() {
		return err
	}
	s.started = true
	h := s.socket.handler
	m := h.loop.manager
	if other := m.handshakes.enter(s); other != nil {
		other.makeRoom()
		m.logCrowded(1)
	}
	m.group.Go(func() { s.run(m) })
	return err
}

// makeRoom ends the connection of a handshake that has lost its place.
func (s *handshake) makeRoom() {
	s.socket.handler.Post(func() {
		if s.socket.shaking != nil {
			s.socket.handler.makeRoom()
		}
	})
}

// isWhole reports whether the first record has come, or will not.
func (s *handshake) isWhole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	const typeHandshake = 22
	switch in := s.in; {
	case s.inEnd != nil, len(in) > 0 && in[0] != typeHandshake:
		return true // to say what is wrong
	case len(in) < recordHeader:
		return false
	default:
		return len(in) >= min(recordHeader+int(binary.BigEndian.Uint16(in[3:])), maxHandshakeInput)
	}
}

// run is the goroutine.
func (s *handshake) run(m *Manager) {
	s.turn.Work()
	err := m.shake(s.socket.conn)
	s.turn.End()
	m.handshakes.leave(s)
	h := s.socket.handler
	h.Post(func() { s.finish(err) })
}

// shake makes a handshake. A panic in it, such as in what looks for a certificate, is an
// error.
func (m *Manager) shake(conn *tls.Conn) (err error) {
	err = errors.New("it panicked")
	defer m.contain("a handshake of TLS")
	return conn.Handshake()
}

// contain ends a panic outside of the loops. Call it deferred.
func (m *Manager) contain(what string) {
	if cause := recover(); cause != nil {
		m.panics.Add(1)
		m.config.Log.Error(what+" panicked; its connection ends, please report this", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	}
}

// finish ends the handshake. The loop calls it.
func (s *handshake) finish(err error) {
	socket := s.socket
	s.flush()
	s.mu.Lock()
	socket.early, socket.ended = s.in, s.inEnd
	s.mu.Unlock()
	socket.shaking, socket.carrier.Conn = nil, carried{socket}
	if len(socket.early) == 0 {
		socket.early = nil
	}
	if err != nil {
		failed := &TLSError{Err: err}
		if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && record.Conn != nil {
			failed.IsPlain, socket.isPlain = true, true
		}
		if socket.failed = failed; socket.isReset(err) {
			socket.failed = err
		}
	}
	socket.hold()
	socket.handler.loop.readable(socket.handler)
}

// flush has the socket take the output.
func (s *handshake) flush() {
	s.mu.Lock()
	out := s.out
	s.out, s.posted = nil, false
	s.mu.Unlock()
	socket := s.socket
	if len(socket.unflushed) == 0 && len(out) > 0 {
		n, _ := socket.below.Write(out) // a read reports what is wrong
		out = out[n:]
	}
	if len(out) > 0 {
		socket.unflushed = append(socket.unflushed, out...)
	}
	socket.hold()
}

// abort ends a handshake whose socket is closed.
func (s *handshake) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.inEnd, s.out = nil, net.ErrClosed, nil
	s.more.Signal()
}

// Read implements net.Conn. While it waits others may compute.
func (s *handshake) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.in) == 0 && s.inEnd == nil {
		s.turn.Rest()
		for len(s.in) == 0 && s.inEnd == nil {
			s.more.Wait()
		}
		s.mu.Unlock()
		s.turn.Work()
		s.mu.Lock()
	}
	if len(s.in) == 0 {
		return 0, s.inEnd
	}
	full := len(s.in) >= maxHandshakeInput
	n := copy(p, s.in)
	s.in = s.in[n:]
	if full {
		h := s.socket.handler
		h.Post(func() { h.loop.readable(h) })
	}
	return n, nil
}

// Write implements net.Conn.
func (s *handshake) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.inEnd == net.ErrClosed:
		return 0, net.ErrClosed
	case len(s.out)+len(p) > maxHandshakeOutput:
		return 0, errUntaken
	}
	s.out = append(s.out, p...)
	if !s.posted {
		s.posted = true
		s.socket.handler.Post(s.flush)
	}
	return len(p), nil
}

// Close implements net.Conn. The handler closes the socket.
func (s *handshake) Close() error { return nil }

// RemoteAddr implements net.Conn.
func (s *handshake) RemoteAddr() net.Addr { return noAddr{} }

// noPlace is the index of a handshake that is not among those of its manager.
const noPlace = -1

// handshakes are those of a manager that have begun. Their peers have proven nothing, so
// there are places for a number of them, and a random one makes room for one more.
//
// The first to come must not be the one: in a flood a peer far away would lose its place
// each time before its answer is here. Nor the last: it would have to answer before the
// next one comes. Nor one that waits for its peer: where a flood keeps the processors
// busy, its handshakes wait for their turns, and those that wait for a peer are the
// clients'. Of n, a random one stays with the probability (1-1/n)^m while m others come,
// so each client gets in after some tries.
type handshakes struct {
	most int

	mu  sync.Mutex // a leaf; guards all below
	all []*handshake
}

// enter gives a handshake a place. It returns another that has lost its own, if none was
// free.
func (all *handshakes) enter(s *handshake) (other *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.all) >= all.most {
		other = all.all[rand.IntN(len(all.all))]
		all.removeLocked(other)
	}
	s.index = len(all.all)
	all.all = append(all.all, s)
	return other
}

// leave gives the place back.
func (all *handshakes) leave(s *handshake) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.removeLocked(s)
}

func (all *handshakes) removeLocked(s *handshake) {
	if s.index == noPlace {
		return
	}
	last := len(all.all) - 1
	all.all[s.index] = all.all[last]
	all.all[s.index].index = s.index
	all.all[last] = nil
	all.all = all.all[:last]
	s.index = noPlace
}

// refuse makes the handshake of a connection that is refused.
func (m *Manager) refuse(conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	shaking := &refusedConn{Conn: conn}
	shaking.turn.Enter(m.refusedTurns)
	defer shaking.turn.End()
	carrier := &tcp.Carrier{Conn: shaking}
	encrypted := tls.Server(carrier, config)
	if err := m.shake(encrypted); err != nil {
		return nil, err
	}
	carrier.Conn = conn
	return encrypted, nil
}

// refusedConn is a connection during its handshake. While it waits others compute.
type refusedConn struct {
	net.Conn
	turn turns.Turn
}

// Read implements net.Conn.
func (c *refusedConn) Read(p []byte) (int, error) { return c.turn.Read(c.Conn, p) }

// Write implements net.Conn. A handshake writes at the end of what it computes.
func (c *refusedConn) Write(p []byte) (int, error) {
	c.turn.Rest()
	return c.Conn.Write(p)
}
