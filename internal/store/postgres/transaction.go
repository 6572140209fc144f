package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/failpoint"
)

// needs are what a transaction takes before anything else. What it turns out to need later and
// cannot take in the order of locks, it adds here, and begins again.
type needs struct {
	documents bool // the lock of documents
	rooms     map[string]kaban.RoomName
	made      []kaban.RoomName // rooms whose rows are to be made first
}

// errAgain means that a transaction has added to its needs.
var errAgain = errors.New("the transaction begins again with more locks")

// lock adds a room.
func (n *needs) lock(name kaban.RoomName) {
	if n.rooms == nil {
		n.rooms = make(map[string]kaban.RoomName)
	}
	n.rooms[name.Key()] = name
}

// transaction is a transaction that decides. What it writes is kept here until all is decided, and
// then written at once, so that a decision is undone without the database.
type transaction struct {
	*Store
	ctx   context.Context // ends with the patience of the call
	conn  *pgx.Conn
	tx    pgx.Tx
	needs *needs
	now   int64 // milliseconds since 1970 UTC
	// resumed says that an earlier attempt, with the same time, may have stored what it decided: before,
	// if that was one of this kind. found says that it has.
	resumed, found bool
	before         *transaction
	note           string // what it leaves in the table commits; "" if it does not
	position       int64  // in the WAL, of what it has written; 0 for nothing

	rooms   map[string]*lockedRoom // by key; nil stands for a room without a row
	highest int64                  // the highest id of them
	// again is set when the needs have grown: whatever is decided, the transaction begins again.
	// broken is an error of the database, after which nothing else works.
	again  bool
	broken error

	documents btree.Map[string, []byte] // those that it writes; nil is removed
	bumped    []*lockedRoom
	updates   bool // it is that of an Update
	apart     apart
	log
	extra []statement // other statements, before those of the log
}

// statement is one that a transaction executes at its end.
type statement struct {
	sql  string
	args []any
}

// lockedRoom is a row of rooms that the transaction holds.
type lockedRoom struct {
	id      int64
	key     string
	name    kaban.RoomName
	head    uint64
	oldest  uint64
	changed bool
	late    bool // it was locked after the transaction had looked for ids

	revision, messages, front, noops uint64
}

// exists reports whether others see the room.
func (r *lockedRoom) exists() bool { return r != nil && (r.head > 0 || r.revision > 0) }

// revisionOrNone returns the revision of a room, 0 if there is none.
func (r *lockedRoom) revisionOrNone() uint64 {
	if r == nil {
		return 0
	}
	return r.revision
}

// called gives a room that comes into being the name that it is called by.
func (r *lockedRoom) called(name kaban.RoomName) {
	if !r.exists() {
		r.name = name
	}
	r.changed = true
}

const roomColumns = "id, key, name, head, oldest, revision, messages, front, noops"

// lockedRoomsQuery locks in the order of ids, as append_entries does.
const lockedRoomsQuery = "SELECT " + roomColumns + " FROM rooms WHERE key = ANY ($1) ORDER BY id FOR NO KEY UPDATE"

func scanLocked(row pgx.CollectableRow) (*lockedRoom, error) {
	r := new(lockedRoom)
	var name string
	err := row.Scan(&r.id, &r.key, &name, &r.head, &r.oldest, &r.revision, &r.messages, &r.front, &r.noops)
	if err == nil {
		r.name, err = parseRoom(name)
	}
	return r, err
}

// errLost means that it is unknown whether a COMMIT has succeeded.
var errLost = errors.New("the connection was lost in a commit")

// transact runs a function in a transaction, again with more locks or after a lost connection, and
// until it is known what became of it. Rows that the function reads first may be queued with the
// locks. The context prevents the transaction only before it begins.
//
// After a lost COMMIT the next attempt looks whether that one is stored: for its note, or, in a batch
// that needs no documents, for its ids. It does so behind the same locks, which the attempt before
// had before its COMMIT was sent, and keeps to its very end. So that one has ended.
func (s *Store) transact(ctx context.Context, operation string, n *needs, with transaction, queue func(*transaction, *pgx.Batch), run func(*transaction) error) error {
	p, end := s.patient(context.WithoutCancel(ctx))
	defer end()
	return s.transactWithin(ctx, p, operation, n, with, queue, run)
}

// transactWithin is transact with what is left of a patience.
func (s *Store) transactWithin(ctx context.Context, p *patience, operation string, n *needs, with transaction, queue func(*transaction, *pgx.Batch), run func(*transaction) error) error {
	held := false
	defer func() {
		if held {
			<-s.updating
		}
	}()
	with.Store, with.ctx, with.needs = s, p.ctx, n
	for begins := ctx.Done(); ; {
		if n.documents && !held {
			select {
			case s.updating <- struct{}{}:
				held = true
			case <-p.ctx.Done():
				return s.givenUp(operation, with.resumed, errBusy)
			case <-begins:
				return ctx.Err()
			}
		}
		begins = nil
		t := with
		err := t.attempt(queue, run)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errAgain):
			continue
		case errors.Is(err, errLost) && !t.found:
			with.before, with.resumed = &t, true
		}
		if r, ok := errors.AsType[*refusal](err); ok {
			return r.error
		}
		if !isPassing(err) || !p.again(err) {
			return s.givenUp(operation, with.resumed, p.late(err))
		}
	}
}

// errBusy means that other transactions of documents have taken all of the time.
var errBusy = unsent{errors.New("other changes of documents are in the way")}

// refusal is an error of the caller's function.
type refusal struct{ error }

// attempt runs the transaction once.
func (t *transaction) attempt(queue func(*transaction, *pgx.Batch), run func(*transaction) error) error {
	if err := t.makeRooms(t.ctx, t.needs.made); err != nil {
		return err
	}
	t.needs.made = nil
	conn, err := t.writers.Acquire(t.ctx)
	if err != nil {
		return unsent{err}
	}
	t.conn = conn.Conn()
	defer func() { // also if the function does not return
		if t.tx == nil {
			conn.Release()
			return
		}
		drop(conn, t.tx)
	}()
	if err := t.begin(queue); err != nil {
		return kept(t.conn, err)
	}
	if t.found {
		return t.commit()
	}
	err = run(t)
	switch {
	case t.again:
		return errAgain
	case t.broken != nil:
		return t.broken
	case err != nil:
		return err
	}
	return t.finish()
}

// makeRooms makes rows for rooms that have none, in the order of their keys, in a transaction of its
// own.
func (s *Store) makeRooms(ctx context.Context, rooms []kaban.RoomName) error {
	if len(rooms) == 0 {
		return nil
	}
	var keys, names []string
	for _, name := range rooms {
		if !slices.Contains(keys, name.Key()) {
			keys, names = append(keys, name.Key()), append(names, name.String())
		}
	}
	_, err := s.makers.Exec(ctx, `WITH made AS (
		INSERT INTO rooms (key, name) SELECT n.key, n.name FROM unnest($1::text[], $2::text[]) AS n (key, name) ORDER BY n.key COLLATE "C"
		ON CONFLICT (key) DO NOTHING RETURNING id
	) INSERT INTO counted (room, seq) SELECT id, 0 FROM made`, keys, names)
	if err != nil {
		return fmt.Errorf("make rooms: %w", err)
	}
	failpoint.Point("rooms.made")
	return nil
}

// begin begins the transaction, takes the locks and sends what is queued behind them, in one round
// trip. Each statement sees what was committed before it, so what is behind the locks sees all that
// their holders before have done.
func (t *transaction) begin(queue func(*transaction, *pgx.Batch)) error {
	b := new(pgx.Batch)
	b.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if t.needs.documents {
		b.Queue("SELECT pg_advisory_xact_lock($1)", documentsLock)
	}
	if before := t.before; before != nil && before.note != "" {
		b.Queue(findNote, t.handle, before.note).Exec(func(tag pgconn.CommandTag) error {
			t.found = tag.RowsAffected() > 0
			return nil
		})
	}
	t.rooms = make(map[string]*lockedRoom)
	if len(t.needs.rooms) > 0 {
		keys := make([]string, 0, len(t.needs.rooms))
		for key := range maps.Keys(t.needs.rooms) {
			keys, t.rooms[key] = append(keys, key), nil
		}
		b.Queue(lockedRoomsQuery, keys).Query(t.addLocked)
	}
	if queue != nil {
		queue(t, b)
	}
	results := t.conn.SendBatch(t.ctx, b)
	t.tx = results.Tx()
	return results.Close()
}

// addLocked notes rooms that are locked.
func (t *transaction) addLocked(rows pgx.Rows) error {
	found, err := pgx.CollectRows(rows, scanLocked)
	for _, r := range found {
		t.rooms[r.key], t.highest = r, max(t.highest, r.id)
	}
	return err
}

// room returns a room, locked, or nil if it has no row.
func (t *transaction) room(name kaban.RoomName) (*lockedRoom, error) {
	if r, known := t.rooms[name.Key()]; known {
		return r, nil
	}
	return t.lock(name)
}

// lock locks a room behind others. If its id is lower than theirs, it does not wait for the lock,
// because its holder may wait for one of theirs: the transaction begins again if the room is locked.
func (t *transaction) lock(name kaban.RoomName) (*lockedRoom, error) {
	var id int64
	err := t.tx.QueryRow(t.ctx, "SELECT id FROM rooms WHERE key = $1", name.Key()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		t.rooms[name.Key()] = nil
		return nil, nil
	}
	if err != nil {
		return nil, t.breaks(err)
	}
	query := lockedRoomsQuery
	if id < t.highest {
		query += " SKIP LOCKED"
	}
	rows, err := t.tx.Query(t.ctx, query, []string{name.Key()})
	if err == nil {
		err = t.addLocked(rows)
	}
	if err != nil {
		return nil, t.breaks(err)
	}
	r := t.rooms[name.Key()]
	if r == nil {
		t.needs.lock(name)
		t.again = true
		return nil, errAgain
	}
	r.late = true
	return r, nil
}

// make is room for one that is to come into being.
func (t *transaction) make(name kaban.RoomName) (*lockedRoom, error) {
	r, err := t.room(name)
	if err != nil || r != nil {
		return r, err
	}
	if err := t.makeRooms(t.ctx, []kaban.RoomName{name}); err != nil {
		return nil, t.breaks(err)
	}
	return t.lock(name)
}

// breaks notes an error of the database.
func (t *transaction) breaks(err error) error {
	if t.broken == nil {
		t.broken = kept(t.conn, err)
	}
	return t.broken
}

// A note tells that a transaction of documents was committed. Of each store there is one, that of its
// last transaction, because they come one after the other. The statements are executed behind the
// lock of documents. Whoever finds a note writes it anew: a COMMIT that writes nothing would not wait
// for the standby, and the one that left the note may not have been confirmed.
const (
	leaveNote = `WITH old AS (DELETE FROM commits WHERE at < now() - interval '1 hour' AND handle <> $1)
		INSERT INTO commits (handle, note, at) VALUES ($1, $2, now()) ON CONFLICT (handle) DO UPDATE SET note = excluded.note, at = excluded.at`
	findNote = "UPDATE commits SET at = now() WHERE handle = $1 AND note = $2"
)

// positionQuery tells how far the WAL is, in a transaction that has written all that it writes. When its
// COMMIT is confirmed, so is everything up to there. The COMMIT of a transaction without an id writes
// nothing, and waits for nothing.
const positionQuery = "SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN 0 ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint END"

// finish writes everything and commits.
func (t *transaction) finish() error {
	b := new(pgx.Batch)
	for _, s := range t.extra {
		b.Queue(s.sql, s.args...)
	}
	t.writeRooms(b)
	t.writeLog(b)
	t.writeDocuments(b)
	if t.needs.documents {
		t.note = rand.Text()
		b.Queue(leaveNote, t.handle, t.note)
	}
	b.Queue(positionQuery).QueryRow(func(row pgx.Row) error { return row.Scan(&t.position) })
	if err := t.conn.SendBatch(t.ctx, b).Close(); err != nil {
		return kept(t.conn, fmt.Errorf("write: %w", err))
	}
	return t.commit()
}

// commit commits.
func (t *transaction) commit() error {
	if err := t.ctx.Err(); err != nil {
		return unsent{err}
	}
	if t.updates {
		failpoint.Point("update.before-commit")
	}
	failpoint.Point("append.before-commit")
	err := t.tx.Commit(t.ctx)
	t.tx = nil
	failpoint.Point("append.after-commit")
	if t.updates {
		failpoint.Point("update.after-commit")
	}
	if err == nil {
		err = t.apart.commit(t)
	}
	if err == nil {
		err = t.confirmed(t.conn, t.position)
	}
	switch {
	case errors.Is(err, errDoubtful) || isLost(kept(t.conn, err)):
		t.Store.log.Warn("the connection was lost in a commit", "error", err)
		return fmt.Errorf("%w: %w", errLost, err)
	case err != nil:
		return err
	case t.found:
		t.before.committed()
	default:
		t.committed()
	}
	return nil
}

// committed notes what others may know from now on.
func (t *transaction) committed() {
	for _, r := range t.rooms {
		if r.exists() {
			t.Store.rooms.add(room{r.id, r.name})
		}
	}
	t.grown()
}

// writeRooms writes what has changed of the rooms.
func (t *transaction) writeRooms(b *pgx.Batch) {
	var ids []int64
	var names []string
	var columns [6][]int64
	for _, r := range t.rooms {
		if r == nil || !r.changed {
			continue
		}
		ids, names = append(ids, r.id), append(names, r.name.String())
		for i, v := range []uint64{r.head, r.oldest, r.revision, r.messages, r.front, r.noops} {
			columns[i] = append(columns[i], int64(v))
		}
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(`UPDATE rooms r SET name = u.name, head = u.head, oldest = u.oldest, revision = u.revision, messages = u.messages, front = u.front, noops = u.noops
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
			AS u (id, name, head, oldest, revision, messages, front, noops) WHERE r.id = u.id`,
		ids, names, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5])
}
