//go:build !unix

package files

import (
	"errors"
	"syscall"
)

// What Windows reports of a disk that is full.
const (
	handleDiskFull = syscall.Errno(39)  // ERROR_HANDLE_DISK_FULL
	diskFull       = syscall.Errno(112) // ERROR_DISK_FULL
)

// IsNoSpace reports whether an error of the system means that a disk is full.
func IsNoSpace(err error) bool { return errors.Is(err, diskFull) || errors.Is(err, handleDiskFull) }
