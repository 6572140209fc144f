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
// Whatever a server sends, a Client holds a bounded amount: one frame, one ping
// and one pong to be written, 1,000 messages and 1,000 questions without an
// answer, and for each room that it is in 2,048 messages or 1 MiB of them that
// were not read, and one interruption. Its attempts to come back, and what it
// sends again because the server puts it off, are further and further apart, at
// random; only a connection that has lasted ten seconds ends that.
//
// A server that says nothing for 10 s is asked for a sign of life, told of as
// Silent 5 s later and left for another connection 15 s after that; bytes count,
// not frames. See Options.Silence and Options.Patience.
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
	"slices"
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
	// ErrBusy says that as many questions as may be wait for their answers.
	ErrBusy = errors.New("1,000 questions wait for their answers already; wait for some of them")
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

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool { return e.Code.Temporary() }

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
	Silent         // it stands, but the server does not answer; Online or Offline follows
)

// State is told to Options.OnState.
type State struct {
	Status Status
	// Err is why the client is offline: a *Goodbye, an *Error or one of the
	// network. An *Error with username_taken means that the name is held, perhaps
	// by what the server has not yet noticed to be lost; the client tries on.
	Err     error
	RetryIn time.Duration
	// Unacknowledged is how many messages were posted and not yet answered.
	Unacknowledged int
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
	// Silence is how long nothing may come from the server until it is asked for
	// a sign of life. Default: half of its heartbeat, at most 10 s.
	Silence time.Duration
	// Patience is how long the server may take for the welcome. Without a sign of
	// life the client is Silent after half of it, and gives the connection up
	// after twice of it. Default 10 s.
	Patience time.Duration
}

func (o Options) withDefaults(addr string) Options {
	if o.Dial == nil {
		dialer := net.Dialer{KeepAlive: 30 * time.Second}
		o.Dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	return o
}

const (
	// maxFlight bounds the messages that are posted and not yet acknowledged;
	// the server has the same bound.
	maxFlight = 1000
	// maxAsked bounds the questions without an answer.
	maxAsked = 1000
	// dialTries is how often Dial tries, where the server says that no hello came
	// in time.
	dialTries = 3
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

	failures int // connections that were of no use, in a row; the session goroutine's
	// strays are attempts that were given up after hello: the server may still
	// take one of them, and have it replace a later one. The session goroutine's.
	strays int

	mu      sync.Mutex // guards all below
	welcome wire.Event
	link    *link // nil while offline
	offline bool  // the connection broke and no other was made yet
	refs    uint64
	rooms   map[string]*Room // by the server's name for it
	calls   map[string]*call // under way or waiting, by ref
	queue   []*call          // to be written, in order
	flight  []*call          // written on this link, in order; may be answered
	done    int              // of flight, that are answered
	asked   int              // questions that are not answered; sends have slots
	idle    chan struct{}    // closed when no message is under way; nil: nobody waits
	posted  int              // messages that are not answered
}

// call is something that was asked and has an answer.
type call struct {
	request  wire.Request
	room     *Room     // of a join, a send, a part
	link     *link     // that a send was written on, while it is under way
	notUntil time.Time // when the server wants it again
	tries    int       // that the server has put off
	answered bool
	written  bool          // in flight
	counted  bool          // in asked
	left     bool          // nobody waits for it any more
	done     chan struct{} // closed when answered
	event    wire.Event
	err      error
}

// Dial connects to a server at a host and port and says hello. It makes one
// attempt, and further ones only where the server missed the hello; after that
// the client reconnects by itself until Close. The error is
// a *kaban.MessageError, an *Error, a *Goodbye or one of the network.
func Dial(ctx context.Context, addr string, options Options) (*Client, error) {
	username, err := kaban.ParseUsername(options.Username)
	if err != nil {
		return nil, err
	}
	c := &Client{
		options: options.withDefaults(addr), username: username, prefix: strings.ToLower(rand.Text()[:16]) + "-",
		slots: make(chan struct{}, maxFlight), hurry: make(chan struct{}, 1),
		rooms: make(map[string]*Room), calls: make(map[string]*call),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	l, err := c.connect(ctx)
	for try := 1; try < dialTries && isCode(err, wire.CodeHelloRequired); try++ {
		l, err = c.connect(ctx)
	}
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
	err := c.Err()
	if err == nil && request.Type != wire.TypeSend && c.asked >= maxAsked {
		err = ErrBusy
	}
	q := c.callLocked(request, room)
	if err != nil {
		c.answerLocked(q, nil, err)
		return q
	}
	if request.Type != wire.TypeSend {
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
	q := &call{request: request, room: room, done: make(chan struct{})}
	q.request.Ref = strconv.AppendUint(nil, c.refs, 36)
	c.calls[string(q.request.Ref)] = q
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
		c.abandon(q)
		return nil, context.Cause(ctx)
	}
}

// abandon forgets a question whose answer nobody waits for. Messages stay under
// way. A room that is being joined is left as soon as the answer comes.
func (c *Client) abandon(q *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	isIt := func(other *call) bool { return other == q }
	queued := slices.ContainsFunc(c.queue, isIt)
	switch {
	case q.answered, q.request.Type == wire.TypeSend, q.request.Type == wire.TypePart:
		return
	case q.request.Type == wire.TypeJoin && !queued:
		q.left = true
		return
	}
	c.queue = slices.DeleteFunc(c.queue, isIt)
	c.answerLocked(q, nil, ErrOffline)
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
