package tcp

import (
	"net"

	"golang.org/x/sys/unix"
)

// BoundUnsent has the system take at most about so many bytes that the peer has no
// room for; 0 is the machine's default. What is on its way counts extra, so a fast
// peer is not held up. Connections other than *net.TCPConn are left alone. See
// tcp(7), TCP_NOTSENT_LOWAT.
func BoundUnsent(conn net.Conn, bytes int) {
	withDescriptor(conn, func(fd int) { BoundUnsentOf(fd, bytes) })
}

// BoundUnsentOf does the same for a descriptor.
func BoundUnsentOf(fd, bytes int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// Untaken returns how many bytes that were written the peer's TCP has not
// acknowledged, 0 for connections other than *net.TCPConn. See tcp(7), SIOCOUTQ.
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
