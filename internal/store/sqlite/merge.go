package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// unmergedEntries and unmergedBytes are how many entries, and bytes of content, may
	// be unmerged before the merger begins. All of them are in memory, too. The more
	// there are of a room, the more of them share the pages that merging them changes.
	unmergedEntries = 4096
	unmergedBytes   = 2 << 20
	// mostUnmerged is how many times as many there may be before an append merges some
	// itself, because the merger does not keep up.
	mostUnmerged = 2
	// mergeEntries is how many are merged at least in one transaction.
	mergeEntries = 256
	// entryWeight is what an entry counts in unmergedEntries and mergeEntries, and reactionWeight what a reaction
	// does: its rows are small, so twice as many reactions as messages share as many pages, and pages are most of
	// what a merge costs.
	entryWeight    = 2
	reactionWeight = 1
	// insertRows is how many rows one statement inserts.
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

// unmergedEntry is an entry that is not in the table entries yet.
type unmergedEntry struct {
	store.Entry
	batch   int64
	user    int64
	ownName bool // its username differs from the one in users
	// mentions are whom a message or an edit mentions, or nil.
	mentions *store.Mentions
}

// size is what the entry counts as, in bytes.
func (e *unmergedEntry) size() int { return e.Size() + e.mentions.Size() }

// weight is what the entry counts as one of many.
func (e *unmergedEntry) weight() int {
	if e.Kind == kaban.KindReact {
		return reactionWeight
	}
	return entryWeight
}

// unmerged are the unmerged entries, beside the lists of each room (room.tail). Guarded by
// database.appending.
type unmerged struct {
	batch  int64              // the newest one that is durable; changes with database.mu held, too
	keys   map[key]uint64     // their seqs
	bytes  int                // of their texts and mentions
	weight int                // of all of them
	rooms  map[*room]struct{} // those that have any
	taken  int64              // the newest batch that has taken a text away, merged or not
}

// add adds entries to a room, which shows them once they are published.
func (u *unmerged) add(to *room, entries []unmergedEntry) {
	if len(entries) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		u.bytes += e.size()
		u.weight += e.weight()
		u.keys[key{to.id, e.user, e.ID}] = e.Seq
		if e.tells() {
			to.tailTelling = append(to.tailTelling, e.Seq)
		}
		if store.HasTarget(e.Kind, e.Target) {
			to.tailAbout = append(to.tailAbout, aboutMessage{e.Seq, e.Target, e.Kind})
		}
		if e.Kind.TakesText() {
			u.taken = max(u.taken, e.batch)
		}
	}
	u.rooms[to] = struct{}{}
	to.tail = append(to.tail, entries...)
	to.next = entries[len(entries)-1].Seq
}

// find returns the unmerged entry with a key.
func (u *unmerged) find(in *room, k key) *unmergedEntry {
	if seq, found := u.keys[k]; found {
		return &in.tail[seq-in.tail[0].Seq]
	}
	return nil
}

// forget removes entries of a room.
func (u *unmerged) forget(from *room, entries []unmergedEntry) {
	for i := range entries {
		e := &entries[i]
		u.bytes -= e.size()
		u.weight -= e.weight()
		delete(u.keys, key{from.id, e.user, e.ID})
	}
	if len(from.tail) == len(entries) {
		delete(u.rooms, from)
	}
}

// drop removes the first n entries of a room, which are merged. Readers may hold the old
// slice.
func (u *unmerged) drop(from *room, n int) {
	u.forget(from, from.tail[:n])
	if from.tail = from.tail[n:]; len(from.tail) == 0 {
		from.tail = nil
	}
	if from.unmerged = from.unmerged[n:]; len(from.unmerged) == 0 {
		from.unmerged = nil
	}
	from.tailAbout, from.about = aboutBehind(from.tailAbout, from.tail), aboutBehind(from.about, from.unmerged)
	from.tailTelling, from.telling = behind(from.tailTelling, from.tail), behind(from.telling, from.unmerged)
}

// behind returns those of some ascending seqs that are in a tail, which the others are
// before.
func behind(seqs []uint64, tail []unmergedEntry) []uint64 {
	if len(tail) == 0 || len(seqs) == 0 {
		return nil
	}
	at, _ := slices.BinarySearch(seqs, tail[0].Seq)
	return seqs[at:]
}

// aboutMessage is an unmerged entry that is about a message. Those of a room are in a list of
// their own, so that looking for changes of a message need not visit all entries.
type aboutMessage struct {
	seq, target uint64
	kind        kaban.Kind
}

// aboutBehind is behind for those that are about messages.
func aboutBehind(about []aboutMessage, tail []unmergedEntry) []aboutMessage {
	if len(tail) == 0 || len(about) == 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(about, tail[0].Seq, func(a aboutMessage, seq uint64) int { return cmp.Compare(a.seq, seq) })
	return about[at:]
}

// takeBack removes the entries of a room that are not published.
func (u *unmerged) takeBack(from *room) {
	if n := len(from.unmerged); n < len(from.tail) {
		u.forget(from, from.tail[n:])
		from.tail, from.tailAbout, from.tailTelling, from.next = from.unmerged, from.about, from.telling, from.head
	}
}

// merging are entries of a room on their way to the table entries.
type merging struct {
	*room
	entries []unmergedEntry // in ascending order, from the first that is missing there
}

// oldest picks entries to merge: from the rooms that have waited longest, so that the
// oldest batch can go, as many of each room as there are, but not much more than asked for
// or than a step. All of them must be published.
func (u *unmerged) oldest(entries, bytes, step int) []merging {
	rooms := make([]*room, 0, len(u.rooms))
	for one := range u.rooms {
		rooms = append(rooms, one)
	}
	slices.SortFunc(rooms, func(a, b *room) int {
		return cmp.Or(cmp.Compare(a.tail[0].batch, b.tail[0].batch), cmp.Compare(a.id, b.id))
	})
	var picked []merging
	weight := entries * entryWeight
	for _, one := range rooms {
		if weight <= 0 && bytes <= 0 {
			break
		}
		stop, n := weight-max(weight, step*entryWeight), 0 // the weight to stop at
		for n < len(one.tail) && (weight > stop || bytes > 0) {
			bytes -= one.tail[n].size()
			weight -= one.tail[n].weight()
			n++
		}
		picked = append(picked, merging{one, one.tail[:n:n]})
	}
	return picked
}

// pick picks entries to merge, and finds what is still unmerged then. Nothing is being
// appended.
func (b *batch) pick(entries, bytes, step int) {
	b.merged = b.unmerged.oldest(entries, bytes, step)
	counts := make(map[*room]int, len(b.merged))
	for _, r := range b.merged {
		counts[r.room] = len(r.entries)
	}
	b.progress.batch = uint64(b.unmerged.batch)
	keep := b.unmerged.batch + 1
	for r := range b.unmerged.rooms {
		if n := counts[r]; n < len(r.tail) {
			keep = min(keep, r.tail[n].batch)
		}
	}
	b.progress.Merged = uint64(keep - 1)
}

// mergeAll merges everything, in the transaction in progress.
func (b *batch) mergeAll() error {
	b.pick(len(b.unmerged.keys), 0, 0)
	return b.merge()
}

// merge moves the picked entries to the table entries, in the transaction in progress.
func (b *batch) merge() error {
	err := b.insert(b.merged)
	if err == nil {
		err = b.dueFrom(b.merged)
	}
	if err == nil {
		_, err = b.stmts.trimUnmerged.ExecContext(b.ctx, int64(b.progress.Merged))
	}
	if err == nil {
		err = b.saveProgress()
	}
	if codeOf(err) == codeUnique {
		err = damaged("the index of ids", err)
	}
	if err != nil {
		return fmt.Errorf("merge entries: %w", err)
	}
	failpoint.Point("append.merged")
	return nil
}

// commitMerged commits a transaction that has merged entries, and publishes it. One that releases
// files changes documents, so it gets a number of a batch, for the cache of documents.
func (b *batch) commitMerged() error {
	d := b.database
	if b.released == 0 {
		if err := b.stmts.commit.exec(b.ctx); err != nil {
			return err
		}
		d.appending.Lock()
		defer d.appending.Unlock()
		b.publish()
		return nil
	}
	d.appending.Lock()
	defer d.appending.Unlock()
	err := b.note()
	if err == nil {
		err = b.stmts.commit.exec(b.ctx)
	}
	if err == nil {
		b.publish()
	}
	return err
}

// insert writes entries to the table entries, and the heads that the rooms have
// there.
func (b *batch) insert(rooms []merging) error {
	var folded folding
	for i := range rooms {
		if err := folded.fold(b, &rooms[i]); err != nil {
			return err
		}
	}
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
			if now, changed := folded.texts[place]; changed {
				changed := *e
				changed.Content, changed.Files = now.content, now.files
				e = &changed
			}
			args = append(args, place, e.Time, int64(e.Kind), e.user, username, e.ID, e.Target, e.Content, b.sum.entry(place, e.user, &e.Entry), orNull(e.Files))
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
	if err := folded.save(b); err != nil {
		return err
	}
	if err := b.count(rooms); err != nil {
		return err
	}
	for i := range rooms {
		if err := b.noteRuns(&rooms[i]); err != nil {
			return err
		}
	}
	for _, r := range rooms {
		row := b.rowOf(r.room, r.entries[len(r.entries)-1].Seq, r.revision)
		if _, err := b.stmts.setHead.ExecContext(b.ctx, row.head, row.messages, b.sum.room(r.id, r.key, r.name.String(), row), r.id); err != nil {
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
	if len(r.tail) > 0 {
		return r.tail[0].Seq - 1
	}
	return r.head
}

const (
	insertQuery   = "INSERT INTO entries (place, time, kind, user, username, id, target, content, sum, files) VALUES "
	insertRow     = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	insertColumns = 10
)

// orNull returns a text as a value of a column that has NULL for none.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// lookedUp is how many keys one query looks up.
const lookedUp = 32

// findQuery looks n keys up in the index ids. SQLite joins in the order written.
func findQuery(n int) string {
	return "SELECT k.column1, k.column2, k.column3, e.place, e.time, e.kind, e.user, e.id, e.username, e.target, e.content, e.files, e.sum FROM (VALUES " + times("(?, ?, ?)", n) +
		") k CROSS JOIN entries e ON e.place >> 40 = k.column1 AND e.user = k.column2 AND e.id = k.column3"
}

// times returns s n times, separated by commas.
func times(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// finder reads merged data for appends, on a connection of its own, so that they do not
// wait for the writer. Guarded by database.appending.
type finder struct {
	*conn
	find, findOne, findUser *sql.Stmt
	newestID, begin         *sql.Stmt
	noop, newestNoop        *sql.Stmt
	stateStmts
	rowsOf, statesOf, reactionsOf *sql.Stmt // of a list
	roomsOf                       *sql.Stmt // of a list
	authors                       *authors
	sum                           summer
	newest                        map[authorIn]string // the highest ids of some authors in some rooms that are merged or made no difference
	noopsOf                       map[authorIn]string // the highest of those that made none
}

// authorIn is an author in a room.
type authorIn struct{ room, user int64 }

func (f *finder) prepare(ctx context.Context) error {
	f.newest, f.noopsOf = make(map[authorIn]string), make(map[authorIn]string)
	var err error
	if f.authors, err = f.newAuthors(ctx); err != nil {
		return err
	}
	return f.conn.prepare(ctx, map[**sql.Stmt]string{
		&f.find: findQuery(lookedUp), &f.findOne: findQuery(1),
		&f.findUser: "SELECT id, name, sum FROM users WHERE key = ?",
		&f.newestID: "SELECT place, id FROM entries INDEXED BY ids WHERE place >> 40 = ? AND user = ? ORDER BY id DESC LIMIT 1",
		&f.begin:    "BEGIN",
		&f.noop:     noopQuery, &f.newestNoop: lastNoopQuery,
		&f.roomsOf: "SELECT id, key, name, " + roomColumns + " FROM rooms WHERE id " + inList,
		&f.rowsOf:  rowsQuery + inList, &f.statesOf: stateQuery + inList, &f.reactionsOf: listedReactions,
	}, f.stateStmts.queries())
}

// maxNewest bounds the authors whose newest ids are remembered.
const maxNewest = 1 << 16

// isNew reports whether an id is above all merged ids of its author in the room, so that it
// need not be looked up. Ids that begin with the time are.
func (f *finder) isNew(ctx context.Context, k key) (bool, error) {
	in := authorIn{k.room, k.user}
	newest, known := f.newest[in]
	if !known {
		var err error
		if newest, err = f.readNewest(ctx, in); err != nil {
			return false, err
		}
		noop, err := f.lastNoop(ctx, in)
		if err != nil {
			return false, err
		}
		newest = max(newest, noop)
		if len(f.newest) >= maxNewest {
			clear(f.newest)
		}
		f.newest[in] = newest
	}
	return k.id > newest, nil
}

// unsure is above every id: nothing is new without a look.
const unsure = "\xff"

// readNewest returns the highest merged id of an author in a room, "" if there is none. No
// checksum covers the index, so it counts only if the row in the table says the same.
func (f *finder) readNewest(ctx context.Context, in authorIn) (string, error) {
	var place, user, value int64
	var id string
	err := f.newestID.QueryRowContext(ctx, in.room, in.user).Scan(&place, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	var e store.Entry
	if err == nil {
		err = f.row.QueryRowContext(ctx, place).Scan(&e.Time, &e.Kind, &user, &e.ID, &e.Username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value)
	}
	switch {
	case codeOf(err) != 0 && !isDamage(err):
		return "", err
	case err != nil, e.ID != id, user != in.user, place>>seqBits != in.room, f.sum.entry(place, user, &e) != value:
		return unsure, nil
	}
	return id, nil
}

// merged notes the ids of entries that are merged now.
func (f *finder) merged(r merging) {
	for i := range r.entries {
		f.used(authorIn{r.id, r.entries[i].user}, r.entries[i].ID)
	}
}

// used notes an id of an author in a room.
func (f *finder) used(in authorIn, id string) {
	if newest, known := f.newest[in]; known && id > newest {
		f.newest[in] = id
	}
}

// lookUp finds the merged entries with some keys, by some authors.
func (f *finder) lookUp(ctx context.Context, keys []key, authors []user) (map[key]earlier, error) {
	found := make(map[key]earlier)
	if len(keys) == 0 {
		return found, nil
	}
	if len(keys) == 1 { // most batches on a quiet server
		if err := f.lookUpSome(ctx, f.findOne, []any{keys[0].room, keys[0].user, keys[0].id}, authors, found); err != nil {
			return nil, err
		}
		return found, f.lookUpNoops(ctx, keys, found)
	}
	args := make([]any, 3*lookedUp)
	for some := range slices.Chunk(keys, lookedUp) {
		clear(args) // nothing equals NULL
		for i, k := range some {
			args[3*i], args[3*i+1], args[3*i+2] = k.room, k.user, k.id
		}
		if err := f.lookUpSome(ctx, f.find, args, authors, found); err != nil {
			return nil, err
		}
	}
	return found, f.lookUpNoops(ctx, keys, found)
}

// lookUpNoops adds the changes with some keys that made no difference, unless an entry has
// the key.
func (f *finder) lookUpNoops(ctx context.Context, keys []key, found map[key]earlier) error {
	for _, k := range keys {
		if _, known := found[k]; known {
			continue
		}
		newest, known := f.noopsOf[authorIn{k.room, k.user}]
		if !known {
			var err error
			if newest, err = f.lastNoop(ctx, authorIn{k.room, k.user}); err != nil {
				return err
			}
			if len(f.noopsOf) >= maxNewest {
				clear(f.noopsOf)
			}
			f.noopsOf[authorIn{k.room, k.user}] = newest
		}
		if k.id > newest {
			continue // nearly always: an author in a room has none
		}
		switch e, is, err := f.findNoop(ctx, k); {
		case err != nil:
			return err
		case is:
			found[k] = e
		}
	}
	return nil
}

func (f *finder) lookUpSome(ctx context.Context, stmt *sql.Stmt, args []any, authors []user, found map[key]earlier) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var place, user, value int64
		var username sql.NullString
		var e store.Entry
		err := rows.Scan(&k.room, &k.user, &k.id, &place, &e.Time, &e.Kind, &user, &e.ID, &username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value)
		if err == nil {
			if e.Username = username.String; !username.Valid {
				e.Username = nameOf(authors, user)
			}
			if f.sum.entry(place, user, &e) != value || place>>seqBits != k.room || user != k.user || e.ID != k.id {
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
