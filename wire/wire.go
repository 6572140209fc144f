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
	// Version is the version of the protocol.
	Version = 1
)

// Type is the type of a frame. The zero Type is an unknown type.
type Type uint8

// The types of frames. History, rooms, members, ping and pong are both requests
// and events.
const (
	// TypeUnknown is the type of an entry whose kind this version does not know.
	TypeUnknown Type = iota
	TypeHello
	TypeJoin
	TypeSend
	TypeHistory
	TypePart
	TypeRooms
	TypeMembers
	TypePing
	TypePong
	TypeWelcome
	TypeJoined
	TypeAck
	TypeParted
	TypeMessage
	TypePresence
	TypeError
	TypeGoodbye
)

var typeNames = [...]string{
	TypeUnknown:  "unknown",
	TypeHello:    "hello",
	TypeJoin:     "join",
	TypeSend:     "send",
	TypeHistory:  "history",
	TypePart:     "part",
	TypeRooms:    "rooms",
	TypeMembers:  "members",
	TypePing:     "ping",
	TypePong:     "pong",
	TypeWelcome:  "welcome",
	TypeJoined:   "joined",
	TypeAck:      "ack",
	TypeParted:   "parted",
	TypeMessage:  "message",
	TypePresence: "presence",
	TypeError:    "error",
	TypeGoodbye:  "goodbye",
}

// String returns the name of the type on the wire, or "unknown".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[TypeUnknown]
}

// typeOf returns the type with a name, or 0.
func typeOf(name []byte) Type {
	switch string(name) {
	case "hello":
		return TypeHello
	case "join":
		return TypeJoin
	case "send":
		return TypeSend
	case "history":
		return TypeHistory
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
	case "welcome":
		return TypeWelcome
	case "joined":
		return TypeJoined
	case "ack":
		return TypeAck
	case "parted":
		return TypeParted
	case "message":
		return TypeMessage
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
func (t Type) IsRequest() bool { return t >= TypeHello && t <= TypePong }

func (t Type) isEvent() bool {
	return t >= TypeWelcome && t <= TypeGoodbye || t >= TypeRooms && t <= TypePong || t == TypeHistory
}
