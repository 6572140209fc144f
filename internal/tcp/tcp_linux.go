package tcp

import (
	"net"

	"golang.org/x/sys/unix"
)

// BoundUnsent limits the data that the system accepts beyond the peer's window to
// about the given number of bytes; 0 is the system's default. Data in transit does
// not count, so a fast peer is not slowed down. It is a no-op for connections other
// than *net.TCPConn. See tcp(7), TCP_NOTSENT_LOWAT.
func BoundUnsent(conn net.Conn, bytes int) {
	withDescriptor(conn, func(fd int) { BoundUnsentOf(fd, bytes) })
}

// BoundUnsentOf does the same for a descriptor.
func BoundUnsentOf(fd, bytes int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// Untaken returns the number of written bytes that the peer's TCP has not
// acknowledged, or 0 for connections other than *net.TCPConn. See tcp(7), SIOCOUTQ.
func Untaken(conn net.Conn) (n int) {
	withDescriptor(conn, func(fd int) { n = UntakenOf(fd) })
	return n
}

// UntakenOf does the same for a descriptor.
func UntakenOf(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

func withDescriptor(conn net.Conn, call func(fd int)) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || tcp == nil {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { call(int(fd)) })
	}
}
