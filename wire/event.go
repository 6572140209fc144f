package wire

import (
	"bytes"
	"strconv"
	"time"
)

// Event is a frame from a server to a client. Its Type determines which fields are
// set. The strings of an Event from a Reader are copies. They are valid JSON
// strings but not checked against the rules of package kaban.
type Event struct {
	Type   Type
	Ref    string // the ref of the request that this answers
	HasRef bool

	Room     string
	Epoch    string // joined, error
	ID       string // ack, message, error
	Username string // welcome, message
	Content  string // message

	Seq    uint64 // ack, message, unknown
	Head   uint64 // joined, error: the last seq of the room
	Oldest uint64 // error: the first retained seq

	Time      time.Time // ack, message: UTC; sent with milliseconds
	Duplicate bool      // ack: an earlier send had the same id
	Members   int       // joined, presence: the number of members
	More      bool      // history, rooms, members: the list is incomplete

	Session   string        // welcome: a secret for Request.Resume
	Server    string        // welcome: the name and version of the server
	Limits    Limits        // welcome
	Heartbeat time.Duration // welcome: whole seconds

	Messages     []Message  // history, oldest first
	Unknown      []uint64   // history: the seqs of entries of unknown kinds
	Rooms        []RoomInfo // rooms
	Usernames    []string   // members
	Joined, Left []string   // presence

	Code        Code          // error
	Text        string        // error: "message", for people
	Field       string        // error: the invalid field
	Max, Actual int           // error: a limit and the value that exceeds it
	Position    int           // error: the offset of the error
	HasPosition bool          // error
	RetryAfter  time.Duration // error: whole milliseconds; 0 if absent

	Removal        Removal       // parted: "reason", unless the client asked for it
	Reason         Reason        // goodbye
	ReconnectAfter time.Duration // goodbye: whole milliseconds
	HasReconnect   bool          // goodbye: the client should reconnect
}

// Limits are the limits of a server: code points of a username and of a content,
// and bytes of a frame.
type Limits struct{ Username, Content, Frame int }

// Message is an entry of a room's log.
type Message struct {
	Seq      uint64
	ID       string
	Username string
	Content  string
	Time     time.Time // UTC; sent with milliseconds
}

// RoomInfo is a room in a list of rooms.
type RoomInfo struct {
	Room    string
	Head    uint64 // the last seq
	Members int
}

// Message returns the message of a message frame.
func (e *Event) Message() Message {
	return Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: e.Time}
}

// IsEntry reports whether the event stands for an entry of its room's log, and so
// moves the cursor to its Seq: a message, an ack or an entry of an unknown kind.
func (e *Event) IsEntry() bool {
	return e.Type == TypeMessage || e.Type == TypeAck || e.Type == TypeUnknown
}

// Append appends the frame as one line including its "\n". It ignores fields that
// the type does not have. The caller must not pass numbers beyond MaxNumber, which
// readers reject, and must keep the frame within MaxFrame.
func (e *Event) Append(dst []byte) []byte {
	switch e.Type {
	case TypeMessage:
		return AppendMessage(dst, e.Room, e.Message())
	case TypeAck:
		return appendAck(dst, e.Room, e.ID, e.Seq, e.Time, e.Duplicate, e.Ref, e.HasRef)
	}
	dst = appendType(dst, e.Type)
	switch e.Type {
	case TypeWelcome:
		dst = e.appendWelcome(dst)
	case TypeJoined:
		dst = appendRoom(dst, e.Room)
		dst = append(dst, `,"epoch":`...)
		dst = appendString(dst, e.Epoch)
		dst = append(dst, `,"head":`...)
		dst = strconv.AppendUint(dst, e.Head, 10)
		dst = append(dst, `,"members":`...)
		dst = strconv.AppendInt(dst, int64(e.Members), 10)
	case TypeHistory:
		dst = e.appendHistory(dst)
	case TypeParted:
		dst = appendRoom(dst, e.Room)
		if e.Removal != "" {
			dst = append(dst, `,"reason":`...)
			dst = appendString(dst, string(e.Removal))
		}
	case TypeUnknown:
		dst = appendRoom(dst, e.Room)
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, e.Seq, 10)
	case TypeRooms:
		dst = e.appendRooms(dst)
	case TypeMembers:
		dst = appendRoom(dst, e.Room)
		dst = append(dst, `,"usernames":`...)
		dst = appendStrings(dst, e.Usernames)
		dst = appendMore(dst, e.More)
	case TypePresence:
		dst = e.appendPresence(dst)
	case TypeError:
		dst = e.appendError(dst)
	case TypeGoodbye:
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, string(e.Reason))
		if e.HasReconnect {
			dst = append(dst, `,"reconnect_after_ms":`...)
			dst = strconv.AppendInt(dst, e.ReconnectAfter.Milliseconds(), 10)
		}
	}
	return appendEnd(dst, e.Ref, e.HasRef)
}

// AppendMessage appends a message frame as one line including its "\n". It does
// not allocate if dst has enough capacity.
func AppendMessage(dst []byte, room string, m Message) []byte {
	dst = append(dst, `{"type":"message"`...)
	dst = appendRoom(dst, room)
	dst = append(dst, ',')
	dst = appendEntry(dst, &m)
	return append(dst, '}', '\n')
}

// AppendVoid appends a void frame as one line including its "\n". It represents an
// entry that cannot be shown to the reader.
func AppendVoid(dst []byte, room string, seq uint64, t time.Time) []byte {
	dst = append(dst, `{"type":"void"`...)
	dst = appendRoom(dst, room)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, t)
	return append(dst, '}', '\n')
}

// AppendAck appends an ack frame as one line including its "\n". The ref may be
// nil. AppendAck does not allocate if dst has enough capacity.
func AppendAck(dst []byte, ref []byte, room, id string, seq uint64, t time.Time, duplicate bool) []byte {
	return appendAck(dst, room, id, seq, t, duplicate, ref, ref != nil)
}

func appendAck[S chars](dst []byte, room, id string, seq uint64, t time.Time, duplicate bool, ref S, hasRef bool) []byte {
	dst = append(dst, `{"type":"ack"`...)
	dst = appendRoom(dst, room)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, t)
	dst = append(dst, `,"duplicate":`...)
	dst = strconv.AppendBool(dst, duplicate)
	return appendEnd(dst, ref, hasRef)
}

// appendEntry appends the fields that message frames and history pages share,
// starting with "seq".
func appendEntry(dst []byte, m *Message) []byte {
	dst = append(dst, `"seq":`...)
	dst = strconv.AppendUint(dst, m.Seq, 10)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"username":`...)
	dst = appendString(dst, m.Username)
	dst = append(dst, `,"content":`...)
	dst = appendString(dst, m.Content)
	dst = append(dst, `,"time":`...)
	return appendTime(dst, m.Time)
}

func (e *Event) appendWelcome(dst []byte) []byte {
	dst = append(dst, `,"version":1,"session":`...)
	dst = appendString(dst, e.Session)
	dst = append(dst, `,"username":`...)
	dst = appendString(dst, e.Username)
	dst = append(dst, `,"server":`...)
	dst = appendString(dst, e.Server)
	dst = append(dst, `,"limits":{"username":`...)
	dst = strconv.AppendInt(dst, int64(e.Limits.Username), 10)
	dst = append(dst, `,"content":`...)
	dst = strconv.AppendInt(dst, int64(e.Limits.Content), 10)
	dst = append(dst, `,"frame":`...)
	dst = strconv.AppendInt(dst, int64(e.Limits.Frame), 10)
	dst = append(dst, `},"heartbeat":`...)
	return strconv.AppendInt(dst, int64(e.Heartbeat/time.Second), 10)
}

func (e *Event) appendHistory(dst []byte) []byte {
	dst = appendRoom(dst, e.Room)
	dst = append(dst, `,"messages":[`...)
	unknown := e.Unknown
	for i := range e.Messages {
		for len(unknown) > 0 && unknown[0] < e.Messages[i].Seq {
			dst = append(appendVoidElement(dst, unknown[0]), ',')
			unknown = unknown[1:]
		}
		dst = append(dst, '{')
		dst = appendEntry(dst, &e.Messages[i])
		dst = append(dst, '}', ',')
	}
	for _, seq := range unknown {
		dst = append(appendVoidElement(dst, seq), ',')
	}
	dst = append(bytes.TrimSuffix(dst, []byte{','}), ']')
	return appendMore(dst, e.More)
}

// appendVoidElement appends the element of a page for an entry that cannot be shown
// to the reader.
func appendVoidElement(dst []byte, seq uint64) []byte {
	dst = append(dst, `{"type":"void","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

func (e *Event) appendRooms(dst []byte) []byte {
	dst = append(dst, `,"rooms":[`...)
	for i := range e.Rooms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"room":`...)
		dst = appendString(dst, e.Rooms[i].Room)
		dst = append(dst, `,"head":`...)
		dst = strconv.AppendUint(dst, e.Rooms[i].Head, 10)
		dst = append(dst, `,"members":`...)
		dst = strconv.AppendInt(dst, int64(e.Rooms[i].Members), 10)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	return appendMore(dst, e.More)
}

func (e *Event) appendPresence(dst []byte) []byte {
	dst = appendRoom(dst, e.Room)
	dst = append(dst, `,"members":`...)
	dst = strconv.AppendInt(dst, int64(e.Members), 10)
	if len(e.Joined) > 0 {
		dst = append(dst, `,"joined":`...)
		dst = appendStrings(dst, e.Joined)
	}
	if len(e.Left) > 0 {
		dst = append(dst, `,"left":`...)
		dst = appendStrings(dst, e.Left)
	}
	return dst
}

// appendError omits fields that are not set. Zero is a valid value of "actual" if
// the client sent it as a limit or a version, and of the positions in a resync.
func (e *Event) appendError(dst []byte) []byte {
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, string(e.Code))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, e.Text)
	if e.Room != "" {
		dst = appendRoom(dst, e.Room)
	}
	if e.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, e.ID)
	}
	if e.Field != "" {
		dst = append(dst, `,"field":`...)
		dst = appendString(dst, e.Field)
	}
	if e.Max != 0 {
		dst = append(dst, `,"max":`...)
		dst = strconv.AppendInt(dst, int64(e.Max), 10)
	}
	if e.Actual != 0 || e.Code == CodeBadLimit || e.Code == CodeUnsupportedVersion {
		dst = append(dst, `,"actual":`...)
		dst = strconv.AppendInt(dst, int64(e.Actual), 10)
	}
	if e.HasPosition {
		dst = append(dst, `,"position":`...)
		dst = strconv.AppendInt(dst, int64(e.Position), 10)
	}
	if e.RetryAfter != 0 {
		dst = append(dst, `,"retry_after_ms":`...)
		dst = strconv.AppendInt(dst, e.RetryAfter.Milliseconds(), 10)
	}
	resync := e.Code == CodeResync
	if e.Epoch != "" || resync {
		dst = append(dst, `,"epoch":`...)
		dst = appendString(dst, e.Epoch)
	}
	if e.Head != 0 || resync {
		dst = append(dst, `,"head":`...)
		dst = strconv.AppendUint(dst, e.Head, 10)
	}
	if e.Oldest != 0 || resync {
		dst = append(dst, `,"oldest":`...)
		dst = strconv.AppendUint(dst, e.Oldest, 10)
	}
	return dst
}
