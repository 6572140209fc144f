package sqlite

import (
	"fmt"
	"os"
)

// foreignOwner returns "": access on Windows does not depend on the owner of a file.
func foreignOwner(int, string, func(string) (uint32, bool)) string { return "" }

func refuseForeignFolder(int, string, string, func(string) (uint32, bool)) error { return nil }

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

// hasEnded reports that nobody can have inherited the lock of a process: on Windows no
// process has files of another one before it runs its program.
func hasEnded(int) bool { return false }
