package client

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"kaban/wire"
)

const (
	// maxAnswered is how many answered calls are kept behind an unanswered one
	// before they are dropped.
	maxAnswered = 64
	// firstPostpone bounds the first wait before repeating a request that the server
	// puts off; the bound doubles up to longestPostpone.
	firstPostpone, longestPostpone = 100 * time.Millisecond, 5 * time.Second
)

// call is a request and its answer.
type call struct {
	number   uint64 // in the order of the calls
	request  wire.Request
	content  string    // of a send or an edit: its message is made when it is written
	room     *Room     // of a join, a watch, a part, an unwatch; of an entry, or nil if the client is not in the room
	link     *link     // that an entry was written on, while it is under way
	notUntil time.Time // when the server wants it again
	tries    int       // that the server has put off
	putOff   *link     // on which it was, the last time
	answered bool
	written  bool          // in flight
	doubtful bool          // an entry that may have reached the server
	counted  bool          // in asked
	left     bool          // nobody is waiting for it any more
	done     chan struct{} // closed when answered
	event    wire.Event
	err      error
	then     func() // called with Client.mu held once it is answered
}

// isPost reports whether the request is a message or changes one. It stays under way
// whether or not anybody waits for it.
func (q *call) isPost() bool {
	return q.request.Type == wire.TypeSend || q.request.Type.ChangesMessage()
}

// isEntry reports whether the request becomes an entry, and so is repeated with the
// same id until it has an answer.
func (q *call) isEntry() bool {
	t := q.request.Type
	return q.isPost() || t == wire.TypeTopic || t == wire.TypeSet || t.IsModeration()
}

// isJoin reports whether the request subscribes to a room.
func (q *call) isJoin() bool {
	return q.request.Type == wire.TypeJoin || q.request.Type == wire.TypeWatch
}

// isPart reports whether the request ends a subscription.
func (q *call) isPart() bool {
	return q.request.Type == wire.TypePart || q.request.Type == wire.TypeUnwatch
}

// ask queues a request.
func (c *Client) ask(request wire.Request, room *Room) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.askLocked(request, room)
}

func (c *Client) askLocked(request wire.Request, room *Room) *call {
	q := c.callLocked(request, room)
	err := c.Err()
	switch {
	case err != nil, q.isPost():
	case c.stopped && !q.isJoin():
		err = ErrOffline
	case c.asked >= maxAsked:
		err = ErrBusy
	}
	if err != nil {
		c.answerLocked(q, nil, err)
		return q
	}
	if !q.isPost() {
		c.asked++
		q.counted = true
	}
	c.queue = append(c.queue, q)
	c.wakeLocked()
	return q
}

// callLocked makes a call of a request. The caller queues it.
func (c *Client) callLocked(request wire.Request, room *Room) *call {
	c.refs++
	q := &call{number: c.refs, request: request, room: room, done: make(chan struct{})}
	q.request.Ref = strconv.AppendUint(nil, c.refs, 36)
	c.calls[string(q.request.Ref)] = q
	if q.isEntry() {
		c.entries[request.ID.String()] = q
	}
	return q
}

// wait returns the answer. If ctx ends first, the call is abandoned.
func (c *Client) wait(ctx context.Context, q *call) (*wire.Event, error) {
	e, err := c.await(ctx, q)
	if e == nil && ctx.Err() != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.abandonLocked(q)
	}
	return e, err
}

// await returns the answer, or an error if there is none before ctx or the client
// ends.
func (c *Client) await(ctx context.Context, q *call) (*wire.Event, error) {
	var err error
	select {
	case <-q.done:
	case <-c.ctx.Done():
		err = c.Err()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	select {
	case <-q.done:
		return &q.event, q.err
	default:
		return nil, err
	}
}

// abandonLocked forgets a request whose answer nobody waits for. Messages stay
// under way. A room that is being joined is left as soon as the answer comes.
func (c *Client) abandonLocked(q *call) {
	isIt := func(other *call) bool { return other == q }
	queued := slices.ContainsFunc(c.queue, isIt)
	switch {
	case q.answered, q.isPost(), q.isPart():
		return
	case q.isJoin() && !queued:
		q.left = true
		return
	}
	c.queue = slices.DeleteFunc(c.queue, isIt)
	c.answerLocked(q, nil, ErrOffline)
}

// answer takes an answer to a call, or an error that answers none.
func (c *Client) answer(e *wire.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rooms[e.Room]
	if e.Type == wire.TypeAck && r != nil {
		r.acknowledgedLocked(e.Seq)
	}
	q := c.calls[e.Ref]
	if !e.HasRef {
		q = nil
	}
	switch {
	case r == nil:
	case e.Type == wire.TypeParted && (q == nil || e.Removal != ""):
		r.endLocked(&RemovedError{Room: r.name, Reason: e.Removal})
	case q == nil && e.Code == wire.CodeResync:
		r.resyncLocked(e)
	}
	if q == nil {
		return
	}
	if e.Type == wire.TypeError {
		c.refusedLocked(q, e)
		return
	}
	switch {
	case e.Type != answerTo(q): // answers nothing of ours
	case q.isJoin():
		c.joinedLocked(q, e)
	default:
		c.answerLocked(q, e, nil)
	}
}

// answerTo returns the type of frame that answers a request.
func answerTo(q *call) wire.Type {
	if q.isEntry() {
		return wire.TypeAck
	}
	switch t := q.request.Type; t {
	case wire.TypeJoin:
		return wire.TypeJoined
	case wire.TypeWatch:
		return wire.TypeWatching
	case wire.TypePart:
		return wire.TypeParted
	case wire.TypePing:
		return wire.TypePong
	case wire.TypeCreate, wire.TypeDirect:
		return wire.TypeCreated
	case wire.TypeSearch:
		return wire.TypeFound
	case wire.TypeRead, wire.TypeUnread, wire.TypeNotify, wire.TypeAway, wire.TypeUnwatch:
		return wire.TypeOK
	default:
		return t
	}
}

// refusedLocked takes a refusal. Some are final, some mean later or elsewhere.
func (c *Client) refusedLocked(q *call, e *wire.Event) {
	again := q.isJoin() && c.knowsLocked(q.room)
	switch {
	case q.isEntry() && !q.written && e.Code.Temporary(): // it waits already
	case q.isEntry() && (e.Code == wire.CodeUnavailable || e.Code == wire.CodeStorageFull || e.Code == wire.CodeRateLimited):
		c.postponeLocked(q, e.RetryAfter) // the connection may go on, as when the database is away
		if c.options.OnHeld != nil && (e.Code != wire.CodeUnavailable || q.tries > 1) {
			c.options.OnHeld(errorOf(e))
		}
	case again && e.Code == wire.CodeResync:
		q.room.resyncLocked(e)
		c.answerLocked(q, e, nil)
		next := c.rejoinLocked(q.room)
		next.tries = q.tries
		c.postponeLocked(next, 0)
	case again && e.Code.Temporary():
		c.postponeLocked(q, e.RetryAfter)
	case q.isJoin() && e.Code == wire.CodeResync:
		c.answerLocked(q, nil, resyncOf(e))
		q.room.endLocked(resyncOf(e))
	case q.isJoin():
		c.answerLocked(q, nil, errorOf(e))
		q.room.endLocked(errorOf(e))
	default:
		c.answerLocked(q, nil, errorOf(e))
	}
}

// answerLocked ends a call.
func (c *Client) answerLocked(q *call, e *wire.Event, err error) {
	if q.answered {
		return
	}
	q.answered = true
	if e != nil {
		q.event = *e
	}
	q.err = err
	delete(c.calls, string(q.request.Ref))
	if q.counted {
		c.asked--
	}
	if q.isEntry() {
		delete(c.entries, q.request.ID.String())
		c.landedLocked(q)
	}
	close(q.done)
	if q.then != nil {
		q.then()
	}
	if q.written {
		c.done++
		c.dropAnsweredLocked()
	}
}

// landedLocked takes the answer to an entry.
func (c *Client) landedLocked(q *call) {
	if q.doubtful {
		c.doubtful--
	}
	c.unloadLocked(q)
	if q.room != nil {
		q.room.posted--
		q.room.partLocked()
	}
	if q.isPost() {
		c.posted--
		<-c.slots
	}
	if c.landed != nil {
		close(c.landed)
		c.landed = nil
	}
}

// unloadLocked makes room for further messages on the connection.
func (c *Client) unloadLocked(q *call) {
	l := q.link
	if l == nil || l != c.link {
		return
	}
	q.link = nil
	l.sending--
	l.window = min(l.window+1, maxFlight)
	if len(c.queue) > 0 {
		c.wakeLocked()
	}
}

// awaitLocked waits until fits holds. It is checked after every answer to a
// message, with c.mu held, as on entry and on return.
func (c *Client) awaitLocked(ctx context.Context, fits func() bool) error {
	for !fits() {
		if c.landed == nil {
			c.landed = make(chan struct{})
		}
		landed := c.landed
		c.mu.Unlock()
		var err error
		select {
		case <-landed:
		case <-c.ctx.Done():
			err = c.Err()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// dropAnsweredLocked keeps flight short: it drops the answered calls at the front,
// where answers come in order, and all of them now and then, since one call that
// is never answered must not keep those behind it.
func (c *Client) dropAnsweredLocked() {
	front := 0
	for front < len(c.flight) && c.flight[front].answered {
		c.flight[front] = nil
		front++
	}
	c.flight = c.flight[front:]
	c.done -= front
	if c.done > maxAnswered && c.done > len(c.flight)/2 {
		c.flight = slices.DeleteFunc(c.flight, func(q *call) bool { return q.answered })
		c.done = 0
	}
}

// storedLocked takes an own entry that arrives on a later connection than it was
// sent on: it is stored, and need not be sent again. One that was refused on this connection
// must be: until then the server may refuse what comes behind it.
func (c *Client) storedLocked(e *Entry) {
	var id string
	var at time.Time
	if e.Message != nil {
		id, at = e.Message.ID, e.Message.Time
	} else {
		id, at = e.Change.ID, e.Change.Time
	}
	switch q := c.entries[id]; {
	case q == nil:
	case q.putOff != nil && q.putOff == c.link:
		if !q.written {
			q.notUntil = time.Now()
			c.wakeLocked()
		}
	default:
		c.answerLocked(q, &wire.Event{Type: wire.TypeAck, ID: id, Seq: e.Seq, Time: at, Duplicate: true}, nil)
	}
}

// postponeLocked sends a request again later, before anything that was not written
// yet; entries in the order in which they were made. said is when the server wants it.
func (c *Client) postponeLocked(q *call, said time.Duration) {
	c.unloadLocked(q)
	q.tries++
	q.putOff = c.link
	bound := backoff(firstPostpone, q.tries, longestPostpone)
	q.notUntil = time.Now().Add(max(min(said, c.options.MaxBackoff), bound/2+rand.N(bound/2)))
	if q.written {
		q.written = false
		c.flight = slices.DeleteFunc(c.flight, func(other *call) bool { return other == q })
	}
	at := 0
	if q.isEntry() { // those of a room wait for its join, and a part is not put off
		for at < len(c.queue) && (c.queue[at].isJoin() || c.queue[at].isPart() || c.queue[at].precedes(q)) {
			at++
		}
	}
	c.queue = slices.Insert(c.queue, at, q)
	c.wakeLocked()
}

// precedes reports whether a request that was put off comes before an entry.
func (q *call) precedes(entry *call) bool {
	return !q.notUntil.IsZero() && !(q.isEntry() && q.number > entry.number)
}

// isOvertakenLocked reports whether an entry that was put off is still followed by entries of its room that were
// written before this was known. The server refuses these, too, but not once it has the first again.
func (c *Client) isOvertakenLocked(q *call) bool {
	return q.tries > 0 && slices.ContainsFunc(c.flight, func(other *call) bool {
		return other.isEntry() && !other.answered && other.room == q.room && other.number > q.number
	})
}

// fail ends all calls and rooms when the session is over for good.
func (c *Client) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.successor != nil {
		c.successor.close()
		c.successor = nil
	}
	for _, q := range c.calls {
		c.answerLocked(q, nil, c.Err())
		if q.isJoin() {
			q.room.endLocked(c.Err())
		}
	}
	c.queue, c.flight = nil, nil
	for _, r := range c.rooms {
		r.endLocked(c.Err())
	}
}
