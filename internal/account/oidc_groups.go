package account

import (
	"slices"

	"kaban"
	"kaban/internal/people"
)

// RoomChange is a membership that groups give or take away. It is an entry in the log
// of the room, so the caller makes it. One that is not made is asked for again at the
// next sign-in.
type RoomChange struct {
	Room    kaban.RoomName
	Account string
	Group   string // for people.Member.Group of a new membership
	Join    bool   // otherwise the membership ends
}

// roleOf returns the greatest role that groups give; 0 is none.
func (set *providerSettings) roleOf(groups []string) (role kaban.Role) {
	for _, g := range set.groups {
		if g.role > role && slices.Contains(groups, g.group) {
			role = g.role
		}
	}
	return role
}

// applyGroups gives an account the role of its groups, takes away what a group gave
// before, and returns the changes of rooms. What somebody else gave stays.
func (c *change) applyGroups(set *providerSettings, a *people.Account, data *people.ProviderIdentity, who identity) ([]RoomChange, error) {
	if who.groupsUnknown {
		return nil, nil
	}
	base := a.Role
	if a.Role == data.Given {
		base = data.Before
	}
	role, given, before := base, kaban.Role(0), kaban.Role(0)
	if by := set.roleOf(who.groups); by > base {
		role, given, before = by, by, base
	}
	if role < kaban.RoleOwner && a.Role == kaban.RoleOwner {
		other, err := otherOwner(c.Tx, a.ID)
		if err != nil {
			return nil, err
		}
		if !other { // the last owner stays one
			role, given, before = a.Role, data.Given, data.Before
		}
	}
	data.Given, data.Before = given, before
	groups := set.effective(who.groups)
	if role != a.Role {
		if err := c.audit(people.AuditAccountRole, a.Username, role.String()+" by a group"); err != nil {
			return nil, err
		}
		c.changed(a.ID)
	}
	if role != a.Role || !slices.Equal(groups, a.Groups) {
		a.Role, a.Groups = role, groups
		if err := people.Accounts.Put(c.Tx, a); err != nil {
			return nil, err
		}
	}
	return c.roomChanges(set, a, groups)
}

// effective returns the groups that give something, sorted.
func (set *providerSettings) effective(groups []string) (some []string) {
	for _, g := range set.groups {
		if slices.Contains(groups, g.group) {
			some = append(some, g.group)
		}
	}
	slices.Sort(some)
	return slices.Compact(some)
}

// roomChanges returns what differs between the rooms that groups give and those that
// the account is in. A membership that no group gave is left alone.
func (c *change) roomChanges(set *providerSettings, a *people.Account, groups []string) (changes []RoomChange, err error) {
	want := make(map[string]groupGrant)
	for _, g := range set.groups {
		if g.role == 0 && slices.Contains(groups, g.group) {
			if _, twice := want[g.room.Key()]; !twice {
				want[g.room.Key()] = g
			}
		}
	}
	var failure error
	err = people.Members.AllOf(c.Tx, a.ID, func(m *people.Member) bool {
		if _, wanted := want[m.Room]; wanted {
			delete(want, m.Room)
			return true
		}
		if m.Group == "" {
			return true
		}
		room, err := kaban.ParseRoomName(m.Room)
		if err != nil {
			failure = err
			return false
		}
		changes = append(changes, RoomChange{Room: room, Account: a.ID, Group: m.Group})
		return true
	})
	if err != nil || failure != nil {
		return nil, firstError(err, failure)
	}
	for _, g := range set.groups { // in the order of the setting
		if wanted, ok := want[g.room.Key()]; ok && g.role == 0 && wanted.group == g.group {
			changes = append(changes, RoomChange{Room: g.room, Account: a.ID, Group: g.group, Join: true})
			delete(want, g.room.Key())
		}
	}
	return changes, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
