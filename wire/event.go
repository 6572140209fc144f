package wire

import (
	"strconv"
	"time"

	"kaban"
)

// Event is a frame from a server to a client. Its Type determines which fields are
// set. The strings of an Event from a Reader are copies. They are valid JSON
// strings but not checked against the rules of package kaban.
type Event struct {
	Type   Type
	Ref    string // the ref of the request that this answers
	HasRef bool

	Room     string
	Epoch    string      // joined, watching, error
	ID       string      // ack, message, error
	Username string      // welcome, message
	AuthorID string      // message: "account", as in Message
	Bot      bool        // message: as in Message
	ReplyTo  uint64      // message: as in Message
	Content  string      // message
	Edited   Edited      // message
	Deleted  bool        // message
	Files    kaban.Files // message

	Seq    uint64 // ack, message, changes, unknown
	Head   uint64 // joined, watching, error: the last seq of the room
	Oldest uint64 // error: the first retained seq

	Time      time.Time // ack, message: UTC; sent with milliseconds
	Duplicate bool      // ack: an earlier send had the same id
	Members   int       // joined, watching, presence: the number of members
	More      bool      // history, rooms, members, me, inbox, found: the list is incomplete

	Session   string        // welcome: a secret for Request.Resume; "" for an account
	Account   *Account      // welcome, me; nil for a visitor
	Token     Secret        // welcome: the secret of a new device, after a password; or ""
	Web       string        // welcome: the http or https address of the server's page, for an account; or ""
	Server    string        // welcome: the name and version of the server
	Limits    Limits        // welcome
	Heartbeat time.Duration // welcome: whole seconds

	Change *Change // member, topic, room, edit, delete, react, pin

	Entries      []Entry           // history, oldest first
	First, Last  uint64            // history: the seqs that the page covers; 0 if it is empty
	AsOf         uint64            // history: the seq up to which its messages have been changed
	Rooms        []RoomInfo        // rooms
	Hits         []Hit             // found, newest first
	Partial      bool              // found: there may be hits that the server did not look at
	States       []RoomState       // me
	Keywords     []string          // notifications; me, on the first page
	Quiet        *Quiet            // as Keywords; nil is never
	Level        kaban.NotifyLevel // as Keywords; 0 if it is not said
	State        *RoomState        // state
	Mentions     []Mention         // inbox, newest first
	Next         uint64            // inbox, found: Request.Before of the next page; 0 if there is none
	Usernames    []string          // members, typing
	People       []Member          // members: "members", in the order of Usernames; or nil
	Joined, Left []string          // presence

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
// bytes of a frame, and code points of a topic and of a reason. The last two are 0
// if the server has no topics.
type Limits struct{ Username, Content, Frame, Topic, Reason int }

// RoomInfo is a room in a list of rooms.
type RoomInfo struct {
	Room    string
	Head    uint64 // the last seq
	Members int
}

// Message returns the message of a message frame.
func (e *Event) Message() Message {
	return Message{
		Seq: e.Seq, ID: e.ID, Username: e.Username, Account: e.AuthorID, Bot: e.Bot, ReplyTo: e.ReplyTo, Content: e.Content, Time: e.Time,
		Edited: e.Edited, Deleted: e.Deleted, Files: e.Files,
	}
}

// IsEntry reports whether the event stands for an entry of its room's log, and so
// moves the cursor to its Seq: a message, a change, an ack or an entry that this
// version cannot show.
func (e *Event) IsEntry() bool {
	return e.Type == TypeMessage || e.Type == TypeAck || e.Type == TypeUnknown || e.Type.isChange()
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
	case TypeMember, TypeTopic, TypeRoom, TypeEdit, TypeDelete, TypeReact, TypePin:
		return AppendChange(dst, e.Room, e.Change)
	}
	dst = appendType(dst, e.Type)
	switch e.Type {
	case TypeWelcome:
		dst = e.appendWelcome(dst)
	case TypeJoined, TypeWatching:
		dst = e.appendJoined(dst)
	case TypeHistory:
		dst = e.appendHistory(dst)
	case TypeCreated:
		dst = appendRoom(dst, e.Room)
	case TypeParted:
		dst = appendRoom(dst, e.Room)
		dst = appendNonEmpty(dst, fReason, string(e.Removal))
	case TypeUnknown:
		dst = appendRoom(dst, e.Room)
		dst = appendCount(dst, fSeq, e.Seq)
	case TypeRooms:
		dst = appendList(dst, fRooms, e.Rooms, (*RoomInfo).append)
		dst = appendMore(dst, e.More)
	case TypeMe:
		dst = e.appendMe(dst)
	case TypeInbox:
		dst = appendList(dst, fMentions, e.Mentions, (*Mention).Append)
		dst = appendPositive(dst, fNext, e.Next)
		dst = appendMore(dst, e.More)
	case TypeFound:
		dst = e.appendFound(dst)
	case TypeState:
		dst = e.State.append(append(dst, ','))
	case TypeNotifications:
		dst = e.appendNotifications(dst)
	case TypeMembers:
		dst = e.appendMembers(dst)
	case TypePresence:
		dst = e.appendPresence(dst)
	case TypeTyping:
		dst = appendRoom(dst, e.Room)
		dst = appendTexts(dst, fUsernames, e.Usernames)
	case TypeError:
		dst = e.appendError(dst)
	case TypeGoodbye:
		dst = appendText(dst, fReason, string(e.Reason))
		if e.HasReconnect {
			dst = appendCount(dst, fReconnectAfter, uint64(e.ReconnectAfter.Milliseconds()))
		}
	}
	return appendEnd(dst, e.Ref, e.HasRef)
}

func (e *Event) appendJoined(dst []byte) []byte {
	dst = appendRoom(dst, e.Room)
	dst = appendText(dst, fEpoch, e.Epoch)
	dst = appendCount(dst, fHead, e.Head)
	return appendCount(dst, fMembers, uint64(e.Members))
}

func (e *Event) appendWelcome(dst []byte) []byte {
	dst = append(dst, `,"version":1`...)
	if e.Account == nil || e.Session != "" {
		dst = appendText(dst, fSession, e.Session)
	}
	dst = appendText(dst, fUsername, e.Username)
	if e.Account != nil {
		dst = e.Account.append(appendField(dst, fAccount))
	}
	dst = appendNonEmpty(dst, fToken, string(e.Token))
	dst = appendNonEmpty(dst, fWeb, e.Web)
	dst = appendText(dst, fServer, e.Server)
	dst = e.Limits.append(appendField(dst, fLimits))
	return appendCount(dst, fHeartbeat, uint64(e.Heartbeat/time.Second))
}

func (l *Limits) append(dst []byte) []byte {
	dst = append(dst, `{"username":`...)
	dst = strconv.AppendInt(dst, int64(l.Username), 10)
	dst = appendCount(dst, fContent, uint64(l.Content))
	dst = appendCount(dst, fFrame, uint64(l.Frame))
	if l.Topic != 0 {
		dst = appendCount(dst, fTopic, uint64(l.Topic))
		dst = appendCount(dst, fReason, uint64(l.Reason))
	}
	return append(dst, '}')
}

func (e *Event) appendHistory(dst []byte) []byte {
	dst = appendRoom(dst, e.Room)
	dst = appendList(dst, fMessages, e.Entries, (*Entry).Append)
	if e.First != 0 {
		dst = appendCount(dst, fFirst, e.First)
		dst = appendCount(dst, fLast, e.Last)
	}
	dst = appendPositive(dst, fAsOf, e.AsOf)
	return appendMore(dst, e.More)
}

func (r *RoomInfo) append(dst []byte) []byte {
	dst = append(dst, `{"room":`...)
	dst = appendString(dst, r.Room)
	dst = appendCount(dst, fHead, r.Head)
	dst = appendCount(dst, fMembers, uint64(r.Members))
	return append(dst, '}')
}

// appendMe appends the account and its rooms.
func (e *Event) appendMe(dst []byte) []byte {
	if e.Account != nil {
		dst = e.Account.append(appendField(dst, fAccount))
	}
	dst = appendList(dst, fRooms, e.States, func(s *RoomState, dst []byte) []byte {
		return append(s.append(append(dst, '{')), '}')
	})
	return appendMore(e.appendNotifications(dst), e.More)
}

// appendNotifications appends what an account wants to be notified of.
func (e *Event) appendNotifications(dst []byte) []byte {
	if len(e.Keywords) > 0 {
		dst = appendTexts(dst, fKeywords, e.Keywords)
	}
	if e.Quiet != nil {
		dst = e.Quiet.append(appendField(dst, fQuiet))
	}
	if e.Level != 0 {
		dst = appendText(dst, fLevel, e.Level.String())
	}
	return dst
}

// appendMembers appends the members of a room. A server without accounts has only
// their names.
func (e *Event) appendMembers(dst []byte) []byte {
	dst = appendRoom(dst, e.Room)
	dst = appendTexts(dst, fUsernames, e.Usernames)
	if e.People != nil {
		dst = appendList(dst, fMembers, e.People, (*Member).append)
	}
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
