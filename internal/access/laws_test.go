package access

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kaban"
)

// many is how many random facts each law is tried with, for all actions.
const many = 20_000

// eachLaw calls visit with random facts, each with several values that are no value
// at all. The seed is fixed: a law that fails, fails always.
func eachLaw(t *testing.T, visit func(c *cases, f Facts)) {
	t.Helper()
	r := rand.New(rand.NewPCG(14, 14))
	c := cases{t: t}
	for range many {
		visit(&c, randomFacts(r))
	}
}

func randomFacts(r *rand.Rand) Facts {
	flip := func() bool { return r.IntN(2) == 0 }
	often := func() bool { return r.IntN(8) != 0 }
	upTo := func(n uint8) uint8 { return uint8(r.IntN(int(n) + 1)) }
	f := Facts{
		Server: Server{
			Claim: ClaimState(upTo(2)), Local: flip(), Admission: Admission(upTo(3)),
			MembersCreate: flip(), MembersInvite: flip(),
		},
		Who: Identity{
			Role: kaban.Role(upTo(4)), Active: often(), Named: often(), Person: often(), InPerson: often(), Fresh: often(), Hook: !often(),
			Invited: flip(), Operator: !often(), Reach: Reach(upTo(2)), Writes: often(),
		},
		Room:       NewRoom(kaban.RoomKind(upTo(3)), 0, flip()),
		Membership: Membership{kaban.RoomRole(upTo(3)), Standing(upTo(2)), flip()},
		Target: Target{
			Whom: Whom(upTo(2)), Role: kaban.Role(upTo(4)), RoomRole: kaban.RoomRole(upTo(3)),
			Standing: Standing(upTo(2)), NewRole: kaban.Role(upTo(5)), NewRoomRole: kaban.RoomRole(upTo(4)),
			SharesRoom: flip(), Reachable: flip(), OtherOwner: flip(), Author: flip(), OwnersIn: flip(),
		},
	}
	if flip() {
		f.Room.flags = kaban.RoomFlags(upTo(7))
	}
	if often() {
		f.Server.Claim, f.Who.Reach = Claimed, ReachServer
	}
	if f.Target.Whom == Self {
		f.Target.Role, f.Target.RoomRole, f.Target.Standing = f.Who.Role, f.Membership.Role, f.Membership.Standing
	}
	if f.Who.Role != kaban.RoleVisitor {
		f.Who.Hook = false
	}
	return f
}

// Nothing is allowed by facts that nobody filled in, nor by more than nothing alone.
func TestZeroFactsAllowNothing(t *testing.T) {
	c := cases{t: t}
	for _, action := range Actions() {
		c.check(action, &Facts{}, Forbidden)
		for _, f := range []Facts{
			{Server: Server{Claim: Claimed, Admission: Open}},
			{Server: Server{Claim: Claimed, Admission: Open}, Who: Identity{Role: kaban.RoleOwner}},
			{Server: Server{Claim: Claimed, Admission: Open}, Room: NewRoom(kaban.RoomPublic, 0, true)},
			{Who: Identity{Role: kaban.RoleOwner, Active: true, Reach: ReachServer, Writes: true, Operator: true}},
		} {
			c.checkAllowed(action, &f, false)
		}
	}
}

// step changes one fact to one that should allow more; false if there is no more.
type step struct {
	name  string
	raise func(*Facts) bool
	// except are the actions that more of the fact may take away.
	except func(Action, *Facts) bool
}

func raiseBool(of func(*Facts) *bool) func(*Facts) bool {
	return func(f *Facts) bool {
		was := *of(f)
		*of(f) = true
		return !was
	}
}

func raiseTo[T ~uint8](most T, of func(*Facts) *T) func(*Facts) bool {
	return func(f *Facts) bool {
		*of(f)++
		return *of(f) <= most
	}
}

// lastInPrivate: the only op of a private room may not do what any member may.
func lastInPrivate(action Action, f *Facts) bool {
	return (action == Part || action == SetRoomRole && f.Target.Whom == Self) && f.Room.kind == kaban.RoomPrivate && !f.Room.otherOp
}

var steps = []step{
	{"role", func(f *Facts) bool {
		if f.Who.Role++; f.Target.Whom == Self {
			f.Target.Role++
		}
		return f.Who.Role <= kaban.RoleOwner
	}, func(action Action, f *Facts) bool {
		// A guest knows only the rooms it is in, a visitor all public ones. Visitors
		// alone sign up, and create rooms where members may not.
		gone := []Action{Know, Read, Join, Post, Delete, Create, SignUp}
		switch f.Who.Role {
		case kaban.RoleGuest:
			return slices.Contains(gone, action)
		case kaban.RoleOwner: // the last one
			return action == ChangeRole && f.Target.Whom == Self && !f.Target.OtherOwner
		}
		return false
	}},
	{"room role", func(f *Facts) bool {
		f.Membership.Role++
		return f.Membership.Role <= kaban.RoomRoleOp
	}, lastInPrivate},
	{"standing", raiseTo(Good, func(f *Facts) *Standing { return &f.Membership.Standing }), nil},
	{"admission", raiseTo(Open, func(f *Facts) *Admission { return &f.Server.Admission }), nil},
	{"reach", raiseTo(ReachServer, func(f *Facts) *Reach { return &f.Who.Reach }), nil},
	{"target's standing", raiseTo(Good, func(f *Facts) *Standing { return &f.Target.Standing }), nil},
	{"local", raiseBool(func(f *Facts) *bool { return &f.Server.Local }), nil},
	{"members create", raiseBool(func(f *Facts) *bool { return &f.Server.MembersCreate }), nil},
	{"members invite", raiseBool(func(f *Facts) *bool { return &f.Server.MembersInvite }), nil},
	{"active", raiseBool(func(f *Facts) *bool { return &f.Who.Active }), nil},
	{"named", raiseBool(func(f *Facts) *bool { return &f.Who.Named }), nil},
	{"person", raiseBool(func(f *Facts) *bool { return &f.Who.Person }), nil},
	{"in person", raiseBool(func(f *Facts) *bool { return &f.Who.InPerson }), nil},
	{"fresh", raiseBool(func(f *Facts) *bool { return &f.Who.Fresh }), nil},
	{"hook", raiseBool(func(f *Facts) *bool { return &f.Who.Hook }), nil},
	{"link", raiseBool(func(f *Facts) *bool { return &f.Who.Invited }), nil},
	{"operator", raiseBool(func(f *Facts) *bool { return &f.Who.Operator }), nil},
	{"writes", raiseBool(func(f *Facts) *bool { return &f.Who.Writes }), nil},
	{"invited", raiseBool(func(f *Facts) *bool { return &f.Membership.Invited }), nil},
	{"other op", raiseBool(func(f *Facts) *bool { return &f.Room.otherOp }), nil},
	{"shares room", raiseBool(func(f *Facts) *bool { return &f.Target.SharesRoom }), nil},
	{"reachable", raiseBool(func(f *Facts) *bool { return &f.Target.Reachable }), nil},
	{"other owner", raiseBool(func(f *Facts) *bool { return &f.Target.OtherOwner }), nil},
	{"author", raiseBool(func(f *Facts) *bool { return &f.Target.Author }), nil},
	{"without announce", lower(kaban.FlagAnnounce), nil},
	{"unlocked", lower(kaban.FlagLocked), nil},
	{"unarchived", lower(kaban.FlagArchived), nil},
}

func lower(flag kaban.RoomFlags) func(*Facts) bool {
	return func(f *Facts) bool {
		was := f.Room.flags
		f.Room.flags &^= flag
		return was != f.Room.flags
	}
}

// More of a fact never takes a right away: no role, standing or credential is a trap,
// a credential's scope only takes away, and the zero value of each fact allows least.
func TestMoreNeverAllowsLess(t *testing.T) {
	eachLaw(t, func(c *cases, f Facts) {
		var allowed []Action
		for _, action := range Actions() {
			if Can(action, f) == Allowed {
				allowed = append(allowed, action)
			}
		}
		for _, s := range steps {
			more := f
			if !s.raise(&more) {
				continue
			}
			for _, action := range allowed {
				if s.except != nil && s.except(action, &more) {
					continue
				}
				if Can(action, more) != Allowed {
					c.fail("%s: more %q takes it away: %+v", action, s.name, f)
				}
			}
		}
	})
}

// inRooms are the actions on a room that exists.
func inRooms() []Action {
	all := []Action{Join, Post}
	for _, rule := range roomRules {
		all = append(all, rule.action)
	}
	return all
}

// Whoever may not know of a room can do nothing there, and gets the verdicts of a
// server without that room. Only those that may create learn that a name is taken.
func TestUnknownRoomIsNoRoom(t *testing.T) {
	unknown := 0
	eachLaw(t, func(c *cases, f Facts) {
		if Can(Know, f) == Allowed {
			return
		}
		unknown++
		without := f
		without.Room, without.Membership = Room{}, Membership{}
		for _, action := range inRooms() {
			got, want := Can(action, f), Can(action, without)
			switch {
			case action == Post && f.Who.Hook: // a hook knows no room, and posts in its own
			case f.Room.kind == kaban.RoomDirect && (action == Join || action == AddHook):
				if want == Allowed || want == InPersonOnly || want == Stale { // no name of a direct room creates one
					want = NotFound
				}
				fallthrough
			default:
				if action == Join && f.Room.kind != 0 && want == Allowed {
					want = RoomTaken
				}
				if got != want {
					c.fail("%s in an unknown room: %s, without the room %s: %+v", action, got, want, f)
				}
				if got == Allowed && f.Room.kind != 0 {
					c.fail("%s in an unknown room: %+v", action, f)
				}
			}
		}
		for _, action := range []Action{Create, CreatePrivate} {
			got, want := Can(action, f), Can(action, without)
			if f.Room.kind != 0 && want == Allowed {
				want = RoomTaken
			}
			if got != want {
				c.fail("%s of an unknown room: %s, want %s: %+v", action, got, want, f)
			}
		}
	})
	if unknown < many/10 {
		t.Errorf("only %d unknown rooms", unknown)
	}
}

// Nobody reads, writes or moderates a private or direct room from outside, whatever
// the role on the server.
func TestPrivateRoomsAreClosedToOutsiders(t *testing.T) {
	inside := []Action{
		Read, Mark, Part, Send, Post, Ring, React, Edit, Delete, SetTopic, Pin, Invite, Kick, Ban, Unban, Mute,
		Unmute, SetRoomRole, SetFlags, SetHistory, MakePrivate, Archive, Unarchive,
	}
	eachLaw(t, func(c *cases, f Facts) {
		f.Who.Hook = false
		kind := f.Room.kind
		if kind == kaban.RoomPublic || f.Membership.Role != 0 && f.Membership.Standing != Banned && f.Who.Role != 0 {
			return
		}
		for _, action := range inside {
			c.checkAllowed(action, &f, false)
		}
		if kind != 0 {
			c.checkAllowed(AddHook, &f, false)
		}
		if f.Membership.Invited = false; kind != 0 {
			c.checkAllowed(Join, &f, false)
		}
		if f.Who.Operator = false; kind != 0 {
			c.checkAllowed(Export, &f, false)
		}
	})
}

// An archived room allows reading and what goes with it, parting, an op's delete and
// unarchiving, and an end of hooks; members may subscribe.
func TestArchivedRoomIsStill(t *testing.T) {
	allowed := []Action{Know, Read, Mark, Part, Join, Delete, Unarchive, SeeHooks, RemoveHook}
	eachLaw(t, func(c *cases, f Facts) {
		f.Room.flags |= kaban.FlagArchived
		for _, action := range inRooms() {
			switch {
			case f.Room.kind == 0: // and a hook may make it
			case !slices.Contains(allowed, action),
				action == Join && !isIn(&f),
				action == Delete && !words["op"](&f):
				c.checkAllowed(action, &f, false)
			}
		}
	})
}

// A bot does nothing that its owner could not do, after joining a public room if need
// be.
func TestBotsAreNoMoreThanTheirOwners(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 15))
	allowed := 0
	eachLaw(t, func(c *cases, f Facts) {
		if f.Who.Role == kaban.RoleVisitor {
			return
		}
		other := randomFacts(r)
		owner := f // of the same server, room and target
		owner.Who, owner.Membership = other.Who, other.Membership
		owner.Who.Role = max(owner.Who.Role, kaban.RoleGuest)
		owner.Who.Person, owner.Who.InPerson, owner.Who.Fresh, owner.Who.Writes, owner.Who.Reach = true, true, true, true, ReachServer
		owner.Target.SharesRoom, owner.Target.Reachable = other.Target.SharesRoom, other.Target.Reachable
		bot := Limit(f, owner)
		if Limit(bot, owner) != bot {
			c.fail("limiting twice differs: %+v, owner %+v", f, owner)
		}
		early := owner // before the room was archived
		early.Room.flags = 0
		if owner.Room.kind == kaban.RoomPublic && Can(Join, early) == Allowed {
			owner.Membership.Role = max(owner.Membership.Role, kaban.RoomRoleMember)
		}
		for _, action := range Actions() {
			got := Can(action, bot)
			if got != Allowed {
				continue
			}
			allowed++
			switch {
			case action == Part || action == SetRoomRole && f.Target.Whom == Self: // one's own place; a last op differs
			case Can(action, f) != Allowed:
				c.fail("%s: the limit adds it: %+v, owner %+v", action, f, owner)
			case action == ChangeRole && f.Target.Whom == Self: // its own role
			case Can(action, owner) != Allowed:
				c.fail("%s: a bot may, its owner gets %s: %+v, owner %+v", action, Can(action, owner), bot, owner)
			}
		}
	})
	if allowed < many {
		t.Errorf("only %d actions of bots were allowed", allowed)
	}
}
