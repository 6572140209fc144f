//go:build !unix

package main

import (
	"errors"
	"syscall"
)

// What Windows says of a disk that is full.
const (
	handleDiskFull = syscall.Errno(39)  // ERROR_HANDLE_DISK_FULL
	diskFull       = syscall.Errno(112) // ERROR_DISK_FULL
)

// isNoSpace reports whether an error of the system means that a disk is full.
func isNoSpace(err error) bool { return errors.Is(err, diskFull) || errors.Is(err, handleDiskFull) }

// openFilesLimit returns how many files this process may have open: this system
// has no such limit.
func openFilesLimit() (int, bool) { return 0, false }

// keepNoCore does nothing: this system dumps no memory unless it is told to.
func keepNoCore() error { return nil }
