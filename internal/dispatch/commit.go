package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// maxBatch bounds what one transaction holds, so that a burst does not delay
// the first of it until the last is stored.
const maxBatch = 1024

// Send is something that a connection wants stored.
type Send struct {
	Draft kaban.Draft
	// Ref comes back in the receipt or the refusal.
	Ref    string
	HasRef bool

	// Subscription gets the receipt, unless the send is a Post.
	Subscription *Subscription
	done         func(Receipt)
}

// settle takes a receipt to where the send came from.
func (s *Send) settle(r Receipt) {
	if s.Subscription == nil {
		s.done(r)
		return
	}
	s.Subscription.settle(r)
}

// wake announces a receipt of which no publishing tells.
func (s *Send) wake() {
	if s.Subscription != nil {
		s.Subscription.audience.waker.WakeOne(s.Subscription)
	}
}

// Post stores one message for somebody who is not in the room, and returns when
// it is stored and published, or refused with the receipt's error. The room is
// made if it is not there; ErrTooManyRooms says that it cannot be. When ctx ends
// first it returns its cause, and the message may be stored all the same: posting it
// again with the same id tells. settled is called once, when the message is stored or
// will not be, which may be after Post has returned. The committer may call it with
// its lock held, so it must not call the dispatcher.
func (d *Dispatcher) Post(ctx context.Context, draft kaban.Draft, settled func()) (Receipt, error) {
	if !d.hasRoomFor(draft.Room) {
		settled()
		return Receipt{}, ErrTooManyRooms
	}
	done := make(chan Receipt, 1)
	sends := []Send{{Draft: draft, done: func(r Receipt) {
		settled()
		done <- r
	}}}
	if !d.inbox.put(sends) {
		settled()
		return Receipt{}, ErrClosed
	}
	if d.inline {
		d.commitWaiting()
	}
	select {
	case r := <-done:
		return r, r.Err
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
}

// inbox is what waits for the committer.
type inbox struct {
	mu     sync.Mutex // guards all below
	more   sync.Cond  // on mu: there is something, or it was closed
	sends  []Send
	closed bool
}

func (b *inbox) put(sends []Send) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.sends = append(b.sends, sends...)
	b.more.Signal()
	return true
}

// wait returns when something waits, or false when the inbox was closed and is
// empty.
func (b *inbox) wait() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.sends) == 0 && !b.closed {
		b.more.Wait()
	}
	return len(b.sends) > 0
}

// take returns all that waits. The emptied slice that it is given is filled
// next.
func (b *inbox) take(empty []Send) []Send {
	b.mu.Lock()
	defer b.mu.Unlock()
	sends := b.sends
	b.sends = empty
	return sends
}

func (b *inbox) isEmpty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sends) == 0
}

// close reports whether this was the first call.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.closed
	b.closed = true
	b.more.Signal()
	return first
}

// Submit hands over what one read step has read. For each send its subscription
// gets a receipt, which says how it ended. The slice is copied and may be
// reused. The order of one connection's sends is kept. Only the goroutine of the
// subscriptions' waker calls it.
//
// It never blocks and has no bound of its own: callers bound how much of each
// connection may be under way (Subscription.Outstanding).
func (d *Dispatcher) Submit(sends []Send) {
	for i := range sends {
		sends[i].Subscription.outstanding++
	}
	if !d.inbox.put(sends) {
		refuse(sends, ErrClosed)
		return
	}
	if d.inline {
		d.commitWaiting()
	}
}

func refuse(sends []Send, err error) {
	for i := range sends {
		refuseOne(&sends[i], err)
	}
}

func refuseOne(send *Send, err error) {
	send.settle(Receipt{
		ID: send.Draft.ID.String(), Ref: send.Ref, HasRef: send.HasRef,
		Size: len(send.Draft.Body), Err: err,
	})
	send.wake()
}

// committer appends and publishes. It keeps what one round needs for the next.
type committer struct {
	dispatcher *Dispatcher

	mu      sync.Mutex // held by the one who commits; guards all below
	sends   []Send
	drafts  []kaban.Draft
	results []store.Result
	rooms   []grown // in the order of their first entry in the batch
	index   map[string]int
	failing bool // the last call of the store failed, and the log says so
	broken  bool // OnBroken was called
}

// grown is a room whose log grew in this round.
type grown struct {
	name    kaban.RoomName
	entries []store.Entry
	head    uint64 // as far as is known
}

// commitLoop commits over a store that blocks. Whatever is submitted while one
// transaction is under way is the next one: a batch of one at low load, and as
// large as need be at high.
func (d *Dispatcher) commitLoop() {
	for d.inbox.wait() {
		d.commitWaiting()
	}
}

// commitWaiting commits all that waits, or leaves it to the one who is at it.
func (d *Dispatcher) commitWaiting() {
	c := &d.committer
	// Who puts something into the inbox while another is just about to leave
	// sees it unlocked, or is seen.
	for !d.inbox.isEmpty() && c.mu.TryLock() {
		c.sends = d.inbox.take(c.sends[:0])
		for rest := c.sends; len(rest) > 0; {
			n := min(len(rest), maxBatch)
			c.commit(rest[:n])
			rest = rest[n:]
		}
		clear(c.sends)
		if cap(c.sends) > 4*maxBatch {
			c.sends = nil
		}
		c.mu.Unlock()
	}
}

func (c *committer) commit(sends []Send) {
	c.drafts, c.results = c.drafts[:0], c.results[:0]
	for i := range sends {
		c.drafts = append(c.drafts, sends[i].Draft)
		c.results = append(c.results, store.Result{})
	}
	// The drain waits for what was read, so nothing cuts a commit short.
	ctx := context.Background()
	if err := c.dispatcher.store.Append(ctx, c.drafts, c.results); err != nil {
		err = fmt.Errorf("append %d messages: %w", len(sends), err)
		c.failed(err)
		refuse(sends, err)
		return
	}
	c.worked()
	for i := range sends {
		c.settle(&sends[i], &c.results[i])
	}
	failpoint.Point("publish.before")
	for i := range c.rooms {
		c.publish(ctx, &c.rooms[i])
		clear(c.rooms[i].entries)
		c.rooms[i].entries = c.rooms[i].entries[:0]
	}
	for i := range sends {
		switch send := &sends[i]; {
		case send.Subscription == nil && c.results[i].Err == nil: // who reads on sees it now
			send.settle(receipt(send, &c.results[i]))
		case c.results[i].Duplicate: // it grows no log, so nothing has announced its receipt
			send.wake()
		}
	}
	c.rooms = c.rooms[:0]
	clear(c.index)
	clear(c.drafts)
}

// settle tells the sender what became of a send, before anybody can see it,
// and notes what its room has to publish.
func (c *committer) settle(send *Send, result *store.Result) {
	if result.Err != nil {
		refuseOne(send, result.Err)
		return
	}
	d := &send.Draft
	if send.Subscription != nil {
		send.settle(receipt(send, result))
	}
	i, ok := c.index[d.Room.Key()]
	if !ok {
		i = len(c.rooms)
		c.index[d.Room.Key()] = i
		if i < cap(c.rooms) {
			c.rooms = c.rooms[:i+1] // with the slice of an earlier round
		} else {
			c.rooms = append(c.rooms, grown{})
		}
		c.rooms[i].name, c.rooms[i].head = d.Room, 0
	}
	g := &c.rooms[i]
	g.head = max(g.head, result.Seq)
	if !result.Duplicate {
		g.entries = append(g.entries, store.NewEntry(d, result.Seq, result.Time))
	}
}

func receipt(send *Send, result *store.Result) Receipt {
	return Receipt{
		Seq: result.Seq, Time: result.Time, ID: send.Draft.ID.String(), Ref: send.Ref, HasRef: send.HasRef,
		Duplicate: result.Duplicate, Size: len(send.Draft.Body),
	}
}

// failed tells whoever runs the server that the store does not work, once until
// it works again.
func (c *committer) failed(err error) {
	if !c.failing {
		c.failing = true
		c.dispatcher.options.Log.Error("the store failed; new messages are refused or wait until it works again", "err", err)
	}
	if tell := c.dispatcher.options.OnBroken; tell != nil && !c.broken && errors.Is(err, store.ErrBroken) {
		c.broken = true
		tell(err)
	}
}

func (c *committer) worked() {
	if c.failing {
		c.failing = false
		c.dispatcher.options.Log.Info("the store works again")
	}
}

// publish brings a room to the head that an append has shown, with the entries
// of this round and, where another writer of the log was faster, with what it
// reads from the store.
func (c *committer) publish(ctx context.Context, g *grown) {
	r := c.dispatcher.roomOrNew(g.name) // everybody may have left before the first message was stored
	entries := g.entries
	for {
		head := r.head.Load()
		for len(entries) > 0 && entries[0].Seq <= head {
			entries = entries[1:]
		}
		n := 0
		for n < len(entries) && entries[n].Seq == head+1+uint64(n) {
			n++
		}
		if n > 0 {
			r.publish(entries[:n])
			entries = entries[n:]
			continue
		}
		if head >= g.head {
			return
		}
		missing, err := c.read(ctx, r.name, store.Page{After: head, Before: g.head + 1, Limit: r.pageEntries, Bytes: pageBytes})
		switch {
		case err != nil:
			return // the server ends
		case len(missing) == 0: // forgotten before it was read
			r.restart(g.head)
		case missing[0].Seq != head+1: // its beginning was
			r.restart(missing[0].Seq - 1)
			fallthrough
		default:
			r.publish(missing)
		}
	}
}

// How often a read that must succeed is tried again.
const (
	minRetry = 10 * time.Millisecond
	maxRetry = time.Second
)

// read reads entries that are stored but not published yet. Members and senders
// wait for them and nothing may be published before, so it tries until it works,
// or until the dispatcher or the store ends.
func (c *committer) read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		entries, _, _, err := readPast(ctx, c.dispatcher.store, room, page) // who comes to what is damaged finds out
		if err == nil {
			c.worked()
			return entries, nil
		}
		err = fmt.Errorf("read what was appended to %s: %w", room, err)
		c.failed(err)
		if errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed) {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-c.dispatcher.closing:
			return nil, err
		}
	}
}
