package client

import (
	"context"
	"slices"
	"time"

	"kaban/wire"
)

// typingEvery is how often Room.Typing reports that somebody goes on typing. The server
// forgets it after twice that time.
const typingEvery = 3 * time.Second

// typingRef is the ref of reports of typing. Those of calls are digits and letters.
const typingRef = "-typing"

// Typing is passed to Options.OnTyping: everybody that is typing in a room, but the
// client itself. Its delivery is not guaranteed, and it may come before or after the
// messages that the same people send.
type Typing struct {
	Room      string
	Usernames []string // in the order in which they began; often empty
}

// Typing reports that a person is typing a message in the room. Call it for each change
// of the text: it never waits, and sends a report every three seconds at most, and with
// the first call after a message. While the client is offline, in large rooms, where the
// person may not send, and with servers that do not know it, it does nothing. The error
// is the cause of ctx, or the reason why nothing can be posted any more.
func (r *Room) Typing(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c := r.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err := c.Err(); {
	case err != nil:
		return err
	case r.err != nil:
		return r.err
	case c.leaving[r]:
		return ErrParted
	}
	l := c.link
	if l == nil || !r.joined || l.typeless || r.as == wire.TypeWatch || !r.typed.IsZero() && time.Since(r.typed) < typingEvery {
		return nil
	}
	r.typed = time.Now()
	if !slices.Contains(l.typing, r) {
		l.typing = append(l.typing, r)
	}
	c.wakeLocked()
	return nil
}

// appendTyping buffers the pending reports of typing. They come behind the messages that
// are ready: those were typed before. What is not written by now is no longer true.
func (l *link) appendTyping() {
	for _, r := range l.typing {
		if r.joined && r.err == nil && !r.typed.IsZero() {
			l.writer.Write(&wire.Request{Type: wire.TypeTyping, Room: r.written, Ref: []byte(typingRef)})
		}
	}
	l.typing = l.typing[:0]
}

// takeTyping takes the names of those that are typing.
func (c *Client) takeTyping(e *wire.Event) {
	c.mu.Lock()
	joined := c.rooms[e.Room] != nil
	c.mu.Unlock()
	if joined && c.options.OnTyping != nil {
		c.options.OnTyping(Typing{Room: e.Room, Usernames: e.Usernames})
	}
}

// refuseTyping takes an error that answers a report of typing. An older server does not
// know the request, and would end the connection after some of them.
func (c *Client) refuseTyping(l *link, e *wire.Event) {
	if e.Code == wire.CodeUnknownType {
		c.mu.Lock()
		defer c.mu.Unlock()
		l.typeless = true
	}
}
