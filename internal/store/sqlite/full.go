package sqlite

import (
	"errors"
	"sync/atomic"
	"time"

	"kaban/internal/store"
)

// fullMemory is how long after the last attempt the disk still counts as full. Clients try again
// within seconds.
const fullMemory = time.Minute

// fullness is whether there is room for what is appended.
type fullness struct {
	since, last atomic.Int64 // in nanoseconds since 1970; since is 0 while there is room
}

// note takes the outcome of an append.
func (f *fullness) note(err error, now time.Time) {
	switch {
	case errors.Is(err, store.ErrFull):
		f.last.Store(now.UnixNano())
		f.since.CompareAndSwap(0, now.UnixNano())
	case err == nil && f.since.Load() != 0:
		f.since.Store(0)
	}
}

// Refusing implements store.Refusing.
func (s *Store) Refusing() (since time.Time, err error) {
	began, last := s.full.since.Load(), s.full.last.Load()
	if began == 0 || s.now().Sub(time.Unix(0, last)) > fullMemory {
		return time.Time{}, nil
	}
	return time.Unix(0, began), store.ErrFull
}
