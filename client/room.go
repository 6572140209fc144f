package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/wire"
)

// Room is a room that the client is in or is joining.
type Room struct {
	client *Client
	join   *call
	part   *call     // nil before the room is left, or if there was no connection
	born   uint64    // grows with each Room
	last   uint64    // how many of the newest entries to begin with
	as     wire.Type // TypeJoin or TypeWatch

	// Guarded by client.mu.
	name     string // the server's; "" before the first join
	written  kaban.RoomName
	epoch    string
	joined   bool      // on the present connection
	posted   int       // unanswered entries
	typed    time.Time // when typing was reported since the last message; zero: not at all
	err      error     // why the room ended
	received uint64    // every entry up to here has arrived
	given    uint64    // every entry up to here was taken by Messages
	era      string    // the epoch of given
	head     uint64    // the highest seq that the server is known to have
	// behind means that the entries between given and received are not in the
	// buffer: the reader gets them with history.
	behind bool
	// stored are the seqs of own entries that were acknowledged before the entries in
	// front of them arrived.
	stored map[uint64]bool
	// window means that the server need not have all entries between given and
	// received: reading began with the last few.
	window bool
	buffer []*item
	bytes  int
	change chan struct{} // closed at the next change that a waiting reader wants to see
}

// Join joins a room, creating it if necessary. The error is a *kaban.MessageError,
// an *Error, a *ResyncError if the log cannot be continued at from, or ErrJoined.
func (c *Client) Join(ctx context.Context, name string, from From) (*Room, error) {
	r, err := c.Open(name, from)
	if err != nil {
		return nil, err
	}
	if _, err := c.wait(ctx, r.join); err != nil {
		return nil, err
	}
	return r, nil
}

// Watch subscribes to a room without becoming a member. The client can read it, but
// not send to it. The errors are those of Join; a room that is not there is not
// created.
func (c *Client) Watch(ctx context.Context, name string, from From) (*Room, error) {
	r, err := c.open(name, from, wire.TypeWatch)
	if err != nil {
		return nil, err
	}
	if _, err := c.wait(ctx, r.join); err != nil {
		return nil, err
	}
	return r, nil
}

// Open is Join without waiting; Joined waits for the outcome. Messages may be
// posted at once and are sent when the room is joined. The error is a
// *kaban.MessageError.
func (c *Client) Open(name string, from From) (*Room, error) {
	return c.open(name, from, wire.TypeJoin)
}

func (c *Client) open(name string, from From, as wire.Type) (*Room, error) {
	room, err := kaban.ParseAnyRoom(name)
	if err != nil {
		return nil, err
	}
	r := &Room{client: c, written: room, last: from.last, as: as, stored: make(map[uint64]bool), change: make(chan struct{})}
	request := wire.Request{Type: as, Room: room}
	if from.resume {
		request.Epoch, request.After, request.HasAfter = from.cursor.Epoch, from.cursor.Seq, true
		r.received, r.given = from.cursor.Seq, from.cursor.Seq
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.born = c.refs
	if other := c.openLocked(room); other != nil && other.as != as { // the server would change the other one
		r.join = c.callLocked(request, r)
		c.answerLocked(r.join, nil, ErrJoined)
	} else {
		r.join = c.askLocked(request, r)
	}
	if r.join.err != nil {
		r.endLocked(r.join.err)
	}
	return r, nil
}

// Joined waits until the room of Open is joined, and returns the error of Join.
func (r *Room) Joined(ctx context.Context) error {
	_, err := r.client.await(ctx, r.join)
	return err
}

// joinedLocked takes the answer to a join, the first one or one after a reconnect.
func (c *Client) joinedLocked(q *call, e *wire.Event) {
	r := q.room
	known := c.rooms[e.Room]
	switch {
	case known == nil && (q.left || r.err != nil):
		c.answerLocked(q, e, nil)
		c.leaveLocked(r, e.Room)
		return
	case known == nil && r.name == "": // the first time
		r.firstJoinLocked(q, e)
	case known != r:
		c.answerLocked(q, nil, ErrJoined)
		r.endLocked(ErrJoined)
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

func (r *Room) firstJoinLocked(q *call, e *wire.Event) {
	r.name = e.Room
	r.client.rooms[e.Room] = r
	switch unread := r.client.unread[e.Room]; {
	case !q.request.HasAfter:
		r.received, r.given = e.Head, e.Head
	case unread: // the server goes on at the head
		r.received = max(e.Head, r.received)
		r.behind = r.given < r.received
	}
	delete(r.client.unread, e.Room)
	if r.last > 0 && e.Head > 0 {
		r.given = e.Head - min(e.Head, r.last)
		r.behind, r.window = true, true
	}
}

// knowsLocked reports whether a room was joined before.
func (c *Client) knowsLocked(r *Room) bool { return c.rooms[r.name] == r }

// rejoinLocked asks to continue in a room. The caller queues the call.
func (c *Client) rejoinLocked(r *Room) *call {
	return c.callLocked(wire.Request{Type: r.as, Room: r.written, Epoch: r.epoch, After: r.received, HasAfter: true}, r)
}

// rejoinAllLocked asks to continue in all rooms on a new connection. Rooms that may
// not be joined again end.
func (c *Client) rejoinAllLocked(may func(*Room) bool) {
	for _, r := range c.rooms {
		if r.joined { // for the first time, on this connection
			continue
		}
		if may(r) {
			c.queue = append(c.queue, c.rejoinLocked(r))
		} else {
			r.endLocked(&RemovedError{Room: r.name, Reason: wire.RemovalGone})
		}
	}
	c.wakeLocked()
}

// rejoinAsMemberLocked asks page by page which rooms the account is in, and continues
// in them. Joining a room from which it was removed meanwhile would make it a member
// again.
func (c *Client) rejoinAsMemberLocked(after string, in map[string]bool) {
	q := c.callLocked(wire.Request{Type: wire.TypeMe, AfterName: after}, nil)
	q.then = func() {
		states := q.event.States
		for i := range states {
			in[states[i].Room] = true
		}
		switch {
		case c.Err() != nil, errors.Is(q.err, ErrOffline): // the next connection asks again
		case q.err == nil && q.event.More && len(states) > 0 && states[len(states)-1].Room > after:
			c.rejoinAsMemberLocked(states[len(states)-1].Room, in)
		default:
			failed := q.err != nil
			c.rejoinAllLocked(func(r *Room) bool { return failed || in[r.name] || r.as == wire.TypeWatch })
		}
	}
	c.queue = append(c.queue, q)
	c.wakeLocked()
}

// leaveLocked leaves a room that was joined after everybody stopped waiting for it,
// unless it is being joined again. An account stays a member, as it may have been
// before.
func (c *Client) leaveLocked(r *Room, room string) {
	if c.welcome.Account != nil && r.as == wire.TypeJoin {
		c.unread[room] = true
		return
	}
	for _, q := range c.calls {
		if q.isJoin() && !q.left && q.request.Room.Key() == r.written.Key() {
			return
		}
	}
	c.queue = append(c.queue, c.unsubscribeLocked(r))
	c.wakeLocked()
}

// unsubscribeLocked asks for the end of a subscription. The caller queues the call.
func (c *Client) unsubscribeLocked(r *Room) *call {
	request := wire.Request{Type: wire.TypePart, Room: r.written}
	if r.as == wire.TypeWatch {
		request.Type = wire.TypeUnwatch
	}
	return c.callLocked(request, r)
}

// Name returns the server's name for the room.
func (r *Room) Name() string {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if r.name == "" {
		return r.written.String()
	}
	return r.name
}

// Leave leaves the room without waiting: it ends the membership, also of an account
// on other devices, or the watching. No more can be posted to it, and the
// client parts as soon as the messages that were posted before are answered.
func (r *Room) Leave() {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	r.leaveLocked()
}

// Part is Leave, and waits until the room is left.
func (r *Room) Part(ctx context.Context) error {
	c := r.client
	c.mu.Lock()
	r.leaveLocked()
	err := c.awaitLocked(ctx, func() bool { return r.err != nil })
	q := r.part
	c.mu.Unlock()
	if err != nil || q == nil {
		return err
	}
	_, err = c.await(ctx, q)
	return err
}

func (r *Room) leaveLocked() {
	if r.err == nil {
		r.client.leaving[r] = true
		r.partLocked()
	}
}

// partLocked parts from a room that is being left, once nothing is posted to it.
func (r *Room) partLocked() {
	c := r.client
	if !c.leaving[r] || r.posted > 0 {
		return
	}
	for _, join := range c.calls {
		if join.isJoin() && join.room == r {
			c.abandonLocked(join)
		}
	}
	if c.link != nil && r.joined { // another connection is in no room yet
		r.part = c.unsubscribeLocked(r)
		c.queue = slices.Insert(c.queue, 0, r.part) // before a join that waits for it
	}
	r.endLocked(ErrParted)
	c.wakeLocked()
}

// isPartingLocked reports whether an earlier Room of the same name is being left.
// A join waits for that.
func (c *Client) isPartingLocked(r *Room) bool {
	for other := range c.leaving {
		if other.born < r.born && other.written.Key() == r.written.Key() {
			return true
		}
	}
	return false
}

// endLocked ends the room and the messages that are waiting for it. Of those that may be
// stored, an account that was removed is told by asking again: the server acknowledges
// what it has, whatever the rights.
func (r *Room) endLocked(err error) {
	if r.err != nil {
		return
	}
	c := r.client
	r.err = err
	delete(c.leaving, r)
	if c.rooms[r.name] == r {
		delete(c.rooms, r.name)
	}
	_, removed := errors.AsType[*RemovedError](err)
	for _, q := range slices.Concat(c.flight, c.queue) {
		if q.room != r || !q.isEntry() || q.answered {
			continue
		}
		if q.doubtful && removed {
			continue
		}
		reason := err
		if q.doubtful { // not err itself, which may say that the entry was refused
			reason = fmt.Errorf("the room was lost before the answer came: %v", err)
		}
		c.answerLocked(q, nil, reason)
	}
	r.changedLocked()
}
