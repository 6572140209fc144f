// Package client is the Go SDK of Kaban. It speaks kaban/1 with a server,
// reconnects with growing, random delays, and resumes.
//
// Guarantees: the messages of a room arrive in order, each once, without a gap,
// also across reconnects; where the server cannot continue, the caller gets a
// *ResyncError. A message that is under way when the connection breaks is sent
// again with the same id, so that it is stored once. The messages of one room are
// stored in the order in which they were posted, unless the server refuses one of
// them temporarily (its disk is full): then later ones may overtake it.
//
// Whatever a server sends, a Client holds a bounded amount of memory: one frame,
// one ping and one pong to be written, 1,000 messages and 1,000 requests without
// an answer, and for each joined room 2,048 unread entries or 1 MiB of them, and
// one interruption. Attempts to reconnect, and to repeat messages that the server
// puts off, become rarer, at random; only a connection that has lasted ten seconds
// resets that.
//
// A server that sends nothing for 10 s is asked for a sign of life, reported as
// Silent 5 s later, and abandoned for another connection 15 s after that; bytes
// count, not frames. See Options.Silence and Options.Patience.
//
// All methods are safe for concurrent use. A Client has two goroutines, which end
// with Close.
package client

import (
	"context"
	"net"
	"sync"
	"time"

	"kaban"
	"kaban/wire"
)

const (
	// maxFlight bounds the messages, and changes of messages, that are posted and not yet
	// acknowledged; the server has the same bound.
	maxFlight = 1000
	// maxAsked bounds the requests without an answer, other than messages.
	maxAsked = 1000
	// dialTries is how often Dial tries if the server reports that no hello came in
	// time.
	dialTries = 3
)

// Client is one session with a server, over any number of connections.
type Client struct {
	options Options
	ids     ids
	// persistent means that the client was made by New: only Close ends it.
	persistent bool

	ctx    context.Context // its cause is why the client ended
	cancel context.CancelCauseFunc
	group  sync.WaitGroup
	slots  chan struct{} // one for each message, or change of one, under way
	hurry  chan struct{} // the next attempt must not wait

	failures int // useless connections in a row; the session goroutine's
	// strays are attempts that were abandoned after hello: the server may still
	// accept one of them and let it replace a later one. The last was abandoned when
	// strayed says. The session goroutine's.
	strays  int
	strayed time.Time

	renaming chan struct{} // held during a change of name

	mu        sync.Mutex // guards all below
	dial      func(context.Context) (net.Conn, error)
	names     []kaban.Username // to try, in order; the present one once there was a welcome
	username  kaban.Username   // the last one that was accepted
	had       map[string]bool  // all usernames that were accepted, as the server writes them
	greeted   bool             // there was a welcome since the client started or stopped
	stopped   bool             // waiting for Connect or Reconnect
	welcome   wire.Event
	link      *link // nil while offline
	successor *link // takes the place of link: it has the new name
	offline   bool  // the connection broke and there is no other yet
	held      bool  // a change of name is waiting: no new messages are written
	refs      uint64
	rooms     map[string]*Room // by the server's name for it
	leaving   map[*Room]bool   // rooms to part from when their entries are answered
	unread    map[string]bool  // rooms that the connection is in and nobody reads, by the server's name
	calls     map[string]*call // under way or waiting, by ref
	entries   map[string]*call // those of them that become entries, by id
	queue     []*call          // to be written, in order
	flight    []*call          // written on this link, in order; may be answered
	done      int              // answered calls in flight
	asked     int              // unanswered requests other than posts, which have slots
	posted    int              // unanswered messages and changes of messages
	doubtful  int              // unanswered entries that may have reached the server
	landed    chan struct{}    // closed at the next answer to an entry; nil if nobody is waiting
}

func newClient(options Options) *Client {
	c := &Client{
		options: options.withDefaults(), ids: newIDs(),
		slots: make(chan struct{}, maxFlight), hurry: make(chan struct{}, 1), renaming: make(chan struct{}, 1),
		rooms: make(map[string]*Room), calls: make(map[string]*call), entries: make(map[string]*call), had: make(map[string]bool), leaving: make(map[*Room]bool),
		unread: make(map[string]bool),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Dial connects to a server at an address as dial.Parse reads it, and says hello. It
// makes one attempt for each name, and more only if the server missed the hello; after
// that the client reconnects by itself until Close, also if the server's certificate
// is not valid any more. The error is a *kaban.MessageError, an *Error, a *Goodbye,
// ErrInsecure, a *dial.AddressError or one of dial.Dialer.
func Dial(ctx context.Context, addr string, options Options) (*Client, error) {
	c := newClient(options)
	if err := c.aim(addr, options.Username, options.Fallbacks); err != nil {
		return nil, err
	}
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

// New returns a client without a connection, for programs that stay whatever
// happens: its first connection is tried again like any later one, and a final
// refusal does not end it. Instead it is Stopped until Connect or Reconnect, with
// its rooms, cursors and unsent messages. Rooms can be opened and messages posted
// before Connect. While the client is Stopped, other requests fail with ErrOffline.
func New(options Options) *Client {
	c := newClient(options)
	c.persistent, c.stopped, c.offline = true, true, true
	c.group.Go(func() { c.run(nil) })
	return c
}

// Connect starts a client of New: it connects to an address as dial.Parse reads it,
// under the first of the names that is free. Options.OnState reports the progress;
// certificates that are not valid are tried again like a server that is away. Until the
// first welcome, Connect may be called again with another server or other names; after
// that it only reconnects. The error is a *kaban.MessageError, a *dial.AddressError or
// that of dial.Dialer.Check.
func (c *Client) Connect(addr, username string, fallbacks ...string) error {
	if err := c.aim(addr, username, fallbacks); err != nil {
		return err
	}
	c.Reconnect()
	return nil
}

// aim sets the server and the names to try, unless there was a welcome.
func (c *Client) aim(addr, username string, fallbacks []string) error {
	var names []kaban.Username
	c.mu.Lock()
	hasToken := c.options.Token != ""
	c.mu.Unlock()
	for _, name := range append([]string{username}, fallbacks...) {
		if hasToken && name == "" { // the token says it
			names = append(names, kaban.Username{})
			continue
		}
		parsed, err := kaban.ParseUsername(name)
		if err != nil {
			return err
		}
		names = append(names, parsed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.username.IsZero() {
		return nil
	}
	way, err := c.options.dialer(addr)
	if err != nil {
		return err
	}
	c.dial, c.names = way, names
	return nil
}

// Close ends the session at once. Unacknowledged messages may be lost; see Flush.
// It waits for the client's goroutines.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	c.group.Wait()
	return nil
}

// Done is closed when the session is over for good.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns why the session is over, or nil.
func (c *Client) Err() error { return context.Cause(c.ctx) }

// Welcome returns the server's last description of itself and of this session.
func (c *Client) Welcome() wire.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Username returns the name under which the server knows this client.
func (c *Client) Username() string { return c.Welcome().Username }

// ownLocked reports whether this client sent an entry.
func (c *Client) ownLocked(e *Entry) bool {
	id, username := "", ""
	switch {
	case e.Message != nil:
		id, username = e.Message.ID, e.Message.Username
	case e.Change != nil:
		id, username = e.Change.ID, e.Change.Username
	}
	return c.ids.made(id) && c.had[username]
}

// Ping asks the server for a sign of life and returns how long the answer took.
// The error is ErrOffline if there is no connection or it breaks meanwhile.
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

// Reconnect abandons the connection, if there is one, and connects again at once:
// a wait for the next attempt is cut short. Nothing is lost. It returns without
// waiting; Options.OnState reports the outcome.
func (c *Client) Reconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurryLocked()
	if c.link != nil {
		c.link.conn.Close()
	}
}

func (c *Client) hurryLocked() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// Rooms returns a page of up to limit rooms, sorted, after the given name ("" for
// the first page), and whether there are more.
func (c *Client) Rooms(ctx context.Context, after string, limit int) ([]wire.RoomInfo, bool, error) {
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeRooms, AfterName: after, Limit: limit}, nil))
	if err != nil {
		return nil, false, err
	}
	return e.Rooms, e.More, nil
}
