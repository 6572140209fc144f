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

const (
	// firstBackoff is the bound of the first delay between attempts.
	firstBackoff = 250 * time.Millisecond
	// useful is how long a connection has to last to end the backoff.
	useful = 10 * time.Second
	// longestSilence bounds the silence until a server is asked, by default.
	longestSilence = 10 * time.Second
	// firstWindow is how many messages may be under way on a new connection.
	firstWindow = 64
	// shareBytes is how much is gathered for one write.
	shareBytes = 64 << 10
	// maxAnswered is how many calls may be kept that are answered, behind one that
	// is not, before they are dropped.
	maxAnswered = 64
	// firstPostpone is how long the first wait for what the server puts off may
	// take; the wait doubles up to longestPostpone.
	firstPostpone, longestPostpone = 100 * time.Millisecond, 5 * time.Second
)

// run keeps the session alive until it cannot be or is closed.
func (c *Client) run(l *link) {
	for {
		began := time.Now()
		err := c.serve(l)
		if time.Since(began) >= useful {
			c.failures, c.strays = 0, 0
		}
		if c.Err() == nil && c.isFinal(err) {
			c.cancel(err)
		}
		if l = c.reconnect(err); l == nil {
			c.fail()
			return
		}
	}
}

// isFinal reports whether coming back makes no sense. A name that is taken once
// this client has had it may well be held by what is left of this client, and by
// somebody else for a while at most.
func (c *Client) isFinal(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return !refused.Temporary() && refused.Code != wire.CodeUsernameTaken
	}
	if bye, ok := errors.AsType[*Goodbye](err); ok {
		switch bye.Reason {
		case wire.ReasonReplaced:
			// Each stray can replace us once; whoever else does may have the session.
			c.strays--
			return c.strays < 0
		case wire.ReasonProtocol, wire.ReasonAuth:
			return true
		}
	}
	return false
}

func isCode(err error, code wire.Code) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Code == code
}

// reconnect tries until there is a connection again; nil when the session is
// over.
func (c *Client) reconnect(err error) *link {
	for c.Err() == nil {
		c.failures++
		delay := c.pause(err)
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
		if c.Err() == nil && c.isFinal(err) {
			c.cancel(err)
		}
	}
	return nil
}

// pause returns how long to wait before the next attempt: at random between
// nothing and a bound that doubles ("full jitter"), so that clients do not come
// back all at once, and what the server says if that is longer or its first word.
func (c *Client) pause(err error) time.Duration {
	delay := rand.N(backoff(firstBackoff, c.failures, c.options.MaxBackoff))
	if said := min(sayWhen(err), c.options.MaxBackoff); said > delay || said > 0 && c.failures == 1 {
		return said // the server has spread its clients
	}
	return delay
}

// backoff doubles first with each failure after the first one, up to a bound.
func backoff(first time.Duration, failures int, bound time.Duration) time.Duration {
	for range failures - 1 {
		if first >= bound {
			break
		}
		first *= 2
	}
	return min(first, bound)
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
		s.Unacknowledged = c.Unacknowledged()
		c.options.OnState(s)
	}
}

// connect makes one attempt to get a welcome.
func (c *Client) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Patience)
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
		if !isAnswer(err) {
			c.strays++
		}
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

// isAnswer reports whether the server has said no itself.
func isAnswer(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*Goodbye](err)
	return ok
}

// greet says hello and waits for the welcome.
func (c *Client) greet(conn net.Conn) (*wire.Event, *link, error) {
	l := newLink(c, conn)
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
			l.welcomed(e.Heartbeat)
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
	c.flight, c.queue, c.done = nil, nil, 0
	for _, r := range c.rooms {
		r.joined = false
		c.queue = append(c.queue, c.rejoinLocked(r))
	}
	for _, q := range asked {
		q.written = false
		switch {
		case q.answered:
		case q.left: // a new connection is in no room yet
			c.answerLocked(q, nil, ErrOffline)
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
		if err := l.writer.Flush(); err != nil {
			return 0, err
		}
	}
}

func (c *Client) gather(l *link) (again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.appendSigns()
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
		q.written = true
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
	for {
		var e wire.Event
		err := l.reader.ReadEvent(&e)
		switch {
		case err == nil:
			c.take(l, &e)
			if l.goodbye != nil {
				return l.goodbye
			}
		case wire.CodeOf(err) == wire.CodeUnknownType: // of a newer server
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := l.doubt(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// take does what an event says.
func (c *Client) take(l *link, e *wire.Event) {
	switch e.Type {
	case wire.TypeMessage:
		c.receive(e.Room, Entry{e.Seq, &wire.Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: e.Time}})
	case wire.TypeUnknown:
		c.receive(e.Room, Entry{Seq: e.Seq})
	case wire.TypePresence:
		c.mu.Lock()
		joined := c.rooms[e.Room] != nil
		c.mu.Unlock()
		if joined && c.options.OnPresence != nil {
			c.options.OnPresence(Presence{Room: e.Room, Members: e.Members, Joined: e.Joined, Left: e.Left})
		}
	case wire.TypePing:
		l.pong(e)
	case wire.TypeGoodbye:
		l.goodbye = goodbyeOf(e)
	default:
		c.answer(e)
	}
}

func (c *Client) receive(room string, e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rooms[room]; r != nil {
		r.receiveLocked(e)
	}
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
	if e.Type != answerTo(q.request.Type) {
		return // to none of ours
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

// answerTo returns what answers a request.
func answerTo(t wire.Type) wire.Type {
	switch t {
	case wire.TypeJoin:
		return wire.TypeJoined
	case wire.TypeSend:
		return wire.TypeAck
	case wire.TypePart:
		return wire.TypeParted
	case wire.TypePing:
		return wire.TypePong
	}
	return t
}

// refusedLocked takes a no: some are final, some mean later or elsewhere.
func (c *Client) refusedLocked(q *call, e *wire.Event) {
	switch {
	case q.request.Type == wire.TypeSend && e.Code == wire.CodeUnavailable:
		// Stays in flight: it is sent again on the next connection.
	case q.request.Type == wire.TypeSend && (e.Code == wire.CodeStorageFull || e.Code == wire.CodeRateLimited):
		c.postponeLocked(q, e.RetryAfter)
	case q.request.Type == wire.TypeJoin && e.Code == wire.CodeResync && c.knowsLocked(q.room):
		q.room.resyncLocked(e)
		c.answerLocked(q, e, nil)
		again := c.rejoinLocked(q.room)
		again.tries = q.tries
		c.postponeLocked(again, 0)
	case q.request.Type == wire.TypeJoin && e.Code == wire.CodeResync:
		c.answerLocked(q, nil, resyncOf(e))
	case q.request.Type == wire.TypeJoin && c.knowsLocked(q.room) && errorOf(e).Temporary():
		c.postponeLocked(q, e.RetryAfter)
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
	if q.counted {
		c.asked--
	}
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
	if q.written {
		c.done++
		c.dropAnsweredLocked()
	}
}

// dropAnsweredLocked keeps flight short: the front of it where answers come in
// order, and all of it now and then, since one call that is never answered must
// not keep those behind it.
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
// anything that was not written yet. said is when the server wants it.
func (c *Client) postponeLocked(q *call, said time.Duration) {
	c.landedLocked(q)
	q.tries++
	bound := backoff(firstPostpone, q.tries, longestPostpone)
	q.notUntil = time.Now().Add(max(min(said, c.options.MaxBackoff), bound/2+rand.N(bound/2)))
	if q.written {
		q.written = false
		c.flight = slices.DeleteFunc(c.flight, func(other *call) bool { return other == q })
	}
	at := 0
	if q.request.Type == wire.TypeSend { // a room's messages wait for its join
		for at < len(c.queue) && (c.queue[at].request.Type == wire.TypeJoin || !c.queue[at].notUntil.IsZero()) {
			at++
		}
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
