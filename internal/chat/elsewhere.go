package chat

import (
	"cmp"
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
	if len(gone) == 0 {
		return true
	}
	named := c.expelledBy(r)
	for _, reason := range []string{people.ChangeKicked, people.ChangeBanned, reasonGone} {
		c.dispatcher.Expel(r, reason, func(reader dispatch.Reader) bool {
			return gone[reader] && cmp.Or(named[reader.Peer.Identity.Name().Key()], reasonGone) == reason
		})
	}
	return true
}

// expelledBy returns why other nodes have just thrown people out of a room, by the keys of their names, as the
// entries say that nobody has read here yet.
func (c *Chat) expelledBy(r *dispatch.Room) map[string]string {
	coming, err := c.dispatcher.Coming(context.Background(), r)
	if err != nil {
		return nil // that they have to go is known, and is enough
	}
	reasons := make(map[string]string)
	for i := range coming {
		if coming[i].Kind != kaban.KindMember {
			continue
		}
		change, err := people.DecodeChange[people.MemberChange](coming[i].Content)
		if err != nil {
			continue
		}
		if name, err := kaban.ParseUsername(change.Subject); err == nil && (change.Change == people.ChangeKicked || change.Change == people.ChangeBanned) {
			reasons[name.Key()] = change.Change
		}
	}
	return reasons
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
