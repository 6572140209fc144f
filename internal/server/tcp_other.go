//go:build !linux

package server

import "net"

// boundBuffer bounds how much of what a connection has taken its peer has not:
// where the system does not tell the two apart, the buffer has to be small.
func boundBuffer(conn *net.TCPConn) { conn.SetWriteBuffer(maxUnsent) }

// untaken returns how many bytes that were written the peer's TCP has not
// acknowledged. This system does not tell.
func untaken(*net.TCPConn) int { return 0 }
