//go:build unix

package sqlite

import (
	"errors"
	"syscall"
)

// isNoSpace reports whether a file could not grow: the disk or a quota is full, or the file
// would exceed a limit.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
