package client_test

import (
	"context"
	"crypto/tls"
	"flag"
	"net"
	"sync"

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

// serveOver returns what serves a listener.
func serveOver(s *server.Server, l net.Listener) (serve func() error) {
	if *overTLS {
		encrypted.Store(l.Addr().String(), true)
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
