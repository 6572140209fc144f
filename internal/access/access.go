// Package access decides who may do what: one pure function over facts. Package
// chat gathers the facts and asks it before everything that reads, writes or lists,
// whatever the front end.
//
// An identity that may not know of a room gets the same verdict as if there were no
// such room. The only exceptions are Create, CreatePrivate and Join for those who may
// create a room: they learn that the name is taken.
//
// The decision is as good as the facts: it does not read them, so a change that races
// with it must be excluded by the caller, in the commit.
//
// docs/permissions.md is generated from Can.
package access

// Action is something to be done on the server or in a room.
type Action uint8

// The actions in rooms. Those that the table of a room kind does not mention are
// forbidden there.
const (
	// Know is to learn of a room: its name, head and number of members.
	Know Action = iota + 1
	// Read is to read its log, files and members, now or as they change, and to
	// search it.
	Read
	// Create is to make a public room. The room's facts are those of the room that
	// has the name, if any.
	Create
	// Join is to become a member, which creates a public room if there is none, or to
	// subscribe as a member.
	Join
	// Send is to add a message, a reply or a file as a member.
	Send
	// Post is to send without having joined on a connection: over HTTP, or by a hook.
	Post
	// CreatePrivate is to make a private room.
	CreatePrivate
	// Mark is to keep one's own place in a room: what one has read, when to notify.
	Mark
	// Part is to end one's own membership.
	Part
	// Ring is to send a message that rings everyone.
	Ring
	// React is to add a reaction to an entry, or take it back.
	React
	// Edit is to change the content of a message.
	Edit
	// Delete is to remove the content of a message.
	Delete
	// SetTopic is to change the topic.
	SetTopic
	// Pin is to pin an entry or unpin it.
	Pin
	// Invite is to make somebody else a member.
	Invite
	// Kick is to end somebody else's membership.
	Kick
	// Ban is to kick somebody and keep them out.
	Ban
	// Unban is to end a ban.
	Unban
	// Mute is to keep somebody from adding entries.
	Mute
	// Unmute is to end a mute.
	Unmute
	// SetRoomRole is to change the role of a member to Target.NewRoomRole: somebody
	// else's, or one's own.
	SetRoomRole
	// SetFlags is to change whether a room is an announce room or locked.
	SetFlags
	// SetHistory is to change what later members see of the past.
	SetHistory
	// MakePrivate is to turn a public room into a private one. No other change of kind
	// is an action.
	MakePrivate
	// Archive is to end all activity in a room.
	Archive
	// Unarchive is to undo Archive.
	Unarchive
	// Appoint is to make a member op without being one and without reading the room.
	Appoint
	// SeeHooks is to list the incoming webhooks of a room, without their keys. If no room
	// has their name, ask as of a public one.
	SeeHooks
	// AddHook is to make an incoming webhook for a room, and the room if there is none.
	AddHook
	// RemoveHook is to end an incoming webhook of a room; see SeeHooks.
	RemoveHook

	// The actions on the server.

	// OpenDirect is to open a direct room with somebody; ask for each of the others.
	OpenDirect
	// KnowPerson is to learn that an account exists: to list, find or complete it.
	KnowPerson
	// Block is to stop direct messages and rings from somebody, or to allow them again.
	Block
	// ReadDevices is to list one's own devices and tokens.
	ReadDevices
	// RevokeDevice is to end one of one's own devices or tokens.
	RevokeDevice
	// Upload is to keep a file for oneself, which a message may have. To add it to one is Send
	// or Post.
	Upload
	// ChangeProfile is to change one's own name, picture or notifications.
	ChangeProfile
	// Subscribe is to have one's own browser notified while the page is closed, or not any more,
	// and to say what it is told.
	Subscribe
	// ChangeCredentials is to change what one signs in with, or to let a device in.
	ChangeCredentials
	// TendCredentials is to name what one signs in with, to finish what ChangeCredentials
	// began, to prove oneself again, or to turn a device away.
	TendCredentials
	// MakeToken is to make a token for oneself.
	MakeToken
	// MakeBot is to make a bot of one's own, or a token for it.
	MakeBot
	// Claim is to become the first owner. Another secret proves the right to do it.
	Claim
	// SignUp is to make an account for oneself.
	SignUp
	// InviteMember is to make a link by which somebody becomes a member of the server.
	InviteMember
	// InviteGuest is to make a link by which somebody becomes a guest.
	InviteGuest
	// RevokeInvite is to end a link that somebody else has made.
	RevokeInvite
	// CreateAccount is to make an account for somebody else.
	CreateAccount
	// Suspend is to keep an account from signing in.
	Suspend
	// Restore is to undo Suspend.
	Restore
	// Reset is to replace an account's ways of signing in by a link.
	Reset
	// ChangeRole is to change the role of an account to Target.NewRole: somebody
	// else's, or one's own.
	ChangeRole
	// Remove is to end an account.
	Remove
	// Erase is to remove what is stored about an account.
	Erase
	// GiveBot is to give a bot to another owner. The target is the bot.
	GiveBot
	// ReadAudit is to read who administered what.
	ReadAudit
	// ReadSettings is to read the settings of the server.
	ReadSettings
	// ChangeSettings is to change the settings of the server, or to attribute what a
	// visitor has written to an account.
	ChangeSettings
	// ChangeSignOn is to change the provider of single sign-on.
	ChangeSignOn
	// ChangeRetention is to change how long data are kept.
	ChangeRetention
	// LinkIdentity is to link an identity at the provider of single sign-on to somebody's
	// account, which is a way into it.
	LinkIdentity
	// NameFile is to name a file that the server reads, or to change who gets what is in
	// it.
	NameFile
	// Export is to copy a room's log out of the server, or everything if the facts
	// have no room.
	Export

	endOfActions
)

var actionTexts = [endOfActions]string{
	Know: "know", Read: "read", Create: "create a public room", Join: "join", Send: "send",
	Post: "post", CreatePrivate: "create a private room", Mark: "mark", Part: "part",
	Ring: "ring everyone", React: "react", Edit: "edit", Delete: "delete",
	SetTopic: "set the topic", Pin: "pin", Invite: "invite", Kick: "kick", Ban: "ban",
	Unban: "unban", Mute: "mute", Unmute: "unmute", SetRoomRole: "set a room role",
	SetFlags: "set flags", SetHistory: "set history", MakePrivate: "make private",
	Archive: "archive", Unarchive: "unarchive", Appoint: "appoint an op",
	SeeHooks: "see hooks", AddHook: "add a hook", RemoveHook: "remove a hook",
	OpenDirect: "open a direct room", KnowPerson: "know a person", Block: "block",
	ReadDevices: "read devices", RevokeDevice: "revoke a device",
	Upload:        "upload a file",
	ChangeProfile: "change the profile", Subscribe: "subscribe to pushes", ChangeCredentials: "change credentials", TendCredentials: "tend credentials", MakeToken: "make a token", MakeBot: "make a bot",
	Claim: "claim the server", SignUp: "sign up", InviteMember: "invite a member to the server",
	InviteGuest: "invite a guest to the server", RevokeInvite: "revoke an invite of somebody else", CreateAccount: "create an account",
	Suspend: "suspend", Restore: "restore", Reset: "reset", ChangeRole: "change a role",
	Remove: "remove", Erase: "erase", GiveBot: "give a bot away", ReadAudit: "read the audit",
	ReadSettings: "read settings", ChangeSettings: "change settings", ChangeSignOn: "change single sign-on",
	ChangeRetention: "change retention", LinkIdentity: "link an identity", NameFile: "name a file of the server", Export: "export",
}

// Actions returns all actions.
func Actions() []Action {
	all := make([]Action, 0, endOfActions-1)
	for a := Action(1); a < endOfActions; a++ {
		all = append(all, a)
	}
	return all
}

// String returns a verb phrase such as "kick".
func (a Action) String() string {
	if a == 0 || a >= endOfActions {
		return "unknown action"
	}
	return actionTexts[a]
}

// Verdict is a decision.
type Verdict uint8

// The verdicts.
const (
	// Allowed: it may be done.
	Allowed Verdict = iota
	// NotFound: as far as the identity may know there is no such room, or no such
	// person.
	NotFound
	// NotJoined: only members may do it.
	NotJoined
	// Forbidden: the identity may not do it.
	Forbidden
	// AuthRequired: only somebody with an account may do it.
	AuthRequired
	// RoomTaken: the identity may create a room, but the name is in use.
	RoomTaken
	// LastOwner: the server would have no owner.
	LastOwner
	// LastOp: a private room would have no op.
	LastOp
	// InPersonOnly: the account may do it, but not by a program; see Identity.InPerson.
	InPersonOnly
	// Stale: the account may do it after it has proved itself again; see Identity.Fresh.
	Stale

	endOfVerdicts
)

var verdictTexts = [endOfVerdicts]string{
	Allowed: "allowed", NotFound: "not_found", NotJoined: "not_joined", Forbidden: "forbidden",
	AuthRequired: "auth_required", RoomTaken: "room_taken", LastOwner: "last_owner", LastOp: "last_op",
	InPersonOnly: "forbidden", Stale: "forbidden",
}

// Verdicts returns all verdicts.
func Verdicts() []Verdict {
	all := make([]Verdict, endOfVerdicts)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// String returns the code of the protocol that says the verdict, or "allowed".
func (v Verdict) String() string {
	if v >= endOfVerdicts {
		return "unknown verdict"
	}
	return verdictTexts[v]
}
