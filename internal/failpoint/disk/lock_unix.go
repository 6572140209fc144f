//go:build unix

package disk

import (
	"errors"
	"os"
	"syscall"
)

// TryLock locks an open file without waiting, and reports whether another one holds the
// lock. The lock ends when the file is closed or the process ends in any way.
func TryLock(f *os.File) (held bool, err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, nil
		}
		return false, err
	}
}
