package chat

import (
	"context"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/store"
)

// What a page holds when nobody says how much.
const (
	defaultHistory = 50
	defaultNames   = 500
)

// Query asks for a page of a room's history: without After the newest entries, with it
// the oldest behind it.
type Query struct {
	After, Before       uint64 // both exclusive
	HasAfter, HasBefore bool
	RepliesTo           uint64 // only messages that answer this one; 0: all
	Limit               int    // entries; 0 is 50
	Bytes               int    // of content; the page has one entry at least
}

// Page is a page of a room's history: all entries but the changes of messages, which the
// messages are folded with. See store.History.
type Page struct {
	Room        kaban.RoomName
	Entries     []Entry // ascending
	First, Last uint64  // the run of entries that the page covers, changes included; 0 if there are none
	AsOf        uint64  // the last entry that the messages are folded with
	More        bool    // in the direction of reading
	Newest      bool    // the direction is from the newest entry back
}

// Cut leaves at most so many entries in the page, those that its reader comes to first, and
// at least one.
func (p *Page) Cut(most int) {
	most = max(most, 1)
	if len(p.Entries) <= most {
		return
	}
	p.More = true
	if p.Newest {
		from := len(p.Entries) - most
		p.First, p.Entries = p.Entries[from-1].Seq+1, p.Entries[from:]
		return
	}
	p.Last, p.Entries = p.Entries[most].Seq-1, p.Entries[:most]
}

// History returns a page of a room's history, from the first entry on that the user may
// see. It blocks while the store is asked. It returns ErrNotFound, ErrDamaged, and
// ErrNoMessage if the user may not see the message whose replies it asks for.
func (u User) History(ctx context.Context, room kaban.RoomName, q Query) (result Page, err error) {
	page := store.Page{After: q.After, Before: q.Before, Last: !q.HasAfter, Limit: q.Limit, Bytes: q.Bytes, RepliesTo: q.RepliesTo}
	if page.Limit == 0 {
		page.Limit = defaultHistory
	}
	if q.HasBefore && q.Before == 0 {
		page.Before = 1 // nothing is before the first
	}
	err = u.whileAllowed(ctx, access.Read, room, func(_ *dispatch.Room, found ruling) error {
		visible := page
		if from := found.from; from > 0 {
			if q.RepliesTo != 0 && q.RepliesTo < from {
				return ErrNoMessage
			}
			visible.After = max(visible.After, from-1)
		}
		read, err := u.chat.dispatcher.History(ctx, room, visible)
		if err != nil {
			return err
		}
		result = Page{
			Room: read.Room.Name(), Entries: read.Entries, First: read.First, Last: read.Last, AsOf: read.AsOf,
			More: read.More, Newest: page.Last,
		}
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	u.chat.counters.pages.Add(1)
	return result, nil
}

// Room returns the state of a room. It may block while the store is asked. It
// returns ErrNotFound.
func (u User) Room(ctx context.Context, name kaban.RoomName) (Room, error) {
	state, lost := u.chat.dispatcher.Room(ctx, name) // before the decision, which holds for it then
	if _, _, err := u.lookUp(ctx, access.Know, name); err != nil {
		return Room{}, err
	}
	if lost != nil { // it has just appeared
		return Room{}, u.chat.count(lost)
	}
	return state, nil
}

// Members is a page of the members of a room.
type Members struct {
	Room      kaban.RoomName
	Usernames []string // sorted
	People    []Person // the same; nil if they are all visitors
	More      bool
}

// Members returns up to limit usernames of a room (0 is 500) that sort after a
// name. It may block while the store is asked. It returns ErrNotFound.
func (u User) Members(ctx context.Context, name kaban.RoomName, after string, limit int) (Members, error) {
	var page Members
	err := u.whileAllowed(ctx, access.Read, name, func(r *dispatch.Room, _ ruling) (err error) {
		page, err = u.members(ctx, r, after, limit)
		return err
	})
	if err != nil {
		return Members{}, err
	}
	return page, nil
}

// members is Members of a room that the user may read.
func (u User) members(ctx context.Context, r *dispatch.Room, after string, limit int) (Members, error) {
	if !u.chat.IsClaimed() {
		return membersOf(r, after, limit), nil
	}
	all, err := u.peopleOf(ctx, r)
	if err != nil {
		return Members{}, err
	}
	first, _ := slices.BinarySearchFunc(all, after+"\x00", func(p Person, name string) int { return strings.Compare(p.Username, name) })
	all = all[first:]
	page := Members{Room: r.Name()}
	if limit = limitOr(limit, defaultNames); len(all) > limit {
		page.More, all = true, all[:limit]
	}
	page.People = all
	for i := range all {
		page.Usernames = append(page.Usernames, all[i].Username)
	}
	return page, nil
}

// MembersNow is Members without asking the store, or false if that takes Members.
// It never blocks.
func (u User) MembersNow(name kaban.RoomName, after string, limit int) (Members, bool) {
	r := u.chat.dispatcher.Peek(name)
	if r == nil || u.chat.IsClaimed() || !u.isPlain(name, r) || u.can(access.Read, true, false) != nil {
		return Members{}, false
	}
	return membersOf(r, after, limit), true
}

func membersOf(r *dispatch.Room, after string, limit int) Members {
	usernames, more := r.Visitors(after, limitOr(limit, defaultNames))
	return Members{Room: r.Name(), Usernames: usernames, More: more}
}

func limitOr(limit, usual int) int {
	if limit == 0 {
		return usual
	}
	return limit
}
