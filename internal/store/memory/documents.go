package memory

import (
	"bytes"
	"context"
	"errors"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// documents is one state of the documents. It never changes: a transaction changes a copy,
// which shares the nodes of the trees that it leaves alone.
type documents struct {
	values    btree.Map[string, []byte]
	revisions btree.Map[string, uint64] // of the rooms that have one, by key
}

func (d *documents) copy() *documents {
	return &documents{*d.values.Copy(), *d.revisions.Copy()}
}

// Update implements store.Documents. Readers of logs wait for it.
func (s *Store) Update(_ context.Context, run func(store.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if err := s.runLocked(run); err != nil {
		return err
	}
	s.publishLocked()
	return nil
}

// View implements store.Documents.
func (s *Store) View(_ context.Context, run func(store.Tx) error) error {
	s.viewing.RLock()
	defer s.viewing.RUnlock()
	now := s.documents.Load()
	if now == nil {
		return store.ErrClosed
	}
	t := tx{now: now}
	return t.result(run(&t))
}

// runLocked runs a function as a part of the transaction in progress. If it fails, its
// changes are undone.
func (s *Store) runLocked(run func(store.Tx) error) error {
	before := s.written
	if before == nil {
		before = s.documents.Load()
	}
	t := tx{now: before, store: s}
	kept := false
	defer func() { // also if the function panics
		if !kept {
			t.undo(before)
		}
	}()
	if err := t.result(run(&t)); err != nil {
		return err
	}
	if kept = true; t.changed {
		s.written = t.now
	}
	return nil
}

// publishLocked ends a transaction.
func (s *Store) publishLocked() {
	if s.written != nil {
		s.documents.Store(s.written)
		s.written = nil
	}
}

// releaseLocked notes in the transaction in progress that the files of an entry, if it has any, are
// taken away; see store.ReleasedKey.
func (s *Store) releaseLocked(k *kept) {
	if k.Files == "" {
		return
	}
	if s.written == nil {
		s.written = s.documents.Load().copy()
	}
	s.written.values.Set(store.ReleasedKey(k.room.name, k.Seq), []byte(store.ReleasedValue))
}

// tx implements store.Tx.
type tx struct {
	now     *documents
	store   *Store // locked; nil if the transaction only reads
	changed bool   // now is a copy of its own
	bumped  []*room
	added   []*room
	failed  error // the first error that makes the transaction fail
}

// result returns the error of the transaction after its function has returned one.
func (t *tx) result(err error) error {
	if t.failed != nil {
		return t.failed
	}
	return err
}

func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// undo takes back what is not in the documents.
func (t *tx) undo(before *documents) {
	for _, r := range t.bumped {
		r.revision, _ = before.revisions.Get(r.name.Key())
	}
	for _, r := range t.added {
		delete(t.store.rooms, r.name.Key())
	}
}

// change prepares the transaction for its first change.
func (t *tx) change() error {
	if t.store == nil {
		return store.ErrReadOnly
	}
	if !t.changed {
		t.now, t.changed = t.now.copy(), true
	}
	return nil
}

// Get implements store.Tx.
func (t *tx) Get(key string) ([]byte, error) {
	value, _ := t.now.values.Get(key)
	return bytes.Clone(value), nil
}

// GetAll implements store.Tx.
func (t *tx) GetAll(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		value, _ := t.now.values.Get(key)
		values[i] = bytes.Clone(value)
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
	t.now.values.Set(key, bytes.Clone(value))
	return nil
}

// Delete implements store.Tx.
func (t *tx) Delete(key string) error {
	if err := t.change(); err != nil {
		return err
	}
	t.now.values.Delete(key)
	return nil
}

// Scan implements store.Tx.
func (t *tx) Scan(from, to string, limit int) (found []store.Document, err error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, t.fail(err)
	}
	t.now.values.Ascend(from, func(key string, value []byte) bool {
		if key >= to {
			return false
		}
		found = append(found, store.Document{Key: key, Value: bytes.Clone(value)})
		return len(found) < limit
	})
	return found, nil
}

// ScanBack implements store.Tx.
func (t *tx) ScanBack(from, to string, limit int) (found []store.Document, err error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, t.fail(err)
	}
	t.now.values.Descend(to, func(key string, value []byte) bool {
		if key < from {
			return false
		}
		if key < to {
			found = append(found, store.Document{Key: key, Value: bytes.Clone(value)})
		}
		return len(found) < limit
	})
	return found, nil
}

// Bump implements store.Tx.
func (t *tx) Bump(name kaban.RoomName) error {
	if err := t.change(); err != nil {
		return err
	}
	r := t.store.rooms[name.Key()]
	if r == nil {
		r = t.store.addRoomLocked(name)
		t.added = append(t.added, r)
	}
	r.revision++
	t.bumped = append(t.bumped, r)
	t.now.revisions.Set(name.Key(), r.revision)
	return nil
}

// Head implements store.Tx.
func (t *tx) Head(name kaban.RoomName) (uint64, error) {
	if t.store == nil {
		return 0, store.ErrReadOnly
	}
	if r := t.store.rooms[name.Key()]; r != nil {
		return r.head, nil
	}
	return 0, nil
}

// Counts implements store.Tx.
func (t *tx) Counts(name kaban.RoomName, author string) (store.Counts, error) {
	if t.store == nil {
		return store.Counts{}, store.ErrReadOnly
	}
	tally := t.store.rooms[name.Key()].tally(author)
	return tally.Counts, nil
}

// Revision implements store.Tx.
func (t *tx) Revision(name kaban.RoomName) (uint64, error) {
	revision, _ := t.now.revisions.Get(name.Key())
	return revision, nil
}
