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
// root and files that it makes there would be out of reach for that user's server;
// otherwise "". The owner of the database decides. Before there is one the owner of the
// directory does, if nobody else may look into it.
func foreignOwner(euid int, dir string, ownerOfNew func(dir string) (uid uint32, ok bool)) string {
	if euid != 0 {
		return ""
	}
	info, err := os.Stat(filepath.Join(dir, databaseName))
	if err != nil {
		if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o007 != 0 {
			return ""
		}
	}
	owner, ok := ownerOf(info)
	if !ok || owner == 0 {
		return ""
	}
	if made, ok := ownerOfNew(dir); !ok || made == owner {
		return ""
	}
	return userName(owner)
}

// errOutOfReach means that root would make files that another user's server cannot use.
var errOutOfReach = errors.New("whose server could not use what root writes")

// refuseForeignFolder refuses a backup that root would write into a folder of the user whose database it is:
// that user's server could neither read nor remove it there, nor add to the ledger beside it.
func refuseForeignFolder(euid int, database, folder string, ownerOfNew func(dir string) (uid uint32, ok bool)) error {
	if euid != 0 {
		return nil
	}
	owner, ok := ownerOfPath(database)
	above, also := ownerOfPath(folder)
	if !ok || !also || owner == 0 || owner != above {
		return nil
	}
	if made, ok := ownerOfNew(folder); !ok || made == owner {
		return nil
	}
	return fmt.Errorf("the directory %s belongs to %s, %w there; run this as that user (runuser -u, sudo -u, or --user UID of a container), or name a file in another directory", folder, userName(owner), errOutOfReach)
}

func ownerOfPath(path string) (uid uint32, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false // the next step says why
	}
	return ownerOf(info)
}

func userName(owner uint32) string {
	uid := strconv.FormatUint(uint64(owner), 10)
	if u, err := osuser.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

// ownerOfNew returns whom a file belongs to that this process makes in a directory. On a
// file system over the network or of another system it may not be the process's user.
func ownerOfNew(dir string) (uid uint32, ok bool) {
	f, err := os.CreateTemp(dir, ".owner-")
	if err != nil {
		return 0, false // the next step says why
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, false
	}
	return ownerOf(info)
}

func ownerOf(info os.FileInfo) (uid uint32, ok bool) {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return status.Uid, true
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

// hasEnded reports whether there is no process with an id. One in another PID namespace
// counts as ended.
func hasEnded(pid int) bool { return pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
