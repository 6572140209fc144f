package dispatch

import (
	"context"
	"time"

	"kaban/internal/store"
)

// Readers that come back together, such as those of another node that has died, stand at the same place. What was read
// for the first of them is for all that come soon, so the store is asked once for each place, not once for each reader.
const (
	// sharedAge is how long a page is kept: the clients of a node that has died are back by then.
	sharedAge = time.Minute
	// sharedBytes bounds the content of the pages that all rooms keep together. What is beyond is shared only by those
	// that want it at the same time.
	sharedBytes = 16 << 20
	// entryBytes is about the memory of an entry beside its texts.
	entryBytes = 256
)

// sharedPage is what was read behind some seq of a room.
type sharedPage struct {
	read    chan struct{} // closed once the store has answered; then all below is set
	entries []store.Entry // none if they cannot be shared; must not be changed

	// These are guarded by Room.mu.
	size      int64       // counted in journal.shared; 0 if the page is not kept
	forgotten bool        // the page must not be kept any more, such as because a text in it was taken away
	expiry    *time.Timer // nil if the page is not kept
}

// readShared is readPast for cursors. It may return fewer entries than there are.
func (r *Room) readShared(ctx context.Context, p store.Page) (entries []store.Entry, damage *store.DamagedError, passed uint64, err error) {
	r.mu.Lock()
	shared := r.shared[p.After]
	if shared == nil {
		shared = &sharedPage{read: make(chan struct{})}
		if r.shared == nil {
			r.shared = make(map[uint64]*sharedPage)
		}
		r.shared[p.After] = shared
		r.mu.Unlock()
		entries, damage, passed, err = r.store.readPast(ctx, r.name, p)
		r.keep(p.After, shared, entries, damage != nil || err != nil)
		return entries, damage, passed, err
	}
	r.mu.Unlock()
	select {
	case <-shared.read:
	case <-ctx.Done():
		return nil, nil, 0, context.Cause(ctx)
	}
	if n := below(shared.entries, p.Before); n > 0 {
		return shared.entries[:n], nil, 0, nil
	}
	return r.store.readPast(ctx, r.name, p)
}

// below returns how many entries are before a seq.
func below(entries []store.Entry, before uint64) int {
	n := len(entries)
	for n > 0 && entries[n-1].Seq >= before {
		n--
	}
	return n
}

// keep ends the reading of a page. Others get what was read, and for a while also those that come later.
func (r *Room) keep(after uint64, shared *sharedPage, entries []store.Entry, failed bool) {
	defer close(shared.read)
	size := int64(0)
	if failed || len(entries) == 0 || entries[0].Seq != after+1 {
		entries = nil
	}
	for i := range entries {
		size += entryBytes + int64(len(entries[i].Content)+len(entries[i].Files))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	shared.entries = entries
	if entries == nil || shared.forgotten || r.store.shared.Add(size) > sharedBytes {
		if entries != nil && !shared.forgotten {
			r.store.shared.Add(-size)
		}
		r.dropSharedLocked(after, shared)
		return
	}
	shared.size = size
	shared.expiry = time.AfterFunc(sharedAge, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dropSharedLocked(after, shared)
	})
}

// dropSharedLocked gives a page up, unless that has been done.
func (r *Room) dropSharedLocked(after uint64, shared *sharedPage) {
	r.store.shared.Add(-shared.size)
	shared.size, shared.forgotten = 0, true
	if shared.expiry != nil {
		shared.expiry.Stop() // which holds the entries
	}
	if r.shared[after] == shared {
		if delete(r.shared, after); len(r.shared) == 0 {
			r.shared = nil
		}
	}
}

// forgetSharedLocked gives the pages up that may have an entry from first to last.
func (r *Room) forgetSharedLocked(first, last uint64) {
	for after, shared := range r.shared {
		if after < last && (shared.size == 0 || shared.entries[len(shared.entries)-1].Seq >= first) {
			r.dropSharedLocked(after, shared)
		}
	}
}
