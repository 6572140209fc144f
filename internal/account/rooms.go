package account

import (
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// UnknownRoomError says that a room does not exist, as far as the actor may know.
type UnknownRoomError struct{ Room string }

func (e *UnknownRoomError) Error() string {
	return fmt.Sprintf("there is no room %s; create it first, or leave it out", e.Room)
}

// knowsRoom returns nil if a room exists and the actor may know of it. f are the facts
// about the actor. It returns an *UnknownRoomError.
func (c *change) knowsRoom(f access.Facts, room string) error {
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		return err
	}
	known, stored, err := people.Rooms.Known(c.Tx, name)
	if err != nil {
		return err
	}
	if !stored && name.String() != kaban.Lobby {
		switch head, err := c.Head(name); {
		case err != nil:
			return err
		case head == 0:
			return &UnknownRoomError{room}
		}
	}
	f.Room, f.Membership = access.NewRoom(known.Kind, known.Flags, false), access.Membership{Standing: access.Good}
	if !c.by.Operator {
		actor := c.by.Principal.Account
		if f.Membership, err = c.membership(known.Key, actor.ID); err != nil {
			return err
		}
		if actor.Bot {
			owner := f
			if owner.Membership, err = c.membership(known.Key, actor.Owner); err != nil {
				return err
			}
			f = access.Limit(f, owner)
		}
	}
	if access.Can(access.Know, f) != access.Allowed {
		return &UnknownRoomError{room}
	}
	return nil
}

// membership returns the place of an account in a room.
func (c *change) membership(room, account string) (access.Membership, error) {
	m := access.Membership{Standing: access.Good}
	member, in, err := people.Members.Find(c.Tx, room, account)
	if err != nil {
		return access.Membership{}, err
	}
	if in {
		m.Role = member.Role
	}
	banned, muted, err := people.Restricted(c.Tx, room, kaban.Account(account, kaban.Username{}).ID(), c.now)
	switch {
	case err != nil:
		return access.Membership{}, err
	case banned:
		m.Standing = access.Banned
	case muted:
		m.Standing = access.Muted
	}
	return m, nil
}
