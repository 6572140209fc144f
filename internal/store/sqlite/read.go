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

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var head uint64
	if r != nil {
		head = r.head
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
	var c *reader
	select {
	case c = <-s.readers: // Close waits until it is back
		defer func() { s.readers <- c }()
	case <-s.closing:
		return nil, store.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	entries, err := c.read(r, first, last, page)
	if err != nil {
		return nil, s.failed("read "+name.String(), err)
	}
	return entries, nil
}

// read reads the entries first to last, or as many as the bound of bytes lets.
func (c *reader) read(room *room, first, last uint64, page store.Page) ([]store.Entry, error) {
	// Without a bound the order of the query does not matter.
	back := page.Last && page.Bytes > 0
	stmt := c.page
	if back {
		stmt = c.pageBack
	}
	rows, err := stmt.QueryContext(context.Background(), room.place(first), room.place(last))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []store.Entry
	if page.Bytes <= 0 {
		entries = make([]store.Entry, 0, last-first+1)
	}
	for bytes := 0; rows.Next(); {
		var e store.Entry
		var place int64
		if err := rows.Scan(&place, &e.Time, &e.Kind, &e.ID, &e.Username, &e.Content); err != nil {
			return nil, err
		}
		bytes += len(e.Content)
		if page.Bytes > 0 && bytes > page.Bytes && len(entries) > 0 {
			break
		}
		e.Seq = uint64(place & maxSeq)
		entries = append(entries, e)
	}
	if err := closeRows(rows); err != nil {
		return nil, err
	}
	if back {
		slices.Reverse(entries)
	}
	return entries, nil
}

// closeRows ends a query and returns what went wrong in it.
func closeRows(rows *sql.Rows) error {
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}
