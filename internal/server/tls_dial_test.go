package server_test

import (
	"crypto/tls"
	"flag"
	"net"
	"testing"

	peers "kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/tlstest"
)

// overTLS has the tests of this package connect over TLS, with lines or WebSocket on it.
var overTLS = flag.Bool("tls", false, "connect over TLS")

// crowdOf returns how many of n connections make a crowd: a fifth over TLS, where each is a handshake
// of both sides in this process. What 10,000 of them do is tried in package conn.
func crowdOf(n int) int {
	if *overTLS {
		return n / 5
	}
	return n
}

// onlyPlain skips a test that is about bytes as TCP has them.
func onlyPlain(t *testing.T) {
	t.Helper()
	if *overTLS {
		t.Skip("it is about bytes that are not encrypted")
	}
}

// serveLines serves a listener over what the tests are run over.
func serveLines(s *server.Server, l net.Listener) error { return serveUnder(s, l, peers.Loopback()) }

func serveUnder(s *server.Server, l net.Listener, rules peers.Rules) error {
	if *overTLS {
		return s.ServeTLS(l, rules, tlstest.Server())
	}
	return s.Serve(l, rules)
}

// dialed is a connection as TCP has it, encrypted or not.
type dialed interface {
	net.Conn
	CloseWrite() error
	SetReadBuffer(bytes int) error
	SetLinger(seconds int) error
}

// tlsDialed is one that is encrypted.
type tlsDialed struct {
	*tls.Conn
	below *net.TCPConn
}

func (c *tlsDialed) SetReadBuffer(bytes int) error { return c.below.SetReadBuffer(bytes) }
func (c *tlsDialed) SetLinger(seconds int) error   { return c.below.SetLinger(seconds) }

// Close closes at once: a *tls.Conn waits for a server that takes nothing.
func (c *tlsDialed) Close() error { return c.below.Close() }

// dialTo connects to an address over what the tests are run over. preamble is what comes
// before TLS.
func dialTo(addr, preamble string) (dialed, error) {
	below, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := below.Write([]byte(preamble)); err != nil {
		below.Close()
		return nil, err
	}
	if !*overTLS {
		return below.(*net.TCPConn), nil
	}
	return encrypt(below), nil
}

// encrypt puts TLS on a connection. A server that has hung up is found by whoever reads.
func encrypt(below net.Conn) *tlsDialed {
	c := &tlsDialed{tls.Client(below, tlstest.Client()), below.(*net.TCPConn)}
	c.Handshake()
	return c
}
