package client

import (
	"context"
	"time"

	"kaban"
	"kaban/wire"
)

// Moderation concerns somebody's place in a room.
type Moderation struct {
	Room, Username string
	Reason         string // for people: one line of at most wire.MaxReason code points, or ""
}

// Invite makes somebody a member of a room. This and the other acts of moderation,
// SetTopic and SetRoom become entries of the room's log, which are stored once, as a
// message is: they are repeated with the same id if the connection breaks before the
// answer. Like own messages, they are left out of Entries. The room need not be
// joined. The error is a *kaban.MessageError or an *Error; after any other error the
// entry may be stored or not.
func (c *Client) Invite(ctx context.Context, m Moderation) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeInvite})
}

// Kick ends a membership.
func (c *Client) Kick(ctx context.Context, m Moderation) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeKick})
}

// Ban ends a membership and prevents another one until a time; the zero time is never.
func (c *Client) Ban(ctx context.Context, m Moderation, until time.Time) (Receipt, error) {
	request := wire.Request{Type: wire.TypeBan}
	if !until.IsZero() {
		request.Until = max(until.UnixMilli(), 1)
	}
	return c.moderate(ctx, m, request)
}

// Unban takes back a ban.
func (c *Client) Unban(ctx context.Context, m Moderation) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeUnban})
}

// Mute lets somebody read but not send.
func (c *Client) Mute(ctx context.Context, m Moderation) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeMute})
}

// Unmute takes back a mute.
func (c *Client) Unmute(ctx context.Context, m Moderation) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeUnmute})
}

// SetRole changes the role of a member.
func (c *Client) SetRole(ctx context.Context, m Moderation, role kaban.RoomRole) (Receipt, error) {
	return c.moderate(ctx, m, wire.Request{Type: wire.TypeRole, Role: role})
}

// SetTopic changes the topic of a room: one line of at most wire.MaxTopic code
// points; "" removes it.
func (c *Client) SetTopic(ctx context.Context, room, topic string) (Receipt, error) {
	return c.enter(ctx, room, wire.Request{Type: wire.TypeTopic, Topic: topic})
}

// Settings are changes of a room. Zero fields change nothing.
type Settings struct {
	Kind kaban.RoomKind // private; never back
	// Flags are announce and locked, those that the room has from now on.
	Flags *kaban.RoomFlags
	// History is wire.HistoryAll or wire.HistoryJoined.
	History  string
	Archived *bool
}

// SetRoom changes the settings of a room.
func (c *Client) SetRoom(ctx context.Context, room string, s Settings) (Receipt, error) {
	request := wire.Request{Type: wire.TypeSet, Kind: s.Kind, History: s.History}
	if s.Flags != nil {
		request.Flags, request.HasFlags = *s.Flags, true
	}
	if s.Archived != nil {
		request.Archived, request.HasArchived = *s.Archived, true
	}
	return c.enter(ctx, room, request)
}

func (c *Client) moderate(ctx context.Context, m Moderation, request wire.Request) (Receipt, error) {
	username, err := kaban.ParseUsername(m.Username)
	if err != nil {
		return Receipt{}, err
	}
	request.Username, request.Reason = username, m.Reason
	return c.enter(ctx, m.Room, request)
}

// enter asks for an entry and waits until it is stored. If ctx ends first, the
// request is not repeated any more.
func (c *Client) enter(ctx context.Context, room string, request wire.Request) (Receipt, error) {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return Receipt{}, err
	}
	request.Room = name
	c.mu.Lock()
	if request.ID, err = c.ids.next(); err != nil {
		c.mu.Unlock()
		return Receipt{}, err
	}
	r := c.openLocked(name)
	if r != nil {
		r.posted++
	}
	q := c.askLocked(request, r)
	c.mu.Unlock()
	e, err := c.wait(ctx, q)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: e.ID, Seq: e.Seq, Time: e.Time, Duplicate: e.Duplicate}, nil
}

// openLocked returns the room of a name that the client is in or is joining, or nil.
func (c *Client) openLocked(name kaban.RoomName) *Room {
	for _, r := range c.rooms {
		if r.written.Key() == name.Key() && !c.leaving[r] {
			return r
		}
	}
	return nil
}
