package bus

import (
	"encoding/binary"
	"slices"
	"strings"

	"kaban"
)

// Bounds of messages.
const (
	// MaxMessage bounds the encoding of a message, in bytes. Whoever makes one keeps to it.
	MaxMessage = MaxHint
	// MaxAccounts bounds the accounts in a Mention.
	MaxAccounts = 500
	// MaxNames bounds the names in an Attendance, and MaxNameBytes their bytes.
	MaxNames     = 256
	MaxNameBytes = 16 << 10

	maxNode    = 64
	maxMembers = 1 << 20 // visitors in a room, or parts of a message
)

// The first bytes of messages, which are kind and version. That of a hint is its version, and
// below them.
const (
	firstMessage    = 0x80
	newsMessage     = 0x80
	mentionMessage  = 0x81
	presenceMessage = 0x82
	askMessage      = 0x83
	typingMessage   = 0x84
)

// Message is what nodes tell each other besides hints: *News, *Mention, *Presence, *Ask and
// *Typing. Like a hint it may be late, doubled, lost or out of order. A node ignores what it
// does not know.
type Message interface {
	// Append appends the encoding of the message to dst. It is like that of a hint.
	Append(dst []byte) []byte
}

// News says that the store has news of documents: the receiver reads them there.
type News struct{ Epoch string }

// Mention says that a message mentions accounts, or does no more: whoever they are, their
// connections are told how many do.
type Mention struct {
	Epoch    string
	Room     kaban.RoomName
	Everyone bool     // all members
	Accounts []string // their ids; up to MaxAccounts
}

// Presence says who is on a node: what has changed, or everything (a snapshot, which may take
// several messages).
type Presence struct {
	Epoch string
	Node  string // the incarnation of the node; random
	// Number counts the messages of the node, from 1. A receiver that misses one asks for a
	// snapshot.
	Number uint64
	// First and Last are set in the first and in the last message of a snapshot.
	First, Last bool
	Rooms       []Attendance // as they are now
	Online      []Online     // what has changed; in a snapshot those that are online
}

// Attendance is who is in a room on a node.
type Attendance struct {
	Room     kaban.RoomName
	Visitors int // usernames without an account that are members
	// Named is set if Names has all usernames with a subscription as a member; else it has
	// none.
	Named bool
	Names []Attendant // sorted by name
}

// Attendant is a username in a room. It is one of an account, of a visitor, or of both.
type Attendant struct {
	Name             string
	Account, Visitor bool
}

// Online says whether an identity of an account has a connection to a node.
type Online struct {
	Identity string
	Online   bool
}

// Ask asks all nodes for snapshots of their presence.
type Ask struct{ Epoch string }

// Typing says that somebody is typing in a room.
type Typing struct {
	Epoch    string
	Room     kaban.RoomName
	Identity string
	Name     string
}

// Append implements Message.
func (m *News) Append(dst []byte) []byte { return appendText(append(dst, newsMessage), m.Epoch) }

// Append implements Message.
func (m *Ask) Append(dst []byte) []byte { return appendText(append(dst, askMessage), m.Epoch) }

// Append implements Message.
func (m *Mention) Append(dst []byte) []byte {
	dst = appendText(append(dst, mentionMessage), m.Epoch)
	dst = appendText(dst, m.Room.String())
	dst = appendBool(dst, m.Everyone)
	dst = binary.AppendUvarint(dst, uint64(len(m.Accounts)))
	for _, account := range m.Accounts {
		dst = appendText(dst, account)
	}
	return dst
}

// Append implements Message.
func (m *Typing) Append(dst []byte) []byte {
	dst = appendText(append(dst, typingMessage), m.Epoch)
	dst = appendText(dst, m.Room.String())
	dst = appendText(dst, m.Identity)
	return appendText(dst, m.Name)
}

// Append implements Message.
func (m *Presence) Append(dst []byte) []byte {
	dst = appendText(append(dst, presenceMessage), m.Epoch)
	dst = appendText(dst, m.Node)
	dst = binary.AppendUvarint(dst, m.Number)
	dst = appendBool(appendBool(dst, m.First), m.Last)
	dst = binary.AppendUvarint(dst, uint64(len(m.Rooms)))
	for i := range m.Rooms {
		dst = m.Rooms[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Online)))
	for _, o := range m.Online {
		dst = appendBool(appendText(dst, o.Identity), o.Online)
	}
	return dst
}

func (a *Attendance) append(dst []byte) []byte {
	dst = appendText(dst, a.Room.String())
	dst = binary.AppendUvarint(dst, uint64(a.Visitors))
	dst = appendBool(dst, a.Named)
	dst = binary.AppendUvarint(dst, uint64(len(a.Names)))
	for _, n := range a.Names {
		dst = appendText(dst, n.Name)
		dst = appendBool(appendBool(dst, n.Account), n.Visitor)
	}
	return dst
}

// Has reports whether a name is among those of the attendance.
func (a *Attendance) Has(name string) bool {
	_, found := slices.BinarySearchFunc(a.Names, name, func(n Attendant, name string) int { return strings.Compare(n.Name, name) })
	return found
}

// Size bounds from above how many bytes an Attendance takes in a message.
func (a *Attendance) Size() int {
	size := 4*binary.MaxVarintLen64 + len(a.Room.String())
	for _, n := range a.Names {
		size += 4 + len(n.Name)
	}
	return size
}

// Size bounds from above how many bytes an Online takes in a message.
func (o *Online) Size() int { return 4 + len(o.Identity) }

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
