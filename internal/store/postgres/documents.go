package postgres

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kaban"
	"kaban/internal/store"
)

// Update implements store.Documents.
func (s *Store) Update(ctx context.Context, run func(store.Tx) error) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.transact(ctx, "change documents", &needs{documents: true}, transaction{now: s.now().UnixMilli(), updates: true}, nil, func(t *transaction) error {
		refused, err := t.decide(run)
		switch {
		case err != nil:
			return err
		case refused != nil:
			return &refusal{refused}
		}
		return nil
	})
}

// View implements store.Documents.
func (s *Store) View(ctx context.Context, run func(store.Tx) error) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	var c *pgxpool.Conn
	var tx pgx.Tx
	err := s.try(ctx, "read documents", func(ctx context.Context) (err error) {
		c, tx, err = s.snapshot(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer drop(c, tx) // also if the function does not return
	d := documents{Store: s, ctx: ctx, tx: tx}
	err = d.result(run(&d))
	switch {
	case d.broken == nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return s.failed("read documents", d.broken)
}

// snapshot begins a transaction that reads one state, which has everything that was stored before.
func (s *Store) snapshot(ctx context.Context) (*pgxpool.Conn, pgx.Tx, error) {
	c, err := s.readers.Acquire(ctx)
	if err != nil {
		return nil, nil, unsent{err}
	}
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		err = kept(c.Conn(), err)
		c.Release()
		return nil, nil, err
	}
	return c, tx, nil
}

// endTimeout is how long the end of a transaction may take that is not committed. If it takes longer,
// the connection is given up.
const endTimeout = time.Second

// drop ends a transaction without a commit.
func drop(c *pgxpool.Conn, tx pgx.Tx) {
	if !c.Conn().IsClosed() {
		limited, end := context.WithTimeout(context.Background(), endTimeout)
		defer end()
		_ = tx.Rollback(limited) // a connection that cannot do that is closed
	}
	c.Release()
}

// documents implements store.Tx, for one function.
type documents struct {
	*Store
	ctx    context.Context // of a transaction that writes, with its limit
	tx     pgx.Tx
	writes *transaction // nil in a View
	failed error        // what the function has done wrong
	broken error        // an error of the database
}

// decide runs a function of the caller. If it fails, nothing is left of it.
func (t *transaction) decide(run func(store.Tx) error) (refused, failed error) {
	before, bumped := t.documents.Copy(), len(t.bumped)
	keeps := false
	defer func() { // also if the function panics
		if keeps {
			return
		}
		t.documents = *before
		for _, r := range t.bumped[bumped:] {
			r.revision--
		}
		t.bumped = t.bumped[:bumped]
	}()
	d := documents{Store: t.Store, ctx: t.ctx, tx: t.tx, writes: t}
	refused = d.result(run(&d))
	switch {
	case t.again:
		return nil, errAgain
	case d.broken != nil:
		return nil, t.breaks(d.broken)
	case t.broken != nil:
		return nil, t.broken
	}
	keeps = refused == nil
	return refused, nil
}

// result returns the error of a function that has returned one, or none.
func (d *documents) result(err error) error {
	if d.failed == nil || errors.Is(err, d.failed) {
		return err
	}
	return errors.Join(d.failed, err)
}

// fail notes an error after which the transaction fails.
func (d *documents) fail(err error) error {
	if d.failed == nil {
		d.failed = err
	}
	return err
}

// breaks notes an error of the database.
func (d *documents) breaks(err error) error {
	if d.broken == nil {
		d.broken = kept(d.tx.Conn(), err)
	}
	return d.broken
}

// limit returns the context of a statement. A View may take long, because its function does, but none
// of its statements: after one without an answer the others have no connection.
func (d *documents) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.ctx, d.patience)
}

// written returns what the transaction has written to a document itself.
func (d *documents) written(key string) (value []byte, found bool) {
	if d.writes == nil {
		return nil, false
	}
	value, found = d.writes.documents.Get(key)
	return bytes.Clone(value), found
}

// Get implements store.Tx.
func (d *documents) Get(key string) ([]byte, error) {
	values, err := d.GetAll([]string{key})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// GetAll implements store.Tx.
func (d *documents) GetAll(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var asked [][]byte
	places := make(map[string][]int)
	for i, key := range keys {
		if value, found := d.written(key); found {
			values[i] = value
			continue
		}
		if places[key] = append(places[key], i); len(places[key]) == 1 {
			asked = append(asked, []byte(key))
		}
	}
	if len(asked) == 0 {
		return values, nil
	}
	limited, cancel := d.limit()
	defer cancel()
	rows, err := d.tx.Query(limited, "SELECT key, value FROM documents WHERE key = ANY ($1)", asked)
	if err != nil {
		return nil, d.breaks(err)
	}
	var key, value []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		for _, i := range places[string(key)] {
			values[i] = append([]byte{}, value...) // not nil
		}
		return nil
	})
	if err != nil {
		return nil, d.breaks(err)
	}
	return values, nil
}

// Put implements store.Tx.
func (d *documents) Put(key string, value []byte) error {
	if d.writes == nil {
		return store.ErrReadOnly
	}
	document := store.Document{Key: key, Value: value}
	if err := document.Check(); errors.Is(err, store.ErrTooBig) {
		return err
	} else if err != nil {
		return d.fail(err)
	}
	d.writes.documents.Set(key, append([]byte{}, value...)) // not nil
	return nil
}

// Delete implements store.Tx.
func (d *documents) Delete(key string) error {
	if d.writes == nil {
		return store.ErrReadOnly
	}
	d.writes.documents.Set(key, nil)
	return nil
}

// Scan implements store.Tx.
func (d *documents) Scan(from, to string, limit int) ([]store.Document, error) {
	return d.scan(from, to, limit, false)
}

// ScanBack implements store.Tx.
func (d *documents) ScanBack(from, to string, limit int) ([]store.Document, error) {
	return d.scan(from, to, limit, true)
}

func (d *documents) scan(from, to string, limit int, back bool) (found []store.Document, err error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, d.fail(err)
	}
	own := d.ownIn(from, to)
	order := ""
	if back {
		order = " DESC"
	}
	limited, cancel := d.limit()
	defer cancel()
	// Each of its own may replace one that is read.
	rows, err := d.tx.Query(limited, "SELECT key, value FROM documents WHERE key >= $1 AND key < $2 ORDER BY key"+order+" LIMIT $3",
		[]byte(from), []byte(to), min(limit, math.MaxInt-len(own))+len(own))
	if err != nil {
		return nil, d.breaks(err)
	}
	var key, value []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		if _, replaced := own[string(key)]; !replaced {
			found = append(found, store.Document{Key: string(key), Value: append([]byte{}, value...)})
		}
		return nil
	})
	if err != nil {
		return nil, d.breaks(err)
	}
	for key, value := range own {
		if value != nil {
			found = append(found, store.Document{Key: key, Value: bytes.Clone(value)})
		}
	}
	if len(own) > 0 {
		slices.SortFunc(found, func(a, b store.Document) int {
			if back {
				a, b = b, a
			}
			return strings.Compare(a.Key, b.Key)
		})
	}
	return found[:min(limit, len(found))], nil
}

// ownIn returns what the transaction has written in a range.
func (d *documents) ownIn(from, to string) map[string][]byte {
	if d.writes == nil || d.writes.documents.Len() == 0 {
		return nil
	}
	own := make(map[string][]byte)
	d.writes.documents.Ascend(from, func(key string, value []byte) bool {
		if key >= to {
			return false
		}
		own[key] = value
		return true
	})
	return own
}

// Bump implements store.Tx.
func (d *documents) Bump(name kaban.RoomName) error {
	t := d.writes
	if t == nil {
		return store.ErrReadOnly
	}
	r, err := t.make(name)
	if err != nil {
		return err
	}
	r.called(name)
	r.revision++
	t.bumped = append(t.bumped, r)
	return nil
}

// Head implements store.Tx.
func (d *documents) Head(name kaban.RoomName) (uint64, error) {
	if d.writes == nil {
		return 0, store.ErrReadOnly
	}
	r, err := d.writes.room(name)
	if err != nil || r == nil {
		return 0, err
	}
	return r.head, nil
}

// Counts implements store.Tx.
func (d *documents) Counts(name kaban.RoomName, author string) (store.Counts, error) {
	if d.writes == nil {
		return store.Counts{}, store.ErrReadOnly
	}
	r, err := d.writes.room(name)
	if err != nil || r == nil {
		return store.Counts{}, err
	}
	limited, cancel := d.limit()
	defer cancel()
	tallies, err := talliesOf(limited, d.tx, author, []string{r.key})
	if err != nil {
		return store.Counts{}, d.breaks(err)
	}
	c := store.Counts{Messages: r.messages, Own: tallies[0].Own}
	for _, m := range d.writes.added {
		if m.room == r && m.Kind == kaban.KindMessage && m.Author == author {
			c.Own++
		}
	}
	return c, nil
}

// Revision implements store.Tx.
func (d *documents) Revision(name kaban.RoomName) (uint64, error) {
	if t := d.writes; t != nil {
		r, err := t.room(name)
		return r.revisionOrNone(), err
	}
	limited, cancel := d.limit()
	defer cancel()
	var revision uint64
	err := d.tx.QueryRow(limited, "SELECT revision FROM rooms WHERE key = $1", name.Key()).Scan(&revision)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, d.breaks(err)
	}
	return revision, nil
}

// writeDocuments writes the documents of a transaction.
func (t *transaction) writeDocuments(b *pgx.Batch) {
	var gone, keys, values [][]byte
	t.documents.Scan(func(key string, value []byte) bool {
		switch {
		case t.apart.takes(key, value):
		case value == nil:
			gone = append(gone, []byte(key))
		default:
			keys, values = append(keys, []byte(key)), append(values, value)
		}
		return true
	})
	if len(gone) > 0 {
		b.Queue("DELETE FROM documents WHERE key = ANY ($1)", gone)
	}
	if len(keys) > 0 {
		b.Queue("INSERT INTO documents (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value", keys, values)
	}
}
