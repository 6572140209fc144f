package server

import (
	"context"
	"slices"

	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/wire"
)

func (c *client) history(r *wire.Request) {
	query := chat.Query{After: r.After, HasAfter: r.HasAfter, Before: r.Before, HasBefore: r.HasBefore, RepliesTo: r.RepliesTo, Limit: r.Limit, Bytes: wire.MaxFrame}
	user, room, ref := c.user(), r.Room, slices.Clone(r.Ref)
	var page chat.Page
	var err error
	c.handler.Ask(func(ctx context.Context) { page, err = user.History(ctx, room, query) }, func() {
		if err != nil {
			c.replyFailure(ref, err)
			return
		}
		c.reply(historyEvent(ref, &page, user.Identity().ID()))
	})
}

// historyEvent returns a page as a frame, which it must fit, for the author me.
func historyEvent(ref []byte, page *chat.Page, me string) *wire.Event {
	entries := page.Entries
	fit := fitting(len(entries), func(i int) int {
		if page.Newest { // keep the entries nearest to where the client reads on from
			i = len(entries) - 1 - i
		}
		return frame.Size(&entries[i], me)
	})
	page.Cut(fit)
	e := answer(wire.TypeHistory, ref)
	e.Room, e.First, e.Last, e.AsOf, e.More = page.Room.String(), page.First, page.Last, page.AsOf, page.More
	frame.Page(e, page.Entries, me)
	return e
}

func (c *client) search(r *wire.Request) {
	user, ref := c.user(), slices.Clone(r.Ref)
	asked := chat.Search{Query: r.Query, Room: r.Room, Before: r.Before, HasBefore: r.HasBefore, Limit: r.Limit, Zone: r.Zone}
	var found chat.Hits
	var err error
	c.handler.AskInTurn(func(ctx context.Context) { found, err = user.Search(ctx, asked) }, func() {
		if err != nil {
			c.replyFailure(ref, err)
			return
		}
		c.reply(foundEvent(ref, &found))
	})
}

// foundEvent returns a page of hits as a frame, which it must fit.
func foundEvent(ref []byte, found *chat.Hits) *wire.Event {
	e := answer(wire.TypeFound, ref)
	frame.Found(e, found)
	found.Cut(fitting(len(e.Hits), func(i int) int { return len(e.Hits[i].Append(nil)) + len(",") }))
	e.Hits, e.More, e.Next = e.Hits[:len(found.Hits)], found.More, found.Next
	return e
}

func (c *client) listRooms(r *wire.Request) {
	user, after, limit := c.user(), r.AfterName, r.Limit
	if infos, more, ok := user.RoomsNow(after, limit); ok {
		c.replyRooms(r.Ref, infos, more)
		return
	}
	ref := slices.Clone(r.Ref)
	var infos []chat.Room
	var more bool
	c.ask(ref, func(ctx context.Context) (err error) {
		infos, more, err = user.Rooms(ctx, after, limit)
		return err
	}, func() { c.replyRooms(ref, infos, more) })
}

func (c *client) replyRooms(ref []byte, infos []chat.Room, more bool) {
	c.handler.Spend(len(infos))
	e := answer(wire.TypeRooms, ref)
	e.More = more
	for _, info := range infos {
		e.Rooms = append(e.Rooms, wire.RoomInfo{Room: info.Name.String(), Head: info.Head, Members: info.Members})
	}
	if fit := fitting(len(e.Rooms), func(i int) int { return len(e.Rooms[i].Room) + roomOverhead }); fit < len(e.Rooms) {
		e.Rooms, e.More = e.Rooms[:fit], true
	}
	c.reply(e)
}

func (c *client) listMembers(r *wire.Request) {
	user, room, after, limit, ref := c.user(), r.Room, r.AfterName, r.Limit, slices.Clone(r.Ref)
	if members, ok := user.MembersNow(room, after, limit); ok {
		c.replyMembers(ref, &members)
		return
	}
	var members chat.Members
	var err error
	c.handler.Ask(func(ctx context.Context) { members, err = user.Members(ctx, room, after, limit) }, func() {
		if err != nil {
			c.replyFailure(ref, err)
			return
		}
		c.replyMembers(ref, &members)
	})
}

func (c *client) replyMembers(ref []byte, members *chat.Members) {
	c.handler.Spend(len(members.Usernames))
	e := answer(wire.TypeMembers, ref)
	e.Room, e.Usernames, e.More = members.Room.String(), members.Usernames, members.More
	for _, p := range members.People {
		e.People = append(e.People, wire.Member{Username: p.Username, Account: p.Account, Name: p.Name, Role: p.Role, Online: p.Online, Bot: p.Bot, Away: p.Away.Away, Status: p.Away.Text, Until: p.Away.Until})
	}
	size := func(i int) int {
		n := len(e.Usernames[i]) + nameOverhead
		if e.People != nil {
			n += personOverhead + len(e.Usernames[i]) + len(e.People[i].Account) + 6*len(e.People[i].Name) + 6*len(e.People[i].Status)
		}
		return n
	}
	if fit := fitting(len(e.Usernames), size); fit < len(e.Usernames) {
		e.Usernames, e.People, e.More = e.Usernames[:fit], e.People[:min(fit, len(e.People))], true
	}
	c.reply(e)
}

const (
	// envelope is the room that a page needs beside its elements: type, room, ref,
	// more.
	envelope = 1024
	// nameOverhead and roomOverhead are what an element needs beside its name.
	nameOverhead   = 3
	personOverhead = len(`{"username":"","account":"","name":"","role":"speaker","online":false,"bot":false,"away":true,"status":"","until_ms":253402300799999},`)
	roomOverhead   = len(`{"room":"","head":9007199254740991,"members":1000000},`)
)

// fitting returns how many of n elements fit into a frame, given the size of
// each; at least one.
func fitting(n int, size func(i int) int) int {
	total := envelope
	for i := range n {
		if total += size(i); total > wire.MaxFrame && i > 0 {
			return i
		}
	}
	return n
}
