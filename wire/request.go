package wire

import (
	"strconv"

	"kaban"
)

// Request is a frame from a client to a server. Its Type determines which fields
// are set. A Request from a Reader is valid: the required fields are present and
// obey the rules of package kaban.
//
// A moderation is one of invite, kick, ban, unban, mute, unmute and role.
type Request struct {
	Type Type
	// Ref is copied into the answer; nil if absent. The Ref of a Request from a
	// Reader is valid until the next call of a method of the Reader.
	Ref []byte

	// Username is the name of a hello or the subject of a moderation. A hello that
	// has a Token, or is allowed to be bare, need not have one (Reader.AllowBareHello).
	Username kaban.Username
	Resume   string // hello; the session of an earlier welcome, or ""
	Token    Secret // hello; or ""
	Password Secret // hello; or ""; excludes Token
	Place    Secret // hello; or "": MinPlace to MaxPlace bytes

	// Room is the room of all types but hello, direct, rooms, me, inbox, away, ping and pong. A search
	// need not have one.
	Room      kaban.RoomName
	Epoch     string // join, watch; or ""
	After     uint64 // join, watch, history: return entries after this seq
	HasAfter  bool
	Before    uint64 // history: return entries before this seq; excludes After. inbox, search: the Next of a page
	HasBefore bool
	AfterName string // rooms, members, me: start after this name, or ""
	Limit     int    // history, rooms, members, me, inbox: 1 to MaxLimit, search: 1 to MaxHits, or 0 if absent
	RepliesTo uint64 // history: return only messages that answer this seq; 0 if absent
	Seq       uint64 // read
	Query     string // search: 1 to MaxQuery bytes; the Reader does not know what they mean
	Zone      string // search: the IANA name of the time zone of its dates, or ""

	ID kaban.MessageID // send, edit, delete, react, pin, topic, set, moderation
	// Message is the message of a send, or what an edit makes of one. Its author is not
	// on the wire but comes from Reader.SetAuthor. Without an author it is the zero
	// Message.
	// It is also the zero Message of a send that has Files and no content, and of an edit that
	// takes the text of a message away.
	Message kaban.Message
	ReplyTo uint64   // send: the seq of the message that it answers; 0 if absent
	Files   []string // send: the ids of its files, at most kaban.MaxFiles, none of them twice
	// Target is the seq of the message that an edit, delete, react or pin changes, from 1.
	Target uint64
	Base   uint64 // edit: the seq of the version that it replaces; 0 if absent
	Emoji  string // react: 1 to MaxEmoji bytes; the Reader does not know which are emoji
	On     bool   // react, pin

	Usernames []kaban.Username // direct: 1 to kaban.MaxDirect different names
	Topic     string           // topic, create: one line of at most MaxTopic code points
	Reason    string           // moderation, delete: one line of at most MaxReason code points, or ""
	Until     int64            // ban, away: the end, in milliseconds since 1970 UTC; 0 is never
	Away      bool             // away
	Status    string           // away: "text", one line of at most MaxStatus code points, or ""

	Role  kaban.RoomRole    // role
	Level kaban.NotifyLevel // notify
	Kind  kaban.RoomKind    // create, set: public or private; 0 if absent
	// Flags are the flags of a create or, if HasFlags, those that a set puts in
	// place of all others. FlagArchived is never in a set, which has Archived.
	Flags       kaban.RoomFlags
	HasFlags    bool
	Archived    bool // set
	HasArchived bool
	History     string // set: HistoryAll or HistoryJoined, or "" if absent
}

// The settings of how much of a private room's log new members see.
const (
	HistoryAll    = "all"
	HistoryJoined = "joined" // only what comes after they joined
)

// IsModeration reports whether requests of this type concern a member of a room.
func (t Type) IsModeration() bool { return t >= TypeInvite && t <= TypeRole }

// Append appends the frame as one line including its "\n". It ignores fields that
// the type does not have.
func (r *Request) Append(dst []byte) []byte {
	dst = appendType(dst, r.Type)
	if r.hasRoom() {
		dst = appendRoom(dst, r.Room.String())
	}
	if r.hasID() {
		dst = appendText(dst, fID, r.ID.String())
	}
	switch r.Type {
	case TypeHello:
		dst = r.appendHello(dst)
	case TypeJoin, TypeWatch:
		dst = appendNonEmpty(dst, fEpoch, r.Epoch)
		dst = r.appendAfter(dst)
	case TypeSend:
		dst = appendText(dst, fContent, r.Message.Content())
		dst = appendPositive(dst, fReplyTo, r.ReplyTo)
		if len(r.Files) > 0 {
			dst = appendTexts(dst, fFiles, r.Files)
		}
	case TypeEdit, TypeDelete, TypeReact, TypePin:
		dst = r.appendMessageChange(dst)
	case TypeHistory:
		dst = appendPositive(dst, fRepliesTo, r.RepliesTo)
		if r.HasBefore {
			dst = appendCount(dst, fBefore, r.Before)
		}
		dst = r.appendAfter(dst)
		dst = r.appendLimit(dst)
	case TypeAway:
		dst = appendBool(dst, fAway, r.Away)
		dst = appendNonEmpty(dst, fText, r.Status)
		dst = r.appendUntil(dst)
	case TypeInbox:
		if r.HasBefore {
			dst = appendCount(dst, fBefore, r.Before)
		}
		dst = r.appendLimit(dst)
	case TypeSearch:
		dst = appendText(dst, fQuery, r.Query)
		if !r.Room.IsZero() {
			dst = appendRoom(dst, r.Room.String())
		}
		dst = appendNonEmpty(dst, fZone, r.Zone)
		if r.HasBefore {
			dst = appendCount(dst, fBefore, r.Before)
		}
		dst = r.appendLimit(dst)
	case TypeRooms, TypeMembers, TypeMe:
		dst = appendNonEmpty(dst, fAfter, r.AfterName)
		dst = r.appendLimit(dst)
	case TypeCreate:
		dst = appendText(dst, fKind, r.Kind.String())
		dst = appendNonEmpty(dst, fTopic, r.Topic)
		if r.Flags != 0 {
			dst = appendTexts(dst, fFlags, r.Flags.Texts())
		}
	case TypeDirect:
		dst = r.appendUsernames(dst)
	case TypeInvite, TypeKick, TypeBan, TypeUnban, TypeMute, TypeUnmute, TypeRole:
		dst = r.appendModeration(dst)
	case TypeTopic:
		dst = appendText(dst, fTopic, r.Topic)
	case TypeSet:
		dst = r.appendSettings(dst)
	case TypeRead, TypeUnread:
		dst = appendCount(dst, fSeq, r.Seq)
	case TypeNotify:
		dst = appendText(dst, fLevel, r.Level.String())
	}
	return appendEnd(dst, r.Ref, r.Ref != nil)
}

func (r *Request) hasRoom() bool {
	switch r.Type {
	case TypeHello, TypeDirect, TypeRooms, TypeMe, TypeInbox, TypeAway, TypePing, TypePong, TypeSearch:
		return false
	}
	return true
}

func (r *Request) hasID() bool {
	return r.Type == TypeSend || r.Type == TypeTopic || r.Type == TypeSet || r.Type.ChangesMessage() || r.Type.IsModeration()
}

func (r *Request) appendMessageChange(dst []byte) []byte {
	dst = appendCount(dst, fTarget, r.Target)
	switch r.Type {
	case TypeEdit:
		dst = appendText(dst, fContent, r.Message.Content())
		return appendPositive(dst, fBase, r.Base)
	case TypeDelete:
		return appendNonEmpty(dst, fReason, r.Reason)
	case TypeReact:
		dst = appendText(dst, fEmoji, r.Emoji)
	}
	return appendBool(dst, fOn, r.On)
}

func (r *Request) appendHello(dst []byte) []byte {
	dst = append(dst, `,"version":1`...)
	dst = appendNonEmpty(dst, fUsername, r.Username.String())
	dst = appendNonEmpty(dst, fToken, string(r.Token))
	dst = appendNonEmpty(dst, fPassword, string(r.Password))
	dst = appendNonEmpty(dst, fPlace, string(r.Place))
	return appendNonEmpty(dst, fResume, r.Resume)
}

func (r *Request) appendUsernames(dst []byte) []byte {
	names := make([]string, len(r.Usernames))
	for i := range r.Usernames {
		names[i] = r.Usernames[i].String()
	}
	return appendTexts(dst, fUsernames, names)
}

func (r *Request) appendModeration(dst []byte) []byte {
	dst = appendText(dst, fUsername, r.Username.String())
	if r.Type == TypeRole {
		dst = appendText(dst, fRole, r.Role.String())
	}
	if r.Type == TypeBan {
		dst = r.appendUntil(dst)
	}
	return appendNonEmpty(dst, fReason, r.Reason)
}

func (r *Request) appendUntil(dst []byte) []byte { return appendPositive(dst, fUntil, uint64(r.Until)) }

func (r *Request) appendSettings(dst []byte) []byte {
	if r.Kind != 0 {
		dst = appendText(dst, fKind, r.Kind.String())
	}
	if r.HasFlags {
		dst = appendTexts(dst, fFlags, (r.Flags &^ kaban.FlagArchived).Texts())
	}
	dst = appendNonEmpty(dst, fHistory, r.History)
	if r.HasArchived {
		dst = appendBool(dst, fArchived, r.Archived)
	}
	return dst
}

func (r *Request) appendAfter(dst []byte) []byte {
	if r.HasAfter {
		dst = appendCount(dst, fAfter, r.After)
	}
	return dst
}

func (r *Request) appendLimit(dst []byte) []byte {
	if r.Limit != 0 {
		dst = append(dst, `,"limit":`...)
		dst = strconv.AppendInt(dst, int64(r.Limit), 10)
	}
	return dst
}
