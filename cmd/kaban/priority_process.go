//go:build unix && !linux

package main

import "syscall"

// lowerSelf gives this process a niceness. It is a wish: all works without it, too.
func lowerSelf(niceness int) { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) }
