package main

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"kaban/internal/config"
	"kaban/internal/conn"
	"kaban/internal/limit"
	"kaban/internal/peer"
)

// limitsTable is the table of the configuration file that has the limits.
const limitsTable = "limits."

// limitKeys returns the keys of the limits in a configuration file.
func limitKeys() (keys []string) {
	for _, setting := range limit.Settings() {
		keys = append(keys, limitsTable+setting.Key)
	}
	return keys
}

// limitsOf returns the limits that a configuration file sets; the others have their
// defaults.
func limitsOf(path string, values map[string]config.Value) (limit.Config, error) {
	limits := limit.Defaults()
	for key, value := range values {
		name, ok := strings.CutPrefix(key, limitsTable)
		if !ok {
			continue
		}
		at := value.At(path)
		if len(value.Texts) != 1 {
			return limit.Config{}, usagef("%s: %s must be one value", at, key)
		}
		if _, err := limits.Set(name, value.Texts[0]); err != nil {
			return limit.Config{}, usagef("%s: %w", at, err)
		}
	}
	return limits, nil
}

// newLimits returns the limits of a server.
func (c *serveCommand) newLimits() (*limit.Limits, error) {
	if c.limits == nil {
		c.limits = new(limit.Defaults())
	}
	return limit.New(*c.limits, conn.Stopwatch())
}

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
func decide(endpoints []*endpoint, p peer.Policy) error {
	for _, e := range endpoints {
		var err error
		l := peer.Listener{URL: e.url.String(), Loopback: peer.LoopbackHost(e.url.Hostname())}
		if e.rules, err = peer.Decide(l, p); err != nil {
			return usagef("%w", err)
		}
	}
	return nil
}

// warnIfOpen warns if others can reach a listener that is not encrypted.
func warnIfOpen(log *slog.Logger, e *endpoint, at string) {
	local, ok := e.listener.Addr().(*net.TCPAddr)
	switch {
	case !ok || local.IP.IsLoopback() || e.rules.OnlyProxies:
	case e.scheme.name == schemeMetrics:
		log.Warn("this address can be reached from other machines and asks nobody who they are, so everybody there can read how busy this server is, and with --pprof slow it down; keep it in a network that you trust", "at", at)
	default:
		log.Warn("this address can be reached from other machines and nothing is encrypted, so passwords and messages go through the network in the clear; keep it in a network that you trust", "at", at)
	}
}
