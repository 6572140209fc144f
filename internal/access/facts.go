package access

import (
	"fmt"

	"kaban"
)

// Facts are all that a decision depends on. The zero value of each fact is the one
// that allows least, so that forgetting one denies too much and never too little.
// Facts have no pointers; they are to be copied.
type Facts struct {
	Server     Server
	Who        Identity
	Room       Room
	Membership Membership
	Target     Target
}

// Server are the facts about the server and the listener.
type Server struct {
	// Claim is whether the server has an owner.
	Claim ClaimState
	// Local is set if the listener is on loopback and no proxy is in front of it.
	Local bool
	// Admission is the setting `access`.
	Admission Admission
	// MembersCreate is set if members may create public rooms, not only admins: the
	// setting `create_rooms`.
	MembersCreate bool
	// MembersInvite is set if members may invite members to the server, not only
	// admins.
	MembersInvite bool
}

// ClaimState is whether the server has an owner. In the zero value, unknown, nothing
// is allowed.
type ClaimState uint8

// The states.
const (
	Unclaimed ClaimState = iota + 1 // only local listeners serve, and nobody has an account
	Claimed
)

// Admission is the setting `access`: who comes in without an admin's help. A greater
// value admits more people. The zero value is Closed.
type Admission uint8

// The settings.
const (
	Closed       Admission = iota // admins and single sign-on make accounts
	InviteOnly                    // an invite link makes an account
	Registration                  // anybody may sign up
	Open                          // and visitors need no account
)

var admissionTexts = [...]string{"closed", "invite", "signup", "open"}

// ParseAdmission returns the setting with a text such as "invite".
func ParseAdmission(s string) (Admission, error) {
	for i, text := range admissionTexts {
		if s == text {
			return Admission(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a setting of access; use one of %q", s, admissionTexts)
}

// String returns the text of a setting.
func (a Admission) String() string {
	if int(a) < len(admissionTexts) {
		return admissionTexts[a]
	}
	return fmt.Sprintf("unknown %d", uint8(a))
}

// Identity are the facts about whoever acts, and about the credential.
type Identity struct {
	// Role is the account's role on the server. A visitor has none. A bot's role is
	// limited by its owner's; see Limit.
	Role kaban.Role
	// Active is set if the account is neither suspended nor removed; always for
	// visitors and hooks.
	Active bool
	// Named is set if a visitor has a name: for all but an anonymous reader.
	Named bool
	// Person is set for everybody but bots and hooks.
	Person bool
	// InPerson is set unless a program acts: whoever shows a token, as every bot does, or
	// a hook. An account acts in person by one of its devices.
	InPerson bool
	// Fresh is set if somebody has proved themselves lately on the device that acts. Where
	// nobody can, it is set: for a token, whose making took it, and for the operator.
	Fresh bool
	// Hook is set for an incoming webhook, whose role is that of a visitor.
	Hook bool
	// Invited is set for somebody without an account that holds a valid invite link.
	Invited bool
	// Operator is set for a command in the data directory, directly or over the admin
	// socket there. It acts with the role of an owner.
	Operator bool
	// Reach is where the credential is valid. Without a credential it is
	// ReachServer.
	Reach Reach
	// Writes is set unless the credential is for reading only.
	Writes bool
}

// Reach is where a credential is valid.
type Reach uint8

// The values.
const (
	ReachElsewhere Reach = iota // bound to other rooms than this one
	ReachRoom                   // bound to some rooms, and this is one of them
	ReachServer                 // not bound to rooms
)

// Room are the facts about a room. The zero value is no room.
type Room struct {
	kind    kaban.RoomKind
	flags   kaban.RoomFlags
	otherOp bool
}

// NewRoom returns the facts about a room that exists. Ask with RoomDirect for any name
// that only a direct room can have, even if there is no such room. otherOp is set if
// a person other than the identity is an op in the room; bots do not count, since they
// lose their role with their owner's.
func NewRoom(kind kaban.RoomKind, flags kaban.RoomFlags, otherOp bool) Room {
	return Room{kind: kind, flags: flags, otherOp: otherOp}
}

// Membership are the facts about the identity in the room.
type Membership struct {
	// Role is its role there, zero for no member. In direct rooms, and for visitors,
	// every role is that of a member.
	Role kaban.RoomRole
	// Standing is whether it is banned or muted there.
	Standing Standing
	// Invited is set if it has an invitation to the room and did not accept it yet.
	Invited bool
}

// Standing is what moderation left somebody in a room. A greater value allows more.
type Standing uint8

// The values.
const (
	Banned Standing = iota
	Muted
	Good
)

// Target are the facts about the person or entry that an action is done to. Zero
// facts are right for actions without a target.
type Target struct {
	// Whom is whether the person is the identity itself.
	Whom Whom
	// Role is the person's role on the server. A visitor has no account.
	Role kaban.Role
	// RoomRole is the person's role in the room, zero for no member.
	RoomRole kaban.RoomRole
	// Standing is whether the person is banned or muted in the room.
	Standing Standing
	// NewRole is the role that ChangeRole gives.
	NewRole kaban.Role
	// NewRoomRole is the role that SetRoomRole gives.
	NewRoomRole kaban.RoomRole
	// SharesRoom is set if the identity and the person are in a room together.
	SharesRoom bool
	// Reachable is set if the person has not blocked the identity. The person of
	// whatever is added to a direct room of two is the other one; in a larger direct
	// room Reachable is always set.
	Reachable bool
	// OwnersIn is set if each bot that would be in a direct room, the identity included,
	// would be in it together with its owner. OpenDirect alone depends on it.
	OwnersIn bool
	// OtherOwner is set if an active owner other than the person exists.
	OtherOwner bool
	// Author is set if the identity is the author of the entry.
	Author bool
}

// Whom is whether a target is the identity itself.
type Whom uint8

// The values.
const (
	Nobody Whom = iota // there is no such person
	Self
	Other
)
