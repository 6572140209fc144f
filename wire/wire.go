// Package wire is kaban/1, the protocol between server and clients: one JSON
// object per line, UTF-8, in both directions. Server and SDK share it.
//
// A Reader turns bytes into frames and is strict: a line is a frame as a whole
// or an error that says what is wrong with it, never something in between.
// Whatever the peer sends, it does not panic, it reports a line that is too
// long when the limit is reached, and it holds no more than one line. A
// Request that it returns holds only valid names, ids and contents.
//
// What Append and its kin write is always one line of valid JSON. That it fits
// a frame is up to the caller; with names, ids and contents that package kaban
// accepts, every frame without a list does.
//
// The package knows neither connections nor the order of frames: what may be
// said when is the business of who uses it. Nothing here is safe for use by
// several goroutines at once, and nothing starts one.
package wire

const (
	// MaxFrame is the longest line in bytes, without its "\n" or "\r\n".
	MaxFrame = 65536
	// MaxHelloFrame is the longest line to the server before it said welcome:
	// who has not said who they are gets no more memory than this.
	MaxHelloFrame = 4096
	// MaxRef is the longest ref in bytes.
	MaxRef = 64
	// MaxLimit is the most that can be asked for at once.
	MaxLimit = 500
	// MaxNesting is how deep objects and arrays may lie in each other; the
	// frame itself is the first.
	MaxNesting = 8
	// MaxNumber is the greatest number, and its negative the least: the whole
	// numbers that a JavaScript number holds exactly (RFC 8259, section 6).
	MaxNumber = 1<<53 - 1
	// Version is the version of the protocol.
	Version = 1
)

// Type is the type of a frame.
type Type uint8

// The types of frames. History, rooms, members, ping and pong serve in both
// directions.
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

// String returns the name of the type on the wire, "unknown" for others.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[TypeUnknown]
}

// typeOf returns the type with a name, or TypeUnknown.
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

func (t Type) isRequest() bool { return t >= TypeHello && t <= TypePong }

func (t Type) isEvent() bool {
	return t >= TypeWelcome && t <= TypeGoodbye || t >= TypeRooms && t <= TypePong || t == TypeHistory
}
