//go:build unix

package files

import (
	"errors"
	"syscall"
)

// IsNoSpace reports whether an error of the system means that a file cannot grow: the disk
// or a quota is full, or the file as large as this process may make one.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
