package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// wire is the socket of a connection as crypto/tls sees it. It waits during the
// handshake only.
type wire struct {
	c        *conn
	deadline time.Time // of the handshake; zero behind it
}

// encrypt makes the handshake of TLS. It holds up the other connections, so a crowd
// comes one after the other.
func (l *loop) encrypt(c *conn) error {
	w := &wire{c: c, deadline: time.Now().Add(patience)}
	c.tls = tls.Client(w, l.TLS)
	if err := c.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS with %s: %w", l.Server, err)
	}
	w.deadline = time.Time{}
	return nil
}

// blocked is the error of a read that can be made again.
type blocked struct{}

func (blocked) Error() string   { return unix.EAGAIN.Error() }
func (blocked) Timeout() bool   { return true }
func (blocked) Temporary() bool { return true }

// read reads from the connection once. The end is 0 bytes without an error, and no
// input is EAGAIN.
func (c *conn) read(p []byte) (int, error) {
	if c.tls == nil {
		return unix.Read(c.fd, p)
	}
	n, err := c.tls.Read(p)
	switch {
	case n > 0:
		return n, nil
	case err == error(blocked{}):
		return 0, unix.EAGAIN
	case errors.Is(err, io.EOF):
		return 0, nil
	}
	return 0, err
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(w.c.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return 0, err
		case w.deadline.IsZero():
			return 0, blocked{}
		}
		left := time.Until(w.deadline)
		if left <= 0 {
			return 0, errors.New("the server does not answer")
		}
		files := []unix.PollFd{{Fd: int32(w.c.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(files, int(left/time.Millisecond)+1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
}

// Write implements net.Conn. What the socket does not take waits.
func (w *wire) Write(p []byte) (int, error) {
	w.c.loop.push(w.c, p)
	return len(p), nil
}

// The loop closes the socket, and has its own patience.
func (*wire) Close() error                     { return nil }
func (*wire) LocalAddr() net.Addr              { return nil }
func (*wire) RemoteAddr() net.Addr             { return nil }
func (*wire) SetDeadline(time.Time) error      { return nil }
func (*wire) SetReadDeadline(time.Time) error  { return nil }
func (*wire) SetWriteDeadline(time.Time) error { return nil }
