package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// historyStmts read pages with what has become of their messages.
type historyStmts struct {
	statesIn              *sql.Stmt // of a run of places
	statesOf, reactionsOf *sql.Stmt // of a list
	shown, shownBack      *sql.Stmt
	answers, answersBack  *sql.Stmt
	countChanges          *sql.Stmt
	runBefore             *sql.Stmt
}

const (
	inList          = "IN (SELECT value FROM json_each(?))"
	listedReactions = reactionsQuery + inList + " ORDER BY place, emoji, first"
	ofHistory       = "SELECT place, time, kind, user, id, username, target, content, files, sum FROM entries "
	// shownQuery reads a run of places without changes of messages.
	shownQuery = ofHistory + "WHERE place BETWEEN ? AND ? AND kind NOT BETWEEN 2 AND 5 ORDER BY place"
	// answersQuery reads the messages in a run of places that answer one.
	answersQuery = ofHistory + "INDEXED BY replies WHERE place BETWEEN ?1 AND ?2 AND place >> 40 = ?1 >> 40 AND target = ?3 AND kind = 1 AND target <> 0 ORDER BY place"
)

func (h *historyStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&h.statesIn: stateQuery + "BETWEEN ? AND ?", &h.statesOf: stateQuery + inList,
		&h.reactionsOf: listedReactions,
		&h.shown:       shownQuery, &h.shownBack: shownQuery + " DESC",
		&h.answers: answersQuery, &h.answersBack: answersQuery + " DESC",
		&h.runBefore:    runBeforeQuery,
		&h.countChanges: "SELECT count(*) FROM entries INDEXED BY no_messages WHERE place BETWEEN ? AND ? AND kind <> 1 AND kind BETWEEN 2 AND 5",
	}
}

// moment is a room as one reader sees it: the entries up to head, those that unmerged has and
// the merged ones before them, folded up to merged.
type moment struct {
	*reader
	*room
	database *database
	head     uint64
	unmerged []unmergedEntry
	about    []aboutMessage
	merged   uint64
	front    uint64                  // the entries up to this one are not kept
	begin    uint64                  // the first entry that is read, in the direction of reading
	edited   map[uint64]*store.Entry // the messages of the edits that were read
	changes  map[uint64]*changesOf   // those of unmerged by their messages; nil until they are sorted
}

// at runs a function on one moment of a room. r may be nil: then it does nothing.
func (s *Store) at(ctx context.Context, r *room, run func(m *moment) error) error {
	if r == nil {
		return nil
	}
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers <- c }()
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		again, err := s.atOnce(c, r, run)
		if err != nil || !again {
			return err
		}
	}
}

// atOnce is at, or asks for another try: more was merged than there was a moment before.
func (s *Store) atOnce(c *reader, r *room, run func(m *moment) error) (again bool, err error) {
	ctx := context.Background()
	m := moment{reader: c, room: r, database: s.database}
	s.mu.RLock()
	m.head, m.unmerged, m.about = r.head, r.unmerged, r.about
	cut := r.cut
	s.mu.RUnlock()
	operation := "read " + r.name.String()
	if _, err := c.begin.ExecContext(ctx); err != nil {
		return false, s.failed(operation, err)
	}
	defer func() {
		if failed := c.rollback(ctx); failed != nil {
			again, err = false, s.broke(operation, errors.Join(err, failed))
		}
	}()
	row, err := c.readRoom(ctx, &c.authors.sum, r)
	m.merged, m.front = row.head, row.cut
	switch {
	case errors.Is(err, store.ErrDamaged): // the memory knows it, but for what is being merged
		if m.merged, m.front = m.head, cut; len(m.unmerged) > 0 {
			m.merged = m.unmerged[0].Seq - 1
		}
	case err != nil:
		return false, s.failed(operation, err)
	case m.merged > m.head:
		return true, nil
	}
	err = run(&m)
	switch {
	case err == nil || errors.As(err, new(*store.DamagedError)):
	case isDamage(err) || errors.Is(err, store.ErrDamaged): // of an index, or of a whole page of the database
		err = m.damaged(m.begin, err)
	default:
		err = s.failed(operation, err)
	}
	return false, err
}

// damaged reports damage to an entry, which ends a page.
func (m *moment) damaged(seq uint64, err error) *store.DamagedError {
	damage := &store.DamagedError{Room: m.name, Seq: seq, Err: err}
	m.database.report(m.room, damage)
	return damage
}

// message returns a message of the room as it is at the moment, nil if there is none.
func (m *moment) message(seq uint64) (*store.Entry, error) {
	if seq <= m.front || seq > m.head {
		return nil, nil
	}
	var e store.Entry
	if m.isMerged(seq) {
		found, err := m.readMessage(context.Background(), m.authors, m.place(seq))
		if err != nil || found == nil {
			return nil, err
		}
		e = *found
	} else {
		e = m.unmerged[seq-m.unmerged[0].Seq].Entry
	}
	m.fold(&e)
	return &e, nil
}

// withText returns an entry of the room, which is as it is stored, with the text that it has
// at the moment. The text of an edit is damaged if its message is.
func (m *moment) withText(e store.Entry) (store.Entry, error) {
	switch e.Kind {
	case kaban.KindMessage:
		before := e.State
		m.fold(&e)
		e.State = before
	case kaban.KindEdit:
		message, known := m.edited[e.Target]
		if !known {
			var err error
			if message, err = m.message(e.Target); err != nil {
				return e, err
			}
			if m.edited == nil {
				m.edited = make(map[uint64]*store.Entry)
			}
			m.edited[e.Target] = message
		}
		e.Content = ""
		if message != nil && message.Version() == e.Seq && !message.IsDeleted() {
			if e.Content = message.Content; e.Content == "" { // only such an edit leaves none
				e.Content = kaban.NoText
			}
		}
	}
	return e, nil
}

// fold applies what is not merged to a message as it is stored.
func (m *moment) fold(e *store.Entry) {
	after := uint64(0)
	if m.isMerged(e.Seq) {
		after = m.merged
	}
	if len(m.about) == 0 {
		return
	}
	if m.changes == nil {
		m.sortChanges()
	}
	c := m.changes[e.Seq]
	if c == nil {
		return
	}
	f := store.Folder{Message: e}
	for _, seq := range slices.Backward(c.seqs) {
		if seq > after {
			f.Apply(&m.unmerged[seq-m.unmerged[0].Seq].Entry)
		}
	}
	f.End()
}

// changesOf are the unmerged entries about a message, the newest one first. Of its edits only the last
// one counts.
type changesOf struct {
	seqs   []uint64
	edited bool
}

// sortChanges sorts the unmerged entries by the messages that they are about.
func (m *moment) sortChanges() {
	m.changes = make(map[uint64]*changesOf)
	var last *changesOf // often several in a row are about the same message
	target := uint64(0)
	for i := range slices.Backward(m.about) {
		a := &m.about[i]
		if last == nil || a.target != target {
			if last, target = m.changes[a.target], a.target; last == nil {
				last = new(changesOf)
				m.changes[target] = last
			}
		}
		if a.kind == kaban.KindEdit {
			if last.edited {
				continue
			}
			last.edited = true
		}
		last.seqs = append(last.seqs, a.seq)
	}
}

// isMerged reports whether an entry is read from the table.
func (m *moment) isMerged(seq uint64) bool {
	return len(m.unmerged) == 0 || seq < m.unmerged[0].Seq
}

// finish gives the messages of a page their states. states are those of the merged ones,
// which can all be read.
func (m *moment) finish(entries []store.Entry, states states) {
	for i := range entries {
		e := &entries[i]
		if e.Kind != kaban.KindMessage {
			continue
		}
		if m.isMerged(e.Seq) {
			e.State = states.of[m.place(e.Seq)]
		}
		m.fold(e)
	}
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, name kaban.RoomName, page store.Page) (h store.History, err error) {
	if err := s.usable(ctx); err != nil {
		return store.History{}, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	s.mu.RUnlock()
	err = s.at(ctx, r, func(m *moment) error {
		h, err = m.history(page)
		return err
	})
	if err != nil {
		return store.History{}, err
	}
	return h, nil
}

// history reads a page.
func (m *moment) history(page store.Page) (h store.History, err error) {
	h.AsOf = m.head
	first, last := page.Run(m.front+1, m.head)
	if first > last || page.Limit <= 0 {
		return h, nil
	}
	h.First, h.Last = first, last
	if m.begin = first; page.Last {
		m.begin = last
	}
	merged, unmerged := split(m.unmerged, h.First, h.Last)
	p := shownRun{page: page, h: &h}
	if page.Last {
		p.addUnmerged(m, unmerged)
	}
	var damage error
	if h.First <= merged && !p.full {
		if damage, err = m.readShown(&p, first, merged); err != nil {
			return h, err
		}
	}
	if !page.Last {
		p.addUnmerged(m, unmerged)
	} else {
		slices.Reverse(h.Entries)
	}
	if damage != nil && len(h.Entries) == 0 {
		return h, damage
	}
	err = m.finishHistory(&h, page.Last)
	return h, err
}

// shownRun is a page of history that is being filled.
type shownRun struct {
	page  store.Page
	h     *store.History
	bytes int
	full  bool
}

// add adds the next entry if the page shows it, and if there is room. The page is full if
// there is none.
func (p *shownRun) add(m *moment, e store.Entry) {
	if !p.page.Shows(&e) {
		return
	}
	e, _ = m.withText(e) // it is no edit, so nothing is read
	p.bytes += e.Size()
	if len(p.h.Entries) == p.page.Limit || p.page.Bytes > 0 && p.bytes > p.page.Bytes && len(p.h.Entries) > 0 {
		p.end(e.Seq)
		return
	}
	p.h.Entries = append(p.h.Entries, e)
}

// addUnmerged adds a run of unmerged entries. The list of those about messages tells which ones are
// changes, so that passing over thousands of them does not visit them.
func (p *shownRun) addUnmerged(m *moment, unmerged []unmergedEntry) {
	if len(unmerged) == 0 {
		return
	}
	first, n := unmerged[0].Seq, uint64(len(unmerged))
	bySeq := func(a aboutMessage, seq uint64) int { return cmp.Compare(a.seq, seq) }
	from, _ := slices.BinarySearchFunc(m.about, first, bySeq)
	to, _ := slices.BinarySearchFunc(m.about, first+n, bySeq)
	for i := uint64(0); i < n && !p.full; i++ {
		at, next := i, from
		if p.page.Last {
			at, next = n-1-i, to-1
		}
		if from < to && m.about[next].seq == first+at {
			if p.page.Last {
				to--
			} else {
				from++
			}
			if m.about[next].kind.IsChange() {
				continue
			}
		}
		p.add(m, unmerged[at].Entry)
	}
}

// end ends the page before an entry.
func (p *shownRun) end(seq uint64) {
	p.full = true
	p.h.Stop(seq, p.page.Last)
}

// errHidden means that the entries that a page passes over are not what the index says.
var errHidden = errors.New("it or one next to it is missing, or of another kind than the index says")

// readStretch adds merged entries of a run to a page. Damage ends the page.
func (m *moment) readStretch(p *shownRun, first, last uint64) (damage, _ error) {
	rows, err := m.queryShown(&p.page, first, last)
	next := first // not seen yet, in the direction of reading
	if p.page.Last {
		next = last
	}
	stop := func(seq uint64, err error) error {
		p.end(seq)
		return m.damaged(seq, err)
	}
	if err != nil {
		if isDamage(err) {
			return stop(next, err), nil
		}
		return nil, err
	}
	defer rows.Close()
	for !p.full && rows.Next() {
		var e store.Entry
		var place, user, value int64
		var username sql.NullString
		if err := rows.Scan(&place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value); err != nil {
			return stop(next, err), nil
		}
		author, err := m.authors.author(context.Background(), user)
		if err != nil {
			return nil, err
		}
		e.Seq, e.Author, e.Username = uint64(place&maxSeq), author.key, author.name
		if username.Valid {
			e.Username = username.String
		}
		switch {
		case author.err != nil:
			return stop(e.Seq, fmt.Errorf("its author: %w", author.err)), nil
		case m.authors.sum.entry(place, user, &e) != value:
			return stop(e.Seq, errSum), nil
		}
		if whole, err := m.passes(p, next, e.Seq); err != nil {
			return nil, err
		} else if !whole {
			return stop(next, errHidden), nil
		}
		if p.add(m, e); p.page.Last {
			next = e.Seq - 1
		} else {
			next = e.Seq + 1
		}
	}
	if err := closeRows(rows); isDamage(err) {
		return stop(next, err), nil
	} else if err != nil {
		return nil, err
	}
	end := last + 1
	if p.page.Last {
		end = first - 1
	}
	if p.full {
		return nil, nil
	}
	if whole, err := m.passes(p, next, end); err != nil {
		return nil, err
	} else if !whole {
		return stop(next, errHidden), nil
	}
	return nil, nil
}

func (m *moment) queryShown(page *store.Page, first, last uint64) (*sql.Rows, error) {
	from, to := m.place(first), m.place(last)
	if page.RepliesTo != 0 {
		query := m.answers
		if page.Last {
			query = m.answersBack
		}
		return query.QueryContext(context.Background(), from, to, page.RepliesTo)
	}
	query := m.shown
	if page.Last {
		query = m.shownBack
	}
	return query.QueryContext(context.Background(), from, to)
}

// passes reports whether those entries are changes that the page passes over between the
// next entry and the one that was found, in the direction of reading. The index of changes
// tells, so that a damaged row is not passed over in silence. Of a thread it cannot tell.
func (m *moment) passes(p *shownRun, next, found uint64) (bool, error) {
	if next == found || p.page.RepliesTo != 0 {
		return true, nil
	}
	first, last := next, found-1
	if p.page.Last {
		first, last = found+1, next
	}
	var n uint64
	err := m.countChanges.QueryRowContext(context.Background(), m.place(first), m.place(last)).Scan(&n)
	return n == last-first+1, err
}

// finishHistory makes entries of a page what they are, with their reactions. Of a message
// whose state cannot be read it is the end.
func (m *moment) finishHistory(h *store.History, back bool) error {
	var places []int64
	for i := range h.Entries {
		if e := &h.Entries[i]; e.Kind == kaban.KindMessage && e.Seq <= m.merged {
			places = append(places, m.place(e.Seq))
		}
	}
	states := newStates()
	if len(places) > 0 {
		list, err := json.Marshal(places)
		if err != nil {
			return err
		}
		rows, err := m.statesOf.QueryContext(context.Background(), string(list))
		if err := states.readStates(rows, err, &m.authors.sum); err != nil {
			return err
		}
		rows, err = m.reactionsOf.QueryContext(context.Background(), string(list))
		if err := states.readReactions(context.Background(), rows, err, m.authors); err != nil {
			return err
		}
	}
	if damage := m.cut(&h.Entries, states, back); damage != nil {
		if h.Stop(damage.Seq, back); len(h.Entries) == 0 {
			return damage
		}
	}
	m.finish(h.Entries, states)
	return nil
}

// cut ends a page before the first message, in the direction of reading, whose state cannot
// be read, and returns the damage.
func (m *moment) cut(entries *[]store.Entry, states states, back bool) *store.DamagedError {
	if len(states.bad) == 0 {
		return nil
	}
	isBad := func(e store.Entry) bool { return states.bad[m.place(e.Seq)] != nil }
	all := *entries
	for n := range all {
		i := n
		if back {
			i = len(all) - 1 - n
		}
		if !isBad(all[i]) {
			continue
		}
		if *entries = all[:i]; back {
			*entries = all[i+1:]
		}
		return m.damaged(all[i].Seq, states.bad[m.place(all[i].Seq)])
	}
	return nil
}
