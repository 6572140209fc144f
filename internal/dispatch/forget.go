package dispatch

import (
	"context"
	"sync"
	"time"

	"kaban"
	"kaban/internal/store"
)

// forgetAfter is how long a chunk stays in its tail that has a text which was deleted or
// replaced. Readers that keep up have passed it by then, and need not read from the store.
const forgetAfter = 2 * time.Second

// forgetter drops such chunks.
type forgetter struct {
	start time.Time

	mu            sync.Mutex // a leaf; guards all below
	doomed        []doomed   // in the order of their times
	timer         *time.Timer
	armed, closed bool

	group sync.WaitGroup // one while the timer is armed, until its function has returned
}

// doomed is a chunk that is to be dropped, with all before it.
type doomed struct {
	*chunk
	since time.Duration
}

// doom has a chunk dropped soon. The caller may hold its Room.mu.
func (f *forgetter) doom(c *chunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.doomed); n > 0 && f.doomed[n-1].chunk == c {
		return // it may go before others have passed it, which is once in a while
	}
	f.doomed = append(f.doomed, doomed{c, time.Since(f.start)})
	if !f.armed {
		f.armLocked(forgetAfter)
	}
}

// armLocked starts the timer.
func (f *forgetter) armLocked(after time.Duration) {
	if f.closed {
		return
	}
	f.armed = true
	f.group.Add(1)
	if f.timer == nil {
		f.timer = time.AfterFunc(after, f.expire)
	} else {
		f.timer.Reset(after)
	}
}

// expire drops the chunks whose time has come. It runs on the timer's goroutine.
func (f *forgetter) expire() {
	defer f.group.Done()
	now := time.Since(f.start)
	f.drop(now - forgetAfter)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	if len(f.doomed) > 0 {
		f.armLocked(max(f.doomed[0].since+forgetAfter-now, 0))
	}
}

// drop drops the chunks that are doomed since a time or longer. The caller holds no Room.mu.
func (f *forgetter) drop(since time.Duration) {
	f.mu.Lock()
	n := 0
	for n < len(f.doomed) && f.doomed[n].since <= since {
		n++
	}
	due := f.doomed[:n:n]
	f.doomed = append([]doomed(nil), f.doomed[n:]...)
	f.mu.Unlock()
	for _, c := range due {
		c.tail.dropThrough(c.chunk)
	}
}

// close stops the timer and waits for what it started.
func (f *forgetter) close() {
	f.mu.Lock()
	f.closed = true
	if f.timer != nil && f.timer.Stop() {
		f.group.Done()
	}
	f.mu.Unlock()
	f.group.Wait()
}

// Forget drops everything from the tails that was deleted or replaced until now. Otherwise
// that happens by itself, after some seconds.
func (d *Dispatcher) Forget() {
	d.forgetShared()
	d.budget.forgetter.drop(time.Since(d.budget.forgetter.start))
}

// Erase waits until no tail and no file of the store has anything that was deleted or replaced
// before.
func (d *Dispatcher) Erase(ctx context.Context) error {
	d.Forget()
	if e, ok := d.store.Store.(store.Eraser); ok {
		return e.Erase(ctx)
	}
	return nil
}

// Read reads entries of a room as the store has them, for what the server does by itself: it
// asks nobody whether that is allowed.
func (d *Dispatcher) Read(ctx context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	return d.store.Store.Read(ctx, name, page)
}

// Cut cuts the front of a room's log; see store.Store. The tails forget what is cut. It may
// block while the store works.
func (d *Dispatcher) Cut(ctx context.Context, name kaban.RoomName, age store.Age, limit int) (n int, err error) {
	if n, err = d.store.Cut(ctx, name, age, limit); n == 0 || err != nil {
		return n, err
	}
	state, err := d.store.Room(ctx, name)
	if r := d.Peek(name); r != nil && err == nil {
		r.doomBefore(state.Oldest)
	}
	return n, err
}

// Redact takes texts out of entries of a room; see store.Store. The tails forget these entries, with
// all before them. It may block while the store works.
func (d *Dispatcher) Redact(ctx context.Context, name kaban.RoomName, redactions []store.Redaction) error {
	if err := d.store.Redact(ctx, name, redactions); err != nil {
		return err
	}
	last := uint64(0)
	for i := range redactions {
		last = max(last, redactions[i].Seq)
	}
	if r := d.Peek(name); r != nil {
		r.doomBefore(last + 1)
	}
	return nil
}

// doomBefore has the tails drop the chunks that have entries before one.
func (r *Room) doomBefore(oldest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if oldest > 1 {
		r.forgetSharedLocked()
	}
	for _, t := range r.tails {
		for c := t.first.Load(); c != nil && c.base+1 < oldest; c = c.next.Load() {
			if c.published.Load() > 0 {
				t.budget.forgetter.doom(c)
			}
		}
	}
}

// Old counts what Cut would take; see store.Store. It may block while the store works.
func (d *Dispatcher) Old(ctx context.Context, name kaban.RoomName, age store.Age) (entries, messages uint64, err error) {
	return d.store.Old(ctx, name, age)
}

// State returns what the store has of a room's log.
func (d *Dispatcher) State(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	return d.store.Room(ctx, name)
}

// forget has the text of a message leave the tail, and those of its edits. The caller holds
// Room.mu.
func (t *tail) forget(target uint64) {
	if c := t.newestAbout(target); c != nil {
		t.budget.forgetter.doom(c)
	}
}

// newestAbout returns the newest chunk that has a message or a change of it; nil if there is
// none. The caller holds Room.mu.
func (t *tail) newestAbout(target uint64) (newest *chunk) {
	for c := t.first.Load(); c != nil; c = c.next.Load() {
		if c.end() >= target && c.isAbout(target) {
			newest = c
		}
	}
	return newest
}

// isAbout reports whether the chunk has a message or a change of it.
func (c *chunk) isAbout(target uint64) bool {
	before := c.base
	for _, m := range c.marks[:c.published.Load()] {
		seq := c.base + uint64(m.seq)
		if seq > before && (seq == target || m.back > 0 && seq-uint64(m.back) == target) {
			return true
		}
		before = seq
	}
	return false
}
