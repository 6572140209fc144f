package chat

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/store"
)

// writtenPage is how many entries HasWritten reads at a time, and writtenPages how many times
// at most.
const writtenPage, writtenPages = 500, 2000

// HasWritten reports whether an identity has added anything to a log at or after a time, in
// milliseconds since 1970 UTC; 0 is the beginning. Messages are counted, so whether there are any at
// all is known at once. Otherwise it reads rooms from their heads, a million entries in all at most;
// behind that it takes the identity for one that has. Who may ask is for package account to say.
func (c *Chat) HasWritten(ctx context.Context, author string, since int64) (bool, error) {
	names := c.dispatcher.Names()
	if since == 0 {
		tallies, err := c.dispatcher.Tallies(ctx, author, names)
		if err != nil {
			return false, err
		}
		for i := range tallies {
			if tallies[i].Own > 0 {
				return true, nil
			}
		}
	}
	pages := writtenPages
	for _, name := range names {
		if wrote, err := c.hasWrittenIn(ctx, name, author, since, &pages); err != nil || wrote {
			return wrote, err
		}
	}
	return false, nil
}

// hasWrittenIn is HasWritten for a room.
func (c *Chat) hasWrittenIn(ctx context.Context, name kaban.RoomName, author string, since int64, pages *int) (bool, error) {
	for before := uint64(0); ; {
		if *pages--; *pages < 0 {
			return true, nil
		}
		entries, err := c.dispatcher.Read(ctx, name, store.Page{Before: before, Last: true, Limit: writtenPage})
		if damaged, ok := errors.AsType[*store.DamagedError](err); ok && damaged.Seq > 1 && (before == 0 || damaged.Seq < before) {
			before = damaged.Seq
			continue
		}
		if err != nil || len(entries) == 0 {
			return false, err
		}
		for i := len(entries) - 1; i >= 0; i-- {
			switch {
			case entries[i].Time < since: // those before it are older
				return false, nil
			case entries[i].Author == author:
				return true, nil
			}
		}
		if before = entries[0].Seq; before <= 1 {
			return false, nil
		}
	}
}
