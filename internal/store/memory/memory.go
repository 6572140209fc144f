// Package memory is a store without durability: a window of the newest entries of all
// rooms, limited in bytes and lost when the process exits.
//
// It has the order and the numbering of a durable store, and recognises an id that is
// sent again for as long as the entry is in the window. The oldest entries of all rooms
// are forgotten first. Documents are never forgotten and do not count.
//
// Its data belong to one Store: they cannot be shared by another handle. There is
// nothing to export, back up or check, so it has no store.Archive.
package memory

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/store"
)

// DefaultWindow is the size of the window in bytes, including overhead.
const DefaultWindow = 64 << 20

// entryOverhead is the size of an entry without its strings: the entry itself, its
// position in its room and its share of the index. TestWindowBoundsTheHeap measures it;
// this is rounded up.
const entryOverhead = 256

// Store implements store.Store in memory.
type Store struct {
	epoch  string
	window int
	now    func() time.Time

	viewing sync.RWMutex // held for reading by each View
	// documents are the documents after the last transaction, nil once the store is
	// closed. Changed with mu held.
	documents atomic.Pointer[documents]

	mu     sync.RWMutex // guards all below
	closed bool
	rooms  map[string]*room
	// lastRoom is the number of the newest room.
	lastRoom uint64
	log      log // the entries of all rooms, oldest first
	ids      index
	bytes    int
	// written are the documents after the transaction in progress; nil until it
	// changes any.
	written *documents
}

type room struct {
	name      kaban.RoomName
	number    uint64 // in the order in which rooms were made
	head      uint64
	revision  uint64
	positions queue // of the newest entries, up to head, in the log
}

// kept is an entry of the log with the data to find and to forget it.
type kept struct {
	store.Entry
	room *room
	hash uint64 // of room, Author and ID
}

// New returns an empty store that keeps at most window bytes; 0 means DefaultWindow.
func New(window int) *Store {
	if window <= 0 {
		window = DefaultWindow
	}
	s := &Store{
		epoch:  rand.Text(),
		window: window,
		now:    time.Now,
		rooms:  make(map[string]*room),
		ids:    newIndex(),
	}
	s.documents.Store(new(documents))
	return s
}

// Instant implements store.Instant.
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
func (s *Store) Append(_ context.Context, batch []store.Write, results []store.Result) error {
	now := s.now().UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	for i := range batch {
		results[i] = s.appendLocked(&batch[i], now)
	}
	s.publishLocked()
	s.forgetLocked()
	return nil
}

func (s *Store) appendLocked(w *store.Write, now int64) store.Result {
	d := &w.Draft
	r := s.rooms[d.Room.Key()]
	if r != nil {
		if first := s.findLocked(r, d); first != nil && !first.IsOf(d) {
			return store.Result{Err: store.ErrIDConflict}
		} else if first != nil {
			return store.Result{Seq: first.Seq, Time: first.Time, Duplicate: true}
		}
	}
	if w.Checked && w.Revision != r.revisionOrNone() {
		return store.Result{Err: store.ErrStale}
	}
	if w.Refusal != nil {
		return store.Result{Err: w.Refusal}
	}
	if w.Decide != nil {
		if err := s.runLocked(w.Decide); err != nil {
			return store.Result{Err: err}
		}
		r = s.rooms[d.Room.Key()]
	}
	if r == nil {
		r = s.addRoomLocked(d.Room)
	}
	r.head++
	e := store.NewEntry(d, r.head, now)
	hash := s.ids.hash(r, e.Author, e.ID)
	position := s.log.push(kept{e, r, hash})
	r.positions.push(position)
	s.ids.add(hash, position)
	s.bytes += cost(&e)
	return store.Result{Seq: e.Seq, Time: e.Time}
}

// findLocked returns the entry that the author of a draft has sent to the room with the
// same id, or nil.
func (s *Store) findLocked(r *room, d *kaban.Draft) *kept {
	author, id := d.Author.ID(), d.ID.String()
	position, ok := s.ids.find(s.ids.hash(r, author, id), func(position uint64) bool {
		e := s.log.at(position)
		return e.room == r && e.Author == author && e.ID == id
	})
	if !ok {
		return nil
	}
	return s.log.at(position)
}

func (s *Store) addRoomLocked(name kaban.RoomName) *room {
	s.lastRoom++
	r := &room{name: name, number: s.lastRoom}
	s.rooms[name.Key()] = r
	return r
}

// forgetLocked drops the oldest entries until the rest fits the window. The newest
// entry always stays.
func (s *Store) forgetLocked() {
	for s.bytes > s.window && s.log.len() > 1 {
		e := s.log.pop()
		e.room.positions.pop()
		s.ids.remove(e.hash)
		s.bytes -= cost(&e.Entry)
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
		entries[i] = s.log.at(r.position(first + uint64(i))).Entry
	}
	return clip(entries, page), nil
}

// CountOthers implements store.Store.
func (s *Store) CountOthers(_ context.Context, name kaban.RoomName, author string, after, last uint64) (n uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil {
		return 0, nil
	}
	state := r.state()
	last = min(last, state.Head)
	for seq := max(after, state.Oldest-1); seq < last; {
		seq++
		if e := s.log.at(r.position(seq)); e.Kind == kaban.KindMessage && e.Author != author {
			n++
		}
	}
	return n, nil
}

// clip cuts a page down to its limit of bytes, at the end of the direction of
// reading.
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
	s.viewing.Lock()
	defer s.viewing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.documents.Store(nil)
	s.rooms, s.ids, s.log, s.bytes = nil, index{}, log{}, 0
	return nil
}

func (r *room) state() store.Room {
	return store.Room{Name: r.name, Head: r.head, Oldest: r.head + 1 - uint64(r.positions.len()), Revision: r.revision}
}

// revisionOrNone returns the revision of a room, 0 if there is no room.
func (r *room) revisionOrNone() uint64 {
	if r == nil {
		return 0
	}
	return r.revision
}

// position returns the position in the log of a kept entry, by its sequence number.
func (r *room) position(seq uint64) uint64 {
	return r.positions.at(r.positions.len() - 1 - int(r.head-seq))
}

func cost(e *store.Entry) int {
	return entryOverhead + len(e.ID) + len(e.Username) + len(e.Content)
}
