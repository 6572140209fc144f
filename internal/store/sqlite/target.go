package sqlite

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// targetBytes is about how much memory targets take. If people react to more messages in turn than
// that, each reaction reads its message anew, which costs as much as the rest of its append. It is enough for
// a screen of 64 messages in each of 100 busy rooms, with ten reactions each.
const targetBytes = 8 << 20

// Bytes that targets count with, beside those of texts.
const (
	targetSize  = 512 // an entry, its state and its places in the map and the list, about
	reactorSize = 48  // a store.Reactor
)

// targetSizeOf is about how much memory a message takes.
func targetSizeOf(e *store.Entry) int {
	size := targetSize + e.Size()
	if e.State != nil {
		for i := range e.State.Reactions {
			size += len(e.State.Reactions[i].People) * reactorSize
		}
	}
	return size
}

// target is a message of a room.
type target struct {
	room int64
	seq  uint64
}

// targets are messages that appends were about lately. They are exact: apply changes them with
// every entry that is appended, and a batch that is not stored, a cut and an import forget all
// of them. Nobody else has their reactions. If they take too much memory, those go that nobody has asked
// for longest. The zero value is ready to use.
type targets struct {
	known map[target]*list.Element // of *remembered
	order list.List                // those that were asked for last are at the front
	bytes int
}

// remembered is a message with the size that it counts with.
type remembered struct {
	at    target
	entry *store.Entry
	size  int
}

// find returns a message as it is remembered, or nil.
func (t *targets) find(at target) *remembered {
	element := t.known[at]
	if element == nil {
		return nil
	}
	t.order.MoveToFront(element)
	return element.Value.(*remembered)
}

// get returns a message, or nil.
func (t *targets) get(at target) *store.Entry {
	if found := t.find(at); found != nil {
		return found.entry
	}
	return nil
}

// put adds a message that is not there.
func (t *targets) put(at target, e *store.Entry) {
	if t.known == nil {
		t.known = make(map[target]*list.Element)
	}
	added := &remembered{at: at, entry: e}
	t.known[at] = t.order.PushFront(added)
	t.resize(added)
}

// apply changes a message, if it is there, as an entry about it says.
func (t *targets) apply(at target, change *store.Entry) {
	if found := t.find(at); found != nil {
		found.entry.ApplyOwned(change)
		t.resize(found)
	}
}

// resize counts a message as it is now, and forgets others if that is too much.
func (t *targets) resize(changed *remembered) {
	size := targetSizeOf(changed.entry)
	t.bytes += size - changed.size
	changed.size = size
	for t.bytes > targetBytes && t.order.Len() > 1 {
		gone := t.order.Remove(t.order.Back()).(*remembered)
		delete(t.known, gone.at)
		t.bytes -= gone.size
	}
}

func (t *targets) clear() { *t = targets{} }

// fewTargets are read one by one.
const fewTargets = 2

// prefetch reads those messages together that some writes are about and that are merged, so
// that message finds them. It leaves out what cannot be read, for message to say why. The
// caller holds appending.
func (s *Store) prefetch(ctx context.Context, writes []store.Write, rooms []*room) error {
	missing := wanted{}
	for i := range writes {
		w, r := &writes[i], rooms[i]
		if !w.HasTarget() || w.Refusal != nil || w.Target <= r.cut || w.Target > r.next || r.isUnmerged(w.Target) || s.targets.get(target{r.id, w.Target}) != nil {
			continue
		}
		if missing.rooms == nil {
			missing.rooms = make(map[int64]*room)
		}
		missing.rooms[r.id] = r
		missing.places = append(missing.places, r.place(w.Target))
	}
	if len(missing.places) < fewTargets {
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

// wanted are messages that a batch is about, by their places, some of them twice, and their rooms by id.
type wanted struct {
	places []int64
	rooms  map[int64]*room
}

// readMessages calls each with the merged messages at some places, with their states and
// reactions, and with the head of the merged entries of their room, all of one moment. It
// passes over rows that are damaged, and over what is no message. A batch is mostly about one message of
// each room, so it reads those of all rooms with one query.
func (f *finder) readMessages(ctx context.Context, of wanted, each func(r *room, e *store.Entry, head uint64)) (err error) {
	slices.Sort(of.places)
	of.places = slices.Compact(of.places)
	places, err := json.Marshal(of.places)
	if err != nil {
		return err
	}
	ids, err := json.Marshal(slices.Collect(maps.Keys(of.rooms)))
	if err != nil {
		return err
	}
	if _, err := f.begin.ExecContext(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.rollback(ctx)) }()
	heads, err := f.readHeads(ctx, string(ids))
	if err != nil {
		return err
	}
	messages, err := f.readRows(ctx, string(places))
	if err != nil {
		return err
	}
	found, err := f.readAllStates(ctx, string(places))
	if err != nil {
		return err
	}
	for _, place := range of.places {
		e, head := messages[place], heads[place>>seqBits]
		if e != nil && head > 0 && found.bad[place] == nil {
			e.State = found.of[place]
			each(of.rooms[place>>seqBits], e, head)
		}
	}
	return nil
}

// readHeads returns the heads of the merged entries of those rooms in a list that can be read.
func (f *finder) readHeads(ctx context.Context, list string) (map[int64]uint64, error) {
	rows, err := f.roomsOf.QueryContext(ctx, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	heads := make(map[int64]uint64)
	for rows.Next() {
		var id, value int64
		var key, name string
		var row roomRow
		if err := rows.Scan(append([]any{&id, &key, &name}, row.scan(&value)...)...); err == nil && f.sum.room(id, key, name, row) == value {
			heads[id] = row.head
		}
	}
	return heads, closeRows(rows)
}

// readRows returns the messages in a list of places that can be read, by their places.
func (f *finder) readRows(ctx context.Context, list string) (map[int64]*store.Entry, error) {
	rows, err := f.rowsOf.QueryContext(ctx, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	messages := make(map[int64]*store.Entry)
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
		messages[place] = e
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
