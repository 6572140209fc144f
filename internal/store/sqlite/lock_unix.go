//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// foreignOwner returns the user that a data directory is used by, if the process runs as
// root and that is somebody else; otherwise "". Files that root makes there are out of
// reach for a server that runs as that user. The owner of the database decides. Before
// there is one the owner of the directory does, unless all users may write into it.
func foreignOwner(euid int, dir string) string {
	if euid != 0 {
		return ""
	}
	info, err := os.Lstat(filepath.Join(dir, databaseName))
	if err != nil {
		if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o002 != 0 {
			return ""
		}
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok || status.Uid == 0 {
		return ""
	}
	uid := strconv.FormatUint(uint64(status.Uid), 10)
	if u, err := osuser.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

// openLock opens the file of the lock, or makes it. It follows no symbolic link; for
// one the error is errLink.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) { // FreeBSD has the latter
		return nil, fmt.Errorf("%w: %s", errLink, path)
	}
	return f, err
}

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
