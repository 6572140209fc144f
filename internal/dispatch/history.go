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
	h, damage, err := d.store.historyPast(ctx, r.name, p)
	if err == nil && h.Last == 0 && damage != nil {
		err = damage
	}
	if err != nil {
		return Found{}, fmt.Errorf("read %s: %w", r.name, err)
	}
	found := Found{Room: r, History: h}
	switch {
	case h.Last == 0:
	case p.Last:
		found.More = h.First > max(oldest, p.After+1)
	default:
		found.More = h.Last+1 < p.Before
	}
	return found, nil
}
