package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// SQLite keeps its WAL and the index of it open, and removes them when the last connection is
// closed properly. As long as the store is open it never makes them anew. Somebody who removes
// them takes with them what was stored since the last checkpoint, and nothing fails.

// beside is a file that SQLite keeps beside the database.
type beside struct {
	path string
	info fs.FileInfo
}

// filesBeside returns those of an open database. One that is not there is an error: SQLite has just opened
// it, so somebody has removed it since, and what is stored from now on would go with it. One that
// cannot be looked at for another reason is not watched: SQLite has it, and the store works.
func filesBeside(path string, stat func(string) (fs.FileInfo, error)) (files []beside, err error) {
	for _, suffix := range []string{"-wal", "-shm"} {
		f := beside{path: path + suffix}
		f.info, err = stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, err
		case err != nil:
			continue
		}
		os.SameFile(f.info, f.info) // Windows finds out which file it is only when it is compared
		files = append(files, f)
	}
	return files, nil
}

// Displaced implements store.Displaceable.
func (s *Store) Displaced() error {
	select {
	case <-s.closing:
		return nil
	case <-s.dead:
		return nil
	default:
	}
	for _, f := range s.beside {
		switch now, err := os.Stat(f.path); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s was removed or moved", f.path)
		case err == nil && !os.SameFile(f.info, now):
			return fmt.Errorf("another file is in the place of %s", f.path)
		}
	}
	return s.journal.Displaced()
}
