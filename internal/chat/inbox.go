package chat

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/store"
)

// MaxInbox is how many mentions a page of the inbox has at most, and defaultInbox how many if
// nobody says.
const (
	MaxInbox     = 100
	defaultInbox = 20
)

// maxNews is how many rooms with something new are listed.
const maxNews = 500

// Mention is an unread message that mentions an account.
type Mention struct {
	Room    kaban.RoomName
	Message Entry
	Time    int64 // since when it mentions it, in milliseconds since 1970 UTC
	Cause   Cause
}

// Cause is why a message mentions an account.
type Cause = store.Cause

// The causes.
const (
	CauseName     = store.CauseName
	CauseEveryone = store.CauseEveryone
	CauseHere     = store.CauseHere
)

// Inbox is a page of the unread mentions of an account, newest first.
type Inbox struct {
	Mentions []Mention
	More     bool
}

// position is what the mentions of an inbox are ordered by. It fits a number of JavaScript until
// the year 2255. Two of different rooms may have the same.
func position(time int64, seq uint64) uint64 {
	const inOneMillisecond = 1000
	return uint64(max(time, 0))*inOneMillisecond + seq%inOneMillisecond
}

func (m *Mention) position() uint64 { return position(m.Time, m.Message.Seq) }

// Next returns where the next page begins, 0 if there is none.
func (b *Inbox) Next() uint64 {
	if !b.More || len(b.Mentions) == 0 {
		return 0
	}
	return b.Mentions[len(b.Mentions)-1].position()
}

// Cut leaves at most so many mentions in the page, and at least one.
func (b *Inbox) Cut(most int) {
	n := max(most, 1)
	if len(b.Mentions) <= n {
		return
	}
	for n > 1 && b.Mentions[n].position() == b.Mentions[n-1].position() { // the next page would not have it
		n--
	}
	b.Mentions, b.More = b.Mentions[:n], true
}

// unreadMention is a mention whose message was not read from the store.
type unreadMention struct {
	room kaban.RoomName
	store.Mention
}

func (m *unreadMention) position() uint64 { return position(m.Time, m.Seq) }

// Inbox returns up to limit unread mentions of the account (0 is 20, and 100 are the most) from
// before what Next returned (0 is the newest), and no more than one beyond so many bytes of
// content. A room of which the account wants no notifications has only those by its name. It
// blocks while the store is asked. It returns ErrAuthRequired.
func (u User) Inbox(ctx context.Context, before uint64, limit, bytes int) (inbox Inbox, err error) {
	defer func() { u.chat.count(err) }()
	if u.account() == "" {
		return Inbox{}, ErrAuthRequired
	}
	limit = min(limitOr(limit, defaultInbox), MaxInbox)
	var found []unreadMention
	err = u.eachState(ctx, func(s *RoomState) error {
		if s.Mentions == 0 {
			return nil
		}
		mentions, err := u.unreadMentions(ctx, s)
		for _, m := range mentions {
			if one := (unreadMention{s.Room, m}); before == 0 || one.position() < before {
				found = append(found, one)
			}
		}
		return err
	})
	if err != nil {
		return Inbox{}, err
	}
	slices.SortFunc(found, func(a, b unreadMention) int {
		return cmp.Or(cmp.Compare(b.position(), a.position()), cmp.Compare(a.room.Key(), b.room.Key()))
	})
	for i := range found {
		if len(inbox.Mentions) > limit || bytes < 0 {
			break
		}
		m := &found[i]
		message, ok, err := u.message(ctx, m.room, m.Seq)
		if err != nil {
			return Inbox{}, err
		}
		if ok {
			inbox.Mentions = append(inbox.Mentions, Mention{m.room, message, m.Time, m.Cause})
			bytes -= len(message.Content)
		}
		inbox.More = i+1 < len(found)
	}
	inbox.Cut(limit)
	return inbox, nil
}

// message returns a message as it is now, or false if it was deleted, cannot be read, or the user
// may not read it any more.
func (u User) message(ctx context.Context, room kaban.RoomName, seq uint64) (message Entry, ok bool, err error) {
	err = u.whileAllowed(ctx, access.Read, room, func(_ *dispatch.Room, found ruling) error {
		message, ok = Entry{}, false
		if seq < found.from {
			return nil
		}
		page, err := u.chat.dispatcher.History(ctx, room, store.Page{After: seq - 1, Before: seq + 1, Limit: 1})
		switch {
		case errors.Is(err, ErrDamaged):
			return nil
		case err != nil:
			return err
		}
		if len(page.Entries) > 0 && !page.Entries[0].IsDeleted() {
			message, ok = page.Entries[0], true
		}
		return nil
	})
	if err != nil && isRefusal(err) {
		return Entry{}, false, nil
	}
	return message, ok, err
}

// eachState calls visit with the state of each room of the account, by name, until it returns an
// error.
func (u User) eachState(ctx context.Context, visit func(*RoomState) error) error {
	var me Me
	for after, more := "", true; more; {
		var states []RoomState
		var err error
		if states, after, more, err = u.statesAfter(ctx, &me, after, defaultNames); err != nil {
			return err
		}
		for i := range states {
			if err := visit(&states[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// errEnough ends eachState.
var errEnough = errors.New("there are enough")

// News returns the rooms of the account in which something is unread, by name: the first 500. It
// blocks while the store is asked. It returns ErrAuthRequired.
func (u User) News(ctx context.Context) (rooms []RoomState, err error) {
	if u.account() == "" {
		return nil, u.chat.count(ErrAuthRequired)
	}
	err = u.eachState(ctx, func(s *RoomState) error {
		if s.Unread+s.Mentions > 0 {
			rooms = append(rooms, *s)
		}
		if len(rooms) == maxNews {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return rooms, u.chat.count(err)
}
