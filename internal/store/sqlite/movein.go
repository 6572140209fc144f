package sqlite

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// ImportKept implements store.Movable.
func (s *Store) ImportKept(ctx context.Context, kept []store.Kept) (added int, err error) {
	records := make([]store.Record, len(kept))
	for i := range kept {
		records[i] = kept[i].Record
	}
	return s.change(ctx, "import", func(b *batch) (int, error) { return b.importKept(records, kept) })
}

// importKept writes records, which are all new or all there, with what is kept of them.
func (b *batch) importKept(records []store.Record, kept []store.Kept) (added int, err error) {
	edits, err := b.editsBefore(kept)
	if err != nil {
		return 0, err
	}
	added, err = b.importAll(records)
	switch {
	case err != nil || added == 0:
		return 0, err
	case added < len(records):
		return 0, fmt.Errorf("%w: some of the records are there already", store.ErrDiffers)
	}
	for i := range kept {
		if err := b.addKept(&kept[i], edits); err != nil {
			return 0, err
		}
	}
	return added, nil
}

// editsBefore returns the last edits of the messages that some entries edit, by the places of the
// messages.
func (b *batch) editsBefore(kept []store.Kept) (map[int64]uint64, error) {
	edits := make(map[int64]uint64)
	for i := range kept {
		r := b.room(kept[i].Room)
		if kept[i].Kind != kaban.KindEdit || r == nil {
			continue
		}
		state, err := b.stmts.readState(b.ctx, &b.sum, r.place(kept[i].Target))
		if err != nil {
			return nil, err
		}
		if state != nil {
			edits[r.place(kept[i].Target)] = state.Edited.Seq
		}
	}
	return edits, nil
}

// addKept writes what is kept of an entry that was just imported. edits are the last edits of
// messages before it.
func (b *batch) addKept(k *store.Kept, edits map[int64]uint64) error {
	r := b.room(k.Room)
	place := r.place(k.Seq)
	older := uint64(0)
	if k.Kind == kaban.KindEdit {
		about := r.place(k.Target)
		older, edits[about] = edits[about], k.Seq
	}
	if k.Original != nil {
		o := original{k.Original, older}
		if _, err := b.stmts.setOriginal.ExecContext(b.ctx, place, o.hash, o.older, b.sum.original(place, &o)); err != nil {
			return err
		}
	}
	author, err := b.user(k.Author)
	if err != nil {
		return err
	}
	for _, o := range k.Mentions {
		if err := b.addMention(&mention{place: place, user: author.id, Occurrence: o}); err != nil {
			return err
		}
	}
	for i := range k.Noops {
		if err := b.addKeptNoop(r.room, &k.Noops[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) addKeptNoop(r *room, n *store.Noop) error {
	by, err := b.user(n.Author)
	if err == nil {
		err = b.saveUser(by)
	}
	if err != nil {
		return err
	}
	e := store.NewEntry(&n.Draft, n.Answer.Seq, n.Answer.Time)
	_, err = b.addNoop(key{r.id, by.id, e.ID}, &e)
	return err
}

// ImportRooms implements store.Movable.
func (s *Store) ImportRooms(ctx context.Context, rooms []store.Room) error {
	_, err := s.change(ctx, "import rooms", func(b *batch) (int, error) {
		for i := range rooms {
			if err := b.importRoom(&rooms[i]); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	return err
}

func (b *batch) importRoom(from *store.Room) (err error) {
	r := b.room(from.Name)
	if r == nil {
		if r, err = b.addRoom(from.Name); err != nil {
			return err
		}
	}
	r.revision = from.Revision
	row := b.rowOf(r.room, b.mergedHead(r.room), r.revision)
	_, err = b.stmts.setRevision.ExecContext(b.ctx, r.revision, b.sum.room(r.id, r.key, r.name.String(), row), r.id)
	return err
}
