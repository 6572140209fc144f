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
	// AsOf is Event.AsOf of the page: what entries up to it have changed is in the
	// Message, and nothing later. 0 if it is not known.
	AsOf uint64
}

// Message is a message in a room's log.
type Message struct {
	Seq      uint64
	ID       string
	Username string
	Account  string    // the opaque id of the author's account; "" for a visitor or a hook
	Bot      bool      // the author is a program
	ReplyTo  uint64    // the seq of the message that it answers, or 0
	Content  string    // "" of a deleted message, and of one with files and no text
	Time     time.Time // UTC; sent with milliseconds

	Edited  Edited // the last edit
	Deleted bool
	Files   kaban.Files
	// What follows is in pages of history only.
	Pinned    bool
	PinnedAt  uint64     // the seq of the pin; 0 if it is not pinned, or the server does not say
	Reactions []Reaction // the order is that of the first of each that is there
	Replies   uint64     // the number of messages that answer it, deleted ones included
}

// Edited is the edit that wrote the present content of a message. The zero value is none.
type Edited struct {
	Seq  uint64
	Time time.Time // UTC; sent with milliseconds
}

// Reaction is one emoji and those that have reacted with it.
type Reaction struct {
	Emoji     string
	Count     int
	Me        bool     // whoever asks is among them
	Usernames []string // of the first MaxReactors of them
}

// Change is an entry of a room's log that is not a message. Its Type, TypeMember,
// TypeTopic, TypeRoom, TypeEdit, TypeDelete, TypeReact or TypePin, determines which
// fields beyond Time are set.
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
	Reason string         // member, delete; or ""
	Until  int64          // member: "until_ms", in milliseconds since 1970 UTC, or 0

	Topic string // topic

	Kind        kaban.RoomKind  // room; 0 if it did not change
	Flags       kaban.RoomFlags // room; all flags after the change
	HasFlags    bool            // room: the flags changed
	History     string          // room; "" if it did not change
	Archived    bool            // room
	HasArchived bool            // room: archived changed

	Target uint64 // edit, delete, react, pin: the seq of the message that it changes
	// Content is the new content of an edit. It is "" if a later edit has replaced it, or
	// the message was deleted.
	Content string
	NoText  bool   // edit: the message has only files since; sent as an empty content
	Emoji   string // react
	On      bool   // react, pin
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
	dst = appendPositive(dst, fReplyTo, m.ReplyTo)
	if !m.Deleted {
		dst = append(dst, `,"content":`...)
		dst = appendString(dst, m.Content)
	}
	dst = appendFiles(dst, m.Files)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, m.Time)
	if m.Edited.Seq != 0 {
		dst = m.Edited.append(appendField(dst, fEdited))
	}
	if m.Deleted {
		dst = appendBool(dst, fDeleted, true)
	}
	if len(m.Reactions) > 0 {
		dst = appendList(dst, fReactions, m.Reactions, (*Reaction).append)
	}
	dst = appendPositive(dst, fReplies, m.Replies)
	if m.Pinned {
		dst = appendBool(dst, fPinned, true)
	}
	dst = appendPositive(dst, fPinnedAt, m.PinnedAt)
	return dst
}

func (e *Edited) append(dst []byte) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = appendTime(appendField(dst, fTime), e.Time)
	return append(dst, '}')
}

func (r *Reaction) append(dst []byte) []byte {
	dst = append(dst, `{"emoji":`...)
	dst = appendString(dst, r.Emoji)
	dst = appendCount(dst, fCount, uint64(r.Count))
	dst = appendBool(dst, fMe, r.Me)
	dst = appendTexts(dst, fUsernames, r.Usernames)
	return append(dst, '}')
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
	case TypeEdit, TypeDelete, TypeReact, TypePin:
		dst = c.appendOfMessage(dst)
	}
	return appendTime(appendField(dst, fTime), c.Time)
}

// appendOfMessage appends the fields of a change of a message.
func (c *Change) appendOfMessage(dst []byte) []byte {
	dst = appendCount(dst, fTarget, c.Target)
	switch c.Type {
	case TypeEdit:
		if c.NoText {
			return appendText(dst, fContent, "")
		}
		return appendNonEmpty(dst, fContent, c.Content)
	case TypeDelete:
		return appendNonEmpty(dst, fReason, c.Reason)
	case TypeReact:
		dst = appendText(dst, fEmoji, c.Emoji)
	}
	return appendBool(dst, fOn, c.On)
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

// Append appends the entry as an element of a page.
func (e *Entry) Append(dst []byte) []byte {
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
