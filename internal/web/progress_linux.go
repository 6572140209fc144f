package web

import (
	"net"

	"golang.org/x/sys/unix"
)

// boundUnsent has the kernel take at most so many bytes from us that the peer has
// no room for; 0 is what the machine has by default. See tcp(7),
// TCP_NOTSENT_LOWAT.
func boundUnsent(conn net.Conn, bytes int) {
	withDescriptor(conn, func(fd int) { unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

// untakenOf returns how many bytes that were written the peer's TCP has not
// acknowledged. See tcp(7), SIOCOUTQ.
func untakenOf(conn net.Conn) (n int) {
	withDescriptor(conn, func(fd int) {
		if queued, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = queued
		}
	})
	return n
}

func withDescriptor(conn net.Conn, call func(fd int)) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { call(int(fd)) })
		}
	}
}
