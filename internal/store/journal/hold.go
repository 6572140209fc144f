package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kaban/internal/failpoint/disk"
)

// holdPrefix begins the names of the files with which readers hold a journal.
const holdPrefix = "hold-"

// Hold keeps a server from reusing or removing segments until it is released, or the
// process ends.
type Hold struct {
	file *os.File
	path string
}

// Take holds the journal in a directory: what the server's database does not have merged
// by then stays readable. If there is no journal, there is nothing to hold, and the Hold
// is nil.
func Take(dir string) (*Hold, error) {
	for {
		f, err := os.CreateTemp(dir, holdPrefix)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("hold the journal: %w", err)
		}
		h := &Hold{f, f.Name()}
		switch ours, err := h.lock(); {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("hold the journal: %w", err), h.Release())
		case ours:
			return h, nil
		}
		// The server has taken it for that of a process that has ended.
		if err := h.Release(); err != nil {
			return nil, fmt.Errorf("hold the journal: %w", err)
		}
	}
}

// lock locks the file. It reports whether the file is still there then.
func (h *Hold) lock() (ours bool, err error) {
	if err := h.file.Chmod(0o644); err != nil { // the server may be another user's
		return false, err
	}
	held, err := disk.TryLock(h.file)
	if err != nil || held {
		return false, err
	}
	if _, err = os.Lstat(h.path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Release ends the hold. A nil Hold is released already.
func (h *Hold) Release() error {
	if h == nil {
		return nil
	}
	err := h.file.Close() // first, because Windows removes no open files
	if removed := os.Remove(h.path); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// IsHeld reports whether a reader holds the journal.
func (j *Journal) IsHeld() bool { return isHeld(j.dir) }

// isHeld reports whether a reader holds the journal. It removes the files of those that
// have ended without releasing it. If it cannot find out, it is held.
func isHeld(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), holdPrefix) {
			continue
		}
		name := filepath.Join(dir, entry.Name())
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return true
		}
		held, err := disk.TryLock(f)
		if !held && err == nil {
			os.Remove(name) // while it is locked, so that Take notices
		}
		f.Close()
		if held || err != nil {
			return true
		}
		os.Remove(name) // on Windows
	}
	return false
}
