package server

import (
	"context"
	"slices"
	"time"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/people"
	"kaban/wire"
)

// rooms is what a connection of an account has to do with rooms that it need not be
// in.
type rooms struct {
	// leaving is the key of a room whose own part is under way: an expulsion there
	// needs no frame.
	leaving string
	// dirty are the rooms whose states the client has not been told yet. The zero room stands
	// for what the account wants to be notified of.
	dirty   []kaban.RoomName
	telling bool // a state is being read
	// gone are the keys of rooms that the client was last told are gone. A bot without
	// its owner, and whoever hides a direct room, stay members, and hear it once.
	gone map[string]struct{}
}

// maxGone is how many rooms a connection remembers to be gone; then it forgets all.
const maxGone = 1000

// needRooms makes c.rooms: an idle connection has none.
func (c *client) needRooms() {
	if c.rooms == nil {
		c.rooms = new(rooms)
	}
}

// dropRooms drops c.rooms once nothing is in it.
func (c *client) dropRooms() {
	if r := c.rooms; r != nil && r.leaving == "" && !r.telling && len(r.dirty) == 0 && len(r.gone) == 0 {
		c.rooms = nil
	}
}

// laterStates is when a client that has not taken its replies is told states again.
const laterStates = time.Second

// Changed implements chat.Owner.
func (c *client) Changed(room kaban.RoomName) {
	c.handler.Post(func() {
		if c.session == nil {
			return
		}
		c.needRooms()
		same := func(other kaban.RoomName) bool { return other.Key() == room.Key() }
		if !slices.ContainsFunc(c.rooms.dirty, same) {
			c.rooms.dirty = append(c.rooms.dirty, room)
		}
		c.tellStates()
	})
}

// tellStates tells the states of all dirty rooms, one after the other, so that what is
// told last was read last. A client that takes no replies is told later; what changes
// meanwhile is told once.
func (c *client) tellStates() {
	r := c.rooms
	switch {
	case c.session == nil || !c.greeted || r.telling:
		return
	case len(r.dirty) == 0:
		r.dirty = nil
		c.dropRooms()
		return
	case !c.handler.Has(conn.NeedReply):
		r.telling = true
		time.AfterFunc(laterStates, func() {
			c.handler.Post(func() {
				r.telling = false
				c.tellStates()
			})
		})
		return
	}
	room := r.dirty[0]
	r.dirty[0] = kaban.RoomName{}
	r.dirty, r.telling = r.dirty[1:], true
	if room.IsZero() {
		c.tellNotifications(c.user())
		return
	}
	c.server.stateReads.read(c, room, func(read *stateRead) {
		r.telling = false
		if c.session != nil && read.err == nil {
			if read.in {
				delete(r.gone, room.Key())
				c.replyState(stateOf(&read.state))
			} else if r.goes(room.Key()) {
				c.replyState(wire.RoomState{Room: room.String(), Gone: true})
			}
		}
		c.tellStates()
	})
}

// goes notes that a room is gone. It returns false if the client was told already.
func (r *rooms) goes(key string) bool {
	if _, told := r.gone[key]; told {
		return false
	}
	if r.gone == nil || len(r.gone) >= maxGone {
		r.gone = make(map[string]struct{})
	}
	r.gone[key] = struct{}{}
	return true
}

func (c *client) replyState(state wire.RoomState) {
	c.reply(&wire.Event{Type: wire.TypeState, State: &state})
}

// tellNotifications tells what the account wants to be notified of, as one of the states.
func (c *client) tellNotifications(user chat.User) {
	var n people.Notifications
	var err error
	c.handler.Background(func(ctx context.Context) { n, err = user.Notifications(ctx) }, func() {
		c.rooms.telling = false
		if c.session != nil && err == nil {
			e := &wire.Event{Type: wire.TypeNotifications}
			addNotifications(e, &n)
			c.reply(e)
		}
		c.tellStates()
	})
}
