package kaban

import (
	"encoding"
	"fmt"
)

// Role is what an account may do on the server. A greater role may do everything
// that a smaller one may. The zero value is a visitor: it has no account.
type Role uint8

// The roles of accounts.
const (
	RoleVisitor Role = iota
	RoleGuest
	RoleMember
	RoleAdmin
	RoleOwner
)

// RoomKind decides who may know of a room. The zero value is no kind.
type RoomKind uint8

// The kinds of rooms.
const (
	RoomPublic  RoomKind = iota + 1
	RoomPrivate          // only its members know of it
	RoomDirect           // between MinDirect and MaxDirect people, without roles
)

// How many people a direct room has.
const (
	MinDirect = 2
	MaxDirect = 8
)

// RoomRole is what a member may do in a room. A greater role may do everything
// that a smaller one may. The zero value is not a member.
type RoomRole uint8

// The roles in rooms.
const (
	RoomRoleMember RoomRole = iota + 1
	RoomRoleSpeaker
	RoomRoleOp
)

// RoomFlags are a set of restrictions of a room.
type RoomFlags uint8

// The flags of rooms.
const (
	FlagAnnounce RoomFlags = 1 << iota // only ops and speakers send
	FlagLocked                         // only ops change the topic and pins
	FlagArchived                       // nobody sends
)

// NotifyLevel decides which messages of a room notify an account. The zero value
// is the default of the room's kind.
type NotifyLevel uint8

// The levels.
const (
	NotifyAll NotifyLevel = iota + 1
	NotifyMentions
	NotifyNone
)

var (
	roleTexts   = []string{"visitor", "guest", "member", "admin", "owner"}
	kindTexts   = []string{"", "public", "private", "direct"}
	rankTexts   = []string{"", "member", "speaker", "op"}
	flagTexts   = []string{"announce", "locked", "archived"}
	notifyTexts = []string{"", "all", "mentions", "none"}
)

// ParseRole returns the role with a text such as "member". The error lists the
// roles of accounts.
func ParseRole(s string) (Role, error) { return parseText[Role](s, "role", roleTexts[1:], 1) }

// ParseRoomKind returns the kind with a text such as "private".
func ParseRoomKind(s string) (RoomKind, error) {
	return parseText[RoomKind](s, "kind of room", kindTexts[1:], 1)
}

// ParseRoomRole returns the role with a text such as "op".
func ParseRoomRole(s string) (RoomRole, error) {
	return parseText[RoomRole](s, "role in a room", rankTexts[1:], 1)
}

// ParseNotifyLevel returns the level with a text such as "mentions".
func ParseNotifyLevel(s string) (NotifyLevel, error) {
	return parseText[NotifyLevel](s, "notification level", notifyTexts[1:], 1)
}

// ParseRoomFlags returns the set of flags with texts such as "locked".
func ParseRoomFlags(texts []string) (flags RoomFlags, err error) {
	for _, s := range texts {
		i, err := parseText[RoomFlags](s, "flag of a room", flagTexts, 0)
		if err != nil {
			return 0, err
		}
		flags |= 1 << i
	}
	return flags, nil
}

// Has reports whether all of some flags are set.
func (f RoomFlags) Has(flags RoomFlags) bool { return f&flags == flags }

// Texts returns the texts of the flags, never nil.
func (f RoomFlags) Texts() []string {
	texts := []string{}
	for i, s := range flagTexts {
		if f.Has(1 << i) {
			texts = append(texts, s)
		}
	}
	return texts
}

func (r Role) String() string        { return textOf(r, roleTexts) }
func (k RoomKind) String() string    { return textOf(k, kindTexts) }
func (r RoomRole) String() string    { return textOf(r, rankTexts) }
func (l NotifyLevel) String() string { return textOf(l, notifyTexts) }

// MarshalText implements encoding.TextMarshaler.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (k RoomKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (r RoomRole) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (l NotifyLevel) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It accepts "visitor".
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = parseText[Role](string(text), "role", roleTexts, 0)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *RoomKind) UnmarshalText(text []byte) (err error) {
	*k, err = parseText[RoomKind](string(text), "kind of room", kindTexts, 0)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler. It accepts "" as no role.
func (r *RoomRole) UnmarshalText(text []byte) (err error) {
	*r, err = parseText[RoomRole](string(text), "role in a room", rankTexts, 0)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler. It accepts "" as the default.
func (l *NotifyLevel) UnmarshalText(text []byte) (err error) {
	*l, err = parseText[NotifyLevel](string(text), "notification level", notifyTexts, 0)
	return err
}

var (
	_ encoding.TextUnmarshaler = (*Role)(nil)
	_ encoding.TextUnmarshaler = (*RoomKind)(nil)
	_ encoding.TextUnmarshaler = (*RoomRole)(nil)
	_ encoding.TextUnmarshaler = (*NotifyLevel)(nil)
)

// parseText returns the index of a text in a list, plus first.
func parseText[T ~uint8](s, what string, texts []string, first uint8) (T, error) {
	for i, text := range texts {
		if s == text {
			return T(first + uint8(i)), nil
		}
	}
	return 0, fmt.Errorf("%q is not a %s; use one of %q", s, what, texts)
}

func textOf[T ~uint8](v T, texts []string) string {
	if int(v) < len(texts) {
		return texts[v]
	}
	return fmt.Sprintf("unknown %d", uint8(v))
}
