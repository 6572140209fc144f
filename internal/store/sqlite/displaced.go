package sqlite

import (
	"errors"
	"io/fs"

	"kaban/internal/failpoint/disk"
)

// SQLite keeps its WAL and the index of it open, and removes them when the last connection is
// closed properly. As long as the store is open it never makes them anew. Somebody who removes
// them takes with them what was stored since the last checkpoint, and nothing fails.

// filesBeside returns those of an open database. One that is not there is an error: SQLite has just opened
// it, so somebody has removed it since, and what is stored from now on would go with it. One that
// cannot be looked at for another reason is not watched: SQLite has it, and the store works.
func filesBeside(path string, placeOf func(string) (*disk.Place, error)) (files []*disk.Place, err error) {
	for _, suffix := range []string{"-wal", "-shm"} {
		f, err := placeOf(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, err
		case err != nil:
			continue
		}
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
		if err := f.Displaced(); err != nil {
			return err
		}
	}
	return s.journal.Displaced()
}
