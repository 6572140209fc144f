//go:build !linux

package tcp

import "net"

// BoundUnsent limits the send buffer, because this system does not distinguish data
// in transit from data beyond the peer's window. 0 is a no-op.
func BoundUnsent(conn net.Conn, bytes int) {
	if tcp, ok := conn.(*net.TCPConn); ok && tcp != nil && bytes > 0 {
		tcp.SetWriteBuffer(bytes)
	}
}

// Untaken returns 0: this system does not report unacknowledged data.
func Untaken(net.Conn) int { return 0 }
