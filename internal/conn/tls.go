package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"kaban/internal/tcp"
)

const (
	// recordSize is the most that a record of TLS has (RFC 8446, section 5.1).
	recordSize = 16 << 10
	// writeSize is how much a socket encrypts before it writes: a system call for each
	// record costs more than encrypting it.
	writeSize = 4 * recordSize
	// maxUnflushed bounds the ciphertext that waits for room in a socket: that of a
	// write, and answers to a peer that asks for new keys and takes none of them.
	maxUnflushed = writeSize + 2*recordSize
	// longestPing is at least as long as a ping. What TLS adds to a write that may be
	// one proves as little as the ping itself; see look.
	longestPing = 64
)

// Bounds of what a peer may send besides data, since a KeyUpdate of 27 bytes costs more than
// a line, and crypto/tls ends a connection only after 16 in a row. A record of one byte has
// 23 in TLS 1.3, 53 before, and padding may make it longer; nobody needs new keys more often
// than once in many gigabytes.
const (
	// uselessBytes of ciphertext may come at once beyond uselessFactor times the data.
	uselessBytes  = 64 << 10
	uselessFactor = 128
	// maxAnswers of crypto/tls are sent at once beyond one for each dataPerAnswer bytes of
	// data.
	maxAnswers    = 1024
	dataPerAnswer = 16
	// readSize is about how much ciphertext one read of a loop takes.
	readSize = 64 << 10
)

// notReady is ErrBlocked as crypto/tls understands it: a read that returns it can be
// made again.
type notReady struct{}

func (notReady) Error() string   { return ErrBlocked.Error() }
func (notReady) Timeout() bool   { return true }
func (notReady) Temporary() bool { return true }

var (
	errNotReady  net.Error = notReady{}
	errUntaken             = errors.New("the peer takes no answers")
	errUseless             = errors.New("the peer sends far more than data")
	errEncrypted           = errors.New("the handshake of TLS is not done")
)

// tlsSocket is TLS over another socket. crypto/tls works on it without waiting:
//
//   - Its reads return errNotReady when the socket below has no input, which a *tls.Conn
//     does not remember. It may have decrypted more than was read, so Read goes on until
//     that error.
//   - Its writes must not fail, which a *tls.Conn would remember. So unflushed takes what
//     the socket below does not, and Write encrypts no more until that has gone. A peer
//     that takes nothing holds one record.
//
// While there is something unflushed, the handler is blocked.
type tlsSocket struct {
	unmoved
	handler *Handler
	below   socket
	carrier *tcp.Carrier // between conn and this socket or, before, its handshake
	conn    *tls.Conn

	shaking *handshake // nil once it is over
	failed  error      // permanent, of reads
	isPlain bool       // the peer speaks no TLS, and is told so without

	early     []byte // came with the handshake and was not read
	ended     error  // of the socket below, as the handshake found it
	broken    bool   // the socket below has failed
	drained   bool   // this Read has found that the socket below has no more
	half      bool   // CloseWrite was called
	closed    bool
	gathering bool   // Write of carried adds to what the loop has sealed
	unflushed []byte // ciphertext
	written   int    // bytes of ciphertext, flushed or not

	reading  bool
	received int // bytes of ciphertext since the last look
	answers  int // writes that a read has made since
	// What was used of the bounds. Data gives it back.
	useless, answered int
}

// layersOf returns the parts of a connection that is encrypted and whose bytes can go
// another way. For all others the first result is nil, and the last is the connection.
func layersOf(conn net.Conn) (encrypted *tls.Conn, carrier *tcp.Carrier, below net.Conn) {
	encrypted, ok := conn.(*tls.Conn)
	if !ok {
		return nil, nil, conn
	}
	carrier, ok = encrypted.NetConn().(*tcp.Carrier)
	if !ok {
		return nil, nil, conn
	}
	if at := tcp.Below(carrier); at != nil {
		return encrypted, carrier, at
	}
	return nil, nil, conn
}

// encrypt puts a connection whose handshake is done on the handler's socket.
func (h *Handler) encrypt(conn *tls.Conn, carrier *tcp.Carrier) {
	s := &tlsSocket{handler: h, below: h.socket, carrier: carrier, conn: conn}
	carrier.Conn = carried{s}
	h.socket = s
}

// Read implements socket.
func (s *tlsSocket) Read(p []byte) (n int, err error) {
	switch {
	case s.shaking != nil:
		return 0, s.shaking.pump()
	case s.half && !s.isOpen(): // what still comes has no meaning
		return s.below.Read(p)
	}
	s.drained, s.reading = false, true
	for taken := 0; n < len(p) && s.failed == nil && (n == 0 || taken < readSize); {
		var k int
		k, err = s.conn.Read(p[n:])
		n, taken = n+k, taken+s.received
		switch {
		case s.isUseless(k):
			s.failed = &TLSError{Err: errUseless}
		case err == error(errNotReady):
			s.reading = false
			s.hold()
			return n, ErrBlocked
		case err != nil:
			s.failed = s.meaning(err)
		}
	}
	s.reading = false
	s.hold()
	if n == 0 {
		return 0, s.failed
	}
	return n, nil
}

// isUseless reports whether most of what the peer sends only makes work. data is what its
// newest records contained, in bytes.
func (s *tlsSocket) isUseless(data int) bool {
	s.useless = max(s.useless+s.received-uselessFactor*data, 0)
	s.answered = max(s.answered+dataPerAnswer*s.answers-data, 0)
	s.received, s.answers = 0, 0
	return s.useless > uselessBytes || s.answered > dataPerAnswer*maxAnswers
}

// meaning returns what an error of a read means: the end of the input, with close_notify
// or without, a broken socket, or that the peer has broken the rules of TLS.
func (s *tlsSocket) meaning(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	case s.broken:
		return err
	}
	return &TLSError{Err: err}
}

// isReset reports whether a handshake has failed because the socket below has, not by
// what the peer has said.
func (s *tlsSocket) isReset(err error) bool {
	return s.ended != nil && s.ended != io.EOF && errors.Is(err, s.ended)
}

// isOpen reports whether the peer follows what is encrypted.
func (s *tlsSocket) isOpen() bool {
	return s.shaking == nil && (s.failed == nil || s.failed == io.EOF)
}

// hold has the handler wait until what is unflushed has gone.
func (s *tlsSocket) hold() {
	if len(s.unflushed) > 0 && !s.handler.blocked {
		s.handler.writeFailed(ErrBlocked)
	}
}

// Write implements socket.
func (s *tlsSocket) Write(p []byte) (n int, err error) {
	switch {
	case s.shaking != nil:
		return 0, errEncrypted
	case s.isPlain:
		return s.below.Write(p)
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	for n < len(p) {
		before := s.written
		k, err := s.encryptOnce(p[n:min(len(p), n+writeSize)])
		n += k
		if len(p) > longestPing {
			s.handler.sent += uint32(s.written - before - k)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// encryptOnce encrypts up to writeSize bytes and writes the records together.
func (s *tlsSocket) encryptOnce(p []byte) (n int, err error) {
	l := s.handler.loop
	s.gathering, l.sealed = true, l.sealed[:0]
	n, err = s.conn.Write(p)
	s.gathering = false
	if err != nil {
		return n, err
	}
	if err = s.send(l.sealed); err == nil && len(s.unflushed) > 0 {
		err = ErrBlocked
	}
	return n, err
}

// flush writes what is unflushed.
func (s *tlsSocket) flush() error {
	if s.closed {
		return net.ErrClosed
	}
	if len(s.unflushed) == 0 {
		return nil
	}
	n, err := s.below.Write(s.unflushed)
	if s.unflushed = s.unflushed[n:]; len(s.unflushed) > 0 {
		return err
	}
	s.unflushed = nil
	if s.half {
		return s.below.CloseWrite()
	}
	return nil
}

// Untaken implements socket.
func (s *tlsSocket) Untaken() int { return s.below.Untaken() + len(s.unflushed) }

// CloseWrite implements socket. The peer is told with close_notify, and by TCP.
func (s *tlsSocket) CloseWrite() error {
	if s.half {
		return nil
	}
	s.half = true
	if s.isOpen() {
		if err := s.conn.CloseWrite(); err != nil {
			return err
		}
	}
	if s.hold(); len(s.unflushed) > 0 {
		return nil
	}
	return s.below.CloseWrite()
}

// RemoteAddr implements socket.
func (s *tlsSocket) RemoteAddr() string { return s.below.RemoteAddr() }

// Close implements socket.
func (s *tlsSocket) Close() error {
	switch {
	case s.shaking != nil:
		s.shaking.abort()
	case !s.half && s.isOpen() && len(s.unflushed) == 0:
		s.conn.CloseWrite() // an error changes nothing: the peer is gone
	}
	s.closed, s.unflushed, s.early = true, nil, nil
	return s.below.Close()
}

// unblock reports whether the handler may write again.
func (s *tlsSocket) unblock() bool {
	err := s.flush()
	if err != nil {
		s.handler.guard(func(h *Handler) { h.writeFailed(err) })
	}
	return err == nil
}

// carried is the socket as its *tls.Conn sees it.
type carried struct{ *tlsSocket }

// Read implements net.Conn. It returns no error beside bytes: crypto/tls would not look
// at those before the next read.
func (c carried) Read(p []byte) (int, error) {
	s := c.tlsSocket
	switch {
	case len(s.early) > 0:
		n := copy(p, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	case s.ended != nil:
		s.broken = s.ended != io.EOF
		return 0, s.ended
	case s.drained:
		return 0, errNotReady
	}
	n, err := s.below.Read(p)
	if n > 0 {
		s.handler.hear() // also if it is no whole record
	}
	s.drained = errors.Is(err, ErrBlocked)
	s.broken = err != nil && !s.drained && err != io.EOF
	s.received += n
	switch {
	case n > 0:
		return n, nil
	case s.drained:
		return 0, errNotReady
	}
	return 0, err
}

// Write implements net.Conn.
func (c carried) Write(p []byte) (int, error) {
	s := c.tlsSocket
	s.written += len(p)
	if s.reading {
		s.answers++
	}
	if s.gathering {
		s.handler.loop.sealed = append(s.handler.loop.sealed, p...)
		return len(p), nil
	}
	if err := s.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// send writes ciphertext, and keeps what the socket below does not take.
func (s *tlsSocket) send(p []byte) error {
	if len(s.unflushed) == 0 {
		n, err := s.below.Write(p)
		if err != nil && !errors.Is(err, ErrBlocked) {
			return err
		}
		p = p[n:]
	}
	if len(s.unflushed)+len(p) > maxUnflushed {
		return errUntaken
	}
	if len(p) > 0 {
		s.unflushed = append(s.unflushed, p...)
	}
	return nil
}

// Close implements net.Conn. The handler closes the socket.
func (carried) Close() error { return nil }

// RemoteAddr implements net.Conn.
func (carried) RemoteAddr() net.Addr { return noAddr{} }

// unmoved is what a net.Conn has that crypto/tls asks for, and that sockets do without:
// they never wait, and the handler knows who the peer is.
type unmoved struct{}

func (unmoved) LocalAddr() net.Addr              { return noAddr{} }
func (unmoved) SetDeadline(time.Time) error      { return nil }
func (unmoved) SetReadDeadline(time.Time) error  { return nil }
func (unmoved) SetWriteDeadline(time.Time) error { return nil }

// noAddr is the address of a connection that does not know it.
type noAddr struct{}

func (noAddr) Network() string { return "tls" }
func (noAddr) String() string  { return "" }
