package sqlite

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kaban"
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

// earlier is an entry that has the key of a draft.
type earlier struct {
	store.Entry
	place  int64
	damage error // why nobody knows whether it has
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
		r.keys[key{e.user, e.ID}] = earlier{Entry: e.Entry, place: to.place(e.Seq)}
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
			place := r.place(e.Seq)
			args = append(args, place, e.Time, int64(e.Kind), e.user, username, e.ID, e.Target, e.Content, b.sum.entry(place, e.user, &e.Entry))
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
		if err := b.setHead(r.room, r.recent[r.n-1].Seq); err != nil {
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
	insertQuery   = "INSERT INTO entries (place, time, kind, user, username, id, target, content, sum) VALUES "
	insertRow     = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
	insertColumns = 9
)

// lookedUp is how many keys one query looks up.
const lookedUp = 32

// findQuery looks keys up in the index of entries, n at once. The order of the
// join is as written.
func findQuery(n int) string {
	return "SELECT k.column1, k.column2, e.place, e.time, e.kind, e.user, e.id, e.username, e.target, e.content, e.sum FROM (VALUES " + times("(?, ?)", n) +
		") k CROSS JOIN entries e ON e.user = k.column1 AND e.id = k.column2"
}

// times returns n times the same, with commas between.
func times(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// lookUp finds those of the keys of the authors that are in entries.
func (b *batch) lookUp(keys []key, authors []user) (map[key]earlier, error) {
	found := make(map[key]earlier)
	if len(keys) == 1 { // most batches, where little is said
		return found, b.lookUpSome(b.stmts.findOne, []any{keys[0].user, keys[0].id}, authors, found)
	}
	args := make([]any, 2*lookedUp)
	for some := range slices.Chunk(keys, lookedUp) {
		clear(args) // nothing equals NULL
		for i, k := range some {
			args[2*i], args[2*i+1] = k.user, k.id
		}
		if err := b.lookUpSome(b.stmts.find, args, authors, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (b *batch) lookUpSome(stmt *sql.Stmt, args []any, authors []user, found map[key]earlier) error {
	rows, err := stmt.QueryContext(b.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var place, user, value int64
		var username sql.NullString
		var e store.Entry
		err := rows.Scan(&k.user, &k.id, &place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, &value)
		if err == nil {
			if e.Username = username.String; !username.Valid {
				e.Username = nameOf(authors, user)
			}
			if b.sum.entry(place, user, &e) != value || user != k.user || e.ID != k.id {
				err = errSum
			}
		}
		if err != nil {
			err = damaged(fmt.Sprintf("what has the id %s already", k.id), err)
		}
		found[k] = earlier{Entry: e, place: place, damage: err}
	}
	return closeRows(rows)
}

// nameOf returns the name of a user among some.
func nameOf(users []user, id int64) string {
	if i := slices.IndexFunc(users, func(u user) bool { return u.id == id }); i >= 0 {
		return users[i].name
	}
	return ""
}

// journaled is an entry in the journal. The time is that of its batch.
type journaled struct {
	Place    int64      `json:"place"`
	Kind     kaban.Kind `json:"kind"`
	User     int64      `json:"user"`
	Username string     `json:"username,omitempty"`
	ID       string     `json:"id"`
	Target   uint64     `json:"target,omitempty"`
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
	batch := b.recent.batch + 1
	_, err = b.stmts.addJournal.ExecContext(b.ctx, batch, b.now, string(text), b.sum.batch(batch, b.now, text))
	return err
}
