package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/display"
	"kaban/internal/peer"
	"kaban/internal/systemd"
)

// inherit gives endpoints the sockets that the service manager has passed: first those at
// the address of an endpoint, then those with the name of its scheme. A socket that is
// left over would keep its clients waiting forever, so it is an error.
func (c *serveCommand) inherit(endpoints []*endpoint, policy peer.Policy) error {
	passed, err := systemd.Listeners()
	if err != nil {
		return err
	}
	return c.take(passed, endpoints, policy)
}

func (c *serveCommand) take(passed []systemd.Listener, endpoints []*endpoint, policy peer.Policy) error {
	left := passed
	for _, fits := range []func(*endpoint, systemd.Listener) bool{
		func(e *endpoint, l systemd.Listener) bool { return e.isAt(l.Addr()) },
		func(e *endpoint, l systemd.Listener) bool { return e.scheme.name == l.Name },
	} {
		var over []systemd.Listener
		for _, l := range left {
			if !give(l, endpoints, fits) {
				over = append(over, l)
			}
		}
		left = over
	}
	if len(left) > 0 {
		closeAll(endpoints)
		for _, l := range left {
			l.Close()
		}
		return usagef("the service manager passes a socket at %s that no --listen is for; add one with that address, or name the socket with FileDescriptorName= like the scheme of one", left[0].Addr())
	}
	// A socket may be open to more than its URL says.
	if err := c.decide(endpoints, policy); err != nil {
		closeAll(endpoints)
		return err
	}
	return nil
}

// give gives a socket to the first endpoint without one that it fits.
func give(l systemd.Listener, endpoints []*endpoint, fits func(*endpoint, systemd.Listener) bool) bool {
	for _, e := range endpoints {
		if e.listener == nil && fits(e, l) {
			e.listener = l.Listener
			return true
		}
	}
	return false
}

// isAt reports whether the URL of an endpoint means the address of a socket.
func (e *endpoint) isAt(addr net.Addr) bool {
	at, ok := addr.(*net.TCPAddr)
	if !ok || e.url.Port() != fmt.Sprint(at.Port) {
		return false
	}
	host := e.url.Hostname()
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip != nil && ip.IsUnspecified():
		return at.IP.IsUnspecified()
	case ip == nil:
		return strings.EqualFold(host, "localhost") && at.IP.IsLoopback()
	}
	return ip.Equal(at.IP)
}

// status is a line about a running server for its manager.
func (r *running) status() string { return "serving " + display.Count(r.manager.Clients(), "client") }

// watch pings the watchdog of the service manager, if it has one, as long as the
// committer makes progress.
func watch(ctx context.Context, status func() string, d *dispatch.Dispatcher, notify *systemd.Notifier, log *slog.Logger) {
	interval, err := systemd.WatchdogInterval()
	if err != nil {
		log.Warn("the service manager cannot watch the server", "error", err)
	}
	if interval == 0 {
		return
	}
	var rounds uint64
	shown := status()
	notify.Watch(ctx, interval, func() bool {
		before := rounds
		var idle bool
		if rounds, idle = d.Progress(); !idle && rounds == before {
			return false
		}
		if now := status(); now != shown {
			shown = now
			notify.Status(shown)
		}
		return true
	}, func(since time.Duration) {
		log.Error("the store does not finish a commit, so the watchdog is not answered; check the disk", "since", since.Round(time.Second).String(), "limit", interval.String())
		notify.Status("the store does not finish a commit")
		shown = ""
	})
}
