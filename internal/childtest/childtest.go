// Package childtest has the processes of tests end with their test.
package childtest

import (
	"os/exec"
	"syscall"
)

// Bind has a process that is not started yet get a signal when this process ends,
// however that happens: a test binary that is killed, or runs out of its time, does not
// run its cleanups. Linux alone can do it; elsewhere Bind does nothing.
//
// The signal comes when the thread of the start ends, which is that of a goroutine that
// returns without runtime.UnlockOSThread. Do not use Bind beside one.
func Bind(c *exec.Cmd, signal syscall.Signal) { bind(c, signal) }
