package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// changedAll is changedElsewhere where it is not known what has changed. What it costs grows with the
// people that are connected here, their memberships and the rooms, but not with people times rooms.
func (c *Chat) changedAll(ctx context.Context) error {
	_ = c.settingElsewhere(ctx, people.SettingRetention) // which reads the others, too
	if c.unread.Load() {
		return store.ErrUnavailable
	}
	accounts := c.online()
	for _, look := range []func() error{
		func() error { return c.goneMissed(ctx, accounts) },
		func() error { return c.visitorsMissed(ctx) },
		func() error { return c.documentsMissed(ctx, accounts) },
		func() error { return c.visits.takenAll(ctx) },
		func() error { return c.readRooms(ctx) },
	} {
		if err := look(); err != nil {
			return err
		}
	}
	for _, r := range c.dispatcher.InUse() {
		if !c.revisedElsewhere(r) {
			return store.ErrUnavailable
		}
	}
	for _, account := range accounts {
		c.tell(account, kaban.RoomName{})
	}
	return nil
}

// goneMissed ends the connections of those of some accounts that may not be connected any more.
func (c *Chat) goneMissed(ctx context.Context, accounts []string) error {
	var gone []string
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		gone = nil
		for _, id := range accounts {
			active, err := isActive(tx, id)
			if isUnanswered(err) {
				return err
			}
			if err != nil || !active { // it is not known whether it may stay
				gone = append(gone, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, account := range gone {
		c.Revoke(account, "")
	}
	return nil
}

// isActive reports whether there is an account that may be connected, and so may its owner if it is a bot.
func isActive(tx store.Tx, id string) (bool, error) {
	a, err := people.Accounts.Get(tx, id)
	if err == nil && a.Owner != "" && a.Status == people.StatusActive {
		a, err = people.Accounts.Get(tx, a.Owner)
	}
	if errors.Is(err, people.ErrNotFound) {
		return false, nil
	}
	return err == nil && a.Status == people.StatusActive, err
}

// visitorsMissed ends the connections of visitors whose names accounts have.
func (c *Chat) visitorsMissed(ctx context.Context) error {
	visitors := c.names.Visitors()
	var gone []kaban.Username
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		gone = nil
		for _, name := range visitors {
			alike, err := people.Accounts.Like(tx, name, 1)
			if isUnanswered(err) {
				return err
			}
			if err != nil || len(alike) > 0 {
				gone = append(gone, name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range gone {
		c.names.RevokeLike(name)
	}
	return nil
}

// documentsMissed has everything take effect that there is of some accounts beside themselves, of rooms that this
// node does not know or does not list, and of pushes.
func (c *Chat) documentsMissed(ctx context.Context, accounts []string) error {
	all := newChanged()
	unlisted := c.unlisted()
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		clear(all.rooms)
		clear(all.members)
		clear(all.pushes)
		var failed error
		for _, account := range accounts {
			all.secrets[account] = true
			err := people.Members.AllOf(tx, account, func(m *people.Member) bool {
				all.members[people.Subject{Kind: people.SubjectMember, Room: m.Room, Account: m.Account}] = true
				return true
			})
			failed = errors.Join(failed, err)
		}
		return errors.Join(failed,
			people.Rooms.All(tx, func(r *people.Room) bool {
				if name, err := kaban.ParseAnyRoom(r.Name); err == nil && r.Kind == kaban.RoomPublic {
					if c.dispatcher.Peek(name) == nil || unlisted[r.Key] {
						all.rooms[r.Key] = false
					}
				}
				return true
			}),
			people.Pushes.All(tx, func(p *people.Push) bool {
				all.pushes[people.Subject{Kind: people.SubjectPush, Account: p.Account, ID: p.ID}] = true
				return true
			}))
	})
	if isUnanswered(err) {
		return err
	}
	return c.changedElsewhere(ctx, all)
}

// unlisted returns the keys of the rooms that this node knows and does not list.
func (c *Chat) unlisted() map[string]bool {
	const page = 1000
	keys := make(map[string]bool)
	for after, more := "", true; more; {
		var names []kaban.RoomName
		names, more = c.dispatcher.Unlisted(after, page)
		for _, name := range names {
			keys[name.Key()], after = true, name.String()
		}
	}
	return keys
}
