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

// CannotInviteError says that an invite would let nobody into a room.
type CannotInviteError struct {
	Room    string
	Private bool
}

func (e *CannotInviteError) Error() string {
	if e.Private {
		return fmt.Sprintf("only an op of the private room %s invites to it, and you are none; leave the room out, and have an op invite people when they have their accounts", e.Room)
	}
	return fmt.Sprintf("you cannot invite to the room %s now: it is archived, or you are banned from it; leave it out", e.Room)
}

// invitesTo returns nil if an invite of the actor for accounts with a role lets them into
// a room. f are the facts about the actor. It returns an *UnknownRoomError or a
// *CannotInviteError.
func (c *change) invitesTo(f access.Facts, room string, role kaban.Role) error {
	f, kind, err := c.knowsRoom(f, room)
	if err != nil {
		return err
	}
	f.Target = access.Target{Whom: access.Other, Role: role, Reachable: true, Standing: access.Good}
	if access.Can(access.Invite, f) != access.Allowed {
		return &CannotInviteError{room, kind == kaban.RoomPrivate}
	}
	return nil
}

// knowsRoom returns the facts about the actor in a room that exists and that it may know
// of, and the kind of the room. f are those about the actor. It returns an *UnknownRoomError.
func (c *change) knowsRoom(f access.Facts, room string) (access.Facts, kaban.RoomKind, error) {
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		return f, 0, err
	}
	known, stored, err := people.Rooms.Known(c.Tx, name)
	if err != nil {
		return f, 0, err
	}
	if !stored && name.String() != kaban.Lobby {
		switch head, err := c.Head(name); {
		case err != nil:
			return f, 0, err
		case head == 0:
			return f, 0, &UnknownRoomError{room}
		}
	}
	f.Room, f.Membership = access.NewRoom(known.Kind, known.Flags, false), access.Membership{Standing: access.Good}
	if !c.by.Operator {
		actor := c.by.Principal.Account
		if f.Membership, err = c.membership(known.Key, actor.ID); err != nil {
			return f, 0, err
		}
		if actor.Bot {
			owner := f
			if owner.Membership, err = c.membership(known.Key, actor.Owner); err != nil {
				return f, 0, err
			}
			f = access.Limit(f, owner)
		}
	}
	if access.Can(access.Know, f) != access.Allowed {
		return f, 0, &UnknownRoomError{room}
	}
	return f, known.Kind, nil
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
