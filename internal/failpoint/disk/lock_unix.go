//go:build unix

package disk

import (
	"errors"
	"os"
	"syscall"
)

// TryLock locks an open file without waiting, and reports whether another one holds the
// lock. The lock ends with Unlock, or when every process has closed the file or ended.
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

// Unlock ends the lock for every process that has the open file.
func Unlock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
