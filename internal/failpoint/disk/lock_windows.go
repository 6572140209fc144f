package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// TryLock locks an open file without waiting, and reports whether another one holds the
// lock. It ends when the file is closed or the process ends in any way. The locked byte is
// beyond the end of the file, so that others can read it.
func TryLock(f *os.File) (held bool, err error) {
	at := &windows.Overlapped{OffsetHigh: 1}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}
