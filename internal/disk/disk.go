// Package disk says how much room a file system has, and how much a directory takes.
package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Space is the room of a file system, in bytes.
type Space struct {
	Free  int64 // what this user may still write
	Total int64
}

// SpaceOf returns the room of the file system that has a directory. Where the system
// does not say, the error is an errors.ErrUnsupported.
func SpaceOf(dir string) (Space, error) { return spaceOf(dir) }

// Used returns how many bytes the files below a directory have. Files that vanish
// meanwhile count as nothing.
func Used(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		bytes += info.Size()
		return nil
	})
	return bytes, err
}
