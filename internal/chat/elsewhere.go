package chat

import (
	"context"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// revisedElsewhere ends the subscriptions to a room whose holders may not have them any more,
// because another node has changed the rights in the room: those that may not read it, and those
// of accounts that were members and are not. It returns false if that cannot be found out; then
// everybody stays until the next time.
func (c *Chat) revisedElsewhere(r *dispatch.Room) bool {
	readers := r.Readers()
	gone := make(map[dispatch.Reader]bool)
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) error {
		clear(gone)
		for _, reader := range readers {
			stays, err := c.mayStay(tx, r, reader)
			if err != nil {
				return err
			}
			if !stays {
				gone[reader] = true
			}
		}
		return nil
	})
	if err != nil {
		return false
	}
	if len(gone) > 0 {
		c.dispatcher.Expel(r, reasonGone, func(reader dispatch.Reader) bool { return gone[reader] })
	}
	return true
}

// mayStay reports whether a subscription may go on. One of an account that does not just watch is
// the connection of a membership.
func (c *Chat) mayStay(tx store.Tx, r *dispatch.Room, reader dispatch.Reader) (bool, error) {
	s, err := User{chat: c, peer: reader.Peer}.scene(tx, r.Name(), true, !reader.Watches)
	if err != nil || access.Can(access.Read, s.Facts) != access.Allowed {
		return false, err
	}
	account, _ := kaban.AuthorOf(reader.Peer.ID())
	if account == "" || reader.Watches {
		return true, nil
	}
	_, in, err := people.Members.Find(tx, r.Name().Key(), account)
	return in, err
}
