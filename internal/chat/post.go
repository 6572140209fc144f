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
	return u.PostFiles(ctx, room, id, content, replyTo, nil)
}

// PostFiles is Post of a message with files, by their ids: up to kaban.MaxFiles of the user's own
// that no other message has. With files the content may be empty. Beside the errors of Post it
// returns ErrNoFile and kaban.ErrFiles.
func (u User) PostFiles(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string, replyTo uint64, files []string) (receipt Receipt, _ kaban.RoomName, err error) {
	c := u.chat
	defer func() { c.count(err) }()
	claimed, err := u.Claim(ctx, files)
	if err != nil {
		return Receipt{}, room, err
	}
	for range maxRulings {
		known, lost := c.dispatcher.Lookup(ctx, room)
		if lost != nil && !errors.Is(lost, ErrNotFound) {
			return Receipt{}, room, lost
		}
		if known != nil {
			room = known.Name()
		}
		receipt, err = u.postIn(ctx, room, known, id, content, replyTo, claimed)
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
func (u User) postIn(ctx context.Context, room kaban.RoomName, known *dispatch.Room, id kaban.MessageID, content string, replyTo uint64, files *Claim) (Receipt, error) {
	c := u.chat
	plain := u.isPlain(room, known) && !c.ChecksVisitors() && len(files.ids) == 0
	if plain {
		if err := refusalOf(access.Can(access.Post, u.plainFacts(known != nil, false)), access.Post); err != nil {
			return Receipt{}, err
		}
	}
	draft, err := u.draftWith(room, id, content, files)
	if err != nil {
		return Receipt{}, err
	}
	if u.isBoundElsewhere(room) {
		_, refused := u.rule(ctx, access.Post, room, false)
		return u.postNowhere(ctx, draft, refused, func() {})
	}
	release := func() {}
	if u.isVisitor() {
		if release, err = c.speak(ctx, u.Identity().Name()); err != nil {
			return Receipt{}, err
		}
	}
	send := Send{Draft: draft, Terms: &dispatch.Terms{Checked: plain}}
	send.Draft.Target = replyTo
	if !plain {
		var from uint64 // the first entry that the user may see
		send.Terms.Decide = func(tx store.Tx) (err error) {
			if from, err = u.mayPost(tx, room, known != nil); err != nil {
				return err
			}
			return files.decide(tx, room)
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

// draftWith returns the draft of a message with files.
func (u User) draftWith(room kaban.RoomName, id kaban.MessageID, content string, files *Claim) (kaban.Draft, error) {
	if content == "" && len(files.ids) > 0 && !u.Identity().Name().IsZero() {
		return kaban.Draft{Author: u.peer.Identity, Room: room, ID: id, Kind: kaban.KindMessage, Files: files.files}, nil
	}
	message, err := kaban.NewMessage(u.Identity().Name(), content, u.chat.maxContent)
	if err != nil {
		return kaban.Draft{}, err
	}
	draft := message.Draft(u.peer.Identity, room, id)
	draft.Files = files.files
	return draft, nil
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
