package conn

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"kaban/internal/tcp"
)

const (
	// portableRead is how much input of a connection waits for its loop.
	portableRead = 4 << 10
	// portableWrite is how much output of a connection is being written: a record of
	// TLS fits. Of a write with several, the socket of TLS keeps the others.
	portableWrite = 17 << 10
	// pieceTime is how long a write may take before its progress is noted.
	pieceTime = time.Second
)

// portable is the poller for everything but plain TCP on Linux: for connections
// whose reads and writes block, on any system. Each connection has a goroutine
// that waits for input, and another while output is being written.
type portable struct {
	woken chan struct{}
	group sync.WaitGroup // the goroutines of the sockets

	mu     sync.Mutex // guards all below
	events []event
	empty  []event // the events of the last wait, to be used again
}

func newPortablePoller() *portable { return &portable{woken: make(chan struct{}, 1)} }

func (p *portable) add(conn net.Conn, h *Handler) (socket, error) {
	s := &portableSocket{poller: p, conn: conn, handler: h, tcp: tcp.Below(conn)}
	if s.tcp != nil {
		tcp.BoundUnsent(s.tcp, maxUnsent)
	}
	s.more.L = &s.mu
	p.group.Go(s.readLoop)
	return s, nil
}

func (p *portable) wait(timeout time.Duration) ([]event, error) {
	if timeout != 0 {
		var over <-chan time.Time
		if timeout > 0 {
			timer := time.NewTimer(timeout)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-p.woken:
		case <-over:
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	clear(p.empty)
	p.events, p.empty = p.empty[:0], events
	return events, nil
}

func (p *portable) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *portable) close() error {
	p.group.Wait()
	return nil
}

// announce adds an event.
func (p *portable) announce(e event) {
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	p.wake()
}

// portableSocket makes a connection that blocks behave like one that does not.
type portableSocket struct {
	poller  *portable
	conn    net.Conn
	tcp     *net.TCPConn // what carries it, if that is TCP
	handler *Handler

	mu       sync.Mutex // guards all below
	more     sync.Cond  // on mu: input was taken, or the socket was closed
	input    []byte     // was read, and not yet taken by Read
	readErr  error      // follows the input
	output   []byte     // is being written; nil if nothing is
	written  int        // bytes of it that the system has taken
	writeErr error
	half     bool // CloseWrite was called
	closed   bool
}

// readLoop reads ahead of the loop, one buffer at a time.
func (s *portableSocket) readLoop() {
	buffer := make([]byte, portableRead)
	for {
		n, err := s.conn.Read(buffer)
		s.mu.Lock()
		s.input, s.readErr = buffer[:n], err
		s.mu.Unlock()
		s.poller.announce(event{handler: s.handler, readable: true})
		s.mu.Lock()
		for len(s.input) > 0 && !s.closed {
			s.more.Wait()
		}
		closed := s.closed
		s.mu.Unlock()
		if err != nil || closed {
			return
		}
	}
}

// Read implements socket.
func (s *portableSocket) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.input) > 0:
		n := copy(p, s.input)
		if s.input = s.input[n:]; len(s.input) == 0 {
			s.more.Signal()
			if s.readErr == nil {
				return n, ErrBlocked
			}
		}
		return n, nil
	case s.readErr != nil:
		return 0, s.readErr
	}
	return 0, ErrBlocked
}

// Write implements socket.
func (s *portableSocket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.writeErr != nil:
		return 0, s.writeErr
	case s.closed || s.half:
		return 0, net.ErrClosed
	case s.output != nil:
		return 0, ErrBlocked
	}
	n := min(len(p), portableWrite)
	s.output, s.written = append(make([]byte, 0, n), p[:n]...), 0
	s.poller.group.Go(s.writeOutput)
	if n < len(p) {
		return n, ErrBlocked
	}
	return n, nil
}

// writeOutput writes the bytes that Write has taken.
func (s *portableSocket) writeOutput() {
	err := s.writePieces()
	s.mu.Lock()
	s.output, s.writeErr = nil, err
	half, closed := s.half, s.closed
	s.mu.Unlock()
	if half || closed { // an error changes nothing: the peer is gone
		s.endWrites()
	}
	if closed {
		s.conn.Close()
	}
	s.poller.announce(event{handler: s.handler, writable: true})
}

// writePieces writes the output. It interrupts a long write now and then to note
// its progress, so that a slow peer is not taken for a stalled one. A connection
// that wraps another, such as TLS, does not survive an interrupted write; there
// Untaken of the TCP connection below must do.
func (s *portableSocket) writePieces() error {
	_, wrapped := s.conn.(interface{ NetConn() net.Conn })
	interrupted := !wrapped && runtime.GOOS != "windows" // which does not report how much an interrupted write has written
	for {
		s.mu.Lock()
		if interrupted && !s.closed { // Close has its own deadline
			s.conn.SetWriteDeadline(time.Now().Add(pieceTime))
		}
		rest := s.output[s.written:]
		s.mu.Unlock()
		n, err := s.conn.Write(rest)
		s.mu.Lock()
		s.written += n
		closed := s.closed
		s.mu.Unlock()
		if n == len(rest) || closed || !interrupted || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// Untaken implements socket.
func (s *portableSocket) Untaken() int {
	s.mu.Lock()
	n := len(s.output) - s.written
	if s.output == nil {
		n = 0
	}
	s.mu.Unlock()
	if s.tcp != nil {
		n += tcp.Untaken(s.tcp)
	}
	return n
}

// CloseWrite implements socket.
func (s *portableSocket) CloseWrite() error {
	s.mu.Lock()
	s.half = true
	busy := s.output != nil
	s.mu.Unlock()
	if busy {
		return nil
	}
	return s.endWrites()
}

func (s *portableSocket) endWrites() error {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *portableSocket) RemoteAddr() string { return addressText(remoteOf(s.conn)) }

// Close implements socket. Output that Write has taken has lingerTimeout to go out.
func (s *portableSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.more.Signal()
	if s.output == nil {
		return s.conn.Close()
	}
	s.conn.SetReadDeadline(time.Unix(1, 0)) // unblock a read
	return s.conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
}
