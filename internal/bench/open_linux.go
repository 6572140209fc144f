package bench

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// concurrentLogins is the number of connections that are opened at a time: less
// than any backlog.
const concurrentLogins = 128

// open connects all planned connections, sends their hellos and joins, and returns
// the time it took.
func (l *loop) open() (time.Duration, error) {
	begin := l.clock()
	next, last, since := 0, 0, begin
	for next < len(l.conns) || l.pending > 0 {
		for next < len(l.conns) && l.pending < concurrentLogins {
			c := l.conns[next]
			next++
			if c.stage != stageClosed {
				continue // already open
			}
			if err := l.dial(c); err != nil {
				return 0, err
			}
		}
		if err := l.round(time.Second); err != nil {
			return 0, err
		}
		done := next - l.pending
		if done != last {
			last, since = done, l.now
		} else if l.now-since > int64(patience) {
			return 0, fmt.Errorf("%d of %d connections are not logged in and nothing has arrived for %s; does the server at %s speak this protocol?", len(l.conns)-done, len(l.conns), patience, l.Server)
		}
		l.say(float64(done)/float64(len(l.conns)), "%d of %d connected", done, len(l.conns))
	}
	return time.Duration(l.clock() - begin), nil
}

// dial starts a connection.
func (l *loop) dial(c *conn) error {
	at := l.place
	if c.sends {
		at = l.sending
	}
	fd, err := unix.Socket(at.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	c.fd, c.stage = fd, stageConnecting
	for len(l.byFD) <= fd {
		l.byFD = append(l.byFD, nil)
	}
	l.byFD[fd] = c
	l.pending++
	// The generator batches by itself, so the kernel need not wait for more.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	if c.small {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, smallBuffer); err != nil {
			return fmt.Errorf("SO_RCVBUF: %w", err)
		}
		// On loopback a segment has 64 KiB, and the server's kernel would buffer
		// dozens of them: megabytes per connection.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, smallSegment); err != nil {
			return fmt.Errorf("TCP_MAXSEG: %w", err)
		}
	}
	// Closes with a reset, so that ports are free for the next run.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("SO_LINGER: %w", err)
	}
	connecting := unix.Connect(fd, at.address)
	if connecting != nil && !errors.Is(connecting, unix.EINPROGRESS) {
		l.refused(connecting)
		return l.failure
	}
	event := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if connecting == nil {
		l.connected(c)
	}
	return nil
}

// connected continues with an open connection.
func (l *loop) connected(c *conn) {
	c.stage = stageGreeting
	if l.TLS != nil {
		if err := l.encrypt(c); err != nil {
			l.fail("%w", err)
			return
		}
	}
	if l.WebSocket {
		c.web = new(unframer)
		l.write(c, []byte(handshake(l.server)))
		return
	}
	l.greet(c)
}

// greet sends hello and join in one write.
func (l *loop) greet(c *conn) {
	data := l.dialect.appendHello(l.scratch[:0], &c.identity)
	if c.identity.room != "" {
		data = l.dialect.appendJoin(data, &c.identity)
	}
	l.write(c, data)
	l.scratch = data[:0]
	if c.identity.room == "" && !l.dialect.greets() {
		l.ready(c)
	}
}
