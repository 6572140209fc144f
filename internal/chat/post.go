package chat

import (
	"context"
	"errors"
	"net/netip"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/store"
)

// Post stores one message of somebody without a connection. The author's name is
// borrowed until the message is stored or refused. Post returns when the message is
// stored and published, with the name of its room. When ctx ends first it returns
// its cause, and the message may be stored all the same: posting it again with the
// same id tells. It returns ErrNotFound, ErrReserved, ErrTaken, a
// *kaban.MessageError, ErrForbidden, ErrIDConflict and ErrStorageFull.
func (c *Chat) Post(ctx context.Context, room kaban.RoomName, id kaban.MessageID, author kaban.Username, content string) (Receipt, kaban.RoomName, error) {
	return c.post(ctx, room, id, content, false, author)
}

// PostHook is Post for a webhook, which may make its room. Its author is the first
// of some names that is free. It also returns ErrTooManyRooms and a
// *LookalikeError.
func (c *Chat) PostHook(ctx context.Context, room kaban.RoomName, id kaban.MessageID, authors []kaban.Username, content string) (Receipt, kaban.RoomName, error) {
	return c.post(ctx, room, id, content, true, authors...)
}

func (c *Chat) post(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string, hook bool, authors ...kaban.Username) (receipt Receipt, _ kaban.RoomName, err error) {
	defer func() { c.count(err) }()
	for range maxRulings {
		known, lost := c.dispatcher.Lookup(ctx, room)
		if lost != nil && !errors.Is(lost, ErrNotFound) {
			return Receipt{}, room, lost
		}
		if known != nil {
			room = known.Name()
		}
		receipt, err = c.postIn(ctx, room, known, id, content, hook, authors)
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
func (c *Chat) postIn(ctx context.Context, room kaban.RoomName, known *dispatch.Room, id kaban.MessageID, content string, hook bool, authors []kaban.Username) (Receipt, error) {
	somebody := c.As(kaban.Visitor(authors[0]), netip.Addr{})
	plain := somebody.isPlain(room, known)
	if plain {
		facts := somebody.plainFacts(known != nil, false)
		facts.Who.Hook, facts.Who.Person = hook, !hook
		if err := refusalOf(access.Can(access.Post, facts), access.Post); err != nil {
			return Receipt{}, err
		}
	}
	author, release, err := c.borrow(authors)
	if err != nil {
		return Receipt{}, err
	}
	message, err := kaban.NewMessage(author, content, c.maxContent)
	if err != nil {
		release()
		return Receipt{}, err
	}
	send := Send{Draft: message.Draft(kaban.Visitor(author), room, id), Terms: &dispatch.Terms{Checked: plain}}
	if !plain {
		u := c.As(kaban.Visitor(author), netip.Addr{})
		send.Terms.Decide = func(tx store.Tx) error {
			s, err := u.scene(tx, room, known != nil, false)
			if err != nil {
				return err
			}
			s.Who.Hook, s.Who.Person = hook, !hook
			return refusalOf(access.Can(access.Post, s.Facts), access.Post)
		}
	}
	return c.dispatcher.Post(ctx, send, release)
}

// borrow lends the first name that is free until release is called.
func (c *Chat) borrow(names []kaban.Username) (name kaban.Username, release func(), err error) {
	err = ErrReserved
	for _, name := range names {
		if release, err = c.names.Speak(name); err == nil {
			return name, release, nil
		}
	}
	return kaban.Username{}, nil, err
}
