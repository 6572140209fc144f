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

const (
	// pageQuery reads a run of places, for readRun.
	pageQuery = ofHistory + "WHERE place BETWEEN ? AND ? ORDER BY place"
	// quietQuery leaves reactions out.
	quietQuery = ofHistory + "WHERE place BETWEEN ? AND ? AND kind <> 4 ORDER BY place"
)

// Reasons why a row cannot be read as it was written.
var (
	errSum     = errors.New("its checksum does not match")
	errMissing = errors.New("it is missing")
)

// orEmpty is a text that may be NULL, as a destination of Scan: then it is empty.
type orEmpty string

// Scan implements sql.Scanner.
func (t *orEmpty) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*t = ""
	case string:
		*t = orEmpty(value)
	case []byte:
		*t = orEmpty(value)
	default:
		return fmt.Errorf("it is a %T and no text", value)
	}
	return nil
}

// readRun calls visit with the entries from one seq to another of a room, up or
// down, until visit returns false. An entry is valid during the call. rows and err are
// the result of a query for the entries, on the connection of the authors. At the first
// entry that is not there as it was written, readRun returns its seq and what is wrong
// with it.
func readRun(rows *sql.Rows, err error, authors *authors, room int64, from, to uint64, visit func(e *store.Entry, user int64) bool) (damaged uint64, damage, _ error) {
	return readSome(rows, err, authors, room, from, to, false, visit)
}

// readSome is readRun for a query that may leave entries out if there may be gaps.
func readSome(rows *sql.Rows, err error, authors *authors, room int64, from, to uint64, gaps bool, visit func(e *store.Entry, user int64) bool) (damaged uint64, damage, _ error) {
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
		err := rows.Scan(&place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value)
		if gaps { // the place was scanned first, and the query has looked at it
			next = uint64(place & maxSeq)
		}
		if err != nil {
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
		case !authors.matches(&e, place, user, value, &author, username.Valid):
			return next, errSum, nil
		case !visit(&e, user):
			return 0, nil, nil
		}
		next += step
	}
	if err := closeRows(rows); err != nil {
		return sort(err)
	}
	if n > 0 && !gaps {
		return next, errMissing, nil
	}
	return 0, nil, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name kaban.RoomName, page store.Page) (entries []store.Entry, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	m := moment{room: r}
	if r != nil {
		m.head, m.unmerged, m.about, m.front = r.head, r.unmerged, r.about, r.cut
	}
	s.mu.RUnlock()
	first, last := m.run(page)
	if first > last {
		return nil, nil
	}
	if merged, unmerged := split(m.unmerged, first, last); merged < first && !slices.ContainsFunc(unmerged, func(e unmergedEntry) bool { return e.Kind == kaban.KindEdit }) {
		return m.read(first, last, page) // all of it is in memory
	}
	err = s.at(ctx, r, func(m *moment) (err error) {
		if first, last := m.run(page); first <= last {
			entries, err = m.read(first, last, page)
		}
		return err
	})
	return entries, err
}

// run returns the first and the last entry of a page, unless there are none: then the first
// is behind the last.
func (m *moment) run(page store.Page) (first, last uint64) {
	last = m.head
	if page.Before != 0 {
		last = min(last, page.Before-1)
	}
	after := max(page.After, m.front)
	if after >= last || page.Limit <= 0 {
		return 1, 0
	}
	first = after + 1
	if n := uint64(page.Limit); last-first >= n {
		if page.Last {
			first = last - n + 1
		} else {
			last = first + n - 1
		}
	}
	return first, last
}

// read reads a run of entries, up to the first damaged one, which is the error if nothing
// was read before it.
func (m *moment) read(first, last uint64, page store.Page) ([]store.Entry, error) {
	merged, unmerged := split(m.unmerged, first, last)
	p := newRun(first, last, page)
	if m.begin = first; p.back {
		m.begin = last
	}
	states := newStates()
	var damage *store.DamagedError
	var err error
	if p.back {
		for i := len(unmerged) - 1; i >= 0 && !p.full; i-- {
			if page.Skips(&unmerged[i].Entry) {
				continue
			}
			if damage, err = m.add(&p, unmerged[i].Entry); err != nil {
				return nil, err
			}
		}
	}
	if first <= merged && !p.full {
		rows, err := m.statesIn.QueryContext(context.Background(), m.place(first), m.place(merged))
		if err = states.readStates(rows, err, &m.authors.sum); err != nil {
			return nil, err
		}
		if damage, err = m.readMerged(first, merged, page.NoReactions, &p); err != nil {
			return nil, err
		}
		if bad := m.cut(&p.entries, states, false); bad != nil { // in the direction of reading
			damage = bad
		}
		p.full = p.full || damage != nil
	}
	if p.back {
		slices.Reverse(p.entries)
	} else {
		for i := 0; i < len(unmerged) && !p.full; i++ {
			if page.Skips(&unmerged[i].Entry) {
				continue
			}
			if damage, err = m.add(&p, unmerged[i].Entry); err != nil {
				return nil, err
			}
		}
	}
	if damage != nil && len(p.entries) == 0 {
		return nil, damage
	}
	m.finish(p.entries, states)
	for i := range p.entries {
		p.entries[i] = p.entries[i].WithoutReactions()
	}
	return p.entries, nil
}

// add adds the next entry to a page, unless its text is damaged, which ends the page.
func (m *moment) add(p *run, e store.Entry) (*store.DamagedError, error) {
	e, err := m.withText(e)
	if errors.Is(err, store.ErrDamaged) {
		p.full = true
		return m.damaged(e.Seq, err), nil
	}
	if err == nil {
		p.add(e)
	}
	return nil, err
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
	room    int  // for texts, in bytes; negative: no limit
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
		p.full = p.full || e.Size() > p.room && len(p.entries) > 0
		p.room -= min(p.room, e.Size())
	}
	if !p.full {
		p.entries = append(p.entries, e)
	}
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

// readMerged adds merged entries to a page, up to the first damaged one.
func (m *moment) readMerged(first, last uint64, quiet bool, p *run) (*store.DamagedError, error) {
	stmt, back, from, to := m.page, m.pageBack, first, last
	if quiet {
		stmt, back = m.quiet, m.quietBack
	}
	if p.back {
		stmt, from, to = back, last, first
	}
	rows, err := stmt.QueryContext(context.Background(), m.place(first), m.place(last))
	var lost *store.DamagedError
	var failed error
	damaged, damage, err := readSome(rows, err, m.authors, m.id, from, to, quiet, func(e *store.Entry, _ int64) bool {
		lost, failed = m.add(p, *e)
		return failed == nil && !p.full
	})
	switch {
	case lost != nil || failed != nil:
		return lost, failed
	case damage == nil:
		return nil, err
	}
	return m.damaged(damaged, damage), err
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
