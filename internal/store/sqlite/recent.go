package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// recentEntries and recentBytes are how many entries, and bytes of their
	// contents, may be in the journal only. All of them are in memory, too. The
	// more there are of a room, the more of them share the pages that merging
	// them changes.
	recentEntries = 4096
	recentBytes   = 2 << 20
	// mergeEntries is how many are merged at least when there would be more than
	// that. An append waits for it.
	mergeEntries = 256
	// insertRows is how many of them one statement inserts.
	insertRows = 16
)

// key is what an author may use once.
type key struct {
	user int64
	id   string
}

// earlier is an entry that has the key of a dispatch.
type earlier struct {
	place, time int64
	content     string
}

// recentEntry is an entry that is in the journal only.
type recentEntry struct {
	store.Entry
	batch   int64 // its row of the journal
	user    int64
	ownName bool // its username is not that of users
}

// recent are the entries that are in the journal only, as they are after the
// last COMMIT, beside those of each room (room.recent). Who holds Store.writing
// uses it.
type recent struct {
	batch int64 // the newest of the journal
	keys  map[key]earlier
	bytes int                // of their contents
	rooms map[*room]struct{} // those that have some
}

// add notes what a room has got.
func (r *recent) add(to *room, entries []recentEntry) {
	if len(entries) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		r.batch = max(r.batch, e.batch)
		r.bytes += len(e.Content)
		r.keys[key{e.user, e.ID}] = earlier{place: to.place(e.Seq), time: e.Time, content: e.Content}
	}
	r.rooms[to] = struct{}{}
	to.recent = append(to.recent, entries...)
}

// drop forgets a room's first n entries.
func (r *recent) drop(from *room, n int) {
	for i := range from.recent[:n] {
		e := &from.recent[i]
		r.bytes -= len(e.Content)
		delete(r.keys, key{e.user, e.ID})
	}
	if from.recent = from.recent[n:]; len(from.recent) == 0 { // readers may have what it was
		from.recent = nil
		delete(r.rooms, from)
	}
}

// merging is how much of a room is merged.
type merging struct {
	*room
	n int
}

// oldest picks what to merge: from the rooms that have waited longest, so that
// the oldest row of the journal can go, as much of each as there is, but not
// much more than is asked for or than a step.
func (r *recent) oldest(entries, bytes, step int) []merging {
	rooms := make([]*room, 0, len(r.rooms))
	for one := range r.rooms {
		rooms = append(rooms, one)
	}
	slices.SortFunc(rooms, func(a, b *room) int {
		return cmp.Or(cmp.Compare(a.recent[0].batch, b.recent[0].batch), cmp.Compare(a.id, b.id))
	})
	var picked []merging
	for _, one := range rooms {
		if entries <= 0 && bytes <= 0 {
			break
		}
		most, n := max(entries, step), 0
		for n < len(one.recent) && (n < most || bytes > 0) {
			bytes -= len(one.recent[n].Content)
			n++
		}
		entries -= n
		picked = append(picked, merging{one, n})
	}
	return picked
}

// mergeFor merges so much that there is room for what comes, if there is too
// little.
func (b *batch) mergeFor(entries, bytes int) error {
	entries += len(b.recent.keys) - b.maxRecent
	bytes += b.recent.bytes - recentBytes
	if entries <= 0 && bytes <= 0 {
		return nil
	}
	return b.merge(b.recent.oldest(max(entries, b.mergeStep), bytes, b.mergeStep))
}

// mergeAll merges everything.
func (b *batch) mergeAll() error {
	return b.merge(b.recent.oldest(len(b.recent.keys), 0, 0))
}

// merge moves entries from the journal to their place, in the transaction under
// way.
func (b *batch) merge(rooms []merging) error {
	if len(rooms) == 0 {
		return nil
	}
	if err := b.mergeRooms(rooms); err != nil {
		return fmt.Errorf("merge the recent entries: %w", err)
	}
	b.merged = rooms
	failpoint.Point("append.merged")
	return nil
}

func (b *batch) mergeRooms(rooms []merging) error {
	rooms = slices.SortedFunc(slices.Values(rooms), func(a, b merging) int { return cmp.Compare(a.id, b.id) })
	args := make([]any, 0, insertRows*insertColumns)
	for _, r := range rooms {
		for i := range r.recent[:r.n] {
			e := &r.recent[i]
			var username any
			if e.ownName {
				username = e.Username
			}
			args = append(args, r.place(e.Seq), e.Time, int64(e.Kind), e.user, username, e.ID, e.Content)
			if len(args) == cap(args) {
				if _, err := b.stmts.insertMany.ExecContext(b.ctx, args...); err != nil {
					return err
				}
				args = args[:0]
			}
		}
	}
	for one := range slices.Chunk(args, insertColumns) {
		if _, err := b.stmts.insertOne.ExecContext(b.ctx, one...); err != nil {
			return err
		}
	}
	picked := make(map[*room]int, len(rooms))
	for _, r := range rooms {
		picked[r.room] = r.n
		if _, err := b.stmts.setHead.ExecContext(b.ctx, r.recent[r.n-1].Seq, r.id); err != nil {
			return err
		}
	}
	keep := b.recent.batch + 1 // the oldest row with something that is not merged
	for r := range b.recent.rooms {
		if n := picked[r]; n < len(r.recent) {
			keep = min(keep, r.recent[n].batch)
		}
	}
	_, err := b.stmts.trimJournal.ExecContext(b.ctx, keep)
	return err
}

const (
	insertQuery   = "INSERT INTO entries (place, time, kind, user, username, id, content) VALUES "
	insertRow     = "(?, ?, ?, ?, ?, ?, ?)"
	insertColumns = 7
)

// lookedUp is how many keys one query looks up.
const lookedUp = 32

// findQuery looks keys up in the index of entries, n at once. The order of the
// join is as written.
func findQuery(n int) string {
	return "SELECT e.user, e.id, e.place, e.time, e.content FROM (VALUES " + times("(?, ?)", n) +
		") k CROSS JOIN entries e ON e.user = k.column1 AND e.id = k.column2"
}

// times returns n times the same, with commas between.
func times(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// lookUp finds those of the keys that are in entries.
func (b *batch) lookUp(keys []key) (map[key]earlier, error) {
	found := make(map[key]earlier)
	if len(keys) == 1 { // most batches, where little is said
		return found, b.lookUpSome(b.stmts.findOne, []any{keys[0].user, keys[0].id}, found)
	}
	args := make([]any, 2*lookedUp)
	for some := range slices.Chunk(keys, lookedUp) {
		clear(args) // nothing equals NULL
		for i, k := range some {
			args[2*i], args[2*i+1] = k.user, k.id
		}
		if err := b.lookUpSome(b.stmts.find, args, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (b *batch) lookUpSome(stmt *sql.Stmt, args []any, found map[key]earlier) error {
	rows, err := stmt.QueryContext(b.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var e earlier
		if err := rows.Scan(&k.user, &k.id, &e.place, &e.time, &e.content); err != nil {
			return err
		}
		found[k] = e
	}
	return closeRows(rows)
}

// journaled is an entry in the journal. The time is that of its batch.
type journaled struct {
	Place    int64      `json:"place"`
	Kind     store.Kind `json:"kind"`
	User     int64      `json:"user"`
	Username string     `json:"username,omitempty"`
	ID       string     `json:"id"`
	Content  string     `json:"content"`
}

// journal writes what the batch has added.
func (b *batch) journal() error {
	if len(b.entries) == 0 {
		return nil
	}
	text, err := json.Marshal(b.entries)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	_, err = b.stmts.addJournal.ExecContext(b.ctx, b.recent.batch+1, b.now, string(text))
	return err
}

// mergeQueries merge all of the journal, where no Store is at work.
var mergeQueries = [...]string{
	`INSERT INTO entries (place, time, kind, user, username, id, content)
		SELECT place, time, kind, user, username, id, content FROM recent ORDER BY place`,
	`UPDATE rooms SET head = r.head
		FROM (SELECT place >> 40 AS room, max(place) & 0xFFFFFFFFFF AS head FROM recent GROUP BY 1) r WHERE rooms.id = r.room`,
	"DELETE FROM journal",
}

// checkJournal returns an error if the view recent cannot be read.
func checkJournal(ctx context.Context, c *conn) error {
	bad, err := c.number(ctx, "SELECT coalesce(min(batch), 0) FROM journal WHERE NOT json_valid(entries)")
	if err == nil && bad != 0 {
		err = badBatch(int64(bad))
	}
	return err
}

func badBatch(n int64) error {
	return fmt.Errorf("batch %d of the journal is no JSON, so the database is damaged; put a backup in its place", n)
}

// loadRecent reads what is in the journal only, after the rooms. It takes the
// journal apart itself, which is ten times as fast as the view.
func (s *Store) loadRecent(ctx context.Context) error {
	merged := make(map[int64]uint64, len(s.rooms)) // the heads of what is in its place
	rooms := make(map[int64]*room, len(s.rooms))
	for _, r := range s.rooms {
		rooms[r.id], merged[r.id] = r, r.head
	}
	rows, err := s.writer.QueryContext(ctx, "SELECT batch, time, entries FROM journal ORDER BY batch")
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []recentEntry
	var places []int64
	for rows.Next() {
		var batch, time int64
		var text []byte
		if err := rows.Scan(&batch, &time, &text); err != nil {
			return err
		}
		s.recent.batch = batch // also if all of it is merged
		var entries []journaled
		if err := json.Unmarshal(text, &entries); err != nil {
			return fmt.Errorf("%w (%w)", badBatch(batch), err)
		}
		for _, j := range entries {
			seq := uint64(j.Place & maxSeq)
			if head, ok := merged[j.Place>>seqBits]; ok && seq <= head {
				continue
			}
			places = append(places, j.Place)
			all = append(all, recentEntry{
				Entry: store.Entry{Seq: seq, Time: time, Kind: j.Kind, ID: j.ID, Username: j.Username, Content: j.Content},
				batch: batch, user: j.User, ownName: j.Username != "",
			})
		}
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	names, err := s.namesOf(ctx, all)
	if err != nil {
		return err
	}
	for i := range all {
		e := &all[i]
		if e.Username == "" {
			e.Username = names[e.user]
		}
		r := rooms[places[i]>>seqBits]
		if r == nil || e.Seq != r.head+1 || names[e.user] == "" {
			return fmt.Errorf("entry %d of room %d does not follow what is there; \"kaban check\" tells more", e.Seq, places[i]>>seqBits)
		}
		r.head = e.Seq
		s.recent.add(r, all[i:i+1])
	}
	return nil
}

// namesOf returns the names of the authors, as users has them.
func (s *Store) namesOf(ctx context.Context, entries []recentEntry) (names map[int64]string, err error) {
	stmt, err := s.writer.PrepareContext(ctx, "SELECT name FROM users WHERE id = ?")
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	names = make(map[int64]string)
	for i := range entries {
		id := entries[i].user
		if _, ok := names[id]; ok {
			continue
		}
		var name string
		if err := stmt.QueryRowContext(ctx, id).Scan(&name); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		names[id] = name
	}
	return names, nil
}
