package client

import (
	"context"
	"errors"

	"kaban"
	"kaban/wire"
)

// Hit is a message that a search has found.
type Hit = wire.Hit

// Search asks for messages.
type Search struct {
	// Query is what to look for: words, word*, "phrases", and operators such as from:ann,
	// in:lobby, has:link, has:file, mentions:me, is:pinned, before:2026-01-31. A - excludes.
	Query string
	// Room is the only room in which to look; "" is all that may be read.
	Room string
	// Before is the Next of the page before; HasBefore says that it is set.
	Before    uint64
	HasBefore bool
	Limit     int    // up to wire.MaxHits; 0 is the server's default
	Zone      string // the IANA name of the time zone of dates; "" is UTC
}

// Hits is a page of hits, newest first.
type Hits struct {
	Hits []Hit
	More bool
	Next uint64 // the Before of the next page, if there is More
	// Partial reports that there may be more hits that the server did not look at in time,
	// or that are not in its index yet.
	Partial bool
}

// Search returns a page of messages that a query finds. A query that makes no sense is an
// *Error with wire.CodeBadQuery, whose text says what to write.
func (c *Client) Search(ctx context.Context, s Search) (Hits, error) {
	q := wire.Request{Type: wire.TypeSearch, Query: s.Query, Before: s.Before, HasBefore: s.HasBefore, Limit: s.Limit, Zone: s.Zone}
	if s.Room != "" {
		var err error
		if q.Room, err = kaban.ParseAnyRoom(s.Room); err != nil {
			return Hits{}, err
		}
	}
	e, err := c.wait(ctx, c.ask(q, nil))
	if err != nil {
		return Hits{}, err
	}
	if s.Limit > 0 && len(e.Hits) > s.Limit || e.More && e.Next == 0 {
		return Hits{}, errors.New("the server's page of hits does not match the request")
	}
	return Hits{Hits: e.Hits, More: e.More, Next: e.Next, Partial: e.Partial}, nil
}
