package chat

import (
	"context"
	"crypto/rand"
	"errors"

	"kaban"
	"kaban/internal/access"
)

// Grant makes an account a member of a room because a group of single sign-on says so,
// or ends such a membership: the owner's settings decide it, so nobody else is asked. It
// is an entry of the room. It does nothing if there is no such room, if it is a direct
// one, and where the account is banned. A group lets nobody into a private room: only its
// ops do, and the settings are not theirs.
func (c *Chat) Grant(ctx context.Context, member kaban.Username, room kaban.RoomName, group string, joins bool) error {
	by := c.Operator()
	by.grants = !joins
	act := Act{Action: access.Kick, Room: room, Subject: member, Reason: "single sign-on"}
	if joins {
		act = Act{Action: access.Invite, Room: room, Subject: member, group: group}
	}
	return settled(by.do(ctx, act))
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
