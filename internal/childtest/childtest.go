// Package childtest is for tests that start processes: these end with their test,
// keep their addresses, and enough tests run at a time.
package childtest

import (
	"flag"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// AtOnce has at least n tests run at a time, also on fewer processors, unless -parallel
// says otherwise: most of a test of processes is waiting. It parses the flags, and is for
// TestMain.
func AtOnce(n int) {
	flag.Parse()
	usual := runtime.GOMAXPROCS(0)
	if usual < n && flag.Lookup("test.parallel").Value.String() == strconv.Itoa(usual) {
		flag.Set("test.parallel", strconv.Itoa(n))
	}
}

// Go returns a command of Go, such as build, that makes programs without the race detector.
// It overrides what the environment says about the build of the tests themselves: all such
// programs, and make check, share what has been compiled once.
func Go(args ...string) *exec.Cmd {
	c := exec.Command("go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	return c
}

// Bind has a process that is not started yet get a signal when this process ends,
// however that happens: a test binary that is killed, or runs out of its time, does not
// run its cleanups. Linux alone can do it; elsewhere Bind does nothing.
//
// The signal comes when the thread of the start ends, which is that of a goroutine that
// returns without runtime.UnlockOSThread. Do not use Bind beside one.
func Bind(c *exec.Cmd, signal syscall.Signal) { bind(c, signal) }
