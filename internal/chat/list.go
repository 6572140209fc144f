package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// RoomsNow is Rooms without asking the store, or false if that takes Rooms. It never
// blocks.
func (u User) RoomsNow(after string, limit int) (rooms []Room, more, ok bool) {
	if u.account() != "" || u.isHook() || !u.chat.isOpen() || u.can(access.Know, true, false) != nil {
		return nil, false, false
	}
	rooms, more = u.chat.dispatcher.Rooms(sortedAs(after), limitOr(limit, defaultNames))
	return rooms, more, true
}

// sortedAs returns a name as rooms are sorted by it: in lower case and normalized. What is
// no name of a room stays as it is, and has its place among them all the same.
func sortedAs(name string) string {
	if room, err := kaban.ParseAnyRoom(name); err == nil {
		return room.String()
	}
	return name
}

// Rooms returns up to limit rooms (0 is 500) whose names sort after a name, in whichever
// spelling, and whether there are more: the public rooms that the user may know of, and the
// private ones that it is in. What it does grows with the page and with what the user is in,
// and does not depend on rooms that the user may not know of. It may block while the store
// is asked. It returns ErrAuthRequired and ErrForbidden.
func (u User) Rooms(ctx context.Context, after string, limit int) (rooms []Room, more bool, err error) {
	if rooms, more, ok := u.RoomsNow(after, limit); ok {
		return rooms, more, nil
	}
	limit = limitOr(limit, defaultNames)
	all, own, err := u.roomsAfter(ctx, sortedAs(after), limit+1)
	if err != nil {
		return nil, false, u.chat.count(err)
	}
	theirs, err := u.stillKnown(ctx, own)
	if err != nil {
		return nil, false, u.chat.count(err)
	}
	all = append(all, theirs...)
	slices.SortFunc(all, compareRooms)
	if more = len(all) > limit; more {
		all = all[:limit]
	}
	return all, more, nil
}

// stillKnown returns rooms that the user knew of, but those that the user was thrown out of before
// they were looked at: their heads may be from afterwards.
func (u User) stillKnown(ctx context.Context, names []kaban.RoomName) (rooms []Room, err error) {
	for _, name := range names {
		switch state, err := u.chat.dispatcher.Room(ctx, name); {
		case err == nil:
			rooms = append(rooms, state)
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	if len(rooms) == 0 {
		return nil, nil
	}
	var known []Room
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		known = make([]Room, 0, len(rooms))
		for _, room := range rooms {
			s, err := u.scene(tx, room.Name, true, false)
			if err != nil {
				return err
			}
			switch err := refusalOf(access.Can(access.Know, s.Facts), access.Know); {
			case err == nil:
				known = append(known, room)
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return nil
	})
	return known, err
}

func compareRooms(a, b Room) int { return strings.Compare(a.Name.String(), b.Name.String()) }

// roomsAfter returns the first rooms after a name, up to limit of each: those that are
// listed for everybody, if the user may know of them, and others.
func (u User) roomsAfter(ctx context.Context, after string, limit int) (listed []Room, own []kaban.RoomName, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		listed, own = nil, nil
		self, err := u.scene(tx, kaban.RoomName{}, false, false)
		if err != nil {
			return err
		}
		if u.credential != nil && u.credential.Rooms != nil {
			own, err = u.roomsInReach(tx, after)
			return err
		}
		facts := self.Facts
		facts.Room, facts.Membership = access.NewRoom(kaban.RoomPublic, 0, false), access.Membership{Standing: access.Good}
		more := false
		switch err := refusalOf(access.Can(access.Know, facts), access.Know); {
		case err == nil:
			listed, more = u.chat.dispatcher.Rooms(after, limit)
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if u.account() != "" {
			own, err = u.roomsOf(tx, &self, after, limit, listed, more)
		}
		return err
	})
	return listed, own, err
}

// beyondDirect sorts behind the names of direct rooms, and before those of rooms that
// sort behind them.
const beyondDirect = "@~"

// roomsOf returns the first rooms after a name, up to limit, that the account is in.
// Direct rooms are in no list, and those in listed are left out. If there are more of
// these, rooms that sort behind the last one are of another page.
func (u User) roomsOf(tx store.Tx, self *scene, after string, limit int, listed []Room, more bool) (own []kaban.RoomName, err error) {
	for from, rest := after, true; rest; {
		var members []people.Member
		if members, rest, err = people.Members.Of(tx, u.account(), from, min(limit, defaultNames)); err != nil {
			return nil, err
		}
		for i := range members {
			m := &members[i]
			from = m.Name
			name, err := kaban.ParseAnyRoom(m.Name)
			if err != nil {
				return nil, fmt.Errorf("name of a room: %w", err)
			}
			if name.IsDirect() {
				from, rest = beyondDirect, true
				break
			}
			i, found := slices.BinarySearchFunc(listed, m.Name, func(r Room, name string) int { return strings.Compare(r.Name.String(), name) })
			if more && i == len(listed) || len(own) == limit {
				return own, nil
			}
			if found || m.Name <= after {
				continue
			}
			knows, err := u.knows(tx, self, name, m)
			if err != nil {
				return nil, err
			}
			if knows {
				own = append(own, name)
			}
		}
	}
	return own, nil
}

// roomsInReach returns the rooms after a name to which the credential is bound, sorted,
// but for direct ones and private ones that the account is not in.
func (u User) roomsInReach(tx store.Tx, after string) (own []kaban.RoomName, err error) {
	for _, key := range u.credential.Rooms {
		name, err := kaban.ParseAnyRoom(key)
		if err != nil || name.IsDirect() {
			continue
		}
		r := u.chat.dispatcher.Peek(name)
		if r == nil || r.Name().String() <= after {
			continue
		}
		s, err := u.scene(tx, name, true, false)
		if err != nil {
			return nil, err
		}
		if access.Can(access.Know, s.Facts) == access.Allowed && (s.room.Kind == kaban.RoomPublic || s.Membership.Role != 0) {
			own = append(own, r.Name())
		}
	}
	return own, nil
}

// knows reports whether the user may know of a room that it is in.
func (u User) knows(tx store.Tx, self *scene, name kaban.RoomName, m *people.Member) (bool, error) {
	s := *self
	var err error
	if self.account.Bot { // its owner counts as well
		s, err = u.scene(tx, name, true, false)
	} else if err = readRoom(tx, &s, name, true); err == nil {
		s.Membership.Role = m.Role
		s.Membership.Standing, err = u.chat.standing(tx, s.room.Key, accountIdentity(m.Account))
	}
	in := s.room.Kind == kaban.RoomPublic || s.Membership.Role != 0 // an admin's bot is not in it without its owner
	return err == nil && in && access.Can(access.Know, s.Facts) == access.Allowed, err
}
