package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kaban/internal/disk"
	"kaban/internal/store"
)

// restoreReserve is the room that a restore takes beside the copy of the backup, in bytes:
// for a journal and for what is merged.
const restoreReserve = 4 << 20

// errNoRoom means that a disk has no room for what is to be restored.
var errNoRoom = errors.New("not enough room on the disk")

// restoring is a restore on a disk that may be full.
type restoring struct {
	data, file string
	space      func(dir string) (disk.Space, error)
}

// check returns an errNoRoom if the disk of the data directory has no room for the backup.
func (r restoring) check() error {
	info, err := os.Stat(r.file)
	if err != nil {
		return nil // the restore itself reports it
	}
	dir, err := existing(r.data)
	if err != nil {
		return nil
	}
	need := info.Size() + restoreReserve
	space, err := r.space(dir)
	if err != nil || space.Free >= need {
		return nil // where the system does not say, a full disk ends the restore
	}
	return r.advise(fmt.Errorf("%w: it has %s free, and the restore takes %s, so %s are missing", errNoRoom, byteSize(space.Free), byteSize(need), byteSize(need-space.Free)))
}

// explain adds what to do if the restore has met a full disk.
func (r restoring) explain(err error) error {
	if !isFull(err) {
		return err
	}
	missing := ""
	if dir, cause := existing(r.data); cause == nil {
		if space, cause := r.space(dir); cause == nil {
			missing = fmt.Sprintf(": it has %s free again, and that is not enough", byteSize(space.Free))
		}
	}
	return r.advise(fmt.Errorf("%w%s (%w)", errNoRoom, missing, err))
}

// advise says what has become of the data directory, and what to do.
func (r restoring) advise(err error) error {
	remove := "make room there, such as by removing old backups"
	if kept := keptDatabases(r.data); len(kept) > 0 {
		remove = "remove what earlier restores have kept, if nobody needs it: " + strings.Join(kept, ", ")
	}
	return fmt.Errorf("%s is not restored, and %s is as it was: %w; %s, or name a --data directory on another disk", r.file, r.data, err, remove)
}

// existing returns the first directory on the way up from a path that exists.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// keptDatabases returns the databases that earlier restores have kept in a data directory,
// each with its size.
func keptDatabases(data string) (found []string) {
	entries, err := os.ReadDir(data)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		name, suffix, ok := strings.Cut(entry.Name(), ".before-")
		if !ok || strings.Contains(suffix, "-") || name != "journal" && !strings.HasSuffix(name, ".db") {
			continue
		}
		path := filepath.Join(data, entry.Name())
		if size, err := disk.Used(path); err == nil {
			found = append(found, fmt.Sprintf("%s (%s)", path, byteSize(size)))
		}
	}
	return found
}

// isFull reports whether an error comes from a full disk, or from a quota.
func isFull(err error) bool {
	return errors.Is(err, errNoRoom) || errors.Is(err, store.ErrFull) || isNoSpace(err) || isDatabaseFull(err)
}

// isOfMachine reports whether an error comes from this machine, such as from its disk or
// from permissions, while a restore works with a file.
func isOfMachine(err error, file string) bool {
	if bad, ok := errors.AsType[*fs.PathError](err); ok && bad.Path == file {
		return false
	}
	var number syscall.Errno
	return isDatabaseUnusable(err) || isFull(err) || errors.As(err, &number)
}
