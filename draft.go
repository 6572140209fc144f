package kaban

import (
	"fmt"
	"net/netip"
	"strings"
)

// Identity is the author of entries: a person or a program. Two identities with
// equal ids are the same author. The zero value is no identity.
type Identity struct {
	id   string
	name Username
}

// Peer is whoever is at the other end of a connection or a request: an identity and
// the address that it comes from. The zero address is this machine.
type Peer struct {
	Identity
	Address netip.Addr
}

// The id of an identity starts with its type. An account therefore does not
// inherit the message ids of a visitor with the same name.
const (
	visitorPrefix = "visitor:"
	accountPrefix = "account:"
	botPrefix     = "bot:"
	hookPrefix    = "hook:"
)

// Visitor returns the identity of a person without an account. The name alone
// identifies a visitor: anyone using the same name later is the same author.
func Visitor(name Username) Identity {
	if name.IsZero() {
		return Identity{}
	}
	// One string for all three: a connection keeps them. A name that is not its own key stands behind it.
	own := ""
	if name.name != name.key {
		own = name.name
	}
	whole, end := visitorPrefix+name.key+own, len(visitorPrefix)+len(name.key)
	key := whole[len(visitorPrefix):end]
	if own = whole[end:]; own == "" {
		own = key
	}
	return Identity{id: whole[:end], name: Username{name: own, key: key}}
}

// Account returns the identity of an account. The id must not be empty; the name
// may change.
func Account(id string, name Username) Identity {
	return Identity{id: accountPrefix + id, name: name}
}

// Bot returns the identity of an account that is a bot. The id must not be empty;
// the name may change. An account is a bot for life, so its id says so.
func Bot(id string, name Username) Identity {
	return Identity{id: botPrefix + id, name: name}
}

// Hook returns the identity of an incoming webhook. The id must not be empty; every
// message of a hook may have another name.
func Hook(id string, name Username) Identity {
	return Identity{id: hookPrefix + id, name: name}
}

// ParseIdentity returns the identity with an id that ID returned and the name that
// it has now.
func ParseIdentity(id string, name Username) (Identity, error) {
	for _, prefix := range []string{accountPrefix, botPrefix, hookPrefix} {
		if rest, ok := strings.CutPrefix(id, prefix); ok && rest != "" {
			return Identity{id: id, name: name}, nil
		}
	}
	if !name.IsZero() && id == Visitor(name).id {
		return Visitor(name), nil
	}
	return Identity{}, fmt.Errorf("%q is not the id of an identity with the name %q", id, name)
}

// AuthorOf returns what other people may know about the author with an id that
// Identity.ID returned: the id of the account, or "" for a visitor or a hook, and
// whether it is a program. It does not allocate.
func AuthorOf(id string) (account string, bot bool) {
	if account, ok := strings.CutPrefix(id, accountPrefix); ok {
		return account, false
	}
	if account, ok := strings.CutPrefix(id, botPrefix); ok {
		return account, true
	}
	return "", strings.HasPrefix(id, hookPrefix)
}

// HookOf returns the id of the webhook of an identity with an id that Identity.ID returned. It
// reports false for all others.
func HookOf(id string) (hook string, ok bool) { return strings.CutPrefix(id, hookPrefix) }

// ID returns the stable id that logs keep. Message ids are unique per room and identity.
func (i Identity) ID() string { return i.id }

// Name returns the name that other people see.
func (i Identity) Name() Username { return i.name }

// IsZero reports whether i is the zero value.
func (i Identity) IsZero() bool { return i.id == "" }

// Kind is the kind of an entry in a log. Entries of all kinds take sequence
// numbers, so readers must count the kinds that they do not know.
type Kind uint8

// The kinds of entries.
const (
	// KindMessage is a message. Its body is the content.
	KindMessage Kind = 1
	// KindEdit replaces the content of its target, a message. Its body is the new content, or
	// NoText.
	KindEdit Kind = 2
	// KindDelete removes the content of its target, a message. Its body is the reason.
	KindDelete Kind = 3
	// KindReact adds a reaction of its author to its target, a message, or removes it; see
	// Switch.
	KindReact Kind = 4
	// KindPin pins its target, a message, or unpins it; see Switch.
	KindPin Kind = 5
	// KindTopic changes the topic of the room.
	KindTopic Kind = 6
	// KindRoom is a change of the room itself: it was created, or its kind, flags or
	// history changed.
	KindRoom Kind = 7
	// KindMember is a change of membership: somebody joined, left, was invited, kicked
	// or banned, or has another role.
	KindMember Kind = 8
	// KindLost stands in for an entry that was lost to damage, so that those behind it keep
	// their numbers. It has no body, and nothing shows it.
	KindLost Kind = 9
)

// IsChange reports whether entries of this kind change a message: their target.
func (k Kind) IsChange() bool { return k >= KindEdit && k <= KindPin }

// TakesText reports whether entries of this kind take the text away that their target had.
func (k Kind) TakesText() bool { return k == KindEdit || k == KindDelete }

// NoText is the body of a KindEdit that takes the text of a message away, which has only its files
// then. No content is the same, because none may have control characters. An entry of that kind
// without a body is another thing: its text was replaced since.
const NoText = "\x00"

// Switch returns the body of an entry that turns something on or off: an emoji for
// KindReact, nothing for KindPin.
func Switch(on bool, what string) string {
	if on {
		return "+" + what
	}
	return "-" + what
}

// ParseSwitch returns what Switch was given. Any other body turns something off.
func ParseSwitch(body string) (on bool, what string) {
	if body == "" {
		return false, ""
	}
	return body[0] == '+', body[1:]
}

// Origin identifies a connection; 0 is none. A server never reuses one.
type Origin uint64

// Draft is an entry that is not in a log yet. The log assigns its sequence number
// and time.
type Draft struct {
	Origin Origin // the connection it came from
	Author Identity
	Room   RoomName
	ID     MessageID // unique among the drafts of the author in the room
	Kind   Kind
	// Target is the sequence number of another entry in the same room that this
	// one refers to, or 0: of a change the message that it changes, of a message the one
	// that it answers.
	Target uint64
	// Base, of an edit, is the sequence number of the version that it replaces: of the
	// last edit, or of the message. 0 is any.
	Base uint64
	Body string
	// Files, of a message, are its files.
	Files Files
}

// Draft returns the message as a draft for a room. The author's identity has the
// username of the message.
func (m Message) Draft(author Identity, room RoomName, id MessageID) Draft {
	return Draft{Author: author, Room: room, ID: id, Kind: KindMessage, Body: m.content}
}
