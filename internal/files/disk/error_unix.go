//go:build unix

package disk

import (
	"errors"
	"syscall"
)

// isDeviceError reports whether an error comes from what is below the files.
func isDeviceError(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.ENODEV)
}
