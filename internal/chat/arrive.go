package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Arrivals knows the rooms that new accounts are to join; package account does.
type Arrivals interface {
	// PendingRooms returns the names of the rooms, none if RoomsJoined was called.
	PendingRooms(ctx context.Context, account string) ([]string, error)
	// RoomsJoined records that the account has joined them.
	RoomsJoined(ctx context.Context, account string) error
}

// Welcome makes a new account a member of the rooms that wait for it: of those that it
// may join by itself, and of others if whoever made the account, or the invite to it, may
// invite to them now. It leaves out the others. Call it after every sign-in; it does
// nothing for an account that has arrived. It blocks until all is stored.
func (c *Chat) Welcome(ctx context.Context, arrivals Arrivals, a people.Account) error {
	rooms, err := arrivals.PendingRooms(ctx, a.ID)
	if err != nil || len(rooms) == 0 {
		return err
	}
	id, err := a.Identity()
	if err != nil {
		return err
	}
	newcomer := c.With(id, netip.Addr{}, nil)
	for _, text := range rooms {
		room, err := kaban.ParseRoomName(text)
		if err != nil {
			continue // a setting of an older version
		}
		_, err = c.dispatcher.Lookup(ctx, room)
		if err == nil {
			err = newcomer.enter(ctx, room)
		}
		if isDenied(err) {
			err = c.inviteFor(ctx, a.Creator, room, id.Name())
		}
		if err != nil && !isDenied(err) {
			return c.count(err)
		}
	}
	return arrivals.RoomsJoined(ctx, a.ID)
}

// isDenied reports whether an error says that somebody may not do something, or that
// there is nothing to do it to.
func isDenied(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrNotJoined) || errors.Is(err, ErrAuthRequired)
}

// inviteFor invites a newcomer on behalf of an account; an empty id is the operator.
func (c *Chat) inviteFor(ctx context.Context, inviter string, room kaban.RoomName, newcomer kaban.Username) error {
	by := c.Operator()
	if inviter != "" {
		var a people.Account
		err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			a, err = people.Accounts.Get(tx, inviter)
			return err
		})
		if errors.Is(err, people.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		id, err := a.Identity()
		if err != nil {
			return err
		}
		by = c.With(id, netip.Addr{}, nil)
	}
	return by.do(ctx, Act{Action: access.Invite, Room: room, Subject: newcomer})
}

// do commits an act with an id of its own.
func (u User) do(ctx context.Context, act Act) (err error) {
	if act.ID, err = kaban.ParseMessageID("server-" + rand.Text()); err != nil {
		return err
	}
	send, err := u.Act(nil, 0, act)
	if err != nil {
		return err
	}
	receipt, err := u.Commit(ctx, send)
	return errors.Join(err, receipt.Err)
}

// Grant makes an account a member of a room because a group of single sign-on says so,
// or ends such a membership: the owner's settings decide it, so nobody else is asked. It
// is an entry of the room. It does nothing if there is no such room or if it is a direct
// one, and where the account is banned.
func (c *Chat) Grant(ctx context.Context, member kaban.Username, room kaban.RoomName, group string, joins bool) error {
	by := c.Operator()
	by.grants = true
	act := Act{Action: access.Kick, Room: room, Subject: member, Reason: "single sign-on"}
	if joins {
		act = Act{Action: access.Invite, Room: room, Subject: member, group: group}
	}
	if err := by.do(ctx, act); err != nil && !isDenied(err) {
		return err
	}
	return nil
}
