package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// cutStmts take entries away, with all that is known of them.
type cutStmts struct {
	cutBy, cutEdited, cutFiles, cutUnnamed, setCut, cutNoops                               *sql.Stmt
	cutEntries, cutStates, cutReactions, cutOriginals, cutMentions, cutUnledgered, cutRuns *sql.Stmt
}

func (c *cutStmts) queries() map[**sql.Stmt]string {
	const run = " WHERE place BETWEEN ? AND ?"
	return map[**sql.Stmt]string{
		&c.cutBy:        "SELECT user, count(*) FROM entries" + run + " AND kind = 1 GROUP BY user ORDER BY user",
		&c.cutEdited:    "SELECT place, edited FROM states" + run + " AND edited > 0",
		&c.cutFiles:     "SELECT place FROM entries" + run + " AND files IS NOT NULL",
		&c.cutUnnamed:   "SELECT place FROM unledgered" + run + " ORDER BY place",
		&c.setCut:       "UPDATE rooms SET cut = ?, cut_messages = ?, sum = ? WHERE id = ?",
		&c.cutNoops:     cutNoopsQuery,
		&c.cutEntries:   "DELETE FROM entries" + run,
		&c.cutStates:    "DELETE FROM states" + run,
		&c.cutReactions: "DELETE FROM reactions" + run,
		&c.cutOriginals: "DELETE FROM originals" + run,
		&c.cutMentions:  "DELETE FROM mentions INDEXED BY mentions_of_message" + run,
		// A run of changes that goes on behind the front stays: it says what is passed over there.
		&c.cutRuns: "DELETE FROM runs WHERE place BETWEEN ?1 >> 40 << 40 AND ?2 AND last <= ?2",
		// The ledger has them.
		&c.cutUnledgered: "DELETE FROM unledgered" + run,
	}
}

// cutting is a room whose front a transaction cuts; zero if it cuts none.
type cutting struct {
	*room
	seq, messages uint64 // as room.cut and room.cutMessages are afterwards
}

// publishCut shows the cut of a batch that is committed, with database.mu and appending held, and
// has the texts erased that the batch has taken away.
func (b *batch) publishCut() {
	if b.redacts {
		b.unmerged.taken = max(b.unmerged.taken, b.number)
	}
	if b.cut.room == nil {
		return
	}
	b.cut.room.cut, b.cut.room.cutMessages = b.cut.seq, b.cut.messages
	if b.cut.room.head > 0 { // an import of a front takes nothing away
		b.unmerged.taken = max(b.unmerged.taken, b.number)
	}
	b.targets.clear()
}

// Cut implements store.Store.
func (s *Store) Cut(ctx context.Context, name kaban.RoomName, age store.Age, limit int) (n int, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	merge := r != nil && len(r.unmerged) > 0 && age.Of(r.unmerged[0].Time) != store.Young
	s.mu.RUnlock()
	if r == nil || limit <= 0 {
		return 0, nil
	}
	// Most often there is nothing to cut, which needs no transaction.
	front, err := s.Read(ctx, name, store.Page{Limit: 1})
	switch {
	case err != nil && !errors.Is(err, store.ErrDamaged):
		return 0, err
	case err == nil && (len(front) == 0 || age.Of(front[0].Time) == store.Young):
		return 0, nil
	}
	if merge { // on a quiet server entries stay in the journal for long
		if err := s.mergePresent(); err != nil {
			return 0, err
		}
	}
	var named places
	for {
		n, err = s.cutOnce(ctx, r, age, limit, &named)
		switch {
		case errors.Is(err, errUnmerged):
			err = s.mergePresent()
		case errors.Is(err, errUnnamed):
			s.mu.RLock()
			first := r.place(r.cut + 1)
			s.mu.RUnlock()
			err = s.nameDeleted(ctx, first, first+int64(limit)-1, &named)
		default:
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
}

// Reasons why a cut is tried again.
var (
	errUnmerged = errors.New("a message that is to be cut was deleted, and the deletion is not merged")
	errUnnamed  = errors.New("a message that is to be cut was deleted, and the ledger may lack it")
)

// places are those of messages that the ledger has by now.
type places struct {
	of     map[int64]bool
	failed error // of the ledger: what it lacks is not cut, and nothing behind it
}

// nameDeleted has the ledger name the messages in a run of places that were deleted.
func (d *database) nameDeleted(ctx context.Context, first, last int64, named *places) error {
	if named.of == nil {
		named.of = make(map[int64]bool)
	}
	for ctx.Err() == nil {
		recorded, err := d.recordSome(context.WithoutCancel(ctx), first, last) // queries run to their end
		if errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed) {
			return err
		}
		if named.failed = err; err != nil || len(recorded) == 0 {
			return nil
		}
		for _, place := range recorded {
			named.of[place] = true
			first = place + 1
		}
	}
	return ctx.Err()
}

// cutNamed returns how many of the n oldest entries may be cut because the ledger names all of
// them that were deleted. Otherwise a backup from before the deletion has them, and a server that
// keeps everything would show them again.
func (b *batch) cutNamed(r *room, row roomRow, n int, named *places) (int, error) {
	if b.ledger == nil || n == 0 {
		return n, nil
	}
	first := r.place(row.cut + 1)
	lacking, err := numbersOf(b.stmts.cutUnnamed.QueryContext(b.ctx, first, first+int64(n)-1))
	if err != nil {
		return 0, err
	}
	for _, place := range lacking {
		switch before := int(place - first); {
		case named.of[place]:
		case named.failed == nil:
			return 0, errUnnamed
		case before == 0:
			return 0, named.failed
		default:
			return before, nil
		}
	}
	return n, nil
}

// deletes reports whether an entry of the room that is not merged deletes a message up to one.
// The caller holds appending.
func (r *room) deletes(last uint64) bool {
	for _, a := range r.tailAbout {
		if a.kind == kaban.KindDelete && a.target <= last {
			return true
		}
	}
	return false
}

// cutOnce is Cut in one transaction, of entries that are merged.
func (s *Store) cutOnce(ctx context.Context, r *room, age store.Age, limit int, named *places) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	operation := "cut the log of " + r.name.String()
	s.appending.Lock()
	b := s.newBatch(ctx)
	defer b.end()
	b.pick(0, 0, 0)
	s.appending.Unlock()
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return 0, b.abort(operation, err)
	}
	row, err := b.stmts.readRoom(b.ctx, &b.sum, r)
	if err == nil {
		n, err = b.old(r, row, age, limit)
	}
	if err == nil {
		n, err = b.cutNamed(r, row, n, named)
	}
	if err == nil && n == 0 || errors.Is(err, errUnnamed) || err != nil && errors.Is(err, named.failed) {
		return 0, b.giveUp(operation, err)
	}
	if err == nil {
		err = b.cutFront(r, row, uint64(n))
	}
	if errors.Is(err, store.ErrDamaged) {
		return 0, b.giveUp(operation, err)
	}
	if err != nil {
		return 0, b.abort(operation, err)
	}
	failpoint.Point("cut.deleted")
	if err := b.commitErasing(operation, n); err != nil {
		return 0, err
	}
	return n, nil
}

// commitErasing gives the transaction a number of a batch, so that the texts that it takes away
// are due to be erased, and commits it. Nobody appends meanwhile.
func (b *batch) commitErasing(operation string, n int) error {
	d := b.database
	d.appending.Lock()
	if d.ledger != nil && b.cut.room != nil && b.cut.room.deletes(b.cut.seq) {
		d.appending.Unlock()
		return b.giveUp(operation, errUnmerged)
	}
	err := b.note()
	if err == nil {
		b.erasing.due = max(b.erasing.due, b.number)
		err = b.saveErasing()
	}
	if err == nil {
		failpoint.Point("cut.before-commit")
		err = b.stmts.commit.exec(b.ctx)
		failpoint.Point("cut.after-commit")
	}
	if err == nil {
		b.publish()
	}
	d.appending.Unlock()
	if err != nil {
		return b.abort(operation, err)
	}
	b.tend(n)
	return nil
}

// old returns how many of the oldest entries of a room are old, up to a limit. It sees merged
// entries only.
func (b *batch) old(r *room, row roomRow, age store.Age, limit int) (n int, err error) {
	search := age.Search(limit)
	for next := row.cut + 1; next <= row.head; {
		last := min(row.head, next+uint64(limit)-1)
		rows, err := b.writer.QueryContext(b.ctx, pageQuery, r.place(next), r.place(last))
		more := true
		bad, damage, err := readRun(rows, err, b.authors, r.id, next, last, func(e *store.Entry, _ int64) bool {
			more = search.Add(age.Of(e.Time))
			return more
		})
		if err != nil {
			return 0, err
		}
		if next = last + 1; damage != nil {
			more, next = search.Add(store.Ageless), bad+1
		}
		if !more {
			break
		}
	}
	return search.Old(), nil
}

// cutFront takes the n oldest entries of a room away, all of which are merged.
func (b *batch) cutFront(r *room, row roomRow, n uint64) error {
	first, last := r.place(row.cut+1), r.place(row.cut+n)
	if err := b.cutCounts(r, &row, first, last); err != nil {
		return err
	}
	if err := b.cutHashes(first, last); err != nil {
		return err
	}
	withFiles, err := numbersOf(b.stmts.cutFiles.QueryContext(b.ctx, first, last))
	if err != nil {
		return err
	}
	for _, place := range withFiles {
		if err := b.release(r.name, uint64(place&maxSeq)); err != nil {
			return err
		}
	}
	for _, stmt := range []*sql.Stmt{b.stmts.cutStates, b.stmts.cutReactions, b.stmts.cutOriginals, b.stmts.cutMentions, b.stmts.cutUnledgered, b.stmts.cutRuns, b.stmts.cutEntries} {
		if _, err := stmt.ExecContext(b.ctx, first, last); err != nil {
			return err
		}
	}
	row.cut += n
	b.cut = cutting{r, row.cut, row.cutMessages}
	if _, err := b.stmts.cutNoops.ExecContext(b.ctx, r.id, row.cut); err != nil {
		return err
	}
	_, err = b.stmts.setCut.ExecContext(b.ctx, row.cut, row.cutMessages, b.sum.room(r.id, r.key, r.name.String(), row), r.id)
	return err
}

// byUser is how many messages somebody has written.
type byUser struct {
	user     int64
	messages uint64
}

// cutCounts counts the messages of a run of entries that are cut.
func (b *batch) cutCounts(r *room, row *roomRow, first, last int64) error {
	rows, err := b.stmts.cutBy.QueryContext(b.ctx, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	var by []byUser
	for rows.Next() {
		var one byUser
		if err := rows.Scan(&one.user, &one.messages); err != nil {
			return err
		}
		by = append(by, one)
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	b.startCounting()
	for _, one := range by {
		of := authorIn{r.id, one.user}
		w, err := b.writtenBy(of, row.head)
		if err != nil {
			return err
		}
		w.cutMessages, w.cut = w.cutMessages+one.messages, uint64(last&maxSeq)
		if _, err := b.stmts.setOne.ExecContext(b.ctx, w.columns(of, &b.sum)...); err != nil {
			return err
		}
		b.counted.written[of] = w
		row.cutMessages += one.messages
	}
	return nil
}

// cutHashes forgets the hashes of texts that messages of a run have had before they were
// edited. Some are of edits behind the run.
func (b *batch) cutHashes(first, last int64) error {
	rows, err := b.stmts.cutEdited.QueryContext(b.ctx, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	edited := make(map[int64]uint64)
	for rows.Next() {
		var place int64
		var edit uint64
		if err := rows.Scan(&place, &edit); err != nil {
			return err
		}
		edited[place] = edit
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	for place, edit := range edited {
		if err := b.dropOriginals(place, edit); err != nil {
			return err
		}
	}
	return nil
}

// Queries about the front of a log that is old: the first entry of a run that is young, and
// the last one before it that is old.
const (
	youngQuery = "SELECT place FROM entries WHERE place BETWEEN ? AND ? AND time >= ? AND time <= ? ORDER BY place LIMIT 1"
	oldQuery   = "SELECT place FROM entries WHERE place BETWEEN ? AND ? AND time < ? ORDER BY place DESC LIMIT 1"
)

// oldStep is how many entries are looked at before a look whether anybody waits for the answer.
const oldStep = 10_000

// Old implements store.Store.
func (s *Store) Old(ctx context.Context, name kaban.RoomName, age store.Age) (entries, messages uint64, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, 0, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	s.mu.RUnlock()
	// A query of a running store gets no context that can end: the store would be broken.
	background := context.Background()
	err = s.at(ctx, r, func(m *moment) error {
		first, last := m.place(m.front+1), m.place(m.merged)
		young, err := int64(0), sql.ErrNoRows
		for start := first; start <= last && errors.Is(err, sql.ErrNoRows); start += oldStep {
			if ctx.Err() != nil {
				return nil
			}
			err = m.QueryRowContext(background, youngQuery, start, min(start+oldStep-1, last), age.Before, age.Now).Scan(&young)
		}
		search := store.Search{}
		switch {
		case errors.Is(err, sql.ErrNoRows): // then what is not merged may be old
			for i := range m.unmerged {
				if m.unmerged[i].Seq > m.merged && !search.Add(age.Of(m.unmerged[i].Time)) {
					break
				}
			}
			young = last + 1
		case err != nil:
			return err
		}
		end := m.front
		if n := search.Old(); n > 0 {
			end = m.merged + uint64(n)
		} else {
			var old int64
			err := m.QueryRowContext(background, oldQuery, first, young-1, age.Before).Scan(&old)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			end = max(end, uint64(old&maxSeq))
		}
		entries = end - m.front
		if merged := min(end, m.merged); merged > m.front {
			counts, err := m.countRun(background, m.room, "", m.front+1, merged, 0)
			if err != nil {
				return err
			}
			messages = counts.Messages
		}
		for i := range m.unmerged {
			if e := &m.unmerged[i]; e.Seq > m.merged && e.Seq <= end && e.Kind == kaban.KindMessage {
				messages++
			}
		}
		return nil
	})
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return 0, 0, fmt.Errorf("count old entries of %s: %w", name, err)
	}
	return entries, messages, nil
}
