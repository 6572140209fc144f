package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// Import implements store.Importer.
func (s *Store) Import(ctx context.Context, records []store.Record) (added int, err error) {
	kept := make([]store.Kept, len(records))
	for i := range records {
		kept[i].Record = records[i]
	}
	return s.ImportKept(ctx, kept)
}

// ImportKept implements store.Movable.
func (s *Store) ImportKept(ctx context.Context, kept []store.Kept) (added int, err error) {
	if err := s.begun(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	if len(kept) == 0 {
		return 0, nil
	}
	n := new(needs)
	for i := range kept {
		n.lock(kept[i].Room)
	}
	for _, name := range n.rooms {
		if _, known := s.rooms.get(name.Key()); !known {
			n.made = append(n.made, name)
		}
	}
	first := importing{kept: kept}
	targets := first.targets()
	err = s.transact(ctx, "import", n, transaction{now: s.now().UnixMilli()}, func(t *transaction, b *pgx.Batch) {
		t.ids = make(map[idKey]*used)
		t.queueTargets(b, targets)
	}, func(t *transaction) error {
		i := importing{transaction: t, kept: kept}
		var err error
		added, err = i.run()
		return err
	})
	if codeOf(err) == codeUniqueViolation {
		err = s.explainConflict(ctx, kept, err)
	}
	if err != nil {
		return 0, err
	}
	return added, nil
}

// unknownText stands for the sum of a text that came from an export, which does not have it.
var unknownText = []byte{}

// importing is an import in a transaction.
type importing struct {
	*transaction
	kept   []store.Kept
	before map[string]uint64 // the heads, by key of the room
	// known are the entries that are there already of those that are imported.
	known map[place]*store.Entry
	// unsure are messages that were edited, and nobody knows the texts that they had before.
	unsure []*message
}

// targets returns writes about the messages that the entries are about and that come before them.
func (i *importing) targets() []store.Write {
	own := make(map[place]bool, len(i.kept))
	var writes []store.Write
	for n := range i.kept {
		k := &i.kept[n]
		own[place{k.Room.Key(), k.Seq}] = true
		if w := (store.Write{Draft: k.Draft}); w.HasTarget() && w.Target < k.Seq && !own[place{k.Room.Key(), k.Target}] {
			writes = append(writes, w)
		}
	}
	return writes
}

func (i *importing) run() (added int, err error) {
	i.before = make(map[string]uint64)
	for key, r := range i.rooms {
		if r != nil {
			i.before[key] = r.head
		}
	}
	if err := i.readKnown(); err != nil {
		return 0, err
	}
	for n := range i.kept {
		isNew, err := i.importOne(&i.kept[n])
		if err != nil {
			return 0, &refusal{err}
		}
		if isNew {
			added++
		}
	}
	i.dropNoops()
	i.forgetTexts()
	return added, nil
}

// readKnown reads the entries that are there already.
func (i *importing) readKnown() error {
	i.known = make(map[place]*store.Entry)
	var rooms, seqs []int64
	var places []place
	for n := range i.kept {
		k := &i.kept[n]
		if r := i.rooms[k.Room.Key()]; r != nil && k.Seq <= r.head && k.Seq >= r.oldest {
			rooms, seqs, places = append(rooms, r.id), append(seqs, int64(k.Seq)), append(places, place{r.key, k.Seq})
		}
	}
	if len(rooms) == 0 {
		return nil
	}
	rows, err := i.tx.Query(i.ctx, "SELECT k.n, "+entryColumns+" FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS k (room, seq, n) JOIN entries e ON e.room = k.room AND e.seq = k.seq", rooms, seqs)
	if err != nil {
		return i.breaks(err)
	}
	var n int
	var f entryRow
	_, err = pgx.ForEachRow(rows, append([]any{&n}, f.entry()...), func() error {
		e := f.Entry
		i.known[places[n-1]] = &e
		return nil
	})
	if err != nil {
		return i.breaks(err)
	}
	return nil
}

// importOne adds an entry to its room, or compares it with the one that is there.
func (i *importing) importOne(k *store.Kept) (isNew bool, err error) {
	r := i.rooms[k.Room.Key()]
	if r == nil { // its row was made before
		return false, fmt.Errorf("the row of %s is missing", k.Room)
	}
	if err := unfit(&k.Draft); err != nil {
		return false, err
	}
	switch {
	case k.Seq < r.oldest:
		return false, fmt.Errorf("%w: %s is not kept there any more, which begins with %d", store.ErrDiffers, k.Label(), r.oldest)
	case k.Seq > r.head+1:
		return false, fmt.Errorf("%w: %s would leave a gap, the room has %d", store.ErrDiffers, k.Label(), r.head)
	case k.Seq > r.head:
		i.add(r, k)
		return true, nil
	case k.Seq > i.before[r.key]: // added by this import
		return false, k.Compare(&i.messages[place{r.key, k.Seq}].Entry)
	}
	e := i.known[place{r.key, k.Seq}]
	if e == nil {
		return false, fmt.Errorf("%w: %s is missing there, although later ones exist; \"kaban check\" reports more", store.ErrDiffers, k.Label())
	}
	return false, k.Compare(e)
}

// add adds an entry behind the others of its room.
func (i *importing) add(r *lockedRoom, k *store.Kept) {
	r.called(k.Room)
	if i.growth == nil {
		i.growth = make(map[*lockedRoom]uint64)
	}
	if _, grows := i.growth[r]; !grows {
		i.growth[r] = r.head
	}
	r.head++
	m := &message{Entry: store.NewEntry(&k.Draft, k.Seq, k.Time), room: r, isNew: true, original: k.Original}
	if len(k.Mentions) > 0 {
		m.tell(k.Mentions)
	}
	switch k.Kind {
	case kaban.KindMessage:
		r.messages++
	case kaban.KindEdit:
		i.keepOriginal(m)
	}
	if target := i.messages[place{r.key, k.Target}]; store.HasTarget(k.Kind, k.Target) && k.Target < k.Seq && k.Target >= r.oldest && target != nil && target.Kind == kaban.KindMessage {
		i.change(r, target, m)
	}
	if k.Kind == kaban.KindEdit { // the message has the text
		m.Content = ""
	}
	for n := range k.Noops {
		one := &k.Noops[n]
		r.noops++
		i.noops = append(i.noops, &noop{r, -int64(r.noops), store.NewEntry(&one.Draft, one.Answer.Seq, one.Answer.Time), one.Answer})
	}
	i.added = append(i.added, m)
	i.messages[place{r.key, m.Seq}] = m
}

// keepOriginal keeps the sum of the text of an edit, or that it is not known.
func (i *importing) keepOriginal(m *message) {
	switch {
	case m.original != nil:
	case m.Content == "":
		m.original = unknownText
	default:
		m.original = i.sum(m.Content)
	}
}

// change makes of a message what an entry about it says.
func (i *importing) change(r *lockedRoom, target, by *message) {
	if !target.IsDeleted() {
		switch {
		case by.Kind == kaban.KindEdit && target.original != nil:
		case by.Kind == kaban.KindEdit && by.Content == "": // the message has the text already
			target.original = unknownText
			if !target.isNew {
				i.unsure = append(i.unsure, target)
			}
		case by.Kind == kaban.KindEdit:
			target.original = i.sum(target.Content)
		case by.Kind == kaban.KindDelete && target.Files != "":
			i.release(r, target.Seq)
		}
	}
	target.changed = true
	target.ApplyOwned(&by.Entry)
}

// dropNoops forgets changes that made no difference here, and did where the entries come from. An
// entry says more.
func (i *importing) dropNoops() {
	var rooms []int64
	var authors, ids []string
	for _, m := range i.added {
		if m.room.noops > 0 {
			rooms, authors, ids = append(rooms, m.room.id), append(authors, m.Author), append(ids, m.ID)
		}
	}
	if len(rooms) > 0 {
		i.extra = append(i.extra, statement{`DELETE FROM entries e USING unnest($1::bigint[], $2::text[], $3::text[]) AS u (room, author, id)
			WHERE e.room = u.room AND e.author = u.author AND e.id = u.id AND e.seq < 0`, []any{rooms, authors, ids}})
	}
}

// forgetTexts notes of messages that were there before that their first texts are not known.
func (i *importing) forgetTexts() {
	var rooms, seqs []int64
	for _, m := range i.unsure {
		rooms, seqs = append(rooms, m.room.id), append(seqs, int64(m.Seq))
	}
	if len(rooms) > 0 {
		i.extra = append(i.extra, statement{`UPDATE entries e SET original = '' FROM unnest($1::bigint[], $2::bigint[]) AS u (room, seq)
			WHERE e.room = u.room AND e.seq = u.seq AND e.original IS NULL`, []any{rooms, seqs}})
	}
}

// explainConflict returns the error of an import that failed because an author has used an id
// before.
func (s *Store) explainConflict(ctx context.Context, kept []store.Kept, conflict error) error {
	var rooms, authors, ids []string
	seen := make(map[idKey]bool)
	for i := range kept {
		k := keyOf(&kept[i].Draft)
		if seen[k] {
			return idTwice(&kept[i])
		}
		seen[k] = true
		rooms, authors, ids = append(rooms, k.room), append(authors, k.author), append(ids, k.id)
	}
	used := -1
	err := s.reading(ctx, "look for ids", func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, `SELECT k.n, e.seq FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (room, author, id, n)
			JOIN rooms r ON r.key = k.room JOIN entries e ON e.room = r.id AND e.author = k.author AND e.id = k.id`, rooms, authors, ids)
		if err != nil {
			return err
		}
		var n int
		var seq int64
		_, err = pgx.ForEachRow(rows, []any{&n, &seq}, func() error {
			if uint64(seq) != kept[n-1].Seq {
				used = n - 1
			}
			return nil
		})
		return err
	})
	switch {
	case err != nil:
		return errors.Join(conflict, err)
	case used >= 0:
		return idTwice(&kept[used])
	}
	return conflict
}

func idTwice(k *store.Kept) error {
	return fmt.Errorf("%w: the id %s of message %d of %s is another message of %s there", store.ErrDiffers, k.ID, k.Seq, k.Room, k.Author.Name())
}
