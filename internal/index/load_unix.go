//go:build unix

package index

import (
	"syscall"
	"time"
)

// processorTime returns what the process has used of all processors.
func processorTime() time.Duration { return usageOf(syscall.RUSAGE_SELF) }

func usageOf(what int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(what, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
