package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"kaban"
	"kaban/wire"
)

// shareBytes bounds the bytes of one write.
const shareBytes = 64 << 10

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

// attach queues the requests for a new connection: joins for all rooms at their
// positions, then the unanswered requests in their order. An account joins again only
// where it is a member still.
func (c *Client) attach(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	close(l.attached)
	if c.successor != nil { // Rename was faster
		l.conn.Close()
	}
	asked := inOrder(append(c.flight, c.queue...))
	c.flight, c.queue, c.done = nil, nil, 0
	clear(c.unread)
	for _, r := range c.rooms {
		r.joined, r.typed = false, time.Time{}
	}
	if c.welcome.Account != nil && len(c.rooms) > 0 {
		c.rejoinAsMemberLocked("", make(map[string]bool))
	} else {
		c.rejoinAllLocked(func(*Room) bool { return true })
	}
	for _, q := range asked {
		q.written = false
		switch {
		case q.answered:
		case q.then != nil: // asked for again
			delete(c.calls, string(q.request.Ref))
		case q.left: // a new connection is in no room yet
			c.answerLocked(q, nil, ErrOffline)
		case q.isJoin() && c.knowsLocked(q.room): // the one above replaces it
			delete(c.calls, string(q.request.Ref))
		default:
			c.queue = append(c.queue, q)
		}
	}
	c.wakeLocked()
}

// inOrder returns requests with their entries in the order in which these were made: one that the server
// has put off is behind those that it has not answered.
func inOrder(asked []*call) []*call {
	var entries []*call
	for _, q := range asked {
		if q.isEntry() {
			entries = append(entries, q)
		}
	}
	slices.SortFunc(entries, func(a, b *call) int { return cmp.Compare(a.number, b.number) })
	for i, q := range asked {
		if q.isEntry() {
			asked[i], entries = entries[0], entries[1:]
		}
	}
	return asked
}

// dropPingsLocked ends the pings under way: on another connection they would
// measure something else.
func (c *Client) dropPingsLocked() {
	for _, q := range c.calls {
		if q.request.Type == wire.TypePing {
			c.answerLocked(q, nil, ErrOffline)
		}
	}
}

// wakeLocked wakes the write loop.
func (c *Client) wakeLocked() {
	if c.link != nil {
		select {
		case c.link.wake <- struct{}{}:
		default:
		}
	}
}

// writeLoop writes the queue, everything that is ready in one call.
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

// writeReady writes until nothing is ready. It returns when to look again for a
// request that the server has put off.
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

// gather buffers the requests that are ready, up to shareBytes.
func (c *Client) gather(l *link) (again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.appendSigns()
	defer l.appendTyping()
	var waiting, failed []*call
	defer func() { // it may change the queue
		for _, q := range failed {
			c.answerLocked(q, nil, wire.ErrFrameTooLong)
		}
	}()
	for i, q := range c.queue {
		if l.writer.Buffered() >= shareBytes {
			waiting = append(waiting, c.queue[i:]...)
			break
		}
		switch pause := time.Until(q.notUntil); {
		case q.answered:
			continue
		case q.isEntry() && !c.mayWriteLocked(l, q):
			waiting = append(waiting, q)
			continue
		case q.isJoin() && c.isPartingLocked(q.room):
			waiting = append(waiting, q)
			continue
		case pause > 0 && q.isJoin(): // only its room waits for it
			waiting = append(waiting, q)
			if again == 0 || pause < again {
				again = pause
			}
			continue
		case pause > 0: // nothing overtakes it
			c.queue = append(waiting, c.queue[i:]...)
			return pause
		case q.isEntry() && c.isOvertakenLocked(q): // until they are answered
			c.queue = append(waiting, c.queue[i:]...)
			return again
		}
		if !c.writeLocked(l, q) {
			failed = append(failed, q)
		}
	}
	c.queue = waiting
	return again
}

// mayWriteLocked reports whether it is an entry's turn: its room is joined again or, for
// one that may be stored, lost for good, and not too much is under way.
func (c *Client) mayWriteLocked(l *link, q *call) bool {
	return (q.room == nil || q.room.joined || q.room.err != nil) && l.sending < l.window && (!c.held || q.doubtful)
}

// writeLocked buffers a request, unless it does not fit a frame. Errors of the
// connection come back from the next flush.
func (c *Client) writeLocked(l *link, q *call) bool {
	if q.content != "" {
		// The content was checked when it was posted; the author may have changed since.
		q.request.Message, _ = kaban.NewMessage(c.username, q.content, kaban.MaxContentCeiling)
	}
	if err := l.writer.Write(&q.request); errors.Is(err, wire.ErrFrameTooLong) {
		return false
	}
	c.flight = append(c.flight, q)
	q.written = true
	if q.isEntry() {
		q.link = l
		l.sending++
		if !q.doubtful {
			q.doubtful = true
			c.doubtful++
		}
	}
	return true
}

// readLoop takes the server's frames until the connection ends.
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

// take acts on an event.
func (c *Client) take(l *link, e *wire.Event) {
	switch e.Type {
	case wire.TypeMessage:
		m := e.Message()
		c.receive(e.Room, Entry{Seq: e.Seq, Time: e.Time, Message: &m})
	case wire.TypeUnknown, wire.TypeMember, wire.TypeTopic, wire.TypeRoom, wire.TypeEdit, wire.TypeDelete, wire.TypeReact, wire.TypePin:
		c.receive(e.Room, Entry{Seq: e.Seq, Time: e.Time, Change: e.Change})
	case wire.TypeState:
		if c.options.OnRoomState != nil {
			c.options.OnRoomState(*e.State)
		}
	case wire.TypeNotifications:
		if c.options.OnNotifications != nil {
			c.options.OnNotifications(notificationsOf(e))
		}
	case wire.TypePresence:
		c.mu.Lock()
		joined := c.rooms[e.Room] != nil
		c.mu.Unlock()
		if joined && c.options.OnPresence != nil {
			c.options.OnPresence(Presence{Room: e.Room, Members: e.Members, Joined: e.Joined, Left: e.Left})
		}
	case wire.TypeTyping:
		c.takeTyping(e)
	case wire.TypePing:
		l.pong(e)
	case wire.TypeGoodbye:
		l.goodbye = goodbyeOf(e)
	case wire.TypeError:
		if e.Ref == typingRef {
			c.refuseTyping(l, e)
			return
		}
		c.answer(e)
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
