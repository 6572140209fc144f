//go:build !linux || portable

package conn

import "net"

// ownSocket is a part of each handler, for a poller that uses it.
type ownSocket struct{}

// newPoller returns the poller for all connections.
func newPoller() (poller, error) { return newPortablePoller(), nil }

// takes reports whether that poller takes a connection.
func takes(net.Conn) bool { return true }
