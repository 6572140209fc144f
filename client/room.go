package client

import (
	"context"
	"strconv"
	"time"

	"kaban"
	"kaban/wire"
)

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

func (r *Room) endLocked(err error) {
	if r.err == nil {
		r.err = err
		r.changedLocked()
	}
}

// Name returns the server's name for the room.
func (r *Room) Name() string {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.name
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
