//go:build unix && !linux

package main

import "syscall"

// lowerSelf adds to the niceness of this process, which it has from the one that started
// it. It is a wish: all works without it, too.
func lowerSelf(by int) {
	if niceness, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness+by)
	}
}
