package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/access"
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
	facts := openServer(access.Room{})
	facts.Who.Named, facts.Who.Person, facts.Who.Hook = true, !hook, hook
	known, err := c.dispatcher.Lookup(ctx, room)
	switch {
	case err == nil:
		room, facts.Room = known.Name(), roomIf(true)
	case !errors.Is(err, ErrNotFound):
		return Receipt{}, room, err
	}
	if err := refusalOf(access.Can(access.Post, facts), access.Post); err != nil {
		return Receipt{}, room, err
	}
	author, release, err := c.borrow(authors)
	if err != nil {
		return Receipt{}, room, err
	}
	message, err := kaban.NewMessage(author, content, c.maxContent)
	if err != nil {
		release()
		return Receipt{}, room, err
	}
	if receipt, err = c.dispatcher.Post(ctx, Send{Draft: message.Draft(kaban.Visitor(author), room, id)}, release); err != nil {
		return Receipt{}, room, err
	}
	c.counters.posts.Add(1)
	return receipt, room, nil
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
