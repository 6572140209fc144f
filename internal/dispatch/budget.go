package dispatch

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultTailBudget bounds the bytes that all tails hold together.
	defaultTailBudget = 64 << 20
	// defaultTailAge is how long a chunk is kept. A reader that comes back after a
	// longer break reads from the store.
	defaultTailAge = 5 * time.Minute
	// expiriesPerAge is how often in that time a budget looks for old chunks at
	// most.
	expiriesPerAge = 8
	// chunkOverhead and markSize are the memory of a chunk beside its bytes, in bytes.
	chunkOverhead = 160
	markSize      = 12
)

// budget bounds the memory that the tails of all rooms hold together. It lists
// their chunks by age and drops the oldest, whichever room they belong to: a busy
// room keeps more than a quiet one, equally busy rooms keep the same, and a room at
// its own limit (tail.limit) replaces only its own chunks.
//
// Chunks are added and removed with the Room.mu of their room held. To drop one the
// budget needs that lock itself, so only a caller that holds none enforces it
// (shrink); until then one room may exceed the budget.
type budget struct {
	limit int64
	age   time.Duration
	start time.Time
	used  atomic.Int64 // bytes

	mu             sync.Mutex // a leaf; guards all below
	oldest, newest *chunk     // a list through chunk.newer and chunk.older
	timer          *time.Timer
	armed, closed  bool

	group sync.WaitGroup // one while the timer is armed, until expire has returned

	forgetter forgetter
}

func newBudget(limit int64, age time.Duration) *budget {
	b := &budget{limit: limit, age: age, start: time.Now()}
	b.forgetter.start = b.start
	return b
}

// cost returns the memory that a chunk takes, in bytes.
func (c *chunk) cost() int64 {
	return chunkOverhead + int64(len(c.bytes)) + int64(len(c.marks))*markSize
}

// add counts a chunk. The caller of add and remove holds the room's mu.
func (b *budget) add(c *chunk) {
	b.used.Add(c.cost())
	b.mu.Lock()
	defer b.mu.Unlock()
	c.counted, c.made = true, time.Since(b.start)
	if c.older = b.newest; c.older != nil {
		c.older.newer = c
	} else {
		b.oldest = c
	}
	b.newest = c
	if !b.armed {
		b.armLocked(b.age)
	}
}

// remove ends the counting of a chunk, if it is counted.
func (b *budget) remove(c *chunk) {
	if !c.counted {
		return
	}
	b.used.Add(-c.cost())
	b.mu.Lock()
	defer b.mu.Unlock()
	c.counted = false
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		b.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		b.newest = c.older
	}
	c.older, c.newer = nil, nil
}

// shrink drops the oldest chunks until the budget is kept. The caller holds no
// Room.mu.
func (b *budget) shrink() {
	for b.used.Load() > b.limit {
		c := b.oldestAged(0)
		if c == nil {
			return
		}
		c.tail.dropThrough(c)
	}
}

// oldestAged returns the oldest chunk, or nil if none has that age.
func (b *budget) oldestAged(age time.Duration) *chunk {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.oldest == nil || time.Since(b.start)-b.oldest.made < age {
		return nil
	}
	return b.oldest
}

// dropAll drops the chunks that there are now. The caller holds no Room.mu.
func (b *budget) dropAll() {
	now := time.Since(b.start)
	next := func() *chunk {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.oldest == nil || b.oldest.made > now {
			return nil
		}
		return b.oldest
	}
	for c := next(); c != nil; c = next() {
		c.tail.dropThrough(c)
	}
}

// armLocked starts the timer of expire.
func (b *budget) armLocked(after time.Duration) {
	if b.closed {
		return
	}
	b.armed = true
	b.group.Add(1)
	if b.timer == nil {
		b.timer = time.AfterFunc(after, b.expire)
	} else {
		b.timer.Reset(after)
	}
}

// expire drops the chunks that are too old. It runs on the timer's goroutine.
func (b *budget) expire() {
	defer b.group.Done()
	for c := b.oldestAged(b.age); c != nil; c = b.oldestAged(b.age) {
		c.tail.dropThrough(c)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
	if b.oldest != nil {
		left := b.age - (time.Since(b.start) - b.oldest.made)
		b.armLocked(max(left, b.age/expiriesPerAge))
	}
}

// close stops the timer and waits for what it started.
func (b *budget) close() {
	b.forgetter.close()
	b.mu.Lock()
	b.closed = true
	if b.timer != nil && b.timer.Stop() {
		b.group.Done()
	}
	b.mu.Unlock()
	b.group.Wait()
}
