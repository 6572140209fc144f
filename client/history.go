package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"kaban"
	"kaban/wire"
)

// Entry is one entry of a room's log.
type Entry struct {
	Seq uint64
	// Message is nil if this version of the SDK does not know the kind of the
	// entry.
	Message *wire.Message
}

// HistoryQuery asks for a page of a room's history: the oldest entries After a
// seq, or the newest Before one, or simply the newest.
type HistoryQuery struct {
	After, Before       uint64
	HasAfter, HasBefore bool
	Limit               int // up to wire.MaxLimit; 0 is the server's default
}

// HistoryPage is a run of entries, oldest first.
type HistoryPage struct {
	Messages []wire.Message
	// Unknown are the seqs of the entries whose kind is not known. There is nothing
	// to show for them, but paging must go on past them.
	Unknown []uint64
	// More reports whether there are more entries in the direction of reading.
	More bool
}

// Entries yields the entries of the page in their order.
func (p *HistoryPage) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		messages, unknown := p.Messages, p.Unknown
		for len(messages)+len(unknown) > 0 {
			var e Entry
			if len(messages) == 0 || len(unknown) > 0 && unknown[0] < messages[0].Seq {
				e, unknown = Entry{Seq: unknown[0]}, unknown[1:]
			} else {
				e, messages = Entry{Seq: messages[0].Seq, Message: &messages[0]}, messages[1:]
			}
			if !yield(e) {
				return
			}
		}
	}
}

// First returns the lowest seq of the page, or 0 if the page is empty.
func (p *HistoryPage) First() uint64 {
	for e := range p.Entries() {
		return e.Seq
	}
	return 0
}

// Last returns the highest seq of the page, or 0 if the page is empty.
func (p *HistoryPage) Last() (seq uint64) {
	if n := len(p.Messages); n > 0 {
		seq = p.Messages[n-1].Seq
	}
	if n := len(p.Unknown); n > 0 {
		seq = max(seq, p.Unknown[n-1])
	}
	return seq
}

// answers reports whether the page is one that q asks for. Otherwise a caller
// that reads page after page might never finish.
func (p *HistoryPage) answers(q HistoryQuery) bool {
	limit := wire.MaxLimit
	if q.Limit > 0 {
		limit = q.Limit
	}
	last := uint64(0)
	if q.HasAfter {
		last = q.After
	}
	for e := range p.Entries() {
		if e.Seq <= last || q.HasBefore && e.Seq >= q.Before {
			return false
		}
		last = e.Seq
	}
	return len(p.Messages)+len(p.Unknown) <= limit
}

// History returns a page of a room's history. The room need not be joined.
func (c *Client) History(ctx context.Context, room string, q HistoryQuery) (HistoryPage, error) {
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		return HistoryPage{}, err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{
		Type: wire.TypeHistory, Room: name, Limit: q.Limit,
		After: q.After, HasAfter: q.HasAfter, Before: q.Before, HasBefore: q.HasBefore,
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

// pageOf returns the page of an answer. There is nothing to show for changes of the
// room.
func pageOf(e *wire.Event) HistoryPage {
	p := HistoryPage{More: e.More}
	for _, entry := range e.Entries {
		if entry.Message != nil {
			p.Messages = append(p.Messages, *entry.Message)
		} else {
			p.Unknown = append(p.Unknown, entry.Seq)
		}
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
	head = newest.Last()
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
		switch {
		case err != nil:
			return nil, err
		case len(page.Messages) > 0 && page.Messages[0].Seq <= until:
			return &page.Messages[0], nil
		case len(page.Messages) > 0 || !page.More:
			return nil, nil
		}
		after = max(after, page.Last())
	}
	return nil, nil
}
