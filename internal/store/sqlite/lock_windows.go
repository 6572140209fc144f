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

// tryLock locks an open file without waiting, and reports whether another process
// holds the lock. The locked byte is beyond the end of the file, so that others can
// read it.
func tryLock(f *os.File) (held bool, err error) {
	at := &windows.Overlapped{OffsetHigh: 1}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

// syncDirectory is a no-op: Windows cannot sync a directory.
func syncDirectory(string) error { return nil }
