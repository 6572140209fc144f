package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/wire"
)

// subscription returns the connection's subscription to a room, nil if it is not
// in it.
func (c *client) subscription(room kaban.RoomName) *dispatch.Subscription {
	for _, s := range c.handler.Subscriptions() {
		if s.Room().Name().Key() == room.Key() {
			return s
		}
	}
	return nil
}

func (c *client) join(r *wire.Request) {
	d := c.server.dispatcher
	ref := slices.Clone(r.Ref)
	if s := c.subscription(r.Room); s != nil { // again: the cursor stays where it is
		c.replyJoined(ref, s, dispatch.Joined{Head: s.Room().Head(), Members: s.Room().Members()})
		return
	}
	if len(c.handler.Subscriptions()) >= maxRooms {
		c.replyError(r.Ref, wire.CodeRateLimited, fmt.Sprintf("a connection can be in %d rooms at a time; part from one first", maxRooms))
		return
	}
	room, start := r.Room, dispatch.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	if place, ok := d.Known(room, start); ok {
		c.enter(ref, place)
		return
	}
	giveBack := func() {}
	if _, err := d.Room(room); errors.Is(err, dispatch.ErrNotFound) {
		limits, name, remote := c.server.newRooms, c.session.Identity.Name().Key(), c.handler.RemoteAddr()
		if wait := limits.take(name, remote); wait > 0 {
			c.refuseNewRoom(r, wait)
			return
		}
		giveBack = func() { limits.give(name, remote) }
	}
	var place dispatch.Place
	var err error
	c.handler.Ask(func(ctx context.Context) { place, err = d.Find(ctx, room, start) }, func() {
		if err != nil {
			giveBack() // no room was made
			c.replyFailure(ref, err)
		} else if !c.enter(ref, place) {
			giveBack()
		}
	})
}

// refuseNewRoom answers a join of a room that may not be made now.
func (c *client) refuseNewRoom(r *wire.Request, wait time.Duration) {
	wait = max(wait.Round(time.Second), time.Second)
	e := errorEvent(wire.CodeRateLimited, fmt.Sprintf("there is no room %s, and too many were made of late to make it now; join one that exists, or try again in %s", r.Room, wait))
	e.Ref, e.HasRef, e.Room, e.RetryAfter = string(r.Ref), r.Ref != nil, r.Room.String(), wait
	c.reply(&e)
}

// enter joins a room that was found. It reports whether the connection is in it.
func (c *client) enter(ref []byte, place dispatch.Place) bool {
	if c.session == nil { // it has ended in the meantime
		return false
	}
	s, joined, err := c.server.dispatcher.Join(c.handler.Waker(), c.handler, c.framing.format(), c.session.Identity.Name(), place)
	if err != nil {
		c.replyFailure(ref, err)
		return false
	}
	c.replyJoined(ref, s, joined)
	c.handler.Subscribe(s)
	return true
}

func (c *client) replyJoined(ref []byte, s *dispatch.Subscription, joined dispatch.Joined) {
	e := answer(wire.TypeJoined, ref)
	e.Epoch, e.Room, e.Head, e.Members = c.server.dispatcher.Epoch(), s.Room().Name().String(), joined.Head, joined.Members
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
	s := c.subscription(r.Room)
	if s == nil {
		e := errorEvent(wire.CodeNotJoined, fmt.Sprintf("join %s before sending to it", r.Room))
		e.Ref, e.HasRef, e.Room, e.ID = string(r.Ref), r.Ref != nil, r.Room.String(), r.ID.String()
		c.reply(&e)
		return
	}
	c.handler.Send(dispatch.Send{
		Draft: kaban.Draft{
			Origin: c.handler.Origin(), Author: c.session.Identity, Room: r.Room, ID: r.ID,
			Kind: kaban.KindMessage, Body: r.Message.Content(),
		},
		Ref: string(r.Ref), HasRef: r.Ref != nil,
		Subscription: s,
	})
}

// Receipt implements conn.Front.
func (c *client) Receipt(dst []byte, s *dispatch.Subscription, r *dispatch.Receipt) []byte {
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
