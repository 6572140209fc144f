package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kaban/internal/failpoint/disk"
)

// Names of files in the directory.
const (
	segmentSuffix = ".segment"
	spareSuffix   = ".spare"
)

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

func spareName(number uint64) string { return fmt.Sprintf("%016d%s", number, spareSuffix) }

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
		number, suffix, ok := strings.Cut(entry.Name(), ".")
		n, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil || len(number) != 16 || suffix != "segment" && suffix != "spare" {
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
		if suffix == "segment" {
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

// Remove removes the journal in a directory, and the directory if nothing else is there.
// While an archive holds the journal, it stays.
func Remove(dir string) error {
	all, err := list(dir)
	if err != nil {
		return err
	}
	if isHeld(dir) {
		return nil
	}
	for _, n := range all.segments { // the newest last, because a Mark may name it
		if err := disk.Remove(filepath.Join(dir, segmentName(n))); err != nil {
			return err
		}
	}
	for _, n := range all.spares {
		if err := disk.Remove(filepath.Join(dir, spareName(n))); err != nil {
			return err
		}
	}
	os.Remove(dir) // it may have other files
	return nil
}
