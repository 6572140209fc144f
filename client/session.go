package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"kaban/wire"
)

// link is one connection to the server, after its welcome.
type link struct {
	conn    net.Conn
	reader  *wire.Reader
	writer  *wire.Writer
	wake    chan struct{} // there is something to write
	silence time.Duration // how long the server may be silent before it is asked
	goodbye *Goodbye      // the session goroutine's

	// Guarded by Client.mu.
	control []wire.Request
	// sending counts messages that were written and are not answered. window
	// bounds them: it starts small and grows with each answer, so that a
	// connection that breaks soon again is not filled with what is lost.
	sending, window int
}

// firstWindow is how many messages may be under way on a new connection.
const firstWindow = 64

// writeTimeout is how long a write may take until the connection is given up.
const writeTimeout = 30 * time.Second

// shareBytes is how much is gathered for one write.
const shareBytes = 64 << 10

// run keeps the session alive until it cannot be or is closed.
func (c *Client) run(l *link) {
	for {
		err := c.serve(l)
		if c.Err() == nil && isFinal(err) {
			c.cancel(err)
		}
		if l = c.reconnect(err); l == nil {
			c.fail()
			return
		}
	}
}

// isFinal reports whether coming back makes no sense.
func isFinal(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return !isTemporary(refused.Code)
	}
	if bye, ok := errors.AsType[*Goodbye](err); ok {
		switch bye.Reason {
		case wire.ReasonProtocol, wire.ReasonAuth, wire.ReasonReplaced:
			return true
		}
	}
	return false
}

// isTemporary reports whether the same request may succeed later.
func isTemporary(code wire.Code) bool {
	switch code {
	case wire.CodeServerFull, wire.CodeUnavailable, wire.CodeInternal, wire.CodeRateLimited, wire.CodeStorageFull:
		return true
	}
	return false
}

// reconnect tries until there is a connection again; nil when the session is
// over. The delay is random between nothing and a bound that doubles ("full
// jitter"), so that clients do not come back all at once.
func (c *Client) reconnect(err error) *link {
	const first = 250 * time.Millisecond
	for bound := first; c.Err() == nil; bound = min(2*bound, c.options.MaxBackoff) {
		delay := rand.N(min(bound, c.options.MaxBackoff))
		if said := sayWhen(err); said > 0 {
			delay = min(said, c.options.MaxBackoff) // the server has spread its clients
		}
		c.tell(State{Status: Offline, Err: err, RetryIn: delay})
		select {
		case <-time.After(delay):
		case <-c.hurry:
		case <-c.ctx.Done():
			return nil
		}
		var l *link
		if l, err = c.connect(c.ctx); err == nil {
			return l
		}
		if c.Err() == nil && isFinal(err) {
			c.cancel(err)
		}
	}
	return nil
}

// sayWhen returns when the server wants to see the client again.
func sayWhen(err error) time.Duration {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.RetryAfter
	}
	if bye, ok := errors.AsType[*Goodbye](err); ok && bye.HasReconnect {
		return bye.ReconnectAfter
	}
	return 0
}

func (c *Client) tell(s State) {
	if c.options.OnState != nil {
		c.options.OnState(s)
	}
}

// connect makes one attempt to get a welcome.
func (c *Client) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.options.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	welcome, l, err := c.greet(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("the server does not answer: %w", cause)
		}
		return nil, err
	}
	c.mu.Lock()
	c.welcome, c.offline = *welcome, false
	c.mu.Unlock()
	return l, nil
}

// greet says hello and waits for the welcome.
func (c *Client) greet(conn net.Conn) (*wire.Event, *link, error) {
	l := &link{conn: conn, writer: wire.NewWriter(conn), wake: make(chan struct{}, 1), silence: 30 * time.Second, window: firstWindow}
	l.reader = wire.NewReader(conn)
	hello := wire.Request{Type: wire.TypeHello, Username: c.username, Resume: c.Welcome().Session}
	if err := l.writer.Write(&hello); err != nil {
		return nil, nil, err
	}
	if err := l.writer.Flush(); err != nil {
		return nil, nil, fmt.Errorf("say hello: %w", err)
	}
	for {
		var e wire.Event
		if err := l.reader.ReadEvent(&e); err != nil {
			if wire.CodeOf(err) == wire.CodeUnknownType {
				continue
			}
			return nil, nil, fmt.Errorf("wait for the server's welcome: %w", err)
		}
		switch e.Type {
		case wire.TypeWelcome:
			if e.Heartbeat > 0 {
				l.silence = e.Heartbeat
			}
			return &e, l, nil
		case wire.TypeError:
			return nil, nil, errorOf(&e)
		case wire.TypeGoodbye:
			return nil, nil, goodbyeOf(&e)
		}
	}
}

func errorOf(e *wire.Event) *Error {
	return &Error{Code: e.Code, Text: e.Text, Field: e.Field, Max: e.Max, Actual: e.Actual, RetryAfter: e.RetryAfter}
}

func goodbyeOf(e *wire.Event) *Goodbye {
	return &Goodbye{Reason: e.Reason, ReconnectAfter: e.ReconnectAfter, HasReconnect: e.HasReconnect}
}

// serve is the life of one connection. It returns why it ended.
func (c *Client) serve(l *link) error {
	stop := context.AfterFunc(c.ctx, func() { l.conn.Close() })
	defer stop()
	c.attach(l)
	c.tell(State{Status: Online})
	ended := make(chan struct{})
	var writeErr error
	writing := make(chan struct{})
	c.group.Go(func() {
		defer close(writing)
		writeErr = c.writeLoop(l, ended)
	})
	err := c.readLoop(l)
	close(ended)
	l.conn.Close()
	<-writing
	c.mu.Lock()
	c.link, c.offline = nil, true
	c.dropPingsLocked()
	c.mu.Unlock()
	l.reader.Close()
	switch {
	case l.goodbye != nil:
		return l.goodbye
	case writeErr != nil && errors.Is(err, net.ErrClosed):
		return fmt.Errorf("connection lost: %w", writeErr)
	}
	return fmt.Errorf("connection lost: %w", err)
}

// attach puts everything on its way that is to be said on a new connection:
// all rooms are joined again where they were, then comes what was asked and
// not answered, in its order.
func (c *Client) attach(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	asked := append(c.flight, c.queue...)
	c.flight, c.queue = nil, nil
	for _, r := range c.rooms {
		r.joined = false
		c.queue = append(c.queue, c.rejoinLocked(r))
	}
	for _, q := range asked {
		switch {
		case q.answered:
		case q.request.Type == wire.TypeJoin && c.knowsLocked(q.room): // the one above replaces it
			delete(c.calls, string(q.request.Ref))
		default:
			c.queue = append(c.queue, q)
		}
	}
	c.wakeLocked()
}

// dropPingsLocked ends pings that were under way: on another connection they
// would measure something else.
func (c *Client) dropPingsLocked() {
	for _, q := range c.calls {
		if q.request.Type == wire.TypePing {
			c.answerLocked(q, nil, ErrOffline)
		}
	}
}

// knowsLocked reports whether a room was joined before.
func (c *Client) knowsLocked(r *Room) bool { return c.rooms[r.name] == r }

// wakeLocked has the write loop look.
func (c *Client) wakeLocked() {
	if c.link != nil {
		select {
		case c.link.wake <- struct{}{}:
		default:
		}
	}
}

// writeLoop writes what is queued, as much as is ready in one call.
func (c *Client) writeLoop(l *link, ended <-chan struct{}) error {
	for {
		again, err := c.writeReady(l)
		if err != nil {
			l.conn.Close() // ends the read loop
			return err
		}
		var timer <-chan time.Time
		if again > 0 {
			timer = time.After(again)
		}
		select {
		case <-l.wake:
		case <-timer:
		case <-ended:
			return nil
		}
	}
}

// writeReady writes what can be. It returns when to look again for what the
// server refused for now.
func (c *Client) writeReady(l *link) (again time.Duration, err error) {
	for {
		again = c.gather(l)
		if l.writer.Buffered() == 0 {
			return again, nil
		}
		l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := l.writer.Flush(); err != nil {
			return 0, err
		}
	}
}

func (c *Client) gather(l *link) (again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range l.control {
		if err := l.writer.Write(&l.control[i]); err != nil {
			break // an earlier flush failed, which comes back from the next one
		}
	}
	l.control = l.control[:0]
	var waiting []*call
	for i, q := range c.queue {
		if l.writer.Buffered() >= shareBytes {
			waiting = append(waiting, c.queue[i:]...)
			break
		}
		switch pause := time.Until(q.notUntil); {
		case q.answered:
			continue
		case q.request.Type == wire.TypeSend && (!q.room.joined || l.sending >= l.window):
			waiting = append(waiting, q)
			continue
		case pause > 0 && q.request.Type == wire.TypeJoin: // only its room waits for it
			waiting = append(waiting, q)
			if again == 0 || pause < again {
				again = pause
			}
			continue
		case pause > 0: // nothing overtakes it
			c.queue = append(waiting, c.queue[i:]...)
			return pause
		}
		if err := l.writer.Write(&q.request); errors.Is(err, wire.ErrFrameTooLong) {
			c.answerLocked(q, nil, err)
			continue
		}
		c.flight = append(c.flight, q)
		if q.request.Type == wire.TypeSend {
			q.link = l
			l.sending++
		}
	}
	c.queue = waiting
	return again
}

// readLoop takes what the server says until the connection ends.
func (c *Client) readLoop(l *link) error {
	silent := 0
	for {
		l.conn.SetReadDeadline(time.Now().Add(l.silence))
		var e wire.Event
		err := l.reader.ReadEvent(&e)
		switch {
		case err == nil:
			silent = 0
			c.take(l, &e)
			if l.goodbye != nil {
				return l.goodbye
			}
		case wire.CodeOf(err) == wire.CodeUnknownType: // of a newer server
		case errors.Is(err, os.ErrDeadlineExceeded):
			if silent++; silent > 2 {
				return errors.New("the server is silent")
			}
			c.control(l, wire.Request{Type: wire.TypePing})
		default:
			return err
		}
	}
}

func (c *Client) control(l *link, request wire.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.control = append(l.control, request)
	c.wakeLocked()
}

// take does what an event says.
func (c *Client) take(l *link, e *wire.Event) {
	switch e.Type {
	case wire.TypeMessage:
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.rooms[e.Room]; r != nil {
			r.receiveLocked(wire.Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: e.Time})
		}
	case wire.TypePresence:
		if c.options.OnPresence != nil {
			c.options.OnPresence(Presence{Room: e.Room, Members: e.Members, Joined: e.Joined, Left: e.Left})
		}
	case wire.TypePing:
		c.control(l, wire.Request{Type: wire.TypePong, Ref: refOf(e)})
	case wire.TypeGoodbye:
		l.goodbye = goodbyeOf(e)
	default:
		c.answer(e)
	}
}

func refOf(e *wire.Event) []byte {
	if e.HasRef {
		return []byte(e.Ref)
	}
	return nil
}

// answer takes an answer to a call, or an error that answers none.
func (c *Client) answer(e *wire.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.calls[e.Ref]
	if !e.HasRef {
		q = nil
	}
	if q == nil {
		if r := c.rooms[e.Room]; r != nil && e.Code == wire.CodeResync {
			r.resyncLocked(e)
		}
		return
	}
	if e.Type == wire.TypeError {
		c.refusedLocked(q, e)
		return
	}
	switch q.request.Type {
	case wire.TypeJoin:
		c.joinedLocked(q, e)
		return
	case wire.TypeSend:
		q.room.acknowledgedLocked(e.Seq)
	}
	c.answerLocked(q, e, nil)
}

// refusedLocked takes a no: some are final, some mean later or elsewhere.
func (c *Client) refusedLocked(q *call, e *wire.Event) {
	switch {
	case q.request.Type == wire.TypeSend && e.Code == wire.CodeUnavailable:
		// Stays in flight: it is sent again on the next connection.
	case q.request.Type == wire.TypeSend && (e.Code == wire.CodeStorageFull || e.Code == wire.CodeRateLimited):
		c.postponeLocked(q, max(e.RetryAfter, 100*time.Millisecond))
	case q.request.Type == wire.TypeJoin && e.Code == wire.CodeResync && c.knowsLocked(q.room):
		q.room.resyncLocked(e)
		c.answerLocked(q, e, nil)
		c.queue = append([]*call{c.rejoinLocked(q.room)}, c.queue...)
		c.wakeLocked()
	case q.request.Type == wire.TypeJoin && e.Code == wire.CodeResync:
		c.answerLocked(q, nil, resyncOf(e))
	case q.request.Type == wire.TypeJoin && c.knowsLocked(q.room) && isTemporary(e.Code):
		c.postponeLocked(q, max(e.RetryAfter, 100*time.Millisecond))
	case q.request.Type == wire.TypeJoin && c.knowsLocked(q.room):
		q.room.endLocked(errorOf(e)) // cannot come back to it
		c.answerLocked(q, nil, errorOf(e))
	default:
		c.answerLocked(q, nil, errorOf(e))
	}
}

func resyncOf(e *wire.Event) *ResyncError {
	return &ResyncError{Room: e.Room, Epoch: e.Epoch, Head: e.Head, Oldest: e.Oldest}
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
	if q.request.Type == wire.TypeSend {
		c.posted--
		<-c.slots
		c.landedLocked(q)
		if c.posted == 0 && c.idle != nil {
			close(c.idle)
			c.idle = nil
		}
	}
	close(q.done)
	// Answers come nearly in order: drop what is done at the front.
	done := 0
	for done < len(c.flight) && c.flight[done].answered {
		c.flight[done] = nil
		done++
	}
	c.flight = c.flight[done:]
}

// landedLocked makes room for further messages on the connection.
func (c *Client) landedLocked(q *call) {
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

// storedLocked takes an own message that came by on a later connection than it
// was sent on: it is stored, and need not be sent again.
func (c *Client) storedLocked(m *wire.Message) {
	q := c.calls[strings.TrimPrefix(m.ID, c.prefix)]
	if q != nil && q.request.Type == wire.TypeSend && q.request.ID.String() == m.ID {
		c.answerLocked(q, &wire.Event{Type: wire.TypeAck, ID: m.ID, Seq: m.Seq, Time: m.Time, Duplicate: true}, nil)
	}
}

// postponeLocked sends again later what the server cannot take now, before
// anything that was not written yet.
func (c *Client) postponeLocked(q *call, delay time.Duration) {
	c.landedLocked(q)
	q.notUntil = time.Now().Add(delay)
	c.flight = slices.DeleteFunc(c.flight, func(other *call) bool { return other == q })
	at := 0
	for at < len(c.queue) && !c.queue[at].notUntil.IsZero() {
		at++
	}
	c.queue = slices.Insert(c.queue, at, q)
	c.wakeLocked()
}

// fail ends everything that waits, when the session is over for good.
func (c *Client) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.calls {
		c.answerLocked(q, nil, c.Err())
	}
	c.queue, c.flight = nil, nil
	for _, r := range c.rooms {
		r.endLocked(c.Err())
	}
}
