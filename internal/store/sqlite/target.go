package sqlite

import (
	"context"
	"encoding/json"
	"errors"

	"kaban"
	"kaban/internal/store"
)

// targetBytes is about how much memory each generation of targets takes.
const targetBytes = 2 << 20

// Bytes that targets count with, beside those of texts.
const (
	targetSize  = 384 // an entry, its state and its place in the map, about
	reactorSize = 48  // a store.Reactor
)

// target is a message of a room.
type target struct {
	room int64
	seq  uint64
}

// targets are messages that appends were about lately. They are exact: apply changes them with
// every entry that is appended, and a batch that is not stored, a cut and an import forget all
// of them. They are in two generations. When the young one is full, it becomes the old one,
// whose messages go unless somebody asks for them again. The zero value is ready to use.
type targets struct {
	young, old map[target]*store.Entry
	bytes      int // of the young generation
}

// get returns a message, or nil.
func (t *targets) get(at target) *store.Entry {
	e := t.young[at]
	if e == nil {
		if e = t.old[at]; e != nil {
			t.put(at, e)
		}
	}
	return e
}

// put adds a message.
func (t *targets) put(at target, e *store.Entry) {
	if t.young == nil || t.bytes > targetBytes {
		t.young, t.old, t.bytes = make(map[target]*store.Entry), t.young, 0
	}
	t.young[at] = e
	t.bytes += targetSize + e.Size()
	if e.State != nil {
		for _, r := range e.State.Reactions {
			t.bytes += len(r.People) * reactorSize
		}
	}
}

// apply changes a message, if it is there, as an entry about it says. What the message has
// grown by counts, and what it has shrunk by does not.
func (t *targets) apply(at target, change *store.Entry) {
	if e := t.get(at); e != nil {
		e.Apply(change)
		t.bytes += reactorSize + len(change.Content)
	}
}

func (t *targets) clear() { *t = targets{} }

// fewTargets are read one by one.
const fewTargets = 2

// prefetch reads those messages together that some writes are about and that are merged, so
// that message finds them. It leaves out what cannot be read, for message to say why. The
// caller holds appending.
func (s *Store) prefetch(ctx context.Context, writes []store.Write, rooms []*room) error {
	var missing map[*room][]int64 // places
	n := 0
	for i := range writes {
		w, r := &writes[i], rooms[i]
		if !w.HasTarget() || w.Refusal != nil || w.Target <= r.cut || w.Target > r.next || r.isUnmerged(w.Target) || s.targets.get(target{r.id, w.Target}) != nil {
			continue
		}
		if missing == nil {
			missing = make(map[*room][]int64)
		}
		missing[r] = append(missing[r], r.place(w.Target))
		n++
	}
	if n < fewTargets {
		return nil
	}
	err := s.finder.readMessages(ctx, missing, func(r *room, e *store.Entry, head uint64) {
		fold(e, r.tail, r.tailAbout, head)
		s.targets.put(target{r.id, e.Seq}, e)
	})
	if isDamage(err) || errors.Is(err, store.ErrDamaged) {
		return nil
	}
	return err
}

// readMessages calls each with the merged messages at some places, with their states and
// reactions, and with the head of the merged entries of their room, all of one moment. It
// passes over rows that are damaged, and over what is no message.
func (f *finder) readMessages(ctx context.Context, of map[*room][]int64, each func(r *room, e *store.Entry, head uint64)) (err error) {
	if _, err := f.begin.ExecContext(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.rollback(ctx)) }()
	for r, places := range of {
		row, err := f.readRoom(ctx, &f.sum, r)
		if err != nil {
			return err
		}
		list, err := json.Marshal(places)
		if err != nil {
			return err
		}
		entries, err := f.readRows(ctx, string(list))
		if err != nil {
			return err
		}
		found, err := f.readAllStates(ctx, string(list))
		if err != nil {
			return err
		}
		for _, e := range entries {
			place := r.place(e.Seq)
			if found.bad[place] == nil {
				e.State = found.of[place]
				each(r, e, row.head)
			}
		}
	}
	return nil
}

// readRows returns the messages in a list of places that can be read.
func (f *finder) readRows(ctx context.Context, list string) (messages []*store.Entry, err error) {
	rows, err := f.rowsOf.QueryContext(ctx, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var place, user, value int64
		e := new(store.Entry)
		err := rows.Scan(&place, &e.Time, &e.Kind, &user, &e.ID, &e.Username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value)
		e.Seq = uint64(place & maxSeq)
		if err != nil || e.Kind != kaban.KindMessage || f.sum.entry(place, user, e) != value {
			continue
		}
		if err := f.authors.sign(ctx, e, user); errors.Is(err, store.ErrDamaged) {
			continue
		} else if err != nil {
			return nil, err
		}
		messages = append(messages, e)
	}
	return messages, closeRows(rows)
}

// readAllStates returns what has become of the messages in a list of places.
func (f *finder) readAllStates(ctx context.Context, list string) (states, error) {
	found := newStates()
	rows, err := f.statesOf.QueryContext(ctx, list)
	if err := found.readStates(rows, err, &f.sum); err != nil {
		return found, err
	}
	rows, err = f.reactionsOf.QueryContext(ctx, list)
	return found, found.readReactions(ctx, rows, err, f.authors)
}
