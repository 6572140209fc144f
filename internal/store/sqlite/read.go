package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// pageQuery reads a run of places. The order of the join is as written.
const pageQuery = `SELECT e.place, e.time, e.kind, e.id, coalesce(e.username, u.name), e.content
	FROM entries e CROSS JOIN users u ON u.id = e.user
	WHERE e.place BETWEEN ? AND ? ORDER BY e.place`

// recentPageQuery reads what is not merged yet of the same run.
const recentPageQuery = `SELECT e.place, e.time, e.kind, e.id, coalesce(e.username, u.name), e.content
	FROM recent e CROSS JOIN users u ON u.id = e.user
	WHERE e.place BETWEEN ? AND ? ORDER BY e.place`

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var head uint64
	var recent []recentEntry
	if r != nil {
		head, recent = r.head, r.recent
	}
	s.mu.RUnlock()
	if page.Before != 0 {
		head = min(head, page.Before-1)
	}
	if page.After >= head || page.Limit <= 0 {
		return nil, nil
	}
	first, last := page.After+1, head
	if n := uint64(page.Limit); last-first >= n {
		if page.Last {
			first = last - n + 1
		} else {
			last = first + n - 1
		}
	}
	merged, recent := split(recent, first, last)
	p := newRun(first, last, page)
	if p.back {
		for i := len(recent) - 1; i >= 0; i-- {
			p.add(recent[i].Entry)
		}
	}
	if first <= merged && !p.full {
		if err := s.readMerged(ctx, r, first, merged, &p); err != nil {
			return nil, err
		}
	}
	if p.back {
		slices.Reverse(p.entries)
		return p.entries, nil
	}
	for i := range recent {
		p.add(recent[i].Entry)
	}
	return p.entries, nil
}

// split parts the entries first to last: those up to merged are in the table
// entries, the others are recent. What is recent of a room follows the rest.
func split(recent []recentEntry, first, last uint64) (merged uint64, _ []recentEntry) {
	if len(recent) == 0 || last < recent[0].Seq {
		return last, nil
	}
	start := recent[0].Seq
	return start - 1, recent[max(first, start)-start : last+1-start]
}

// run is a page that is being filled.
type run struct {
	entries []store.Entry
	back    bool // from the newest to the oldest
	room    int  // for contents, in bytes; negative: there is no bound
	full    bool
}

func newRun(first, last uint64, page store.Page) run {
	if page.Bytes <= 0 { // then the direction does not matter
		return run{entries: make([]store.Entry, 0, last-first+1), room: -1}
	}
	return run{back: page.Last, room: page.Bytes}
}

// add adds the next entry, the first one always. Once one does not fit any
// more the page is full.
func (p *run) add(e store.Entry) {
	if p.room >= 0 {
		p.full = p.full || len(e.Content) > p.room && len(p.entries) > 0
		p.room -= min(p.room, len(e.Content))
	}
	if !p.full {
		p.entries = append(p.entries, e)
	}
}

// readMerged reads from the table entries.
func (s *Store) readMerged(ctx context.Context, r *room, first, last uint64, p *run) error {
	var c *reader
	select {
	case c = <-s.readers: // Close waits until it is back
		defer func() { s.readers <- c }()
	case <-s.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.read(r, first, last, p); err != nil {
		return s.failed("read "+r.name.String(), err)
	}
	return nil
}

func (c *reader) read(r *room, first, last uint64, p *run) error {
	stmt := c.page
	if p.back {
		stmt = c.pageBack
	}
	rows, err := stmt.QueryContext(context.Background(), r.place(first), r.place(last))
	if err != nil {
		return err
	}
	defer rows.Close()
	for !p.full && rows.Next() {
		var e store.Entry
		var place int64
		if err := rows.Scan(&place, &e.Time, &e.Kind, &e.ID, &e.Username, &e.Content); err != nil {
			return err
		}
		e.Seq = uint64(place & maxSeq)
		p.add(e)
	}
	return closeRows(rows)
}

// closeRows ends a query and returns what went wrong in it.
func closeRows(rows *sql.Rows) error {
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}
