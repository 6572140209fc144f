package sqlite

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// roomEvery is how often a store that had no room for a batch looks whether there is some
// again: perhaps nobody else tries, because /readyz keeps clients away.
const roomEvery = 5 * time.Second

// roomSuffix is what the name of the file with which it does so adds to the database's.
const roomSuffix = "-room"

// fullness is whether there is room for what is appended.
type fullness struct {
	state  atomic.Pointer[fullState] // nil while there is room
	looked time.Time                 // for room, the last time; belongs to the merger
}

// fullState is a new value for each append that has failed, so that room that was seen
// before it does not count.
type fullState struct{ since time.Time }

// note takes the outcome of an append, and reports whether that is the first one without
// room. One goroutine at a time calls it.
func (f *fullness) note(err error, now time.Time) (isNews bool) {
	was := f.state.Load()
	switch {
	case errors.Is(err, store.ErrFull) && was != nil:
		f.state.Store(&fullState{was.since})
	case errors.Is(err, store.ErrFull):
		f.state.Store(&fullState{now})
	case err == nil && was != nil:
		f.state.Store(nil)
	}
	return was == nil && f.state.Load() != nil
}

// look ends it if there is room and no append has failed meanwhile. It does not look more
// often than every roomEvery: looking writes to a disk that has other work.
func (f *fullness) look(room func() error) {
	was := f.state.Load()
	if was == nil || !f.looked.IsZero() && time.Since(f.looked) < roomEvery {
		return
	}
	if room() == nil {
		f.state.CompareAndSwap(was, nil)
	}
	f.looked = time.Now()
}

// room returns an error if the disk has no room for a segment of the journal, or if that is
// not known. Only writing tells: a quota is in no number of free bytes.
func (d *database) room() error {
	path := d.path + roomSuffix
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	os.Remove(path) // at once, so that a crash leaves nothing; Windows does so below
	zeros := make([]byte, 64<<10)
	for left := journal.SegmentSize; left > 0 && err == nil; left -= len(zeros) {
		_, err = f.Write(zeros)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	os.Remove(path)
	return err
}

// Refusing implements store.Refusing.
func (s *Store) Refusing() (since time.Time, err error) {
	if full := s.full.state.Load(); full != nil {
		return full.since, store.ErrFull
	}
	return time.Time{}, nil
}
