package access

import "kaban"

// standpoint is what the facts about a room mean for the identity.
type standpoint struct {
	kind  kaban.RoomKind // zero if there is no room
	knows bool
	in    bool
	rank  kaban.RoomRole // zero for nobody; admins are ops of public rooms
}

func (f *Facts) standpoint() (s standpoint) {
	who, m := &f.Who, &f.Membership
	if who.Reach == ReachElsewhere {
		return s
	}
	s.kind = f.Room.kind
	welcome := m.Standing != Banned
	s.in = m.Role != 0 && welcome
	if s.in {
		s.rank = m.Role
	}
	switch s.kind {
	case kaban.RoomPublic:
		s.knows = who.Role != kaban.RoleGuest || s.in || m.Invited && welcome
		switch {
		case who.Role >= kaban.RoleAdmin:
			s.rank = kaban.RoomRoleOp
		case who.Role == kaban.RoleVisitor:
			s.rank = min(s.rank, kaban.RoomRoleMember)
		}
	case kaban.RoomPrivate:
		if who.Role == kaban.RoleVisitor {
			return standpoint{kind: s.kind}
		}
		s.knows = s.in || m.Invited && welcome || who.Role >= kaban.RoleAdmin
	case kaban.RoomDirect:
		if who.Role == kaban.RoleVisitor {
			return standpoint{kind: s.kind}
		}
		s.rank = min(s.rank, kaban.RoomRoleMember)
		s.knows = s.in
	default:
		return standpoint{}
	}
	return s
}

// inRoom decides about a room.
func (f *Facts) inRoom(action Action, t trait) Verdict {
	s := f.standpoint()
	visitor := f.Who.Role == kaban.RoleVisitor
	switch {
	case action == Join:
		return f.join(s)
	case action == Post && visitor:
		return f.post(s)
	case action == Mark && visitor: // whatever the room
		return AuthRequired
	case action == Send && !s.in, action == Part && !s.in && visitor:
		// A connection sends to the rooms that it has joined. It gets this answer for any
		// other name, so it learns nothing. A visitor is a member by its connection.
		return NotJoined
	case action == AddHook && s.kind == 0 && f.mayAddRoomOfHook():
		return Allowed
	case !s.knows:
		return NotFound
	case f.Membership.Standing == Banned && !t.has(evenBanned):
		return Forbidden
	case f.Room.flags.Has(kaban.FlagArchived) && !t.has(inArchive):
		return Forbidden
	case f.Membership.Standing == Muted && t.has(speaks):
		return Forbidden
	case t.has(asMember) && !s.in && (!t.has(orByOp) || s.rank != kaban.RoomRoleOp):
		return NotJoined
	case t.has(byOp):
		return f.moderate(action, s)
	}
	switch action {
	case Know:
		return Allowed
	case Read:
		return allowIf(f.mayRead(s))
	case Mark:
		return Allowed
	case Part:
		if s.kind == kaban.RoomPrivate && s.rank == kaban.RoomRoleOp && !f.Room.otherOp {
			return LastOp
		}
		return Allowed
	case SetRoomRole:
		return f.setRoomRole(s)
	case Appoint:
		return f.appoint(s)
	case Invite:
		return f.invite(s)
	case SeeHooks, AddHook, RemoveHook:
		return allowIf(f.mayManageHooks(action, s))
	case Send, Post:
		if !s.in {
			return NotJoined
		}
		return allowIf(f.maySend(s))
	}
	return allowIf(f.mayChangeLog(action, s))
}

func allowIf(ok bool) Verdict {
	if ok {
		return Allowed
	}
	return Forbidden
}

func (f *Facts) join(s standpoint) Verdict {
	who := &f.Who
	switch {
	case who.Role == kaban.RoleVisitor && !who.Named:
		return Forbidden
	case s.in:
		return Allowed
	case !who.Writes:
		return Forbidden
	case !s.knows && s.kind == kaban.RoomDirect:
		return NotFound
	case !s.knows && !f.mayCreate():
		return NotFound
	case s.kind == 0:
		return Allowed
	case !s.knows:
		return RoomTaken
	case f.Membership.Standing == Banned || f.Room.flags.Has(kaban.FlagArchived):
		return Forbidden
	}
	return allowIf(s.kind == kaban.RoomPublic || f.Membership.Invited)
}

// post decides about somebody without an account that is no member: a visitor or a
// hook. A hook may make the room that it belongs to.
func (f *Facts) post(s standpoint) Verdict {
	who, m := &f.Who, &f.Membership
	hookIn := who.Hook && m.Role != 0 && s.kind == kaban.RoomPrivate
	switch {
	case !who.Named:
		return Forbidden
	case s.kind == 0 && who.Hook && who.Reach != ReachElsewhere:
		return Allowed
	case !s.knows && !hookIn:
		return NotFound
	case m.Standing != Good || f.Room.flags.Has(kaban.FlagArchived):
		return Forbidden
	}
	// The rank of a visitor is at most a member's, a hook's is its own.
	return allowIf(!f.Room.flags.Has(kaban.FlagAnnounce) || who.Hook && m.Role >= kaban.RoomRoleSpeaker)
}

// mayRead reports whether the log of a room that is known may be read.
func (f *Facts) mayRead(s standpoint) bool {
	return s.in || s.kind == kaban.RoomPublic && f.Who.Role != kaban.RoleGuest
}

// maySend reports whether somebody in the room may add a message.
func (f *Facts) maySend(s standpoint) bool {
	if s.kind == kaban.RoomDirect {
		return f.Target.Reachable
	}
	return s.rank >= kaban.RoomRoleSpeaker || !f.Room.flags.Has(kaban.FlagAnnounce)
}

// mayChangeLog reports whether an entry or what the log says of the room may change.
func (f *Facts) mayChangeLog(action Action, s standpoint) bool {
	op, direct := s.rank == kaban.RoomRoleOp, s.kind == kaban.RoomDirect
	switch action {
	case Ring:
		return f.maySend(s) && (op || direct)
	case React:
		return !direct || f.Target.Reachable
	case Edit:
		return f.Target.Author && f.maySend(s)
	case Delete:
		archived := f.Room.flags.Has(kaban.FlagArchived)
		return op || f.Target.Author && f.mayRead(s) && !archived
	case SetTopic, Pin:
		restricted := f.Room.flags&(kaban.FlagLocked|kaban.FlagAnnounce) != 0
		return op || s.in && (direct || f.Who.Role >= kaban.RoleMember && !restricted)
	}
	return false
}

// isAcquainted reports whether an op may learn that the person of the target exists. A
// guest knows only those it shares a room with.
func (f *Facts) isAcquainted() bool {
	target := &f.Target
	return f.Who.Role != kaban.RoleGuest || target.Whom == Self || target.Role == kaban.RoleVisitor ||
		target.SharesRoom || target.RoomRole != 0
}

// moderate decides about what only an op may do.
func (f *Facts) moderate(action Action, s standpoint) Verdict {
	if s.rank != kaban.RoomRoleOp {
		return Forbidden
	}
	target := &f.Target
	switch action {
	case Kick, Ban, Mute:
		switch {
		case target.Whom == Nobody, action == Kick && target.RoomRole == 0, !f.isAcquainted():
			return NotFound
		case target.Whom == Self: // or the last op could leave
			return Forbidden
		}
	case Unban, Unmute:
		if target.Whom == Nobody || !f.isAcquainted() {
			return NotFound
		}
	case MakePrivate:
		switch {
		case s.kind != kaban.RoomPublic:
			return Forbidden
		case !(s.in && f.Membership.Role == kaban.RoomRoleOp && f.Who.Person) && !f.Room.otherOp:
			return LastOp // the room needs an op inside, and its admins cease to be ops
		}
	}
	return Allowed
}

func (f *Facts) setRoomRole(s standpoint) Verdict {
	target, own := &f.Target, f.Membership.Role
	to := target.NewRoomRole
	stepsDown := target.Whom == Self && s.in && to != 0 && to < own
	switch {
	case s.kind == kaban.RoomDirect:
		return Forbidden
	case s.rank != kaban.RoomRoleOp && !stepsDown:
		return Forbidden
	case stepsDown && s.kind == kaban.RoomPrivate && own == kaban.RoomRoleOp && !f.Room.otherOp:
		return LastOp
	case stepsDown:
		return Allowed
	}
	v := f.give(to)
	if v == Allowed && to == kaban.RoomRoleOp && own != kaban.RoomRoleOp && !f.Who.InPerson {
		return InPersonOnly // as an admin, not as an op: that is to appoint
	}
	return v
}

// appoint decides about an admin that makes a member op. The person is in the room
// already, so that nobody gets into a room this way.
func (f *Facts) appoint(s standpoint) Verdict {
	if f.Who.Role < kaban.RoleAdmin || s.kind == kaban.RoomDirect {
		return Forbidden
	}
	return f.give(kaban.RoomRoleOp)
}

// give decides whether the person of the target can have a role in the room.
func (f *Facts) give(role kaban.RoomRole) Verdict {
	target := &f.Target
	switch {
	case target.Whom == Nobody || target.RoomRole == 0:
		return NotFound
	case role == 0 || role > kaban.RoomRoleOp:
		return Forbidden
	}
	return allowIf(target.Role != kaban.RoleVisitor || role == kaban.RoomRoleMember)
}

// mayAddRoomOfHook reports whether a new hook may make its room.
func (f *Facts) mayAddRoomOfHook() bool {
	return f.Who.Role >= kaban.RoleAdmin && f.Who.Reach == ReachServer
}

// mayManageHooks decides about the hooks of a room. An admin ends what posts in a room
// without being in it, and lets nothing in there.
func (f *Facts) mayManageHooks(action Action, s standpoint) bool {
	if action == AddHook {
		return s.rank == kaban.RoomRoleOp
	}
	return s.rank == kaban.RoomRoleOp || s.kind != kaban.RoomDirect && f.Who.Role >= kaban.RoleAdmin
}

func (f *Facts) invite(s standpoint) Verdict {
	may := s.rank == kaban.RoomRoleOp || s.kind == kaban.RoomPublic && f.Who.Role >= kaban.RoleMember
	switch {
	case s.kind == kaban.RoomDirect || !may:
		return Forbidden
	case !f.mayKnowPerson():
		return NotFound
	}
	return allowIf(f.Target.Standing != Banned)
}
