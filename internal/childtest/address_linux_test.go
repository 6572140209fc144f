package childtest

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// Servers can come and go at an address, and others cannot get its port by chance.
func TestAddress(t *testing.T) {
	address := Address(t)
	for range 2 {
		if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("without a server: %v, %v", conn, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Close()
	}
	// A socket that does not listen and does not share its port is what a connection has.
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: number}}
	if conn, err := other.Dial("tcp", address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a connection has got the port: %v, %v", conn, err)
	}
}
