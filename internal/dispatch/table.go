package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// The table of rooms holds every room that this dispatcher knows: those that the
// store had at the start, those that were made here, and those made by another
// writer that a hint named or somebody asked for.

func (d *Dispatcher) addRoomLocked(state store.Room, looks []string) *Room {
	name := state.Name // by itself: readers keep it, and not all of the state
	r := &Room{name: name, sharedName: &name, epoch: d.store.Epoch(), store: d.store, budget: d.budget, pageEntries: d.options.PageEntries}
	r.head.Store(state.Head)
	r.revision.Store(state.Revision)
	d.rooms[state.Name.Key()] = r
	if r.unlisted = r.name.IsDirect(); !r.unlisted {
		d.byName.Set(r.name.String(), r)
	}
	if len(looks) > 1 { // the first is the key
		r.looks = looks[1:]
	}
	d.noteLooksLocked(r)
	return r
}

// roomOrNew returns a room that has just grown; it is added if it is unknown.
func (d *Dispatcher) roomOrNew(name kaban.RoomName) *Room {
	if r := d.Peek(name); r != nil {
		return r
	}
	return d.addFound(store.Room{Name: name}, Appearance{})
}

// addStored returns a room that the store has and that is added if this dispatcher does
// not know it. It is never refused: a room that is there stays. It may ask the store.
func (d *Dispatcher) addStored(state store.Room) *Room {
	if r := d.Peek(state.Name); r != nil {
		return r
	}
	f := d.found(state.Name)
	r := d.addFound(state, f)
	if !f.Unlisted && d.found(state.Name).Unlisted { // it has become private meanwhile
		d.Unlist(r)
	}
	d.SetAccounts(r, f.Accounts, f.Turnover)
	if d.peers != nil {
		d.peers.others.attach(r)
	}
	return r
}

func (d *Dispatcher) addFound(state store.Room, f Appearance) *Room {
	looks := state.Name.Looks()
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.rooms[state.Name.Key()]; r != nil {
		return r
	}
	r := d.addRoomLocked(state, looks)
	if f.Unlisted {
		d.unlistLocked(r)
	}
	return r
}

// openLocked returns a room that is added if another writer has made it, or made
// if it is new and may be. wanted is its name as it was asked for, and looks are
// those of wanted, or nil if the room was known a moment ago. It returns
// ErrTooManyRooms and a *LookalikeError.
func (d *Dispatcher) openLocked(state store.Room, wanted kaban.RoomName, looks []string) (*Room, error) {
	if r := d.rooms[state.Name.Key()]; r != nil {
		return r, nil
	}
	if looks == nil { // it has just been forgotten
		looks = wanted.Looks()
	}
	if state.Head == 0 && state.Revision == 0 {
		if len(d.rooms) >= d.options.MaxRooms {
			return nil, ErrTooManyRooms
		}
		if other := d.lookalikeLocked(looks); other != nil {
			return nil, lookalike(wanted, other)
		}
	}
	return d.addRoomLocked(state, looks), nil
}

// forgetLocked drops a room that has neither readers nor entries. If an append
// to it is under way, publishing makes it anew. The lobby stays; then forgetLocked
// returns false.
func (d *Dispatcher) forgetLocked(r *Room) bool {
	if r.name.String() == kaban.Lobby {
		return false
	}
	delete(d.rooms, r.name.Key())
	d.byName.Delete(r.name.String())
	d.unlisted.Delete(r.name.String())
	d.forgetLooksLocked(r)
	return true
}

// Unlist takes a room out of Rooms, into Unlisted. It stays known by its name.
func (d *Dispatcher) Unlist(r *Room) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unlistLocked(r)
}

// List takes a room that is not direct back into Rooms.
func (d *Dispatcher) List(r *Room) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.unlisted && !r.name.IsDirect() && d.rooms[r.name.Key()] == r {
		r.unlisted = false
		d.unlisted.Delete(r.name.String())
		d.byName.Set(r.name.String(), r)
	}
}

func (d *Dispatcher) unlistLocked(r *Room) {
	r.unlisted = true
	d.byName.Delete(r.name.String())
	if !r.name.IsDirect() && d.rooms[r.name.Key()] == r {
		d.unlisted.Set(r.name.String(), r)
	}
}

// forgetUnused drops a room that was made for a message that was then refused.
func (d *Dispatcher) forgetUnused(name kaban.RoomName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rooms[name.Key()]
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isUnusedLocked() {
		d.forgetLocked(r)
	}
}

// isUnusedLocked reports whether the room has neither entries nor anybody in it.
func (r *Room) isUnusedLocked() bool {
	return r.isUnreadLocked() && r.there == nil && r.head.Load() == 0 && r.revision.Load() == 0
}

// RoomInfo is the state of a room.
type RoomInfo struct {
	Name    kaban.RoomName
	Head    uint64
	Members int // see Room.Members
}

// Rooms returns up to limit rooms, sorted by name, that follow the name after,
// and whether there are more. It never asks the store: its work grows with the
// page, not with the server. So it lists the rooms that this dispatcher knows, and
// a head that only another writer raises is as current as the last hint (Grown).
func (d *Dispatcher) Rooms(after string, limit int) (infos []RoomInfo, more bool) {
	rooms, more := d.roomsAfter(&d.byName, after, limit)
	infos = make([]RoomInfo, len(rooms))
	for i, r := range rooms {
		infos[i] = r.info()
	}
	return infos, more
}

// Unlisted returns the names of up to limit rooms that are not in Rooms, sorted, that
// follow the name after, and whether there are more. Direct rooms are not among them, and
// rooms that are being made are. Its work grows with the page, and it never asks the store.
func (d *Dispatcher) Unlisted(after string, limit int) (names []kaban.RoomName, more bool) {
	rooms, more := d.roomsAfter(&d.unlisted, after, limit)
	names = make([]kaban.RoomName, len(rooms))
	for i, r := range rooms {
		names[i] = r.name
	}
	return names, more
}

// Names returns the names of all rooms that this dispatcher knows, direct ones included, sorted
// by their keys. It never asks the store. Its work grows with the server, so it is for work
// that looks at all rooms anyway.
func (d *Dispatcher) Names() []kaban.RoomName {
	d.mu.Lock()
	names := make([]kaban.RoomName, 0, len(d.rooms))
	for _, r := range d.rooms {
		names = append(names, r.name)
	}
	d.mu.Unlock()
	slices.SortFunc(names, func(a, b kaban.RoomName) int { return cmp.Compare(a.Key(), b.Key()) })
	return names
}

// ListsAll reports whether all rooms, direct ones included, are in Rooms.
func (d *Dispatcher) ListsAll() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.rooms) == d.byName.Len()
}

// roomsAfter returns a page of byName or unlisted.
func (d *Dispatcher) roomsAfter(of *btree.Map[string, *Room], after string, limit int) (rooms []*Room, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rooms = make([]*Room, 0, min(limit, of.Len()))
	more = following(of, after, limit, func(_ string, r *Room) { rooms = append(rooms, r) })
	return rooms, more
}

// following takes up to limit entries of a sorted map, from the first whose key
// sorts after the given one, and reports whether there are more.
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

// InUse returns the rooms that have readers.
func (d *Dispatcher) InUse() (rooms []*Room) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rooms = make([]*Room, 0, len(d.inUse))
	for r := range d.inUse {
		rooms = append(rooms, r)
	}
	return rooms
}

// Peek returns a room that this dispatcher knows, or nil. It never blocks.
func (d *Dispatcher) Peek(name kaban.RoomName) *Room {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rooms[name.Key()]
}

// Lookup returns a room. It asks the store only if this dispatcher does not know
// the room, and may block as long as that takes. It returns ErrNotFound.
func (d *Dispatcher) Lookup(ctx context.Context, name kaban.RoomName) (*Room, error) {
	if r := d.Peek(name); r != nil {
		return r, nil
	}
	r, _, err := d.refresh(ctx, name)
	return r, err
}

// Room returns the state of a room. A room with readers answers for itself: its
// head is what they have been given, as current as the last hint. For any other
// room it asks the store, and may block as long as that takes. It returns
// ErrNotFound.
func (d *Dispatcher) Room(ctx context.Context, name kaban.RoomName) (RoomInfo, error) {
	r := d.Peek(name)
	if r == nil || r.isUnread() {
		var err error
		if r, _, err = d.refresh(ctx, name); err != nil {
			return RoomInfo{}, err
		}
	}
	return r.info(), nil
}

// Tallies returns the states of some rooms with counts; see store.Store. It asks the
// store, and may block as long as that takes.
func (d *Dispatcher) Tallies(ctx context.Context, author string, rooms []kaban.RoomName) ([]store.Tally, error) {
	return d.store.Tallies(ctx, author, rooms)
}

// CountTo counts the messages of a room up to a seq; see store.Store. Like Tallies it may
// block.
func (d *Dispatcher) CountTo(ctx context.Context, room kaban.RoomName, author string, seq uint64, known store.Mark) (store.Mark, error) {
	return d.store.CountTo(ctx, room, author, seq, known)
}

// Mentions returns the messages of a room that mention an account; see store.Store. It may
// block while the store is asked.
func (d *Dispatcher) Mentions(ctx context.Context, name kaban.RoomName, account string, after, last uint64) ([]store.Mention, error) {
	return d.store.Mentions(ctx, name, account, after, last)
}

// MayMention reports in which runs Mentions may find anything; see store.Store. It may block
// while the store is asked.
func (d *Dispatcher) MayMention(ctx context.Context, account string, runs []store.Run) ([]bool, error) {
	return d.store.MayMention(ctx, account, runs)
}

// ForgetMentions forgets old mentions; see store.Store. It may block while the store works.
func (d *Dispatcher) ForgetMentions(ctx context.Context, before int64, limit int) (int, error) {
	return d.store.ForgetMentions(ctx, before, limit)
}

// stored asks the store for the state of a room. It adds a room that this
// dispatcher does not know if the store has it; if it has not, the room is nil.
func (d *Dispatcher) stored(ctx context.Context, name kaban.RoomName) (*Room, store.Room, error) {
	state, err := d.store.Room(ctx, name)
	switch {
	case err != nil:
		return nil, store.Room{}, fmt.Errorf("state of %s: %w", name, err)
	case state.Head > 0 || state.Revision > 0:
		r := d.addStored(state)
		if err := d.revised(r, state.Revision); err != nil {
			return nil, store.Room{}, err
		}
		return r, state, nil
	default:
		return d.Peek(name), state, nil
	}
}

// refresh asks the store for the state of a room and brings the room here up to
// it: at once if it has no readers, otherwise as a hint does. It returns
// ErrNotFound.
func (d *Dispatcher) refresh(ctx context.Context, name kaban.RoomName) (*Room, store.Room, error) {
	r, state, err := d.stored(ctx, name)
	switch {
	case err != nil:
		return nil, store.Room{}, err
	case r == nil:
		return nil, store.Room{}, ErrNotFound
	case !r.raise(state.Head):
		d.Grown(name, state.Head)
	}
	return r, state, nil
}

// Members returns up to limit usernames of visitors in a room, sorted, that follow the
// name after, and whether there are more. They are those that this dispatcher serves.
// Like Lookup it asks the store only for a room that it does not know. It returns
// ErrNotFound.
func (d *Dispatcher) Members(ctx context.Context, name kaban.RoomName, after string, limit int) (r *Room, names []string, more bool, err error) {
	if r, err = d.Lookup(ctx, name); err != nil {
		return nil, nil, false, err
	}
	names, more = r.Visitors(after, limit)
	return r, names, more, nil
}
