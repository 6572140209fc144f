package sqlite

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// unmergedEntries and unmergedBytes are how many entries, and bytes of content,
	// may be unmerged. All of them are in memory, too. The more there are of a room,
	// the more of them share the pages that merging them changes.
	unmergedEntries = 4096
	unmergedBytes   = 2 << 20
	// mergeEntries is how many are merged at least when there would be more. An
	// append waits for it.
	mergeEntries = 256
	// insertRows is how many of them one statement inserts.
	insertRows = 16
)

// key is a message id of an author in a room. It is used once.
type key struct {
	room, user int64
	id         string
}

// earlier is the stored entry with the key of a draft.
type earlier struct {
	store.Entry
	place  int64
	damage error // if not nil, it cannot be read
}

// unmergedEntry is an entry that is only in the journal.
type unmergedEntry struct {
	store.Entry
	batch   int64 // its row of the journal
	user    int64
	ownName bool // its username differs from the one in users
}

// unmerged are the unmerged entries after the last COMMIT, beside the lists of each
// room (room.unmerged). Guarded by database.writing.
type unmerged struct {
	batch int64 // the newest row of the journal; changes with database.mu held, too
	empty int64 // a row without entries, 0 if none is known
	keys  map[key]earlier
	bytes int                // of their content
	rooms map[*room]struct{} // those that have any
}

// add adds entries to a room.
func (u *unmerged) add(to *room, entries []unmergedEntry) {
	if len(entries) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		u.batch = max(u.batch, e.batch)
		u.bytes += len(e.Content)
		u.keys[key{to.id, e.user, e.ID}] = earlier{Entry: e.Entry, place: to.place(e.Seq)}
	}
	u.rooms[to] = struct{}{}
	to.unmerged = append(to.unmerged, entries...)
}

// drop removes the first n entries of a room.
func (u *unmerged) drop(from *room, n int) {
	for i := range from.unmerged[:n] {
		e := &from.unmerged[i]
		u.bytes -= len(e.Content)
		delete(u.keys, key{from.id, e.user, e.ID})
	}
	if from.unmerged = from.unmerged[n:]; len(from.unmerged) == 0 { // readers may hold the old slice
		from.unmerged = nil
		delete(u.rooms, from)
	}
}

// merging are entries of a room on their way to the table entries.
type merging struct {
	*room
	entries []unmergedEntry // in ascending order, from the first that is missing there
}

// oldest picks entries to merge: from the rooms that have waited longest, so that
// the oldest row of the journal can go, as many of each room as there are, but not
// much more than asked for or than a step.
func (u *unmerged) oldest(entries, bytes, step int) []merging {
	rooms := make([]*room, 0, len(u.rooms))
	for one := range u.rooms {
		rooms = append(rooms, one)
	}
	slices.SortFunc(rooms, func(a, b *room) int {
		return cmp.Or(cmp.Compare(a.unmerged[0].batch, b.unmerged[0].batch), cmp.Compare(a.id, b.id))
	})
	var picked []merging
	for _, one := range rooms {
		if entries <= 0 && bytes <= 0 {
			break
		}
		most, n := max(entries, step), 0
		for n < len(one.unmerged) && (n < most || bytes > 0) {
			bytes -= len(one.unmerged[n].Content)
			n++
		}
		entries -= n
		picked = append(picked, merging{one, one.unmerged[:n]})
	}
	return picked
}

// makeRoom merges enough entries to make room for new ones, if there is too little.
func (b *batch) makeRoom(entries, bytes int) error {
	entries += len(b.unmerged.keys) - b.maxUnmerged
	bytes += b.unmerged.bytes - unmergedBytes
	if entries <= 0 && bytes <= 0 {
		return nil
	}
	return b.merge(b.unmerged.oldest(max(entries, b.mergeStep), bytes, b.mergeStep))
}

// mergeAll merges everything and leaves the journal empty.
func (b *batch) mergeAll() error {
	return b.merge(b.unmerged.oldest(len(b.unmerged.keys), 0, 0))
}

// merge moves entries from the journal to the table entries.
func (b *batch) merge(rooms []merging) error {
	err := b.insert(rooms)
	if err == nil {
		err = b.trimJournal(rooms)
	}
	if err != nil {
		return fmt.Errorf("merge entries: %w", err)
	}
	b.merged = rooms
	failpoint.Point("append.merged")
	return nil
}

// insert writes entries to the table entries, and the heads that the rooms have
// there.
func (b *batch) insert(rooms []merging) error {
	rooms = slices.SortedFunc(slices.Values(rooms), func(a, b merging) int { return cmp.Compare(a.id, b.id) })
	args := make([]any, 0, insertRows*insertColumns)
	for _, r := range rooms {
		for i := range r.entries {
			e := &r.entries[i]
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
	for _, r := range rooms {
		head := r.entries[len(r.entries)-1].Seq
		if _, err := b.stmts.setHead.ExecContext(b.ctx, head, b.sum.room(r.id, r.key, r.name.String(), head, r.revision), r.id); err != nil {
			return err
		}
	}
	return nil
}

// mergedHead returns the head that a room has in its table, as this transaction sees it.
func (b *batch) mergedHead(r *room) uint64 {
	for _, m := range b.merged {
		if m.room == r {
			return m.entries[len(m.entries)-1].Seq
		}
	}
	if len(r.unmerged) > 0 {
		return r.unmerged[0].Seq - 1
	}
	return r.head
}

// trimJournal deletes the rows before the first with an entry that stays unmerged
// when some are merged.
func (b *batch) trimJournal(merged []merging) error {
	counts := make(map[*room]int, len(merged))
	for _, r := range merged {
		counts[r.room] = len(r.entries)
	}
	keep := b.unmerged.batch + 1
	for r := range b.unmerged.rooms {
		if n := counts[r]; n < len(r.unmerged) {
			keep = min(keep, r.unmerged[n].batch)
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

// findQuery looks n keys up in the index ids. SQLite joins in the order written.
func findQuery(n int) string {
	return "SELECT k.column1, k.column2, k.column3, e.place, e.time, e.kind, e.user, e.id, e.username, e.target, e.content, e.sum FROM (VALUES " + times("(?, ?, ?)", n) +
		") k CROSS JOIN entries e ON e.place >> 40 = k.column1 AND e.user = k.column2 AND e.id = k.column3"
}

// times returns s n times, separated by commas.
func times(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// lookUp finds the merged entries with some keys, by some authors.
func (b *batch) lookUp(keys []key, authors []user) (map[key]earlier, error) {
	found := make(map[key]earlier)
	if len(keys) == 1 { // most batches on a quiet server
		return found, b.lookUpSome(b.stmts.findOne, []any{keys[0].room, keys[0].user, keys[0].id}, authors, found)
	}
	args := make([]any, 3*lookedUp)
	for some := range slices.Chunk(keys, lookedUp) {
		clear(args) // nothing equals NULL
		for i, k := range some {
			args[3*i], args[3*i+1], args[3*i+2] = k.room, k.user, k.id
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
		err := rows.Scan(&k.room, &k.user, &k.id, &place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, &value)
		if err == nil {
			if e.Username = username.String; !username.Valid {
				e.Username = nameOf(authors, user)
			}
			if b.sum.entry(place, user, &e) != value || place>>seqBits != k.room || user != k.user || e.ID != k.id {
				err = errSum
			}
		}
		if err != nil {
			err = damaged(fmt.Sprintf("the entry with the id %s", k.id), err)
		}
		found[k] = earlier{Entry: e, place: place, damage: err}
	}
	return closeRows(rows)
}

// nameOf returns the name of one of some users.
func nameOf(users []user, id int64) string {
	if i := slices.IndexFunc(users, func(u user) bool { return u.id == id }); i >= 0 {
		return users[i].name
	}
	return ""
}
