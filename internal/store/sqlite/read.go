package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// pageQuery reads a run of places, for readRun.
const pageQuery = "SELECT place, time, kind, user, id, username, target, content, sum FROM entries WHERE place BETWEEN ? AND ? ORDER BY place"

// Reasons why a row cannot be read as it was written.
var (
	errSum     = errors.New("its checksum does not match")
	errMissing = errors.New("it is missing")
)

// readRun calls visit with the entries from one seq to another of a room, up or
// down, until visit returns false. An entry is valid during the call. rows and err are
// the result of a query for the entries, on the connection of the authors. At the first
// entry that is not there as it was written, readRun returns its seq and what is wrong
// with it.
func readRun(rows *sql.Rows, err error, authors *authors, room int64, from, to uint64, visit func(e *store.Entry, user int64) bool) (damaged uint64, damage, _ error) {
	next, step, n := from, uint64(1), to-from+1
	if to < from {
		step, n = ^uint64(0), from-to+1
	}
	sort := func(err error) (uint64, error, error) {
		if isDamage(err) {
			return next, err, nil
		}
		return 0, nil, err
	}
	if err != nil {
		return sort(err)
	}
	defer rows.Close()
	var e store.Entry // outside of the loop, because Scan makes all of them escape
	var place, user, value int64
	var username sql.NullString
	for ; n > 0 && rows.Next(); n-- {
		if err := rows.Scan(&place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, &value); err != nil {
			return next, err, nil // a value has the wrong type
		}
		author, err := authors.author(context.Background(), user)
		if err != nil {
			return sort(err)
		}
		e.Seq, e.Author, e.Username = uint64(place&maxSeq), author.key, author.name
		if username.Valid {
			e.Username = username.String
		}
		switch {
		case place != room<<seqBits|int64(next):
			return next, errMissing, nil
		case author.err != nil:
			return next, fmt.Errorf("its author: %w", author.err), nil
		case authors.sum.entry(place, user, &e) != value:
			return next, errSum, nil
		case !visit(&e, user):
			return 0, nil, nil
		}
		next += step
	}
	if err := closeRows(rows); err != nil {
		return sort(err)
	}
	if n > 0 {
		return next, errMissing, nil
	}
	return 0, nil, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var head uint64
	var unmerged []unmergedEntry
	if r != nil {
		head, unmerged = r.head, r.unmerged
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
	merged, unmerged := split(unmerged, first, last)
	p := newRun(first, last, page)
	if p.back {
		for i := len(unmerged) - 1; i >= 0; i-- {
			p.add(unmerged[i].Entry)
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
	for i := range unmerged {
		p.add(unmerged[i].Entry)
	}
	return p.entries, nil
}

// split returns the last merged entry of the run first to last, and the unmerged
// entries of it, which follow.
func split(unmerged []unmergedEntry, first, last uint64) (merged uint64, _ []unmergedEntry) {
	if len(unmerged) == 0 || last < unmerged[0].Seq {
		return last, nil
	}
	start := unmerged[0].Seq
	return start - 1, unmerged[max(first, start)-start : last+1-start]
}

// run is a page that is being filled.
type run struct {
	entries []store.Entry
	back    bool // from the newest to the oldest
	room    int  // for content, in bytes; negative: no limit
	full    bool
}

func newRun(first, last uint64, page store.Page) run {
	if page.Bytes <= 0 {
		return run{entries: make([]store.Entry, 0, last-first+1), back: page.Last, room: -1}
	}
	return run{back: page.Last, room: page.Bytes}
}

// add adds the next entry, the first one always. The page is full as soon as one
// does not fit.
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
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers <- c }()
	if err := c.read(s.database, r, first, last, p); err != nil {
		return s.failed("read "+r.name.String(), err)
	}
	return nil
}

// reader returns an idle reader. Close waits for its return to readers.
func (s *Store) reader(ctx context.Context) (*reader, error) {
	select {
	case c := <-s.readers:
		return c, nil
	case <-s.closing:
		return nil, store.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read adds entries to a page up to the first damaged one: then the page is full, or
// the damage is the error if the page is empty.
func (c *reader) read(d *database, r *room, first, last uint64, p *run) error {
	stmt, from, to := c.page, first, last
	if p.back {
		stmt, from, to = c.pageBack, last, first
	}
	rows, err := stmt.QueryContext(context.Background(), r.place(first), r.place(last))
	damaged, damage, err := readRun(rows, err, c.authors, r.id, from, to, func(e *store.Entry, _ int64) bool {
		p.add(*e)
		return !p.full
	})
	if damage != nil {
		found := &store.DamagedError{Room: r.name, Seq: damaged, Err: damage}
		d.report(r, found)
		if p.full = true; len(p.entries) == 0 {
			return found
		}
	}
	return err
}

// maxReported bounds the damaged entries that the log names, each once.
const maxReported = 100

// reported is an entry that the log has named.
type reported struct {
	room int64
	seq  uint64
}

// report logs an entry that cannot be read.
func (d *database) report(r *room, e *store.DamagedError) {
	at := reported{r.id, e.Seq}
	d.mu.Lock()
	_, known := d.reported[at]
	n := len(d.reported)
	if known = known || n == maxReported; !known {
		d.reported[at] = struct{}{}
	}
	d.mu.Unlock()
	if known {
		return
	}
	d.log.Error("a message is damaged on the disk and is not delivered; \"kaban check\" finds all damage, and \"kaban restore\" restores a backup",
		"room", e.Room, "seq", e.Seq, "error", e.Err)
	if n+1 == maxReported {
		d.log.Error("further damaged messages are not logged", "path", d.path)
	}
}

// closeRows ends a query and returns its error.
func closeRows(rows *sql.Rows) error {
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}
