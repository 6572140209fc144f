// Package wire implements kaban/1, the protocol between server and clients: one
// JSON object per line, UTF-8, in both directions. Server and SDK share it.
//
// A Reader parses bytes into frames. It is strict: a line is a valid frame or an
// error, never something in between. No input makes it panic or buffer more than
// one line, and it reports a line that is too long as soon as it reaches the limit.
// Every Request it returns has valid names, ids and contents.
//
// The Append functions always write one line of valid JSON. The caller must keep
// it within MaxFrame. Frames without a list always fit if their names, ids and
// contents are valid by package kaban.
//
// The package knows neither connections nor the order of frames. It starts no
// goroutines, and its types are not safe for concurrent use.
package wire

const (
	// MaxFrame is the longest line in bytes, without its "\n" or "\r\n".
	MaxFrame = 65536
	// MaxHelloFrame is the longest line from a client before its welcome. It
	// bounds the memory of connections that have not identified themselves.
	MaxHelloFrame = 4096
	// MaxRef is the longest ref in bytes.
	MaxRef = 64
	// MaxLimit is the most items a request may ask for.
	MaxLimit = 500
	// MaxNesting is the maximum depth of objects and arrays. The frame itself has
	// depth 1.
	MaxNesting = 8
	// MaxNumber is the largest number, and its negative the smallest. A JavaScript
	// number represents all integers in this range exactly (RFC 8259, section 6).
	MaxNumber = 1<<53 - 1
	// MaxToken is the longest token of a hello in bytes.
	MaxToken = 256
	// MaxPassword is the longest password in bytes.
	MaxPassword = 1024
	// MinPlace and MaxPlace bound the secret of a place, in bytes.
	MinPlace = 32
	MaxPlace = 128
	// MaxTopic is the longest topic of a room in code points.
	MaxTopic = 512
	// MaxReason is the longest reason of an act of moderation, or of a deletion, in code
	// points.
	MaxReason = 256
	// MaxStatus is the longest text of an away in code points.
	MaxStatus = 128
	// MaxInbox is the most mentions in a page of the inbox.
	MaxInbox = 100
	// MaxEmoji is the longest emoji of a react in bytes. Which of them are emoji is for the
	// server to know.
	MaxEmoji = 64
	// MaxQuery is the longest query of a search in bytes.
	MaxQuery = 1024
	// MaxHits is the largest limit of a search.
	MaxHits = 100
	// MaxReactors is how many of those that have reacted with an emoji a Reaction names.
	MaxReactors = 5
	// Version is the version of the protocol.
	Version = 1
)

// Type is the type of a frame. The zero Type is an unknown type.
type Type uint8

// The types of frames. History, rooms, members, ping, pong, me, topic, typing, inbox, edit,
// delete, react and pin are both requests and events.
const (
	// TypeUnknown is the type of an entry that this version cannot show: its kind is
	// not known, or it is void.
	TypeUnknown Type = iota

	// Requests.

	TypeHello
	TypeJoin
	TypeSend
	TypeEdit
	TypeDelete
	TypeReact
	TypePin
	TypeHistory
	TypeSearch
	TypePart
	TypeRooms
	TypeMembers
	TypePing
	TypePong
	TypeMe
	TypeCreate
	TypeDirect
	TypeInvite
	TypeKick
	TypeBan
	TypeUnban
	TypeMute
	TypeUnmute
	TypeRole
	TypeTopic
	TypeSet
	TypeRead
	TypeUnread
	TypeNotify
	TypeWatch
	TypeUnwatch
	TypeInbox
	TypeAway
	TypeTyping

	// Events.

	TypeWelcome
	TypeJoined
	TypeWatching
	TypeAck
	TypeOK
	TypeCreated
	TypeParted
	TypeMessage
	TypeMember
	TypeRoom
	TypeState
	TypeNotifications
	TypeFound
	TypePresence
	TypeError
	TypeGoodbye
)

var typeNames = [...]string{
	TypeUnknown:       "unknown",
	TypeHello:         "hello",
	TypeJoin:          "join",
	TypeSend:          "send",
	TypeEdit:          "edit",
	TypeDelete:        "delete",
	TypeReact:         "react",
	TypePin:           "pin",
	TypeHistory:       "history",
	TypeSearch:        "search",
	TypePart:          "part",
	TypeRooms:         "rooms",
	TypeMembers:       "members",
	TypePing:          "ping",
	TypePong:          "pong",
	TypeMe:            "me",
	TypeCreate:        "create",
	TypeDirect:        "direct",
	TypeInvite:        "invite",
	TypeKick:          "kick",
	TypeBan:           "ban",
	TypeUnban:         "unban",
	TypeMute:          "mute",
	TypeUnmute:        "unmute",
	TypeRole:          "role",
	TypeTopic:         "topic",
	TypeSet:           "set",
	TypeRead:          "read",
	TypeUnread:        "unread",
	TypeNotify:        "notify",
	TypeWatch:         "watch",
	TypeUnwatch:       "unwatch",
	TypeInbox:         "inbox",
	TypeAway:          "away",
	TypeTyping:        "typing",
	TypeWelcome:       "welcome",
	TypeJoined:        "joined",
	TypeWatching:      "watching",
	TypeAck:           "ack",
	TypeOK:            "ok",
	TypeCreated:       "created",
	TypeParted:        "parted",
	TypeMessage:       "message",
	TypeMember:        "member",
	TypeRoom:          "room",
	TypeState:         "state",
	TypeNotifications: "notifications",
	TypeFound:         "found",
	TypePresence:      "presence",
	TypeError:         "error",
	TypeGoodbye:       "goodbye",
}

// String returns the name of the type on the wire, or "unknown".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[TypeUnknown]
}

// typeOf returns the type with a name, or 0. The compiler turns the switch into a
// binary search that does not allocate.
func typeOf(name []byte) Type {
	switch string(name) {
	case "hello":
		return TypeHello
	case "join":
		return TypeJoin
	case "send":
		return TypeSend
	case "edit":
		return TypeEdit
	case "delete":
		return TypeDelete
	case "react":
		return TypeReact
	case "pin":
		return TypePin
	case "history":
		return TypeHistory
	case "search":
		return TypeSearch
	case "part":
		return TypePart
	case "rooms":
		return TypeRooms
	case "members":
		return TypeMembers
	case "ping":
		return TypePing
	case "pong":
		return TypePong
	case "me":
		return TypeMe
	case "create":
		return TypeCreate
	case "direct":
		return TypeDirect
	case "invite":
		return TypeInvite
	case "kick":
		return TypeKick
	case "ban":
		return TypeBan
	case "unban":
		return TypeUnban
	case "mute":
		return TypeMute
	case "unmute":
		return TypeUnmute
	case "role":
		return TypeRole
	case "topic":
		return TypeTopic
	case "set":
		return TypeSet
	case "read":
		return TypeRead
	case "unread":
		return TypeUnread
	case "notify":
		return TypeNotify
	case "watch":
		return TypeWatch
	case "unwatch":
		return TypeUnwatch
	case "inbox":
		return TypeInbox
	case "away":
		return TypeAway
	case "typing":
		return TypeTyping
	case "welcome":
		return TypeWelcome
	case "joined":
		return TypeJoined
	case "watching":
		return TypeWatching
	case "ack":
		return TypeAck
	case "ok":
		return TypeOK
	case "created":
		return TypeCreated
	case "parted":
		return TypeParted
	case "message":
		return TypeMessage
	case "member":
		return TypeMember
	case "room":
		return TypeRoom
	case "state":
		return TypeState
	case "notifications":
		return TypeNotifications
	case "found":
		return TypeFound
	case "presence":
		return TypePresence
	case "error":
		return TypeError
	case "goodbye":
		return TypeGoodbye
	}
	return TypeUnknown
}

// IsRequest reports whether clients send frames of this type.
func (t Type) IsRequest() bool { return t >= TypeHello && t <= TypeTyping }

func (t Type) isEvent() bool {
	switch t {
	case TypeHistory, TypeRooms, TypeMembers, TypePing, TypePong, TypeMe, TypeTopic, TypeTyping, TypeInbox:
		return true
	}
	return t >= TypeWelcome && t <= TypeGoodbye || t.ChangesMessage()
}

// ChangesMessage reports whether requests and entries of this type change a message: their
// target.
func (t Type) ChangesMessage() bool { return t >= TypeEdit && t <= TypePin }

// isChange reports whether events of this type are entries that are no messages.
func (t Type) isChange() bool {
	return t == TypeMember || t == TypeTopic || t == TypeRoom || t.ChangesMessage()
}
