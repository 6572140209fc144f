package dispatch

import (
	"sync"

	"kaban"
)

// inbox is what is queued for the committer.
type inbox struct {
	mu     sync.Mutex // guards all below
	more   sync.Cond  // on mu: there is something, or the inbox was closed
	sends  []Send
	hints  map[string]hint // by the key of their room: one each, the highest
	most   int             // of hints
	closed bool
}

// hint is how far a room has grown, by the word of another writer.
type hint struct {
	room kaban.RoomName
	seq  uint64
}

// init makes the zero inbox ready.
func (b *inbox) init(mostHints int) {
	b.more.L = &b.mu
	b.hints, b.most = make(map[string]hint), mostHints
}

// put queues sends, or returns false if the inbox is closed.
func (b *inbox) put(sends []Send) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.sends = append(b.sends, sends...)
	b.more.Signal()
	return true
}

// putHint queues a hint. It returns false if the inbox is closed or full of hints
// for other rooms.
func (b *inbox) putHint(h hint) bool {
	key := h.room.Key()
	b.mu.Lock()
	defer b.mu.Unlock()
	queued, ok := b.hints[key]
	if b.closed || !ok && len(b.hints) >= b.most {
		return false
	}
	h.seq = max(h.seq, queued.seq)
	b.hints[key] = h
	b.more.Signal()
	return true
}

// wait returns true once something is queued, or false once the inbox is closed
// and empty.
func (b *inbox) wait() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.isEmptyLocked() && !b.closed {
		b.more.Wait()
	}
	return !b.isEmptyLocked()
}

// take returns all queued sends and appends to hints as many as one round
// follows. The emptied slice of sends that it is given is filled next.
func (b *inbox) take(empty []Send, hints []hint) ([]Send, []hint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sends := b.sends
	b.sends = empty
	for key, h := range b.hints {
		if len(hints) == maxHints {
			break
		}
		hints = append(hints, h)
		delete(b.hints, key)
	}
	return sends, hints
}

func (b *inbox) isEmpty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isEmptyLocked()
}

func (b *inbox) isEmptyLocked() bool { return len(b.sends)+len(b.hints) == 0 }

// close reports whether this was the first call.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.closed
	b.closed = true
	b.more.Signal()
	return first
}
