package conn

import (
	"net"
	"time"
)

// socket is a connection that never blocks. Only the loop of its handler calls
// it.
type socket interface {
	// Read and Write do what can be done at once. When that is nothing, or not
	// all of a write, the error is ErrBlocked; beside a whole write, it says that the
	// socket still has to send some of it. The end of the input is io.EOF.
	Read(p []byte) (n int, err error)
	Write(p []byte) (n int, err error)
	// Untaken returns how many written bytes the peer's TCP has not taken yet; 0
	// where the system does not report it. While they become fewer the peer is
	// there.
	Untaken() int
	// CloseWrite ends the output, after everything that Write has taken.
	CloseWrite() error
	Close() error
	// RemoteAddr is the peer's address as addressText has it, for the log.
	RemoteAddr() string
}

// maxUnsent is about how many bytes a socket takes before its peer has room for
// them. A ping must get through behind them in time, and each stalled peer holds
// as much of the kernel's memory.
const maxUnsent = 512 << 10

// event says that a socket has become ready.
type event struct {
	handler  *Handler
	readable bool
	writable bool
}

// poller reports which sockets have become ready. All methods but wake belong to
// the goroutine of the loop.
//
// Readiness is an edge: a poller reports it once, when it begins, and again only
// after the socket has returned ErrBlocked in that direction. So the loop owes
// each reported direction one of two things: to go on until ErrBlocked or an
// error, or to note that it has not (Loop.reads, Handler.blocked) and to go on
// without another event. What each poller owes in return:
//
//   - Each socket has its first readable event, except for input that came before
//     add: the loop reads once after add without being asked.
//   - An ErrBlocked is followed by an event when it is no longer true, also if it
//     became untrue before wait was called.
//   - The end of the input and an error are readable events, and no more may come
//     after them: a read must go on to the end. An error is also writable, so that
//     a blocked write finds it.
//   - Events may be spurious, and may be for a handler that has closed.
//
// The epoll poller registers each socket for both directions once, edge-triggered.
// A short read means that all input was read, and saves the call that would return
// EAGAIN, unless the peer has ended its output: no edge would come for that again
// (epollSocket.ended). A short write is tried again until EAGAIN, which arms the
// edge.
//
// The portable poller has a goroutine read ahead, one buffer at a time. It reports
// readable when the buffer is full and reads on when it is empty, and writable
// when the goroutine that writes has finished.
type poller interface {
	// add makes a connection a socket of the poller, which owns it from then on,
	// also when it fails.
	add(conn net.Conn, h *Handler) (socket, error)
	// wait returns the events since the last call. It waits until there is one,
	// wake is called or the time-out is over; a negative time-out is none. The
	// result is valid until the next call.
	wait(timeout time.Duration) ([]event, error)
	// wake ends a wait, the present one or the next. Anybody may call it.
	wake()
	// close ends the poller, which has no sockets any more.
	close() error
}
