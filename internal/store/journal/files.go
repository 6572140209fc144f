package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"kaban/internal/failpoint/disk"
)

// Names of files in the directory.
const (
	segmentSuffix = ".segment"
	spareSuffix   = ".spare"
)

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

func spareName(number uint64) string { return fmt.Sprintf("%016d%s", number, spareSuffix) }

// file is a *disk.File.
type file interface {
	io.WriterAt
	io.Closer
	SyncData() error
}

// system has the operations on files that durability depends on.
type system struct {
	open          func(path string, flag int) (file, error)
	rename        func(from, to string) error
	remove        func(path string) error
	syncDirectory func(path string) error
}

var realSystem = system{
	func(path string, flag int) (file, error) { return disk.OpenFile(path, flag, 0o600) },
	disk.Rename, disk.Remove, disk.SyncDirectory,
}

// syncNames makes the names in a directory durable. Without a descriptor to sync it with,
// that may succeed later.
func (sys *system) syncNames(dir string) error {
	err := sys.syncDirectory(dir)
	if err == nil || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSync, err)
}

// files are those of a journal.
type files struct {
	segments, spares []uint64 // ascending
	bytes            int64
}

// list returns the files in a directory; none if it does not exist.
func list(dir string) (all files, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, err
	}
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), ".")
		n, _ := strconv.ParseUint(number, 10, 64)
		isSegment := entry.Name() == segmentName(n)
		if !isSegment && entry.Name() != spareName(n) {
			continue
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // the server is just using it
		case err != nil:
			return all, err
		case !info.Mode().IsRegular():
			return all, fmt.Errorf("%s is not a regular file", filepath.Join(dir, entry.Name()))
		}
		all.bytes += info.Size()
		if isSegment {
			all.segments = append(all.segments, n)
		} else {
			all.spares = append(all.spares, n)
		}
	}
	slices.Sort(all.segments)
	slices.Sort(all.spares)
	return all, nil
}

// Exists reports whether there is a segment in a directory.
func Exists(dir string) (bool, error) {
	all, err := list(dir)
	return len(all.segments) > 0, err
}

// Remove overwrites and removes the journal in a directory, and the directory if nothing
// else is there. While an archive holds the journal, it stays.
func Remove(dir string) error { return realSystem.removeAll(dir) }

func (sys *system) removeAll(dir string) error {
	all, err := list(dir)
	if err != nil {
		return err
	}
	if isHeld(dir) {
		return nil
	}
	made := uint64(0)
	for _, n := range all.spares {
		made = max(made, n)
	}
	for i, n := range all.segments {
		if i == len(all.segments)-1 { // what is left of the others is ours only if this is
			if err := sys.syncDirectory(dir); err != nil {
				return err
			}
		}
		made++
		if err := sys.rename(filepath.Join(dir, segmentName(n)), filepath.Join(dir, spareName(made))); err != nil {
			return err
		}
		all.spares = append(all.spares, made)
	}
	if len(all.spares) > 0 { // no segment comes back that is overwritten
		if err := sys.syncDirectory(dir); err != nil {
			return err
		}
	}
	for _, n := range all.spares {
		path := filepath.Join(dir, spareName(n))
		info, err := os.Stat(path)
		if err == nil {
			err = sys.overwrite(path, info.Size())
		}
		if err == nil {
			err = sys.remove(path)
		}
		if err != nil {
			return err
		}
	}
	os.Remove(dir) // it may have other files
	return nil
}
