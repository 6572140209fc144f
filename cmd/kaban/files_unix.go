//go:build unix

package main

import (
	"errors"
	"fmt"
	"syscall"
)

// openFilesLimit returns how many files this process may have open. Go raises it
// to the hard limit at start.
func openFilesLimit() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(uint64(limit.Cur), 1<<30)), true
}

// keepNoCore has the system write no core dump of this process or of those that it starts:
// passwords on their way and tokens would be in it. Whoever runs the server can undo it with
// prlimit(1).
func keepNoCore() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("limit core dumps: %w", err)
	}
	limit.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("limit core dumps: %w", err)
	}
	return nil
}

// isNoSpace reports whether an error of the system means that a disk is full, or a quota
// used up.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
