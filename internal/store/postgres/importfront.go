package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// locking runs a transaction that changes one room, which exists then.
func (s *Store) locking(ctx context.Context, operation string, name kaban.RoomName, run func(*transaction, *lockedRoom) error) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	n := new(needs)
	n.lock(name)
	n.made = append(n.made, name)
	return s.transact(ctx, operation, n, transaction{}, nil, func(t *transaction) error {
		r, err := t.room(name)
		if err == nil && r == nil {
			err = fmt.Errorf("the row of %s is missing", name)
		}
		if err != nil {
			return err
		}
		return run(t, r)
	})
}

// ImportFront implements store.Importer.
func (s *Store) ImportFront(ctx context.Context, front *store.Front) (added bool, err error) {
	if front.Seq == 0 || front.Seq > maxSeq || front.Messages > front.Seq {
		return false, fmt.Errorf("%w: a front of %s up to %d with %d messages is none", store.ErrDiffers, front.Room, front.Seq, front.Messages)
	}
	err = s.locking(ctx, "import the front of a log", front.Room, func(t *transaction, r *lockedRoom) (err error) {
		added, err = t.importFront(r, front)
		return err
	})
	return added && err == nil, err
}

// importFront has a room begin behind a front, or adds authors to one that it has.
func (t *transaction) importFront(r *lockedRoom, f *store.Front) (added bool, err error) {
	cut := r.oldest - 1
	switch {
	case cut > f.Seq, cut < f.Seq && r.head >= f.Seq:
		return false, nil
	case cut == f.Seq && r.front != f.Messages:
		return false, &refusal{fmt.Errorf("%w: of the entries up to %d of %s, %d were messages there, and not %d", store.ErrDiffers, f.Seq, f.Room, r.front, f.Messages)}
	case cut < f.Seq && r.head > 0:
		return false, &refusal{fmt.Errorf("%w: the log of %s begins with %d, which would leave a gap, the room has %d", store.ErrDiffers, f.Room, f.Seq+1, r.head)}
	case cut < f.Seq:
		r.called(f.Room)
		r.head, r.oldest, r.messages, r.front, added = f.Seq, f.Seq+1, f.Messages, f.Messages, true
		t.extra = append(t.extra, statement{"UPDATE counted SET seq = $2 WHERE room = $1", []any{r.id, int64(f.Seq)}})
	}
	more, err := t.importWritten(r, f)
	return added || more, err
}

const writtenQuery = "SELECT author, front FROM counts WHERE room = $1 AND front > 0"

// importWritten adds what authors have written in a front.
func (t *transaction) importWritten(r *lockedRoom, f *store.Front) (added bool, err error) {
	rows, err := t.tx.Query(t.ctx, writtenQuery, r.id)
	if err != nil {
		return false, t.breaks(err)
	}
	known, total := make(map[string]uint64), uint64(0)
	var author string
	var front uint64
	_, err = pgx.ForEachRow(rows, []any{&author, &front}, func() error {
		known[author] = front
		total += front
		return nil
	})
	if err != nil {
		return false, t.breaks(err)
	}
	var authors, usernames []string
	var messages []int64
	for _, one := range f.Written {
		switch is, there := known[one.Author.ID()]; {
		case there && is != one.Messages:
			return false, &refusal{fmt.Errorf("%w: %s has written %d of the entries up to %d of %s there, and not %d", store.ErrDiffers, one.Author.Name(), is, f.Seq, f.Room, one.Messages)}
		case one.Messages > f.Messages:
			return false, &refusal{fmt.Errorf("%w: %s has written %d of the entries up to %d of %s, and only %d were messages", store.ErrDiffers, one.Author.Name(), one.Messages, f.Seq, f.Room, f.Messages)}
		case !there:
			known[one.Author.ID()] = one.Messages
			total += one.Messages
			authors, usernames, messages = append(authors, one.Author.ID()), append(usernames, one.Author.Name().String()), append(messages, int64(one.Messages))
		}
	}
	if total > f.Messages {
		return false, &refusal{fmt.Errorf("%w: authors have written %d of the entries up to %d of %s, and only %d were messages", store.ErrDiffers, total, f.Seq, f.Room, f.Messages)}
	}
	if len(authors) > 0 {
		t.extra = append(t.extra, statement{
			`INSERT INTO counts AS c (room, author, messages, front, username)
			SELECT $1::bigint, u.author, u.messages, u.messages, u.username FROM unnest($2::text[], $3::text[], $4::bigint[]) AS u (author, username, messages)
			ON CONFLICT (room, author) DO UPDATE SET messages = c.messages + excluded.messages, front = excluded.front, username = excluded.username`,
			[]any{r.id, authors, usernames, messages},
		})
	}
	return len(authors) > 0, nil
}

// ImportRooms implements store.Movable.
func (s *Store) ImportRooms(ctx context.Context, rooms []store.Room) error {
	for some := range slices.Chunk(rooms, roomsAtOnce) {
		if err := s.importRooms(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// roomsAtOnce is how many rooms are made in one transaction.
const roomsAtOnce = 1000

func (s *Store) importRooms(ctx context.Context, rooms []store.Room) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	n := new(needs)
	for i := range rooms {
		n.lock(rooms[i].Name)
		n.made = append(n.made, rooms[i].Name)
	}
	return s.transact(ctx, "import rooms", n, transaction{}, nil, func(t *transaction) error {
		for i := range rooms {
			r := t.rooms[rooms[i].Name.Key()]
			if r == nil {
				return fmt.Errorf("the row of %s is missing", rooms[i].Name)
			}
			r.called(rooms[i].Name)
			r.revision = rooms[i].Revision
		}
		return nil
	})
}

// ImportDocuments implements store.Importer.
func (s *Store) ImportDocuments(ctx context.Context, documents []store.Document) (added int, err error) {
	keys := make([]string, len(documents))
	for i := range documents {
		if err := documents[i].Check(); err != nil {
			return 0, err
		}
		keys[i] = documents[i].Key
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		added = 0
		stored, err := tx.GetAll(keys)
		if err != nil {
			return err
		}
		own := make(map[string][]byte)
		for i := range documents {
			d := &documents[i]
			before := stored[i]
			if before == nil {
				before = own[d.Key]
			}
			switch {
			case before == nil:
				own[d.Key] = d.Value
				added++
				err = tx.Put(d.Key, d.Value)
			case !bytes.Equal(before, d.Value):
				err = fmt.Errorf("%w: the document %q has another value there", store.ErrDiffers, d.Key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}
