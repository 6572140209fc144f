//go:build !linux

package tcp

import "net"

// BoundUnsent bounds the send buffer: this system does not tell what is on its way
// from what the peer has no room for. 0 changes nothing.
func BoundUnsent(conn net.Conn, bytes int) {
	if tcp, ok := conn.(*net.TCPConn); ok && tcp != nil && bytes > 0 {
		tcp.SetWriteBuffer(bytes)
	}
}

// Untaken returns 0: this system does not tell what the peer's TCP has
// acknowledged.
func Untaken(net.Conn) int { return 0 }
