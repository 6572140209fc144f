// Package chat is what identities can do: join rooms, send, read, list. Every front
// end reaches the dispatcher, the store and the registry of names through it and in
// no other way, so each rule holds for all of them.
//
// It checks permissions (package access), applies the defaults and limits that all
// front ends share, and counts what happened. It knows no protocol: refusals are
// errors, which package refusal puts into codes and words.
package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/emoji"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/search"
	"kaban/internal/session"
	"kaban/internal/store"
)

// What front ends and the dispatcher hand each other.
type (
	// Subscription is a cursor in the log of a room.
	Subscription = dispatch.Subscription
	// Segment is what comes next on a subscription.
	Segment = dispatch.Segment
	// Expulsion is the end of a subscription whose holder must leave the room.
	Expulsion = dispatch.Expulsion
	// Start says where a subscription begins.
	Start = dispatch.Start
	// Joined is the state of a room at the moment of subscribing.
	Joined = dispatch.Joined
	// Format encodes what subscribers read.
	Format = dispatch.Format
	// Waker serves subscriptions.
	Waker = dispatch.Waker
	// Audience is all subscriptions to one room with one waker.
	Audience = dispatch.Audience
	// Send is a draft on its way, with where its receipt goes.
	Send = dispatch.Send
	// Receipt says what became of a draft.
	Receipt = dispatch.Receipt
	// Room is the present state of a room.
	Room = dispatch.RoomInfo
	// Entry is an entry of a log.
	Entry = store.Entry
	// Session is a connection with a name.
	Session = session.Session
	// Owner is a connection that holds a name.
	Owner = session.Owner
	// Credential is what a connection of an account depends on.
	Credential = session.Credential
)

// Refusals and failures that front ends tell apart with errors.Is.
var (
	// ErrNotFound says that there is no such room, as far as the identity may know.
	ErrNotFound = dispatch.ErrNotFound
	// ErrNoDirect is the ErrNotFound of a direct room, which nobody makes by joining.
	ErrNoDirect = fmt.Errorf("no direct room: %w", ErrNotFound)
	// ErrNobody is the ErrNotFound that says that there is no such person, as far as the
	// identity may know.
	ErrNobody = fmt.Errorf("no such person: %w", ErrNotFound)
	// ErrNotJoined says that only members of the room may do this.
	ErrNotJoined = errors.New("not in the room")
	// ErrOver means that a ban would have ended already.
	ErrOver = errors.New("the end of the ban is in the past")
	// ErrTooLate means that a ban, or what somebody says of themselves, would end after MaxUntil.
	ErrTooLate = errors.New("the end is after the year 9999")
	// ErrForbidden says that the identity may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrNotFresh is the ErrForbidden of somebody that may do this after a fresh sign-in.
	ErrNotFresh = fmt.Errorf("not without a fresh sign-in: %w", ErrForbidden)
	// ErrPaused is the ErrForbidden of an incoming webhook that does not post for now, for one
	// of the reasons that follow.
	ErrPaused         = fmt.Errorf("the hook is paused: %w", ErrForbidden)
	ErrMakerSuspended = fmt.Errorf("whoever made it is suspended: %w", ErrPaused)
	ErrMakerOutside   = fmt.Errorf("whoever made it may not read the room: %w", ErrPaused)
	// ErrProgram is the ErrForbidden of a token for what its account may do in person.
	ErrProgram = fmt.Errorf("not with a token: %w", ErrForbidden)
	// ErrBotAlone is the ErrForbidden of a direct room with a bot and without its owner.
	ErrBotAlone = fmt.Errorf("a bot without its owner: %w", ErrForbidden)
	// ErrAuthRequired says that this takes an account.
	ErrAuthRequired = errors.New("this takes an account")
	// ErrRoomTaken says that there is a room with the name, which the identity may not
	// know.
	ErrRoomTaken = errors.New("the name of the room is in use")
	// ErrLastOp says that a private room would have no op.
	ErrLastOp = errors.New("a private room needs an op; make somebody else one first")
	// ErrLastOwner says that the server would have no owner.
	ErrLastOwner = errors.New("the server needs an owner; make somebody else one first")
	// ErrExpelled is the outcome of a send of somebody that had to leave before.
	ErrExpelled = dispatch.ErrExpelled
	// ErrStale says that rights have changed again and again meanwhile. The same
	// request may succeed later.
	ErrStale = store.ErrStale
	// ErrTooManyRooms says that the server takes no more rooms.
	ErrTooManyRooms = dispatch.ErrTooManyRooms
	// ErrClosed says that the server is ending.
	ErrClosed = dispatch.ErrClosed
	// ErrTaken says that the name, or one that looks like it, is in use.
	ErrTaken = session.ErrTaken
	// ErrReserved says that nobody may have the name.
	ErrReserved = session.ErrReserved
	// ErrIDConflict says that the author used the message id for something else.
	ErrIDConflict = store.ErrIDConflict
	// ErrNoMessage says that there is no such message in the room, as far as the identity
	// may know.
	ErrNoMessage = store.ErrNoTarget
	// ErrGone says that the message was deleted.
	ErrGone = store.ErrGone
	// ErrEditConflict says that the message was edited after the version that an edit
	// replaces.
	ErrEditConflict = store.ErrEditConflict
	// ErrNoText says that an edit would leave a message without text and without files.
	ErrNoText = store.ErrNoText
	// ErrTooManyReactions says that a message takes no other reaction, or none of the
	// identity.
	ErrTooManyReactions = store.ErrTooManyReactions
	// ErrChanged says that the rest of an entry cannot be given, since its message has changed
	// since the first part was given.
	ErrChanged = dispatch.ErrChanged
	// ErrStorageFull says that the disk is full and nothing was stored.
	ErrStorageFull = store.ErrFull
	// ErrUnavailable says that the database cannot be reached, and that nothing was stored.
	ErrUnavailable = store.ErrUnavailable
	// ErrNoLease says that this node cannot hold names of visitors: it does not know yet that the database counts on it.
	ErrNoLease = fmt.Errorf("the lease of the node is over: %w", store.ErrUnavailable)
	// ErrUnknown says that the database was lost, and that nobody knows yet whether the change is stored.
	ErrUnknown = store.ErrUnknown
	// ErrDamaged says that an entry cannot be read as it was written. The store has
	// logged it.
	ErrDamaged = store.ErrDamaged
)

// Limits of the reactions to one message.
const (
	MaxReactions    = store.MaxReactions    // different emoji
	MaxOwnReactions = store.MaxOwnReactions // of one person
	MaxReactors     = store.MaxReactors     // of all people
)

// Refusals with more to say.
type (
	// ResyncError says that the log cannot be continued from a cursor.
	ResyncError = dispatch.ResyncError
	// LookalikeError says that a new room would be mistaken for another one.
	LookalikeError = dispatch.LookalikeError
	// DamagedError says which entry cannot be read.
	DamagedError = store.DamagedError
	// EmojiError says what is wrong with the emoji of a reaction.
	EmojiError = emoji.Error
)

// Fails reports whether an error says that the store could not take something for now.
func Fails(err error) bool { return dispatch.Fails(err) }

// IsGoingDown reports whether an error means that the server ends. A canceled
// context counts: the server canceled it, or a client that is gone.
func IsGoingDown(err error) bool {
	return errors.Is(err, dispatch.ErrClosed) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrBroken) ||
		errors.Is(err, context.Canceled)
}

// Options are the settings of a Chat. Zero values mean the defaults.
type Options struct {
	// MaxContent bounds the content of a message in code points, up to
	// kaban.MaxContentCeiling. Default kaban.DefaultMaxContent.
	MaxContent int
	// Clock returns the time since some moment, which nobody can set. Default: the
	// monotonic time of the machine.
	Clock func() time.Duration
	// Rooms limits how many rooms an account makes, by limit.NameKey of its id. Accounts
	// at an address for which Exempt is true count as visitors do. If Rooms is nil, all
	// accounts do; if Exempt is nil, no address is exempt.
	Rooms  *limit.Limiter
	Exempt func(netip.Addr) bool
	// Searches limits searches, by limit.NameKey of the id of an account, and by
	// limit.AddressKey for those without one. Nil limits nothing.
	Searches *limit.Limiter
	// EraseIndex returns once nothing of what was deleted before the call is left in the
	// search index and its files. Nil: there is no index.
	EraseIndex func(context.Context) error
	// EraseAudit removes what the audit says about an account that was erased and its bots. It
	// is called again after a failure, or by the next server. Nil: there is no audit.
	EraseAudit func(ctx context.Context, account string) error
	// RecordErased returns once it is noted elsewhere that accounts were erased, so that no
	// backup brings them back, or with an error after some seconds. What is noted already stays so. Nil: nobody notes it.
	RecordErased func(context.Context, []store.ErasedAccount) error
	// ForgetIndex returns once nothing of some runs of entries is left in the search index and
	// its files, which are not in the store any more. Nil: there is no index.
	ForgetIndex func(context.Context, []store.Run) error
	// Blobs are the bytes of files. Nil: this process keeps none, and lets go of none.
	Blobs Blobs
	// Previewer reads the pages that messages link to. Nil: none is read, whatever the setting says.
	Previewer Previewer
	// Log gets one line when the erasing of an account begins to fail and one when it works
	// again. Default: discarded.
	Log *slog.Logger
}

// Chat is the service behind all front ends. All methods are safe for concurrent
// use.
type Chat struct {
	dispatcher  *dispatch.Dispatcher
	names       session.Registry
	news        spreading
	pushes      *pushes
	reloading   sync.Mutex
	tasksLeft   atomic.Bool    // some have failed
	unread      atomic.Bool    // the facts about the server may be old: the database was away
	visits      *visits        // nil: there are no other nodes
	follower    *follower      // nil: there are no other nodes
	following   sync.WaitGroup // one while it runs
	eraser      eraser
	blobs       Blobs                                    // nil: there are none
	releases    chan struct{}                            // has room for one: messages with files go
	sweeping    chan struct{}                            // full during a step of a sweep or an erasure, see inSteps
	previewer   Previewer                                // nil: no page is read
	eraseIndex  func(context.Context) error              // nil: there is no index
	forgetIndex func(context.Context, []store.Run) error // nil: there is no index
	// eraseAudit is Options.EraseAudit.
	eraseAudit func(ctx context.Context, account string) error
	// recordErased is Options.RecordErased.
	recordErased func(context.Context, []store.ErasedAccount) error
	retain       chan struct{}        // has room for one
	elapsed      func() time.Duration // see Options.Clock
	forgetting   bool                 // ForgetMentions was called
	forgot       time.Duration        // when, by elapsed
	server       atomic.Pointer[access.Server]
	open         atomic.Pointer[dispatch.Rights] // of visitors; see openRights
	attributed   atomic.Pointer[attributions]
	newRooms     *newRooms
	maxContent   int
	log          *slog.Logger
	counters     counters
	index        search.Index          // nil: there is none
	searches     *limit.Limiter        // nil: they are not limited
	seeking      *limit.Queue          // searches and inboxes
	exempt       func(netip.Addr) bool // nil: no address is
}

// New returns a chat over a dispatcher, which the caller closes after the last
// call. It reads the settings and the kinds of all rooms, and finishes what changes of
// accounts have left to be done in rooms.
func New(ctx context.Context, d *dispatch.Dispatcher, options Options) (*Chat, error) {
	if options.MaxContent <= 0 {
		options.MaxContent = kaban.DefaultMaxContent
	}
	if options.Clock == nil {
		options.Clock = stopwatch()
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	c := &Chat{dispatcher: d, log: options.Log, newRooms: limitNewRooms(options), maxContent: options.MaxContent, searches: options.Searches, exempt: options.Exempt}
	c.eraseIndex, c.forgetIndex, c.recordErased = options.EraseIndex, options.ForgetIndex, options.RecordErased
	c.eraseAudit, c.blobs, c.previewer = options.EraseAudit, options.Blobs, options.Previewer
	c.seeking = limit.NewQueue(limit.HalfOfProcessors(), maxSeeking)
	c.retain, c.elapsed, c.releases, c.sweeping = make(chan struct{}, 1), options.Clock, make(chan struct{}, 1), make(chan struct{}, 1)
	d.SetAttribution(c.attribute)
	if err := c.Reload(ctx); err != nil {
		return nil, err
	}
	// With any other error no room is out of the list.
	if err := c.readRooms(ctx); errors.Is(err, errDamagedRooms) {
		c.log.Error("damaged rooms are not listed; everything else is served. \"kaban check\" says what is damaged", "err", err)
	} else if err != nil {
		return nil, err
	}
	d.SetJudge(c.judge)
	d.SetAbout(c.about)
	d.SetOnDirect(c.grew)
	c.pushes = newPushes(c, options.Log)
	d.SetOnAppended(c.appended)
	d.SetOnRevised(c.revisedElsewhere)
	d.SetMentions(mentions{c})
	c.names.Expire(session.Expiry{Day: c.now, Elapsed: options.Clock, Renewed: c.renewed})
	if err := c.tolerateDamage("removed accounts may still be in their rooms", c.upgrade(ctx)); err != nil {
		return nil, fmt.Errorf("have removed accounts leave their rooms: %w", err)
	}
	if err := c.tolerateDamage("hooks of removed accounts may be left", c.orphanHooks(ctx)); err != nil {
		return nil, fmt.Errorf("find hooks of removed accounts: %w", err)
	}
	if err := c.tolerateDamage("what was left to be done in rooms may not be done", c.runAllTasks(ctx)); err != nil {
		return nil, fmt.Errorf("finish what was left to be done in rooms: %w", err)
	}
	c.eraser.init(options.Log)
	if err := c.beginRecording(ctx); err != nil {
		return nil, fmt.Errorf("find which accounts were erased: %w", err)
	}
	if err := c.erase(ctx); err != nil {
		return nil, fmt.Errorf("find what is left to be erased: %w", err)
	}
	return c, nil
}

// tolerateDamage returns an error of the start that is no damage. Damage is logged, with what comes of it: everything
// else is served.
func (c *Chat) tolerateDamage(consequence string, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	c.log.Error("something is damaged, so "+consequence+"; everything else is served. \"kaban check\" says what is damaged", "err", err)
	return nil
}

// Close ends what the chat does by itself. It is called before the dispatcher is
// closed.
func (c *Chat) Close() {
	c.stopFollowing()
	c.visits.close()
	c.pushes.close()
	c.eraser.close()
	c.names.Close()
	c.news.close()
}

// renewed returns when the credential of a session expires, unless it has.
func (c *Chat) renewed(s *Session, until int64) (later int64, ok bool) {
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) error {
		kept, err := people.Secrets.WithID(tx, s.Credential.ID)
		later = kept.Expires
		return err
	})
	return later, err == nil && later != until
}

// errDamagedRooms means that some rooms are damaged. They are not listed, and all others are as they should be.
var errDamagedRooms = fmt.Errorf("%w: the documents of rooms", store.ErrDamaged)

// readRooms takes the rooms that are not public out of the list of rooms, and counts the
// accounts in each. Its error is an errDamagedRooms if it has done so.
func (c *Chat) readRooms(ctx context.Context) error {
	var all []people.Room
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		all = nil
		return people.Rooms.Each(tx, nil, func(key []string, r *people.Room) {
			if r == nil {
				r = &people.Room{Key: key[0]}
			}
			all = append(all, *r)
		})
	})
	if err != nil {
		return fmt.Errorf("read the rooms: %w", err)
	}
	var damaged []string
	for i := range all {
		name, err := kaban.ParseAnyRoom(cmp.Or(all[i].Name, all[i].Key))
		if err != nil || all[i].Name == "" {
			damaged = append(damaged, all[i].Key)
		}
		if err != nil {
			continue
		}
		r := c.dispatcher.Peek(name)
		if r == nil {
			continue
		}
		if all[i].Kind != kaban.RoomPublic {
			c.dispatcher.Unlist(r)
		}
		c.dispatcher.SetAccounts(r, all[i].Members, all[i].Turnover)
	}
	if len(damaged) > 0 {
		return fmt.Errorf("%w: %d of them, such as %q", errDamagedRooms, len(damaged), damaged[0])
	}
	return nil
}

// recount counts the accounts in a room again after a membership has begun or ended.
func (c *Chat) recount(name kaban.RoomName) {
	r := c.dispatcher.Peek(name)
	if r == nil {
		return
	}
	var room people.Room
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) (err error) {
		room, _, err = people.Rooms.Known(tx, name)
		return err
	})
	if err == nil { // a store that fails says so elsewhere
		c.dispatcher.SetAccounts(r, room.Members, room.Turnover)
	}
}

// Epoch names this incarnation of the data. Sequence numbers belong to it.
func (c *Chat) Epoch() string { return c.dispatcher.Epoch() }

// MaxContent returns the longest content in code points.
func (c *Chat) MaxContent() int { return c.maxContent }

// Claim gives a name to a connection, which Release takes back, and fills in its session; see
// session.Registry. It returns ErrReserved and ErrTaken.
func (c *Chat) Claim(s *Session, owner Owner, id kaban.Identity, address netip.Addr, resume string) error {
	err := c.names.Claim(s, owner, id, address, resume)
	if err == nil && !c.isOpen() { // whoever closed it did not see this connection
		c.names.Release(s) // it is not held yet
		err = ErrAuthRequired
	}
	if err != nil {
		return c.count(err)
	}
	c.counters.sessions.Add(1)
	return nil
}

// Confirm says that the secret of a session has reached its client.
func (c *Chat) Confirm(s *Session) {
	c.visits.confirmed(s)
	c.names.Confirm(s)
}

// Release gives the name of a session free, unless another one took it over.
func (c *Chat) Release(s *Session) {
	c.names.Release(s)
	c.visits.released(s)
}

// Submit hands over what one read step has read; see dispatch.Dispatcher.Submit.
func (c *Chat) Submit(sends []Send) {
	c.counters.sends.Add(int64(len(sends)))
	c.dispatcher.Submit(sends)
}

// count counts an error, if it is one, and returns it.
func (c *Chat) count(err error) error {
	if err != nil {
		c.counters.refusals.Add(1)
	}
	return err
}

// stopwatch returns the monotonic time since now.
func stopwatch() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// counters count what happened since the start.
type counters struct {
	sessions, joins, watches, sends, posts, pages, searches, newRooms, refusals atomic.Int64
}

// Counts are how often something happened since the start.
type Counts struct {
	Sessions int64 // names given to connections
	Joins    int64 // memberships begun
	Watches  int64 // read-only subscriptions begun
	Sends    int64 // drafts of members
	Posts    int64 // drafts without a membership
	Pages    int64 // pages of history
	Searches int64 // pages of hits
	NewRooms int64 // rooms made by joining
	Refusals int64 // requests that were refused or failed, but sends
}

// Counts returns the present counts.
func (c *Chat) Counts() Counts {
	n := &c.counters
	return Counts{
		Sessions: n.sessions.Load(), Joins: n.joins.Load(), Watches: n.watches.Load(), Sends: n.sends.Load(),
		Posts: n.posts.Load(), Pages: n.pages.Load(), Searches: n.searches.Load(), NewRooms: n.newRooms.Load(), Refusals: n.refusals.Load(),
	}
}

// missing returns an error about a room as it is if the room is a direct one.
func missing(name kaban.RoomName, err error) error {
	if name.IsDirect() && errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNobody) {
		return ErrNoDirect
	}
	return err
}

// refusalOf returns the error that says a verdict, nil if it allows.
func refusalOf(v access.Verdict, action access.Action) error {
	switch v {
	case access.Allowed:
		return nil
	case access.NotFound:
		return ErrNotFound
	case access.NotJoined:
		return ErrNotJoined
	case access.AuthRequired:
		return ErrAuthRequired
	case access.RoomTaken:
		return ErrRoomTaken
	case access.LastOp:
		return ErrLastOp
	case access.LastOwner:
		return ErrLastOwner
	case access.InPersonOnly:
		return fmt.Errorf("%s: %w", action, ErrProgram)
	case access.Stale:
		return fmt.Errorf("%s: %w", action, ErrNotFresh)
	}
	return fmt.Errorf("%s: %w", action, ErrForbidden)
}
