package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// mentionStmts write whom messages mention.
type mentionStmts struct {
	mentionsOf               *sql.Stmt
	addMention, dropMentions *sql.Stmt
	forgetMentions           *sql.Stmt
}

const (
	allMentions = "SELECT account, place, cause, user, time, online, sum FROM mentions"
	// mentionsQuery reads what concerns an account in a run of places, the last rows of two runs
	// of the key: those by its name, and those of many.
	mentionsQuery = "SELECT * FROM (" + allMentions + " WHERE account = ?1 AND place BETWEEN ?2 AND ?3 ORDER BY place DESC LIMIT ?4)" +
		" UNION ALL SELECT * FROM (" + allMentions + " WHERE account = '' AND place BETWEEN ?2 AND ?3 ORDER BY place DESC LIMIT ?5)"
	// How many rows are read of each: of a message there is one by name, and up to two of many.
	maxRowsByName = store.MaxMentions + 1
	maxRowsOfMany = 2*store.MaxMentions + 1
)

func (m *mentionStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&m.mentionsOf:   allMentions + " INDEXED BY mentions_of_message WHERE place = ?",
		&m.addMention:   "INSERT INTO mentions (account, place, cause, user, time, online, sum) VALUES (?, ?, ?, ?, ?, ?, ?)",
		&m.dropMentions: "DELETE FROM mentions WHERE place = ?",
		&m.forgetMentions: "DELETE FROM mentions WHERE (account, place, cause) IN" +
			" (SELECT account, place, cause FROM mentions INDEXED BY mentions_by_time WHERE time < ? ORDER BY time LIMIT ?)",
	}
}

// mention is a row of mentions.
type mention struct {
	place int64
	user  int64 // the author of the message
	store.Occurrence
}

func scanMention(row scanner, sum *summer) (m mention, err error) {
	var online string
	var value int64
	err = row.Scan(&m.Account, &m.place, &m.Cause, &m.user, &m.Time, &online, &value)
	m.Online = strings.Fields(online)
	return m, checked(err, sum.mention(&m), value, "a mention by message", uint64(m.place&maxSeq))
}

// tells reports whether an entry may change whom a message mentions.
func (e *unmergedEntry) tells() bool {
	return e.mentions != nil || e.Kind == kaban.KindEdit || e.Kind == kaban.KindDelete
}

// mentioning is a message while what mentions it has is put together.
type mentioning struct {
	author      string
	occurrences []store.Occurrence
}

// Mentions implements store.Store. What is read from the database may be newer than the unmerged
// entries that are applied to it. That makes no difference: applied to what they have already
// made, all of them in their order make the same.
func (s *Store) Mentions(ctx context.Context, name kaban.RoomName, account string, after, last uint64) (found []store.Mention, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var unmerged []unmergedEntry
	var telling []uint64
	if r == nil {
		last = 0
	} else {
		last, unmerged, telling = min(last, r.head), r.unmerged, r.telling
	}
	s.mu.RUnlock()
	if after >= last {
		return nil, nil
	}
	messages := make(map[uint64]*mentioning)
	if merged, _ := split(unmerged, after+1, last); after < merged {
		if err := s.mergedMentions(ctx, r, account, after, merged, unmerged, telling, messages); err != nil {
			return nil, err
		}
	}
	for _, seq := range telling {
		e, about := &unmerged[seq-unmerged[0].Seq], seq
		if e.Kind != kaban.KindMessage {
			about = e.Target
		}
		m := messages[about]
		if m == nil && e.mentions != nil && about >= unmerged[0].Seq && about > after && about <= last {
			m = &mentioning{author: unmerged[about-unmerged[0].Seq].Author}
			messages[about] = m
		}
		if m != nil {
			m.occurrences = e.mentions.Occur(m.occurrences, e.Time) // none are left by a deletion
		}
	}
	for seq, m := range messages {
		if by, _ := kaban.AuthorOf(m.author); by == account {
			continue
		}
		if one, ok := store.MentionOf(account, seq, m.occurrences); ok {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b store.Mention) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return store.LastMentions(found), nil
}

// mentionedQuery finds those of some runs of places, as pairs in JSON, in which there is
// anything that concerns an account.
const mentionedQuery = "SELECT r.key FROM json_each(?1) r WHERE" +
	" EXISTS (SELECT 1 FROM mentions WHERE account = ?2 AND place BETWEEN r.value ->> 0 AND r.value ->> 1) OR" +
	" EXISTS (SELECT 1 FROM mentions WHERE account = '' AND place BETWEEN r.value ->> 0 AND r.value ->> 1)"

// MayMention implements store.Store.
func (s *Store) MayMention(ctx context.Context, account string, runs []store.Run) ([]bool, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	may, places := make([]bool, len(runs)), make([][2]int64, len(runs))
	s.mu.RLock()
	for i := range runs {
		run := &runs[i]
		if places[i] = [2]int64{1, 0}; run.After >= run.Last {
			continue
		}
		if r := s.rooms[run.Room.Key()]; r != nil { // what is not merged is looked at by Mentions
			may[i], places[i] = len(r.telling) > 0, [2]int64{r.place(min(run.After, maxSeq) + 1), r.place(min(run.Last, maxSeq))}
		}
	}
	s.mu.RUnlock()
	list, err := json.Marshal(places)
	if err != nil {
		return nil, err
	}
	c, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.readers <- c }()
	rows, err := c.mentioned.QueryContext(context.Background(), string(list), account)
	if err != nil {
		return nil, s.failed("find mentions", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return nil, s.failed("find mentions", err)
		}
		may[i] = true
	}
	if err := closeRows(rows); err != nil {
		return nil, s.failed("find mentions", err)
	}
	return may, nil
}

// mergedMentions adds the messages from behind a seq to the last merged one that have rows which
// concern an account, and those that unmerged edits may make mention it.
func (s *Store) mergedMentions(ctx context.Context, r *room, account string, after, merged uint64, unmerged []unmergedEntry, telling []uint64, into map[uint64]*mentioning) error {
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers <- c }()
	err = c.readMentions(r, account, after, merged, into)
	for _, seq := range telling {
		e := &unmerged[seq-unmerged[0].Seq]
		if err != nil || e.mentions == nil || e.Kind != kaban.KindEdit || e.Target <= after || e.Target > merged || into[e.Target] != nil {
			continue
		}
		var message *store.Entry
		var user int64
		if message, user, err = c.readRow(context.Background(), &c.authors.sum, r.place(e.Target)); message == nil || err != nil {
			err = unlessDamaged(err)
			continue
		}
		var by author
		if by, err = c.authors.author(context.Background(), user); err == nil {
			into[e.Target] = &mentioning{author: by.key}
		}
	}
	if err != nil {
		return s.failed("read mentions in "+r.name.String(), err)
	}
	return nil
}

// readMentions adds the messages of a run that have rows which concern an account. Of a long
// run it adds the last ones, as many as have all of their rows among those that are read.
func (r *reader) readMentions(in *room, account string, after, last uint64, into map[uint64]*mentioning) error {
	rows, err := r.mentions.QueryContext(context.Background(), account, in.place(after+1), in.place(last), maxRowsByName, maxRowsOfMany)
	if err != nil {
		return unlessDamaged(err)
	}
	defer rows.Close()
	byName, ofMany := lastRows{limit: maxRowsByName}, lastRows{limit: maxRowsOfMany}
	for rows.Next() {
		m, err := scanMention(rows, &r.authors.sum)
		if m.Account == "" {
			ofMany.add(m.place)
		} else {
			byName.add(m.place)
		}
		var by author
		if err == nil {
			by, err = r.authors.author(context.Background(), m.user)
		}
		if err == nil {
			err = by.err
		}
		if err != nil {
			if err = unlessDamaged(err); err != nil {
				return err
			}
			continue
		}
		seq := uint64(m.place & maxSeq)
		if into[seq] == nil {
			into[seq] = &mentioning{author: by.key}
		}
		into[seq].occurrences = append(into[seq].occurrences, m.Occurrence)
	}
	if cut := max(byName.cut(), ofMany.cut()); cut > 0 {
		maps.DeleteFunc(into, func(seq uint64, _ *mentioning) bool { return in.place(seq) <= cut })
	}
	return unlessDamaged(closeRows(rows))
}

// lastRows are the rows that were read of a run, from its end on.
type lastRows struct {
	limit, n int
	place    int64 // of the last one read
}

func (l *lastRows) add(place int64) { l.n, l.place = l.n+1, place }

// cut returns the last place of which perhaps not all rows were read, 0 if all were.
func (l *lastRows) cut() int64 {
	if l.n < l.limit {
		return 0
	}
	return l.place
}

// unlessDamaged returns an error, unless it is about data that cannot be read.
func unlessDamaged(err error) error {
	if isDamage(err) || errors.Is(err, store.ErrDamaged) {
		return nil
	}
	return err
}

// hasUnmerged reports whether a message that is not merged may have mentions with an earlier time.
func (d *database) hasUnmerged(before int64) bool {
	d.appending.Lock()
	defer d.appending.Unlock()
	for r := range d.unmerged.rooms {
		for _, seq := range r.telling {
			if r.unmerged[seq-r.unmerged[0].Seq].Time < before {
				return true
			}
		}
	}
	return false
}

// ForgetMentions implements store.Store.
func (s *Store) ForgetMentions(ctx context.Context, before int64, limit int) (n int, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	if s.hasUnmerged(before) { // on a quiet server messages stay in the journal for long
		if err := s.mergePresent(); err != nil {
			return 0, err
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	const operation = "forget old mentions"
	b := s.newBatch(ctx)
	defer b.end()
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return 0, b.abort(operation, err)
	}
	var rows int64
	result, err := b.stmts.forgetMentions.ExecContext(b.ctx, before, limit)
	if err == nil {
		rows, err = result.RowsAffected()
	}
	if err == nil {
		err = b.stmts.commit.exec(b.ctx)
	}
	if err != nil {
		return 0, b.abort(operation, err)
	}
	b.tend(int(rows))
	return int(rows), nil
}

// foldedMentions are the occurrences of a message while entries are being merged.
type foldedMentions struct {
	user   int64 // the author of the message
	stored bool  // there are rows
	lost   bool  // of which some cannot be read: they stay
	now    []store.Occurrence
}

// mention folds an entry into the occurrences of the message at a place. merged is set if that
// is in the table entries.
func (f *folding) mention(b *batch, e *unmergedEntry, place, user int64, merged bool) error {
	m := f.mentions[place]
	if m == nil {
		m = &foldedMentions{user: user}
		if merged {
			if err := m.read(b, place); err != nil {
				return err
			}
		}
		if f.mentions == nil {
			f.mentions = make(map[int64]*foldedMentions)
		}
		f.mentions[place] = m
	}
	if e.Kind == kaban.KindDelete {
		m.lost = false
	}
	m.now = e.mentions.Occur(m.now, e.Time)
	return nil
}

func (m *foldedMentions) read(b *batch, place int64) error {
	rows, err := b.stmts.mentionsOf.QueryContext(b.ctx, place)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		m.stored = true
		row, err := scanMention(rows, &b.sum)
		if errors.Is(err, store.ErrDamaged) {
			m.lost = true
			continue
		}
		if err != nil {
			return err
		}
		m.now = append(m.now, row.Occurrence)
	}
	return closeRows(rows)
}

// saveMentions writes the occurrences.
func (f *folding) saveMentions(b *batch) error {
	for place, m := range f.mentions {
		if m.lost {
			continue
		}
		if m.stored {
			if _, err := b.stmts.dropMentions.ExecContext(b.ctx, place); err != nil {
				return err
			}
		}
		for _, o := range m.now {
			row := mention{place: place, user: m.user, Occurrence: o}
			if err := b.addMention(&row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) addMention(m *mention) error {
	_, err := b.stmts.addMention.ExecContext(b.ctx, m.Account, m.place, int64(m.Cause), m.user, m.Time, strings.Join(m.Online, " "), b.sum.mention(m))
	return err
}
