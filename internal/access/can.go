package access

import "kaban"

// trait is a property of an action.
type trait uint16

const (
	ofRoom     trait = 1 << iota // it concerns a room that exists
	reads                        // it changes nothing
	speaks                       // a mute forbids it
	inArchive                    // an archived room allows it, perhaps to ops only
	evenBanned                   // a ban does not forbid it
	byOp                         // only an op may do it
	asMember                     // only somebody in the room may do it
	orByOp                       // or an op that is not in the room
	noAccount                    // it makes an account, so nobody needs one
	inPerson                     // no program may do it, whatever its account may
	afresh                       // it takes a fresh sign-in
)

var traits = [endOfActions]trait{
	Know: ofRoom | reads | inArchive | evenBanned,
	Read: ofRoom | reads | inArchive,
	// Join checks archives, bans and credentials: a member may always subscribe.
	Join:         ofRoom | reads | inArchive,
	Mark:         ofRoom | inArchive | asMember,
	Part:         ofRoom | inArchive | asMember,
	Send:         ofRoom | speaks,
	Post:         ofRoom | speaks,
	Ring:         ofRoom | speaks | asMember,
	React:        ofRoom | speaks | asMember,
	Edit:         ofRoom | speaks | asMember,
	Delete:       ofRoom | inArchive,
	SetTopic:     ofRoom | speaks | asMember | orByOp,
	Pin:          ofRoom | speaks | asMember | orByOp,
	Invite:       ofRoom,
	Kick:         ofRoom | byOp,
	Ban:          ofRoom | byOp,
	Unban:        ofRoom | byOp | evenBanned, // an admin lifts even a ban of the admin
	Mute:         ofRoom | byOp,
	Unmute:       ofRoom | byOp,
	SetRoomRole:  ofRoom,
	SetFlags:     ofRoom | byOp,
	SetHistory:   ofRoom | byOp,
	MakePrivate:  ofRoom | byOp,
	Archive:      ofRoom | byOp,
	Unarchive:    ofRoom | byOp | inArchive,
	Appoint:      ofRoom | evenBanned | inPerson, // else the ops of a room could shut admins out
	SeeHooks:     ofRoom | reads | inArchive | evenBanned,
	AddHook:      ofRoom | inPerson | afresh,
	RemoveHook:   ofRoom | inArchive | evenBanned | inPerson, // as Appoint
	KnowPerson:   reads,
	ReadDevices:  reads,
	ReadAudit:    reads,
	Export:       reads,
	Claim:        noAccount,
	SignUp:       noAccount,
	ReadSettings: reads,

	// What administers the server or makes a way into an account outlives a token: one that
	// leaks from a script must not be worth that.
	//
	// A subscription is of a browser that somebody is signed in with, and ends with that.
	//
	// A session that somebody has stolen must not be worth a way in or a voice that stays
	// when it ends, power, or the end of an account: what gives one is done afresh. So is
	// AddHook. What only takes away, and what happens in rooms, is not: ops and members of
	// the room see it and undo it, and whoever moderates is not held up.
	Subscribe:         inPerson,
	ChangeCredentials: inPerson | afresh,
	TendCredentials:   inPerson,
	MakeToken:         inPerson | afresh,
	MakeBot:           inPerson | afresh,
	InviteMember:      inPerson | afresh,
	InviteGuest:       inPerson | afresh,
	RevokeInvite:      inPerson,
	CreateAccount:     inPerson | afresh,
	Suspend:           inPerson,
	Restore:           inPerson | afresh,
	Reset:             inPerson | afresh,
	ChangeRole:        inPerson | afresh,
	Remove:            inPerson | afresh,
	Erase:             inPerson | afresh,
	GiveBot:           inPerson | afresh,
	ChangeSettings:    inPerson | afresh,
	ChangeSignOn:      inPerson | afresh,
	ChangeRetention:   inPerson | afresh,
	LinkIdentity:      inPerson | afresh,
	NameFile:          inPerson | afresh,
}

func (t trait) has(some trait) bool { return t&some != 0 }

// Can decides whether an action is allowed. It is pure, never allocates, and may be
// called from any goroutine. An unknown action is forbidden.
func Can(action Action, f Facts) Verdict {
	if action == 0 || action >= endOfActions {
		return Forbidden
	}
	t := traits[action]
	v := f.admit(action, t)
	switch {
	case v != Allowed:
		return v
	case t.has(ofRoom):
		v = f.inRoom(action, t)
	default:
		v = f.onServer(action)
	}
	switch {
	case v != Allowed:
		return v
	case t.has(inPerson) && !f.Who.InPerson:
		return InPersonOnly
	case t.has(afresh) && !f.Who.Fresh:
		return Stale
	}
	return Allowed
}

// admit decides whether anything at all may be done with the server as it is, by an
// identity with such a credential. Its verdict does not depend on a room.
func (f *Facts) admit(action Action, t trait) Verdict {
	who := &f.Who
	switch {
	case f.Server.Claim != Claimed && !f.servesUnclaimed(action):
		return Forbidden
	case !who.Active || who.Role > kaban.RoleOwner:
		return Forbidden
	case who.Role == kaban.RoleVisitor && f.Server.Admission != Open && !t.has(noAccount) && (action != Post || !who.Hook):
		return AuthRequired
	case !who.Writes && !t.has(reads):
		return Forbidden
	case who.Reach != ReachServer && !t.has(ofRoom):
		return Forbidden
	}
	return Allowed
}

// servesUnclaimed reports whether a server without an owner allows an action: on
// loopback as if it had one, elsewhere only claiming.
func (f *Facts) servesUnclaimed(action Action) bool {
	return f.Server.Claim == Unclaimed && (f.Server.Local || action == Claim)
}

// mayCreate reports whether the identity may create a public room.
func (f *Facts) mayCreate() bool {
	who := &f.Who
	switch {
	case !who.Writes || who.Reach != ReachServer:
		return false
	case who.Role == kaban.RoleVisitor:
		return who.Named && f.Server.Admission == Open
	case who.Role == kaban.RoleMember:
		return f.Server.MembersCreate
	}
	return who.Role >= kaban.RoleAdmin
}

// mayKnowPerson reports whether the identity may know the other person of the target.
func (f *Facts) mayKnowPerson() bool {
	target := &f.Target
	return target.Whom == Other && target.Role >= kaban.RoleGuest &&
		(f.Who.Role >= kaban.RoleMember || target.SharesRoom)
}
