// Package systemd talks with the service manager that has started the server, as in
// sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3). Without one, or with
// another, all of it does nothing.
package systemd

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier reports the state of the server. Its methods are safe for concurrent use.
type Notifier struct {
	log    *slog.Logger
	failed atomic.Bool // logged
}

// NewNotifier returns a notifier that logs when it cannot report.
func NewNotifier(log *slog.Logger) *Notifier { return &Notifier{log: log} }

// Ready reports that the server takes clients, after a start or a reload.
func (n *Notifier) Ready(status string) { n.send(daemon.SdNotifyReady, statusLine(status)) }

// Reloading reports that the server reads its configuration. Ready ends it.
func (n *Notifier) Reloading() {
	// A manager of version 253 compares the time with that of its own request.
	n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping reports that the server drains.
func (n *Notifier) Stopping(status string) { n.send(daemon.SdNotifyStopping, statusLine(status)) }

// Status reports a line for people.
func (n *Notifier) Status(status string) { n.send(statusLine(status)) }

func (n *Notifier) ping() { n.send(daemon.SdNotifyWatchdog) }

func statusLine(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

func (n *Notifier) send(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil && !n.failed.Swap(true) {
		n.log.Warn("the service manager cannot be reached, so it does not know how the server is", "error", err)
	}
}

// WatchdogInterval returns how long the server may be silent before its manager ends it.
// It is 0 if the manager does not watch.
func WatchdogInterval() (time.Duration, error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("the watchdog of the service manager: %w", err)
	}
	return interval, nil
}

// Listener is a socket that the manager keeps open while the server restarts.
type Listener struct {
	net.Listener
	Name string // FileDescriptorName= of its unit
}

// Listeners returns the sockets that the manager has passed to this process. It may be
// called once.
func Listeners() (all []Listener, err error) {
	for _, file := range activation.Files(true) {
		var l net.Listener
		if err == nil {
			if l, err = net.FileListener(file); err != nil {
				err = fmt.Errorf("the socket %s from the service manager: %w", file.Name(), err)
			} else {
				all = append(all, Listener{l, file.Name()})
			}
		}
		file.Close() // the listener has a copy
	}
	if err != nil {
		for _, l := range all {
			l.Close()
		}
		return nil, err
	}
	return all, nil
}
