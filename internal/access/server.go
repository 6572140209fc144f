package access

import "kaban"

// least are the least roles of accounts for actions on the server. An action that has
// none, and no case of its own, is forbidden.
var least = [endOfActions]kaban.Role{
	CreatePrivate: kaban.RoleMember,
	OpenDirect:    kaban.RoleGuest, KnowPerson: kaban.RoleGuest, Block: kaban.RoleGuest,
	ReadDevices: kaban.RoleGuest, RevokeDevice: kaban.RoleGuest, ChangeProfile: kaban.RoleGuest, Upload: kaban.RoleGuest,
	Subscribe: kaban.RoleGuest, ChangeCredentials: kaban.RoleGuest, TendCredentials: kaban.RoleGuest,
	MakeToken: kaban.RoleGuest, MakeBot: kaban.RoleMember,
	InviteMember: kaban.RoleMember, InviteGuest: kaban.RoleAdmin, RevokeInvite: kaban.RoleAdmin, CreateAccount: kaban.RoleAdmin,
	Suspend: kaban.RoleAdmin, Restore: kaban.RoleAdmin, Reset: kaban.RoleAdmin,
	ChangeRole: kaban.RoleGuest, Remove: kaban.RoleAdmin, Erase: kaban.RoleAdmin,
	GiveBot: kaban.RoleAdmin, ReadAudit: kaban.RoleAdmin, ReadSettings: kaban.RoleOwner, ChangeSettings: kaban.RoleOwner,
	ChangeSignOn: kaban.RoleOwner, ChangeRetention: kaban.RoleOwner, LinkIdentity: kaban.RoleOwner,
	NameFile: kaban.RoleOwner, Export: kaban.RoleAdmin,
}

// onServer decides about what concerns no room that exists.
func (f *Facts) onServer(action Action) Verdict {
	who, server, target := &f.Who, &f.Server, &f.Target
	switch action {
	case Create:
		return f.create(f.mayCreate())
	case Claim:
		return allowIf(server.Claim == Unclaimed && who.Person)
	case SignUp:
		return allowIf(f.maySignUp())
	}
	switch {
	case least[action] == kaban.RoleVisitor:
		return Forbidden
	case who.Role == kaban.RoleVisitor:
		return AuthRequired
	case who.Role < least[action]:
		return Forbidden
	}
	switch action {
	case CreatePrivate:
		return f.create(true)
	case KnowPerson, OpenDirect, Block:
		switch {
		case target.Whom == Self && action == KnowPerson:
			return Allowed
		case !f.mayKnowPerson():
			return NotFound
		}
		return allowIf(action != OpenDirect || target.Reachable && target.OwnersIn)
	case InviteMember:
		return allowIf(server.Admission != Closed && (server.MembersInvite || who.Role >= kaban.RoleAdmin))
	case InviteGuest:
		return allowIf(server.Admission != Closed)
	case Suspend, Restore, Reset, Remove, Erase, ChangeRole:
		return f.administer(action)
	case GiveBot:
		if target.Whom != Other || target.Role == kaban.RoleVisitor {
			return NotFound
		}
	case NameFile:
		// What is in a file of the server is for nobody on the network.
		return allowIf(who.Operator)
	case LinkIdentity:
		switch {
		case !who.Operator:
			return Forbidden
		case target.Whom != Other || target.Role == kaban.RoleVisitor:
			return NotFound
		}
	case Export:
		// Private and direct rooms, and so everything, leave the server only through the
		// data directory.
		return allowIf(who.Operator || f.Room.kind == kaban.RoomPublic)
	}
	return Allowed
}

func (f *Facts) create(may bool) Verdict {
	switch {
	case !may:
		return Forbidden
	case f.Room.kind != 0:
		return RoomTaken
	}
	return Allowed
}

func (f *Facts) maySignUp() bool {
	if f.Server.Claim != Claimed || f.Who.Role != kaban.RoleVisitor || !f.Who.Person {
		return false
	}
	switch f.Server.Admission {
	case Open, Registration:
		return true
	case InviteOnly:
		return f.Who.Invited
	}
	return false
}

// administer decides about the account of the target.
func (f *Facts) administer(action Action) Verdict {
	who, target := &f.Who, &f.Target
	owner := who.Role == kaban.RoleOwner
	above := who.Role >= kaban.RoleAdmin && target.Whom == Other && target.Role < who.Role
	to := target.NewRole
	stepsDown := action == ChangeRole && target.Whom == Self && to < who.Role
	switch {
	case who.Role < kaban.RoleAdmin && !stepsDown:
		return Forbidden
	case target.Whom == Nobody || target.Role == kaban.RoleVisitor:
		return NotFound
	case !owner && !above && !stepsDown:
		return Forbidden
	case action == ChangeRole && (to == kaban.RoleVisitor || to > kaban.RoleOwner):
		return Forbidden
	case action == ChangeRole && !owner && to >= who.Role:
		return Forbidden
	}
	ends := action == Suspend || action == Remove || action == Erase ||
		action == ChangeRole && to < kaban.RoleOwner
	if ends && target.Role == kaban.RoleOwner && !target.OtherOwner {
		return LastOwner
	}
	return Allowed
}
