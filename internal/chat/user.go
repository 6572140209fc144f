package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// User is an identity in action. Its methods are safe for concurrent use, but for
// those that belong to the goroutine of a Waker.
type User struct {
	chat   *Chat
	id     kaban.Identity
	remote string
}

// Identity returns who this is.
func (u User) Identity() kaban.Identity { return u.id }

// can asks for a decision about a room and counts refusals.
func (u User) can(action access.Action, room access.Room, role kaban.RoomRole) error {
	f := openServer(room)
	f.Who.Named = !u.id.IsZero()
	f.Membership.Role = role
	return u.chat.count(refusalOf(access.Can(action, f), action))
}

// openServer returns the facts about a visitor and a room: every server is open, and
// every room public.
func openServer(room access.Room) access.Facts {
	return access.Facts{
		Server:     access.Server{Claim: access.Claimed, Admission: access.Open},
		Who:        access.Identity{Active: true, Person: true, Reach: access.ReachServer, Writes: true},
		Room:       room,
		Membership: access.Membership{Standing: access.Good},
	}
}

// roomIf returns the facts about a room, or about none.
func roomIf(exists bool) access.Room {
	if !exists {
		return access.Room{}
	}
	return access.NewRoom(kaban.RoomPublic, 0, false)
}

// lookUp returns a room if the identity, which is not in it, may do something
// there.
func (u User) lookUp(ctx context.Context, action access.Action, name kaban.RoomName) (*dispatch.Room, error) {
	r, err := u.chat.dispatcher.Lookup(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, u.chat.count(err)
	}
	if err := u.can(action, roomIf(r != nil), 0); err != nil {
		return nil, err
	}
	return r, nil
}

// Place is a room to be joined, as Locate or Find found it. It ends in Join or in
// Abandon.
type Place struct {
	dispatch.Place
	giveBack func() // nil if the room existed
}

// Abandon gives up a place that is not joined.
func (p *Place) Abandon() {
	if p.giveBack != nil {
		p.giveBack()
	}
}

// NewRoomsError says that a room cannot be made because too many were made lately.
type NewRoomsError struct {
	Room kaban.RoomName
	Wait time.Duration // until it can; at least a second
}

func (e *NewRoomsError) Error() string {
	return fmt.Sprintf("there is no room %s, and too many rooms were made lately to make it now; join one that exists, or try again in %s", e.Room, e.Wait)
}

// Locate returns a place without asking the store, or false if that takes Find. It
// never blocks.
func (u User) Locate(room kaban.RoomName, start Start) (Place, bool) {
	found, ok := u.chat.dispatcher.Known(room, start)
	return Place{Place: found}, ok
}

// Find returns a place in a room to join, and counts the room against the limit of
// new rooms if it must be made. It blocks while the store is asked. It returns
// ErrForbidden and a *NewRoomsError.
func (u User) Find(ctx context.Context, room kaban.RoomName, start Start) (p Place, err error) {
	if p.Place, err = u.chat.dispatcher.Find(ctx, room, start); err != nil {
		return Place{}, u.chat.count(err)
	}
	if !p.IsNew() {
		return p, nil
	}
	if err := u.can(access.Create, access.Room{}, 0); err != nil {
		return Place{}, err
	}
	limits, name := u.chat.newRooms, u.id.Name().Key()
	if wait := limits.take(name, u.remote); wait > 0 {
		return Place{}, u.chat.count(&NewRoomsError{Room: room, Wait: max(wait.Round(time.Second), time.Second)})
	}
	p.giveBack = func() { limits.give(name, u.remote) }
	return p, nil
}

// Join makes a connection a member of a room. Only the waker's goroutine calls it.
// It returns ErrForbidden, a *ResyncError, ErrTooManyRooms and a *LookalikeError.
func (u User) Join(w Waker, member any, format Format, p Place) (*Subscription, Joined, error) {
	err := u.can(access.Join, roomIf(p.giveBack == nil), 0)
	if err != nil {
		p.Abandon()
		return nil, Joined{}, err
	}
	s, joined, err := u.chat.dispatcher.Join(w, member, format, u.id, p.Place)
	if err != nil {
		p.Abandon()
		return nil, Joined{}, u.chat.count(err)
	}
	u.chat.counters.joins.Add(1)
	if p.giveBack != nil {
		u.chat.counters.newRooms.Add(1)
	}
	return s, joined, nil
}

// Watch subscribes to a room without becoming a member. It blocks while the store
// is asked; otherwise it is like Join. It returns ErrNotFound and a *ResyncError.
func (u User) Watch(ctx context.Context, w Waker, format Format, room kaban.RoomName, start Start) (*Subscription, Joined, error) {
	if _, err := u.lookUp(ctx, access.Read, room); err != nil {
		return nil, Joined{}, err
	}
	place, err := u.chat.dispatcher.Find(ctx, room, start)
	if err != nil {
		return nil, Joined{}, u.chat.count(err)
	}
	s, joined, err := u.chat.dispatcher.Watch(w, w, format, u.id, place)
	if err != nil {
		return nil, Joined{}, u.chat.count(err)
	}
	u.chat.counters.watches.Add(1)
	return s, joined, nil
}

// Leave ends a subscription; see dispatch.Dispatcher.Leave. If the room vanishes
// with it and nothing sent there is under way, it does not count as made.
func (u User) Leave(s *Subscription, underWay bool) {
	if u.chat.dispatcher.Leave(s) && !underWay && !u.id.IsZero() {
		u.chat.newRooms.give(u.id.Name().Key(), u.remote)
	}
}

// Draft returns what a member says, to be submitted. The subscription is the
// member's, nil if there is none. It returns ErrNotJoined.
func (u User) Draft(s *Subscription, origin kaban.Origin, id kaban.MessageID, m kaban.Message) (Send, error) {
	var role kaban.RoomRole
	if s != nil {
		role = kaban.RoomRoleMember
	}
	if err := u.can(access.Send, roomIf(s != nil), role); err != nil {
		return Send{}, err
	}
	d := m.Draft(u.id, s.Room().Name(), id)
	d.Origin = origin
	return Send{Draft: d, Subscription: s}, nil
}

// Query asks for a page of a room's log: without After the newest entries, with it
// the oldest behind it.
type Query struct {
	After, Before       uint64 // both exclusive
	HasAfter, HasBefore bool
	Limit               int // entries; 0 is 50
	Bytes               int // of content; the page has one entry at least
}

// Page is a page of a room's log.
type Page struct {
	Room    kaban.RoomName
	Entries []Entry // ascending
	More    bool    // in the direction of reading
	Newest  bool    // the direction is from the newest entry back
}

// History returns a page of a room's log. It blocks while the store is asked. It
// returns ErrNotFound and ErrDamaged.
func (u User) History(ctx context.Context, room kaban.RoomName, q Query) (Page, error) {
	if _, err := u.lookUp(ctx, access.Read, room); err != nil {
		return Page{}, err
	}
	page := store.Page{After: q.After, Before: q.Before, Last: !q.HasAfter, Limit: q.Limit, Bytes: q.Bytes}
	if page.Limit == 0 {
		page.Limit = defaultHistory
	}
	if q.HasBefore && q.Before == 0 {
		page.Before = 1 // nothing is before the first
	}
	found, err := u.chat.dispatcher.History(ctx, room, page)
	if err != nil {
		return Page{}, u.chat.count(err)
	}
	u.chat.counters.pages.Add(1)
	return Page{Room: found.Room.Name(), Entries: found.Entries, More: found.More, Newest: page.Last}, nil
}

// Rooms returns up to limit rooms (0 is 500) whose names sort after a name, and
// whether there are more.
func (u User) Rooms(after string, limit int) (rooms []Room, more bool) {
	return u.chat.dispatcher.Rooms(after, limitOr(limit, defaultNames))
}

// Room returns the state of a room. It may block while the store is asked. It
// returns ErrNotFound.
func (u User) Room(ctx context.Context, name kaban.RoomName) (Room, error) {
	if _, err := u.lookUp(ctx, access.Know, name); err != nil {
		return Room{}, err
	}
	state, err := u.chat.dispatcher.Room(ctx, name)
	if err != nil { // it has just vanished
		return Room{}, u.chat.count(err)
	}
	return state, nil
}

// Members is a page of the members of a room.
type Members struct {
	Room      kaban.RoomName
	Usernames []string // sorted
	More      bool
}

// Members returns up to limit usernames of a room (0 is 500) that sort after a
// name. It may block while the store is asked. It returns ErrNotFound.
func (u User) Members(ctx context.Context, name kaban.RoomName, after string, limit int) (Members, error) {
	r, err := u.lookUp(ctx, access.Read, name)
	if err != nil {
		return Members{}, err
	}
	return membersOf(r, after, limit), nil
}

// MembersNow is Members without asking the store, or false if that takes Members.
// It never blocks.
func (u User) MembersNow(name kaban.RoomName, after string, limit int) (Members, bool) {
	r := u.chat.dispatcher.Peek(name)
	if r == nil || u.can(access.Read, roomIf(true), 0) != nil {
		return Members{}, false
	}
	return membersOf(r, after, limit), true
}

func membersOf(r *dispatch.Room, after string, limit int) Members {
	usernames, more := r.Usernames(after, limitOr(limit, defaultNames))
	return Members{Room: r.Name(), Usernames: usernames, More: more}
}

func limitOr(limit, usual int) int {
	if limit == 0 {
		return usual
	}
	return limit
}
