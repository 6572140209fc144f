package wire

import (
	"strconv"
	"time"

	"kaban"
)

// Entry is an entry of a room's log in a page of history: a message, a change, or
// neither if this version cannot show it.
type Entry struct {
	Seq     uint64
	Time    time.Time // of an entry that is neither; zero if it is not known
	Message *Message
	Change  *Change
}

// Message is a message in a room's log.
type Message struct {
	Seq      uint64
	ID       string
	Username string
	Account  string // the opaque id of the author's account; "" for a visitor or a hook
	Bot      bool   // the author is a program
	Content  string
	Time     time.Time // UTC; sent with milliseconds
}

// Change is an entry of a room's log that is not a message. Its Type, TypeMember,
// TypeTopic or TypeRoom, determines which fields beyond Time are set.
type Change struct {
	Type     Type
	Seq      uint64
	ID       string
	Username string    // of whoever made the change
	Account  string    // as in Message
	Bot      bool      // as in Message
	Time     time.Time // UTC; sent with milliseconds

	Change  string // member, room: "change", such as "kicked" or "created"
	Subject string // member: the username that the change concerns

	Role   kaban.RoomRole // member; or 0
	Reason string         // member; or ""
	Until  int64          // member: "until_ms", in milliseconds since 1970 UTC, or 0

	Topic string // topic

	Kind        kaban.RoomKind  // room; 0 if it did not change
	Flags       kaban.RoomFlags // room; all flags after the change
	HasFlags    bool            // room: the flags changed
	History     string          // room; "" if it did not change
	Archived    bool            // room
	HasArchived bool            // room: archived changed
}

// AppendMessage appends a message frame as one line including its "\n". It does
// not allocate if dst has enough capacity.
func AppendMessage(dst []byte, room string, m Message) []byte {
	dst = append(dst, `{"type":"message"`...)
	dst = appendRoom(dst, room)
	dst = m.append(dst)
	return append(dst, '}', '\n')
}

// append appends the fields of a message, each after a comma.
func (m *Message) append(dst []byte) []byte {
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, m.Seq, 10)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"username":`...)
	dst = appendString(dst, m.Username)
	if m.Account != "" {
		dst = append(dst, `,"account":`...)
		dst = appendString(dst, m.Account)
	}
	if m.Bot {
		dst = append(dst, `,"bot":true`...)
	}
	dst = append(dst, `,"content":`...)
	dst = appendString(dst, m.Content)
	dst = append(dst, `,"time":`...)
	return appendTime(dst, m.Time)
}

// AppendChange appends a change as a frame: one line including its "\n".
func AppendChange(dst []byte, room string, c *Change) []byte {
	dst = appendType(dst, c.Type)
	dst = appendRoom(dst, room)
	dst = c.append(dst)
	return append(dst, '}', '\n')
}

// append appends the fields of a change, each after a comma.
func (c *Change) append(dst []byte) []byte {
	dst = appendCount(dst, fSeq, c.Seq)
	dst = appendText(dst, fID, c.ID)
	dst = appendText(dst, fUsername, c.Username)
	dst = appendNonEmpty(dst, fAccount, c.Account)
	if c.Bot {
		dst = appendBool(dst, fBot, true)
	}
	switch c.Type {
	case TypeMember:
		dst = c.appendMember(dst)
	case TypeTopic:
		dst = appendText(dst, fTopic, c.Topic)
	case TypeRoom:
		dst = c.appendSettings(dst)
	}
	return appendTime(appendField(dst, fTime), c.Time)
}

func (c *Change) appendMember(dst []byte) []byte {
	dst = appendText(dst, fSubject, c.Subject)
	dst = appendText(dst, fChange, c.Change)
	dst = appendNonEmpty(dst, fRole, c.Role.String())
	dst = appendNonEmpty(dst, fReason, c.Reason)
	if c.Until != 0 {
		dst = appendCount(dst, fUntil, uint64(c.Until))
	}
	return dst
}

func (c *Change) appendSettings(dst []byte) []byte {
	dst = appendText(dst, fChange, c.Change)
	dst = appendNonEmpty(dst, fKind, c.Kind.String())
	if c.HasFlags {
		dst = appendTexts(dst, fFlags, c.Flags.Texts())
	}
	dst = appendNonEmpty(dst, fHistory, c.History)
	if c.HasArchived {
		dst = appendBool(dst, fArchived, c.Archived)
	}
	return dst
}

// AppendVoid appends a void frame as one line including its "\n". It represents an
// entry that cannot be shown to the reader.
func AppendVoid(dst []byte, room string, seq uint64, t time.Time) []byte {
	dst = append(dst, `{"type":"void"`...)
	dst = appendRoom(dst, room)
	dst = appendCount(dst, fSeq, seq)
	dst = appendTime(appendField(dst, fTime), t)
	return append(dst, '}', '\n')
}

// appendElement appends the entry as an element of a page.
func (e *Entry) appendElement(dst []byte) []byte {
	switch {
	case e.Message != nil:
		dst = e.Message.append(append(dst, `{"type":"message"`...))
	case e.Change != nil:
		dst = e.Change.append(appendType(dst, e.Change.Type))
	default:
		dst = appendCount(append(dst, `{"type":"void"`...), fSeq, e.Seq)
		if !e.Time.IsZero() {
			dst = appendTime(appendField(dst, fTime), e.Time)
		}
	}
	return append(dst, '}')
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
