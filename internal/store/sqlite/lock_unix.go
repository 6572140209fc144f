//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks an open file without waiting, and reports whether another process holds
// the lock. The lock ends when the file is closed or the process ends in any way.
func tryLock(f *os.File) (held bool, err error) {
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

// syncDirectory makes a new name in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
