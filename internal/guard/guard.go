// Package guard connects to addresses that others name: the pages of link previews,
// endpoints of Web Push, outgoing webhooks, providers of single sign-on. Whoever names an
// address could name one inside the operator's network, or one that a name server answers
// differently the second time.
//
// It guarantees that no connection is made to an address that is not public, unless the
// operator allows it. The address is checked when the socket is about to connect, after
// names are resolved, so neither the spelling of an address nor a name server that changes
// its mind makes a difference. Each redirect is a new request with the same checks. What
// comes back is bounded: header, body, time, and the number of connections.
//
// It does not decide who may name an address, keeps no cookies, and does not retry. A guard
// speaks HTTP/1.1 only.
package guard

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultRedirects     = 5
	DefaultMaxHeader     = 64 << 10 // bytes
	DefaultMaxBody       = 1 << 20  // bytes
	DefaultConns         = 64
	DefaultConnsPerHost  = 4
	DefaultDialTimeout   = 5 * time.Second
	DefaultTLSTimeout    = 5 * time.Second
	DefaultHeaderTimeout = 10 * time.Second
	DefaultIdleTimeout   = 30 * time.Second
	DefaultTimeout       = 30 * time.Second
)

// Options configure a Guard. The zero value connects to public addresses only, on ports 80
// and 443.
type Options struct {
	// Allowed are networks that are not public, and which the server may connect to all the
	// same, such as that of an internal provider of single sign-on. A metadata address of a
	// cloud is allowed only by a prefix that is this one address. Whoever may name addresses
	// can scan these networks.
	Allowed []netip.Prefix
	// Denied are networks that the server never connects to, even if they are public or
	// allowed: public addresses behind the operator's firewall, or the prefix of a NAT64 of
	// the operator's own.
	Denied []netip.Prefix
	// Ports are the ports that the server connects to. Default: 80 and 443.
	Ports []uint16
	// HTTPSOnly refuses http, also in redirects.
	HTTPSOnly bool
	// Redirects is the maximum number of redirects of a request. Default: DefaultRedirects.
	// If it is negative, no redirect is followed, and its response is returned.
	Redirects int

	// MaxHeader and MaxBody bound a response, in bytes. Defaults: DefaultMaxHeader and
	// DefaultMaxBody. A body counts before and after decompression. Reading more returns a
	// *BodyError.
	MaxHeader, MaxBody int64

	// Conns and ConnsPerHost bound the connections of the guard, and those to the same
	// scheme, name and port; requests beyond wait. Defaults: DefaultConns and
	// DefaultConnsPerHost.
	Conns, ConnsPerHost int

	// DialTimeout bounds how long a connection is made: waiting for one of Conns, resolving
	// the name, trying its addresses. TLSTimeout bounds the handshake, HeaderTimeout the wait
	// from the request to the header of its response, Timeout a request with all its
	// redirects, including reading the body. IdleTimeout is how long a connection waits for
	// another request. Each has a default.
	DialTimeout, TLSTimeout, HeaderTimeout, Timeout, IdleTimeout time.Duration

	// FailAfter is the least time from the beginning of a request to its failure without a
	// response. If it is at least DialTimeout, the time does not show whether an address is
	// blocked, unknown or does not answer. It must be less than Timeout. Default: 0, for
	// callers that show a failure to nobody.
	FailAfter time.Duration

	// Proxy is a proxy that makes the connections for the server. The guard then cannot see
	// the addresses of names: the proxy must refuse internal ones. The guard still refuses
	// numeric addresses, and everything that it refuses by the URL. Nothing is dialled but
	// the proxy, to which no list applies. Default: none. The variables HTTP_PROXY and
	// HTTPS_PROXY are not used: they name a proxy for the operator's own destinations.
	Proxy *url.URL

	// Resolver resolves names. Default: net.DefaultResolver.
	Resolver *net.Resolver
	// RootCAs verify certificates. Default: those of the system.
	RootCAs *x509.CertPool
	// UserAgent is the User-Agent of requests that have none. Default: "Kaban".
	UserAgent string
}

// OptionError means that an option is not valid.
type OptionError struct{ Option, Reason string }

func (e *OptionError) Error() string { return e.Option + ": " + e.Reason }

// errClosed means that a request was made after Close.
var errClosed = errors.New("the guard is closed")

// Guard makes connections. All methods are safe for concurrent use.
type Guard struct {
	options   Options
	transport *http.Transport
	dialer    net.Dialer
	places    chan struct{} // has an element for each connection, open or being made
	resolving chan struct{} // has an element for each name that CheckHost resolves
	// connect makes a connection that was checked by control. Tests replace it.
	connect connectFunc

	mu     sync.Mutex // guards all below; a leaf
	lists  lists
	conns  map[*conn]struct{}
	closed bool
}

// New returns a guard, or an *OptionError. It connects to nothing. Close ends its
// connections.
func New(o Options) (*Guard, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	l, err := newLists(o.Allowed, o.Denied)
	if err != nil {
		return nil, err
	}
	g := &Guard{
		options: o,
		dialer:  net.Dialer{Resolver: o.Resolver},
		places:  make(chan struct{}, o.Conns),
		lists:   l,
		conns:   make(map[*conn]struct{}),
	}
	g.resolving = make(chan struct{}, maxResolving)
	g.connect = g.connectChecked
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	g.transport = &http.Transport{
		DialContext:            g.dial,
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.TLSTimeout,
		ResponseHeaderTimeout:  o.HeaderTimeout,
		IdleConnTimeout:        o.IdleTimeout,
		MaxConnsPerHost:        o.ConnsPerHost,
		MaxIdleConnsPerHost:    o.ConnsPerHost,
		MaxIdleConns:           o.Conns,
		MaxResponseHeaderBytes: o.MaxHeader,
		DisableCompression:     true, // roundTrip does it, with bounds
	}
	if o.Proxy != nil {
		g.transport.Proxy = http.ProxyURL(o.Proxy)
	}
	return g, nil
}

// fill replaces zero values by defaults.
func (o *Options) fill() error {
	o.Redirects = cmp.Or(o.Redirects, DefaultRedirects)
	o.MaxHeader = cmp.Or(o.MaxHeader, DefaultMaxHeader)
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.Conns = cmp.Or(o.Conns, DefaultConns)
	o.ConnsPerHost = cmp.Or(o.ConnsPerHost, DefaultConnsPerHost)
	o.DialTimeout = cmp.Or(o.DialTimeout, DefaultDialTimeout)
	o.TLSTimeout = cmp.Or(o.TLSTimeout, DefaultTLSTimeout)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, DefaultHeaderTimeout)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.UserAgent = cmp.Or(o.UserAgent, "Kaban")
	if o.Ports == nil {
		o.Ports = []uint16{80, 443}
	}
	for name, n := range map[string]int64{
		"MaxHeader": o.MaxHeader, "MaxBody": o.MaxBody, "Conns": int64(o.Conns), "ConnsPerHost": int64(o.ConnsPerHost),
		"DialTimeout": int64(o.DialTimeout), "TLSTimeout": int64(o.TLSTimeout), "HeaderTimeout": int64(o.HeaderTimeout),
		"Timeout": int64(o.Timeout), "IdleTimeout": int64(o.IdleTimeout),
	} {
		if n < 0 {
			return &OptionError{name, "it must not be negative"}
		}
	}
	if o.FailAfter < 0 || o.FailAfter >= o.Timeout {
		return &OptionError{"FailAfter", fmt.Sprintf("it must be at least 0 and less than Timeout, which is %v", o.Timeout)}
	}
	if o.Proxy != nil && (!slices.Contains([]string{"http", "https", "socks5", "socks5h"}, o.Proxy.Scheme) || o.Proxy.Host == "") {
		return &OptionError{"Proxy", "it must be an address such as http://proxy.example:3128"}
	}
	return nil
}

// Client returns a client with the limits of the guard. It has no cookies. Errors of its
// methods are *url.Error, which contain the URL: Reason takes it out.
func (g *Guard) Client() *http.Client {
	return &http.Client{Transport: g, CheckRedirect: g.checkRedirect, Timeout: g.options.Timeout}
}

// Allow replaces the networks that are allowed although they are not public, as
// Options.Allowed. Connections that the guard would not make any more are closed at once,
// together with the requests on them.
func (g *Guard) Allow(allowed []netip.Prefix) error {
	l, err := newLists(allowed, g.options.Denied)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.lists = l
	var cut []*conn
	for c := range g.conns {
		if err := g.checkConnLocked(c); err != nil {
			cut = append(cut, c)
		}
	}
	g.mu.Unlock()
	for _, c := range cut {
		c.cut.Store(true)
		_ = c.Close()
	}
	return nil
}

// Check returns a *BlockedError if the guard does not connect to an address. It is for
// clients that dial by themselves, in net.Dialer.Control.
func (g *Guard) Check(a netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lists.check(a)
}

// CloseIdleConnections closes connections without a request, as that of http.Transport.
func (g *Guard) CloseIdleConnections() { g.transport.CloseIdleConnections() }

// Close closes all connections. Requests on them fail, and so do those after it.
func (g *Guard) Close() {
	g.mu.Lock()
	g.closed = true
	var open []*conn
	for c := range g.conns {
		open = append(open, c)
	}
	g.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	g.transport.CloseIdleConnections()
}
