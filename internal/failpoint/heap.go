//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// The variable KABAN_FAULT_HEAP names a file. With SIGWINCH the process collects its garbage,
// writes its heap there, and then a line on standard error.
func init() {
	path := os.Getenv("KABAN_FAULT_HEAP")
	if path == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		for range signals {
			runtime.GC()
			runtime.GC() // pools let go of what they have only now
			f, err := os.Create(path)
			if err == nil {
				debug.WriteHeapDump(f.Fd())
				err = f.Close()
			}
			fmt.Fprintln(os.Stderr, "heap: it is written", err)
		}
	}()
}
