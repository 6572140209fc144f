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

// unreadMention is a mention of an inbox.
type unreadMention struct {
	room kaban.RoomName
	store.Mention
	message *Entry // nil: it was not read, or there is none
}

func (m *unreadMention) position() uint64 { return position(m.Time, m.Seq) }

// Inbox returns up to limit unread mentions of the account (0 is 20, and 100 are the most) from
// before what Next returned (0 is the newest), and no more than one beyond so many bytes of
// texts (store.Entry.Size). A room of which the account wants no notifications has only those by its name. It
// waits for its turn, and blocks while the store is asked. It returns ErrAuthRequired and a
// *limit.ExceededError.
func (u User) Inbox(ctx context.Context, before uint64, limit, bytes int) (inbox Inbox, err error) {
	defer func() { u.chat.count(err) }()
	if u.account() == "" {
		return Inbox{}, ErrAuthRequired
	}
	leave, err := u.seek(ctx)
	if err != nil {
		return Inbox{}, err
	}
	defer leave()
	limit = min(limitOr(limit, defaultInbox), MaxInbox)
	var found []unreadMention
	err = u.eachState(ctx, func(s *RoomState) error {
		if s.Mentions == 0 {
			return nil
		}
		for _, m := range s.unreadMentions {
			if one := (unreadMention{s.Room, m, nil}); before == 0 || one.position() < before {
				found = append(found, one)
			}
		}
		return nil
	})
	if err != nil {
		return Inbox{}, err
	}
	slices.SortFunc(found, func(a, b unreadMention) int {
		return cmp.Or(cmp.Compare(b.position(), a.position()), cmp.Compare(a.room.Key(), b.room.Key()))
	})
	for len(found) > 0 && len(inbox.Mentions) <= limit && bytes >= 0 {
		some := found[:min(limit+1-len(inbox.Mentions), len(found))]
		if err := u.readMentions(ctx, some, bytes); err != nil {
			return Inbox{}, err
		}
		for i := range some {
			if bytes < 0 {
				break
			}
			if m := &some[i]; m.message != nil {
				inbox.Mentions = append(inbox.Mentions, Mention{m.room, *m.message, m.Time, m.Cause})
				bytes -= m.message.Size()
			}
			found = found[1:]
		}
	}
	inbox.More = len(found) > 0
	inbox.Cut(limit)
	return inbox, nil
}

// readMentions reads the messages of mentions, and decides about each room once. Of a room it reads
// no more than one beyond so many bytes of content: no page has more.
func (u User) readMentions(ctx context.Context, mentions []unreadMention, bytes int) error {
	inRoom := make(map[string][]*unreadMention)
	for i := range mentions {
		key := mentions[i].room.Key()
		inRoom[key] = append(inRoom[key], &mentions[i])
	}
	for _, some := range inRoom {
		if err := u.readMentionsOf(ctx, some, bytes); err != nil {
			return err
		}
	}
	return nil
}

// readMentionsOf reads the messages of mentions of one room as they are now. There is none that
// was deleted, cannot be read, or may not be read by the user any more.
func (u User) readMentionsOf(ctx context.Context, mentions []*unreadMention, bytes int) error {
	room := mentions[0].room
	err := u.whileAllowed(ctx, access.Read, room, func(_ *dispatch.Room, found ruling) error {
		left := bytes
		for _, m := range mentions {
			m.message = nil
			if m.Seq < found.from || left < 0 {
				continue
			}
			page, err := u.chat.dispatcher.History(ctx, room, store.Page{After: m.Seq - 1, Before: m.Seq + 1, Limit: 1})
			switch {
			case errors.Is(err, ErrDamaged):
				continue
			case err != nil:
				return err
			}
			if len(page.Entries) > 0 && !page.Entries[0].IsDeleted() {
				m.message = &page.Entries[0]
				left -= m.message.Size()
			}
		}
		return nil
	})
	if err != nil && isRefusal(err) {
		for _, m := range mentions {
			m.message = nil
		}
		return nil
	}
	return err
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
// waits for its turn, and blocks while the store is asked. It returns ErrAuthRequired and a
// *limit.ExceededError.
func (u User) News(ctx context.Context) (rooms []RoomState, err error) {
	if u.account() == "" {
		return nil, u.chat.count(ErrAuthRequired)
	}
	leave, err := u.seek(ctx)
	if err != nil {
		return nil, u.chat.count(err)
	}
	defer leave()
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
