package sqlite

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/store"
)

// Redact implements store.Store.
func (s *Store) Redact(ctx context.Context, name kaban.RoomName, redactions []store.Redaction) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	s.mu.RUnlock()
	if r == nil {
		return nil
	}
	for {
		err := s.redactOnce(ctx, r, redactions)
		if errors.Is(err, errUnmerged) {
			err = s.mergePresent()
			if err == nil {
				continue
			}
		}
		return err
	}
}

// redactOnce is Redact of entries that are merged.
func (s *Store) redactOnce(ctx context.Context, r *room, redactions []store.Redaction) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	operation := "redact entries of " + r.name.String()
	s.appending.Lock()
	b := s.newBatch(ctx)
	defer b.end()
	b.pick(0, 0, 0)
	for i := range redactions {
		if r.isUnmerged(redactions[i].Seq) {
			s.appending.Unlock()
			return errUnmerged
		}
	}
	s.appending.Unlock()
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return b.abort(operation, err)
	}
	n := 0
	for i := range redactions {
		changed, err := b.redact(r, &redactions[i])
		if err != nil {
			return b.abort(operation, err)
		}
		if changed {
			n++
		}
	}
	if n == 0 {
		return b.giveUp(operation, nil)
	}
	b.redacts = true
	return b.commitErasing(operation, n)
}

// redact changes the content of an entry, if there is one that may be changed.
func (b *batch) redact(r *room, redaction *store.Redaction) (changed bool, err error) {
	place := r.place(redaction.Seq)
	e, user, err := b.stmts.readRow(b.ctx, &b.sum, place)
	switch {
	case errors.Is(err, store.ErrDamaged):
		return false, nil
	case err != nil || e == nil || !store.IsRedactable(e.Kind) || e.Content == redaction.Content:
		return false, err
	}
	e.Content = redaction.Content
	_, err = b.stmts.setTexts.ExecContext(b.ctx, e.Content, orNull(e.Files), b.sum.entry(place, user, e), place)
	return true, err
}
