//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	place   string
	left    atomic.Int64
	onDeath func()
)

func init() {
	var times string
	place, times, _ = strings.Cut(os.Getenv("KABAN_FAILPOINT"), ":")
	n, _ := strconv.ParseInt(times, 10, 64)
	left.Store(max(n, 1))
}

// Point marks a named failpoint.
func Point(name string) {
	if name == place && left.Add(-1) == 0 {
		Die()
	}
}

// OnDeath sets a function to call before the process ends. Call it from an init.
func OnDeath(f func()) { onDeath = f }

// Die ends the process like SIGKILL. It does not return.
func Die() {
	if onDeath != nil {
		onDeath()
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
