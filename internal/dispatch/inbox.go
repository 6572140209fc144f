package dispatch

import (
	"sync"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
)

// inbox is what is queued for the committer.
type inbox struct {
	mu     sync.Mutex // guards all below
	more   sync.Cond  // on mu: there is something, or the inbox was closed
	sends  []Send
	hints  map[string]hint // by the key of their room: one each, the highest
	most   int             // of hints
	hinted int             // the size of all hints
	room   int             // for them, in bytes of their texts; beyond it a hint is queued without its entries
	closed bool
}

// maxHinted bounds the entries of the queued hints of all committers, in bytes of their texts.
const maxHinted = 16 << 20

// hint is how far a room has grown, by the word of another writer.
type hint struct {
	room kaban.RoomName
	seq  uint64
	// entries, if any, are consecutive, and none is beyond seq.
	entries []store.Entry
	// ask has the store asked in any case.
	ask bool
	// state is what the store has said of the room already, or nil.
	state *store.Room
}

// size returns the bytes of the entries, as maxHinted counts them.
func (h *hint) size() (bytes int) {
	for i := range h.entries {
		bytes += bus.EntrySize(&h.entries[i])
	}
	return bytes
}

// merge adds what another hint about the same room says. Of entries with a gap between them
// the later ones are left out.
func (h *hint) merge(other hint) {
	h.seq, h.ask = max(h.seq, other.seq), h.ask || other.ask
	if h.state == nil || other.state != nil && other.state.Head > h.state.Head {
		h.state = other.state
	}
	low, high := h.entries, other.entries
	if len(low) == 0 || len(high) > 0 && high[0].Seq < low[0].Seq {
		low, high = high, low
	}
	h.entries = low
	if len(high) == 0 {
		return
	}
	next := low[0].Seq + uint64(len(low))
	if end := high[0].Seq + uint64(len(high)); high[0].Seq <= next && end > next {
		h.entries = append(low[:len(low):len(low)], high[next-high[0].Seq:]...)
	}
}

// init makes the zero inbox ready.
func (b *inbox) init(mostHints, hinted int) {
	b.more.L = &b.mu
	b.hints, b.most, b.room = make(map[string]hint), mostHints, hinted
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
	if size := h.size(); size > 0 && b.hinted+size > b.room {
		h.entries = nil
	}
	b.hinted -= queued.size()
	if ok {
		queued.merge(h)
		h = queued
	}
	b.hinted += h.size()
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

// take returns all queued sends, and whether there are hints. The emptied slice of sends
// that it is given is filled next.
func (b *inbox) take(empty []Send) (sends []Send, hinted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sends = b.sends
	b.sends = empty
	return sends, len(b.hints) > 0
}

// takeHints appends to hints as many as one round follows.
func (b *inbox) takeHints(hints []hint) []hint {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, h := range b.hints {
		if len(hints) == maxHints {
			break
		}
		hints = append(hints, h)
		b.hinted -= h.size()
		delete(b.hints, key)
	}
	return hints
}

// takeEntries takes the entries of a room from first to last, or the first of them, out of
// its queued hint. It returns nil if the hint does not have the first.
func (b *inbox) takeEntries(room kaban.RoomName, first, last uint64) []store.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := room.Key()
	h := b.hints[key]
	if len(h.entries) == 0 || h.entries[0].Seq > first || h.entries[len(h.entries)-1].Seq < first {
		return nil
	}
	b.hinted -= h.size()
	entries := h.entries[first-h.entries[0].Seq:]
	n := min(uint64(len(entries)), last-first+1)
	h.entries = entries[n:]
	b.hinted += h.size()
	b.hints[key] = h
	return entries[:n]
}

// queued returns how many sends wait for the next batch.
func (b *inbox) queued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sends)
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
