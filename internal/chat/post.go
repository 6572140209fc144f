package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/store"
)

// Post stores one message of a user without a connection, which does not join for it.
// replyTo is the message that it answers, or 0.
// A visitor's name is borrowed until the message is stored or refused. A hook may make
// its room. Post returns when the message is stored and published, with the name of its
// room. When ctx ends first it returns its cause, and the message may be stored all the
// same: posting it again with the same id shows. It returns ErrNotFound, ErrNotJoined,
// ErrAuthRequired, ErrReserved, ErrTaken, a *kaban.MessageError, ErrForbidden,
// ErrNoMessage, ErrGone, ErrIDConflict and ErrStorageFull; for a hook ErrTooManyRooms and a *LookalikeError.
func (u User) Post(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string, replyTo uint64) (receipt Receipt, _ kaban.RoomName, err error) {
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
		receipt, err = u.postIn(ctx, room, known, id, content, replyTo)
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
func (u User) postIn(ctx context.Context, room kaban.RoomName, known *dispatch.Room, id kaban.MessageID, content string, replyTo uint64) (Receipt, error) {
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
	if u.isBoundElsewhere(room) {
		_, refused := u.rule(ctx, access.Post, room, false)
		return u.postNowhere(ctx, message.Draft(u.peer.Identity, room, id), refused, func() {})
	}
	release := func() {}
	if u.isVisitor() {
		if release, err = c.names.Speak(u.Identity().Name()); err != nil {
			return Receipt{}, err
		}
	}
	send := Send{Draft: message.Draft(u.peer.Identity, room, id), Terms: &dispatch.Terms{Checked: plain}}
	send.Draft.Target = replyTo
	if !plain {
		var from uint64 // the first entry that the user may see
		send.Terms.Decide = func(tx store.Tx) (err error) {
			from, err = u.mayPost(tx, room, known != nil)
			return err
		}
		send.Terms.Allow = func(target *store.Entry) error {
			if target.Seq < from {
				return ErrNoMessage
			}
			return nil
		}
	}
	return c.dispatcher.Post(ctx, send, release)
}

// isVisitor reports whether the user has a name and nothing else.
func (u User) isVisitor() bool { return u.account() == "" && !u.isHook() }

// mayPost decides in the transaction of the append. It returns the first entry that the
// user may see.
func (u User) mayPost(tx store.Tx, room kaban.RoomName, exists bool) (from uint64, err error) {
	if u.isVisitor() {
		if err := u.isNobodyElse(tx); err != nil {
			return 0, err
		}
	}
	s, err := u.scene(tx, room, exists, u.isHook())
	if err != nil {
		return 0, err
	}
	if u.isHook() {
		if s.Membership.Role, err = u.hookRole(tx); err != nil {
			return 0, err
		}
	}
	if err := u.seekReach(tx, &s); err != nil {
		return 0, err
	}
	return s.from, refusalOf(access.Can(access.Post, s.Facts), access.Post)
}
