//go:build !linux || portable

package conn

import "net"

// newPoller returns the poller for all connections.
func newPoller() (poller, error) { return newPortablePoller(), nil }

// takes reports whether that poller takes a connection.
func takes(net.Conn) bool { return true }
