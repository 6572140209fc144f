package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/wire"
)

// ask has a worker carry out a request and then answers it, or says why not.
func (c *client) ask(ref []byte, call func(ctx context.Context) error, done func()) {
	var err error
	c.handler.Ask(func(ctx context.Context) { err = call(ctx) }, func() {
		switch {
		case c.session == nil: // it has ended in the meantime
		case err != nil:
			c.replyFailure(ref, err)
		default:
			done()
		}
	})
}

func (c *client) replyOK(ref []byte) { c.reply(answer(wire.TypeOK, ref)) }

func (c *client) me(r *wire.Request) {
	user, after, limit, ref := c.user(), r.AfterName, r.Limit, slices.Clone(r.Ref)
	var me chat.Me
	c.ask(ref, func(ctx context.Context) (err error) {
		me, err = user.Me(ctx, after, limit)
		return err
	}, func() {
		e := answer(wire.TypeMe, ref)
		e.Account = &wire.Account{Username: me.Account.Username, Name: me.Account.Name, Role: me.Account.Role, Bot: me.Account.Bot}
		e.More = me.More
		if after == "" {
			addNotifications(e, &me.Account.Notifications)
		}
		for i := range me.Rooms {
			e.States = append(e.States, stateOf(&me.Rooms[i]))
		}
		own := 0
		for _, word := range e.Keywords {
			own += 6*len(word) + nameOverhead
		}
		if fit := fitting(len(e.States), func(i int) int {
			n := stateOverhead + 6*len(e.States[i].Topic) + 6*len(e.States[i].Title)
			if i == 0 {
				n += own
			}
			return n
		}); fit < len(e.States) {
			e.States, e.More = e.States[:fit], true
		}
		c.handler.Spend(len(e.States))
		c.reply(e)
	})
}

func addNotifications(e *wire.Event, n *people.Notifications) {
	e.Keywords, e.Quiet, e.Level = n.Keywords, quietOf(n.Quiet), n.DefaultLevel()
}

func quietOf(q *people.Quiet) *wire.Quiet {
	if q == nil {
		return nil
	}
	return &wire.Quiet{From: q.From, To: q.To, Zone: q.Zone, Days: q.Days, Until: q.Until}
}

func (c *client) away(r *wire.Request) {
	user, away, ref := c.user(), people.Away{Away: r.Away, Text: r.Status, Until: r.Until}, slices.Clone(r.Ref)
	c.ask(ref, func(ctx context.Context) error { return user.SetAway(ctx, away) }, func() { c.replyOK(ref) })
}

// stateOverhead is what the state of a room needs beside its topic and title.
const stateOverhead = 512

func stateOf(s *chat.RoomState) wire.RoomState {
	return wire.RoomState{
		Room: s.Room.String(), Kind: s.Kind, Title: s.Title, Topic: s.Topic, Role: s.Role, Flags: s.Flags, History: string(s.History),
		Head: s.Head, Read: s.Read, Unread: int(min(s.Unread, wire.MaxNumber)), UnreadFrom: s.UnreadFrom,
		Mentions: int(min(s.Mentions, wire.MaxNumber)), Notify: s.Notify,
	}
}

func (c *client) create(r *wire.Request) {
	user, room, ref := c.user(), r.Room, slices.Clone(r.Ref)
	with := chat.NewRoom{Kind: r.Kind, Topic: r.Topic, Flags: r.Flags}
	c.ask(ref, func(ctx context.Context) error { return user.Create(ctx, room, with) }, func() { c.replyCreated(ref, room) })
}

func (c *client) direct(r *wire.Request) {
	user, others, ref := c.user(), slices.Clone(r.Usernames), slices.Clone(r.Ref)
	var room kaban.RoomName
	c.ask(ref, func(ctx context.Context) (err error) {
		room, err = user.Direct(ctx, others)
		return err
	}, func() { c.replyCreated(ref, room) })
}

func (c *client) replyCreated(ref []byte, room kaban.RoomName) {
	e := answer(wire.TypeCreated, ref)
	e.Room = room.String()
	c.reply(e)
}

// actions are what the requests of moderation ask for.
var actions = map[wire.Type]access.Action{
	wire.TypeInvite: access.Invite, wire.TypeKick: access.Kick, wire.TypeBan: access.Ban, wire.TypeUnban: access.Unban,
	wire.TypeMute: access.Mute, wire.TypeUnmute: access.Unmute, wire.TypeRole: access.SetRoomRole, wire.TypeTopic: access.SetTopic,
}

// act carries out a request that becomes an entry of the room's log.
func (c *client) act(r *wire.Request) {
	a := chat.Act{
		Action: actions[r.Type], Room: r.Room, ID: r.ID, Subject: r.Username, Role: r.Role, Reason: r.Reason, Until: r.Until, Topic: r.Topic,
	}
	if r.Type == wire.TypeSet {
		a.Change = changeOf(r)
	}
	send, err := c.user().Act(c.membership(r.Room), c.handler.Origin(), a)
	c.submit(r, send, err)
}

// commit stores an entry of a room that the connection is not in.
func (c *client) commit(r *wire.Request, store func(context.Context) (chat.Receipt, error)) {
	room, id, ref := r.Room, r.ID, slices.Clone(r.Ref)
	var receipt chat.Receipt
	var err error
	c.handler.Ask(func(ctx context.Context) { receipt, err = store(ctx) }, func() {
		if c.session == nil {
			return
		}
		if err != nil {
			e := c.failure(ref, err)
			e.Room, e.ID = room.String(), id.String()
			c.reply(&e)
			return
		}
		c.reply(&wire.Event{
			Type: wire.TypeAck, Ref: string(ref), HasRef: ref != nil, Room: room.String(), ID: id.String(),
			Seq: receipt.Seq, Time: time.UnixMilli(receipt.Time), Duplicate: receipt.Duplicate,
		})
	})
}

func changeOf(r *wire.Request) people.RoomChange {
	change := people.RoomChange{Kind: r.Kind, History: people.History(r.History)}
	if r.HasFlags {
		flags := r.Flags.Texts()
		change.Flags = &flags
	}
	if r.HasArchived {
		archived := r.Archived
		change.Archived = &archived
	}
	return change
}

func (c *client) read(r *wire.Request) {
	user, room, seq, ref := c.user(), r.Room, r.Seq, slices.Clone(r.Ref)
	c.ask(ref, func(ctx context.Context) error { return user.Read(ctx, room, seq) }, func() { c.replyOK(ref) })
}

func (c *client) unread(r *wire.Request) {
	user, room, seq, ref := c.user(), r.Room, r.Seq, slices.Clone(r.Ref)
	c.ask(ref, func(ctx context.Context) error { return user.MarkUnread(ctx, room, seq) }, func() { c.replyOK(ref) })
}

func (c *client) notify(r *wire.Request) {
	user, room, level, ref := c.user(), r.Room, r.Level, slices.Clone(r.Ref)
	c.ask(ref, func(ctx context.Context) error { return user.Notify(ctx, room, level) }, func() { c.replyOK(ref) })
}

// watch subscribes without membership. In a room that the connection has joined it
// changes nothing.
func (c *client) watch(r *wire.Request) {
	ref := slices.Clone(r.Ref)
	if s := c.subscription(r.Room); s != nil {
		c.replyEntered(wire.TypeWatching, ref, s, chat.Joined{Head: s.Room().Head(), Members: s.Room().Members()})
		return
	}
	if len(c.handler.Subscriptions()) >= maxRooms {
		c.refuseRoom(r)
		return
	}
	user, room, start := c.user(), r.Room, chat.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	c.findAndEnter(ref, func(ctx context.Context) (chat.Place, error) { return user.FindToRead(ctx, room, start) },
		func(p chat.Place) (*chat.Subscription, chat.Joined, error) {
			p.Memory = c.handler.Memory()
			return c.user().WatchAt(c.handler.Waker(), &c.handler, c.framing.format(), p)
		}, wire.TypeWatching)
}

func (c *client) unwatch(r *wire.Request) {
	s := c.subscription(r.Room)
	if s == nil || !s.Watches() {
		c.replyError(r.Ref, wire.CodeNotJoined, fmt.Sprintf("you do not watch %s", r.Room))
		return
	}
	c.Leave(s)
	c.handler.Unsubscribe(s)
	c.replyOK(r.Ref)
}

// maxEntries is how often a place is looked for again because the rights in the room
// have changed meanwhile.
const maxEntries = 8

// findAndEnter has a worker find a place in a room and subscribes there.
func (c *client) findAndEnter(ref []byte, find func(context.Context) (chat.Place, error), enter func(chat.Place) (*chat.Subscription, chat.Joined, error), as wire.Type) {
	c.findAgain(ref, find, enter, as, maxEntries)
}

func (c *client) findAgain(ref []byte, find func(context.Context) (chat.Place, error), enter func(chat.Place) (*chat.Subscription, chat.Joined, error), as wire.Type, tries int) {
	var place chat.Place
	var err error
	c.handler.Ask(func(ctx context.Context) { place, err = find(ctx) }, func() {
		if c.session == nil { // it has ended in the meantime
			place.Abandon()
			return
		}
		var s *chat.Subscription
		var joined chat.Joined
		if err == nil {
			s, joined, err = enter(place)
		}
		switch {
		case errors.Is(err, chat.ErrStale) && tries > 1:
			c.findAgain(ref, find, enter, as, tries-1)
		case err != nil:
			c.replyFailure(ref, err)
		default:
			c.replyEntered(as, ref, s, joined)
			c.handler.Subscribe(s)
		}
	})
}

// partAccount ends the membership of an account. Its other connections leave as well.
func (c *client) partAccount(r *wire.Request) {
	user, room, ref := c.user(), r.Room, slices.Clone(r.Ref)
	c.needRooms()
	c.rooms.leaving = room.Key()
	var err error
	c.handler.Ask(func(ctx context.Context) { err = user.Part(ctx, room) }, func() {
		c.rooms.leaving = ""
		c.dropRooms()
		switch {
		case c.session == nil:
		case err != nil:
			c.replyFailure(ref, err)
		default:
			if s := c.subscription(room); s != nil {
				c.Leave(s)
				c.handler.Unsubscribe(s)
			}
			e := answer(wire.TypeParted, ref)
			e.Room = room.String()
			c.reply(e)
		}
	})
}
