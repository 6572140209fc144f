package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"kaban/internal/store"
)

// Import implements store.Importer.
func (s *Store) Import(ctx context.Context, records []store.Record) (added int, err error) {
	return s.change(ctx, "import", func(b *batch) (int, error) { return b.importAll(records) })
}

// change runs a transaction that imports something.
func (s *Store) change(ctx context.Context, operation string, run func(*batch) (int, error)) (added int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.appending.Lock()
	defer s.appending.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	b := s.newBatch(ctx)
	b.changes.all = true
	defer b.end()
	if err = b.stmts.begin.exec(b.ctx); err == nil {
		added, err = run(b)
	}
	if err == nil {
		err = b.note()
	}
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		return 0, b.abort(operation, err)
	}
	b.publish()
	clear(s.finder.newest) // what was imported is merged
	s.targets.clear()
	s.tendWAL(b.ctx)
	return added, nil
}

// importAll writes records to the table entries. Everything to compare them with is
// there, because it merges first.
func (b *batch) importAll(records []store.Record) (added int, err error) {
	if err := b.mergeAll(); err != nil {
		return 0, err
	}
	for i := range records {
		isNew, err := b.importOne(&records[i])
		if err != nil {
			return 0, err
		}
		if isNew {
			added++
		}
	}
	var rooms []merging
	for _, r := range b.touched {
		if len(r.entries) > 0 {
			rooms = append(rooms, merging{r.room, r.entries})
		}
	}
	b.importing = true
	if err := b.insert(rooms); err != nil {
		return 0, b.explainConflict(rooms, err)
	}
	for _, r := range b.touched {
		r.entries = nil // they are not unmerged
	}
	return added, nil
}

// importOne adds a record to its room, or compares it with the entry that is there.
func (b *batch) importOne(r *store.Record) (isNew bool, err error) {
	author, err := b.user(r.Author)
	if err == nil {
		err = b.saveUser(author)
	}
	if err != nil {
		return false, err
	}
	room := b.room(r.Room)
	if room == nil {
		if room, err = b.addRoom(r.Room); err != nil {
			return false, err
		}
	}
	switch {
	case r.Seq <= room.cut:
		return false, fmt.Errorf("%w: %s is not kept there any more, which begins with %d", store.ErrDiffers, r.Label(), room.cut+1)
	case r.Seq > room.head+1:
		return false, fmt.Errorf("%w: %s would leave a gap, the room has %d", store.ErrDiffers, r.Label(), room.head)
	case r.Seq > room.room.head && r.Seq <= room.head: // added by this import
		return false, r.Compare(&room.entries[r.Seq-room.room.head-1].Entry)
	case r.Seq <= room.head:
		return false, b.compare(r, room.room)
	}
	// The id may be that of a change which made no difference here, and did where the record comes
	// from. An entry says more.
	if _, err := b.stmts.dropNoop.ExecContext(b.ctx, room.id, author.id, r.ID.String()); err != nil {
		return false, err
	}
	_, err = room.add(&r.Draft, author, r.Time)
	return true, err
}

// compare compares a record with the merged entry with its seq.
func (b *batch) compare(r *store.Record, room *room) error {
	var differs error
	rows, err := b.writer.QueryContext(b.ctx, pageQuery, room.place(r.Seq), room.place(r.Seq))
	_, damage, err := readRun(rows, err, b.authors, room.id, r.Seq, r.Seq, func(e *store.Entry, _ int64) bool {
		differs = r.Compare(e)
		return true
	})
	switch {
	case err != nil:
		return err
	case errors.Is(damage, errMissing):
		return fmt.Errorf("%w: %s is missing there, although later ones exist; \"kaban check\" reports more", store.ErrDiffers, r.Label())
	case damage != nil:
		return damaged(r.Label(), damage)
	}
	return differs
}

// ImportFront implements store.Importer.
func (s *Store) ImportFront(ctx context.Context, front *store.Front) (added bool, err error) {
	n, err := s.change(ctx, "import the front of a log", func(b *batch) (int, error) { return b.importFront(front) })
	return n > 0, err
}

// importFront has a room begin behind a front, or adds authors to one that it has.
func (b *batch) importFront(f *store.Front) (added int, err error) {
	if f.Seq == 0 || f.Seq > maxSeq || f.Messages > f.Seq {
		return 0, fmt.Errorf("%w: a front of %s up to %d with %d messages is none", store.ErrDiffers, f.Room, f.Seq, f.Messages)
	}
	if err := b.mergeAll(); err != nil {
		return 0, err
	}
	r := b.room(f.Room)
	if r == nil {
		if r, err = b.addRoom(f.Room); err != nil {
			return 0, err
		}
	}
	row := roomRow{r.head, r.revision, b.mergedMessages(r.room), r.cut, r.cutMessages}
	switch {
	case r.cut > f.Seq, r.cut < f.Seq && r.head >= f.Seq:
		return 0, nil
	case r.cut == f.Seq && r.cutMessages != f.Messages:
		return 0, fmt.Errorf("%w: of the entries up to %d of %s, %d were messages there, and not %d", store.ErrDiffers, f.Seq, f.Room, r.cutMessages, f.Messages)
	case r.cut < f.Seq && r.head > 0:
		return 0, fmt.Errorf("%w: the log of %s begins with %d, which would leave a gap, the room has %d", store.ErrDiffers, f.Room, f.Seq+1, r.head)
	case r.cut < f.Seq:
		row.head, row.messages, row.cut, row.cutMessages, added = f.Seq, f.Messages, f.Seq, f.Messages, 1
		sum := b.sum.room(r.id, r.key, r.name.String(), row)
		if _, err := b.stmts.setHead.ExecContext(b.ctx, row.head, row.messages, sum, r.id); err != nil {
			return 0, err
		}
		if _, err := b.stmts.setCut.ExecContext(b.ctx, row.cut, row.cutMessages, sum, r.id); err != nil {
			return 0, err
		}
		r.head, b.cut = f.Seq, cutting{r.room, f.Seq, f.Messages}
	}
	b.startCounting()
	b.counted.messages[r.room] = row.messages
	for _, one := range f.Written {
		isNew, err := b.importWritten(r, f, one)
		if err != nil {
			return 0, err
		}
		if isNew {
			added = 1
		}
	}
	var total uint64
	if err := b.writer.QueryRowContext(b.ctx, "SELECT coalesce(sum(cut_messages), 0) FROM written WHERE room = ?", r.id).Scan(&total); err != nil {
		return 0, err
	}
	if total > f.Messages {
		return 0, fmt.Errorf("%w: authors have written %d of the entries up to %d of %s, and only %d were messages", store.ErrDiffers, total, f.Seq, f.Room, f.Messages)
	}
	return added, nil
}

// importWritten adds what an author has written in a front.
func (b *batch) importWritten(r *touched, f *store.Front, one store.FrontAuthor) (isNew bool, err error) {
	author, err := b.user(one.Author)
	if err == nil {
		err = b.saveUser(author)
	}
	if err != nil {
		return false, err
	}
	of := authorIn{r.id, author.id}
	w, err := b.writtenBy(of, r.head)
	switch {
	case err != nil:
		return false, err
	case w.cutMessages == one.Messages:
		return false, nil
	case w.cutMessages != 0:
		return false, fmt.Errorf("%w: %s has written %d of the entries up to %d of %s there, and not %d", store.ErrDiffers, one.Author.Name(), w.cutMessages, f.Seq, f.Room, one.Messages)
	case one.Messages > f.Messages:
		return false, fmt.Errorf("%w: %s has written %d of the entries up to %d of %s, and only %d were messages", store.ErrDiffers, one.Author.Name(), one.Messages, f.Seq, f.Room, f.Messages)
	}
	w.messages, w.last, w.cutMessages, w.cut = w.messages+one.Messages, max(w.last, f.Seq), one.Messages, f.Seq
	b.counted.written[of] = w
	_, err = b.stmts.setOne.ExecContext(b.ctx, w.columns(of, &b.sum)...)
	return true, err
}

// ImportDocuments implements store.Importer.
func (s *Store) ImportDocuments(ctx context.Context, documents []store.Document) (added int, err error) {
	for i := range documents {
		if err := documents[i].Check(); err != nil {
			return 0, err
		}
	}
	return s.change(ctx, "import documents", func(b *batch) (int, error) { return b.importDocuments(documents) })
}

func (b *batch) importDocuments(documents []store.Document) (added int, err error) {
	for i := range documents {
		d := &documents[i]
		stored, err := b.stmts.get(b.ctx, &b.sum, d.Key)
		switch {
		case err != nil:
			return 0, err
		case stored == nil:
			err = b.stmts.putDocument.exec(b.ctx, d.Key, d.Value, b.sum.document(d.Key, d.Value))
			added++
		case !bytes.Equal(stored, d.Value):
			err = fmt.Errorf("%w: the document %q has another value there", store.ErrDiffers, d.Key)
		}
		if err != nil {
			return 0, err
		}
	}
	return added, nil
}

// explainConflict returns the error of an import that failed, for example because an
// author has used an id before.
func (b *batch) explainConflict(rooms []merging, err error) error {
	if codeOf(err) != codeUnique {
		return err
	}
	seen := make(map[key]struct{})
	for _, r := range rooms {
		for i := range r.entries {
			e := &r.entries[i]
			k := key{r.id, e.user, e.ID}
			_, used := seen[k]
			if e := b.unmerged.find(r.room, k); e != nil { // it was merged by this transaction
				used = true
			}
			if !used {
				found, failed := b.finder.lookUp(b.ctx, []key{k}, nil)
				if failed != nil {
					return failed
				}
				stored, ok := found[k]
				used = ok && stored.place != r.place(e.Seq)
			}
			if used {
				return fmt.Errorf("%w: the id %s of message %d of %s is another message of %s there", store.ErrDiffers, e.ID, e.Seq, r.name, e.Username)
			}
			seen[k] = struct{}{}
		}
	}
	return err
}
