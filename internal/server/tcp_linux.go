package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// boundBuffer has a connection take no more than maxUnsent bytes which its peer
// has no room for yet. What is on its way counts extra, so a fast peer is not held
// up. See tcp(7), TCP_NOTSENT_LOWAT.
func boundBuffer(conn *net.TCPConn) {
	withDescriptor(conn, func(fd int) { boundDescriptor(fd) })
}

// boundDescriptor does the same for a descriptor. Where the kernel cannot, the
// buffer is as large as the kernel likes; nothing depends on it but how soon a
// slow peer gets a ping.
func boundDescriptor(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
}

// untaken returns how many bytes that were written the peer's TCP has not
// acknowledged.
func untaken(conn *net.TCPConn) (n int) {
	withDescriptor(conn, func(fd int) { n = untakenOf(fd) })
	return n
}

// untakenOf does the same for a descriptor. See tcp(7), SIOCOUTQ.
func untakenOf(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

func withDescriptor(conn *net.TCPConn, call func(fd int)) {
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { call(int(fd)) })
	}
}
