// Package dispatch joins all read loops to all write loops. It is the heart of
// the server and knows no protocol and no database.
//
// A room is an append-only log, a subscriber is a cursor. What a connection
// sends is handed to the dispatcher in batches (Submit); one committer appends
// everything that waits to the store as one transaction, then publishes it: it
// encodes each entry once per format into the tail of its room and wakes
// whoever serves its members, once for all of them (Audience). A connection's
// write step takes everything between its cursor and the head
// (Subscription.Next), so there is no queue of messages per reader: a slow one
// costs no memory, loses nothing and holds up nobody. A cursor that has fallen
// behind the tail reads pages from the store until it has caught up (Fetch);
// joining with history, resuming and catching up are this one path.
//
// Guarantees: nothing is shown to anybody or acknowledged before it is stored.
// Each sequence number of a room reaches a subscription exactly once, in
// order: as a frame, or, for what the connection sent itself, as a Receipt in
// its place. Presence frames pass by between entries and have no guarantee.
//
// The dispatcher does not assume to be the only writer of the log: when an
// append comes back with a number beyond head+1 it reads what is missing.
//
// Locks, in the order they may be taken: committer.mu, Dispatcher.mu, Room.mu,
// then the leaf locks (sent.mu, inbox, presence, and the waker's own).
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// Facts that callers tell apart with errors.Is.
var (
	// ErrNotFound says that there is no such room.
	ErrNotFound = errors.New("no such room")
	// ErrTooManyRooms says that the room cannot be made.
	ErrTooManyRooms = errors.New("too many rooms")
	// ErrClosed says that the dispatcher takes nothing any more.
	ErrClosed = errors.New("dispatcher is closed")
)

// ResyncError says that the log cannot be continued from the cursor: it is of
// another epoch, beyond the head, older than what is kept, or what comes next is
// damaged. In the last case Head is where it can be continued, the last damaged
// entry in a row, and not the room's.
type ResyncError struct {
	Room    kaban.RoomName
	Epoch   string
	Head    uint64
	Oldest  uint64              // the oldest entry kept; Head+1 when there is none
	Damaged *store.DamagedError // the first that is, or nil
}

func (e *ResyncError) Error() string {
	if e.Damaged != nil {
		return fmt.Sprintf("%v; room %s goes on behind %d", e.Damaged, e.Room, e.Head)
	}
	return fmt.Sprintf("room %s cannot be continued from there; it has %d to %d in epoch %s", e.Room, e.Oldest, e.Head, e.Epoch)
}

// Format encodes what members read. Front ends bring their own. Formats are
// compared with ==; all members with equal formats share the encoded bytes.
// The methods append to dst and are called by one goroutine at a time per room.
type Format interface {
	AppendEntry(dst []byte, room string, e *store.Entry) []byte
	AppendPresence(dst []byte, room string, members int, joined, left []string) []byte
}

// Waker serves members: one goroutine that calls what their subscriptions have
// for it. Its methods are called with locks held, from any goroutine, also
// while it calls the dispatcher itself: they must only note what they are told.
type Waker interface {
	// Wake says that there may be something new for all of an audience. It is
	// not repeated before the waker has called Audience.Members.
	Wake(a *Audience)
	// WakeOne says that a receipt waits of which no Wake tells: of a repeated or
	// a refused send.
	WakeOne(s *Subscription)
}

// Options are what a Dispatcher can be told. Zero values mean the defaults.
type Options struct {
	// TailBytes is how much of each room's log is kept in memory as encoded
	// frames, per format, while somebody is in the room. Default 256 KiB.
	TailBytes int
	// TailBudget is how much memory the tails of all rooms hold together, in bytes.
	// Rooms in which more is said keep more. Default 64 MiB.
	TailBudget int64
	// TailAge is how long a part of a tail is kept that nothing pushes out. Default
	// 5 minutes.
	TailAge time.Duration
	// PageEntries is how many entries a cursor that is behind the tail reads from
	// the store at a time, unless 64 KiB of content are fewer. Default 500.
	PageEntries int
	// MaxRooms bounds the rooms of the server. Default 100,000.
	MaxRooms int
	// PresenceDelay is how long comings and goings are gathered. Default 250 ms.
	PresenceDelay time.Duration
	// Log gets one line when the store begins to fail and one when it works
	// again. Default: discarded.
	Log *slog.Logger
	// OnBroken, if set, is called once, by the committer, when the store says
	// store.ErrBroken: the server must end. It must not block. From then on all
	// sends are refused.
	OnBroken func(error)
}

// Dispatcher holds the rooms of a server. All methods are safe for concurrent
// use.
type Dispatcher struct {
	store   store.Store
	options Options
	// inline says that whoever submits commits: the store does not block, so a
	// goroutine of its own would only cost wake-ups.
	inline bool

	mu     sync.Mutex // guards all below; never held across I/O
	rooms  map[string]*Room
	byName btree.Map[string, *Room] // the same, in the order of a list
	looks  map[string]*Room         // the same, by what they look like beside their key

	budget    *budget
	presence  presence
	inbox     inbox
	committer committer
	closing   chan struct{} // closed by Close: nothing is tried again
	group     sync.WaitGroup
}

// New returns a dispatcher over a store, with the store's rooms and the lobby.
// The caller ends it with Close.
func New(ctx context.Context, s store.Store, options Options) (*Dispatcher, error) {
	if options.TailBytes <= 0 {
		options.TailBytes = 256 << 10
	}
	if options.TailBudget <= 0 {
		options.TailBudget = defaultTailBudget
	}
	if options.TailAge <= 0 {
		options.TailAge = defaultTailAge
	}
	if options.PageEntries <= 0 {
		options.PageEntries = 500
	}
	if options.MaxRooms <= 0 {
		options.MaxRooms = 100_000
	}
	if options.PresenceDelay <= 0 {
		options.PresenceDelay = 250 * time.Millisecond
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dispatcher{store: s, options: options, rooms: make(map[string]*Room), looks: make(map[string]*Room), closing: make(chan struct{})}
	d.budget = newBudget(options.TailBudget, options.TailAge)
	d.inbox.more.L = &d.inbox.mu
	d.committer = committer{dispatcher: d, index: make(map[string]int)}
	lobby, err := kaban.ParseRoomName(kaban.Lobby)
	if err != nil {
		return nil, fmt.Errorf("name of the first room: %w", err)
	}
	known, err := s.Rooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the rooms: %w", err)
	}
	for _, state := range known {
		d.addRoomLocked(state, state.Name.Looks())
	}
	if d.rooms[lobby.Key()] == nil {
		d.addRoomLocked(store.Room{Name: lobby, Oldest: 1}, lobby.Looks())
	}
	if store.IsInstant(s) {
		d.inline = true
		return d, nil
	}
	d.group.Go(d.commitLoop)
	return d, nil
}

// Close commits what was submitted before and ends the dispatcher. It does not
// close the store. Members should have left.
func (d *Dispatcher) Close() {
	if d.inbox.close() {
		close(d.closing)
	}
	d.group.Wait()
	d.commitWaiting()
	d.presence.close()
	d.budget.close()
}

// Epoch returns the epoch of the store.
func (d *Dispatcher) Epoch() string { return d.store.Epoch() }

func (d *Dispatcher) addRoomLocked(state store.Room, looks []string) *Room {
	r := &Room{name: state.Name, epoch: d.store.Epoch(), store: d.store, budget: d.budget, pageEntries: d.options.PageEntries}
	r.head.Store(state.Head)
	d.rooms[state.Name.Key()] = r
	d.byName.Set(r.name.String(), r)
	if len(looks) > 1 { // the first is its key
		r.looks = looks[1:]
	}
	d.noteLooksLocked(r)
	return r
}

func (d *Dispatcher) room(name kaban.RoomName) *Room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[name.Key()]
}

// hasRoomFor reports whether a room is there or can be made.
func (d *Dispatcher) hasRoomFor(name kaban.RoomName) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[name.Key()] != nil || len(d.rooms) < d.options.MaxRooms
}

// roomOrNew returns the room, which is made if need be.
func (d *Dispatcher) roomOrNew(name kaban.RoomName) *Room {
	if r := d.room(name); r != nil {
		return r
	}
	looks := name.Looks()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rooms[name.Key()]
	if r == nil {
		r = d.addRoomLocked(store.Room{Name: name}, looks)
	}
	return r
}

// Start says where a subscription begins.
type Start struct {
	// Epoch, if not empty, must be the store's.
	Epoch string
	// After is the last entry that the reader has. It counts only if Resume is
	// set; otherwise the subscription begins at the head.
	After  uint64
	Resume bool
}

// Place is a room that can be joined, as Find found it.
type Place struct {
	state  store.Room
	start  Start
	wanted kaban.RoomName // as it was asked for
}

// Known returns the place where start says without asking the store, or false
// if that needs Find. It never blocks.
func (d *Dispatcher) Known(name kaban.RoomName, start Start) (Place, bool) {
	if start.Resume || start.Epoch != "" || d.room(name) == nil {
		return Place{}, false
	}
	return Place{store.Room{Name: name, Oldest: 1}, start, name}, true
}

// Find asks the store for the room, and may block as long as that takes.
func (d *Dispatcher) Find(ctx context.Context, name kaban.RoomName, start Start) (Place, error) {
	state, err := d.store.Room(ctx, name)
	if err != nil {
		return Place{}, fmt.Errorf("state of %s: %w", name, err)
	}
	return Place{state, start, name}, nil
}

// Joined is the state of the room at the moment of joining.
type Joined struct {
	Head    uint64
	Members int
}

// Join makes a connection a member of a room, which is made if need be. Only
// the waker's goroutine calls it. The subscription may have something from the
// start, of which nobody wakes the waker. It returns a *ResyncError when the log
// cannot be continued from there, ErrTooManyRooms, and a *LookalikeError.
func (d *Dispatcher) Join(w Waker, member any, format Format, user kaban.Username, p Place) (*Subscription, Joined, error) {
	return d.subscribe(w, format, p, &Subscription{member: member, name: user})
}

// Watch subscribes to a room that must be there, for one who reads and is
// nobody: presence and the count of members do not know of it, and it cannot
// send. Otherwise it is as Join. It also returns ErrNotFound.
func (d *Dispatcher) Watch(w Waker, member any, format Format, p Place) (*Subscription, Joined, error) {
	return d.subscribe(w, format, p, &Subscription{member: member, watches: true})
}

// subscribe gives a subscription its place.
func (d *Dispatcher) subscribe(w Waker, format Format, p Place, s *Subscription) (*Subscription, Joined, error) {
	looks := d.looksOfNew(p.wanted)
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rooms[p.state.Name.Key()]
	switch {
	case r != nil:
	case s.watches:
		return nil, Joined{}, ErrNotFound
	case len(d.rooms) >= d.options.MaxRooms:
		return nil, Joined{}, ErrTooManyRooms
	case d.lookalikeLocked(looks) != nil:
		return nil, Joined{}, &LookalikeError{Wanted: p.wanted, Room: d.lookalikeLocked(looks).name}
	default:
		if looks == nil { // it has just vanished
			looks = p.wanted.Looks()
		}
		r = d.addRoomLocked(p.state, looks)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	head, start := r.head.Load(), p.start
	if start.Epoch != "" && start.Epoch != r.epoch ||
		start.Resume && (start.After > head || start.After+1 < p.state.Oldest) {
		if r.isDesertedLocked() && head == 0 {
			d.forgetLocked(r)
		}
		return nil, Joined{}, &ResyncError{Room: r.name, Epoch: r.epoch, Head: head, Oldest: p.state.Oldest}
	}
	s.seq = head
	if start.Resume {
		s.seq = start.After
	}
	r.addLocked(s, w, format, d.options.TailBytes)
	if !s.watches {
		d.presence.note(d, r)
	}
	return s, Joined{Head: head, Members: r.members}, nil
}

// Leave ends a subscription: Next gives nothing after it. Sends that are under
// way are stored all the same. It may be called more than once, by the waker's
// goroutine. It reports whether the room is gone with its last reader, because
// nothing was ever said in it.
func (d *Dispatcher) Leave(s *Subscription) (gone bool) {
	s.left = true
	r := s.audience.room
	d.mu.Lock()
	defer d.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.removeLocked(s) {
		return false
	}
	switch {
	case r.isDesertedLocked() && r.head.Load() == 0:
		return d.forgetLocked(r)
	case !s.watches:
		d.presence.note(d, r)
	}
	return false
}

// forgetLocked drops a room that has neither members nor entries. If an append
// to it is under way, publishing makes it anew. The lobby stays; then it returns
// false.
func (d *Dispatcher) forgetLocked(r *Room) bool {
	if r.name.String() == kaban.Lobby {
		return false
	}
	delete(d.rooms, r.name.Key())
	d.byName.Delete(r.name.String())
	d.forgetLooksLocked(r)
	return true
}

// RoomInfo is what anybody may know of a room.
type RoomInfo struct {
	Name    kaban.RoomName
	Head    uint64
	Members int
}

// Rooms returns up to limit rooms, sorted by name, that follow the name after,
// and whether there are more. Its work grows with the page, not with the server.
func (d *Dispatcher) Rooms(after string, limit int) (infos []RoomInfo, more bool) {
	rooms, more := d.roomsAfter(after, limit)
	infos = make([]RoomInfo, len(rooms))
	for i, r := range rooms {
		infos[i] = RoomInfo{Name: r.name, Head: r.Head(), Members: r.Members()}
	}
	return infos, more
}

func (d *Dispatcher) roomsAfter(after string, limit int) (rooms []*Room, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rooms = make([]*Room, 0, min(limit, d.byName.Len()))
	more = following(&d.byName, after, limit, func(_ string, r *Room) { rooms = append(rooms, r) })
	return rooms, more
}

// following takes up to limit entries of an ordered map, from the first one whose
// key sorts after the given one, and reports whether there are more.
func following[V any](m *btree.Map[string, V], after string, limit int, take func(key string, value V)) (more bool) {
	m.Ascend(after, func(key string, value V) bool {
		switch {
		case key == after:
			return true
		case limit == 0:
			more = true
			return false
		}
		limit--
		take(key, value)
		return true
	})
	return more
}

// Room returns a room. It returns ErrNotFound.
func (d *Dispatcher) Room(name kaban.RoomName) (*Room, error) {
	if r := d.room(name); r != nil {
		return r, nil
	}
	return nil, ErrNotFound
}

// Members returns up to limit usernames of a room, sorted, that follow the
// name after, and whether there are more. It returns ErrNotFound.
func (d *Dispatcher) Members(name kaban.RoomName, after string, limit int) (r *Room, names []string, more bool, err error) {
	if r = d.room(name); r == nil {
		return nil, nil, false, ErrNotFound
	}
	names, more = r.usernames(after, limit)
	return r, names, more, nil
}

// Found is a page of a room's log.
type Found struct {
	Room    *Room
	Entries []store.Entry // ascending
	More    bool          // there are more in the direction of reading
}

// History returns a page of a room's entries, none beyond the published head.
// Damaged entries are passed over where the page begins, and end it elsewhere; if
// there is nothing else, it returns a *store.DamagedError. It returns ErrNotFound.
func (d *Dispatcher) History(ctx context.Context, name kaban.RoomName, p store.Page) (Found, error) {
	r := d.room(name)
	if r == nil {
		return Found{}, ErrNotFound
	}
	if end := r.Head() + 1; p.Before == 0 || p.Before > end {
		p.Before = end
	}
	entries, damage, _, err := readPast(ctx, d.store, r.name, p)
	if err == nil && len(entries) == 0 && damage != nil {
		err = damage
	}
	if err != nil {
		return Found{}, fmt.Errorf("read %s: %w", r.name, err)
	}
	found := Found{Room: r, Entries: entries}
	if len(entries) == 0 {
		return found, nil
	}
	if !p.Last {
		found.More = entries[len(entries)-1].Seq+1 < p.Before
		return found, nil
	}
	state, err := d.store.Room(ctx, r.name)
	if err != nil {
		return Found{}, fmt.Errorf("state of %s: %w", r.name, err)
	}
	found.More = entries[0].Seq > max(state.Oldest, p.After+1)
	return found, nil
}
