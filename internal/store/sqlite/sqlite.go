// Package sqlite keeps the logs in a SQLite database in a directory of its own,
// without cgo (modernc.org/sqlite).
//
// A batch goes into the journal (package journal), or, if it changes something else than
// logs, into a transaction in WAL mode with synchronous=FULL and the table unmerged: when
// Append returns, the batch has been through a sync. Later a goroutine, the merger, brings
// its entries, one room at a time, into the table that holds them by room and seq (entries),
// because a commit costs the pages that it changes. Entries that are not there yet are
// unmerged; they are also in memory and read from there.
//
// One process at a time can open the directory; a lock keeps others out. Inside
// the process Store.Share opens more handles. They share one writer and one
// memory, for three reasons: every read would have to ask the database first
// whether another writer has appended; after a failed fsync no handle may be used
// any more; and SQLite's own locks do not separate two users in one process, since
// closing one descriptor of a file drops them all. Everything is kept for ever: the
// oldest entry of a room is 1.
//
// One connection writes and checkpoints, one finds authors and ids for appends, a few read.
// They are opened once and stay open. Room states and unmerged entries are in memory and
// change only once they are durable; a bounded part of the authors is, too.
//
// After an I/O error the store returns ErrBroken for the rest of its life and
// leaves the files as they are, even in Close. A full disk is ErrFull and may pass.
// Damage that SQLite reports is not repaired.
//
// Lock order: database.sharing, database.writing, database.appending, database.mu. Readers
// are taken from their channel without the latter three.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"kaban"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store"
)

// Options configure Open. The zero value is ready to use.
type Options struct {
	// Log receives what operators should know. Default: nothing is logged.
	Log *slog.Logger
	// Ledger keeps what was deleted. Without one nobody can tell when an older backup is
	// restored.
	Ledger store.Ledger
	// Moving opens what nobody else may use, because it is being moved or was moved, and refuses
	// the schema of an older version.
	Moving bool

	// For tests.
	maxPages     int          // of the database; beyond that the disk counts as full
	migrations   []string     // instead of the embedded ones
	walPages     int          // instead of checkpointPages
	maxUnmerged  int          // instead of unmergedEntries
	mergeStep    int          // instead of mergeEntries
	largeJournal int          // instead of largeJournal
	shortestRun  int          // instead of shortestRun
	room         func() error // whether there is some, instead of that on the disk
}

// Store is a handle on an open database. It implements store.Importer.
type Store struct {
	*database
	closing chan struct{}
	once    sync.Once
	closed  error // of the first Close; set before it returns
}

// Open opens the database in a directory and creates both if they do not exist. It
// refuses, without changing them, a directory that is already open (ErrInUse), a
// database of another program or of a newer version, and a damaged one. The errors
// say what to do.
func Open(ctx context.Context, dir string, options Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := disk.MakeDirectory(dir); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; choose a directory that the server's user may write to, or create this one for that user", err)
		}
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	d := newDatabase(dir, options)
	if err := d.open(ctx, dir, options); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d.handle(), nil
}

// Share opens another handle on the same database. The database stays open until
// the last handle is closed.
func (s *Store) Share() (*Store, error) {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	if err := s.usable(context.Background()); err != nil {
		return nil, err
	}
	return s.handle(), nil
}

// Epoch implements store.Store.
func (s *Store) Epoch() string { return s.epoch }

// Rooms implements store.Store.
func (s *Store) Rooms(ctx context.Context) ([]store.Room, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make([]store.Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

// Room implements store.Store.
func (s *Store) Room(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	if err := s.usable(ctx); err != nil {
		return store.Room{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.rooms[name.Key()]; r != nil {
		return r.state(), nil
	}
	return store.Room{Name: name, Oldest: 1}, nil
}

// usable returns nil, or the reason why a call cannot be served.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	return ctx.Err()
}

// Close implements store.Store. The last handle moves the WAL into the database,
// unless the store is broken: then the files stay as they are, and so does the
// lock until the process exits.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.writing.Lock()
		s.appending.Lock()
		close(s.closing)
		s.appending.Unlock()
		s.writing.Unlock()
		s.closed = s.leave()
	})
	return s.closed
}
