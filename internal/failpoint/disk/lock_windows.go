package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockedByte is beyond the end of the file, so that others can read that.
func lockedByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 1} }

// TryLock locks an open file without waiting, and reports whether another one holds the
// lock.
func TryLock(f *os.File) (held bool, err error) {
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

// Unlock ends the lock at once. When a file is closed, Windows may take its time.
func Unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, lockedByte())
}
