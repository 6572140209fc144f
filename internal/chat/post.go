package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Post stores one message of a user without a connection, which does not join for it.
// A visitor's name is borrowed until the message is stored or refused. A hook may make
// its room. Post returns when the message is stored and published, with the name of its
// room. When ctx ends first it returns its cause, and the message may be stored all the
// same: posting it again with the same id shows. It returns ErrNotFound, ErrNotJoined,
// ErrAuthRequired, ErrReserved, ErrTaken, a *kaban.MessageError, ErrForbidden,
// ErrIDConflict and ErrStorageFull; for a hook ErrTooManyRooms and a *LookalikeError.
func (u User) Post(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string) (receipt Receipt, _ kaban.RoomName, err error) {
	c := u.chat
	defer func() { c.count(err) }()
	for range maxRulings {
		known, lost := c.dispatcher.Lookup(ctx, room)
		if lost != nil && !errors.Is(lost, ErrNotFound) {
			return Receipt{}, room, lost
		}
		if known != nil {
			room = known.Name()
		}
		receipt, err = u.postIn(ctx, room, known, id, content)
		if !errors.Is(err, ErrStale) {
			break
		}
	}
	if err != nil {
		return Receipt{}, room, err
	}
	c.counters.posts.Add(1)
	return receipt, room, nil
}

// postIn posts to a room as it is now; known is nil if there is none.
func (u User) postIn(ctx context.Context, room kaban.RoomName, known *dispatch.Room, id kaban.MessageID, content string) (Receipt, error) {
	c := u.chat
	plain := u.isPlain(room, known) && !c.IsClaimed()
	if plain {
		if err := refusalOf(access.Can(access.Post, u.plainFacts(known != nil, false)), access.Post); err != nil {
			return Receipt{}, err
		}
	}
	message, err := kaban.NewMessage(u.Identity().Name(), content, c.maxContent)
	if err != nil {
		return Receipt{}, err
	}
	release := func() {}
	if u.isVisitor() {
		if release, err = c.names.Speak(u.Identity().Name()); err != nil {
			return Receipt{}, err
		}
	}
	send := Send{Draft: message.Draft(u.peer.Identity, room, id), Terms: &dispatch.Terms{Checked: plain}}
	if !plain {
		send.Terms.Decide = func(tx store.Tx) error { return u.mayPost(tx, room, known != nil) }
	}
	return c.dispatcher.Post(ctx, send, release)
}

// isVisitor reports whether the user has a name and nothing else.
func (u User) isVisitor() bool { return u.account() == "" && !u.isHook() }

// mayPost decides in the transaction of the append.
func (u User) mayPost(tx store.Tx, room kaban.RoomName, exists bool) error {
	if u.isVisitor() {
		if alike, err := people.Accounts.Like(tx, u.Identity().Name(), 1); err != nil || len(alike) > 0 {
			return errors.Join(err, ErrTaken)
		}
	}
	s, err := u.scene(tx, room, exists, u.isHook())
	if err != nil {
		return err
	}
	if u.isHook() {
		if s.Membership.Role, err = u.hookRole(tx); err != nil {
			return err
		}
	}
	if s.room.Kind == kaban.RoomDirect && u.account() != "" {
		if s.Target.Reachable, err = u.reaches(tx, &s.room); err != nil {
			return err
		}
	}
	return refusalOf(access.Can(access.Post, s.Facts), access.Post)
}
