package dispatch

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
	"kaban/internal/trace"
)

// maxBatch bounds the sends of one transaction, so that the first send of a burst
// does not wait until the last is stored.
const maxBatch = 1024

// eager is how long an append may take so that the next may be larger, after one that took too long.
const eager = time.Second

// Send is an entry that a connection wants stored.
type Send struct {
	Draft kaban.Draft
	// Ref comes back in the receipt.
	Ref    string
	HasRef bool

	attempt uint8 // of Subscription, when it was submitted

	// Trace follows the message, in some builds.
	Trace trace.Message

	// Terms, if not nil, decide instead of a member's rights.
	Terms *Terms
	// Subscription gets the receipt, unless the send is a Post.
	Subscription *Subscription
	posted       func(Receipt) // gets the receipt of a Post
	at           time.Duration // when it was submitted, of Dispatcher.clock
}

// Terms are those of a send that is no message of a member. They are apart from it
// because nearly every send is one, and is copied on its way.
type Terms struct {
	// Decide, if not nil, decides in the transaction that stores the draft, and
	// changes documents with it; see store.Write.
	Decide func(store.Tx) error
	// Allow, if not nil, decides about the target of the draft, after Decide; see
	// store.Write.
	Allow func(target *store.Entry) error
	// Stored, if not nil, is called by the committer after Decide and the draft are
	// stored and before anybody is given the entry. It is not called for a duplicate.
	// It must not block, or call the dispatcher but for Expel, Peek, View and Unlist.
	Stored func(Receipt)
	// Published, if not nil, is called under the same terms once the entry is published.
	Published func()
	// Revision is the revision of the room's rights that allows a post, if Checked is
	// set. If it is not that of the room any more, the receipt has store.ErrStale.
	Revision uint64
	Checked  bool
	// Unlisted keeps a room that a post makes out of Rooms from the start.
	Unlisted bool
	// Failed, if not nil, is why the send could not be made for now: it is refused in its turn.
	// Fails reports true about it.
	Failed error
}

// giveReceipt hands a receipt to the origin of the send.
func (s *Send) giveReceipt(r Receipt) {
	if s.Subscription == nil {
		s.posted(r)
		return
	}
	s.Subscription.addReceipt(r)
}

// Size returns how many bytes of texts the entry has, as its receipt says it.
func (s *Send) Size() int { return len(s.Draft.Body) + len(s.Draft.Files.String()) }

// receipt returns the receipt of a send that the store has taken.
func (s *Send) receipt(result *store.Result) Receipt {
	return Receipt{
		Seq: result.Seq, Time: result.Time, ID: s.Draft.ID.String(), Ref: s.Ref, HasRef: s.HasRef,
		Duplicate: result.Duplicate, Size: s.Size(),
	}
}

// refuse gives the receipt of a send that is not stored.
func (s *Send) refuse(err error, now time.Duration) {
	if s.Subscription != nil && Fails(err) {
		s.Subscription.receiptQueue().stop(s, err, now)
	}
	s.giveReceipt(Receipt{
		ID: s.Draft.ID.String(), Ref: s.Ref, HasRef: s.HasRef,
		Size: s.Size(), Err: err,
	})
	s.wake()
}

// wake announces a receipt that no publishing announces.
func (s *Send) wake() {
	if s.Subscription != nil {
		s.Subscription.audience.waker.WakeOne(s.Subscription)
	}
}

// Submit queues the sends of one read step. The subscription of each gets a
// receipt that reports the outcome. The slice is copied and may be reused. The
// order of one connection's sends is kept. Only the goroutine of the
// subscriptions' waker calls it.
//
// Submit never blocks and has no bound of its own: callers bound how much of each
// connection may be under way (Subscription.Outstanding).
func (d *Dispatcher) Submit(sends []Send) {
	now := d.clock()
	for i := range sends {
		sends[i].Subscription.outstanding++
		sends[i].at = now
		sends[i].Subscription.begin(&sends[i])
		sends[i].Trace.Submitted()
	}
	for len(sends) > 0 {
		c, n := d.committerOfFirst(sends)
		if !c.inbox.put(sends[:n]) {
			refuseAll(sends[:n], ErrClosed, now)
		} else if d.inline {
			c.commitQueued()
		}
		sends = sends[n:]
	}
}

// committerOfFirst returns the committer of the first send, and how many it has of the next ones
// without another between.
func (d *Dispatcher) committerOfFirst(sends []Send) (c *committer, n int) {
	c = d.committerOf(sends[0].Draft.Room)
	if len(d.committers) == 1 {
		return c, len(sends)
	}
	for n = 1; n < len(sends) && d.committerOf(sends[n].Draft.Room) == c; n++ {
	}
	return c, n
}

// committerOf returns the committer of a room.
func (d *Dispatcher) committerOf(room kaban.RoomName) *committer {
	if len(d.committers) == 1 {
		return d.committers[0]
	}
	return d.committers[maphash.String(d.seed, room.Key())%uint64(len(d.committers))]
}

func refuseAll(sends []Send, err error, now time.Duration) {
	for i := range sends {
		sends[i].refuse(err, now)
	}
}

func (c *committer) refuseAll(sends []Send, err error) {
	c.dispatcher.counts.refused.Add(uint64(len(sends)))
	refuseAll(sends, err, c.dispatcher.clock())
}

// committer appends and publishes, in the rooms that are its own. It keeps the memory of one round
// for the next.
type committer struct {
	dispatcher *Dispatcher
	inbox      inbox
	rounds     atomic.Uint64 // that have ended

	mu      sync.Mutex // held while committing; guards hints
	hints   []hint
	batches chan *batch // that are not in use; each has memory of an earlier one

	// Over a store that blocks, a batch is completed by another goroutine while the next
	// one is appended, so that the disk does not wait.
	pipe    chan *batch
	waiting sync.WaitGroup // for batches in the pipe

	// deciding is held by whoever has sends that are neither in the inbox nor below, until each of
	// them is stored or refused: so none is refused before one that was submitted earlier.
	deciding sync.Mutex
	// These come before those of the inbox, in this order; guarded by deciding.
	stale []Send // of the last append: their rights have changed
	rest  []Send // that were taken, and not tried yet
	most  int    // sends in one append, up to maxBatch; guarded by deciding

	// Used by one goroutine at a time: by the one that completes a batch.
	rooms []grownRoom // in the order of their first entry in the batch
	index map[string]int
	deaf  bool // the last hint could not be followed; logged

	failing atomic.Bool // the last append or read of appended entries failed; logged
}

// batch is what one append stores.
type batch struct {
	sends   []Send
	writes  []store.Write
	results []store.Result
	err     error         // of the append
	took    time.Duration // of the append
	now     time.Duration // its end, of Dispatcher.clock
	simple  bool          // nothing but messages of members and posts without terms, and none is stale
	// mentioning are those of writes that may mention somebody.
	mentioning []*store.Write
	// replaced are the messages with an "@" that writes have changed.
	replaced []replaced
}

// pipelined is how many batches there are at a time: one is appended, one completed, and
// one waits between the two.
const pipelined = 3

// newCommitter returns one of several committers of a dispatcher.
func newCommitter(d *Dispatcher, several int) *committer {
	c := &committer{dispatcher: d, index: make(map[string]int), most: maxBatch}
	c.inbox.init((d.options.MaxRooms+several-1)/several, maxHinted/several)
	c.batches, c.pipe = make(chan *batch, pipelined), make(chan *batch, 1)
	for range pipelined {
		c.batches <- new(batch)
	}
	return c
}

// grownRoom is a room that grew in this round.
type grownRoom struct {
	name    kaban.RoomName
	entries []store.Entry // appended in this round
	head    uint64        // the highest seq seen in the results
}

// commitLoop commits over a store that blocks. Everything submitted during one
// transaction goes into the next: one send at low load, as many as need be at
// high load.
func (c *committer) commitLoop() {
	defer close(c.pipe)
	for c.inbox.wait() {
		c.commitQueued()
	}
}

// completeLoop completes batches while later ones are appended.
func (c *committer) completeLoop() {
	for b := range c.pipe {
		c.complete(b)
		c.waiting.Done()
	}
}

// commitQueued commits everything queued, or returns if another goroutine is
// already committing.
func (c *committer) commitQueued() {
	// No lost wakeup: whoever queues something just as another goroutine stops
	// either finds the lock free or is seen by that goroutine's last check.
	for !c.inbox.isEmpty() && c.mu.TryLock() {
		c.round()
		c.rounds.Add(1)
		c.mu.Unlock()
	}
}

// Progress returns how many rounds of commits have ended, and whether all committers are
// idle. If neither the number changes nor they become idle, the store does not answer.
func (d *Dispatcher) Progress() (rounds uint64, idle bool) {
	idle = true
	for _, c := range d.committers {
		done, isIdle := c.progress()
		rounds, idle = rounds+done, idle && isIdle
	}
	return rounds, idle
}

// progress is Progress of one committer.
func (c *committer) progress() (rounds uint64, idle bool) {
	if c.mu.TryLock() {
		c.mu.Unlock()
		if c.dispatcher.inline {
			c.commitQueued() // whoever found the lock taken relies on it
		}
		idle = c.inbox.isEmpty()
	}
	return c.rounds.Load(), idle
}

// round commits the queued sends and then follows the queued hints, or some of
// them. When it returns, everything is completed, or more is queued, or an append has failed.
func (c *committer) round() {
	b := <-c.batches
	c.deciding.Lock()
	sends, hinted := c.inbox.take(b.sends[:0])
	c.rest = sends
	if len(sends) <= c.most && !hinted && !haveTerms(sends) {
		c.decide(b, len(sends))
		c.deciding.Unlock()
		switch {
		case b.err != nil: // nothing is published, so nothing is waited for
			c.release(b)
		case !c.dispatcher.inline && b.simple && !c.inbox.isEmpty():
			c.waiting.Add(1)
			c.pipe <- b
		default:
			c.waiting.Wait()
			c.complete(b)
		}
		return
	}
	// What terms decide, and what those before them have changed, has one order. Hints stay in the inbox
	// until nothing is completed that may need their entries. They come before the sends: what others have
	// appended need not be read once these are stored.
	c.deciding.Unlock()
	c.waiting.Wait()
	c.hints = c.inbox.takeHints(c.hints[:0])
	c.hints = slices.DeleteFunc(c.hints, func(h hint) bool { return !h.ask && c.believe(&h) })
	for more := true; more; {
		c.deciding.Lock()
		c.decide(b, c.together(c.rest))
		more = len(c.rest) > 0
		c.deciding.Unlock()
		c.finish(b)
	}
	b.sends = sends
	c.release(b)
	for _, h := range c.hints {
		c.follow(context.Background(), h)
	}
	clear(c.hints)
}

func haveTerms(sends []Send) bool {
	for i := range sends {
		if sends[i].Terms != nil {
			return true
		}
	}
	return false
}

// together returns how many sends are stored at once. A member's message whose rights have changed is
// stored anew; one with terms of the same connection, which is stored whatever they are, waits for that.
// One that could not be made waits until it is known whether those before it fail.
func (c *committer) together(sends []Send) int {
	n := min(len(sends), c.most)
	for i := range n {
		by := sends[i].Subscription
		if by == nil || sends[i].Terms == nil {
			continue
		}
		for j := range i {
			if sends[j].Subscription == by && (sends[j].Terms == nil || sends[i].Terms.Failed != nil) {
				return i
			}
		}
	}
	return n
}

// decide stores the first sends of the rest, or refuses them. The caller holds deciding.
func (c *committer) decide(b *batch, n int) {
	sends := c.rest[:n]
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	c.store(b, sends)
}

// store appends sends, or refuses them if that fails. It keeps those that are stale. The caller
// holds deciding.
func (c *committer) store(b *batch, sends []Send) {
	c.append(b, sends)
	if b.err != nil {
		c.refuseBatch(b)
		if isOutage(b.err) { // each append more would wait as long
			c.refuseAll(c.rest, b.err)
			c.rest = nil
		}
		return
	}
	for i := range b.results {
		if b.isStale(i) {
			c.stale = append(c.stale, b.sends[i])
		}
	}
}

// isStale reports whether the rights of a member have changed between the decision and the append.
func (b *batch) isStale(i int) bool {
	return errors.Is(b.results[i].Err, store.ErrStale) && b.sends[i].Subscription != nil
}

// append stores sends at once.
func (c *committer) append(b *batch, sends []Send) {
	clear(b.writes)
	sends = c.withoutStopped(sends)
	b.sends, b.writes, b.results = sends, b.writes[:0], b.results[:0]
	clear(b.mentioning)
	b.mentioning = b.mentioning[:0]
	b.replaced = b.replaced[:0]
	b.simple, b.err = true, nil
	for i := range sends {
		sends[i].Trace.Committing(len(sends))
		b.writes = append(b.writes, store.Write{Draft: sends[i].Draft})
		if b.err == nil {
			c.attach(&b.writes[i], &sends[i])
		}
		if err := b.writes[i].Refusal; Fails(err) {
			b.err = err // each of the others would wait for the database as long
		}
		b.results = append(b.results, store.Result{})
		b.simple = b.simple && sends[i].Terms == nil
	}
	if len(sends) == 0 || b.err != nil {
		return
	}
	c.findMentions(b)
	// The drain waits for everything that was read, so nothing cancels a commit.
	began := c.began(sends)
	b.err = c.dispatcher.store.Append(context.Background(), b.writes, b.results)
	b.now = c.dispatcher.clock()
	b.took = b.now - began
	c.pace(len(sends), b)
	for i := range b.results {
		b.simple = b.simple && !errors.Is(b.results[i].Err, store.ErrStale)
	}
}

// pace decides how many sends the next append has. Where the way to the database is slow, one that was too large
// for the patience of the store would be so each time that its clients send again. The caller holds deciding.
func (c *committer) pace(n int, b *batch) {
	switch {
	case isOutage(b.err):
		c.most = max(n/4, 1)
	case b.err == nil && n >= c.most && b.took < eager:
		c.most = min(2*c.most, maxBatch)
	}
}

// isOutage reports whether the store did not answer in time.
func isOutage(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
}

// complete finishes a batch and lets go of it.
func (c *committer) complete(b *batch) {
	c.finish(b)
	c.release(b)
}

// release keeps the memory of a batch for another one.
func (c *committer) release(b *batch) {
	clear(b.sends)
	clear(b.writes)
	clear(b.mentioning)
	clear(b.replaced)
	if cap(b.sends) > 4*maxBatch {
		b.sends = nil
	}
	c.batches <- b
}

// finish gives the receipts of a batch and publishes its entries. Sends whose rights have
// changed are committed again, until they are stored or refused.
func (c *committer) finish(b *batch) {
	c.publishBatch(b)
	for try := 1; !b.simple && c.retry(try); try++ { // one that is simple may be completed while the next is stale
	}
}

func (c *committer) publishBatch(b *batch) {
	sends, results := b.sends, b.results
	if len(sends) == 0 || b.err != nil {
		return
	}
	ctx, n := context.Background(), &c.dispatcher.counts
	c.worked()
	n.committed(results, b.took)
	n.acknowledged(sends, results, b.now)
	for i := range sends {
		if !b.isStale(i) {
			c.record(&sends[i], &results[i])
		}
	}
	c.traceCommitted(sends, results)
	failpoint.Point("publish.before")
	for i := range c.rooms {
		c.publish(ctx, &c.rooms[i])
		if call := c.dispatcher.onDirect; call != nil && c.rooms[i].name.IsDirect() {
			call(c.rooms[i].name)
		}
		c.dispatcher.grown(c.rooms[i].name, c.rooms[i].head)
		if p := c.dispatcher.peers; p != nil {
			p.announce(&c.rooms[i])
		}
		if call := c.dispatcher.onAppended; call != nil && len(c.rooms[i].entries) > 0 {
			call(c.rooms[i].name, c.rooms[i].entries)
		}
		clear(c.rooms[i].entries)
		c.rooms[i].entries = c.rooms[i].entries[:0]
	}
	for i := range sends {
		if trace.Enabled && results[i].Err == nil {
			sends[i].Trace.Published()
		}
		if t, r := sends[i].Terms, &results[i]; t != nil && t.Published != nil && r.Err == nil && !r.Duplicate {
			t.Published()
		}
		switch send := &sends[i]; {
		case send.Subscription == nil && results[i].Err == nil: // readers see it by now
			send.giveReceipt(send.receipt(&results[i]))
		case results[i].Duplicate: // its log did not grow, so nothing else wakes the sender
			send.wake()
		}
	}
	c.tellMentions(b)
	c.rooms = c.rooms[:0]
	clear(c.index)
}

// refuseBatch gives the receipts of a batch that the store has not taken.
func (c *committer) refuseBatch(b *batch) {
	err := fmt.Errorf("append %d entries: %w", len(b.sends), b.err)
	c.dispatcher.counts.failed.Add(1)
	for i := range b.sends {
		b.sends[i].Trace.Committed(err)
	}
	c.failed(err)
	c.refuseAll(b.sends, err)
}

// traceCommitted begins the next stage of those that the store has taken. A send that is
// tried again is in the stage before.
func (c *committer) traceCommitted(sends []Send, results []store.Result) {
	if !trace.Enabled {
		return
	}
	for i := range sends {
		err := results[i].Err
		if errors.Is(err, store.ErrStale) && sends[i].Subscription != nil {
			sends[i].Trace.Committed(nil)
			continue
		}
		if sends[i].Trace.Committed(err); err == nil {
			sends[i].Trace.Publishing()
		}
	}
}

// began returns the time at which a batch begins, of Dispatcher.clock. Over a store
// that does not block that is when its last send was submitted.
func (c *committer) began(sends []Send) time.Duration {
	if c.dispatcher.inline {
		return sends[len(sends)-1].at
	}
	return c.dispatcher.clock()
}

// retry commits the sends of members whose rights have changed between the decision
// and the commit, with new rights. They are the last ones of their connections in the
// batch (together), so these keep their order. It reports whether there were any.
func (c *committer) retry(try int) bool {
	b := c.storeStale(try)
	if b != nil {
		c.publishBatch(b)
	}
	return b != nil
}

// storeStale stores those that were stale, or refuses them. It returns nil if nothing is to be published.
func (c *committer) storeStale(try int) *batch {
	c.deciding.Lock()
	defer c.deciding.Unlock()
	sends := c.stale
	c.stale = nil
	if len(sends) == 0 {
		return nil
	}
	if try > maxStale {
		c.refuseAll(sends, store.ErrStale)
		return nil
	}
	for i := range sends {
		if _, _, err := c.dispatcher.stored(context.Background(), sends[i].Subscription.audience.room.name); err != nil {
			c.failed(err)
			c.refuseAll(sends, err)
			return nil
		}
	}
	b := new(batch)
	c.store(b, sends)
	return b
}

// record gives the sender the receipt of a send, before anyone can see the entry,
// and collects the entries to publish in its room.
func (c *committer) record(send *Send, result *store.Result) {
	if result.Err != nil {
		c.dispatcher.counts.refused.Add(1)
		send.refuse(result.Err, c.dispatcher.clock())
		return
	}
	d := &send.Draft
	if send.Subscription != nil {
		send.giveReceipt(send.receipt(result))
	}
	if t := send.Terms; t != nil && t.Decide != nil && !result.Duplicate {
		c.decided(send, result)
	}
	i, ok := c.index[d.Room.Key()]
	if !ok {
		i = len(c.rooms)
		c.index[d.Room.Key()] = i
		if i < cap(c.rooms) {
			c.rooms = c.rooms[:i+1] // with the slice of an earlier round
		} else {
			c.rooms = append(c.rooms, grownRoom{})
		}
		c.rooms[i].name, c.rooms[i].head = d.Room, 0
	}
	g := &c.rooms[i]
	g.head = max(g.head, result.Seq)
	if !result.Duplicate {
		g.entries = append(g.entries, store.NewEntry(d, result.Seq, result.Time))
	}
}

// decided notes that documents have changed with an entry.
func (c *committer) decided(send *Send, result *store.Result) {
	if r := c.dispatcher.Peek(send.Draft.Room); r != nil {
		if err := c.dispatcher.refreshRights(context.Background(), r); err != nil { // the store finds what depends on it stale
			c.failed(err)
		}
	}
	if stored := send.Terms.Stored; stored != nil {
		stored(send.receipt(result))
	}
}

// failed logs that the store fails, once until it works again.
func (c *committer) failed(err error) {
	if !c.failing.Swap(true) {
		c.dispatcher.options.Log.Error("the store failed; new messages are refused or wait until it works again", "err", err)
	}
	c.checkBroken(err)
}

func (c *committer) worked() {
	if c.failing.Load() && c.failing.Swap(false) {
		c.dispatcher.options.Log.Info("the store works again")
	}
}

// checkBroken calls OnBroken at the first error that means it.
func (c *committer) checkBroken(err error) {
	if errors.Is(err, store.ErrBroken) {
		c.dispatcher.alarm(err)
	}
}

// alarm calls OnBroken, if nobody has before.
func (d *Dispatcher) alarm(err error) {
	if call := d.options.OnBroken; call != nil {
		d.broken.Do(func() { call(err) })
	}
}

// publish brings a room to the head that an append has shown, with the entries
// of this round and, where another writer was faster, with those that it reads
// from the store.
func (c *committer) publish(ctx context.Context, g *grownRoom) {
	r := c.dispatcher.roomOrNew(g.name) // it is forgotten if its last member left before its first entry was stored
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
		if head >= g.head || r.raise(g.head) {
			return
		}
		last := g.head
		if len(entries) > 0 {
			last = entries[0].Seq - 1
		}
		if hinted := c.inbox.takeEntries(r.name, head+1, last); len(hinted) > 0 {
			if err := c.heed(ctx, r, hinted); err != nil {
				return // the server ends
			}
			c.publishHinted(r, hinted)
			continue
		}
		missing, err := c.read(ctx, r, head, g.head)
		if err != nil {
			return // the server ends
		}
		if err := c.heed(ctx, r, missing); err != nil {
			return
		}
		r.publishMissing(missing, head, g.head)
	}
}

// mayRevise reports whether there is an entry that may have changed rights.
func mayRevise(entries []store.Entry) bool {
	return slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Kind == kaban.KindRoom || e.Kind == kaban.KindMember })
}

// heed finds out what the entries of another node mean for the readers of a room, before they
// are published. Like read it tries until it succeeds.
func (c *committer) heed(ctx context.Context, r *Room, entries []store.Entry) error {
	if c.dispatcher.onRevised == nil || !mayRevise(entries) {
		return nil
	}
	return c.persist(func() error {
		_, _, err := c.dispatcher.stored(ctx, r.name)
		return err
	})
}

// Pauses between the attempts of a read that must succeed.
const (
	minRetry = 10 * time.Millisecond
	maxRetry = time.Second
)

// read reads entries that are stored but not published yet. Members and senders
// wait for them and nothing else may be published first, so it tries until it
// succeeds, or until the dispatcher or the store ends.
func (c *committer) read(ctx context.Context, r *Room, head, to uint64) ([]store.Entry, error) {
	var entries []store.Entry
	err := c.persist(func() (err error) {
		// Damage is reported to each cursor that arrives there.
		if entries, _, _, err = c.dispatcher.store.readPast(ctx, r.name, r.missingPage(head, to)); err != nil {
			return fmt.Errorf("read what was appended to %s: %w", r.name, err)
		}
		return nil
	})
	return entries, err
}

// persist calls a function until it succeeds, or until the dispatcher or the store ends.
func (c *committer) persist(ask func() error) error {
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		err := ask()
		if err == nil {
			c.worked()
			return nil
		}
		c.failed(err)
		if errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed) {
			return err
		}
		if errors.Is(err, store.ErrUnavailable) { // nobody waits for a database that is away
			c.refuseQueued(err)
			c.rounds.Add(1) // the store answers
		}
		select {
		case <-time.After(pause):
		case <-c.dispatcher.closing:
			return err
		}
	}
}

// refuseQueued refuses what is not tried yet, unless something earlier is being tried.
func (c *committer) refuseQueued(err error) {
	if !c.deciding.TryLock() {
		return
	}
	defer c.deciding.Unlock()
	sends, _ := c.inbox.take(nil)
	for _, queued := range [][]Send{c.stale, c.rest, sends} {
		c.refuseAll(queued, err)
	}
	c.stale, c.rest = nil, nil
}
