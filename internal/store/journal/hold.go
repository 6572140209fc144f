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
	f, err := os.CreateTemp(dir, "new-"+holdPrefix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hold the journal: %w", err)
	}
	h := &Hold{f, f.Name()}
	if err := h.lock(); err != nil {
		return nil, errors.Join(fmt.Errorf("hold the journal: %w", err), h.Release())
	}
	return h, nil
}

func (h *Hold) lock() error {
	if err := h.file.Chmod(0o644); err != nil { // the server may be another user's
		return err
	}
	held, err := disk.TryLock(h.file)
	if err != nil {
		return err
	}
	if held {
		return fmt.Errorf("%s is locked", h.path)
	}
	// From now on others look at it, and find it locked.
	named := filepath.Join(filepath.Dir(h.path), strings.TrimPrefix(filepath.Base(h.path), "new-"))
	if err := os.Rename(h.path, named); err != nil {
		return err
	}
	h.path = named
	return nil
}

// Release ends the hold. A nil Hold is released already.
func (h *Hold) Release() error {
	if h == nil {
		return nil
	}
	return errors.Join(os.Remove(h.path), h.file.Close())
}

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
		f.Close()
		if held || err != nil {
			return true
		}
		os.Remove(name)
	}
	return false
}
