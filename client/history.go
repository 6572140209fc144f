package client

import (
	"context"
	"errors"
	"time"

	"kaban"
	"kaban/wire"
)

// Entry is one entry of a room's log: a message, a change of the room or of a message, or
// neither if this version of the SDK does not know its kind. See Fold for what becomes of
// messages.
type Entry = wire.Entry

// HistoryQuery asks for a page of a room's history: the oldest entries After a
// seq, or the newest Before one, or simply the newest.
type HistoryQuery struct {
	After, Before       uint64
	HasAfter, HasBefore bool
	RepliesTo           uint64 // only messages that answer this one; 0: all entries
	Limit               int    // up to wire.MaxLimit; 0 is the server's default
}

// HistoryPage is a run of entries, oldest first, without the changes of messages: those
// are in the messages.
type HistoryPage struct {
	Entries []Entry
	// First and Last are the seqs that the page covers, those of changes included, or 0
	// if there are none. Paging goes on from them.
	First, Last uint64
	// AsOf is the seq up to which the messages have been changed, also in each Entry; 0
	// if the server does not say it.
	AsOf uint64
	// More reports whether there are more entries in the direction of reading.
	More bool
}

// Messages returns the messages among the entries of the page.
func (p *HistoryPage) Messages() (messages []wire.Message) {
	for i := range p.Entries {
		if m := p.Entries[i].Message; m != nil {
			messages = append(messages, *m)
		}
	}
	return messages
}

// answers reports whether the page is one that q asks for. Otherwise a caller
// that reads page after page might never finish.
func (p *HistoryPage) answers(q HistoryQuery) bool {
	limit := wire.MaxLimit
	if q.Limit > 0 {
		limit = q.Limit
	}
	low := uint64(0)
	if q.HasAfter {
		low = q.After
	}
	switch {
	case p.First == 0 && p.Last == 0:
		return len(p.Entries) == 0
	case len(p.Entries) > limit, p.First <= low, p.First > p.Last, q.HasBefore && p.Last >= q.Before:
		return false
	}
	last := p.First - 1
	for i := range p.Entries {
		seq := p.Entries[i].Seq
		if seq <= last || seq > p.Last {
			return false
		}
		last = seq
	}
	return true
}

// History returns a page of a room's history. The room need not be joined.
func (c *Client) History(ctx context.Context, room string, q HistoryQuery) (HistoryPage, error) {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return HistoryPage{}, err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{
		Type: wire.TypeHistory, Room: name, Limit: q.Limit,
		After: q.After, HasAfter: q.HasAfter, Before: q.Before, HasBefore: q.HasBefore, RepliesTo: q.RepliesTo,
	}, nil))
	if err != nil {
		return HistoryPage{}, err
	}
	p := pageOf(e)
	if !p.answers(q) {
		return HistoryPage{}, errors.New("the server's history page does not match the request")
	}
	return p, nil
}

// pageOf returns the page of an answer. An older server does not say what it
// covers.
func pageOf(e *wire.Event) HistoryPage {
	p := HistoryPage{Entries: e.Entries, First: e.First, Last: e.Last, AsOf: e.AsOf, More: e.More}
	if n := len(p.Entries); n > 0 && (p.First == 0 || p.Last == 0) {
		p.First, p.Last = p.Entries[0].Seq, p.Entries[n-1].Seq
	}
	return p
}

// Seek returns the seq where the messages from a time on start, and the head of
// the room. The seq is head+1 if every message is older. Seek bisects the log, so
// if the server's clock was set back, the result may be a little early or late.
func (c *Client) Seek(ctx context.Context, room string, from time.Time) (seq, head uint64, err error) {
	newest, err := c.History(ctx, room, HistoryQuery{Limit: 1})
	if err != nil {
		return 0, 0, err
	}
	head = newest.Last
	low, high := uint64(0), head // messages up to low are older, those after high are not
	for low < high {
		middle := low + (high-low)/2
		m, err := c.firstMessage(ctx, room, middle, high)
		switch {
		case err != nil:
			return 0, 0, err
		case m != nil && m.Time.Before(from):
			low = m.Seq
		default:
			high = middle
		}
	}
	return low + 1, head, nil
}

// firstMessage returns the first message with a seq after one and up to another,
// or nil.
func (c *Client) firstMessage(ctx context.Context, room string, after, until uint64) (*wire.Message, error) {
	for limit := 1; after < until; limit = wire.MaxLimit {
		page, err := c.History(ctx, room, HistoryQuery{After: after, HasAfter: true, Limit: limit})
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			if m := page.Entries[i].Message; m != nil && m.Seq <= until {
				return m, nil
			}
		}
		if !page.More || page.Last <= after {
			return nil, nil
		}
		after = page.Last
	}
	return nil, nil
}
