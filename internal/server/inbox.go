package server

import (
	"context"
	"slices"

	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/wire"
)

func (c *client) inbox(r *wire.Request) {
	user, before, limit, ref := c.user(), r.Before, r.Limit, slices.Clone(r.Ref)
	if r.HasBefore && before == 0 { // nothing is before the first
		c.reply(answer(wire.TypeInbox, ref))
		return
	}
	var inbox chat.Inbox
	var err error
	c.handler.AskInTurn(func(ctx context.Context) { inbox, err = user.Inbox(ctx, before, limit, wire.MaxFrame) }, func() {
		switch {
		case c.session == nil: // it has ended in the meantime
		case err != nil:
			c.replyFailure(ref, err)
		default:
			c.handler.Spend(len(inbox.Mentions))
			c.reply(inboxEvent(ref, &inbox))
		}
	})
}

// inboxEvent returns a page of an inbox as a frame, which it must fit.
func inboxEvent(ref []byte, inbox *chat.Inbox) *wire.Event {
	e := answer(wire.TypeInbox, ref)
	e.Mentions = frame.Mentions(inbox.Mentions)
	inbox.Cut(fitting(len(e.Mentions), func(i int) int { return len(e.Mentions[i].Append(nil)) + len(",") }))
	e.Mentions, e.More, e.Next = e.Mentions[:len(inbox.Mentions)], inbox.More, inbox.Next()
	return e
}
