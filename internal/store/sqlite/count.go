package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// written is how many messages of an author in a room are merged, counted up to a seq, and
// how many of them were cut, up to another. It is a row of the table written.
type written struct{ messages, last, cutMessages, cut uint64 }

// countStmts count messages, on one connection.
type countStmts struct{ writtenIn, run, longRun, own *sql.Stmt }

const (
	ofAuthor = "(SELECT id FROM users WHERE key = ?3)"
	// writtenInQuery has the rows of an author in some rooms.
	writtenInQuery = "SELECT w.room, w.user, w.messages, w.last, w.cut_messages, w.cut, w.sum FROM json_each(?) r CROSS JOIN written w" +
		" ON w.room = r.value AND w.user = (SELECT id FROM users WHERE key = ?)"
	// runQuery reads a run of places.
	runQuery = "SELECT count(*), coalesce(sum(user IS " + ofAuthor + "), 0) FROM entries WHERE place BETWEEN ?1 AND ?2 AND kind = 1"
	// ownQuery counts the messages of a user in a run of places. Both parts are in indexes. The
	// unary plus keeps SQLite from reading the run.
	ownQuery = "(SELECT count(*) FROM entries INDEXED BY ids WHERE place >> 40 = ?1 >> 40 AND user = ?3 AND +place BETWEEN ?1 AND ?2)" +
		" - (SELECT count(*) FROM entries INDEXED BY no_messages WHERE place BETWEEN ?1 AND ?2 AND kind <> 1 AND user = ?3)"
)

func (c *countStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&c.writtenIn: writtenInQuery, &c.run: runQuery, &c.own: "SELECT " + ownQuery,
		// A run has no gaps, so what is no message is taken from its length.
		&c.longRun: "SELECT ?2 - ?1 + 1 - (SELECT count(*) FROM entries INDEXED BY no_messages WHERE place BETWEEN ?1 AND ?2 AND kind <> 1), " +
			strings.ReplaceAll(ownQuery, "?3", ofAuthor),
	}
}

// columns returns the values of a row, in the order of its columns.
func (w written) columns(of authorIn, sum *summer) []any {
	return []any{of.room, of.user, w.messages, w.last, w.cutMessages, w.cut, sum.written(of, w)}
}

// shortRun is the length of a run up to which reading it costs less than indexes do.
const shortRun = 256

// countRun counts the messages in a run of merged entries of a room, in which the author has
// written about so many.
func (c *countStmts) countRun(ctx context.Context, r *room, author string, first, last, own uint64) (counts store.Counts, err error) {
	stmt := c.run
	if n := last - first + 1; n > shortRun && n > own {
		stmt = c.longRun
	}
	err = stmt.QueryRowContext(ctx, r.place(first), r.place(last), author).Scan(&counts.Messages, &counts.Own)
	return counts, err
}

// readWritten returns the rows of an author in some rooms, by room. Those that cannot be read
// are counted anew, up to a seq that is merged.
func (c *countStmts) readWritten(ctx context.Context, sum *summer, author string, rooms []int64, merged func(room int64) uint64) (map[int64]written, error) {
	list, err := json.Marshal(rooms)
	if err != nil {
		return nil, err
	}
	rows, err := c.writtenIn.QueryContext(ctx, string(list), author)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[int64]written)
	var bad []authorIn
	for rows.Next() {
		var of authorIn
		var w written
		var value int64
		err := rows.Scan(&of.room, &of.user, &w.messages, &w.last, &w.cutMessages, &w.cut, &value)
		if err == nil && sum.written(of, w) != value {
			err = errSum
		}
		if err != nil {
			bad = append(bad, of)
		}
		found[of.room] = w
	}
	if err := closeRows(rows); err != nil {
		return nil, err
	}
	for _, of := range bad {
		if found[of.room], err = c.recount(ctx, of, merged(of.room)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// recount counts the messages of an author in a room up to a seq that is merged.
func (c *countStmts) recount(ctx context.Context, of authorIn, last uint64) (w written, err error) {
	w.last = last
	start := of.room << seqBits
	err = c.own.QueryRowContext(ctx, start+1, start+int64(last), of.user).Scan(&w.messages)
	return w, err
}

// tallied is a room with its counts, and the unmerged entries that are in them.
type tallied struct {
	*room // nil if there is none
	store.Tally
	unmerged []unmergedEntry
}

// merged returns the last of the entries up to the head that is merged.
func (t *tallied) merged() uint64 { return t.Head - uint64(len(t.unmerged)) }

// Tallies implements store.Store.
func (s *Store) Tallies(ctx context.Context, author string, names []kaban.RoomName) ([]store.Tally, error) {
	found, err := s.tallies(ctx, author, names, func(*reader, []tallied) (bool, error) { return false, nil })
	tallies := make([]store.Tally, len(found))
	for i := range found {
		tallies[i] = found[i].Tally
	}
	return tallies, err
}

// tallies counts for an author in some rooms, and then runs a function with the reader, which
// may ask for another try.
func (s *Store) tallies(ctx context.Context, author string, names []kaban.RoomName, then func(*reader, []tallied) (again bool, err error)) ([]tallied, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	c, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.readers <- c }()
	for {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		found := s.look(names)
		again, err := c.tally(author, found)
		if err == nil && !again {
			again, err = then(c, found)
		}
		if err != nil {
			return nil, s.failed("count messages", err)
		}
		if !again {
			return found, nil
		}
	}
}

// look returns some rooms as they are in memory, with what is counted of them there.
func (d *database) look(names []kaban.RoomName) []tallied {
	found := make([]tallied, len(names))
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, name := range names {
		t := &found[i]
		t.Oldest = 1
		if t.room = d.rooms[name.Key()]; t.room != nil {
			t.Head, t.unmerged, t.Messages = t.head, t.room.unmerged, t.messages
			t.Oldest, t.Front.Messages = t.cut+1, t.cutMessages
		}
	}
	return found
}

// tally adds what an author has written, and what is unmerged, to what is merged. It asks for
// another try if more was merged or cut meanwhile than there was in memory.
func (c *reader) tally(author string, rooms []tallied) (again bool, err error) {
	at := make(map[int64]*tallied, len(rooms))
	ids := make([]int64, 0, len(rooms))
	for i := range rooms {
		if r := &rooms[i]; r.room != nil && at[r.id] == nil {
			at[r.id], ids = r, append(ids, r.id)
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	by, err := c.readWritten(context.Background(), &c.authors.sum, author, ids, func(room int64) uint64 { return at[room].merged() })
	if err != nil {
		return false, err
	}
	for i := range rooms {
		r := &rooms[i]
		if r.room == nil {
			continue
		}
		w := by[r.id]
		if w.last > r.Head || w.cut >= r.Oldest {
			return true, nil
		}
		r.Own, r.Front.Own = w.messages, w.cutMessages
		addUnmerged(&r.Counts, r.unmerged, author, w.last)
	}
	return false, nil
}

// addUnmerged adds unmerged entries to counts of those that are merged. What the author wrote
// up to a seq is counted already.
func addUnmerged(to *store.Counts, entries []unmergedEntry, author string, last uint64) {
	for i := range entries {
		if e := &entries[i]; e.Kind == kaban.KindMessage {
			to.Messages++
			if e.Seq > last && e.Author == author {
				to.Own++
			}
		}
	}
}

// CountTo implements store.Store.
func (s *Store) CountTo(ctx context.Context, name kaban.RoomName, author string, seq uint64, known store.Mark) (m store.Mark, err error) {
	_, err = s.tallies(ctx, author, []kaban.RoomName{name}, func(c *reader, found []tallied) (again bool, err error) {
		t := &found[0]
		seq := max(min(seq, t.Head), t.Oldest-1)
		from := t.Nearest(seq, known)
		var run store.Counts
		if first, last := min(seq, from.Seq)+1, max(seq, from.Seq); first <= last {
			merged, unmerged := split(t.unmerged, first, last)
			if first <= merged {
				if run, again, err = s.countKept(c, t, author, first, merged); again || err != nil {
					return again, err
				}
			}
			addUnmerged(&run, unmerged, author, 0)
		}
		m = from.To(seq, run)
		return false, nil
	})
	return m, err
}

// countKept counts the messages in a run of merged entries. It asks for another try if more
// was cut meanwhile than there was in memory.
func (s *Store) countKept(c *reader, t *tallied, author string, first, last uint64) (run store.Counts, again bool, err error) {
	ctx := context.Background()
	if _, err := c.begin.ExecContext(ctx); err != nil {
		return run, false, err
	}
	defer func() {
		if failed := c.rollback(ctx); failed != nil {
			err = s.broke("count messages", errors.Join(err, failed))
		}
	}()
	row, err := c.readRoom(ctx, &c.authors.sum, t.room)
	if err = unlessDamaged(err); err != nil || row.cut >= t.Oldest {
		return run, err == nil, err
	}
	run, err = c.countRun(ctx, t.room, author, first, last, t.Own)
	return run, false, err
}

// countsOf returns the counts of a room for an author as the transaction in progress sees it.
func (b *batch) countsOf(r *touched, author string) (store.Counts, error) {
	by, err := b.stmts.readWritten(b.ctx, &b.sum, author, []int64{r.id}, func(int64) uint64 { return b.mergedHead(r.room) })
	if err != nil {
		return store.Counts{}, err
	}
	w := by[r.id]
	counts := store.Counts{Messages: b.mergedMessages(r.room), Own: w.messages}
	addUnmerged(&counts, r.tail, author, w.last)
	addUnmerged(&counts, r.entries, author, w.last)
	return counts, nil
}

// writtenStmts keep the counts of what is merged.
type writtenStmts struct {
	countStmts
	getWritten         *sql.Stmt
	setOne, setWritten *sql.Stmt
}

const (
	setWrittenQuery = "INSERT OR REPLACE INTO written (room, user, messages, last, cut_messages, cut, sum) VALUES "
	writtenRow      = "(?, ?, ?, ?, ?, ?, ?)"
	writtenColumns  = 7
)

func (w *writtenStmts) queries() map[**sql.Stmt]string {
	queries := w.countStmts.queries()
	queries[&w.getWritten] = "SELECT messages, last, cut_messages, cut, sum FROM written WHERE room = ? AND user = ?"
	queries[&w.setOne] = setWrittenQuery + writtenRow
	queries[&w.setWritten] = setWrittenQuery + times(writtenRow, insertRows)
	return queries
}

// counted are counts that a transaction changes.
type counted struct {
	messages map[*room]uint64
	written  map[authorIn]written
}

// mergedMessages returns how many messages of a room are merged, as this transaction sees it.
func (b *batch) mergedMessages(r *room) uint64 {
	if n, changed := b.counted.messages[r]; changed {
		return n
	}
	return r.messages
}

// startCounting makes the counts that the transaction changes.
func (b *batch) startCounting() {
	if b.counted.messages == nil {
		b.counted = counted{make(map[*room]uint64), make(map[authorIn]written)}
	}
}

// count counts the messages of entries that are being merged.
func (b *batch) count(rooms []merging) error {
	b.startCounting()
	args := make([]any, 0, insertRows*writtenColumns)
	by := make(map[int64]uint64) // the users
	for _, r := range rooms {
		clear(by)
		for i := range r.entries {
			if e := &r.entries[i]; e.Kind == kaban.KindMessage {
				by[e.user]++
			}
		}
		all, head := b.mergedMessages(r.room), r.entries[len(r.entries)-1].Seq
		for _, user := range slices.Sorted(maps.Keys(by)) {
			of := authorIn{r.id, user}
			w, err := b.writtenBy(of, r.entries[0].Seq-1)
			if err != nil {
				return err
			}
			all += by[user]
			w.messages, w.last = w.messages+by[user], head
			b.counted.written[of] = w
			args = append(args, w.columns(of, &b.sum)...)
			if len(args) == cap(args) {
				if _, err := b.stmts.setWritten.ExecContext(b.ctx, args...); err != nil {
					return err
				}
				args = args[:0]
			}
		}
		b.counted.messages[r.room] = all
	}
	for one := range slices.Chunk(args, writtenColumns) {
		if _, err := b.stmts.setOne.ExecContext(b.ctx, one...); err != nil {
			return err
		}
	}
	return nil
}

// writtenBy returns what an author has written in a room, as this transaction sees it. A row
// that cannot be read is counted anew, up to a seq.
func (b *batch) writtenBy(of authorIn, merged uint64) (w written, err error) {
	for _, known := range []map[authorIn]written{b.counted.written, b.database.written} {
		if w, ok := known[of]; ok {
			return w, nil
		}
	}
	var value int64
	err = b.stmts.getWritten.QueryRowContext(b.ctx, of.room, of.user).Scan(&w.messages, &w.last, &w.cutMessages, &w.cut, &value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return written{}, nil
	case codeOf(err) != 0 && !isDamage(err):
		return w, err
	case err != nil, b.sum.written(of, w) != value:
		return b.stmts.recount(b.ctx, of, merged)
	}
	return w, nil
}

// publishCounts shows the counts of a batch that is committed, with database.mu held.
func (b *batch) publishCounts() {
	for r, n := range b.counted.messages {
		r.messages = n
	}
	if len(b.database.written)+len(b.counted.written) > maxNewest {
		clear(b.database.written)
	}
	if b.database.written == nil {
		b.database.written = make(map[authorIn]written)
	}
	maps.Copy(b.database.written, b.counted.written)
}

// rowOfRoom is a row of rooms in a schema without counts.
type rowOfRoom struct {
	id             int64
	key, name      string
	head, revision uint64
	sum            int64
}

// fillCounts counts what is merged in a database of an older version, in the transaction in
// progress. A row that was damaged before keeps its checksum, so that the damage is still
// found.
func fillCounts(ctx context.Context, c *conn, report func(done, total int)) error {
	var rooms []rowOfRoom
	total, done := 0, 0
	rows, err := c.QueryContext(ctx, "SELECT id, key, name, head, revision, sum FROM rooms ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r rowOfRoom
		if err := rows.Scan(&r.id, &r.key, &r.name, &r.head, &r.revision, &r.sum); err != nil {
			return err
		}
		total += int(r.head)
		rooms = append(rooms, r)
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	f := filler{conn: c, progress: func(n int) {
		if done += n; report != nil {
			report(done, total)
		}
	}}
	if err := f.prepare(ctx); err != nil {
		return err
	}
	for i := range rooms {
		if err := f.fill(ctx, &rooms[i]); err != nil {
			return err
		}
	}
	return nil
}

// filler counts what is merged.
type filler struct {
	*conn
	progress              func(entries int)
	all, others, add, set *sql.Stmt
	sum                   summer
}

func (f *filler) prepare(ctx context.Context) error {
	return f.conn.prepare(ctx, map[**sql.Stmt]string{
		&f.all:    "SELECT user, count(*) FROM entries INDEXED BY ids WHERE place >> 40 = ? GROUP BY user",
		&f.others: "SELECT user, count(*) FROM entries INDEXED BY no_messages WHERE place BETWEEN ? AND ? AND kind <> 1 GROUP BY user",
		&f.add:    "INSERT INTO written (room, user, messages, last, sum) VALUES (?, ?, ?, ?, ?)",
		&f.set:    "UPDATE rooms SET messages = ?, sum = ? WHERE id = ?",
	})
}

func (f *filler) fill(ctx context.Context, r *rowOfRoom) error {
	by := make(map[int64]uint64)
	err := f.each(ctx, func(user int64, n uint64) {
		by[user] = n
		f.progress(int(n))
	}, f.all, r.id)
	if err == nil {
		err = f.each(ctx, func(user int64, n uint64) { by[user] -= min(n, by[user]) }, f.others, r.id<<seqBits, r.id<<seqBits|maxSeq)
	}
	if err != nil {
		return err
	}
	messages := uint64(0)
	for user, n := range by {
		if n == 0 {
			continue
		}
		messages += n
		of, w := authorIn{r.id, user}, written{messages: n, last: r.head}
		if _, err := f.add.ExecContext(ctx, of.room, of.user, w.messages, w.last, f.sum.written(of, w)); err != nil {
			return err
		}
	}
	sum := r.sum
	row := roomRow{head: r.head, revision: r.revision}
	if f.sum.room(r.id, r.key, r.name, row) == sum {
		row.messages = messages
		sum = f.sum.room(r.id, r.key, r.name, row)
	}
	_, err = f.set.ExecContext(ctx, messages, sum, r.id)
	return err
}

// each calls a function with the users that a query counts for.
func (f *filler) each(ctx context.Context, count func(user int64, n uint64), stmt *sql.Stmt, args ...any) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var user int64
		var n uint64
		if err := rows.Scan(&user, &n); err != nil {
			return err
		}
		count(user, n)
	}
	return closeRows(rows)
}

// checkCounts compares what is counted in a room with its merged entries, of which the
// authors have written so many messages.
func (a *Archive) checkCounts(ctx context.Context, r *room, found map[string]uint64) (trouble string, err error) {
	messages := uint64(0)
	for _, n := range found {
		messages += n
	}
	if messages != r.messages-min(r.cutMessages, r.messages) {
		return fmt.Sprintf("it has %d messages, and %d are counted, of which %d were cut", messages, r.messages, r.cutMessages), nil
	}
	cut := uint64(0)
	err = a.eachRow(ctx, fmt.Sprintf("SELECT user, messages, last, cut_messages, cut, sum FROM written WHERE room = %d", r.id), func(rows *sql.Rows) error {
		of, w, value := authorIn{room: r.id}, written{}, int64(0)
		err := rows.Scan(&of.user, &w.messages, &w.last, &w.cutMessages, &w.cut, &value)
		if err == nil && a.sum.written(of, w) != value {
			err = errSum
		}
		if err != nil {
			trouble = fmt.Sprintf("what user %d has written is damaged: %v", of.user, err)
			return nil
		}
		by, err := a.authors.author(ctx, of.user)
		switch n := found[by.key]; {
		case err != nil:
			return err
		case n != w.messages-min(w.cutMessages, w.messages) || w.last > a.merged[r.id] || w.cut > r.cut:
			trouble = fmt.Sprintf("user %d has written %d messages, and %d are counted, up to %d, of which %d were cut, up to %d", of.user, n, w.messages, w.last, w.cutMessages, w.cut)
		}
		cut += w.cutMessages
		delete(found, by.key)
		return nil
	})
	if err == nil && trouble == "" && cut > r.cutMessages {
		trouble = fmt.Sprintf("%d messages of authors were cut, and %d are counted", cut, r.cutMessages)
	}
	if err == nil && trouble == "" && len(found) > 0 {
		trouble = fmt.Sprintf("the messages of %d authors are not counted", len(found))
	}
	if isDamage(err) {
		trouble, err = err.Error(), nil
	}
	return trouble, err
}
