package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/access"
)

// Speaker is somebody without a connection who says one thing. It borrows a name
// until that is stored. It ends in Post or in Release.
type Speaker struct {
	User
	hook    bool
	release func()
}

// Speaker borrows a name for one message of a program. It returns ErrReserved and
// ErrTaken.
func (c *Chat) Speaker(name kaban.Username, remote string) (*Speaker, error) {
	return c.borrow(remote, false, name)
}

// HookSpeaker borrows the first free name for one message of a webhook, which may
// make its room. It returns ErrReserved or ErrTaken if none is free.
func (c *Chat) HookSpeaker(remote string, names ...kaban.Username) (*Speaker, error) {
	return c.borrow(remote, true, names...)
}

func (c *Chat) borrow(remote string, hook bool, names ...kaban.Username) (*Speaker, error) {
	err := ErrReserved
	for _, name := range names {
		var release func()
		if release, err = c.names.Speak(name); err == nil {
			return &Speaker{c.As(kaban.Visitor(name), remote), hook, release}, nil
		}
	}
	c.counters.refusals.Add(1)
	return nil, err
}

// Release gives the name back without saying anything.
func (s *Speaker) Release() { s.release() }

// Post stores one message and returns when it is stored and published, with the
// name of its room. When ctx ends first it returns its cause, and the message may
// be stored all the same: posting it again with the same id tells. It returns a
// *kaban.MessageError, ErrNotFound, ErrForbidden, ErrTooManyRooms, a
// *LookalikeError, ErrIDConflict and ErrStorageFull.
func (s *Speaker) Post(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string) (Receipt, kaban.RoomName, error) {
	facts := access.Facts{Hook: s.hook}
	known, err := s.chat.dispatcher.Lookup(ctx, room)
	switch {
	case err == nil:
		room, facts.Exists = known.Name(), true
	case !errors.Is(err, ErrNotFound):
		s.release()
		return Receipt{}, room, s.count(err)
	}
	if err := s.can(access.Post, facts); err != nil {
		s.release()
		return Receipt{}, room, err
	}
	message, err := kaban.NewMessage(s.id.Name(), content, s.chat.maxContent)
	if err != nil {
		s.release()
		return Receipt{}, room, s.count(err)
	}
	receipt, err := s.chat.dispatcher.Post(ctx, message.Draft(room, id), s.release)
	if err != nil {
		return Receipt{}, room, s.count(err)
	}
	s.chat.counters.posts.Add(1)
	return receipt, room, nil
}
