package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"kaban"
	"kaban/wire"
)

const (
	// A reader of Messages that is further behind than this many messages or
	// bytes of them costs no more memory: what follows is dropped and read
	// again with history when the reader has caught up.
	maxBuffered      = 2048
	maxBufferedBytes = 1 << 20
)

// Cursor is a place in a room's log: everything up to Seq has been seen. It can
// be saved and handed to After in another process.
type Cursor struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// String returns the cursor as text that ParseCursor takes, such as
// "42@QD765QKJTBCFYCYKCMILQCVNAG".
func (c Cursor) String() string { return strconv.FormatUint(c.Seq, 10) + "@" + c.Epoch }

// ParseCursor takes what String returned.
func ParseCursor(text string) (Cursor, error) {
	digits, epoch, ok := strings.Cut(text, "@")
	seq, err := strconv.ParseUint(digits, 10, 53)
	if !ok || err != nil || epoch == "" || strings.ContainsFunc(epoch, unicode.IsSpace) {
		return Cursor{}, fmt.Errorf("%q is no cursor such as 42@QD765QKJTBCFYCYKCMILQCVNAG", text)
	}
	return Cursor{Epoch: epoch, Seq: seq}, nil
}

// From says where reading begins. The zero From is the head: only what comes
// from now on.
type From struct {
	cursor Cursor
	resume bool
	last   uint64
}

// After begins behind a cursor. With an empty Epoch the server's is taken.
func After(c Cursor) From { return From{cursor: c, resume: true} }

// Last begins with the newest n messages that are there.
func Last(n uint64) From { return From{last: n} }

// Receipt says that a message is stored.
type Receipt struct {
	ID   string
	Seq  uint64
	Time time.Time
	// Duplicate says that the message had been stored by an earlier attempt.
	Duplicate bool
}

// Room is a room that the client is in.
type Room struct {
	client *Client

	// Guarded by client.mu.
	name     string
	written  kaban.RoomName
	epoch    string
	joined   bool   // on the present connection
	err      error  // why it ended
	received uint64 // everything up to here came by
	given    uint64 // everything up to here was taken by Messages
	era      string // the epoch of given
	head     uint64 // the newest message that the server is known to have
	// behind says that what lies between given and received is not in the
	// buffer: Messages reads it with history.
	behind bool
	// window says that the server may not have all between given and received,
	// which is fine: reading began with the last few messages.
	window bool
	buffer []*item
	bytes  int
	change chan struct{} // closed at the next change that a waiting reader wants to see
}

// item is what Messages takes next.
type item struct {
	seq     uint64
	message *wire.Message // nil for an own one
	resync  *ResyncError
}

// size is what an item takes in bytes, but for what all take.
func (i *item) size() int {
	if i.message == nil {
		return 0
	}
	return len(i.message.ID) + len(i.message.Username) + len(i.message.Content)
}

// Join joins a room, which is made if need be. The error is a
// *kaban.MessageError, an *Error, a *ResyncError when the log cannot be
// continued from where from says, or ErrJoined.
func (c *Client) Join(ctx context.Context, name string, from From) (*Room, error) {
	room, err := kaban.ParseRoomName(name)
	if err != nil {
		return nil, err
	}
	r := &Room{client: c, written: room, change: make(chan struct{})}
	request := wire.Request{Type: wire.TypeJoin, Room: room}
	if from.resume {
		request.Epoch, request.After, request.HasAfter = from.cursor.Epoch, from.cursor.Seq, true
		r.received, r.given = from.cursor.Seq, from.cursor.Seq
	}
	q := c.ask(request, r)
	if _, err := c.wait(ctx, q); err != nil {
		return nil, err
	}
	if from.last > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if head := q.event.Head; head > 0 {
			r.given = head - min(head, from.last)
			r.behind, r.window = true, true
			r.buffer, r.bytes = nil, 0
		}
	}
	return r, nil
}

// joinedLocked takes the answer to a join, the first one or one after a
// reconnect.
func (c *Client) joinedLocked(q *call, e *wire.Event) {
	r := q.room
	known := c.rooms[e.Room]
	switch {
	case known == nil && q.left:
		c.answerLocked(q, e, nil)
		c.leaveLocked(r)
		return
	case known == nil && r.name == "": // the first time
		r.name = e.Room
		c.rooms[e.Room] = r
		if !q.request.HasAfter {
			r.received, r.given = e.Head, e.Head
		}
	case known != r:
		c.answerLocked(q, nil, ErrJoined)
		return
	}
	if r.epoch = e.Epoch; r.era == "" {
		r.era = e.Epoch
	}
	r.head = max(e.Head, r.received)
	r.joined = true
	c.answerLocked(q, e, nil)
	c.wakeLocked()
}

// rejoinLocked asks to go on in a room where it was left. The caller queues it.
func (c *Client) rejoinLocked(r *Room) *call {
	return c.callLocked(wire.Request{Type: wire.TypeJoin, Room: r.written, Epoch: r.epoch, After: r.received, HasAfter: true}, r)
}

// leaveLocked parts from a room that was joined when nobody waited for it any
// more, unless it is being joined again.
func (c *Client) leaveLocked(r *Room) {
	for _, q := range c.calls {
		if q.request.Type == wire.TypeJoin && !q.left && q.request.Room.Key() == r.written.Key() {
			return
		}
	}
	c.queue = append(c.queue, c.callLocked(wire.Request{Type: wire.TypePart, Room: r.written}, r))
	c.wakeLocked()
}

// receiveLocked takes a message that came by.
func (r *Room) receiveLocked(m wire.Message) {
	if m.Seq <= r.received {
		return
	}
	if m.Seq != r.received+1 { // the server broke its word; history has what is missing
		r.fallBehindLocked()
	}
	r.received = m.Seq
	r.head = max(r.head, m.Seq)
	own := r.client.own(m.ID)
	if own {
		r.client.storedLocked(&m)
	}
	if r.behind {
		return
	}
	if own {
		r.putLocked(&item{seq: m.Seq})
		return
	}
	r.putLocked(&item{seq: m.Seq, message: &m})
}

// acknowledgedLocked takes an ack: the own message has come by.
func (r *Room) acknowledgedLocked(seq uint64) {
	if seq == r.received+1 {
		r.received = seq
		r.head = max(r.head, seq)
		if !r.behind {
			r.putLocked(&item{seq: seq})
		}
	}
}

func (r *Room) putLocked(i *item) {
	if i.message == nil && i.resync == nil && len(r.buffer) == 0 {
		r.given = i.seq
		r.changedLocked()
		return
	}
	r.bytes += i.size()
	r.buffer = append(r.buffer, i)
	if len(r.buffer) > maxBuffered || r.bytes > maxBufferedBytes {
		r.fallBehindLocked()
	}
	r.changedLocked()
}

func (r *Room) fallBehindLocked() {
	r.behind = true
	r.dropLocked()
	r.changedLocked()
}

// dropLocked empties the buffer but for the last resync, which is not in the
// history; those before it do not matter any more.
func (r *Room) dropLocked() {
	var last []*item
	for _, i := range r.buffer {
		if i.resync != nil {
			last = []*item{i}
		}
	}
	r.buffer, r.bytes = last, 0
}

// resyncLocked goes on at the head and has the reader told.
func (r *Room) resyncLocked(e *wire.Event) {
	resync := resyncOf(e)
	if resync.Room == "" {
		resync.Room = r.name
	}
	r.epoch, r.received, r.head, r.behind = e.Epoch, e.Head, e.Head, false
	if n := len(r.buffer); n > 0 && r.buffer[n-1].resync != nil {
		r.buffer = r.buffer[:n-1] // nothing came between the two
	}
	r.putLocked(&item{seq: e.Head, resync: resync})
}

func (r *Room) endLocked(err error) {
	if r.err == nil {
		r.err = err
		r.changedLocked()
	}
}

func (r *Room) changedLocked() {
	close(r.change)
	r.change = make(chan struct{})
}

// Name returns the server's name for the room.
func (r *Room) Name() string {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.name
}

// Cursor returns the place up to which Messages has yielded everything. Own
// messages count as seen.
func (r *Room) Cursor() Cursor {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return Cursor{Epoch: r.era, Seq: r.given}
}

// Head returns the seq of the newest message that the server is known to have:
// what lies between it and Cursor is still being caught up.
func (r *Room) Head() uint64 {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.head
}

// Messages yields what others say in the room, in order, each message once,
// until ctx ends, the room is left or the session is over. A *ResyncError is
// followed by what comes after the interruption; any other error is the last
// thing that is yielded. What this client itself has sent is left out. Only one
// loop over Messages may run at a time; another may go on where it broke off.
func (r *Room) Messages(ctx context.Context) iter.Seq2[wire.Message, error] {
	return func(yield func(wire.Message, error) bool) {
		for {
			items, err := r.next(ctx)
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, ErrParted) {
					yield(wire.Message{}, err)
				}
				return
			}
			for _, i := range items {
				// The cursor moves when the caller comes back for more, so that
				// a saved cursor never claims what was not dealt with.
				more := true
				switch {
				case i.resync != nil:
					more = yield(wire.Message{}, i.resync)
				case i.message != nil:
					more = yield(*i.message, nil)
				}
				r.advance(i)
				if !more || ctx.Err() != nil {
					return
				}
			}
		}
	}
}

// advance moves the cursor over an item.
func (r *Room) advance(i *item) {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.buffer) > 0 && r.buffer[0] == i {
		r.bytes -= i.size()
		r.buffer[0] = nil
		r.buffer = r.buffer[1:]
	}
	r.given = i.seq
	if i.resync != nil {
		r.era = i.resync.Epoch
	}
	r.changedLocked()
}

// next waits for what comes next.
func (r *Room) next(ctx context.Context) ([]*item, error) {
	for {
		r.client.mu.Lock()
		change, err, behind := r.change, r.err, r.behind
		items := slices.Clone(r.buffer)
		if behind && r.given >= r.received {
			r.behind, behind = false, false
		}
		r.client.mu.Unlock()
		switch {
		case len(items) > 0:
			return items, nil
		case err != nil:
			return nil, err
		case behind:
			items, err := r.catchUp(ctx)
			if len(items) > 0 || err != nil {
				return items, err
			}
			continue
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// catchUp reads a page of what the buffer does not have.
func (r *Room) catchUp(ctx context.Context) ([]*item, error) {
	c := r.client
	c.mu.Lock()
	name, after, until, window, epoch := r.name, r.given, r.received, r.window, r.epoch
	c.mu.Unlock()
	messages, _, err := c.History(ctx, name, Page{After: after, HasAfter: true, Limit: wire.MaxLimit})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.epoch != epoch || r.given != after {
		return nil, nil // a resync came in between
	}
	var items []*item
	for i := range messages {
		m := &messages[i]
		if m.Seq > until {
			break // comes again by itself
		}
		if m.Seq != after+1 && !window {
			items = append(items, &item{seq: m.Seq - 1, resync: &ResyncError{Room: name, Epoch: epoch, Head: until, Oldest: m.Seq}})
		}
		window = false
		after = m.Seq
		if c.own(m.ID) {
			m = nil
		}
		items = append(items, &item{seq: after, message: m})
	}
	r.window = false
	if len(items) == 0 {
		r.given = until // nothing of it is kept
		if !window {
			return []*item{{seq: until, resync: &ResyncError{Room: name, Epoch: epoch, Head: until, Oldest: until + 1}}}, nil
		}
	}
	return items, nil
}

// Sync waits until Messages has yielded everything that the room had when Sync
// was called. It asks the server, so it waits for a connection too.
func (r *Room) Sync(ctx context.Context) error {
	c := r.client
	newest, _, err := c.History(ctx, r.Name(), Page{Limit: 1})
	if err != nil {
		return err
	}
	for {
		c.mu.Lock()
		done := len(newest) == 0 || r.given >= newest[len(newest)-1].Seq
		change, err := r.change, r.err
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Pending is a message under way.
type Pending struct {
	client *Client
	call   *call
}

// Wait returns when the message is stored or refused. When ctx ends first the
// message stays under way.
func (p *Pending) Wait(ctx context.Context) (Receipt, error) {
	e, err := p.client.wait(ctx, p.call)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: e.ID, Seq: e.Seq, Time: e.Time, Duplicate: e.Duplicate}, nil
}

// Done is closed when Wait returns at once.
func (p *Pending) Done() <-chan struct{} { return p.call.done }

// Content returns what is under way.
func (p *Pending) Content() string { return p.call.request.Message.Content() }

// Post puts a message on its way and returns; it waits only while 1,000 are
// under way. The error is a *kaban.MessageError, or says why nothing can be
// posted any more.
func (r *Room) Post(ctx context.Context, content string) (*Pending, error) {
	c := r.client
	limit := c.Welcome().Limits.Content
	if limit <= 0 {
		limit = kaban.DefaultMaxContent
	}
	message, err := kaban.NewMessage(c.username, content, limit)
	if err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, c.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = c.Err(); err == nil {
		err = r.err
	}
	if err != nil {
		<-c.slots
		return nil, err
	}
	c.posted++
	id, err := kaban.ParseMessageID(c.prefix + strconv.FormatUint(c.refs+1, 36))
	if err != nil {
		return nil, err
	}
	return &Pending{client: c, call: c.askLocked(wire.Request{Type: wire.TypeSend, Room: r.written, ID: id, Message: message}, r)}, nil
}

// Send posts a message and waits until it is stored. The error is a
// *kaban.MessageError or an *Error when it was refused; any other means that it
// is not known whether it was stored.
func (r *Room) Send(ctx context.Context, content string) (Receipt, error) {
	p, err := r.Post(ctx, content)
	if err != nil {
		return Receipt{}, err
	}
	return p.Wait(ctx)
}

// Part leaves the room. What was posted before is acknowledged before.
func (r *Room) Part(ctx context.Context) error {
	c := r.client
	if err := c.Flush(ctx); err != nil {
		return err
	}
	_, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypePart, Room: r.written}, r))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms[r.name] == r {
		delete(c.rooms, r.name)
	}
	r.endLocked(ErrParted)
	return err
}
