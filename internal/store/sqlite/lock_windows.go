package sqlite

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// foreignOwner returns "": access on Windows does not depend on the owner of a file.
func foreignOwner(int, string, func(string) (uint32, bool)) string { return "" }

func ownerOfNew(string) (uid uint32, ok bool) { return 0, false }

// openLock opens the file of the lock, or makes it. For a symbolic link the error is
// errLink. Windows lets only administrators make those, so the time between the two
// calls matters to nobody.
func openLock(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil, fmt.Errorf("%w: %s", errLink, path)
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// lockedByte is beyond the end of the file, so that others can read that.
func lockedByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 1} }

// tryLock locks an open file without waiting, and reports whether another process
// holds the lock.
func tryLock(f *os.File) (held bool, err error) {
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

// unlock ends the lock at once. When a file is closed, Windows may take its time.
func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, lockedByte())
}

// hasEnded reports that nobody can have inherited the lock of a process: on Windows no
// process has files of another one before it runs its program.
func hasEnded(int) bool { return false }

// syncDirectory is a no-op: Windows cannot sync a directory.
func syncDirectory(string) error { return nil }
