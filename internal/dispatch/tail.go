package dispatch

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/store"
)

const (
	// The first chunk is small, because many rooms are quiet; each further one is
	// twice as large, up to the size of one write.
	minChunk = 1 << 10
	maxChunk = 64 << 10
	// bytesPerMark sizes the table of marks of a chunk: the shortest frame of an entry
	// is about this long. A chunk without free marks is full.
	bytesPerMark = 96
)

// mark is the end of a frame in a chunk.
type mark struct {
	end uint32 // offset after its last byte
	seq uint32 // entries in the chunk up to and including this frame
	// back is how many entries before a change of a message that message is, at most
	// maxBack; 0 for other frames.
	back uint32
}

const maxBack = math.MaxUint32

// backOf returns the back of the mark of an entry.
func backOf(e *store.Entry) uint32 {
	if !e.Kind.IsChange() {
		return 0
	}
	return uint32(min(e.Seq-min(e.Target, e.Seq), maxBack))
}

// isBefore reports whether the frame of an entry is a change of a message before another
// entry. If that is too far back to know, it is.
func (m *mark) isBefore(seq, from uint64) bool {
	return m.back > 0 && (m.back == maxBack || seq-uint64(m.back) < from)
}

// chunk is a piece of a tail: encoded frames, back to back. Bytes and marks below
// the published count never change, so readers take no lock.
type chunk struct {
	number    uint64 // in its tail, from 1
	base      uint64 // the seq before its first entry
	bytes     []byte
	marks     []mark
	published atomic.Uint32 // frames; stored after their bytes and marks
	next      atomic.Pointer[chunk]

	tail *tail
	// Owned by the budget. counted is also guarded by Room.mu, the others by
	// budget.mu alone.
	counted      bool
	made         time.Duration
	older, newer *chunk
}

// end returns the seq of the last entry. The caller holds Room.mu.
func (c *chunk) end() uint64 {
	if n := c.published.Load(); n > 0 {
		return c.base + uint64(c.marks[n-1].seq)
	}
	return c.base
}

// dropped is the next of the last chunk before a restart: what comes after does not
// continue it.
var dropped = new(chunk)

// position is between two frames of a tail. The zero position is nowhere. Without
// its chunk a position is still valid and holds no memory.
type position struct {
	chunk  *chunk
	number uint64
	index  uint32 // frames of the chunk before the position
}

// tail is the newest part of a room's log as encoded frames of one format. One
// writer at a time appends, holding Room.mu; readers take no lock.
//
// The tail itself holds only its newest chunks, and fewer if the budget of all
// tails demands it. An older chunk lives as long as a cursor stands in it, which
// finds everything later through next: in a busy room, readers that come late need
// no store. A cursor that cannot move must release its chunk (Subscription.Unpin).
type tail struct {
	room   *Room
	format Format
	limit  int // bytes kept at least, as far as the log and the budget have them
	budget *budget

	first atomic.Pointer[chunk]

	last    *chunk // guarded by Room.mu, like all below
	used    int    // bytes of last
	size    int    // bytes of all chunks
	readers int    // subscriptions
}

func newTail(r *Room, format Format, limit int) *tail {
	t := &tail{room: r, format: format, limit: limit, budget: r.budget}
	t.last = &chunk{number: 1, base: r.head.Load()} // without room: the first frame adds the next
	t.first.Store(t.last)
	return t
}

// scratches are buffers to encode frames into before their size is known.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, minChunk); return &b }}

// append adds one frame that encode appends to a buffer. seqs is 1 for an entry of
// the log and 0 for any other frame, and back is that of its mark.
func (t *tail) append(seqs, back uint32, encode func(dst []byte) []byte) {
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
	c.marks[n] = mark{end: uint32(t.used), seq: seq, back: back}
	c.published.Store(n + 1)
	t.trim()
}

// grow links a new, empty chunk with room for a frame.
func (t *tail) grow(frame int) *chunk {
	size := max(min(2*len(t.last.bytes), maxChunk), minChunk, frame)
	c := &chunk{bytes: make([]byte, size), marks: make([]mark, size/bytesPerMark+1)}
	t.link(c)
	t.budget.add(c)
	return c
}

// link appends a chunk.
func (t *tail) link(c *chunk) {
	before := t.last
	c.tail, c.number, c.base = t, before.number+1, before.end()
	t.last, t.used = c, 0
	t.size += len(c.bytes)
	before.next.Store(c)
}

// trim drops the oldest chunks beyond the limit.
func (t *tail) trim() {
	for {
		c := t.first.Load()
		if c == t.last || t.size-len(c.bytes) < t.limit {
			return
		}
		t.drop()
	}
}

// drop drops the oldest chunk. If it is also the last, the tail goes on in an empty
// one until the next frame adds another.
func (t *tail) drop() {
	c := t.first.Load()
	if c == t.last {
		t.link(new(chunk))
	}
	t.size -= len(c.bytes)
	t.first.Store(c.next.Load())
	t.budget.remove(c)
}

// dropThrough drops everything up to and including a chunk, unless that has
// happened in the meantime. The caller holds no Room.mu.
func (t *tail) dropThrough(c *chunk) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	last := t.last
	for c.counted {
		t.drop()
	}
	if last != t.last { // cursors stand in it and must move on
		t.room.wakeLocked()
	}
}

// restart drops everything and begins anew after the entry base.
func (t *tail) restart(base uint64) {
	t.close()
	old := t.last
	c := &chunk{tail: t, number: old.number + 1, base: base}
	t.last = c
	t.first.Store(c)
	old.next.Store(dropped)
}

// close drops everything. A position in the tail holds none of it afterwards.
func (t *tail) close() {
	for t.first.Load() != t.last || len(t.last.bytes) > 0 {
		t.drop()
	}
}

// end returns the position after the last frame. The caller holds Room.mu.
func (t *tail) end() position {
	return position{number: t.last.number, index: t.last.published.Load()}
}

// seek returns the position of the first entry after seq, or false if the tail does
// not reach back that far.
func (t *tail) seek(seq uint64) (position, bool) {
	c := t.first.Load()
	if seq < c.base {
		return position{}, false
	}
	for {
		published := int(c.published.Load())
		next := c.next.Load()
		if next == dropped { // restarted in the meantime
			return t.seek(seq)
		}
		if next == nil || seq < next.base {
			index := sort.Search(published, func(i int) bool { return c.base+uint64(c.marks[i].seq) > seq })
			return position{chunk: c, number: c.number, index: uint32(index)}, true
		}
		c = next
	}
}

// find returns the position with its chunk, for a cursor that was given everything
// up to seq, or false if the tail has dropped what comes next.
func (t *tail) find(p position, seq uint64) (position, bool) {
	c := t.first.Load()
	if p.number < c.number { // all of the first chunk, with presence, came after it
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
