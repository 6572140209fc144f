package access

import (
	"strings"
	"testing"

	"kaban"
)

// A clause is true if all words of one of its alternatives are: "guest in | member".
// "-" is never true, "" always.
type clause []([]func(*Facts) bool)

// words are the vocabulary of the rules below.
var words = map[string]func(*Facts) bool{
	// Roles of accounts, each with those above it, but for visitor and guest.
	"visitor": func(f *Facts) bool { return f.Who.Role == kaban.RoleVisitor },
	"guest":   func(f *Facts) bool { return f.Who.Role == kaban.RoleGuest },
	"account": func(f *Facts) bool { return f.Who.Role != kaban.RoleVisitor },
	"member":  func(f *Facts) bool { return f.Who.Role >= kaban.RoleMember },
	"admin":   func(f *Facts) bool { return f.Who.Role >= kaban.RoleAdmin },
	"owner":   func(f *Facts) bool { return f.Who.Role == kaban.RoleOwner },
	// The identity.
	"named":    func(f *Facts) bool { return f.Who.Role != kaban.RoleVisitor || f.Who.Named },
	"person":   func(f *Facts) bool { return f.Who.Person },
	"hook":     func(f *Facts) bool { return f.Who.Hook && f.Who.Role == kaban.RoleVisitor },
	"operator": func(f *Facts) bool { return f.Who.Operator },
	"link":     func(f *Facts) bool { return f.Who.Invited },
	// The identity in the room.
	"in":      isIn,
	"speaker": func(f *Facts) bool { return isIn(f) && f.Who.Role != 0 && f.Membership.Role >= kaban.RoomRoleSpeaker },
	"op": func(f *Facts) bool {
		return isIn(f) && f.Who.Role != 0 && f.Membership.Role == kaban.RoomRoleOp ||
			f.Room.kind == kaban.RoomPublic && f.Who.Role >= kaban.RoleAdmin
	},
	"opinside": func(f *Facts) bool {
		return isIn(f) && f.Who.Role != 0 && f.Membership.Role == kaban.RoomRoleOp
	},
	"invited":     func(f *Facts) bool { return f.Membership.Invited && f.Membership.Standing != Banned },
	"unbanned":    func(f *Facts) bool { return f.Membership.Standing != Banned },
	"unmuted":     func(f *Facts) bool { return f.Membership.Standing == Good },
	"hookmember":  func(f *Facts) bool { return f.Membership.Role >= kaban.RoomRoleMember },
	"hookspeaker": func(f *Facts) bool { return f.Membership.Role >= kaban.RoomRoleSpeaker },
	"otherop":     func(f *Facts) bool { return f.Room.otherOp },
	// The room.
	"free":       func(f *Facts) bool { return f.Room.kind == 0 },
	"open":       func(f *Facts) bool { return !f.Room.flags.Has(kaban.FlagAnnounce) },
	"unlocked":   func(f *Facts) bool { return !f.Room.flags.Has(kaban.FlagLocked) },
	"unarchived": func(f *Facts) bool { return !f.Room.flags.Has(kaban.FlagArchived) },
	// The target.
	"author":    func(f *Facts) bool { return f.Target.Author },
	"reachable": func(f *Facts) bool { return f.Target.Reachable },
	"other":     func(f *Facts) bool { return f.Target.Whom == Other },
	"self":      func(f *Facts) bool { return f.Target.Whom == Self },
	"somebody":  func(f *Facts) bool { return f.Target.Whom != Nobody },
	"inside":    func(f *Facts) bool { return f.Target.Whom != Nobody && f.Target.RoomRole != 0 },
	"has":       func(f *Facts) bool { return f.Target.Role != kaban.RoleVisitor }, // an account
	"shares":    func(f *Facts) bool { return f.Target.SharesRoom },
	"acquainted": func(f *Facts) bool {
		t := f.Target
		return f.Who.Role != kaban.RoleGuest || t.Whom == Self || t.Role == 0 || t.SharesRoom || t.RoomRole != 0
	},
	"welcome": func(f *Facts) bool { return f.Target.Standing != Banned },
	"below":   func(f *Facts) bool { return f.Target.Role < f.Who.Role },
	"notlast": func(f *Facts) bool { return f.Target.Role != kaban.RoleOwner || f.Target.OtherOwner },
	"lower":   func(f *Facts) bool { return f.Target.NewRole < f.Who.Role },
	"real":    func(f *Facts) bool { return f.Target.NewRole >= 1 && f.Target.NewRole <= kaban.RoleOwner },
	"staysowner": func(f *Facts) bool {
		return f.Target.NewRole == kaban.RoleOwner || f.Target.Role != kaban.RoleOwner || f.Target.OtherOwner
	},
	"role": func(f *Facts) bool {
		return f.Target.NewRoomRole == kaban.RoomRoleMember ||
			f.Target.Role != 0 && f.Target.NewRoomRole >= 1 && f.Target.NewRoomRole <= kaban.RoomRoleOp
	},
	"down": func(f *Facts) bool {
		return f.Target.NewRoomRole != 0 && f.Target.NewRoomRole < f.Membership.Role
	},
	// The settings.
	"claimed":       func(f *Facts) bool { return f.Server.Claim == Claimed },
	"unclaimed":     func(f *Facts) bool { return f.Server.Claim == Unclaimed },
	"everyone":      func(f *Facts) bool { return f.Server.Admission >= Registration },
	"invitations":   func(f *Facts) bool { return f.Server.Admission == InviteOnly },
	"notclosed":     func(f *Facts) bool { return f.Server.Admission != Closed },
	"membersinvite": func(f *Facts) bool { return f.Server.MembersInvite },
	"creates": func(f *Facts) bool {
		switch f.Who.Role {
		case kaban.RoleVisitor:
			return f.Who.Named
		case kaban.RoleGuest:
			return false
		case kaban.RoleMember:
			return f.Server.MembersCreate
		}
		return true
	},
}

// isIn reports membership; nobody without an account is in a room that is not public.
func isIn(f *Facts) bool {
	return f.Room.kind != 0 && f.Membership.Role != 0 && f.Membership.Standing != Banned &&
		(f.Room.kind == kaban.RoomPublic || f.Who.Role != kaban.RoleVisitor)
}

func parse(t *testing.T, text string) (c clause) {
	t.Helper()
	for alternative := range strings.SplitSeq(text, "|") {
		if strings.TrimSpace(alternative) == "-" {
			continue
		}
		var all []func(*Facts) bool
		for _, word := range strings.Fields(alternative) {
			if words[word] == nil {
				t.Fatalf("no word %q in %q", word, text)
			}
			all = append(all, words[word])
		}
		c = append(c, all)
	}
	return c
}

func (c clause) holds(f *Facts) bool {
next:
	for _, all := range c {
		for _, word := range all {
			if !word(f) {
				continue next
			}
		}
		return true
	}
	return false
}

// roomRule is a row of the contract: who may do something in a room of each kind.
// "always" restricts all kinds.
type roomRule struct {
	action                  Action
	public, private, direct string
	always                  string
	target                  target
}

// target is the part of the facts that an action depends on besides the room's.
type target uint8

const (
	none target = iota
	entry
	person
	newRoomRole
)

// talks is what any addition to the log needs.
const talks = "unarchived unbanned unmuted"

// The rules, by hand from the contract. Of a room that one may not know of, nothing
// is allowed; see known.
var roomRules = []roomRule{
	{Know, "", "", "", "", none},
	{Read, "member | in | visitor", "in", "in", "unbanned", none},
	{Mark, "account in", "in", "in", "unbanned", none},
	{Part, "in", "in otherop | in", "in", "unbanned", none},
	{Send, "in open | speaker | in op", "in open | speaker", "in reachable", talks, entry},
	{Ring, "in op", "in op", "in reachable", talks, entry},
	{React, "in", "in", "in reachable", talks, entry},
	{Edit, "author in open | author speaker | author in op", "author in open | author speaker", "author in reachable", talks, entry},
	{Delete, "op | author unarchived member | author unarchived in | author unarchived visitor", "op | author unarchived in", "author unarchived in", "unbanned", entry},
	{SetTopic, "op | member in open unlocked", "op | member in open unlocked", "in", talks, none},
	{Pin, "op | member in open unlocked", "op | member in open unlocked", "in", talks, none},
	{Invite, "member other has welcome | op other has shares welcome", "op member other has welcome | op other has shares welcome", "-", "unarchived unbanned", person},
	{Kick, "op other inside", "op other inside", "-", "unarchived unbanned", person},
	{Ban, "op other acquainted", "op other acquainted", "-", "unarchived unbanned", person},
	{Mute, "op other acquainted", "op other acquainted", "-", "unarchived unbanned", person},
	{Unban, "op somebody acquainted", "op somebody acquainted", "-", "unarchived", person}, // an admin's own, too
	{Unmute, "op somebody acquainted", "op somebody acquainted", "-", "unarchived unbanned", person},
	{SetRoomRole, "op inside role | self in down", "op inside role | self in down", "-", "unarchived unbanned", newRoomRole},
	{SetFlags, "op", "op", "-", "unarchived unbanned", none},
	{SetHistory, "op", "op", "-", "unarchived unbanned", none},
	{MakePrivate, "opinside person | op otherop", "-", "-", "unarchived unbanned", none},
	{Archive, "op", "op", "-", "unarchived unbanned", none},
	{Unarchive, "op", "op", "-", "unbanned", none},
	{Appoint, "admin inside has", "admin inside has", "-", "unarchived", person},
	{SeeHooks, "op | admin", "op | admin", "-", "", none},
	{AddHook, "op", "op", "-", "unarchived unbanned", none},
	{RemoveHook, "op | admin", "op | admin", "-", "", none},
}

// known says who may know of a room.
var known = roomRule{0, "member | in | visitor | invited", "account in | account invited | admin", "in", "", none}

// inside are the actions of whoever is in the room: others are to join first. Ops of
// a public room that are not in it may do the second ones.
var (
	insideOnly = map[Action]bool{Mark: true, Part: true, Send: true, Post: true, Ring: true, React: true, Edit: true}
	insideOrOp = map[Action]bool{SetTopic: true, Pin: true}
)

// oneKind is a rule for one kind of room.
type oneKind struct{ may, always, known clause }

func (r roomRule) compile(t *testing.T, kind kaban.RoomKind) oneKind {
	pick := func(r roomRule) clause {
		return parse(t, []string{"-", r.public, r.private, r.direct}[kind])
	}
	return oneKind{pick(r), parse(t, r.always), pick(known)}
}

// verdict returns the verdict of the contract.
func (k oneKind) verdict(action Action, f *Facts) Verdict {
	visitor := f.Who.Role == kaban.RoleVisitor
	switch {
	case action == Mark && visitor:
		return AuthRequired
	case !isIn(f) && (action == Send || action == Part && visitor):
		return NotJoined // as ever
	case action == AddHook && words["free"](f) && words["admin"](f):
		return Allowed // a hook may make its room
	case !k.known.holds(f):
		return NotFound
	case k.may.holds(f) && k.always.holds(f):
		if lastOp(action, f) {
			return LastOp
		}
		return Allowed
	case !k.always.holds(f):
		return Forbidden
	case (insideOnly[action] || insideOrOp[action] && !words["op"](f)) && !isIn(f):
		return NotJoined
	case action == MakePrivate && f.Room.kind == kaban.RoomPublic && words["op"](f):
		return LastOp
	case f.Room.kind != kaban.RoomDirect && noPerson(action, f):
		return NotFound
	}
	return Forbidden
}

// lastOp: the last op of a private room names another first.
func lastOp(action Action, f *Facts) bool {
	leaves := action == Part || action == SetRoomRole && f.Target.Whom == Self && f.Target.NewRoomRole < kaban.RoomRoleOp
	return leaves && f.Room.kind == kaban.RoomPrivate && f.Membership.Role == kaban.RoomRoleOp && !f.Room.otherOp
}

// noPerson: those with the right to do something to people learn that there is no such person.
func noPerson(action Action, f *Facts) bool {
	op, target := words["op"](f), f.Target
	gone := target.Whom == Nobody || target.RoomRole == 0
	switch action {
	case Invite:
		may := op || f.Room.kind == kaban.RoomPublic && words["member"](f)
		return may && (target.Whom != Other || target.Role == 0 || !words["member"](f) && !target.SharesRoom)
	case Kick, SetRoomRole:
		return op && gone
	case Appoint:
		return words["admin"](f) && gone
	case Ban, Mute, Unban, Unmute:
		return op && (target.Whom == Nobody || !words["acquainted"](f))
	}
	return false
}

// eachRoom calls visit with all facts about a room of a kind and an identity in it.
func eachRoom(kind kaban.RoomKind, visit func(*Facts)) {
	for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
		for bits := range 8 {
			if role != kaban.RoleVisitor && bits&1 == 0 {
				continue // accounts have names
			}
			for rank := range kaban.RoomRoleOp + 1 {
				for flags := range kaban.FlagArchived * 2 {
					for standing := range Good + 1 {
						f := open()
						f.Who.Role, f.Who.Named = role, bits&1 != 0
						f.Room = NewRoom(kind, flags, bits&2 != 0)
						f.Membership = Membership{rank, standing, bits&4 != 0}
						visit(&f)
					}
				}
			}
		}
	}
}

// open returns facts about an identity on an open server, without a room.
func open() Facts {
	return Facts{
		Server: Server{Claim: Claimed, Admission: Open},
		Who:    Identity{Active: true, Reach: ReachServer, Writes: true, Person: true, InPerson: true, Fresh: true},
	}
}

// each calls visit with all facts about a target.
func (target target) each(f Facts, visit func(*Facts)) {
	switch target {
	case none:
		visit(&f)
		f.Who.Person = false
		visit(&f)
	case entry:
		for bits := range 4 {
			f.Target = Target{Author: bits&1 != 0, Reachable: bits&2 != 0}
			visit(&f)
		}
	case person, newRoomRole:
		last := kaban.RoomRole(0)
		if target == newRoomRole {
			last = kaban.RoomRoleOp + 1
		}
		for whom := range Other + 1 {
			for _, role := range []kaban.Role{kaban.RoleVisitor, kaban.RoleGuest, kaban.RoleOwner} {
				for _, rank := range []kaban.RoomRole{0, kaban.RoomRoleMember, kaban.RoomRoleOp} {
					for to := range last + 1 {
						for bits := range 4 {
							f.Target = Target{Whom: whom, Role: role, RoomRole: rank, NewRoomRole: to, SharesRoom: bits&1 != 0, Standing: Standing(bits & 2)}
							if target == newRoomRole && bits != 0 {
								continue // neither matters to somebody in the room
							}
							visit(&f)
						}
					}
				}
			}
		}
	}
}

// cases compares verdicts and reports the first few that are wrong.
type cases struct {
	t            *testing.T
	total, wrong int
}

// What is asked in person is asked by a program, too.
func (c *cases) check(action Action, f *Facts, want Verdict) {
	c.t.Helper()
	if got := Can(action, *f); got != want {
		c.fail("%s with %+v:\ngot  %s\nwant %s", action, *f, got, want)
	}
	c.total++
	if !f.Who.InPerson {
		return
	}
	stale := *f
	stale.Who.Fresh = false
	late := want
	if want == Allowed && afreshOnly(action) {
		late = Stale
	}
	if got := Can(action, stale); got != late {
		c.fail("%s without a fresh sign-in with %+v:\ngot  %s\nwant %s", action, stale, got, late)
	}
	program := *f
	program.Who.InPerson = false
	if (want == Allowed || want == Stale) && notByPrograms(action, f) {
		want = InPersonOnly
	}
	if got := Can(action, program); got != want {
		c.fail("%s by a program with %+v:\ngot  %s\nwant %s", action, program, got, want)
	}
}

// afreshOnly reports whether an action takes a fresh sign-in: whatever makes a way in or a
// voice that outlives a session, gives power, or ends an account.
func afreshOnly(action Action) bool {
	switch action {
	case ChangeCredentials, MakeToken, MakeBot, AddHook, InviteMember, InviteGuest, CreateAccount, Restore, Reset, ChangeRole,
		Remove, Erase, GiveBot, ChangeSettings, ChangeSignOn, ChangeRetention, LinkIdentity, NameFile:
		return true
	}
	return false
}

// notByPrograms are the actions that the contract leaves to people: whatever administers
// the server, and whatever gives power or makes a way in that outlives a token.
func notByPrograms(action Action, f *Facts) bool {
	switch action {
	case Subscribe, ChangeCredentials, TendCredentials, MakeToken, MakeBot, InviteMember, InviteGuest, RevokeInvite, CreateAccount, Suspend, Restore, Reset, ChangeRole, Remove, Erase,
		GiveBot, ChangeSettings, ChangeSignOn, ChangeRetention, LinkIdentity, NameFile, Appoint, AddHook, RemoveHook:
		return true
	case SetRoomRole: // an op by a program of an op, not of an admin
		return f.Target.NewRoomRole == kaban.RoomRoleOp && f.Membership.Role != kaban.RoomRoleOp
	}
	return false
}

// checkAllowed is check without a code.
func (c *cases) checkAllowed(action Action, f *Facts, want bool) {
	c.t.Helper()
	if got := Can(action, *f); (got == Allowed) != want {
		c.fail("%s with %+v:\ngot  %s\nwant allowed: %t", action, *f, got, want)
	}
	c.total++
}

func (c *cases) fail(format string, args ...any) {
	c.t.Helper()
	if c.wrong++; c.wrong <= 3 {
		c.t.Errorf(format, args...)
	}
}

// Can and the contract agree about everything in rooms.
func TestContractInRooms(t *testing.T) {
	for _, rule := range roomRules {
		t.Run(rule.action.String(), func(t *testing.T) {
			t.Parallel()
			c := cases{t: t}
			for kind := range kaban.RoomDirect + 1 {
				compiled := rule.compile(t, kind)
				eachRoom(kind, func(f *Facts) {
					rule.target.each(*f, func(f *Facts) {
						c.check(rule.action, f, compiled.verdict(rule.action, f))
					})
				})
			}
			if c.total < 9_000 {
				t.Errorf("only %d cases: the product is broken", c.total)
			}
		})
	}
}
