package dispatch

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A chunk starts small, for the many rooms that are quiet, and doubles with
	// each further chunk up to what one write can take.
	minChunk = 1 << 10
	maxChunk = 64 << 10
	// bytesPerMark sizes the table of marks of a chunk: the smallest frame of a
	// message is about this long. A chunk whose marks run out is simply full.
	bytesPerMark = 96
)

// mark says where an entry of a chunk ends.
type mark struct {
	end uint32 // offset behind its last byte
	seq uint32 // sequence numbers in the chunk up to and with this entry
}

// chunk is a piece of a tail: encoded frames, one behind the other. Bytes and
// marks below the published count never change, so readers take no lock.
type chunk struct {
	number    uint64 // in its tail, from 1
	base      uint64 // the sequence number before its first entry
	bytes     []byte
	marks     []mark
	published atomic.Uint32 // entries; stored after their bytes and marks
	next      atomic.Pointer[chunk]

	tail *tail
	// The budget's. counted is also guarded by Room.mu, made and the list by
	// budget.mu alone.
	counted      bool
	made         time.Duration
	older, newer *chunk
}

// end returns the sequence number of the last entry, for one who holds Room.mu.
func (c *chunk) end() uint64 {
	if n := c.published.Load(); n > 0 {
		return c.base + uint64(c.marks[n-1].seq)
	}
	return c.base
}

// dropped is the next of the last chunk before a restart: what follows is not
// what came after it.
var dropped = new(chunk)

// position is a place between two entries of a tail. The zero position is
// nowhere. Without its chunk it still names the place and holds no memory.
type position struct {
	chunk  *chunk
	number uint64
	index  uint32 // entries of the chunk before the place
}

// tail is the newest part of a room's log as encoded frames of one format.
// One writer at a time appends (it holds Room.mu); readers take no lock.
//
// The tail itself holds on to its newest chunks only, and to fewer when the budget
// of all tails says so. An older one lives for as
// long as a cursor stands in it, which finds everything that came after through
// next: readers whose turn comes late in a busy room need no store. A cursor
// that cannot move must let go of its chunk (Subscription.Unpin).
type tail struct {
	room   *Room
	format Format
	limit  int // bytes kept at least, while the log and the budget have them
	budget *budget

	first atomic.Pointer[chunk]

	last    *chunk // guarded by Room.mu, as all below
	used    int    // bytes of last
	size    int    // bytes of all chunks
	readers int    // subscriptions
}

func newTail(r *Room, format Format, limit int) *tail {
	t := &tail{room: r, format: format, limit: limit, budget: r.budget}
	t.last = &chunk{number: 1, base: r.head.Load()} // takes nothing: the first entry brings the next
	t.first.Store(t.last)
	return t
}

// scratches are buffers that frames are encoded into before their size is known.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, minChunk); return &b }}

// append adds one frame that encode appends to a buffer. seqs is 1 for an
// entry of the log and 0 for a frame that passes by without being kept.
func (t *tail) append(seqs uint32, encode func(dst []byte) []byte) {
	scratch := scratches.Get().(*[]byte)
	frame := encode((*scratch)[:0])
	c := t.last
	n := c.published.Load()
	if int(n) == len(c.marks) || t.used+len(frame) > len(c.bytes) {
		c, n = t.grow(len(frame)), 0
	}
	copy(c.bytes[t.used:], frame)
	t.used += len(frame)
	*scratch = frame
	scratches.Put(scratch)
	seq := seqs
	if n > 0 {
		seq += c.marks[n-1].seq
	}
	c.marks[n] = mark{end: uint32(t.used), seq: seq}
	c.published.Store(n + 1)
	t.trim()
}

// grow links a new, empty chunk that has room for a frame.
func (t *tail) grow(frame int) *chunk {
	size := max(min(2*len(t.last.bytes), maxChunk), minChunk, frame)
	c := &chunk{bytes: make([]byte, size), marks: make([]mark, size/bytesPerMark+1)}
	t.link(c)
	t.budget.add(c)
	return c
}

// link makes a chunk the last.
func (t *tail) link(c *chunk) {
	before := t.last
	c.tail, c.number, c.base = t, before.number+1, before.end()
	t.last, t.used = c, 0
	t.size += len(c.bytes)
	before.next.Store(c)
}

// trim lets go of the oldest chunks beyond the limit.
func (t *tail) trim() {
	for {
		c := t.first.Load()
		if c == t.last || t.size-len(c.bytes) < t.limit {
			return
		}
		t.drop()
	}
}

// drop lets go of the oldest chunk. If it is the last one too the tail goes on in
// one that holds nothing, until the next frame brings another.
func (t *tail) drop() {
	c := t.first.Load()
	if c == t.last {
		t.link(new(chunk))
	}
	t.size -= len(c.bytes)
	t.first.Store(c.next.Load())
	t.budget.remove(c)
}

// letGo drops everything up to and with a chunk that the budget cannot afford,
// unless that has happened in the meantime. The caller holds no Room.mu.
func (t *tail) letGo(c *chunk) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	last := t.last
	for c.counted {
		t.drop()
	}
	if last != t.last { // cursors stand in it and are to move on
		t.room.wakeLocked()
	}
}

// restart drops everything and begins anew behind the entry base.
func (t *tail) restart(base uint64) {
	t.close()
	old := t.last
	c := &chunk{tail: t, number: old.number + 1, base: base}
	t.last = c
	t.first.Store(c)
	old.next.Store(dropped)
}

// close drops everything. Whoever still knows the tail holds nothing of it.
func (t *tail) close() {
	for t.first.Load() != t.last || len(t.last.bytes) > 0 {
		t.drop()
	}
}

// end returns the position behind everything, for one who holds Room.mu.
func (t *tail) end() position {
	return position{number: t.last.number, index: t.last.published.Load()}
}

// seek returns the position of the first entry behind seq, or false when the
// tail does not reach back that far.
func (t *tail) seek(seq uint64) (position, bool) {
	c := t.first.Load()
	if seq < c.base {
		return position{}, false
	}
	for {
		published := int(c.published.Load())
		next := c.next.Load()
		if next == dropped { // restarted under our feet
			return t.seek(seq)
		}
		if next == nil || seq < next.base {
			index := sort.Search(published, func(i int) bool { return c.base+uint64(c.marks[i].seq) > seq })
			return position{chunk: c, number: c.number, index: uint32(index)}, true
		}
		c = next
	}
}

// find gives the position of a cursor that was given everything up to seq its
// chunk back, or returns false when the tail has let go of what comes next.
func (t *tail) find(p position, seq uint64) (position, bool) {
	c := t.first.Load()
	if p.number < c.number { // all of the first chunk, presence too, came after it
		return position{chunk: c, number: c.number}, seq == c.base
	}
	for ; c != nil && c != dropped && c.number <= p.number; c = c.next.Load() {
		if c.number == p.number {
			p.chunk = c
			return p, true
		}
	}
	return position{}, false
}
