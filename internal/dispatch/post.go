package dispatch

import (
	"context"
	"fmt"

	"kaban"
)

// Post stores a send without a subscription. It returns when the entry is stored
// and published, or refused with the receipt's error. The room is made if need be;
// like Join, Post returns ErrTooManyRooms and a *LookalikeError. It returns
// store.ErrStale if the send is checked and the rights have changed. If ctx ends
// first Post returns its cause, and the entry may be stored all the same: posting it
// again with the same id shows which. done is called once, when the entry is stored
// or never will be, which may be after Post has returned. The committer may call it
// with its lock held, so it must not call the dispatcher.
func (d *Dispatcher) Post(ctx context.Context, send Send, done func()) (Receipt, error) {
	room := send.Draft.Room
	if err := d.openForPost(ctx, room, send.Terms != nil && send.Terms.Unlisted); err != nil {
		done()
		return Receipt{}, err
	}
	receipts := make(chan Receipt, 1)
	send.posted = func(r Receipt) {
		if r.Err != nil {
			d.forgetUnused(room)
		}
		done()
		receipts <- r
	}
	send.at = d.clock()
	c := d.committerOf(room)
	if !c.inbox.put([]Send{send}) {
		d.forgetUnused(room)
		done()
		return Receipt{}, ErrClosed
	}
	if d.inline {
		c.commitQueued()
	}
	select {
	case r := <-receipts:
		return r, r.Err
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
}

// openForPost makes the room of a post, unless it is there. It asks the store
// about a room that this dispatcher does not know.
func (d *Dispatcher) openForPost(ctx context.Context, name kaban.RoomName, unlisted bool) error {
	if d.Peek(name) != nil {
		return nil
	}
	state, err := d.store.Room(ctx, name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", name, err)
	}
	looks := name.Looks()
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.openLocked(state, name, looks)
	if err == nil && unlisted && state.Head == 0 {
		d.unlistLocked(r)
	}
	return err
}
