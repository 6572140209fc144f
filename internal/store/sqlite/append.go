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

const (
	// maxUsers bounds the users that are remembered.
	maxUsers = 1 << 16
	// checkpointPages is how much of the WAL may be in the WAL only, in pages
	// of 4 KiB. SQLite's own default.
	checkpointPages = 1000
	// truncateFactor is by how much the WAL may exceed that before the readers
	// are waited for and it is cut to nothing.
	truncateFactor = 16
	// lookAtWAL is after how many small appends it is looked at; one takes a few
	// pages.
	lookAtWAL = 16
)

// writerStmts are prepared once.
type writerStmts struct {
	begin, commit, find, findOne     *sql.Stmt
	findUser, addUser, addRoom       *sql.Stmt
	addJournal, trimJournal          *sql.Stmt
	insertOne, insertMany, insertNew *sql.Stmt
	setHead                          *sql.Stmt
	walState                         *sql.Stmt
}

func (w *writerStmts) prepare(ctx context.Context, c *conn) error {
	return c.prepare(ctx, map[**sql.Stmt]string{
		&w.begin:       "BEGIN IMMEDIATE",
		&w.commit:      "COMMIT",
		&w.find:        findQuery(lookedUp),
		&w.findOne:     findQuery(1),
		&w.findUser:    "SELECT id, name, sum FROM users WHERE key = ?",
		&w.addUser:     "INSERT INTO users (id, key, name, sum) VALUES (?, ?, ?, ?)",
		&w.addRoom:     "INSERT INTO rooms (id, key, name, head, sum) VALUES (?, ?, ?, 0, ?)",
		&w.addJournal:  "INSERT INTO journal (batch, time, entries, sum) VALUES (?, ?, ?, ?)",
		&w.trimJournal: "DELETE FROM journal WHERE batch < ?",
		&w.insertOne:   insertQuery + insertRow,
		&w.insertMany:  insertQuery + times(insertRow, insertRows),
		&w.insertNew:   insertQuery + insertRow + " ON CONFLICT (user, id) DO NOTHING",
		&w.setHead:     "UPDATE rooms SET head = ?, sum = ? WHERE id = ?",
		&w.walState:    "PRAGMA wal_checkpoint(NOOP)", // only tells how large it is
	})
}

// batch is a transaction under way: what Store's caches become after COMMIT.
type batch struct {
	*Store
	ctx     context.Context
	now     int64
	touched map[string]*touched // by key
	added   map[string]user     // those that were not remembered, by key
	keys    map[key]earlier     // those of its entries, and of what it repeats
	entries []journaled         // of all rooms
	merged  []merging

	lastRoom, lastUser int64
}

// touched is a room that a batch appends to, with the head that it gets.
type touched struct {
	*room
	head    uint64
	entries []recentEntry // of the batch
}

func (s *Store) newBatch(ctx context.Context) batch {
	return batch{
		Store: s, ctx: context.WithoutCancel(ctx), now: s.now().UnixMilli(),
		touched: make(map[string]*touched), added: make(map[string]user),
		lastRoom: s.lastRoom, lastUser: s.lastUser,
	}
}

// Append implements store.Store. The context counts only before the
// transaction begins.
func (s *Store) Append(ctx context.Context, drafts []kaban.Draft, results []store.Result) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if len(drafts) == 0 {
		return nil
	}
	b := s.newBatch(ctx)
	ctx = b.ctx
	if err := b.store(drafts, results); err != nil {
		clear(results)
		operation := fmt.Sprintf("append %d messages", len(drafts))
		if err = s.failed(operation, err); errors.Is(err, store.ErrBroken) {
			return err // nothing more is done to the files
		}
		if failed := s.writer.rollback(ctx); failed != nil {
			return s.broke(operation, errors.Join(err, failed))
		}
		return err
	}
	b.publish()
	if s.appends++; s.appends%lookAtWAL == 0 || len(b.merged) > 0 || len(drafts) > lookAtWAL {
		s.tendWAL(ctx)
	}
	return nil
}

// store does the transaction. Who calls it rolls back when it fails.
func (b *batch) store(drafts []kaban.Draft, results []store.Result) error {
	if _, err := b.stmts.begin.ExecContext(b.ctx); err != nil {
		return err
	}
	bytes := 0
	for i := range drafts {
		bytes += len(drafts[i].Body)
	}
	if err := b.mergeFor(len(drafts), bytes); err != nil {
		return err
	}
	authors := make([]user, len(drafts))
	keys := make([]key, 0, len(drafts))
	for i := range drafts {
		author, err := b.user(drafts[i].Author)
		if results[i] = (store.Result{}); errors.Is(err, store.ErrDamaged) {
			results[i].Err = err
			continue
		}
		if err != nil {
			return err
		}
		authors[i], keys = author, append(keys, key{author.id, drafts[i].ID.String()})
	}
	var err error
	if b.keys, err = b.lookUp(keys, authors); err != nil {
		return err
	}
	for i := range drafts {
		if results[i].Err != nil {
			continue
		}
		if results[i], err = b.append(&drafts[i], authors[i]); err != nil {
			return err
		}
	}
	if err := b.journal(); err != nil {
		return err
	}
	return b.commit()
}

func (b *batch) commit() error {
	failpoint.Point("append.before-commit")
	_, err := b.stmts.commit.ExecContext(b.ctx)
	failpoint.Point("append.after-commit")
	return err
}

func (b *batch) append(d *kaban.Draft, author user) (_ store.Result, err error) {
	r, k := b.room(d.Room), key{author.id, d.ID.String()}
	if e, found := b.findEarlier(k); found {
		return repeated(e, d, r), nil
	}
	if r == nil {
		if r, err = b.addRoom(d.Room); err != nil {
			return store.Result{}, err
		}
	}
	if r.head >= maxSeq {
		return store.Result{}, fmt.Errorf("%w of entries in %s", errTooMany, r.name)
	}
	r.head++
	e := recentEntry{
		Entry: store.NewEntry(d, r.head, b.now),
		batch: b.recent.batch + 1, user: author.id,
	}
	e.ownName = e.Username != author.name
	r.entries = append(r.entries, e)
	j := journaled{Place: r.place(e.Seq), Kind: e.Kind, User: e.user, ID: e.ID, Target: e.Target, Content: e.Content}
	if e.ownName {
		j.Username = e.Username
	}
	b.entries = append(b.entries, j)
	b.keys[k] = earlier{place: j.Place, Entry: e.Entry}
	return store.Result{Seq: e.Seq, Time: e.Time}, nil
}

// findEarlier looks for what the author sent under the same id.
func (b *batch) findEarlier(k key) (e earlier, found bool) {
	if e, found = b.keys[k]; !found {
		e, found = b.recent.keys[k]
	}
	return e, found
}

// repeated answers a dispatch whose id is there already. The room is nil if it
// has no entries.
func repeated(e earlier, d *kaban.Draft, r *touched) store.Result {
	if e.damage != nil {
		return store.Result{Err: e.damage}
	}
	if r == nil || e.place>>seqBits != r.id || !e.IsOf(d) {
		return store.Result{Err: store.ErrIDConflict}
	}
	return store.Result{Seq: uint64(e.place & maxSeq), Time: e.Time, Duplicate: true}
}

// user returns an author, who is made if need be.
func (b *batch) user(author kaban.Identity) (user, error) {
	key := author.ID()
	if u, ok := b.users[key]; ok {
		return u, nil
	}
	if u, ok := b.added[key]; ok {
		return u, nil
	}
	u := user{name: author.Name().String()}
	var value int64
	err := b.stmts.findUser.QueryRowContext(b.ctx, key).Scan(&u.id, &u.name, &value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if b.lastUser == math.MaxInt64 {
			return user{}, fmt.Errorf("%w of users", errTooMany)
		}
		b.lastUser++
		u.id = b.lastUser
		_, err = b.stmts.addUser.ExecContext(b.ctx, u.id, key, u.name, b.sum.user(u.id, key, u.name))
	case err == nil && b.sum.user(u.id, key, u.name) != value:
		err = errSum
	}
	if err != nil && codeOf(err) == 0 {
		err = damaged(fmt.Sprintf("the user %s", author.Name()), err)
	}
	if err != nil {
		return user{}, err
	}
	b.added[key] = u
	return u, nil
}

// room returns a room as this transaction sees it, or nil.
func (b *batch) room(name kaban.RoomName) *touched {
	r := b.touched[name.Key()]
	if r == nil {
		// Only who holds Store.writing changes rooms, so reading needs no lock.
		known := b.rooms[name.Key()]
		if known == nil {
			return nil
		}
		r = &touched{room: known, head: known.head}
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
	if _, err := b.stmts.addRoom.ExecContext(b.ctx, r.id, r.key, name.String(), b.sum.room(r.id, r.key, name.String(), 0)); err != nil {
		return nil, err
	}
	b.touched[r.key] = &touched{room: r}
	return b.touched[r.key], nil
}

// setHead writes up to where a room's entries are in their place.
func (b *batch) setHead(r *room, head uint64) error {
	_, err := b.stmts.setHead.ExecContext(b.ctx, head, b.sum.room(r.id, r.key, r.name.String(), head), r.id)
	return err
}

// publish has everybody see what was committed.
func (b *batch) publish() {
	if len(b.users)+len(b.added) > maxUsers {
		clear(b.users)
	}
	maps.Copy(b.users, b.added)
	b.Store.lastRoom, b.Store.lastUser = b.lastRoom, b.lastUser
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.merged {
		b.recent.drop(r.room, r.n)
	}
	for name, r := range b.touched {
		b.rooms[name] = r.room
		r.room.head = r.head
		b.recent.add(r.room, r.entries)
	}
}

// tendWAL moves pages from the WAL into the database when there are many. That
// the batch is stored does not depend on it: an error that breaks the store
// concerns the next call, a full disk is tried again later.
func (s *Store) tendWAL(ctx context.Context) {
	var busy, pages, moved int
	if err := s.stmts.walState.QueryRowContext(ctx).Scan(&busy, &pages, &moved); err != nil {
		s.postpone(s.failed("look at the WAL", err))
		return
	}
	if pages >= s.truncateAt {
		// Readers follow each other so closely that the WAL never starts anew.
		done, err := s.checkpoint(ctx, "TRUNCATE")
		switch {
		case err != nil:
			s.postpone(err)
		case done:
			s.truncateAt = s.walPages * truncateFactor
		default:
			s.log.Warn("another program reads the database without an end, so its WAL grows", "path", s.path, "pages", pages)
			s.truncateAt = pages * 2
		}
		return
	}
	if pages-moved < s.checkpointAt {
		return
	}
	if _, err := s.checkpoint(ctx, "PASSIVE"); err != nil {
		s.postpone(err)
		return
	}
	s.checkpointAt = s.walPages
}

// postpone notes that a checkpoint went wrong, to be done again after as much
// has been written once more.
func (s *Store) postpone(err error) {
	s.checkpointAt += s.walPages
	s.truncateAt += s.walPages
	if !errors.Is(err, store.ErrBroken) {
		s.log.Warn("the WAL could not be moved into the database; everything is kept in the WAL", "path", s.path, "error", err)
	}
}

// checkpoint reports whether all of the WAL was moved. The error is classified.
func (s *Store) checkpoint(ctx context.Context, mode string) (done bool, err error) {
	var busy, pages, moved int
	if err := s.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &moved); err != nil {
		return false, s.failed("checkpoint", err)
	}
	return busy == 0 && pages == moved, nil
}
