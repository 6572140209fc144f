package systemd

import (
	"context"
	"time"
)

// pingShare is which part of the interval passes between two pings. sd_notify(3)
// recommends half; with a third, one late ping is not the end.
const pingShare = 3

// Watch pings the manager, which expects it once an interval, until ctx ends. Before
// each ping it asks whether the server has made progress since the last; if not there is
// no ping, and stuck is called with how long it has been so.
func (n *Notifier) Watch(ctx context.Context, interval time.Duration, progress func() bool, stuck func(since time.Duration)) {
	ticker := time.NewTicker(max(interval/pingShare, time.Millisecond))
	defer ticker.Stop()
	last := time.Now()
	for {
		if progress() {
			last = time.Now()
			n.ping()
		} else {
			stuck(time.Since(last))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
