package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// pageBytes bounds the content that is read from the store at a time. One write
// takes about as much.
const pageBytes = 64 << 10

// Fetch reads firstPage entries at first and pageGrowth times as many each further
// time, so that little is read in vain for a reader that takes little at a time.
const (
	firstPage  = 32
	pageGrowth = 4
)

// page holds encoded entries that were read from the store.
type page struct {
	bytes []byte
	marks []mark
	base  uint64 // the seq before the first entry
}

var pages = sync.Pool{New: func() any { return new(page) }}

// ErrChanged reports that the rest of an entry cannot be given: its message was edited or
// deleted since the first part was given, or its author is another one now. A reader that
// begins anew behind the last whole entry loses nothing.
var ErrChanged = errors.New("the entry has changed since a part of it was given")

// Fetch reads the next entries of a cursor behind the tail from the store; Next
// then returns them. It may block as long as the store does. If the log no longer
// has the next entry Fetch returns a *ResyncError, and the cursor goes on at the
// head; if the next entry is damaged, the cursor goes on after the damage. In the middle of
// an entry it may return ErrChanged.
func (s *Subscription) Fetch(ctx context.Context) error {
	s.release()
	limit, _, due := s.limit()
	if due || s.seq >= limit {
		return nil
	}
	r := s.audience.room
	r.store.fetches.Add(1)
	entries, damage, passed, err := r.readShared(ctx, store.Page{
		After: s.seq, Before: limit + 1, Limit: s.nextPage(), Bytes: pageBytes,
	})
	if err != nil {
		return fmt.Errorf("read %s after %d: %w", r.name, s.seq, err)
	}
	if damage != nil {
		return s.resync(ctx, passed, damage)
	}
	if len(entries) == 0 || entries[0].Seq != s.seq+1 {
		return s.resync(ctx, r.head.Load(), nil)
	}
	failpoint.Point("replay.page")
	p := pages.Get().(*page)
	p.bytes, p.marks, p.base = p.bytes[:0], p.marks[:0], s.seq
	for i := range entries {
		e := &entries[i]
		if e.Kind.IsChange() && e.Target < s.from {
			e = &store.Entry{Seq: e.Seq, Time: e.Time} // that there was something is all that the reader may know
		}
		p.bytes = s.tail.format.AppendEntry(p.bytes, r.name.String(), e)
		p.marks = append(p.marks, mark{end: uint32(len(p.bytes)), seq: uint32(i + 1)})
	}
	s.page = p
	if !s.continues(p.bytes[:p.marks[0].end]) {
		s.release()
		return fmt.Errorf("%w: %s, %d", ErrChanged, r.name, s.seq+1)
	}
	return nil
}

// nextPage returns the number of entries to read.
func (s *Subscription) nextPage() int {
	size := firstPage
	for range s.pages {
		if size *= pageGrowth; size >= s.audience.room.pageEntries {
			return s.audience.room.pageEntries
		}
	}
	s.pages++
	return min(size, s.audience.room.pageEntries)
}

// resync moves a cursor over entries that are gone or damaged.
func (s *Subscription) resync(ctx context.Context, seq uint64, damage *store.DamagedError) error {
	r := s.audience.room
	state, err := r.store.Room(ctx, r.name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", r.name, err)
	}
	s.seq, s.partial, s.at = seq, 0, position{}
	return &ResyncError{Room: r.name, Epoch: r.epoch, Head: seq, Oldest: state.Oldest, Damaged: damage}
}

// release returns the page to the pool.
func (s *Subscription) release() {
	if p := s.page; p != nil {
		s.page = nil
		if cap(p.bytes) <= 4*pageBytes {
			pages.Put(p)
		}
	}
}
