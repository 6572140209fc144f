package dispatch

import (
	"container/list"
	"context"
	"sync"
	"time"

	"kaban/internal/store"
)

// Readers that come back together, such as those of another node that has died, stand at the same place. What was read
// for the first of them is for all that come soon, so the store is asked once for each place, not once for each reader.
const (
	// sharedAge is how long a page is kept: the clients of a node that has died are back by then.
	sharedAge = 30 * time.Second
	// sharedBytes bounds the content of the pages that all rooms keep together. The oldest make room.
	sharedBytes = 16 << 20
	// entryBytes is about the memory of an entry beside its texts.
	entryBytes = 256
	// sharedRounds bounds how often a reader waits for a page that others then cannot read for it.
	sharedRounds = 3
)

// sharedPage is what was read behind some seq of a room.
type sharedPage struct {
	room  *Room
	after uint64

	read    chan struct{} // closed once the store has answered; then entries is set
	entries []store.Entry // none if they cannot be shared; must not be changed

	// These are guarded by Room.mu.
	size      int64         // counted in keptPages.bytes; 0 if the page is not kept
	forgotten bool          // the page must not be kept any more
	expiry    *time.Timer   // nil if the page is not kept
	place     *list.Element // in keptPages
}

// keptPages lists the pages that all rooms keep.
type keptPages struct {
	mu    sync.Mutex // a leaf; guards all below
	bytes int64
	pages list.List // of *sharedPage, by age
}

func (k *keptPages) add(p *sharedPage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bytes += p.size
	p.place = k.pages.PushBack(p)
}

func (k *keptPages) remove(p *sharedPage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bytes -= p.size
	k.pages.Remove(p.place)
}

// surplus returns the oldest page if there are too many; else nil.
func (k *keptPages) surplus() *sharedPage {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bytes <= sharedBytes {
		return nil
	}
	return k.pages.Front().Value.(*sharedPage)
}

// readShared is readPast for cursors. It may return fewer entries than there are.
func (r *Room) readShared(ctx context.Context, p store.Page) (entries []store.Entry, damage *store.DamagedError, passed uint64, err error) {
	for range sharedRounds {
		r.mu.Lock()
		if r.isUnreadLocked() { // the reader has left, and nobody would notice what changes
			r.mu.Unlock()
			break
		}
		shared := r.shared[p.After]
		if shared == nil {
			shared = &sharedPage{room: r, after: p.After, read: make(chan struct{})}
			if r.shared == nil {
				r.shared = make(map[uint64]*sharedPage)
			}
			r.shared[p.After] = shared
			r.mu.Unlock()
			entries, damage, passed, err = r.store.readPast(ctx, r.name, p)
			shared.keep(entries, damage != nil || err != nil)
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
func (p *sharedPage) keep(entries []store.Entry, failed bool) {
	if !failed && len(entries) > 0 && entries[0].Seq == p.after+1 {
		p.entries = entries
	}
	p.count()
	close(p.read)
	for old := p.room.store.kept.surplus(); old != nil; old = p.room.store.kept.surplus() {
		old.drop()
	}
}

// count counts the page among those that are kept, unless there is a reason not to keep it.
func (p *sharedPage) count() {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.entries == nil || p.forgotten {
		p.dropLocked()
		return
	}
	for i := range p.entries {
		p.size += entryBytes + int64(len(p.entries[i].Content)+len(p.entries[i].Files))
	}
	p.room.store.kept.add(p)
	p.expiry = time.AfterFunc(sharedAge, p.drop)
}

// drop gives a page up, unless that has been done.
func (p *sharedPage) drop() {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.dropLocked()
}

func (p *sharedPage) dropLocked() {
	p.forgotten = true
	if p.size > 0 {
		p.room.store.kept.remove(p)
		p.size = 0
		p.expiry.Stop() // it holds the entries
	}
	if p.room.shared[p.after] == p {
		delete(p.room.shared, p.after)
	}
}

// forgetSharedLocked gives all pages up, also those that are being read: a text was taken away, or has another author,
// and it is rare.
func (r *Room) forgetSharedLocked() {
	for _, p := range r.shared {
		p.dropLocked()
	}
	r.shared = nil
}

func (r *Room) forgetShared() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetSharedLocked()
}

// forgetShared gives up the pages of all rooms.
func (d *Dispatcher) forgetShared() {
	for _, r := range d.InUse() {
		r.forgetShared()
	}
}
