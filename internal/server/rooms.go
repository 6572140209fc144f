package server

import (
	"context"
	"errors"
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
	if s := c.subscription(r.Room); s != nil && !s.Watches() { // again: the cursor stays where it is
		c.replyEntered(wire.TypeJoined, ref, s, chat.Joined{Head: s.Room().Head(), Members: s.Room().Members()})
		return
	}
	if len(c.handler.Subscriptions()) >= maxRooms {
		c.refuseRoom(r)
		return
	}
	user, room, start := c.user(), r.Room, chat.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	enter := func(p chat.Place) (*chat.Subscription, chat.Joined, error) {
		watched := c.subscription(room)
		p.Memory = c.handler.Memory()
		s, joined, err := c.user().Join(c.handler.Waker(), &c.handler, c.framing.format(), p)
		if err == nil && watched != nil { // from now on as a member
			c.Leave(watched)
			c.handler.Unsubscribe(watched)
		}
		return s, joined, err
	}
	if place, ok := user.Locate(room, start); ok {
		if s, joined, err := enter(place); !errors.Is(err, chat.ErrStale) {
			if err != nil {
				c.replyFailure(ref, err)
				return
			}
			c.replyEntered(wire.TypeJoined, ref, s, joined)
			c.handler.Subscribe(s)
			return
		}
	}
	c.findAndEnter(ref, func(ctx context.Context) (chat.Place, error) { return user.Find(ctx, room, start) }, enter, wire.TypeJoined)
}

// refuseRoom refuses a room beyond maxRooms.
func (c *client) refuseRoom(r *wire.Request) {
	e := errorEvent(wire.CodeRateLimited, fmt.Sprintf("a connection can be in %d rooms at a time; part from one first", maxRooms))
	e.Ref, e.HasRef, e.Room = string(r.Ref), r.Ref != nil, r.Room.String()
	c.reply(&e)
}

func (c *client) replyEntered(as wire.Type, ref []byte, s *chat.Subscription, joined chat.Joined) {
	e := answer(as, ref)
	e.Epoch, e.Room, e.Head, e.Members = c.server.chat.Epoch(), s.Room().Name().String(), joined.Head, joined.Members
	c.reader.ShareRoom(s.Room().SharedName())
	c.reply(e)
}

func (c *client) part(r *wire.Request) {
	if c.session.Credential != nil {
		c.partAccount(r)
		return
	}
	s := c.subscription(r.Room)
	if s == nil || s.Watches() {
		c.replyError(r.Ref, wire.CodeNotJoined, fmt.Sprintf("you are not in %s", r.Room))
		return
	}
	c.Leave(s)
	c.handler.Unsubscribe(s)
	e := answer(wire.TypeParted, r.Ref)
	e.Room = s.Room().Name().String()
	c.reply(e)
}

// membership returns the connection's subscription to a room as a member, nil if there is
// none.
func (c *client) membership(room kaban.RoomName) *chat.Subscription {
	if s := c.subscription(room); s != nil && !s.Watches() { // a watcher has no receipts
		return s
	}
	return nil
}

func (c *client) send(r *wire.Request) {
	if len(r.Files) > 0 {
		c.sendFiles(r)
		return
	}
	s := c.membership(r.Room)
	if s == nil && c.session.Credential != nil { // an account that was removed may repeat what is stored
		user, room, id, message, replyTo := c.user(), r.Room, r.ID, r.Message, r.ReplyTo
		c.commit(r, func(ctx context.Context) (chat.Receipt, error) { return user.Recall(ctx, room, id, message, replyTo) })
		return
	}
	send, err := c.user().Draft(s, c.handler.Origin(), r.ID, r.Message, r.ReplyTo)
	c.submit(r, send, err)
}

// sendFiles has a worker read what there is to say of the files. The next requests wait for it, so
// the messages of a connection keep their order.
func (c *client) sendFiles(r *wire.Request) {
	again := *r
	again.Ref = slices.Clone(r.Ref)
	r = &again
	user, content := c.user(), r.Message.Content()
	if c.membership(r.Room) == nil && c.session.Credential != nil {
		c.commit(r, func(ctx context.Context) (chat.Receipt, error) {
			return user.RecallFiles(ctx, r.Room, r.ID, content, r.ReplyTo, r.Files)
		})
		return
	}
	var claim *chat.Claim
	var err error
	c.handler.Ask(func(ctx context.Context) { claim, err = user.Claim(ctx, r.Files) }, func() {
		if c.session == nil { // it has ended in the meantime
			return
		}
		var send chat.Send
		s := c.membership(r.Room)
		switch {
		case err == nil:
			send, err = c.user().DraftFiles(s, c.handler.Origin(), r.ID, content, r.ReplyTo, claim)
		case s != nil && chat.Fails(err): // what comes behind it fails, too
			send, err = c.user().DraftFailed(s, r.ID, err), nil
		}
		c.submit(r, send, err)
	})
}

// kinds are what the requests that change a message become.
var kinds = map[wire.Type]kaban.Kind{
	wire.TypeEdit: kaban.KindEdit, wire.TypeDelete: kaban.KindDelete, wire.TypeReact: kaban.KindReact, wire.TypePin: kaban.KindPin,
}

// change carries out a request that changes a message.
func (c *client) change(r *wire.Request) {
	change := chat.Change{
		Kind: kinds[r.Type], Target: r.Target, Content: r.Message.Content(), Base: r.Base, Reason: r.Reason, Emoji: r.Emoji, On: r.On,
	}
	send, err := c.user().DraftChange(c.membership(r.Room), c.handler.Origin(), r.Room, r.ID, change)
	c.submit(r, send, err)
}

// submit sends what a request has become, or says why it has become nothing. Without a
// subscription it is committed by a worker.
func (c *client) submit(r *wire.Request, send chat.Send, err error) {
	if err != nil {
		e := c.failure(r.Ref, err)
		e.Room, e.ID = r.Room.String(), r.ID.String()
		c.reply(&e)
		return
	}
	send.Ref, send.HasRef = string(r.Ref), r.Ref != nil
	if send.Subscription != nil {
		c.handler.Send(send)
		return
	}
	user := c.user()
	c.commit(r, func(ctx context.Context) (chat.Receipt, error) { return user.Commit(ctx, send) })
}

// typing has no answer but an error: what it reports is soon over.
func (c *client) typing(r *wire.Request) {
	s := c.membership(r.Room)
	user, room := c.user(), r.Room.String()
	decided, err := user.Type(s)
	if decided {
		c.refuseTyping(r.Ref, room, err)
		return
	}
	ref := slices.Clone(r.Ref)
	c.handler.Ask(func(context.Context) { err = user.Decide(s) }, func() {
		if c.session != nil {
			c.refuseTyping(ref, room, err)
		}
	})
}

func (c *client) refuseTyping(ref []byte, room string, err error) {
	if err != nil {
		e := c.failure(ref, err)
		e.Room = room
		c.reply(&e)
	}
}

// Receipt implements conn.Front.
func (c *client) Receipt(dst []byte, s *chat.Subscription, r *chat.Receipt) []byte {
	if r.Err != nil {
		e := refusalEvent(s, r)
		return c.server.appendFrame(dst, c.framing, &e)
	}
	var ref []byte
	if r.HasRef {
		ref = append(make([]byte, 0, wire.MaxRef), r.Ref...)
	}
	start := len(dst)
	dst = wire.AppendAck(c.framing.begin(dst), ref, s.Room().Name().String(), r.ID, r.Seq, time.UnixMilli(r.Time), r.Duplicate)
	return c.framing.end(dst, start)
}

// Expelled implements conn.Front.
func (c *client) Expelled(dst []byte, s *chat.Subscription, e *chat.Expulsion) []byte {
	if c.rooms != nil && c.rooms.leaving == s.Room().Name().Key() {
		return dst
	}
	return appendFrame(dst, c.framing, &wire.Event{Type: wire.TypeParted, Room: s.Room().Name().String(), Removal: wire.Removal(e.Reason)})
}

var _ conn.Front = (*client)(nil)
