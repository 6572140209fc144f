//go:build linux && !portable

package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kaban/internal/nonblock"
	"kaban/internal/tcp"
)

// epollEvents is what every socket is registered for, once: edges of both
// directions, so that nothing has to be changed while it lives.
const epollEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// epoll is the poller for TCP on Linux: an idle connection costs an entry in a
// table and no goroutine. See epoll(7).
type epoll struct {
	fd    int
	event int // an eventfd: wake writes to it
	// mu lets close wait for wakes: another file may get the number of the eventfd then.
	mu     sync.RWMutex
	closed bool // guarded by mu
	// handlers are those of the sockets that are open, by descriptor.
	handlers []*Handler
	raw      [256]unix.EpollEvent
	events   [256]event
}

// ownSocket is a part of each handler.
type ownSocket = epollSocket

// epollSocket is a descriptor that Go's own poller does not know: it would wake
// for it too.
type epollSocket struct {
	poller *epoll
	fd     int32
	// ended says that the peer has ended its output. No edge comes again, so a read
	// must go on to the end.
	ended bool
}

// newPoller returns the poller for plain TCP connections.
func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &epoll{fd: fd, event: event}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(event)}); err != nil {
		e.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return e, nil
}

// takes reports whether that poller takes a connection.
func takes(conn net.Conn) bool {
	_, ok := conn.(*net.TCPConn)
	return ok
}

func (e *epoll) add(conn net.Conn, h *Handler) (socket, error) {
	fd, err := steal(conn)
	if err != nil {
		return nil, fmt.Errorf("take over a connection: %w", err)
	}
	s := &h.own
	*s = epollSocket{poller: e, fd: int32(fd)}
	if fd >= len(e.handlers) {
		e.handlers = append(e.handlers, make([]*Handler, fd+1-len(e.handlers))...)
	}
	e.handlers[fd] = h
	tcp.BoundUnsentOf(fd, maxUnsent)
	if err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: epollEvents, Fd: int32(fd)}); err != nil {
		s.Close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return s, nil
}

// steal takes a descriptor away from Go's poller. The duplicate shares the
// state of the first, so it does not block either.
func steal(conn net.Conn) (fd int, err error) {
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	var failed error
	err = raw.Control(func(original uintptr) {
		if fd, failed = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			failed = unix.SetNonblock(fd, true) // it does not block already; package nonblock relies on it
		}
	})
	if err = errors.Join(err, os.NewSyscallError("fcntl", failed)); err != nil {
		if fd > 0 {
			unix.Close(fd)
		}
		return -1, err
	}
	return fd, nil
}

func (e *epoll) wait(timeout time.Duration) ([]event, error) {
	n, err := e.poll(timeout)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil, nil
	case err != nil:
		return nil, os.NewSyscallError("epoll_wait", err)
	}
	events := e.events[:0]
	for i := range e.raw[:n] {
		raw := &e.raw[i]
		if int(raw.Fd) == e.event {
			continue // an edge: the count need not be read
		}
		h := e.handlers[raw.Fd]
		if h == nil { // closed after the kernel queued the event
			continue
		}
		s := &h.own
		over := raw.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
		if over || raw.Events&unix.EPOLLRDHUP != 0 {
			s.ended = true
		}
		events = append(events, event{
			handler:  h,
			readable: s.ended || raw.Events&unix.EPOLLIN != 0,
			writable: over || raw.Events&unix.EPOLLOUT != 0,
		})
	}
	return events, nil
}

// poll waits for events for up to a time, rounded up to a millisecond; for ever if it is negative.
func (e *epoll) poll(timeout time.Duration) (n int, err error) {
	switch {
	case timeout < 0:
		return unix.EpollWait(e.fd, e.raw[:], -1)
	case timeout == 0:
		return nonblock.Poll(e.fd, e.raw[:])
	}
	return unix.EpollWait(e.fd, e.raw[:], int((timeout+time.Millisecond-1)/time.Millisecond))
}

func (e *epoll) wake() {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return
	}
	one := [8]byte{1}
	nonblock.Write(e.event, one[:]) // it fails only when it is full, and then the edge is there
}

func (e *epoll) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return errors.Join(unix.Close(e.event), unix.Close(e.fd))
}

// Read implements socket. A short read has taken all input, unless the peer has
// ended its output: epoll(7), question 9.
func (s *epollSocket) Read(p []byte) (int, error) {
	for {
		n, err := nonblock.Read(int(s.fd), p)
		switch {
		case n > 0 && n < len(p) && !s.ended:
			return n, ErrBlocked
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			return 0, ErrBlocked
		case err != unix.EINTR:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// Write implements socket.
func (s *epollSocket) Write(p []byte) (n int, err error) {
	for n < len(p) {
		// A short write means that the buffer is full. Another try arms the edge that
		// reports when it is not.
		k, err := nonblock.Write(int(s.fd), p[n:])
		switch {
		case k > 0:
			n += k
		case err == unix.EAGAIN:
			return n, ErrBlocked
		case err != nil && err != unix.EINTR:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// Untaken implements socket.
func (s *epollSocket) Untaken() int { return tcp.UntakenOf(int(s.fd)) }

func (s *epollSocket) CloseWrite() error {
	return os.NewSyscallError("shutdown", unix.Shutdown(int(s.fd), unix.SHUT_WR))
}

func (s *epollSocket) RemoteAddr() string {
	address, err := unix.Getpeername(int(s.fd))
	if err != nil {
		return addressText(netip.Addr{})
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return addressText(netip.AddrFrom4(a.Addr))
	case *unix.SockaddrInet6:
		return addressText(netip.AddrFrom16(a.Addr).Unmap())
	}
	return addressText(netip.Addr{})
}

// Close implements socket. Closing the last descriptor of a socket takes it out
// of the epoll set.
func (s *epollSocket) Close() error {
	if h := s.poller.handlers[s.fd]; h == nil || &h.own != s {
		return nil
	}
	s.poller.handlers[s.fd] = nil
	return os.NewSyscallError("close", unix.Close(int(s.fd)))
}
