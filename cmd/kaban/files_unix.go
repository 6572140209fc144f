//go:build unix

package main

import (
	"errors"
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

// isNoSpace reports whether an error of the system means that a disk is full, or a quota
// used up.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
