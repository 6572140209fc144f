package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// documentStmts read documents. Every connection that runs transactions has them.
type documentStmts struct {
	getDocument, getDocuments, scanDocuments, scanDocumentsBack direct
}

func (s *documentStmts) queries() map[*direct]string {
	return map[*direct]string{
		&s.getDocument:       "SELECT key, value, sum FROM documents WHERE key = ?",
		&s.getDocuments:      "SELECT key, value, sum FROM documents WHERE key IN (SELECT value FROM json_each(?))",
		&s.scanDocuments:     "SELECT key, value, sum FROM documents WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
		&s.scanDocumentsBack: "SELECT key, value, sum FROM documents WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?",
	}
}

// get returns the value of a document, nil if there is none.
func (s *documentStmts) get(ctx context.Context, sum *summer, key string) (value []byte, _ error) {
	err := s.getDocument.query(ctx, func(row []sqldriver.Value) error {
		d, err := readDocument(row, sum)
		value = d.Value
		return err
	}, key)
	if err != nil {
		return nil, sortDamage(key, err)
	}
	return value, nil
}

// getAll returns the values of some documents, nil for each that there is not.
func (s *documentStmts) getAll(ctx context.Context, sum *summer, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	found := make(map[string][]byte, len(keys))
	err = s.getDocuments.query(ctx, func(row []sqldriver.Value) error {
		d, err := readDocument(row, sum)
		found[d.Key] = d.Value
		return err
	}, string(list))
	if err != nil {
		return nil, sortDamage(keys[0], err)
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = found[key]
	}
	return values, nil
}

// scanBy returns documents in a range, by scanDocuments or scanDocumentsBack.
func scanBy(ctx context.Context, stmt *direct, sum *summer, from, to string, limit int) (found []store.Document, _ error) {
	err := stmt.query(ctx, func(row []sqldriver.Value) error {
		d, err := readDocument(row, sum)
		found = append(found, d)
		return err
	}, from, to, int64(limit))
	if err != nil {
		return nil, sortDamage(from, err)
	}
	return found, nil
}

// readDocument reads the columns key, value, sum. An error is damage.
func readDocument(row []sqldriver.Value, sum *summer) (store.Document, error) {
	key, isKey := row[0].(string)
	value, isValue := row[1].([]byte)
	if isValue && value == nil {
		value = []byte{} // an empty one
	}
	stored, isSum := row[2].(int64)
	if !isKey || !isValue || !isSum || sum.document(key, value) != stored {
		return store.Document{}, &store.DocumentError{Key: key, Err: errSum}
	}
	return store.Document{Key: key, Value: value}, nil
}

// checkRead returns a *store.DocumentError if no store takes a document that was read.
func checkRead(d *store.Document) error {
	if err := d.Check(); err != nil {
		return &store.DocumentError{Key: d.Key, Err: err}
	}
	return nil
}

// scanDocument is readDocument for a statement of database/sql. Its errors are *store.DocumentError.
func scanDocument(rows *sql.Rows, sum *summer) (store.Document, error) {
	row := make([]any, 3)
	if err := rows.Scan(&row[0], &row[1], &row[2]); err != nil {
		return store.Document{}, &store.DocumentError{Err: err}
	}
	return readDocument([]sqldriver.Value{row[0], row[1], row[2]}, sum)
}

// sortDamage returns an error of a query for documents. If the database is damaged, it
// concerns this call only.
func sortDamage(key string, err error) error {
	if isDamage(err) {
		return &store.DocumentError{Key: key, Err: err}
	}
	return err
}

// Update implements store.Documents. Its function runs once.
func (s *Store) Update(ctx context.Context, run func(store.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := s.newBatch(ctx)
	defer b.end()
	writes, err := s.update(ctx, b, run)
	if err == nil {
		b.tend(writes)
	}
	return err
}

// update runs a transaction of Update and returns how many documents it has written.
func (s *Store) update(ctx context.Context, b *batch, run func(store.Tx) error) (writes int, _ error) {
	const operation = "update documents"
	s.appending.Lock()
	defer s.appending.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return 0, b.abort(operation, err)
	}
	returned := false
	defer func() {
		if !returned { // it panics
			b.giveUp(operation, nil)
		}
	}()
	t := b.tx(true)
	err := t.run(run)
	returned = true
	switch {
	case t.fatal:
		return 0, b.abort(operation, err)
	case err != nil:
		return 0, b.giveUp(operation, err)
	}
	if t.writes == 0 {
		return 0, b.giveUp(operation, nil)
	}
	if err = b.note(); err == nil {
		failpoint.Point("update.before-commit")
		err = b.commit()
		failpoint.Point("update.after-commit")
	}
	if err != nil {
		return 0, b.abort(operation, err)
	}
	b.publish()
	return t.writes, nil
}

// decide runs a function of a write. If it or something that it did failed, refused is
// the error and its changes are undone. After the other error the batch fails.
func (b *batch) decide(run func(store.Tx) error) (refused, _ error) {
	t := b.tx(false)
	err := t.run(run)
	switch {
	case t.fatal:
		return nil, err
	case err == nil && t.changed:
		b.writes += t.writes
		_, err := b.stmts.release.ExecContext(b.ctx)
		failpoint.Point("append.decided")
		return nil, err
	case t.changed:
		t.undo()
		if _, err := b.stmts.rollbackTo.ExecContext(b.ctx); err != nil {
			return nil, err
		}
		if _, err := b.stmts.release.ExecContext(b.ctx); err != nil {
			return nil, err
		}
	}
	return err, nil
}

// View implements store.Documents. The number of Views and Reads at a time is bounded.
func (s *Store) View(ctx context.Context, run func(store.Tx) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers <- c }()
	return s.view(c, run)
}

func (s *Store) view(c *reader, run func(store.Tx) error) (err error) {
	const operation = "view documents"
	ctx := context.Background()
	if err := c.beginView.exec(ctx); err != nil {
		return s.failed(operation, err)
	}
	defer func() {
		if failed := c.endView.exec(ctx); failed != nil && codeOf(failed) != codeError { // then no transaction is active
			err = s.broke(operation, errors.Join(err, failed))
		}
	}()
	p, err := readProgress(ctx, &c.progress, &c.authors.sum) // from now on the state is fixed
	if err != nil {
		return s.failed(operation, err)
	}
	if err := s.await(int64(p.batch)); err != nil {
		return err
	}
	t := tx{ctx: ctx, stmts: &c.documentStmts, sum: &c.authors.sum, cache: &s.cache, at: p.batch, reader: c}
	if err = t.run(run); t.fatal {
		err = s.failed(operation, err)
	}
	return err
}

// await waits until the memory has a committed batch, so that nobody sees its documents
// before its entries.
func (d *database) await(batch int64) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for d.unmerged.batch < batch {
		if broken := d.broken.Load(); broken != nil {
			return *broken
		}
		d.published.Wait()
	}
	return nil
}

// tx implements store.Tx.
type tx struct {
	ctx   context.Context
	stmts *documentStmts
	sum   *summer
	cache *cache
	at    uint64 // the batch of the state that the transaction sees, but for its own changes
	// batch is nil if the transaction only reads; then reader is not nil.
	batch   *batch
	reader  *reader
	changed bool // a savepoint is set, or none is needed
	bumps   []revised
	writes  int
	failed  error // the first error that makes the transaction fail
	fatal   bool  // the error is of SQLite, which may have ended the transaction
}

// tx returns a transaction that is a part of the batch. changed is set if it needs no
// savepoint.
func (b *batch) tx(changed bool) tx {
	return tx{
		ctx: b.ctx, stmts: &b.stmts.documentStmts, sum: &b.sum, cache: &b.cache, at: b.database.progress.batch,
		batch: b, changed: changed,
	}
}

// revised is a room with the revision that it had before.
type revised struct {
	room     *touched
	revision uint64
	added    bool
}

// run runs a function and returns its error, or the transaction's.
func (t *tx) run(f func(store.Tx) error) error {
	err := f(t)
	if t.failed != nil {
		return t.failed
	}
	return err
}

// fail makes the transaction fail.
func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// check makes the transaction fail if SQLite has returned an error.
func (t *tx) check(err error) error {
	if err == nil {
		return nil
	}
	t.fatal = t.fatal || !errors.Is(err, store.ErrDamaged)
	return t.fail(err)
}

// undo takes back what the transaction has changed in the memory of its batch.
func (t *tx) undo() {
	for i := len(t.bumps) - 1; i >= 0; i-- {
		one := &t.bumps[i]
		if one.room.revision = one.revision; one.added {
			delete(t.batch.touched, one.room.key) // its id is not used again
		}
	}
}

// change prepares the transaction for a change.
func (t *tx) change() error {
	if t.batch == nil {
		return store.ErrReadOnly
	}
	t.writes++
	if t.changed || t.failed != nil {
		return t.failed
	}
	t.changed = true
	_, err := t.batch.stmts.savepoint.ExecContext(t.ctx)
	return t.check(err)
}

// Get implements store.Tx.
func (t *tx) Get(key string) ([]byte, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	value, err := t.read(key, func() ([]byte, error) { return t.stmts.get(t.ctx, t.sum, key) })
	if err != nil {
		return nil, t.check(err)
	}
	return value, nil
}

// GetAll implements store.Tx.
func (t *tx) GetAll(keys []string) ([][]byte, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	values, err := t.readAll(keys)
	if err != nil {
		return nil, t.check(err)
	}
	return values, nil
}

// Put implements store.Tx.
func (t *tx) Put(key string, value []byte) error {
	if err := t.change(); err != nil {
		return err
	}
	d := store.Document{Key: key, Value: value}
	if err := d.Check(); errors.Is(err, store.ErrTooBig) {
		return err
	} else if err != nil {
		return t.fail(err)
	}
	t.batch.changes.add(key)
	if t.batch.apart.takes(key, value) {
		return nil
	}
	return t.check(t.batch.stmts.putDocument.exec(t.ctx, key, value, t.sum.document(key, value)))
}

// Delete implements store.Tx.
func (t *tx) Delete(key string) error {
	if err := t.change(); err != nil {
		return err
	}
	t.batch.changes.add(key)
	if t.batch.apart.takes(key, nil) {
		return nil
	}
	return t.check(t.batch.stmts.deleteDocument.exec(t.ctx, key))
}

// Scan implements store.Tx.
func (t *tx) Scan(from, to string, limit int) ([]store.Document, error) {
	return t.scan(t.readRange, from, to, limit)
}

// ScanBack implements store.Tx.
func (t *tx) ScanBack(from, to string, limit int) ([]store.Document, error) {
	return t.scan(func(from, to string, limit int) ([]store.Document, error) {
		return scanBy(t.ctx, &t.stmts.scanDocumentsBack, t.sum, from, to, limit)
	}, from, to, limit)
}

func (t *tx) scan(read func(from, to string, limit int) ([]store.Document, error), from, to string, limit int) ([]store.Document, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	if err := store.CheckLimit(limit); err != nil {
		return nil, t.fail(err)
	}
	found, err := read(from, to, limit)
	return found, t.check(err)
}

// Bump implements store.Tx.
func (t *tx) Bump(name kaban.RoomName) error {
	if err := t.change(); err != nil {
		return err
	}
	b := t.batch
	b.changes.add(revisionKey(name))
	r := b.room(name)
	added := r == nil
	if added {
		var err error
		if r, err = b.addRoom(name); errors.Is(err, errTooMany) {
			return t.fail(err)
		} else if err != nil {
			return t.check(err)
		}
	}
	t.bumps = append(t.bumps, revised{r, r.revision, added})
	if r.revision == math.MaxInt64 {
		return t.fail(fmt.Errorf("%w of revisions of %s", errTooMany, name))
	}
	r.revision++
	_, err := b.stmts.setRevision.ExecContext(t.ctx, r.revision, t.sum.room(r.id, r.key, r.name.String(), b.rowOf(r.room, b.mergedHead(r.room), r.revision)), r.id)
	return t.check(err)
}

// Head implements store.Tx.
func (t *tx) Head(name kaban.RoomName) (uint64, error) {
	if t.batch == nil {
		return 0, store.ErrReadOnly
	}
	if r := t.batch.room(name); r != nil {
		return r.head, nil
	}
	return 0, nil
}

// Counts implements store.Tx.
func (t *tx) Counts(name kaban.RoomName, author string) (store.Counts, error) {
	if t.batch == nil {
		return store.Counts{}, store.ErrReadOnly
	}
	if t.failed != nil {
		return store.Counts{}, t.failed
	}
	r := t.batch.room(name)
	if r == nil {
		return store.Counts{}, nil
	}
	counts, err := t.batch.countsOf(r, author)
	return counts, t.check(err)
}

// Revision implements store.Tx.
func (t *tx) Revision(name kaban.RoomName) (uint64, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	if t.batch == nil {
		revision, err := t.readRevision(name)
		return revision, t.check(err)
	}
	if r := t.batch.room(name); r != nil {
		return r.revision, nil
	}
	return 0, nil
}

// revisionOf reads the revision of a room's rights.
func (c *reader) revisionOf(ctx context.Context, name kaban.RoomName) (uint64, error) {
	var id, value int64
	var key, stored string
	var row roomRow
	err := c.revision.QueryRowContext(ctx, name.Key()).Scan(append([]any{&id, &key, &stored}, row.scan(&value)...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case isDamage(err), err == nil && c.authors.sum.room(id, key, stored, row) != value:
		return 0, damaged(fmt.Sprintf("room %s", name), cmp.Or(err, errSum))
	}
	return row.revision, err
}
