//go:build linux && !portable

package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kaban/internal/tcp"
)

// epollEvents is what every socket is registered for, once and for ever: edges
// of both directions, so that nothing has to be changed while it lives.
const epollEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// epoll is the poller for TCP on Linux: an idle connection costs an entry in a
// table and no goroutine. See epoll(7).
type epoll struct {
	fd    int
	event int // an eventfd: wake writes to it
	// sockets are those that are open, by descriptor.
	sockets []*epollSocket
	events  [256]unix.EpollEvent
}

// epollSocket is a descriptor that only this package knows of: Go's own poller
// would wake for it too.
type epollSocket struct {
	poller  *epoll
	fd      int
	handler *handler
	// ended says that the peer has ended its side, so that a read has to go on to
	// the end: no edge will come again.
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

func (e *epoll) add(conn net.Conn, h *handler) (socket, error) {
	fd, err := steal(conn)
	if err != nil {
		return nil, fmt.Errorf("take over a connection: %w", err)
	}
	s := &epollSocket{poller: e, fd: fd, handler: h}
	if fd >= len(e.sockets) {
		e.sockets = append(e.sockets, make([]*epollSocket, fd+1-len(e.sockets))...)
	}
	e.sockets[fd] = s
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
	var failed error
	err = raw.Control(func(original uintptr) {
		fd, failed = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, os.NewSyscallError("fcntl", failed)); err != nil {
		return -1, err
	}
	return fd, nil
}

func (e *epoll) wait(l *loop, timeout time.Duration) error {
	milliseconds := -1
	if timeout >= 0 {
		milliseconds = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(e.fd, e.events[:], milliseconds)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return os.NewSyscallError("epoll_wait", err)
	}
	for i := range e.events[:n] {
		event := &e.events[i]
		if int(event.Fd) == e.event {
			continue // an edge: the count need not be read
		}
		// Between the event and now the socket may have been closed by the handler
		// of an earlier one. Nothing is added here, so it is not another yet.
		s := e.sockets[event.Fd]
		if s == nil {
			continue
		}
		if event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s.ended = true
		}
		if event.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.readable(s.handler)
		}
		if event.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.writable(s.handler)
		}
	}
	return nil
}

func (e *epoll) wake() {
	one := [8]byte{1}
	unix.Write(e.event, one[:]) // it fails when it is full, and then the edge is there
}

func (e *epoll) close() error {
	return errors.Join(unix.Close(e.event), unix.Close(e.fd))
}

// Read implements socket. What is less than there was room for was all there
// is, unless the peer has ended its side: epoll(7), question 9.
func (s *epollSocket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, p)
		switch {
		case n > 0 && n < len(p) && !s.ended:
			return n, errBlocked
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			return 0, errBlocked
		case err != unix.EINTR:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// Write implements socket.
func (s *epollSocket) Write(p []byte) (n int, err error) {
	for n < len(p) {
		// Less than all of it means that the buffer is full; another try arms the
		// edge that tells when it is not.
		k, err := unix.Write(s.fd, p[n:])
		switch {
		case k > 0:
			n += k
		case err == unix.EAGAIN:
			return n, errBlocked
		case err != nil && err != unix.EINTR:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// Untaken implements socket.
func (s *epollSocket) Untaken() int { return tcp.UntakenOf(s.fd) }

func (s *epollSocket) CloseWrite() error {
	return os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
}

func (s *epollSocket) RemoteAddr() string {
	address, err := unix.Getpeername(s.fd)
	if err != nil {
		return "unknown"
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	}
	return "unknown"
}

// Close implements socket. Closing the last descriptor of a socket takes it out
// of the epoll set.
func (s *epollSocket) Close() error {
	if s.poller.sockets[s.fd] != s {
		return nil
	}
	s.poller.sockets[s.fd] = nil
	return os.NewSyscallError("close", unix.Close(s.fd))
}
