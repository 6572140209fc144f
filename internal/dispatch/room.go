package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// Room is the live part of a room: the tails of its log and its readers.
type Room struct {
	name       kaban.RoomName
	sharedName *kaban.RoomName
	epoch      string
	store      *journal
	// looks are the looks of the name other than its key; nil for most names.
	looks []string
	// unlisted is set if the room is not in Rooms; guarded by Dispatcher.mu.
	unlisted bool
	// budget is the dispatcher's.
	budget *budget
	// pageEntries is Options.PageEntries.
	pageEntries int
	// head is the last published entry: every tail has it. It is written with mu
	// held, and while the room has readers only by the committer, which records the
	// receipts of an entry first.
	head atomic.Uint64
	// revision is that of the room's rights, as the store had it last.
	revision atomic.Uint64
	// revising is held while those are looked for that a revision means to leave. Room.mu may be
	// taken meanwhile, not the other way round.
	revising sync.Mutex
	// compared is the oldest entry of the room as of the last comparison with the store, or 0.
	compared atomic.Uint64
	// unrevised is set if it could not be found out what a revision means for the readers.
	unrevised atomic.Bool
	// shown are those that readers see typing; nil if nobody was since the first reader
	// came. It is written with mu held.
	shown atomic.Pointer[typists]

	mu sync.Mutex // guards all below; never held across I/O
	// hinted is the highest hint that came while the room had no readers.
	hinted   uint64
	readers  int // subscriptions
	watchers int // subscriptions that are not members
	// accounts is the number of accounts that are members, connected or not, and
	// turnover how many memberships had begun or ended by then; see SetAccounts.
	accounts int
	turnover uint64
	visitors int // usernames without an account that have a subscription as a member
	told     int // the number of members in the last presence frame
	// names are the usernames that have subscriptions as members, sorted. It is nil
	// while there are none.
	names     *btree.Map[string, attendance]
	audiences []*Audience // one for each waker with members here
	tails     []*tail     // one for each format that a member reads
	// shared are pages that were read for cursors, by the seq before them; nil: none.
	shared map[uint64]*sharedPage
	joined []string
	left   []string
	// presenceDue is set while the room is in the dispatcher's list of rooms that
	// owe their members a presence frame.
	presenceDue bool
	typing      []typist // in the order in which they began; see Dispatcher.Type
	there       *there   // nil: nobody is in it on another node, or there is none
}

// attendance counts the subscriptions of a username: an account has many devices, and
// a visitor may have an old and a new connection.
type attendance struct{ accounts, visitors int32 }

// Name returns the room's name as its first member wrote it.
func (r *Room) Name() kaban.RoomName { return r.name }

// SharedName returns the name in memory that all readers of the room may share. It does
// not keep the room in memory, and must not be changed.
func (r *Room) SharedName() *kaban.RoomName { return r.sharedName }

// Head returns the sequence number of the last published entry.
func (r *Room) Head() uint64 { return r.head.Load() }

// Has reports whether an identity has a subscription as a member. Of other nodes visitors
// count only, as far as their names are known.
func (r *Room) Has(identity string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.audiences {
		for _, s := range a.members {
			if s.counted && s.user.ID() == identity {
				return true
			}
		}
	}
	return r.hasVisitorThereLocked(identity)
}

// Members returns the number of members: accounts, connected or not, and connected
// visitors, each once.
func (r *Room) Members() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.membersLocked()
}

func (r *Room) membersLocked() int { return r.accounts + r.visitors + r.visitorsThereLocked() }

// SetAccounts notes how many accounts are members of the room, and how many memberships
// have begun or ended so far: what is older than what is known changes nothing.
func (d *Dispatcher) SetAccounts(r *Room, accounts int, turnover uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if turnover <= r.turnover {
		return
	}
	r.turnover = turnover
	if r.accounts == accounts {
		return
	}
	r.accounts = accounts
	if r.readers > 0 {
		d.presence.note(d, r)
	}
}

// info returns the state of the room, as far as it is known here.
func (r *Room) info() RoomInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RoomInfo{Name: r.name, Head: max(r.head.Load(), r.hinted), Members: r.membersLocked()}
}

// isUnreadLocked reports whether the room has no subscription.
func (r *Room) isUnreadLocked() bool { return r.readers == 0 }

func (r *Room) isUnread() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isUnreadLocked()
}

// raise moves the head of a room without readers to what the store has. Nothing
// needs to be read for that. It returns false if the room has readers.
func (r *Room) raise(head uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.raiseLocked(head)
}

func (r *Room) raiseLocked(head uint64) bool {
	if !r.isUnreadLocked() {
		return false
	}
	if head > r.head.Load() {
		r.head.Store(head)
	}
	if r.hinted <= head {
		r.hinted = 0
	}
	return true
}

// noteHint reports whether a hint is to be followed now, because the room has
// readers and is not that far yet. If it has none, the hint is kept until the
// first one joins.
func (r *Room) noteHint(seq uint64) bool {
	if seq <= r.head.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isUnreadLocked() {
		r.hinted = max(r.hinted, seq)
		return false
	}
	return true
}

// takeHintLocked returns the hint that was kept, or 0.
func (r *Room) takeHintLocked() uint64 {
	hinted := r.hinted
	r.hinted = 0
	return hinted
}

// Audience is the members of a room that one waker serves. Publishing wakes the
// waker once, however many they are.
type Audience struct {
	room  *Room
	waker Waker
	// members is changed by the waker's goroutine with Room.mu held: that goroutine
	// reads it without the lock, every other with it. The first awake of them
	// want to be woken, the others rest.
	members []*Subscription
	awake   int
	woken   atomic.Bool // Wake was called and Members not since
}

// Members returns the members that may have something new and do not rest. Only
// the waker's goroutine calls it; the result is valid until the next Join, Leave,
// Rest or Rise.
func (a *Audience) Members() []*Subscription {
	a.woken.Store(false)
	return a.members[:a.awake]
}

// swap exchanges the places of two members in the list.
func (a *Audience) swap(i, j int32) {
	a.members[i], a.members[j] = a.members[j], a.members[i]
	a.members[i].index, a.members[j].index = i, j
}

func (a *Audience) wake() {
	if !a.woken.Load() && a.woken.CompareAndSwap(false, true) {
		a.waker.Wake(a)
	}
}

// addLocked adds a subscription.
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
	a.swap(s.index, int32(a.awake)) // before those that rest
	a.awake++
	r.readers++
	if s.watches {
		r.watchers++
		return
	}
	s.counted = true
	r.attendLocked(s.user, 1)
	if r.readers == 1 { // its answer says how many there are
		r.told = r.membersLocked()
	}
}

// uncountLocked takes a subscription out of those of members. It reports whether it was
// one of them.
func (r *Room) uncountLocked(s *Subscription) bool {
	if !s.counted {
		return false
	}
	s.counted = false
	r.attendLocked(s.user, -1)
	r.leaveTypingLocked(s)
	return true
}

// removeLocked ends a subscription. It reports whether there was one.
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
	r.readers--
	if s.watches {
		r.watchers--
	} else {
		r.uncountLocked(s)
	}
	if s.tail.readers--; s.tail.readers == 0 {
		s.tail.close()
		r.tails = slices.DeleteFunc(r.tails, func(t *tail) bool { return t == s.tail })
	}
	if r.isUnreadLocked() {
		r.forgetSharedLocked() // nobody would notice what changes
		r.audiences, r.tails, r.typing = nil, nil, nil
		r.shown.Store(nil)
	}
	return true
}

// attendLocked changes the number of a username's subscriptions as a member. The first
// and the last are what presence frames report.
func (r *Room) attendLocked(user *kaban.Peer, change int32) {
	if r.names == nil {
		r.names = new(btree.Map[string, attendance])
	}
	name := user.Name().String()
	before, _ := r.names.Get(name)
	now := before
	if account, _ := kaban.AuthorOf(user.ID()); account != "" {
		now.accounts += change
	} else {
		now.visitors += change
	}
	switch {
	case before.visitors == 0 && now.visitors > 0:
		r.visitors++
	case before.visitors > 0 && now.visitors == 0:
		r.visitors--
	}
	none := attendance{}
	switch {
	case r.isThereLocked(name): // it was, and is, in the room
	case before == none:
		r.joined, r.left = noteChange(r.joined, r.left, name)
	case now == none:
		r.left, r.joined = noteChange(r.left, r.joined, name)
	}
	if now != none {
		r.names.Set(name, now)
	} else if r.names.Delete(name); r.names.Len() == 0 {
		r.names = nil
	}
}

// publish adds entries to the tails, moves the head and wakes the members. Only
// the committer calls it. It does nothing if the entries do not follow the head:
// then the room had no readers when the head was raised over them.
func (r *Room) publish(entries []store.Entry) {
	defer r.budget.shrink() // without the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	if entries[0].Seq != r.head.Load()+1 {
		return
	}
	for i := range entries {
		if entries[i].Kind.TakesText() {
			r.forgetSharedLocked()
		}
		for _, t := range r.tails {
			if entries[i].Kind.TakesText() {
				t.forget(entries[i].Target)
			}
			t.append(1, backOf(&entries[i]), func(dst []byte) []byte { return t.format.AppendEntry(dst, r.name.String(), &entries[i]) })
		}
	}
	r.endTypingLocked(entries) // before the head: nobody is shown typing behind its message
	r.head.Store(entries[len(entries)-1].Seq)
	r.wakeLocked()
}

// restart moves the head over entries that the log no longer has. A cursor that
// still needs them gets a ResyncError when it arrives there. Only the committer
// calls it.
func (r *Room) restart(head uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if head <= r.head.Load() { // raised in the meantime
		return
	}
	r.forgetSharedLocked()
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

// Visitors returns up to limit usernames of visitors that are members, sorted, that
// follow after, and whether there are more.
func (r *Room) Visitors(after string, limit int) (names []string, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.visitors == 0 {
		return r.addVisitorsThereLocked(nil, false, after, limit)
	}
	names = make([]string, 0, min(limit, r.visitors))
	r.names.Ascend(after, func(name string, a attendance) bool {
		switch {
		case name == after || a.visitors == 0:
			return true
		case len(names) == limit:
			more = true
			return false
		}
		names = append(names, name)
		return true
	})
	return r.addVisitorsThereLocked(names, more, after, limit)
}
