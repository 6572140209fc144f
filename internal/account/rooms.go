package account

import (
	"fmt"
	"slices"

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
	known, err := c.storedRoom(name, room)
	if err != nil {
		return f, 0, err
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

// storedRoom returns a room that exists, which the actor calls asked. It returns an
// *UnknownRoomError.
func (c *change) storedRoom(name kaban.RoomName, asked string) (people.Room, error) {
	known, stored, err := people.Rooms.Known(c.Tx, name)
	if err != nil || stored || name.String() == kaban.Lobby {
		return known, err
	}
	head, err := c.Head(name)
	if err == nil && head == 0 {
		err = &UnknownRoomError{asked}
	}
	return known, err
}

// roomsOf returns the keys of the rooms with these names, if an account may know of them all, or
// the owner of a bot, because it takes its bot there later. It returns an *UnknownRoomError.
func (c *change) roomsOf(a *people.Account, names []string) (keys []string, err error) {
	for _, asked := range names {
		name, err := kaban.ParseAnyRoom(asked)
		if err != nil {
			return nil, err
		}
		room, err := c.storedRoom(name, asked)
		if err != nil {
			return nil, err
		}
		known, err := c.mayKnow(a, &room)
		if err == nil && !known && a.Bot {
			known, err = c.ownerKnows(a, &room)
		}
		if err == nil && !known {
			err = &UnknownRoomError{asked}
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(keys, room.Key) {
			keys = append(keys, room.Key)
		}
	}
	return keys, nil
}

// mayKnow reports whether an account that is in use may know of a room.
func (c *change) mayKnow(a *people.Account, room *people.Room) (bool, error) {
	f, err := c.factsIn(a, room)
	if err == nil && a.Bot {
		var owner access.Facts
		if owner, err = c.ownerFactsIn(a, room); err == nil {
			f = access.Limit(f, owner)
		}
	}
	return access.Can(access.Know, f) == access.Allowed, err
}

// ownerKnows reports whether the owner of a bot may know of a room.
func (c *change) ownerKnows(bot *people.Account, room *people.Room) (bool, error) {
	f, err := c.ownerFactsIn(bot, room)
	return access.Can(access.Know, f) == access.Allowed, err
}

// ownerFactsIn returns the facts about the owner of a bot in a room.
func (c *change) ownerFactsIn(bot *people.Account, room *people.Room) (access.Facts, error) {
	owner, err := people.Accounts.Get(c.Tx, bot.Owner)
	if err != nil {
		return access.Facts{}, err
	}
	return c.factsIn(&owner, room)
}

// factsIn returns the facts about an account in a room, as if it were in use. Those about a
// bot do not count its owner; see access.Limit.
func (c *change) factsIn(a *people.Account, room *people.Room) (f access.Facts, err error) {
	if f.Server, err = serverFacts(c.Tx); err != nil {
		return f, err
	}
	f.Room = access.NewRoom(room.Kind, room.Flags, false)
	f.Who = access.Identity{Role: a.Role, Active: true, Named: true, Person: !a.Bot, Reach: access.ReachServer}
	f.Membership, err = c.membership(room.Key, a.ID)
	return f, err
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
