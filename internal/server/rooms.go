package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/wire"
)

// subscription returns the connection's subscription to a room, nil if it is not
// in it.
func (c *client) subscription(room kaban.RoomName) *chat.Subscription {
	for _, s := range c.handler.Subscriptions() {
		if s.Room().Name().Key() == room.Key() {
			return s
		}
	}
	return nil
}

func (c *client) join(r *wire.Request) {
	ref := slices.Clone(r.Ref)
	if s := c.subscription(r.Room); s != nil { // again: the cursor stays where it is
		c.replyJoined(ref, s, chat.Joined{Head: s.Room().Head(), Members: s.Room().Members()})
		return
	}
	if len(c.handler.Subscriptions()) >= maxRooms {
		c.replyError(r.Ref, wire.CodeRateLimited, fmt.Sprintf("a connection can be in %d rooms at a time; part from one first", maxRooms))
		return
	}
	user, room, start := c.user(), r.Room, chat.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	if place, ok := user.Locate(room, start); ok {
		c.enter(ref, place)
		return
	}
	var place chat.Place
	var err error
	c.handler.Ask(func(ctx context.Context) { place, err = user.Find(ctx, room, start) }, func() {
		if err != nil {
			c.replyFailure(ref, err)
			return
		}
		c.enter(ref, place)
	})
}

// enter joins a room that was found.
func (c *client) enter(ref []byte, place chat.Place) {
	if c.session == nil { // it has ended in the meantime
		place.Abandon()
		return
	}
	s, joined, err := c.user().Join(c.handler.Waker(), c.handler, c.framing.format(), place)
	if err != nil {
		c.replyFailure(ref, err)
		return
	}
	c.replyJoined(ref, s, joined)
	c.handler.Subscribe(s)
}

func (c *client) replyJoined(ref []byte, s *chat.Subscription, joined chat.Joined) {
	e := answer(wire.TypeJoined, ref)
	e.Epoch, e.Room, e.Head, e.Members = c.server.chat.Epoch(), s.Room().Name().String(), joined.Head, joined.Members
	c.reply(e)
}

func (c *client) part(r *wire.Request) {
	s := c.subscription(r.Room)
	if s == nil {
		c.replyError(r.Ref, wire.CodeNotJoined, fmt.Sprintf("you are not in %s", r.Room))
		return
	}
	c.Leave(s)
	c.handler.Unsubscribe(s)
	e := answer(wire.TypeParted, r.Ref)
	e.Room = s.Room().Name().String()
	c.reply(e)
}

func (c *client) send(r *wire.Request) {
	send, err := c.user().Draft(c.subscription(r.Room), c.handler.Origin(), r.ID, r.Message)
	if err != nil {
		e := c.failure(r.Ref, err)
		e.Room, e.ID = r.Room.String(), r.ID.String()
		c.reply(&e)
		return
	}
	send.Ref, send.HasRef = string(r.Ref), r.Ref != nil
	c.handler.Send(send)
}

// Receipt implements conn.Front.
func (c *client) Receipt(dst []byte, s *chat.Subscription, r *chat.Receipt) []byte {
	if r.Err != nil {
		e := refusalEvent(s, r)
		return appendFrame(dst, c.framing, &e)
	}
	var ref []byte
	if r.HasRef {
		ref = append(make([]byte, 0, wire.MaxRef), r.Ref...)
	}
	start := len(dst)
	dst = wire.AppendAck(c.framing.begin(dst), ref, s.Room().Name().String(), r.ID, r.Seq, time.UnixMilli(r.Time), r.Duplicate)
	return c.framing.end(dst, start)
}

var _ conn.Front = (*client)(nil)
