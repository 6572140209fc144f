package wire

import (
	"time"

	"kaban"
)

// Account is the account of a connection.
type Account struct {
	Username string
	Name     string // to display
	Role     kaban.Role
	Bot      bool
}

// RoomState is the state of a room for an account: an element of a me, or a state.
// The Reader leaves a kind, role, flag or level that it does not know out.
type RoomState struct {
	Room    string
	Gone    bool // state: the account is no member any more; nothing else is set
	Kind    kaban.RoomKind
	Title   string // of a direct room, to display; or ""
	Topic   string
	Role    kaban.RoomRole
	Flags   kaban.RoomFlags
	History string // of a private room: how much of it new members see, "all" or "joined"; or ""
	Head    uint64 // the last seq
	Read    uint64 // the seq up to which the account has read
	Unread  int    // messages of others after Read
	// UnreadFrom is the seq from which the account has marked the room as unread; 0 if it has
	// not.
	UnreadFrom uint64
	Mentions   int // those among them that mention the account
	Notify     kaban.NotifyLevel
}

// Member is somebody in a room.
type Member struct {
	Username string
	Account  string // as in Message
	Name     string // to display; or ""
	Role     kaban.RoomRole
	Online   bool
	Bot      bool
	Away     bool   // the account says so
	Status   string // what it says of itself, or ""
	Until    int64  // when that ends, in milliseconds since 1970 UTC; 0 is never
}

// Quiet is when an account is not to be disturbed: in some hours, until a moment, or both.
type Quiet struct {
	From, To string   // times of day such as "22:00"; To is on the next day if it is not later. Or ""
	Zone     string   // of the hours, by its IANA name
	Days     []string // "mon" to "sun", on which it begins; nil is every day
	Until    int64    // in milliseconds since 1970 UTC, or 0
}

func (q *Quiet) append(dst []byte) []byte {
	begin := len(dst)
	dst = appendNonEmpty(dst, fFrom, q.From)
	dst = appendNonEmpty(dst, fTo, q.To)
	dst = appendNonEmpty(dst, fZone, q.Zone)
	if len(q.Days) > 0 {
		dst = appendTexts(dst, fDays, q.Days)
	}
	dst = appendPositive(dst, fUntil, uint64(q.Until))
	if len(dst) == begin {
		return append(dst, "{}"...)
	}
	dst[begin] = '{' // the comma
	return append(dst, '}')
}

func (d *decoder) quiet() *Quiet {
	v, ok := d.get(fQuiet, kindObject, false)
	if !ok {
		return nil
	}
	q := new(Quiet)
	d.nested(v.bytes, func(d *decoder) {
		q.From, q.To, q.Zone, q.Days = d.str(fFrom, false), d.str(fTo, false), d.str(fZone, false), d.strs(fDays, false)
		q.Until = int64(d.count(fUntil, false))
	})
	return q
}

func (a *Account) append(dst []byte) []byte {
	dst = append(dst, `{"username":`...)
	dst = appendString(dst, a.Username)
	dst = appendText(dst, fName, a.Name)
	dst = appendText(dst, fRole, a.Role.String())
	dst = appendBool(dst, fBot, a.Bot)
	return append(dst, '}')
}

func (d *decoder) account() *Account {
	v, ok := d.get(fAccount, kindObject, false)
	if !ok {
		return nil
	}
	a := new(Account)
	d.nested(v.bytes, func(d *decoder) {
		a.Username, a.Name, a.Bot = d.str(fUsername, true), d.str(fName, false), d.boolean(fBot)
		a.Role, _ = kaban.ParseRole(d.str(fRole, true))
	})
	return a
}

// Mention is an unread message that mentions the account: an element of an inbox.
type Mention struct {
	Room     string
	Seq      uint64
	ID       string
	Username string
	Account  string // as in Message
	Bot      bool   // as in Message
	Content  string
	Files    kaban.Files // as in Message
	Time     time.Time   // since when it mentions the account: that of the message or of an edit; UTC, sent with milliseconds
	Cause    Cause
}

// Cause is why a message mentions an account. There may be others than these.
type Cause string

// The causes.
const (
	CauseName     Cause = "name"
	CauseEveryone Cause = "everyone"
	CauseHere     Cause = "here" // the account was online
)

// Append appends the mention as an element of an inbox.
func (m *Mention) Append(dst []byte) []byte {
	dst = append(dst, `{"room":`...)
	dst = appendString(dst, m.Room)
	dst = appendCount(dst, fSeq, m.Seq)
	dst = appendText(dst, fID, m.ID)
	dst = appendText(dst, fUsername, m.Username)
	dst = appendNonEmpty(dst, fAccount, m.Account)
	if m.Bot {
		dst = appendBool(dst, fBot, true)
	}
	dst = appendFiles(appendText(dst, fContent, m.Content), m.Files)
	dst = appendTime(appendField(dst, fTime), m.Time)
	dst = appendText(dst, fCause, string(m.Cause))
	return append(dst, '}')
}

func (d *decoder) mention() Mention {
	return Mention{
		Room: d.str(fRoom, true), Seq: d.count(fSeq, true), ID: d.str(fID, true), Username: d.str(fUsername, true),
		Account: d.str(fAccount, false), Bot: d.boolean(fBot), Content: d.str(fContent, true), Files: d.filesOfMessage(), Time: d.time(), Cause: Cause(d.str(fCause, true)),
	}
}

// append appends the fields of a state, the first without a comma.
func (s *RoomState) append(dst []byte) []byte {
	dst = append(dst, `"room":`...)
	dst = appendString(dst, s.Room)
	if s.Gone {
		return appendBool(dst, fGone, true)
	}
	dst = appendText(dst, fKind, s.Kind.String())
	dst = appendNonEmpty(dst, fTitle, s.Title)
	dst = appendText(dst, fTopic, s.Topic)
	dst = appendText(dst, fRole, s.Role.String())
	dst = appendTexts(dst, fFlags, s.Flags.Texts())
	dst = appendNonEmpty(dst, fHistory, s.History)
	dst = appendCount(dst, fHead, s.Head)
	dst = appendCount(dst, fRead, s.Read)
	dst = appendCount(dst, fUnread, uint64(s.Unread))
	if s.UnreadFrom != 0 {
		dst = appendCount(dst, fUnreadFrom, s.UnreadFrom)
	}
	dst = appendCount(dst, fMentions, uint64(s.Mentions))
	return appendText(dst, fNotify, s.Notify.String())
}

func (d *decoder) state() (s RoomState) {
	s.Room, s.Gone = d.str(fRoom, true), d.boolean(fGone)
	if s.Gone {
		return s
	}
	s.Kind, _ = kaban.ParseRoomKind(d.str(fKind, true))
	s.Title, s.Topic = d.str(fTitle, false), d.str(fTopic, false)
	s.Role, _ = kaban.ParseRoomRole(d.str(fRole, false))
	s.Flags, _ = d.knownFlags()
	s.History = d.str(fHistory, false)
	s.Head, s.Read = d.count(fHead, true), d.count(fRead, false)
	s.Unread, s.Mentions = int(d.count(fUnread, false)), int(d.count(fMentions, false))
	s.UnreadFrom = d.count(fUnreadFrom, false)
	s.Notify, _ = kaban.ParseNotifyLevel(d.str(fNotify, false))
	return s
}

// knownFlags returns the flags that this version knows, and whether there is a list.
func (d *decoder) knownFlags() (flags kaban.RoomFlags, ok bool) {
	for _, text := range d.strs(fFlags, false) {
		flag, _ := kaban.ParseRoomFlags([]string{text})
		flags |= flag
	}
	return flags, d.fields[fFlags].kind == kindArray
}

func (m *Member) append(dst []byte) []byte {
	dst = append(dst, `{"username":`...)
	dst = appendString(dst, m.Username)
	dst = appendNonEmpty(dst, fAccount, m.Account)
	dst = appendNonEmpty(dst, fName, m.Name)
	dst = appendText(dst, fRole, m.Role.String())
	dst = appendBool(dst, fOnline, m.Online)
	dst = appendBool(dst, fBot, m.Bot)
	if m.Away {
		dst = appendBool(dst, fAway, true)
	}
	dst = appendNonEmpty(dst, fStatus, m.Status)
	dst = appendPositive(dst, fUntil, uint64(m.Until))
	return append(dst, '}')
}

func (d *decoder) member() (m Member) {
	m.Username, m.Account, m.Name = d.str(fUsername, true), d.str(fAccount, false), d.str(fName, false)
	m.Role, _ = kaban.ParseRoomRole(d.str(fRole, false))
	m.Online, m.Bot = d.boolean(fOnline), d.boolean(fBot)
	m.Away, m.Status, m.Until = d.boolean(fAway), d.str(fStatus, false), int64(d.count(fUntil, false))
	return m
}

// appendList appends a list of objects. Each of them writes itself.
func appendList[T any](dst []byte, f field, list []T, write func(*T, []byte) []byte) []byte {
	dst = append(appendField(dst, f), '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = write(&list[i], dst)
	}
	return append(dst, ']')
}
