package chat

import (
	"cmp"
	"context"
	"slices"

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
		func() error { return c.passing(c.readRooms(ctx)) },
		func() error { return c.erasedMissed(ctx) },
		func() error { return c.cutsMissed(ctx) },
	} {
		if err := look(); err != nil {
			return err
		}
	}
	for _, r := range c.dispatcher.InUse() {
		if err := c.revisedElsewhere(r); err != nil {
			return err
		}
	}
	for _, account := range accounts {
		c.tell(account, kaban.RoomName{})
	}
	return nil
}

// goneMissed ends the connections of those of some accounts that may not be connected any more.
func (c *Chat) goneMissed(ctx context.Context, accounts []string) error {
	for batch := range slices.Chunk(accounts, maxBatch) {
		var gone []string
		damaged, err := severally(batch, func(some []string) error {
			active, err := c.areActive(ctx, some)
			for i := range active {
				if !active[i] {
					gone = append(gone, some[i])
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, account := range append(gone, damaged...) {
			c.Revoke(account, "")
		}
	}
	return nil
}

// areActive reports whether there are accounts that may be connected, and whose owners may, if they are bots.
func (c *Chat) areActive(ctx context.Context, ids []string) (active []bool, err error) {
	var accounts, owners []people.Account
	err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if accounts, err = people.Accounts.FindAll(tx, ids); err != nil {
			return err
		}
		of := make([]string, len(ids))
		for i := range accounts {
			of[i] = cmp.Or(accounts[i].Owner, ids[i])
		}
		owners, err = people.Accounts.FindAll(tx, of)
		return err
	})
	if err != nil {
		return nil, err
	}
	active = make([]bool, len(ids))
	for i := range active {
		active[i] = accounts[i].Status == people.StatusActive && owners[i].Status == people.StatusActive
	}
	return active, nil
}

// visitorsMissed ends the connections of visitors whose names accounts have.
func (c *Chat) visitorsMissed(ctx context.Context) error {
	var gone []kaban.Username
	damaged, err := severally(c.names.Visitors(), func(some []kaban.Username) error {
		var have []kaban.Username
		err := c.dispatcher.View(ctx, func(tx store.Tx) error {
			have = nil
			for _, name := range some {
				alike, err := people.Accounts.Like(tx, name, 1)
				if err != nil {
					return err
				}
				if len(alike) > 0 {
					have = append(have, name)
				}
			}
			return nil
		})
		if err == nil {
			gone = append(gone, have...)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range append(gone, damaged...) {
		c.names.RevokeLike(name)
	}
	return nil
}

// documentsMissed has everything take effect that there is of some accounts beside themselves, of rooms that this
// node does not know or does not list, and of pushes.
func (c *Chat) documentsMissed(ctx context.Context, accounts []string) error {
	all := newChanged()
	for _, account := range accounts {
		all.secrets[account] = true
	}
	_, err := severally(accounts, func(some []string) error {
		return c.dispatcher.View(ctx, func(tx store.Tx) error {
			for _, account := range some {
				if err := people.Members.RoomsOf(tx, account, func(room string) {
					all.members[people.Subject{Kind: people.SubjectMember, Room: room, Account: account}] = true
				}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	unlisted := c.unlisted()
	for _, look := range []func(store.Tx) error{
		func(tx store.Tx) error {
			return people.Rooms.Each(tx, nil, func(_ []string, r *people.Room) {
				if r == nil || r.Kind != kaban.RoomPublic {
					return
				}
				if name, err := kaban.ParseAnyRoom(r.Name); err == nil && (c.dispatcher.Peek(name) == nil || unlisted[r.Key]) {
					all.rooms[r.Key] = false
				}
			})
		},
		func(tx store.Tx) error {
			return people.Pushes.Each(tx, nil, func(_ []string, p *people.Push) {
				if p != nil {
					all.pushes[people.Subject{Kind: people.SubjectPush, Account: p.Account, ID: p.ID}] = true
				}
			})
		},
	} {
		if err := c.passing(c.dispatcher.View(ctx, look)); err != nil {
			return err
		}
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
