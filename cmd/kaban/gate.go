package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"kaban/internal/peer"
)

// policy returns what the flags say about all listeners.
func (c *serveCommand) policy() (peer.Policy, error) {
	proxies, err := peer.ParseProxies(c.Proxy)
	if at, ok := c.fromFile["proxy"]; err != nil && ok {
		return peer.Policy{}, usagef("%s: %w", at, err)
	} else if err != nil {
		return peer.Policy{}, usagef("%w", err)
	}
	return peer.Policy{Proxies: proxies, Origin: len(c.Origin) > 0, Insecure: c.Insecure}, nil
}

// exempt returns which addresses are exempt from limits: those of this machine, unless
// a proxy connects from there.
func exempt(p peer.Policy) func(netip.Addr) bool {
	return func(addr netip.Addr) bool { return addr.IsLoopback() && !p.Proxies.Contains(addr) }
}

// decide gives each endpoint its rules.
func (c *serveCommand) decide(endpoints []*endpoint, p peer.Policy) error {
	var problems []error
	isSecure := slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.scheme.name == schemeHTTPS })
	for _, e := range endpoints {
		var err error
		l := peer.Listener{
			URL: e.at(), Loopback: e.isLoopback(), TLS: e.scheme.tls,
			Redirects: isSecure && e.scheme.name == schemeHTTP,
		}
		if e.rules, err = peer.Decide(l, p); err != nil {
			if at, ok := c.fromFile["listen"]; ok {
				err = fmt.Errorf("%s: %w", at, err)
			}
			problems = append(problems, usageError{err})
		}
	}
	return errors.Join(problems...)
}

// warnIfOpen warns if others can reach a listener that is not encrypted.
func warnIfOpen(log *slog.Logger, e *endpoint, at string) {
	local, ok := e.listener.Addr().(*net.TCPAddr)
	switch {
	case !ok || local.IP.IsLoopback() || e.rules.OnlyProxies || e.rules.Redirects || e.scheme.tls:
	case e.scheme.name == schemeMetrics:
		log.Warn("this address can be reached from other machines and asks nobody who they are, so everybody there can read how busy this server is, and with --pprof slow it down; keep it in a network that you trust", "at", at)
	default:
		log.Warn("this address can be reached from other machines and nothing is encrypted, so passwords and messages go through the network in the clear; keep it in a network that you trust", "at", at)
	}
}
