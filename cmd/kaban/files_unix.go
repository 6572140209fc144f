//go:build unix

package main

import "syscall"

// openFilesLimit returns how many files this process may have open. Go raises it
// to the hard limit at start.
func openFilesLimit() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(uint64(limit.Cur), 1<<30)), true
}
