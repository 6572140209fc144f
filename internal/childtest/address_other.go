//go:build !linux

package childtest

import "net"

// Reserve returns a port that was free a moment ago: there is no way to keep it.
func Reserve() (address string, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}
