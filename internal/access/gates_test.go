package access

import (
	"slices"
	"testing"

	"kaban"
)

// reading are the actions that change nothing.
var reading = []Action{Know, Read, SeeHooks, KnowPerson, ReadDevices, ReadAudit, ReadSettings, Export}

func TestUnclaimedServerServesOnlyLoopback(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		for _, action := range Actions() {
			f.Server.Claim, f.Server.Local = 0, true
			c.check(action, &f, Forbidden)
			f.Server.Claim, f.Server.Local = Unclaimed, false
			if action != Claim {
				c.check(action, &f, Forbidden)
				continue
			}
			c.checkAllowed(action, &f, f.Who.Active && f.Who.Writes && f.Who.Person && f.Who.Reach == ReachServer)
		}
	})
}

// Before the claim no account can be made.
func TestUnclaimedServerMakesNoAccount(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		f.Server.Claim, f.Server.Local = Unclaimed, true
		c.checkAllowed(SignUp, &f, false)
		f.Who.Role = kaban.RoleVisitor
		for _, action := range []Action{InviteMember, InviteGuest, CreateAccount} {
			c.checkAllowed(action, &f, false)
		}
	})
}

func TestSuspendedAccountDoesNothing(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		f.Who.Active = false
		for _, action := range Actions() {
			c.check(action, &f, Forbidden)
		}
	})
}

// An account with a role that does not exist is no owner.
func TestUnknownRoleDoesNothing(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		for _, role := range []kaban.Role{kaban.RoleOwner + 1, 255} {
			f.Who.Role = role
			for _, action := range Actions() {
				c.check(action, &f, Forbidden)
			}
		}
	})
}

// Without an account only hooks, the first owner and those signing up get in where
// the server is not open; the verdict depends on no room.
func TestVisitorsSignInWhereTheServerIsNotOpen(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		f.Server.Claim, f.Who.Active, f.Who.Role, f.Who.Hook = Claimed, true, kaban.RoleVisitor, false
		if f.Server.Admission == Open {
			f.Server.Admission = Closed
		}
		for _, action := range Actions() {
			if action != SignUp && action != Claim {
				c.check(action, &f, AuthRequired)
			}
		}
	})
}

// A credential for reading only changes nothing. Somebody in a room may subscribe.
func TestReadOnlyCredential(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		f.Server.Claim, f.Who.Active = Claimed, true
		f.Who.Role, f.Who.Writes = max(f.Who.Role, kaban.RoleGuest), false
		full := f
		full.Who.Writes = true
		for _, action := range Actions() {
			switch {
			case slices.Contains(reading, action):
				c.check(action, &f, Can(action, full))
			case action == Join && f.Who.Reach != ReachElsewhere && isIn(&f):
				c.check(action, &f, Allowed)
			default:
				c.check(action, &f, Forbidden)
			}
		}
	})
}

// A credential bound to rooms is good for nothing on the server, and elsewhere there
// are no rooms for it.
func TestBoundCredential(t *testing.T) {
	rooms := inRooms()
	eachLaw(t, func(c *cases, f Facts) {
		f.Server.Claim, f.Who.Active, f.Who.Writes = Claimed, true, true
		f.Who.Role = max(f.Who.Role, kaban.RoleGuest)
		full := f
		full.Who.Reach = ReachServer
		for _, action := range Actions() {
			for _, reach := range []Reach{ReachElsewhere, ReachRoom} {
				f.Who.Reach = reach
				want := NotFound
				switch {
				case !slices.Contains(rooms, action):
					want = Forbidden
				case reach == ReachRoom:
					want = Can(action, full)
					if action == Join && want == RoomTaken || f.Room.kind == 0 && (action == Join || action == AddHook) {
						want = NotFound // it creates no rooms
					}
				case action == Send: // no connection has joined
					want = NotJoined
				}
				c.check(action, &f, want)
			}
		}
	})
}

// A hook bound to another room neither posts in this one nor makes it.
func TestHookElsewhere(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		f.Server.Claim, f.Server.Admission, f.Who.Active, f.Who.Writes = Claimed, Closed, true, true
		f.Who.Role, f.Who.Hook, f.Who.Named, f.Who.Reach = kaban.RoleVisitor, true, true, ReachElsewhere
		c.check(Post, &f, NotFound)
	})
}

// An action that nobody gave a least role is forbidden, even to owners.
func TestActionWithoutLeastRoleIsForbidden(t *testing.T) {
	f := open()
	f.Who.Role, f.Who.Operator = kaban.RoleOwner, true
	for _, action := range []Action{0, Know, Kick} { // they have none
		if got := f.onServer(action); got != Forbidden {
			t.Errorf("%s: %s", action, got)
		}
	}
}

// NewRoom passes on what it is given.
func TestNewRoom(t *testing.T) {
	f := open()
	f.Who.Role, f.Membership = kaban.RoleMember, Membership{Role: kaban.RoomRoleOp, Standing: Good}
	for _, c := range []struct {
		action Action
		room   Room
		want   Verdict
	}{
		{Send, NewRoom(kaban.RoomPrivate, 0, false), Allowed},
		{Send, NewRoom(kaban.RoomPrivate, kaban.FlagArchived, false), Forbidden},
		{Part, NewRoom(kaban.RoomPrivate, 0, false), LastOp},
		{Part, NewRoom(kaban.RoomPrivate, 0, true), Allowed},
		{Part, NewRoom(kaban.RoomPublic, 0, false), Allowed},
		{Know, NewRoom(0, 0, false), NotFound},
	} {
		f.Room = c.room
		if got := Can(c.action, f); got != c.want {
			t.Errorf("%s in %+v: %s, want %s", c.action, c.room, got, c.want)
		}
	}
}
