package chat

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// revisedElsewhere ends the subscriptions to a room whose holders may not have them any more,
// because another node has changed the rights in the room: those that may not read it, and those
// of accounts that were members and are not. It returns an error if the store does not say so; then
// everybody stays until the next time.
func (c *Chat) revisedElsewhere(r *dispatch.Room) error {
	gone, err := c.withoutRight(context.Background(), r, r.Readers(), c.mayStay)
	if err != nil || len(gone) == 0 {
		return err
	}
	named := c.expelledBy(r)
	for _, reason := range []string{people.ChangeKicked, people.ChangeBanned, reasonGone} {
		c.dispatcher.Expel(r, reason, func(reader dispatch.Reader) bool {
			return gone[reader] && cmp.Or(named[reader.Peer.Identity.Name().Key()], reasonGone) == reason
		})
	}
	return nil
}

// withoutRight returns those readers of a room that have no right to it, as a function says. One whose documents are
// damaged has none, which is logged; the error is that of a store that does not answer.
func (c *Chat) withoutRight(ctx context.Context, r *dispatch.Room, readers []dispatch.Reader, has func(store.Tx, *dispatch.Room, dispatch.Reader) (bool, error)) (map[dispatch.Reader]bool, error) {
	gone := make(map[dispatch.Reader]bool)
	var damage error
	damaged, err := severally(readers, func(some []dispatch.Reader) error {
		var without []dispatch.Reader
		err := c.dispatcher.View(ctx, func(tx store.Tx) error {
			without = nil
			for _, reader := range some {
				right, err := has(tx, r, reader)
				if err != nil {
					return err
				}
				if !right {
					without = append(without, reader)
				}
			}
			return nil
		})
		if err != nil {
			damage = err
			return err
		}
		for _, reader := range without {
			gone[reader] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(damaged) > 0 {
		c.pushes.log.Error("cannot read what people may do in a room, so they leave it; \"kaban check\" says what is damaged", "room", r.Name(), "people", len(damaged), "err", damage)
	}
	for _, reader := range damaged {
		gone[reader] = true
	}
	return gone, nil
}

// severally looks at subjects all at once; or, where something is damaged, at ever fewer at a time, so that it counts
// for none but its own subject. It returns the subjects at which no look succeeds, and any other error, after
// which nothing is known. look must undo what it has done when it fails.
func severally[S any](subjects []S, look func([]S) error) (damaged []S, err error) {
	switch err := look(subjects); {
	case err == nil:
		return nil, nil
	case !errors.Is(err, store.ErrDamaged):
		return nil, err
	case len(subjects) <= 1:
		return subjects, nil
	}
	half := len(subjects) / 2
	first, err := severally(subjects[:half], look)
	if err != nil {
		return nil, err
	}
	rest, err := severally(subjects[half:], look)
	return slices.Concat(first, rest), err
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
	may, err := c.mayRead(tx, r, reader)
	account, _ := kaban.AuthorOf(reader.Peer.ID())
	if err != nil || !may || account == "" || reader.Watches {
		return may, err
	}
	return c.isMember(tx, r, reader)
}

// mayRead reports whether a reader may read a room.
func (c *Chat) mayRead(tx store.Tx, r *dispatch.Room, reader dispatch.Reader) (bool, error) {
	s, err := User{chat: c, peer: reader.Peer}.scene(tx, r.Name(), true, !reader.Watches)
	return err == nil && access.Can(access.Read, s.Facts) == access.Allowed, err
}

// isMember reports whether the account of a reader is a member of a room.
func (c *Chat) isMember(tx store.Tx, r *dispatch.Room, reader dispatch.Reader) (bool, error) {
	account, _ := kaban.AuthorOf(reader.Peer.ID())
	if account == "" {
		return false, nil
	}
	_, in, err := people.Members.Find(tx, r.Name().Key(), account)
	return in, err
}
