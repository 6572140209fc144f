package chat

import (
	"context"
	"errors"
	"net/netip"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/session"
	"kaban/internal/store"
)

// User is an identity in action. Its methods are safe for concurrent use, but for
// those that belong to the goroutine of a Waker.
type User struct {
	chat       *Chat
	peer       *kaban.Peer         // never nil; shared with the session
	credential *session.Credential // nil without an account
	hook       string              // the hash of the key of a hook
	operator   bool                // a command in the data directory
	grants     bool                // with operator: the settings of single sign-on act, with the rights of an op
}

// As returns what an identity without an account may do from an address. The zero
// identity is an anonymous reader; the zero address is this machine.
func (c *Chat) As(id kaban.Identity, address netip.Addr) User {
	return User{chat: c, peer: &kaban.Peer{Identity: id, Address: address}}
}

// With returns what a connection or a request may do that has signed in to an account.
func (c *Chat) With(id kaban.Identity, address netip.Addr, credential *Credential) User {
	return User{chat: c, peer: &kaban.Peer{Identity: id, Address: address}, credential: credential}
}

// By returns what the holder of a session may do.
func (c *Chat) By(s *Session) User {
	return User{chat: c, peer: &s.Peer, credential: s.Credential}
}

// Identity returns who this is.
func (u User) Identity() kaban.Identity { return u.peer.Identity }

// account returns the id of the account, or "".
func (u User) account() string {
	account, _ := kaban.AuthorOf(u.peer.ID())
	return account
}

// isHook reports whether this is an incoming webhook.
func (u User) isHook() bool {
	account, program := kaban.AuthorOf(u.peer.ID())
	return program && account == ""
}

// reach returns where the credential is valid, as seen from the room with a key.
func reach(c *session.Credential, room string) access.Reach {
	if c == nil || c.Rooms == nil {
		return access.ReachServer
	}
	for _, key := range c.Rooms {
		if key == room {
			return access.ReachRoom
		}
	}
	return access.ReachElsewhere
}

// isBoundElsewhere reports whether the credential is bound to rooms, and not to this one.
// There is no such room for it, not even to say that an id is used there already: what
// is stored is acknowledged before any right is looked at, so it must not get that far.
func (u User) isBoundElsewhere(room kaban.RoomName) bool {
	return reach(u.credential, room.Key()) == access.ReachElsewhere
}

// isPlain reports whether a decision needs no document: the user has no account, the
// server is open to visitors, and nobody has ever changed the rights in the room. The
// room is nil if there is none.
func (u User) isPlain(name kaban.RoomName, r *dispatch.Room) bool {
	return u.account() == "" && !u.isHook() && !name.IsDirect() && (r == nil || r.Revision() == 0) && u.chat.isOpen()
}

// plainFacts returns the facts where isPlain is true.
func (u User) plainFacts(exists, in bool) access.Facts {
	f := access.Facts{
		Server:     access.Server{Claim: access.Claimed, Admission: access.Open},
		Who:        access.Identity{Active: true, Named: !u.peer.IsZero(), Person: true, InPerson: true, Reach: access.ReachServer, Writes: true},
		Membership: access.Membership{Standing: access.Good},
	}
	if exists {
		f.Room = access.NewRoom(kaban.RoomPublic, 0, false)
	}
	if in {
		f.Membership.Role = kaban.RoomRoleMember
	}
	return f
}

// can decides where isPlain is true, and counts refusals.
func (u User) can(action access.Action, exists, in bool) error {
	return u.chat.count(refusalOf(access.Can(action, u.plainFacts(exists, in)), action))
}

// ruling is a decision about a room and what it was made of.
type ruling struct {
	scene
	revision uint64 // of the room's rights
}

// rule reads the facts about the user in a room and decides. exists is set if there is
// such a room.
func (u User) rule(ctx context.Context, action access.Action, name kaban.RoomName, exists bool) (r ruling, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if r.revision, err = tx.Revision(name); err != nil {
			return err
		}
		if r.scene, err = u.scene(tx, name, exists, false); err != nil {
			return err
		}
		return refusalOf(access.Can(action, r.Facts), action)
	})
	return r, u.chat.count(missing(name, err))
}

// lookUp returns a room if the identity, which is not in it by this connection, may do
// something there.
func (u User) lookUp(ctx context.Context, action access.Action, name kaban.RoomName) (*dispatch.Room, ruling, error) {
	r, err := u.chat.dispatcher.Lookup(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, ruling{}, u.chat.count(err)
	}
	// Where there is no room the store is asked all the same: else the time of the answer
	// would tell it from one that is hidden.
	if r != nil && u.isPlain(name, r) {
		if err := u.can(action, true, false); err != nil {
			return nil, ruling{}, err
		}
		return r, ruling{}, nil
	}
	found, err := u.rule(ctx, action, name, r != nil)
	if err == nil && r == nil {
		err = missing(name, ErrNotFound)
	}
	return r, found, err
}

// maxRulings is how often a read is decided anew because the rights in the room have
// changed meanwhile.
const maxRulings = 8

// whileAllowed runs a read of a room that the user may do something in, until the
// rights in the room and on the server are the same after it as before it: what it returns was allowed
// when it was read.
func (u User) whileAllowed(ctx context.Context, action access.Action, name kaban.RoomName, read func(r *dispatch.Room, found ruling) error) error {
	for range maxRulings {
		generation := u.chat.dispatcher.Generation()
		r, found, err := u.lookUp(ctx, action, name)
		if err != nil {
			return err
		}
		if err := read(r, found); err != nil {
			return u.chat.count(err)
		}
		if err := u.chat.dispatcher.Look(ctx, r); err != nil {
			return u.chat.count(err)
		}
		if r.Revision() == found.revision && u.chat.dispatcher.Generation() == generation {
			return nil
		}
	}
	return u.chat.count(store.ErrStale)
}
