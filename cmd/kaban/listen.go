package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"kaban/internal/account"
	"kaban/internal/certs"
	"kaban/internal/conn"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/telemetry"
	"kaban/internal/web"
)

// running is what serves clients.
type running struct {
	manager *conn.Manager  // all connections but those of HTTP
	lines   *server.Server // kaban/1 on them
	pages   *web.Server    // HTTP
	certs   *certs.Source  // of listeners with TLS; nil if there are none
	// provider is that of single sign-on, or nil if there is no page.
	provider *account.Provider
	metrics  *telemetry.Server
}

// close ends all connections at once.
func (r *running) close() {
	r.pages.Close()
	r.manager.Close()
	r.metrics.Close()
}

// scheme is how --listen names a front end, and how that serves and drains.
type scheme struct {
	name  string
	port  string // that examples have
	tls   bool   // connections are encrypted, so there must be a certificate
	serve func(r *running, l net.Listener, rules peer.Rules) error
	// unready, if not nil, comes before any drain: the front end reports that the
	// server is not ready for new clients.
	unready func(r *running)
	drain   func(r *running, ctx context.Context) error
}

// The schemes of listeners that serve the page.
const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
)

// schemeMetrics is the scheme of listeners that serve metrics, and no clients.
const schemeMetrics = "metrics"

// schemes are drained in this order.
var schemes = []*scheme{
	{
		name:  "tcp",
		port:  "6440",
		serve: func(r *running, l net.Listener, rules peer.Rules) error { return r.lines.Serve(l, rules) },
		drain: func(r *running, ctx context.Context) error { return r.manager.Shutdown(ctx) },
	},
	{
		name: "tls",
		port: "6440",
		tls:  true,
		serve: func(r *running, l net.Listener, rules peer.Rules) error {
			return r.lines.ServeTLS(l, rules, r.certs.Config())
		},
		drain: func(r *running, ctx context.Context) error { return r.manager.Shutdown(ctx) },
	},
	{
		name:    schemeHTTP,
		port:    "6480",
		serve:   func(r *running, l net.Listener, rules peer.Rules) error { return r.pages.Serve(l, rules) },
		unready: func(r *running) { r.pages.Drain() },
		drain:   drainPages,
	},
	{
		name: schemeHTTPS,
		port: "443",
		tls:  true,
		serve: func(r *running, l net.Listener, rules peer.Rules) error {
			return r.pages.ServeTLS(l, rules, r.certs.Config())
		},
		unready: func(r *running) { r.pages.Drain() },
		drain:   drainPages,
	},
	{
		name:  schemeMetrics,
		port:  "6490",
		serve: func(r *running, l net.Listener, rules peer.Rules) error { return r.metrics.ServeUnder(l, rules) },
		// A drain is watched to its end: close ends it.
		drain: func(*running, context.Context) error { return nil },
	},
}

func drainPages(r *running, ctx context.Context) error {
	err := r.manager.Shutdown(ctx) // WebSockets; readiness checks are answered until they have ended
	return cmp.Or(err, r.pages.Shutdown(ctx))
}

// drainAll drains the front ends that have an endpoint.
func drainAll(ctx context.Context, r *running, endpoints []*endpoint) (err error) {
	var used []*scheme
	for _, s := range schemes {
		if slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.scheme == s }) {
			used = append(used, s)
		}
	}
	for _, s := range used {
		if s.unready != nil {
			s.unready(r)
		}
	}
	for _, s := range used {
		err = cmp.Or(err, s.drain(r, ctx))
	}
	return err
}

// endpoint is a place to listen at.
type endpoint struct {
	scheme   *scheme
	url      *url.URL
	host     string       // HOST:PORT
	rules    peer.Rules   // of who may connect
	listener net.Listener // nil before listen
}

// defaultListens are the addresses of --listen without a value.
var defaultListens = []string{"tcp://127.0.0.1:6440", "http://127.0.0.1:6480"}

// withClients adds the default addresses if there are none but for metrics, which are
// beside those of clients.
func withClients(texts []string) []string {
	if slices.ContainsFunc(texts, func(text string) bool { return !strings.HasPrefix(text, schemeMetrics+"://") }) {
		return texts
	}
	return append(slices.Clone(texts), defaultListens...)
}

// servesPage reports whether people find the page there.
func (e *endpoint) servesPage() bool {
	return e.scheme.name == schemeHTTP || e.scheme.name == schemeHTTPS
}

// at is where the endpoint listens, or will.
func (e *endpoint) at() string {
	if e.listener == nil {
		return e.url.String()
	}
	return e.scheme.name + "://" + e.listener.Addr().String()
}

// isLoopback reports whether only this machine can connect.
func (e *endpoint) isLoopback() bool {
	if e.listener == nil {
		return peer.LoopbackHost(e.url.Hostname())
	}
	at, ok := e.listener.Addr().(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}

func parseListens(flag string, texts []string) ([]*endpoint, error) {
	if len(texts) == 0 {
		return nil, usagef("%s: name at least one address, such as tcp://127.0.0.1:6440", flag)
	}
	endpoints, problems := make([]*endpoint, len(texts)), make([]error, len(texts))
	for i, text := range texts {
		endpoints[i], problems[i] = parseListen(flag, text)
	}
	return endpoints, errors.Join(problems...)
}

// parseListen parses a --listen URL.
func parseListen(flag, text string) (*endpoint, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, usagef("%s %q is no URL such as tcp://127.0.0.1:6440", flag, text)
	}
	i := slices.IndexFunc(schemes, func(s *scheme) bool { return s.name == u.Scheme })
	switch {
	case i < 0:
		return nil, usagef("%s %s: a server does not listen at %s://; the schemes are %s", flag, text, u.Scheme, schemeNames())
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, usagef("%s %s: there is something beside host and port; it must be like tcp://127.0.0.1:6440", flag, text)
	}
	if u.Port() == "" {
		return nil, usagef("%s %s: the port is missing; write it after the host, as in %s://%s:%s", flag, text, u.Scheme, hostInURL(u.Hostname()), schemes[i].port)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 0 || port > 65535 {
		return nil, usagef("%s %s: the port must be 0 to 65535 (0 picks a free one)", flag, text)
	}
	return &endpoint{scheme: schemes[i], url: u, host: net.JoinHostPort(u.Hostname(), u.Port())}, nil
}

// checkTwice refuses two endpoints with the same address. Those with port 0 get
// different ones, and nil is one that could not be parsed.
func checkTwice(flag string, endpoints []*endpoint) error {
	first := make(map[string]*endpoint)
	var problems []error
	for _, e := range endpoints {
		if e == nil || e.url.Port() == "0" {
			continue
		}
		at := e.address()
		if other, ok := first[at]; ok {
			problems = append(problems, usagef("%s: %s and %s are at the same address; leave one out, or give it another port", flag, other.url, e.url))
			continue
		}
		first[at] = e
	}
	return errors.Join(problems...)
}

// address returns the host and the port in the same form for all ways to write them.
func (e *endpoint) address() string {
	host, port := strings.ToLower(e.url.Hostname()), strings.TrimLeft(e.url.Port(), "0")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	} else if host == "localhost" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// schemeNames returns the schemes for a sentence.
func schemeNames() string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.name + "://"
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// announce logs where the server listens, and warns if others can reach it.
func announce(log *slog.Logger, e *endpoint) {
	log.Info("listening", "url", e.at())
	warnIfOpen(log, e, e.at())
}

// listen opens all endpoints that are not open, or none.
func listen(endpoints []*endpoint) error {
	for _, e := range endpoints {
		if e.listener != nil {
			continue
		}
		l, err := net.Listen("tcp", e.host)
		if err == nil {
			e.listener = l
			continue
		}
		closeAll(endpoints)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && slices.ContainsFunc(endpoints, func(o *endpoint) bool { return o.listener != nil && o != e && o.url.Port() == e.url.Port() }):
			return fmt.Errorf("%s is in use by another program, or by another --listen with the same port; stop it, or choose another address with --listen", e.url)
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%s is in use by another program, perhaps another kaban serve; stop it, or choose another address with --listen", e.url)
		case errors.Is(err, syscall.EACCES):
			return fmt.Errorf("%s: not allowed; ports below 1024 need privileges, choose another with --listen", e.url)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("%s: this machine does not have that address; choose another with --listen", e.url)
		}
		return fmt.Errorf("listen at %s: %w", e.url, err)
	}
	return nil
}

func closeAll(endpoints []*endpoint) {
	for _, e := range endpoints {
		if e.listener != nil {
			e.listener.Close()
		}
	}
}
