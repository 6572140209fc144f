// Package dispatch connects all read loops to all write loops. It is the heart
// of the server and knows no protocol and no database.
//
// A room is an append-only log, a subscriber is a cursor. Front ends submit what
// connections send in batches (Submit). A committer appends everything queued
// to the store as one transaction and then publishes it: it encodes each entry
// once per format into the tail of its room and wakes each loop with members
// there once (Audience). A connection's write step takes everything between its
// cursor and the head (Subscription.Next), so there is no queue of messages per
// reader: a slow reader costs no memory, loses nothing and delays nobody. A
// cursor behind the tail reads pages from the store until it has caught up
// (Fetch); joining with history, resuming and catching up are this one path.
//
// Guarantees: nothing is shown to anyone or acknowledged before it is stored.
// Each sequence number of a room reaches a subscription exactly once and in
// order, either as a frame or, if the connection sent the entry itself, as a
// Receipt in place of the frame. Presence frames pass between entries and have no
// guarantee. A frame of those that are typing comes when nothing else is left to be
// given, and has the latest state.
//
// The log may have other writers, such as the dispatcher of another node. Their
// entries are published when a hint arrives (Grown) or when an append returns a
// number beyond head+1; both read the missing entries from the store. Rooms made
// elsewhere become known by a hint, or when somebody asks for them by name. Over a bus
// (Connect) hints come by themselves, and with the entries if they are few, and nodes tell each
// other who is in which room.
//
// Lock order: committer.mu, otherNodes.mu, Dispatcher.mu, Room.mu, then the leaf locks
// (receiptQueue.mu, inbox.mu, presence.mu, beacon.mu, typing.mu, budget.mu and the waker's own).
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// Facts that callers test with errors.Is.
var (
	// ErrNotFound reports that there is no such room.
	ErrNotFound = errors.New("no such room")
	// ErrTooManyRooms reports that the room cannot be made.
	ErrTooManyRooms = errors.New("too many rooms")
	// ErrClosed reports that the dispatcher accepts nothing any more.
	ErrClosed = errors.New("dispatcher is closed")
)

// ResyncError reports that the log cannot be continued from the cursor: the
// cursor belongs to another epoch, is beyond the head or older than the oldest
// entry kept, or the next entry is damaged. If it is damaged, Head is the last of
// the damaged entries in a row, from where the log goes on, and not the room's
// head.
type ResyncError struct {
	Room    kaban.RoomName
	Epoch   string
	Head    uint64
	Oldest  uint64              // the oldest entry kept; Head+1 if there is none
	Damaged *store.DamagedError // the first damaged entry, or nil
}

func (e *ResyncError) Error() string {
	if e.Damaged != nil {
		return fmt.Sprintf("%v; room %s goes on after %d", e.Damaged, e.Room, e.Head)
	}
	return fmt.Sprintf("room %s cannot be continued from there; it has %d to %d in epoch %s", e.Room, e.Oldest, e.Head, e.Epoch)
}

// Format encodes what members read. Front ends bring their own. Formats are
// compared with ==; members with equal formats share the encoded bytes. The
// methods append to dst and are called by one goroutine at a time per room.
type Format interface {
	// AppendEntry appends exactly one frame for any entry, whatever its kind, and
	// never nothing. The frame carries the entry's seq, so that a reader's cursor
	// moves over it even if the reader, or this format, does not know the kind:
	// then the frame has the seq and no more than the format understands. The
	// kind decides the encoding; Format must not assume a message. The entry has no kind, and
	// nothing but its seq and time, if readers may not see it.
	AppendEntry(dst []byte, room string, e *store.Entry) []byte
	// AppendPresence appends one frame that is not part of the log and carries no
	// seq.
	AppendPresence(dst []byte, room string, members int, joined, left []string) []byte
	// AppendTyping appends one frame with the names of those that are typing, or nothing
	// if readers of the format are not shown it. The frame carries no seq.
	AppendTyping(dst []byte, room string, names []string) []byte
}

// Waker serves members: one goroutine that writes what their subscriptions have.
// Its methods are called with locks held, from any goroutine, and also while the
// waker itself calls the dispatcher. They must only take a note and return.
type Waker interface {
	// Wake reports that there may be something new for all of an audience. It is
	// not repeated before the waker has called Audience.Members.
	Wake(a *Audience)
	// WakeOne reports a receipt that no Wake announces, of a duplicate or a
	// refused send.
	WakeOne(s *Subscription)
}

// Defaults of Options.
const (
	defaultTailBytes     = 256 << 10
	defaultPageEntries   = 500
	defaultMaxRooms      = 100_000
	defaultPresenceDelay = 250 * time.Millisecond
)

// Options configure a Dispatcher. Zero values mean the defaults.
type Options struct {
	// TailBytes is how much of each room's log stays in memory as encoded frames,
	// per format, while the room has readers. Default 256 KiB.
	TailBytes int
	// TailBudget bounds the memory that the tails of all rooms hold together, in
	// bytes. Busier rooms hold more of it. Default 64 MiB.
	TailBudget int64
	// TailAge is how long a part of a tail is kept that nothing pushes out. Default
	// 5 minutes.
	TailAge time.Duration
	// PageEntries is how many entries a cursor behind the tail reads from the store
	// at a time, unless they exceed 64 KiB of content. Default 500.
	PageEntries int
	// MaxRooms bounds the rooms of the server. Default 100,000.
	MaxRooms int
	// PresenceDelay is how long joins and leaves are gathered. Default 250 ms.
	PresenceDelay time.Duration
	// Log gets one line when the store begins to fail and one when it works
	// again. Default: discarded.
	Log *slog.Logger
	// OnBroken, if set, is called once when the store returns store.ErrBroken or says by
	// itself that it is broken: the server must end. It must not block. From then on all
	// sends are refused.
	OnBroken func(error)
}

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.TailBytes <= 0 {
		o.TailBytes = defaultTailBytes
	}
	if o.TailBudget <= 0 {
		o.TailBudget = defaultTailBudget
	}
	if o.TailAge <= 0 {
		o.TailAge = defaultTailAge
	}
	if o.PageEntries <= 0 {
		o.PageEntries = defaultPageEntries
	}
	if o.MaxRooms <= 0 {
		o.MaxRooms = defaultMaxRooms
	}
	if o.PresenceDelay <= 0 {
		o.PresenceDelay = defaultPresenceDelay
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Dispatcher holds the rooms of a server. All methods are safe for concurrent
// use.
type Dispatcher struct {
	store   *journal
	options Options
	// inline is set over a store that does not block: the submitting goroutine
	// commits, because a goroutine of its own would only cost wakeups.
	inline bool

	mu       sync.Mutex // guards all below; never held across I/O
	rooms    map[string]*Room
	inUse    map[*Room]struct{}       // those with readers
	byName   btree.Map[string, *Room] // those in Rooms, sorted by name
	unlisted btree.Map[string, *Room] // those in Unlisted, sorted by name
	looks    map[string]*Room         // those of rooms, by the looks other than the key

	judge      Judge
	about      About
	onDirect   func(kaban.RoomName) // nil: nothing
	mentions   Mentions             // nil: nobody is mentioned
	onGrown    func(kaban.RoomName, uint64)
	onAppended func(kaban.RoomName, []store.Entry) // nil: nothing
	onRevised  func(*Room) error                   // nil: nothing
	onFound    func(kaban.RoomName) Appearance     // nil: all are listed
	onNews     func()                              // nil: nothing
	online     func() []string                     // nil: nobody; see SetOnline
	peers      *peers                              // nil: there are no other nodes
	// onMentioned is called with what other nodes say; nil: nothing.
	onMentioned func(room kaban.RoomName, everyone bool, accounts []string)
	generation  atomic.Uint64 // of the rights on the server; see Invalidate

	budget   *budget
	presence presence
	typing   typing
	closing  chan struct{} // closed by Close: ends all retries
	group    sync.WaitGroup

	// A room is always of the same committer: there is one append under way for it.
	committers []*committer
	seed       maphash.Seed // spreads the rooms over them
	broken     sync.Once    // calls Options.OnBroken

	clock  func() time.Duration // monotonic
	counts counts
}

// New returns a dispatcher over a store, with the store's rooms and the lobby.
// The caller ends it with Close.
func New(ctx context.Context, s store.Store, options Options) (*Dispatcher, error) {
	options = options.withDefaults()
	d := &Dispatcher{store: &journal{Store: s}, options: options, rooms: make(map[string]*Room), inUse: make(map[*Room]struct{}), looks: make(map[string]*Room), closing: make(chan struct{}), clock: stopwatch()}
	d.budget = newBudget(options.TailBudget, options.TailAge)
	d.seed = maphash.MakeSeed()
	appends := store.Appends(s)
	for range appends {
		d.committers = append(d.committers, newCommitter(d, appends))
	}
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
	if a, ok := s.(store.Alarming); ok {
		a.Alarm(d.alarm)
	}
	if store.IsInstant(s) {
		d.inline = true
		return d, nil
	}
	for _, c := range d.committers {
		d.group.Go(c.commitLoop)
		d.group.Go(c.completeLoop)
	}
	return d, nil
}

// stopwatch returns a clock that shows the time since now and never goes back.
func stopwatch() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Close commits what was submitted before and ends the dispatcher. It does not
// close the store. Members should have left.
func (d *Dispatcher) Close() {
	first := true
	for _, c := range d.committers {
		first = c.inbox.close()
	}
	if first {
		close(d.closing)
	}
	d.group.Wait()
	for _, c := range d.committers {
		c.commitQueued()
	}
	d.presence.close()
	d.typing.close()
	d.budget.close()
}

// Epoch returns the epoch of the store.
func (d *Dispatcher) Epoch() string { return d.store.Epoch() }
