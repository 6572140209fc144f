package kaban

import (
	"fmt"
	"strings"
)

// Identity is an author: somebody or something that adds entries to logs. Two
// identities with equal ids are the same author. The zero value is nobody.
type Identity struct {
	id   string
	name Username
}

// The id of an identity starts with its type, so that an account does not inherit
// the message ids of a visitor with the same name.
const (
	visitorPrefix = "visitor:"
	accountPrefix = "account:"
)

// Visitor returns the identity of somebody without an account, known by the name
// only: whoever uses the same name later is the same author.
func Visitor(name Username) Identity {
	if name.IsZero() {
		return Identity{}
	}
	return Identity{id: visitorPrefix + name.Key(), name: name}
}

// Account returns the identity of the account with an id, known by a name that may
// change. The id must not be empty.
func Account(id string, name Username) Identity {
	return Identity{id: accountPrefix + id, name: name}
}

// ParseIdentity returns the identity with an id that ID returned and the name that
// it has now.
func ParseIdentity(id string, name Username) (Identity, error) {
	account, isAccount := strings.CutPrefix(id, accountPrefix)
	switch {
	case isAccount && account != "":
		return Account(account, name), nil
	case !isAccount && !name.IsZero() && id == Visitor(name).id:
		return Visitor(name), nil
	}
	return Identity{}, fmt.Errorf("%q is not the id of an identity with the name %q", id, name)
}

// ID returns the stable id that logs keep. Message ids are unique per identity.
func (i Identity) ID() string { return i.id }

// Name returns the name that others see.
func (i Identity) Name() Username { return i.name }

// IsZero reports whether this is nobody.
func (i Identity) IsZero() bool { return i.id == "" }

// Kind is the kind of an entry in a log. Every entry takes a sequence number,
// whatever its kind, so a reader that does not know a kind still counts it.
type Kind uint8

// KindMessage is a message. Its body is the content.
const KindMessage Kind = 1

// Origin identifies a connection; 0 is none. A server never uses one twice.
type Origin uint64

// Draft is an entry before it is in a log, where it gets its sequence number and
// time.
type Draft struct {
	Origin Origin // the connection that it came from
	Author Identity
	Room   RoomName
	ID     MessageID // unique among the drafts of the author
	Kind   Kind
	// Target is the sequence number of the entry in the same room that this one
	// is about; 0 if it is about none.
	Target uint64
	Body   string
}

// Draft returns the message as a draft of its author, a visitor, for a room.
func (m Message) Draft(room RoomName, id MessageID) Draft {
	return Draft{Author: Visitor(m.username), Room: room, ID: id, Kind: KindMessage, Body: m.content}
}
