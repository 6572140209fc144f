package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// maxUsers bounds the authors that are kept in memory.
const maxUsers = 1 << 16

// writerStmts are prepared once.
type writerStmts struct {
	addUser, addRoom          *sql.Stmt
	addUnmerged, trimUnmerged *sql.Stmt
	addNoop, dropNoop         *sql.Stmt
	setProgress, setErasing   *sql.Stmt
	readPage, writePage       *sql.Stmt
	readPages                 *sql.Stmt
	insertOne, insertMany     *sql.Stmt
	cutStmts
	stateStmts
	foldStmts
	runStmts
	mentionStmts
	writtenStmts
	ledgerStmts
	setHead, setRevision *sql.Stmt
	walState             *sql.Stmt

	documentStmts
	begin, commit, putDocument, deleteDocument direct
	savepoint, release, rollbackTo             *sql.Stmt
}

func (w *writerStmts) prepare(ctx context.Context, c *conn) error {
	err := c.prepareDirect(ctx, w.documentStmts.queries(), map[*direct]string{
		&w.begin:          "BEGIN IMMEDIATE",
		&w.commit:         "COMMIT",
		&w.putDocument:    "INSERT INTO documents (key, value, sum) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
		&w.deleteDocument: "DELETE FROM documents WHERE key = ?",
	})
	if err != nil {
		return err
	}
	return c.prepare(ctx, map[**sql.Stmt]string{
		&w.addUser:      "INSERT INTO users (id, key, name, sum) VALUES (?, ?, ?, ?)",
		&w.addRoom:      "INSERT INTO rooms (id, key, name, head, sum) VALUES (?, ?, ?, 0, ?)",
		&w.addUnmerged:  "INSERT INTO unmerged (batch, time, entries, sum) VALUES (?, ?, ?, ?)",
		&w.trimUnmerged: "DELETE FROM unmerged WHERE batch <= ?",
		&w.addNoop:      addNoopQuery,
		&w.dropNoop:     dropNoopQuery,
		&w.setProgress:  updateProgress,
		&w.setErasing:   updateErasing,
		&w.readPage:     "SELECT data FROM sqlite_dbpage WHERE pgno = ?",
		&w.readPages:    readPagesQuery,
		&w.writePage:    "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?",
		&w.insertOne:    insertQuery + insertRow,
		&w.insertMany:   insertQuery + times(insertRow, insertRows),
		&w.setHead:      "UPDATE rooms SET head = ?, messages = ?, sum = ? WHERE id = ?",
		&w.walState:     "PRAGMA wal_checkpoint(NOOP)", // only returns the size of the WAL

		&w.setRevision: "UPDATE rooms SET revision = ?, sum = ? WHERE id = ?",
		&w.savepoint:   "SAVEPOINT decide",
		&w.release:     "RELEASE decide",
		&w.rollbackTo:  "ROLLBACK TO decide",
	}, w.stateStmts.queries(), w.foldStmts.queries(), w.runStmts.queries(), w.writtenStmts.queries(), w.mentionStmts.queries(), w.ledgerStmts.queries(), w.cutStmts.queries())
}

// batch is a transaction in progress: the changes to the database's memory that
// take effect after COMMIT.
type batch struct {
	*database
	ctx      context.Context
	now      int64
	touched  map[string]*touched      // by key
	added    map[string]user          // authors that were not in memory, by key
	unsaved  map[int64]kaban.Identity // those of them that are not in the database
	keys     map[key]earlier          // of its entries, and of those that it repeats
	entries  []journaled              // of all rooms
	noops    []key                    // of those that make no difference
	merged   []merging
	counted  counted
	cut      cutting
	redacts  bool        // entries that are there
	number   int64       // its own; 0 if it has no entries and changes no revision
	progress progressRow // as it is after the transaction
	erasing  erasingRow  // as it is after the transaction
	apart    apart       // a fault of tests
	// importing is set while records of another store are inserted, which may be about
	// nothing.
	importing bool
	writes    int // documents and revisions that its decisions change
	released  int // messages whose files it takes away
	changes   changes

	lastRoom, lastUser int64
}

// touched is a room that a batch appends to, with its new head.
type touched struct {
	*room
	head     uint64
	revision uint64
	entries  []unmergedEntry // of the batch
}

// newBatch returns the batch of the writer, which the caller ends after its use.
func (d *database) newBatch(ctx context.Context) *batch {
	d.batch = batch{
		database: d, ctx: context.WithoutCancel(ctx), now: d.now().UnixMilli(), progress: d.progress, erasing: d.erasing,
		touched: make(map[string]*touched), added: make(map[string]user),
		lastRoom: d.lastRoom, lastUser: d.lastUser,
	}
	return &d.batch
}

// end lets go of everything that the batch has collected.
func (b *batch) end() { *b = batch{} }

// Append implements store.Store. Most batches are stored in the journal; the others, which
// change something else as well, in a transaction of the database.
func (s *Store) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	err := s.append(ctx, writes, results)
	s.noteAppend(err, s.now())
	return err
}

func (s *Store) append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if err := s.relieve(ctx); err != nil {
		return err
	}
	if done, err := s.appendFast(ctx, writes, results); done {
		return err
	}
	return s.appendSlowly(ctx, writes, results)
}

// appendSlowly stores a batch in a transaction of the database.
func (s *Store) appendSlowly(ctx context.Context, writes []store.Write, results []store.Result) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b, err := s.storeSlowly(ctx, writes, results)
	defer b.end()
	if err != nil {
		return err
	}
	b.tend(len(writes))
	return nil
}

func (s *Store) storeSlowly(ctx context.Context, writes []store.Write, results []store.Result) (*batch, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	b := s.newBatch(ctx)
	if err := s.usable(ctx); err != nil {
		return b, err
	}
	if err := b.store(writes, results); err != nil {
		clear(results)
		s.targets.clear()
		return b, b.abort(fmt.Sprintf("append %d messages", len(writes)), err)
	}
	b.publish()
	return b, nil
}

// tend looks at the WAL after some batches, and after each that wrote much.
func (b *batch) tend(writes int) {
	if b.database.appends++; b.appends%lookAtWAL == 0 || len(b.merged) > 0 || writes > lookAtWAL {
		b.tendWAL(b.ctx)
	}
}

// abort rolls the transaction back and returns the classified error that made it
// fail. A broken store's files are left as they are.
func (b *batch) abort(operation string, err error) error {
	err = b.failed(operation, err)
	if errors.Is(err, store.ErrBroken) {
		return err
	}
	return b.giveUp(operation, err)
}

// giveUp rolls the transaction back and returns the error that made it fail.
func (b *batch) giveUp(operation string, err error) error {
	if failed := b.writer.rollback(b.ctx); failed != nil {
		return b.broke(operation, errors.Join(err, failed))
	}
	return err
}

// store runs the transaction. The caller aborts it after an error.
func (b *batch) store(writes []store.Write, results []store.Result) error {
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return err
	}
	authors := make([]user, len(writes))
	keys := make([]key, 0, len(writes))
	for i := range writes {
		author, err := b.user(writes[i].Author)
		if results[i] = (store.Result{}); errors.Is(err, store.ErrDamaged) {
			results[i].Err = err
			continue
		}
		if err != nil {
			return err
		}
		authors[i] = author
		if r := b.room(writes[i].Room); r != nil {
			keys = append(keys, key{r.id, author.id, writes[i].ID.String()})
		}
	}
	var err error
	if b.keys, err = b.finder.lookUp(b.ctx, keys, authors); err != nil {
		return err
	}
	for i := range writes {
		if results[i].Err != nil {
			continue
		}
		if results[i], err = b.append(&writes[i], authors[i]); err != nil {
			return err
		}
	}
	if len(b.entries) == 0 && len(b.noops) == 0 && b.writes == 0 {
		return b.writer.rollback(b.ctx)
	}
	if err := b.note(); err != nil {
		return err
	}
	return b.commit()
}

func (b *batch) commit() error {
	failpoint.Point("append.before-commit")
	err := b.stmts.commit.exec(b.ctx)
	failpoint.Point("append.after-commit")
	if err != nil {
		return err
	}
	return b.apart.commit(b)
}

func (b *batch) append(w *store.Write, author user) (_ store.Result, err error) {
	d := &w.Draft
	r := b.room(d.Room)
	if r != nil {
		if e, found := b.findEarlier(r.room, key{r.id, author.id, d.ID.String()}); found {
			return b.repeated(b.ctx, e, r.room, r.entries, d)
		}
	}
	if w.Checked && w.Revision != r.revisionOrNone() {
		return store.Result{Err: store.ErrStale}, nil
	}
	if w.Refusal != nil {
		return store.Result{Err: w.Refusal}, nil
	}
	known, refused, err := b.rule(w)
	if known != (store.Change{}) && refused == nil && err == nil {
		err = b.noteNoop(r.room, author, d, known)
	}
	if known != (store.Change{}) || refused != nil || err != nil {
		return store.Result{Seq: known.Seq, Time: known.Time, Duplicate: refused == nil, Err: refused}, err
	}
	r = b.room(d.Room) // the decision may have added it
	if r == nil {
		if r, err = b.addRoom(d.Room); err != nil {
			return store.Result{}, err
		}
	}
	if err := b.saveUser(author); err != nil {
		return store.Result{}, err
	}
	e, err := r.add(d, author, b.now)
	if err != nil {
		return store.Result{}, err
	}
	e.batch, e.mentions = b.unmerged.batch+1, w.Told()
	b.entries = append(b.entries, e.journaled(r.room))
	b.keys[key{r.id, author.id, d.ID.String()}] = earlier{place: r.place(e.Seq), Entry: e.Entry}
	b.applied(r.room, &e.Entry)
	return store.Result{Seq: e.Seq, Time: e.Time}, nil
}

// errKnown ends a decision about a write that changes nothing.
var errKnown = errors.New("a message is like that already")

// rule decides about a write. known is the entry since which a message is what the write
// would make of it, and refused the result.
func (b *batch) rule(w *store.Write) (known store.Change, refused, _ error) {
	var failed error
	fit := func() error {
		if !w.HasTarget() {
			return nil
		}
		var in *room
		var appended []unmergedEntry
		if r := b.room(w.Room); r != nil {
			in, appended = r.room, r.entries
		}
		var refused error
		known, refused, failed = b.fits(b.ctx, w, in, appended)
		switch {
		case failed != nil:
			return failed
		case refused == nil && known != (store.Change{}):
			return errKnown
		}
		return refused
	}
	if w.Decide == nil {
		refused = fit()
	} else {
		var err error
		refused, err = b.decide(func(tx store.Tx) error {
			if err := w.Decide(tx); err != nil {
				return err
			}
			return fit()
		})
		if failed == nil {
			failed = err
		}
	}
	if errors.Is(refused, errKnown) {
		refused = nil
	}
	return known, refused, failed
}

// add adds the next entry.
func (r *touched) add(d *kaban.Draft, author user, time int64) (*unmergedEntry, error) {
	if r.head >= maxSeq {
		return nil, fmt.Errorf("%w of entries in %s", errTooMany, r.name)
	}
	r.head++
	e := unmergedEntry{Entry: store.NewEntry(d, r.head, time), user: author.id}
	e.ownName = e.Username != author.name
	r.entries = append(r.entries, e)
	return &r.entries[len(r.entries)-1], nil
}

// revisionOrNone returns the revision of a room, 0 if there is no room.
func (r *touched) revisionOrNone() uint64 {
	if r == nil {
		return 0
	}
	return r.revision
}

// findEarlier finds the entry with a key.
func (b *batch) findEarlier(in *room, k key) (e earlier, found bool) {
	if e, found = b.keys[k]; found {
		return e, true
	}
	if u := b.unmerged.find(in, k); u != nil {
		return u.earlier(in), true
	}
	return earlier{}, false
}

// earlier returns the entry as one that a draft may repeat.
func (e *unmergedEntry) earlier(in *room) earlier {
	return earlier{Entry: e.Entry, place: in.place(e.Seq)}
}

// user returns an author. A new one gets an id, and saveUser saves it with its first
// entry.
func (b *batch) user(author kaban.Identity) (user, error) {
	if u, ok := b.added[author.ID()]; ok {
		return u, nil
	}
	u, found, err := b.findUser(b.ctx, author)
	if err != nil || found {
		return u, err
	}
	if b.lastUser == math.MaxInt64 {
		return user{}, fmt.Errorf("%w of users", errTooMany)
	}
	b.lastUser++
	u = user{id: b.lastUser, name: author.Name().String()}
	if b.unsaved == nil {
		b.unsaved = make(map[int64]kaban.Identity)
	}
	b.unsaved[u.id] = author
	b.added[author.ID()] = u
	return u, nil
}

// findUser returns an author that the database has.
func (d *database) findUser(ctx context.Context, author kaban.Identity) (u user, found bool, err error) {
	key := author.ID()
	if u, ok := d.users[key]; ok {
		return u, true, nil
	}
	var value int64
	err = d.finder.findUser.QueryRowContext(ctx, key).Scan(&u.id, &u.name, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, false, nil
	}
	if err == nil && d.finder.sum.user(u.id, key, u.name) != value {
		err = errSum
	}
	if err != nil && codeOf(err) == 0 {
		err = damaged(fmt.Sprintf("the user %s", author.Name()), err)
	}
	if err != nil {
		return user{}, false, err
	}
	if len(d.users) >= maxUsers {
		clear(d.users)
	}
	d.users[key] = u
	return u, true, nil
}

// saveUser saves an author that is new.
func (b *batch) saveUser(u user) error {
	author, ok := b.unsaved[u.id]
	if !ok {
		return nil
	}
	delete(b.unsaved, u.id)
	_, err := b.stmts.addUser.ExecContext(b.ctx, u.id, author.ID(), u.name, b.sum.user(u.id, author.ID(), u.name))
	return err
}

// room returns a room as this transaction sees it, or nil.
func (b *batch) room(name kaban.RoomName) *touched {
	r := b.touched[name.Key()]
	if r == nil {
		// Rooms change only under database.writing, so reading needs no lock.
		known := b.rooms[name.Key()]
		if known == nil {
			return nil
		}
		r = &touched{room: known, head: known.head, revision: known.revision}
		b.touched[name.Key()] = r
	}
	return r
}

func (b *batch) addRoom(name kaban.RoomName) (*touched, error) {
	if b.lastRoom >= maxRoom {
		return nil, fmt.Errorf("%w of rooms", errTooMany)
	}
	b.lastRoom++
	r := &room{id: b.lastRoom, key: name.Key(), name: name}
	if _, err := b.stmts.addRoom.ExecContext(b.ctx, r.id, r.key, name.String(), b.sum.room(r.id, r.key, name.String(), roomRow{})); err != nil {
		return nil, err
	}
	b.touched[r.key] = &touched{room: r}
	return b.touched[r.key], nil
}

// publish makes the committed batch visible. Nothing else is being appended.
func (b *batch) publish() {
	b.forget() // before readers are let on to the batch
	if len(b.users)+len(b.added) > maxUsers {
		clear(b.users)
	}
	for _, author := range b.unsaved { // nothing by them is stored
		delete(b.added, author.ID())
	}
	maps.Copy(b.users, b.added)
	b.database.lastRoom, b.database.lastUser = b.lastRoom, b.lastUser
	b.database.progress, b.database.erasing = b.progress, b.erasing
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.merged {
		b.unmerged.drop(r.room, len(r.entries))
		b.finder.merged(r)
	}
	for _, k := range b.noops {
		b.finder.used(authorIn{k.room, k.user}, k.id)
		if newest, known := b.finder.noopsOf[authorIn{k.room, k.user}]; known {
			b.finder.noopsOf[authorIn{k.room, k.user}] = max(newest, k.id)
		}
	}
	b.publishCounts()
	b.publishCut()
	for name, r := range b.touched {
		b.rooms[name] = r.room
		r.room.revision = r.revision
		b.unmerged.add(r.room, r.entries)
		r.room.next = r.head
		r.room.publish()
	}
	b.unmerged.batch = max(b.unmerged.batch, b.number)
	b.show()
	b.wakeMerger()
	b.noteErasing()
	b.published.Broadcast()
}
