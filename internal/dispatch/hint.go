package dispatch

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// maxHints bounds the hints that the committer follows in one round, so that
// sends do not wait for many of them.
const maxHints = 64

// Grown is a hint that another writer has appended to a room, up to seq. The
// entries are published as soon as the committer has read them from the store. So
// a hint may be late, doubled, out of order, or
// about an unknown room, and changes nothing but when the store is asked. A hint
// beyond the store's head publishes what the store has. A hint that is lost, or
// cannot be followed because the store fails, is made up for by the next hint or
// append in the room, or by a comparison (Connect); so the writer sends a hint after its transaction.
//
// In a room without readers nothing is read: the hint is the head that Rooms
// lists, until somebody asks for more. An unknown room is added if the store has
// it.
//
// Grown does not wait for a store that blocks. At most one hint per room is queued,
// the highest, for at most Options.MaxRooms rooms; beyond that it is lost.
func (d *Dispatcher) Grown(room kaban.RoomName, seq uint64) {
	if r := d.Peek(room); r != nil && !r.noteHint(seq) {
		return
	}
	d.putHint(hint{room: room, seq: seq})
}

// putHint has a hint followed.
func (d *Dispatcher) putHint(h hint) {
	if c := d.committerOf(h.room); c.inbox.putHint(h) && d.inline {
		c.commitQueued()
	}
}

// follow publishes up to a page of what a hint announces and queues the hint
// again if that was not all of it, so that sends do not wait for a room that is
// far behind.
//
// It must run in the committer. Nothing is being appended meanwhile, so every
// entry that the store has and this dispatcher has sent has its receipt recorded;
// otherwise a hint could publish an entry to its sender as a message.
func (c *committer) follow(ctx context.Context, h hint) {
	d := c.dispatcher
	if !h.ask && c.believe(&h) {
		return
	}
	r, state, err := c.stateFor(ctx, &h)
	if err != nil {
		c.lost(err)
		return
	}
	d.grown(h.room, state.Head)
	if r == nil || r.raise(state.Head) {
		return
	}
	if len(h.entries) > 0 {
		c.believe(&h) // now that the rights are known
	}
	head := r.head.Load()
	if head >= state.Head {
		return
	}
	missing, _, _, err := d.store.readPast(ctx, r.name, r.missingPage(head, state.Head))
	if err != nil {
		c.lost(fmt.Errorf("read what another writer appended to %s: %w", r.name, err))
		return
	}
	c.deaf = false
	r.publishMissing(missing, head, state.Head)
	if r.head.Load() < state.Head {
		c.inbox.putHint(hint{room: r.name, seq: state.Head})
	}
}

// stateFor returns what the store says about the room of a hint. It asks the store, unless
// that has been done, and nothing is known to have come since.
func (c *committer) stateFor(ctx context.Context, h *hint) (*Room, store.Room, error) {
	d := c.dispatcher
	if r := d.Peek(h.room); r != nil && h.state != nil && !h.ask && h.state.Head >= h.seq {
		return r, *h.state, nil
	}
	d.counts.asked.Add(1)
	return d.stored(ctx, h.room)
}

// believe publishes what a hint has of what follows the head. It reports whether nothing
// is left to be asked of the store.
//
// Like follow it must run in the committer.
func (c *committer) believe(h *hint) bool {
	r := c.dispatcher.Peek(h.room)
	if r == nil {
		return false
	}
	if entries := r.following(h.entries); len(entries) > 0 && !r.isUnread() {
		c.publishHinted(r, entries)
		c.dispatcher.grown(r.name, r.head.Load())
	}
	return !r.noteHint(h.seq)
}

// publishHinted publishes entries of a hint, which follow the head.
func (c *committer) publishHinted(r *Room, entries []store.Entry) {
	c.dispatcher.counts.believed.Add(uint64(len(entries)))
	r.store.attributeAll(entries)
	r.publish(entries)
}

// following returns those of consecutive entries that follow the head, or nothing if some
// are missing between.
func (r *Room) following(entries []store.Entry) []store.Entry {
	head := r.head.Load()
	for len(entries) > 0 && entries[0].Seq <= head {
		entries = entries[1:]
	}
	if len(entries) == 0 || entries[0].Seq != head+1 {
		return nil
	}
	return entries
}

// grown says that a room has entries up to a seq.
func (d *Dispatcher) grown(room kaban.RoomName, seq uint64) {
	if d.onGrown != nil {
		d.onGrown(room, seq)
	}
}

// lost logs that a hint could not be followed, once until one can.
func (c *committer) lost(err error) {
	if !c.deaf {
		c.deaf = true
		c.dispatcher.options.Log.Error("the store failed; messages of other nodes appear late", "err", err)
	}
	c.checkBroken(err)
}

// missingPage asks for the entries after the head up to the given one.
func (r *Room) missingPage(head, to uint64) store.Page {
	return store.Page{After: head, Before: to + 1, Limit: r.pageEntries, Bytes: pageBytes}
}

// publishMissing publishes entries that were read after the head. Whatever the
// log has forgotten, or cannot read, of those up to the given one is skipped.
func (r *Room) publishMissing(missing []store.Entry, head, to uint64) {
	if len(missing) == 0 {
		r.restart(to)
		return
	}
	if first := missing[0].Seq; first != head+1 {
		r.restart(first - 1)
	}
	r.publish(missing)
}
