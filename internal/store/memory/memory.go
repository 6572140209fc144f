// Package memory is the store that keeps nothing: a window over the newest
// entries of all rooms, bounded in bytes, gone when the process ends.
//
// It gives the same order and the same numbering as a durable store, and the
// same answer to an id that was sent before for as long as the message is in
// the window. The oldest entries of all rooms are forgotten first.
package memory

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"kaban"
	"kaban/internal/store"
)

// DefaultWindow is how many bytes of entries are kept, bookkeeping included.
const DefaultWindow = 64 << 20

// entryOverhead is what an entry costs beside its strings: the entry itself,
// its place in the order of forgetting and its share of the id index, measured
// by TestWindowBoundsTheHeap and rounded up.
const entryOverhead = 320

// Store implements store.Store in memory.
type Store struct {
	epoch  string
	window int
	now    func() time.Time

	mu     sync.RWMutex // guards all below
	closed bool
	rooms  map[string]*room
	ids    map[authorID]place
	order  queue[*room] // the room of every kept entry, oldest first
	bytes  int
}

type room struct {
	name    kaban.RoomName
	head    uint64
	entries queue[kept] // the newest, up to head
}

// kept is an entry with the key under which its author is known.
type kept struct {
	store.Entry
	author string
}

// authorID is the key under which a message id is unique.
type authorID struct{ author, id string }

type place struct {
	room *room
	seq  uint64
}

// New returns an empty store that keeps at most window bytes; 0 means
// DefaultWindow.
func New(window int) *Store {
	if window <= 0 {
		window = DefaultWindow
	}
	return &Store{
		epoch:  rand.Text(),
		window: window,
		now:    time.Now,
		rooms:  make(map[string]*room),
		ids:    make(map[authorID]place),
	}
}

// Instant says that no call blocks, so that whoever has something to append may
// as well do so itself.
func (s *Store) Instant() bool { return true }

// Epoch implements store.Store.
func (s *Store) Epoch() string { return s.epoch }

// Rooms implements store.Store.
func (s *Store) Rooms(context.Context) ([]store.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	rooms := make([]store.Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

// Room implements store.Store.
func (s *Store) Room(_ context.Context, name kaban.RoomName) (store.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Room{}, store.ErrClosed
	}
	if r := s.rooms[name.Key()]; r != nil {
		return r.state(), nil
	}
	return store.Room{Name: name, Oldest: 1}, nil
}

// Append implements store.Store.
func (s *Store) Append(_ context.Context, batch []kaban.Dispatch, results []store.Result) error {
	now := s.now().UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	for i := range batch {
		results[i] = s.appendLocked(&batch[i], now)
	}
	s.forgetLocked()
	return nil
}

func (s *Store) appendLocked(d *kaban.Dispatch, now int64) store.Result {
	r := s.rooms[d.Room.Key()]
	key := authorID{d.Message.Username().Key(), d.ID.String()}
	if p, ok := s.ids[key]; ok {
		first := p.room.entry(p.seq)
		if p.room != r || first.Content != d.Message.Content() {
			return store.Result{Err: store.ErrIDConflict}
		}
		return store.Result{Seq: first.Seq, Time: first.Time, Duplicate: true}
	}
	if r == nil {
		r = &room{name: d.Room}
		s.rooms[d.Room.Key()] = r
	}
	r.head++
	e := store.Entry{
		Seq:      r.head,
		Time:     now,
		Kind:     store.KindMessage,
		ID:       d.ID.String(),
		Username: d.Message.Username().String(),
		Content:  d.Message.Content(),
	}
	r.entries.push(kept{e, key.author})
	s.order.push(r)
	s.ids[key] = place{r, e.Seq}
	s.bytes += cost(&e)
	return store.Result{Seq: e.Seq, Time: e.Time}
}

// forgetLocked drops the oldest entries until the window is kept. The newest
// entry always stays.
func (s *Store) forgetLocked() {
	for s.bytes > s.window && s.order.len() > 1 {
		r := s.order.pop()
		e := r.entries.pop()
		s.bytes -= cost(&e.Entry)
		delete(s.ids, authorID{e.author, e.ID})
	}
}

// Read implements store.Store.
func (s *Store) Read(_ context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil {
		return nil, nil
	}
	state := r.state()
	first, end := max(page.After+1, state.Oldest), state.Head+1
	if page.Before != 0 {
		end = min(end, page.Before)
	}
	if first >= end {
		return nil, nil
	}
	n := int(min(end-first, uint64(page.Limit)))
	if page.Last {
		first = end - uint64(n)
	}
	entries := make([]store.Entry, n)
	for i := range entries {
		entries[i] = *r.entry(first + uint64(i))
	}
	return clip(entries, page), nil
}

// clip cuts a page to its bound of bytes, from the side that is further away
// from where the reader comes.
func clip(entries []store.Entry, page store.Page) []store.Entry {
	if page.Bytes <= 0 {
		return entries
	}
	kept, bytes := 0, 0
	for kept < len(entries) {
		e := &entries[kept]
		if page.Last {
			e = &entries[len(entries)-1-kept]
		}
		bytes += len(e.Content)
		if kept > 0 && bytes > page.Bytes {
			break
		}
		kept++
	}
	if page.Last {
		return entries[len(entries)-kept:]
	}
	return entries[:kept]
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.rooms, s.ids, s.order, s.bytes = nil, nil, queue[*room]{}, 0
	return nil
}

func (r *room) state() store.Room {
	return store.Room{Name: r.name, Head: r.head, Oldest: r.head + 1 - uint64(r.entries.len())}
}

// entry returns a kept entry by its sequence number.
func (r *room) entry(seq uint64) *store.Entry {
	return &r.entries.at(r.entries.len() - 1 - int(r.head-seq)).Entry
}

func cost(e *store.Entry) int {
	return entryOverhead + len(e.ID) + len(e.Username) + len(e.Content)
}

// queue is a first-in first-out list in one slice. The space of popped
// elements is reused when they are half of it.
type queue[T any] struct {
	elements []T
	popped   int
}

func (q *queue[T]) len() int    { return len(q.elements) - q.popped }
func (q *queue[T]) at(i int) *T { return &q.elements[q.popped+i] }
func (q *queue[T]) push(v T)    { q.elements = append(q.elements, v) }

func (q *queue[T]) pop() T {
	var zero T
	v := q.elements[q.popped]
	q.elements[q.popped] = zero // let go of what it points to
	q.popped++
	if q.popped*2 >= len(q.elements) {
		n := copy(q.elements, q.elements[q.popped:])
		clear(q.elements[n:])
		q.elements, q.popped = q.elements[:n], 0
	}
	return v
}
