package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// presenceNames is the size of a room up to which presence names who came and
// went. In a larger room it is the count alone.
const presenceNames = 256

// Room is the live part of a room: the tails of its log and who reads them.
type Room struct {
	name  kaban.RoomName
	epoch string
	store store.Store
	// looks is what the name looks like beside its key; nil for most.
	looks []string
	// budget is the dispatcher's.
	budget *budget
	// pageEntries is Options.PageEntries.
	pageEntries int
	// head is the last published entry. It is written by the committer only,
	// after the entry is in every tail.
	head atomic.Uint64

	mu       sync.Mutex // guards all below; never held across I/O
	members  int
	watchers int // subscriptions that are no members
	// names are the usernames of the members in the order of a list, each with the
	// number of its subscriptions: an old and a new connection of one user. It is
	// nil while there are none.
	names     *btree.Map[string, int]
	audiences []*Audience // one for each waker that has members here
	tails     []*tail     // one for each format that a member reads
	joined    []string
	left      []string
	// presenceDue says that the room is in the dispatcher's list of rooms that
	// owe their members a presence frame.
	presenceDue bool
}

// Name returns the room's name as its first member wrote it.
func (r *Room) Name() kaban.RoomName { return r.name }

// Head returns the sequence number of the last published entry.
func (r *Room) Head() uint64 { return r.head.Load() }

// Members returns how many members the room has.
func (r *Room) Members() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members
}

// Audience is the members of a room that one waker serves. Publishing wakes the
// waker once, however many they are.
type Audience struct {
	room  *Room
	waker Waker
	// members is changed by the waker's goroutine with Room.mu held: it may read
	// them without the lock, everybody else with it. The first awake of them want
	// to know of what is new, the others rest.
	members []*Subscription
	awake   int
	woken   atomic.Bool // Wake was called, and Members was not since
}

// Members returns who may have something new and does not rest. Only the waker's
// goroutine calls it; what it returns is valid until the next Join, Leave, Rest
// or Rise.
func (a *Audience) Members() []*Subscription {
	a.woken.Store(false)
	return a.members[:a.awake]
}

// swap has two members change places.
func (a *Audience) swap(i, j int32) {
	a.members[i], a.members[j] = a.members[j], a.members[i]
	a.members[i].index, a.members[j].index = i, j
}

func (a *Audience) wake() {
	if !a.woken.Load() && a.woken.CompareAndSwap(false, true) {
		a.waker.Wake(a)
	}
}

// addLocked makes a subscription a member.
func (r *Room) addLocked(s *Subscription, w Waker, format Format, tailBytes int) {
	i := slices.IndexFunc(r.tails, func(t *tail) bool { return t.format == format })
	if i < 0 {
		i = len(r.tails)
		r.tails = append(r.tails, newTail(r, format, tailBytes))
	}
	s.tail = r.tails[i]
	s.tail.readers++
	if s.seq == r.head.Load() {
		s.at = s.tail.end()
	}
	i = slices.IndexFunc(r.audiences, func(a *Audience) bool { return a.waker == w })
	if i < 0 {
		i = len(r.audiences)
		r.audiences = append(r.audiences, &Audience{room: r, waker: w})
	}
	a := r.audiences[i]
	s.audience, s.index = a, int32(len(a.members))
	a.members = append(a.members, s)
	a.swap(s.index, int32(a.awake)) // in front of those who rest
	a.awake++
	if s.watches {
		r.watchers++
		return
	}
	r.members++
	r.countLocked(s.name.String(), 1)
	r.joined, r.left = noteChange(r.joined, r.left, s.name.String())
}

// removeLocked ends a membership. It reports whether there was one.
func (r *Room) removeLocked(s *Subscription) bool {
	if s.index < 0 {
		return false
	}
	a := s.audience
	last := len(a.members) - 1
	if int(s.index) < a.awake {
		a.awake--
		a.swap(s.index, int32(a.awake))
	}
	a.swap(s.index, int32(last))
	a.members[last] = nil
	a.members = a.members[:last]
	s.index = -1
	if last == 0 {
		r.audiences = slices.DeleteFunc(r.audiences, func(other *Audience) bool { return other == a })
	}
	if s.watches {
		r.watchers--
	} else {
		r.members--
		r.countLocked(s.name.String(), -1)
		r.left, r.joined = noteChange(r.left, r.joined, s.name.String())
	}
	if s.tail.readers--; s.tail.readers == 0 {
		s.tail.close()
		r.tails = slices.DeleteFunc(r.tails, func(t *tail) bool { return t == s.tail })
	}
	if r.isDesertedLocked() {
		r.audiences, r.tails = nil, nil
	}
	return true
}

// countLocked adds to the number of subscriptions under a name.
func (r *Room) countLocked(name string, change int) {
	if r.names == nil {
		r.names = new(btree.Map[string, int])
	}
	n, _ := r.names.Get(name)
	switch {
	case n+change > 0:
		r.names.Set(name, n+change)
	case r.members == 0:
		r.names = nil
	default:
		r.names.Delete(name)
	}
}

// isDesertedLocked reports whether nobody reads the room.
func (r *Room) isDesertedLocked() bool { return r.members+r.watchers == 0 }

// noteChange adds a name to the changes of one direction, unless it takes back
// a change of the other direction. Beyond what presence would name the names
// do not matter any more.
func noteChange(changes, opposite []string, name string) (newChanges, newOpposite []string) {
	if i := slices.Index(opposite, name); i >= 0 {
		return changes, slices.Delete(opposite, i, i+1)
	}
	if len(changes) <= presenceNames {
		changes = append(changes, name)
	}
	return changes, opposite
}

// publish adds entries, which follow the head without a gap, to the tails and
// wakes the members. Only the committer calls it.
func (r *Room) publish(entries []store.Entry) {
	defer r.budget.shrink() // without the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range entries {
		for _, t := range r.tails {
			t.append(1, func(dst []byte) []byte { return t.format.AppendEntry(dst, r.name.String(), &entries[i]) })
		}
	}
	r.head.Store(entries[len(entries)-1].Seq)
	r.wakeLocked()
}

// restart moves the head over entries that the log no longer has. Cursors that
// have not been given them find out when they come by.
func (r *Room) restart(head uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tails {
		t.restart(head)
	}
	r.head.Store(head)
	r.wakeLocked()
}

func (r *Room) wakeLocked() {
	for _, a := range r.audiences {
		a.wake()
	}
}

// publishPresence tells the members who came and went since the last time. It
// passes by in the tail like an entry, shared by all, but is not of the log.
func (r *Room) publishPresence() {
	defer r.budget.shrink() // without the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	joined, left := r.joined, r.left
	r.joined, r.left, r.presenceDue = nil, nil, false
	members := r.members
	if members > presenceNames || len(joined) > presenceNames || len(left) > presenceNames {
		joined, left = nil, nil
	} else if len(joined)+len(left) == 0 || members == 1 && len(left) == 0 && r.watchers == 0 {
		return // nothing changed, or somebody is alone and knows it
	}
	for _, t := range r.tails {
		t.append(0, func(dst []byte) []byte {
			return t.format.AppendPresence(dst, r.name.String(), members, joined, left)
		})
	}
	r.wakeLocked()
}

// usernames returns up to limit names of members, sorted, that follow after,
// and whether there are more.
func (r *Room) usernames(after string, limit int) (names []string, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names == nil {
		return nil, false
	}
	names = make([]string, 0, min(limit, r.names.Len()))
	more = following(r.names, after, limit, func(name string, _ int) { names = append(names, name) })
	return names, more
}
