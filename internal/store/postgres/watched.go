package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"kaban/internal/store"
)

const (
	// sizeTimeout is how long it may take to find out how large the database is.
	sizeTimeout = time.Second
	// sizeEvery is how often that is found out: PostgreSQL looks at each file of the database for it.
	sizeEvery = 30 * time.Second
)

// sized is how large the database is, in bytes, as it was found out last.
type sized struct {
	bytes atomic.Int64
	asked atomic.Pointer[time.Time] // when it was asked for last; nil for never
}

// due reports whether it is to be asked for, to one of several callers.
func (d *sized) due(now time.Time) bool {
	last := d.asked.Load()
	return (last == nil || now.Sub(*last) >= sizeEvery) && d.asked.CompareAndSwap(last, &now)
}

// Size implements store.Watched: the database with its indexes, without the WAL, which is one of the
// server. It is found out every half minute. If that takes longer than a second, it is what was found
// out before.
func (s *Store) Size() store.Size {
	if s.sized.due(s.now()) {
		ctx, end := context.WithTimeout(s.closing, sizeTimeout)
		defer end()
		if s.begun(ctx) == nil {
			defer s.leave()
			var size int64
			if s.readers.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size) == nil {
				s.sized.bytes.Store(size)
			}
		}
	}
	return store.Size{Files: map[string]int64{"database": s.sized.bytes.Load()}}
}

// fullness is since when the server has had no room for messages.
type fullness struct{ since atomic.Pointer[time.Time] }

// note takes the outcome of an append.
func (f *fullness) note(err error, now time.Time) {
	switch {
	case errors.Is(err, store.ErrFull):
		f.since.CompareAndSwap(nil, &now)
	case err == nil && f.since.Load() != nil:
		f.since.Store(nil)
	}
}

// Refusing implements store.Refusing. It ends with the next append that is stored.
func (s *Store) Refusing() (since time.Time, err error) {
	if since := s.full.since.Load(); since != nil {
		return *since, store.ErrFull
	}
	return time.Time{}, nil
}
