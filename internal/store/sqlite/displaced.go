package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kaban/internal/store"
)

// SQLite keeps its WAL and the index of it open, and removes them when the last connection is
// closed properly. As long as the store is open it never makes them anew. Somebody who removes
// them takes with them what was stored since the last checkpoint, and nothing fails.

// errLostWAL means that a WAL was removed. A store that was not closed leaves its WAL, even an
// empty one.
var errLostWAL = fmt.Errorf("%w: the server did not end properly, and the WAL that it left was removed, with the newest messages and accounts", store.ErrDamaged)

// explainLostWAL adds what to do.
func explainLostWAL(path string, err error) error {
	return fmt.Errorf("%s-wal is missing: %w; put it back beside the database, or restore a backup, or continue without them: \"kaban backup\" saves what the database has, and \"kaban restore --replace\" restores it (if another program, such as sqlite3, has opened the database since, it has moved the WAL into it, and nothing is lost by that)", path, err)
}

// beside is a file that SQLite keeps beside the database.
type beside struct {
	path string
	info fs.FileInfo
}

// filesBeside returns those of an open database.
func filesBeside(path string) (files []beside, err error) {
	for _, suffix := range []string{"-wal", "-shm"} {
		f := beside{path: path + suffix}
		if f.info, err = os.Stat(f.path); err != nil {
			return nil, err
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

// leaveWAL leaves an empty WAL beside a database whose journal is open: SQLite has just removed
// its own, and the next start would take that for lost.
func (d *database) leaveWAL() error {
	if !d.begun.Load() || d.progress.Closed {
		return nil
	}
	f, err := os.OpenFile(d.path+"-wal", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
