package access

import (
	"slices"
	"testing"

	"kaban"
)

// eachIdentity calls visit with all facts about an identity and the settings of a
// claimed server that lets it in.
func eachIdentity(visit func(*Facts)) {
	for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
		for admission := Closed; admission <= Open; admission++ {
			for bits := range 64 {
				f := open()
				f.Server.Admission = admission
				f.Server.MembersCreate, f.Server.MembersInvite = bits&1 != 0, bits&2 != 0
				f.Who.Role, f.Who.Named, f.Who.Person = role, bits&4 != 0, bits&8 != 0
				f.Who.Invited, f.Who.Operator = bits&16 != 0, bits&32 != 0
				visit(&f)
			}
		}
	}
}

// The names of rooms: who may create gets room_taken for a name in use, whether or
// not the room may be known of; nobody else gets it.
func TestContractOfNames(t *testing.T) {
	c, creates, knows := cases{t: t}, words["creates"], map[kaban.RoomKind]clause{}
	for kind := range kaban.RoomDirect + 1 {
		knows[kind] = known.compile(t, kind).known
	}
	eachNamed(func(f *Facts) {
		kind, banned, archived := f.Room.kind, f.Membership.Standing == Banned, f.Room.flags.Has(kaban.FlagArchived)
		check := func(action Action, want Verdict) {
			t.Helper()
			c.check(action, f, want)
		}
		switch {
		case !creates(f):
			check(Create, Forbidden)
		case kind != 0:
			check(Create, RoomTaken)
		default:
			check(Create, Allowed)
		}
		switch {
		case f.Who.Role == kaban.RoleVisitor:
			check(CreatePrivate, AuthRequired)
		case f.Who.Role == kaban.RoleGuest:
			check(CreatePrivate, Forbidden)
		case kind != 0:
			check(CreatePrivate, RoomTaken)
		default:
			check(CreatePrivate, Allowed)
		}
		switch {
		case !words["named"](f):
			check(Join, Forbidden)
		case isIn(f):
			check(Join, Allowed) // it only subscribes
		case kind == 0 && creates(f):
			check(Join, Allowed)
		case !knows[kind].holds(f) && creates(f) && kind != kaban.RoomDirect:
			check(Join, RoomTaken)
		case !knows[kind].holds(f):
			check(Join, NotFound)
		case banned || archived:
			check(Join, Forbidden)
		case kind == kaban.RoomPublic && (f.Who.Role != kaban.RoleGuest || f.Membership.Invited):
			check(Join, Allowed)
		case kind == kaban.RoomPrivate && f.Membership.Invited:
			check(Join, Allowed)
		default:
			check(Join, Forbidden)
		}
	})
}

func eachNamed(visit func(*Facts)) {
	for kind := range kaban.RoomDirect + 1 {
		eachRoom(kind, func(f *Facts) {
			visit(f)
			f.Server.MembersCreate = true
			visit(f)
		})
	}
}

// Post is Send for accounts; for visitors it needs no membership; hooks post where
// they belong, whatever the setting of access.
func TestContractOfPost(t *testing.T) {
	c := cases{t: t}
	send := roomRules[slices.IndexFunc(roomRules, func(r roomRule) bool { return r.action == Send })]
	visitors := roomRule{Post, "named open", "-", "-", talks, entry}
	hooks := roomRule{Post, "named open | named hookspeaker", "named hookmember open | named hookspeaker", "-", talks, entry}
	for kind := range kaban.RoomDirect + 1 {
		accounts, visitor, hook := send.compile(t, kind), visitors.compile(t, kind), hooks.compile(t, kind)
		eachRoom(kind, func(f *Facts) {
			entry.each(*f, func(f *Facts) {
				if f.Who.Role != kaban.RoleVisitor {
					c.check(Post, f, accounts.verdict(Post, f))
					return
				}
				want := Allowed
				switch {
				case !f.Who.Named:
					want = Forbidden
				case kind != kaban.RoomPublic:
					want = NotFound
				case !visitor.may.holds(f) || !visitor.always.holds(f):
					want = Forbidden
				}
				c.check(Post, f, want)
				for _, admission := range []Admission{Closed, Open} {
					g := *f
					g.Server.Admission, g.Who.Hook, g.Who.Person = admission, true, false
					c.checkAllowed(Post, &g, kind == 0 && g.Who.Named || hook.may.holds(&g) && hook.always.holds(&g))
				}
			})
		})
	}
}

// A hook does nothing but post where visitors are not let in.
func TestHooksOnlyPost(t *testing.T) {
	c := cases{t: t}
	for _, action := range Actions() {
		for kind := range kaban.RoomDirect + 1 {
			eachRoom(kind, func(f *Facts) {
				f.Server.Admission, f.Who.Hook, f.Who.Role, f.Who.Person = Registration, true, kaban.RoleVisitor, false
				f.Target = Target{Whom: Other, Role: kaban.RoleMember, RoomRole: kaban.RoomRoleMember, Standing: Good, SharesRoom: true, Reachable: true, Author: true}
				if action != Post {
					c.checkAllowed(action, f, false)
				}
			})
		}
	}
}

// serverRules are the rows about the server: who may, and the verdict on accounts
// that have the role but not the rest. Visitors are to sign in.
var serverRules = []struct {
	action    Action
	role, may string
	otherwise Verdict
}{
	{OpenDirect, "account", "other has member | other has shares", NotFound},
	{Block, "account", "other has member | other has shares", NotFound},
	{KnowPerson, "account", "self | other has member | other has shares", NotFound},
	{ReadDevices, "account", "", Forbidden},
	{RevokeDevice, "account", "", Forbidden},
	{Upload, "account", "", Forbidden},
	{ChangeProfile, "account", "", Forbidden},
	{Subscribe, "account", "", Forbidden},
	{ChangeCredentials, "account", "", Forbidden},
	{TendCredentials, "account", "", Forbidden},
	{MakeToken, "account", "", Forbidden},
	{MakeBot, "member", "", Forbidden},
	{InviteMember, "member", "notclosed admin | notclosed membersinvite", Forbidden},
	{InviteGuest, "admin", "notclosed", Forbidden},
	{RevokeInvite, "admin", "", Forbidden},
	{CreateAccount, "admin", "", Forbidden},
	{Suspend, "admin", "somebody has", NotFound},
	{Restore, "admin", "somebody has", NotFound},
	{Reset, "admin", "somebody has", NotFound},
	{Remove, "admin", "somebody has", NotFound},
	{Erase, "admin", "somebody has", NotFound},
	{GiveBot, "admin", "other has", NotFound},
	{ReadAudit, "admin", "", Forbidden},
	{ReadSettings, "owner", "", Forbidden},
	{ChangeSettings, "owner", "", Forbidden},
	{ChangeSignOn, "owner", "", Forbidden},
	{ChangeRetention, "owner", "", Forbidden},
	{LinkIdentity, "owner operator", "other has", NotFound},
	{NameFile, "owner", "operator", Forbidden},
}

// over are rows about the account of a person: who may, and who learns that the
// server needs an owner. "Only of those below", but for owners.
var over = map[Action][2]string{
	Suspend: {"owner notlast | other below", "owner"},
	Restore: {"owner | other below", "-"},
	Reset:   {"owner | other below", "-"},
	Remove:  {"owner notlast | other below", "owner"},
	Erase:   {"owner notlast | other below", "owner"},
}

func TestContractOnServer(t *testing.T) {
	for _, rule := range serverRules {
		t.Run(rule.action.String(), func(t *testing.T) {
			t.Parallel()
			c := cases{t: t}
			role, may := parse(t, rule.role), parse(t, rule.may)
			above, last := clause{{}}, parse(t, "-")
			if texts, ok := over[rule.action]; ok {
				above, last = parse(t, texts[0]), parse(t, texts[1])
			}
			eachIdentity(func(f *Facts) {
				eachPerson(*f, func(f *Facts) {
					want := Allowed
					switch {
					case f.Who.Role == kaban.RoleVisitor:
						want = AuthRequired
					case !role.holds(f):
						want = Forbidden
					case !may.holds(f):
						want = rule.otherwise
					case rule.action == OpenDirect && !(f.Target.Reachable && f.Target.OwnersIn):
						want = Forbidden
					case !above.holds(f) && last.holds(f):
						want = LastOwner
					case !above.holds(f):
						want = Forbidden
					}
					c.check(rule.action, f, want)
				})
			})
		})
	}
}

// eachPerson calls visit with all facts about the account of a person. Visitors are
// called with admission Open only: others are not let in.
func eachPerson(f Facts, visit func(*Facts)) {
	if f.Who.Role == kaban.RoleVisitor && f.Server.Admission != Open {
		f.Server.Admission = Open
	}
	for whom := range Other + 1 {
		for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
			if whom == Self && role != f.Who.Role {
				continue // one is what one is
			}
			for bits := range 16 {
				f.Target = Target{Whom: whom, Role: role, SharesRoom: bits&1 != 0, Reachable: bits&2 != 0, OtherOwner: bits&4 != 0, OwnersIn: bits&8 != 0}
				visit(&f)
			}
		}
	}
}

// Roles are given by those above the person and above the role; anybody may step
// down; the last owner may not.
func TestContractOfServerRoles(t *testing.T) {
	c := cases{t: t}
	may := parse(t, "owner somebody has real staysowner | admin other has below lower real | self account lower real staysowner")
	eachIdentity(func(f *Facts) {
		eachPerson(*f, func(f *Facts) {
			for to := kaban.RoleVisitor; to <= kaban.RoleOwner+1; to++ {
				f.Target.NewRole = to
				target, want := f.Target, Forbidden
				switch {
				case f.Who.Role == kaban.RoleVisitor:
					want = AuthRequired
				case may.holds(f):
					want = Allowed
				case f.Who.Role >= kaban.RoleAdmin && (target.Whom == Nobody || target.Role == kaban.RoleVisitor):
					want = NotFound
				case f.Who.Role == kaban.RoleOwner && target.Role == kaban.RoleOwner && words["real"](f):
					want = LastOwner
				}
				c.check(ChangeRole, f, want)
			}
		})
	})
}

func TestContractOfAccountsAndExports(t *testing.T) {
	c := cases{t: t}
	signUp := parse(t, "visitor claimed person everyone | visitor claimed person invitations link")
	claim := parse(t, "unclaimed person")
	eachIdentity(func(f *Facts) {
		for _, state := range []ClaimState{Claimed, Unclaimed} {
			f.Server.Claim, f.Server.Local = state, true
			for action, rule := range map[Action]clause{SignUp: signUp, Claim: claim} {
				want := Forbidden
				if rule.holds(f) {
					want = Allowed
				}
				c.check(action, f, want)
			}
		}
		f.Server.Claim = Claimed
		for kind := range kaban.RoomDirect + 1 {
			f.Room = NewRoom(kind, 0, false)
			want := Forbidden
			switch {
			case f.Who.Role == kaban.RoleVisitor:
				want = AuthRequired
			case f.Who.Role >= kaban.RoleAdmin && (kind == kaban.RoomPublic || f.Who.Operator):
				want = Allowed
			}
			c.check(Export, f, want)
		}
	})
}

// Every action is in one of the tables.
func TestContractIsComplete(t *testing.T) {
	here := []Action{Create, CreatePrivate, Join, Post, ChangeRole, SignUp, Claim, Export}
	for _, rule := range roomRules {
		here = append(here, rule.action)
	}
	for _, rule := range serverRules {
		here = append(here, rule.action)
	}
	slices.Sort(here)
	if !slices.Equal(here, Actions()) {
		t.Errorf("the tables have %v, want %v", here, Actions())
	}
}
