package dispatch

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// Start is where a subscription begins.
type Start struct {
	// Epoch, if not empty, must be the store's.
	Epoch string
	// After is the last entry that the reader has. It counts only if Resume is
	// set; otherwise the subscription begins at the head.
	After  uint64
	Resume bool
}

// Place is a room to join and where to begin in its log, as Known or Find
// returned it.
type Place struct {
	state  store.Room // zero but for the name if the store was not asked
	start  Start
	wanted kaban.RoomName // as it was asked for
	isNew  bool
	from   uint64 // the first entry that the reader may see; 0: all
	// generation is that of the server's rights when the place was looked for.
	generation uint64

	// Rights are what the member may do to begin with; nil is for the judge to say.
	Rights *Rights
	// Memory is where the subscription goes, a new one; nil: in memory of its own. It lets a
	// connection hold its first subscription.
	Memory *Subscription
}

// Revision returns the revision of the room's rights that the place is of. Joining
// fails with store.ErrStale if it is another one by then. Rights are decided after the
// place was found.
func (p Place) Revision() uint64 { return p.state.Revision }

// From keeps everything before an entry from the reader: changes of earlier messages become
// entries without a kind.
func (p *Place) From(seq uint64) {
	if seq > 1 {
		p.from = seq
	}
	p.state.Oldest = max(p.state.Oldest, seq)
}

// IsNew reports whether joining makes the room: neither the dispatcher nor the
// store had it when it was looked for.
func (p Place) IsNew() bool { return p.isNew }

// IsStored reports whether the store had anything of the room when it was looked for. A
// room without it may have members all the same that have said nothing, or be about to be
// stored.
func (p Place) IsStored() bool { return p.state.Head > 0 || p.state.Revision > 0 }

// Known returns a place in a room that this dispatcher knows, or false if that
// takes Find: for any Start but the head, and for a room without readers, which
// may have grown elsewhere, unless the store does not block. It never blocks.
func (d *Dispatcher) Known(name kaban.RoomName, start Start) (Place, bool) {
	generation := d.Generation()
	if start.Resume || start.Epoch != "" {
		return Place{}, false
	}
	switch r := d.Peek(name); {
	case r == nil:
		return Place{}, false
	case !r.isUnread():
		return Place{state: store.Room{Name: name, Oldest: 1, Revision: r.Revision()}, wanted: name, generation: generation}, true
	case d.inline:
		p, err := d.Find(context.Background(), name, start)
		return p, err == nil && !p.isNew
	default:
		return Place{}, false
	}
}

// Find asks the store for the room, and may block as long as that takes.
func (d *Dispatcher) Find(ctx context.Context, name kaban.RoomName, start Start) (Place, error) {
	generation := d.Generation()
	state, err := d.store.Room(ctx, name)
	if err != nil {
		return Place{}, fmt.Errorf("state of %s: %w", name, err)
	}
	p := Place{state: state, start: start, wanted: name, generation: generation}
	if p.IsStored() {
		d.addStored(state) // if another node has made it
	} else {
		p.isNew = d.Peek(name) == nil
	}
	return p, nil
}

// Joined is the state of the room at the moment of joining.
type Joined struct {
	// Head is the last entry of the log, published here or not. A subscription
	// that does not resume begins after it.
	Head    uint64
	Members int // see Room.Members
}

// Join makes a connection a member of a room, which is made if need be. The user
// must not change as long as the subscription lasts. Only the waker's goroutine calls it. The subscription may have something from the
// start, without a Wake. Join returns a *ResyncError if the log cannot be
// continued from there, ErrTooManyRooms, a *LookalikeError, and store.ErrStale if
// the rights in the room, or on the server, have changed since the place was found.
func (d *Dispatcher) Join(w Waker, member any, format Format, user *kaban.Peer, p Place) (*Subscription, Joined, error) {
	return d.subscribe(w, format, p, p.subscription(member, user))
}

// Watch makes a read-only subscription to an existing room. The identity may be
// the zero value, an anonymous reader. A watcher is not a member:
// presence and the count of members leave it out, and it cannot send. Otherwise
// it is like Join. It also returns ErrNotFound.
func (d *Dispatcher) Watch(w Waker, member any, format Format, user *kaban.Peer, p Place) (*Subscription, Joined, error) {
	s := p.subscription(member, user)
	s.watches = true
	return d.subscribe(w, format, p, s)
}

// subscription returns the one that is to begin at the place.
func (p *Place) subscription(member any, user *kaban.Peer) *Subscription {
	s := p.Memory
	if s == nil {
		s = new(Subscription)
	}
	s.member, s.user, s.watches = member, user, false
	return s
}

func (d *Dispatcher) subscribe(w Waker, format Format, p Place, s *Subscription) (*Subscription, Joined, error) {
	joined, stored, err := d.enter(w, format, p, s)
	if err != nil {
		return nil, Joined{}, err
	}
	if stored > 0 {
		d.Grown(s.Room().name, stored)
	}
	return s, joined, nil
}

// enter adds a subscription to its room. stored is not 0 if the log is known to
// reach beyond the published head; publishing up to there is left to the caller,
// since it must not happen with these locks held.
func (d *Dispatcher) enter(w Waker, format Format, p Place, s *Subscription) (joined Joined, stored uint64, err error) {
	looks := d.looksOfNew(p.wanted)
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.watches && p.state.Head == 0 && p.state.Revision == 0 && d.rooms[p.state.Name.Key()] == nil {
		return Joined{}, 0, ErrNotFound
	}
	r, err := d.openLocked(p.state, p.wanted, looks)
	if err != nil {
		return Joined{}, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revision.Load() > p.state.Revision || d.Generation() != p.generation {
		return Joined{}, 0, store.ErrStale
	}
	r.reach(p.state.Revision)
	r.raiseLocked(p.state.Head)
	// Another node may have given the reader entries that are not published here
	// yet; so the store's head counts, and the cursor may be beyond the published one.
	head, start := max(r.head.Load(), p.state.Head), p.start
	if start.Epoch != "" && start.Epoch != r.epoch ||
		start.Resume && (start.After > head || start.After+1 < p.state.Oldest) {
		if r.isUnreadLocked() && head == 0 && p.state.Revision == 0 {
			d.forgetLocked(r)
		}
		return Joined{}, 0, &ResyncError{Room: r.name, Epoch: r.epoch, Head: head, Oldest: p.state.Oldest}
	}
	s.seq = head
	if start.Resume {
		s.seq = start.After
	}
	s.from = p.from
	s.rights.Store(p.Rights)
	r.addLocked(s, w, format, d.options.TailBytes)
	d.inUse[r] = struct{}{}
	if !s.watches {
		d.attended(r)
	}
	if stored = max(p.state.Head, r.takeHintLocked()); stored <= r.head.Load() {
		stored = 0
	}
	return Joined{Head: head, Members: r.membersLocked()}, stored, nil
}

// Leave ends a subscription: Next returns nothing after it. Sends that are under
// way are stored all the same. The waker's goroutine may call it more than once.
// It reports whether the room is gone with its last reader because it never had
// an entry.
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
	if r.isUnreadLocked() {
		delete(d.inUse, r)
	}
	if !s.watches {
		d.attended(r)
	}
	return r.isUnusedLocked() && d.forgetLocked(r)
}
