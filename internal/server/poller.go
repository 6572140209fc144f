package server

import (
	"errors"
	"net"
	"time"
)

// errBlocked says that a socket has nothing to read, or takes no more, for now.
// Its poller says when that has changed.
var errBlocked = errors.New("socket is not ready")

// socket is a connection that never blocks. Only the loop of its handler calls
// it.
type socket interface {
	// Read and Write do what can be done at once. When that is nothing, or not
	// all of a write, the error is errBlocked. A read ends with io.EOF.
	Read(p []byte) (n int, err error)
	Write(p []byte) (n int, err error)
	// Untaken returns how much of what Write has taken the peer's TCP has not, as far
	// as the system tells. While it gets less the peer is there.
	Untaken() int
	// CloseWrite ends what is sent, after what Write has taken.
	CloseWrite() error
	Close() error
	// RemoteAddr is the peer's address, for the log.
	RemoteAddr() string
}

// maxUnsent is about how many bytes a socket takes that its peer has no room for
// yet. A ping has to get through in time behind them, and each stalled peer holds
// as much of the kernel's memory.
const maxUnsent = 512 << 10

// poller tells a loop which of its sockets are ready. All methods but wake
// belong to the goroutine of the loop.
type poller interface {
	// add makes a connection a socket of the poller, which owns it from then on,
	// also when it fails.
	add(conn net.Conn, h *handler) (socket, error)
	// wait calls Loop.readable and Loop.writable of handlers whose socket has
	// become ready since it was not. It waits until there is one, wake is called
	// or the time is over; a time below 0 has no end.
	wait(l *loop, timeout time.Duration) error
	// wake ends a wait, the present one or the next. Anybody may call it.
	wake()
	// close ends the poller, which has no sockets any more.
	close() error
}
