package server

import (
	"context"
	"slices"

	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/wire"
)

// How much a page holds if the client does not say.
const (
	defaultHistory = 50
	defaultNames   = 500
)

func (c *client) history(r *wire.Request) {
	page := store.Page{After: r.After, Before: r.Before, Last: !r.HasAfter, Limit: r.Limit, Bytes: wire.MaxFrame}
	if page.Limit == 0 {
		page.Limit = defaultHistory
	}
	if r.HasBefore && r.Before == 0 {
		page.Before = 1 // nothing is before the first
	}
	room, ref := r.Room, slices.Clone(r.Ref)
	var found dispatch.Found
	var err error
	c.handler.Ask(func(ctx context.Context) { found, err = c.server.dispatcher.History(ctx, room, page) }, func() {
		if err != nil {
			c.replyFailure(ref, err)
			return
		}
		c.reply(historyEvent(ref, page, &found))
	})
}

// historyEvent returns a page as a frame, which it must fit.
func historyEvent(ref []byte, page store.Page, found *dispatch.Found) *wire.Event {
	e := answer(wire.TypeHistory, ref)
	e.Room = found.Room.Name().String()
	for i := range found.Entries {
		e.Messages = append(e.Messages, message(&found.Entries[i]))
	}
	e.More = found.More
	// Keep those that are nearest to where the client reads on.
	fit := fitting(len(e.Messages), func(i int) int {
		if page.Last {
			i = len(e.Messages) - 1 - i
		}
		return len(wire.AppendMessage(nil, "", e.Messages[i]))
	})
	if fit < len(e.Messages) {
		e.More = true
		if page.Last {
			e.Messages = e.Messages[len(e.Messages)-fit:]
		} else {
			e.Messages = e.Messages[:fit]
		}
	}
	return e
}

func (c *client) listRooms(r *wire.Request) {
	infos, more := c.server.dispatcher.Rooms(r.AfterName, names(r.Limit))
	c.handler.Spend(len(infos))
	e := answer(wire.TypeRooms, r.Ref)
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
	room, usernames, more, err := c.server.dispatcher.Members(r.Room, r.AfterName, names(r.Limit))
	if err != nil {
		c.replyFailure(r.Ref, err)
		return
	}
	c.handler.Spend(len(usernames))
	e := answer(wire.TypeMembers, r.Ref)
	e.Room, e.Usernames, e.More = room.Name().String(), usernames, more
	if fit := fitting(len(e.Usernames), func(i int) int { return len(e.Usernames[i]) + nameOverhead }); fit < len(e.Usernames) {
		e.Usernames, e.More = e.Usernames[:fit], true
	}
	c.reply(e)
}

func names(limit int) int {
	if limit == 0 {
		return defaultNames
	}
	return limit
}

const (
	// envelope is the room that a page needs beside its elements: type, room, ref,
	// more.
	envelope = 1024
	// nameOverhead and roomOverhead are what an element needs beside its name.
	nameOverhead = 3
	roomOverhead = len(`{"room":"","head":9007199254740991,"members":1000000},`)
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
