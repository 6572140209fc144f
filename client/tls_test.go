package client_test

import (
	"context"
	"crypto/tls"
	"flag"
	"net"
	"sync"
	"testing"

	"kaban/client"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/tlstest"
)

// overTLS has the tests with a real server connect over TLS.
var overTLS = flag.Bool("tls", false, "connect over TLS")

// encrypted are the addresses that lead to servers of serveOver, with -tls. The others
// of these tests are of servers that only look like one.
var encrypted sync.Map

// encrypt marks an address until the test ends: a later one may get its port for a server
// without TLS.
func encrypt(t *testing.T, addr string) {
	encrypted.Store(addr, true)
	t.Cleanup(func() { encrypted.Delete(addr) })
}

// serveOver returns what serves a listener.
func serveOver(t *testing.T, s *server.Server, l net.Listener) (serve func() error) {
	if *overTLS {
		encrypt(t, l.Addr().String())
		return func() error { return s.ServeTLS(l, peer.Loopback(), tlstest.Server()) }
	}
	return func() error { return s.Serve(l, peer.Loopback()) }
}

// reach connects to a real server.
func reach(ctx context.Context, addr string) (net.Conn, error) {
	if _, ok := encrypted.Load(addr); ok {
		return (&tls.Dialer{Config: tlstest.Client()}).DialContext(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// over has a client reach a server of serveOver, unless it has a way of its own.
func over(addr string, options client.Options) client.Options {
	if _, ok := encrypted.Load(addr); ok && options.Dial == nil {
		options.Dial = func(ctx context.Context) (net.Conn, error) { return reach(ctx, addr) }
	}
	return options
}
