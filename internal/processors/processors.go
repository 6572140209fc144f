// Package processors knows how many processors this process has, and lets one more goroutine
// run at a time than that.
package processors

import (
	"os"
	"runtime"
)

// count is what the runtime has chosen at the start: the processors of the machine, or fewer
// by the affinity of the process or the limit of its container.
var count = runtime.GOMAXPROCS(0)

// Count returns how many processors there were for this process when it started, whatever Spare
// has done.
func Count() int { return count }

// Spare lets one more goroutine run at a time than there are processors, unless the variable
// GOMAXPROCS says how many. The search index, merges and collections of garbage compute for
// milliseconds. Without it they keep what delivers messages from a processor until the runtime
// interrupts them, which it does after 10 ms; with it the kernel divides the processors, and it
// prefers whoever has waited (ADR 0041). The runtime does not follow later changes of a
// container's limit any more. Calling it again changes nothing.
func Spare() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(count + 1)
	}
}
