//go:build !linux

package web

import "net"

// boundUnsent does nothing here: the buffer is as large as the kernel likes.
func boundUnsent(net.Conn, int) {}

// untakenOf does not know here what the peer's TCP has taken; that it takes
// something shows when the kernel has room again.
func untakenOf(net.Conn) int { return 0 }
