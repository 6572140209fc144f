package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Sizes are what the files of a database take, in bytes.
type Sizes struct {
	Database int64
	WAL      int64 // what is not in the database file yet
}

// SizesOf returns how large the database in a directory is. It does not open it.
func SizesOf(dir string) (sizes Sizes, err error) {
	path := filepath.Join(dir, databaseName)
	for suffix, size := range map[string]*int64{"": &sizes.Database, "-wal": &sizes.WAL} {
		info, err := os.Stat(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return Sizes{}, err
		default:
			*size = info.Size()
		}
	}
	return sizes, nil
}

// Unmerged returns how many entries are in the journal only.
func (s *Store) Unmerged() (entries int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.rooms {
		entries += len(r.unmerged)
	}
	return entries
}
