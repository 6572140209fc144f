package dispatch

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// Found is a page of a room's history.
type Found struct {
	Room *Room
	store.History
	More bool // there are more in the direction of reading
}

// History returns a page of a room's history. In a room with readers it returns
// no entries beyond the published head, so that a page never has an entry that its
// author has no receipt for yet; in any other room it reads up to the store's
// head. What has become of the messages may be later than either. It skips damaged entries
// where the page begins and ends the page before any other; if nothing else is left it
// returns a *store.DamagedError. It returns ErrNotFound.
func (d *Dispatcher) History(ctx context.Context, name kaban.RoomName, p store.Page) (Found, error) {
	r := d.Peek(name)
	var oldest uint64 // read only if p.Last
	if r == nil || p.Last || r.isUnread() {
		asked, state, err := d.refresh(ctx, name)
		if err != nil {
			return Found{}, err
		}
		r, oldest = asked, state.Oldest
	}
	if end := r.Head() + 1; p.Before == 0 || p.Before > end {
		p.Before = end
	}
	found := Found{Room: r}
	for range maxRuns {
		h, damage, err := d.store.historyPast(ctx, r.name, p)
		if err == nil && h.Last == 0 && found.Last == 0 && damage != nil {
			err = damage
		}
		if err != nil {
			return Found{}, fmt.Errorf("read %s: %w", r.name, err)
		}
		if h.Last == 0 {
			found.AsOf, found.More = h.AsOf, damage != nil // then the next page is an error
			break
		}
		found.add(h)
		if p.Last {
			found.More, p.Before = h.First > max(oldest, p.After+1), h.First
		} else {
			found.More, p.After = h.Last+1 < p.Before, h.Last
		}
		if len(h.Entries) > 0 || !found.More || ctx.Err() != nil {
			break
		}
	}
	return found, nil
}

// maxRuns is how many runs of nothing but changes a page passes over. One that is empty
// after so many says that there are more.
const maxRuns = 64

// add extends a page that has no entries by the next run.
func (f *Found) add(h store.History) {
	if f.Last != 0 {
		h.First, h.Last = min(f.First, h.First), max(f.Last, h.Last)
	}
	f.History = h
}
