// Package client is the Go SDK of Kaban: it speaks kaban/1 with a server,
// reconnects with a growing, random delay and goes on where it was.
//
// What it guarantees: a room's messages come in order, each once, without a
// gap, also across reconnects; where the server cannot continue, the caller is
// told with a *ResyncError. A message that is under way when the connection
// breaks is sent again under the same id, so that it is stored once. Messages
// of one room are stored in the order in which they were posted, unless the
// server refuses one of them for now (its disk is full): then the others may
// pass it.
//
// All methods are safe for concurrent use. A Client has two goroutines, which
// end with Close.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"kaban"
	"kaban/wire"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("client is closed")
	// ErrParted says that the room was left.
	ErrParted = errors.New("room was left")
	// ErrJoined says that the client is in the room already.
	ErrJoined = errors.New("room was joined already")
	// ErrOffline says that there is no connection, or that it broke before the
	// answer came.
	ErrOffline = errors.New("there is no connection to the server")
)

// Error is an answer of the server that says no.
type Error struct {
	Code wire.Code
	// Text is the server's sentence for people.
	Text  string
	Field string
	// Max and Actual are the limit that was exceeded and by what, 0 where none
	// was.
	Max, Actual int
	// RetryAfter is when trying again makes sense, 0 where it is not said.
	RetryAfter time.Duration
}

// Error returns the server's sentence and the code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Text, e.Code) }

// Goodbye is what the server said before it ended the connection.
type Goodbye struct {
	Reason wire.Reason
	// ReconnectAfter is when to come back; HasReconnect says whether to.
	ReconnectAfter time.Duration
	HasReconnect   bool
}

// Error says what the reason means.
func (g *Goodbye) Error() string {
	switch g.Reason {
	case wire.ReasonDraining:
		return "the server is going down (draining)"
	case wire.ReasonSlowConsumer:
		return "the server gave up because nothing was read from it (slow_consumer)"
	case wire.ReasonIdle:
		return "the server heard nothing for too long (idle)"
	case wire.ReasonProtocol:
		return "the server could not make sense of what it got (protocol)"
	case wire.ReasonAuth:
		return "the server did not accept the name (auth)"
	case wire.ReasonReplaced:
		return "another connection took the name over (replaced)"
	case wire.ReasonInternal:
		return "the server could not go on with this connection (internal)"
	}
	return fmt.Sprintf("the server said goodbye (%s)", string(g.Reason))
}

// ResyncError says that the server cannot continue a room's log from where the
// client was: its data was replaced, or it has forgotten what comes next. The
// room goes on at Head. What is kept, from Oldest on, can be had with History.
type ResyncError struct {
	Room         string
	Epoch        string
	Head, Oldest uint64
}

func (e *ResyncError) Error() string {
	if e.Oldest > e.Head {
		return fmt.Sprintf("the history of %s was interrupted: the server has nothing of it any more; going on with what comes", e.Room)
	}
	return fmt.Sprintf("the history of %s was interrupted: the server has messages %d to %d; going on from there", e.Room, e.Oldest, e.Head)
}

// Status is what a client is doing about its connection.
type Status uint8

// The statuses.
const (
	Online  Status = iota + 1
	Offline        // broken; trying again after State.RetryIn
)

// State is told to Options.OnState.
type State struct {
	Status Status
	// Err is why the client is offline: a *Goodbye, an *Error or one of the
	// network.
	Err     error
	RetryIn time.Duration
}

// Presence is told to Options.OnPresence. There is no guarantee that it comes.
type Presence struct {
	Room         string
	Members      int
	Joined, Left []string // empty in large rooms
}

// Options are what a client can be told.
type Options struct {
	Username string
	// OnState and OnPresence are called in order by the client's own goroutine:
	// they must not block nor call methods that wait for the server.
	OnState    func(State)
	OnPresence func(Presence)
	// Dial replaces the way to the server. Default: TCP to the address.
	Dial func(ctx context.Context) (net.Conn, error)
	// MaxBackoff bounds the delay between attempts. Default 30 s.
	MaxBackoff time.Duration
}

const (
	// maxFlight bounds the messages that are posted and not yet acknowledged;
	// the server has the same bound.
	maxFlight = 1000
	// connectTimeout bounds one attempt, welcome included.
	connectTimeout = 10 * time.Second
)

// Client is one session with a server.
type Client struct {
	options  Options
	username kaban.Username
	prefix   string // of the ids of this client's messages

	ctx    context.Context // its cause is why the client ended
	cancel context.CancelCauseFunc
	group  sync.WaitGroup
	slots  chan struct{} // one for each message under way
	hurry  chan struct{} // Reconnect was called

	mu      sync.Mutex // guards all below
	welcome wire.Event
	link    *link // nil while offline
	offline bool  // the connection broke and no other was made yet
	refs    uint64
	rooms   map[string]*Room // by the server's name for it
	calls   map[string]*call // under way or waiting, by ref
	queue   []*call          // to be written, in order
	flight  []*call          // written on this link, in order; may be answered
	idle    chan struct{}    // closed when no message is under way; nil: nobody waits
	posted  int              // messages that are not answered
}

// call is something that was asked and has an answer.
type call struct {
	request  wire.Request
	room     *Room     // of a join, a send, a part
	link     *link     // that a send was written on, while it is under way
	notUntil time.Time // when the server wants it again
	answered bool
	done     chan struct{} // closed when answered
	event    wire.Event
	err      error
}

// Dial connects to a server at a host and port and says hello. It makes one
// attempt; after that the client reconnects by itself until Close. The error is
// a *kaban.MessageError, an *Error, a *Goodbye or one of the network.
func Dial(ctx context.Context, addr string, options Options) (*Client, error) {
	username, err := kaban.ParseUsername(options.Username)
	if err != nil {
		return nil, err
	}
	if options.Dial == nil {
		dialer := net.Dialer{KeepAlive: 30 * time.Second}
		options.Dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	if options.MaxBackoff <= 0 {
		options.MaxBackoff = 30 * time.Second
	}
	c := &Client{
		options: options, username: username, prefix: strings.ToLower(rand.Text()[:16]) + "-",
		slots: make(chan struct{}, maxFlight), hurry: make(chan struct{}, 1),
		rooms: make(map[string]*Room), calls: make(map[string]*call),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	l, err := c.connect(ctx)
	if err != nil {
		c.cancel(err)
		return nil, err
	}
	c.group.Go(func() { c.run(l) })
	return c, nil
}

// Close ends the session at once. What is not acknowledged may be lost; see
// Flush. It waits for the client's goroutines.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	c.group.Wait()
	return nil
}

// Done is closed when the session is over for good.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why the session is over; nil while it is not.
func (c *Client) Err() error { return context.Cause(c.ctx) }

// Welcome returns what the server last said of itself and of this session.
func (c *Client) Welcome() wire.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Username returns the name under which the server knows this client.
func (c *Client) Username() string { return c.Welcome().Username }

// own reports whether a message was sent by this client.
func (c *Client) own(id string) bool { return strings.HasPrefix(id, c.prefix) }

// ask puts a request on its way.
func (c *Client) ask(request wire.Request, room *Room) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.askLocked(request, room)
}

func (c *Client) askLocked(request wire.Request, room *Room) *call {
	q := &call{request: request, room: room, done: make(chan struct{})}
	c.refs++
	q.request.Ref = strconv.AppendUint(nil, c.refs, 36)
	if err := c.Err(); err != nil {
		q.err = err
		close(q.done)
		return q
	}
	c.calls[string(q.request.Ref)] = q
	c.queue = append(c.queue, q)
	c.wakeLocked()
	return q
}

// wait returns the answer. When ctx ends first nobody waits for it any more.
func (c *Client) wait(ctx context.Context, q *call) (*wire.Event, error) {
	select {
	case <-q.done:
		return &q.event, q.err
	case <-c.ctx.Done():
		select {
		case <-q.done:
			return &q.event, q.err
		default:
			return nil, c.Err()
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Rooms returns a page of up to limit rooms, sorted, that follow the name after
// ("" is the first page), and whether there are more.
func (c *Client) Rooms(ctx context.Context, after string, limit int) ([]wire.RoomInfo, bool, error) {
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeRooms, AfterName: after, Limit: limit}, nil))
	if err != nil {
		return nil, false, err
	}
	return e.Rooms, e.More, nil
}

// Members returns a page of up to limit usernames of a room, sorted, that
// follow the name after ("" is the first page), and whether there are more.
func (c *Client) Members(ctx context.Context, room, after string, limit int) ([]string, bool, error) {
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		return nil, false, err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeMembers, Room: name, AfterName: after, Limit: limit}, nil))
	if err != nil {
		return nil, false, err
	}
	return e.Usernames, e.More, nil
}

// Page asks for a part of a room's history: the oldest messages After a seq,
// or the newest Before one; with neither the newest.
type Page struct {
	After, Before       uint64
	HasAfter, HasBefore bool
	Limit               int // up to wire.MaxLimit; 0 leaves it to the server
}

// History returns a page of a room's messages, oldest first, and whether there
// are more in the direction of reading. The room need not be joined.
func (c *Client) History(ctx context.Context, room string, p Page) ([]wire.Message, bool, error) {
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		return nil, false, err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{
		Type: wire.TypeHistory, Room: name, Limit: p.Limit,
		After: p.After, HasAfter: p.HasAfter, Before: p.Before, HasBefore: p.HasBefore,
	}, nil))
	if err != nil {
		return nil, false, err
	}
	return e.Messages, e.More, nil
}

// Ping asks the server for a sign of life and returns how long that took. The
// error is ErrOffline when there is no connection or it breaks meanwhile.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	c.mu.Lock()
	if c.offline && c.Err() == nil {
		c.mu.Unlock()
		return 0, ErrOffline
	}
	begin := time.Now()
	q := c.askLocked(wire.Request{Type: wire.TypePing}, nil)
	c.mu.Unlock()
	if _, err := c.wait(ctx, q); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// Reconnect gives the connection up, if there is one, and comes back at once: a
// wait for the next attempt is cut short. Nothing is lost by it. It returns
// without waiting; Options.OnState tells what follows.
func (c *Client) Reconnect() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.conn.Close()
	}
}

// Flush waits until every message that was posted is acknowledged or refused.
func (c *Client) Flush(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.posted == 0 {
			c.mu.Unlock()
			return nil
		}
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		select {
		case <-idle:
		case <-c.ctx.Done():
			return c.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Unacknowledged returns how many messages were posted and not yet answered.
func (c *Client) Unacknowledged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.posted
}
