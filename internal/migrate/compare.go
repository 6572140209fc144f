package migrate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"kaban/internal/store"
)

// compare reads everything of both stores and compares it: what they are, rooms with heads and
// revisions, fronts, documents, and a sum of the entries of every room.
func (m *migration) compare(ctx context.Context) error {
	m.restart()
	var whole store.Sum
	for _, part := range []func(context.Context, *store.Sum) error{m.compareIdentity, m.compareRooms, m.compareFronts, m.compareDocuments, m.compareLogs} {
		if err := part(ctx, &whole); err != nil {
			return err
		}
	}
	sum := whole.Value()
	m.report.Sum = hex.EncodeToString(sum[:])
	return nil
}

// differs returns an ErrDiffers that names something.
func differs(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDiffers, fmt.Sprintf(format, args...))
}

func (m *migration) compareIdentity(ctx context.Context, _ *store.Sum) error {
	from, err := m.from.Identity(ctx)
	if err != nil {
		return err
	}
	to, err := m.to.Identity(ctx)
	if err == nil && from != to {
		err = differs("the epoch")
	}
	return err
}

func (m *migration) compareRooms(ctx context.Context, whole *store.Sum) error {
	rooms, err := m.to.Rooms(ctx)
	if err != nil {
		return err
	}
	store.SortRooms(rooms)
	for i := range min(len(rooms), len(m.rooms)) {
		if !rooms[i].IsLike(&m.rooms[i]) {
			return differs("room %s has entries %d to %d and revision %d, and should be %s with %d to %d and revision %d",
				rooms[i].Name, rooms[i].Oldest, rooms[i].Head, rooms[i].Revision, m.rooms[i].Name, m.rooms[i].Oldest, m.rooms[i].Head, m.rooms[i].Revision)
		}
		whole.Room(&rooms[i])
	}
	if len(rooms) != len(m.rooms) {
		return differs("it has %d rooms instead of %d", len(rooms), len(m.rooms))
	}
	return nil
}

// sums adds up what a store has of something, by name.
type sums struct {
	names  []string
	values map[string][32]byte
}

// frontsOf returns the sums of the fronts of a store, by room.
func frontsOf(ctx context.Context, s store.Movable) (all sums, err error) {
	all.values = make(map[string][32]byte)
	var sum store.Sum
	err = s.Fronts(ctx, func(f *store.Front) error {
		name := f.Room.String()
		if n := len(all.names); n == 0 || all.names[n-1] != name {
			all.names, sum = append(all.names, name), store.Sum{}
		}
		sum.Front(f)
		all.values[name] = sum.Value()
		return nil
	})
	return all, err
}

func (m *migration) compareFronts(ctx context.Context, _ *store.Sum) error {
	from, err := frontsOf(ctx, m.from)
	if err != nil {
		return err
	}
	to, err := frontsOf(ctx, m.to)
	if err != nil {
		return err
	}
	for _, name := range from.names {
		if to.values[name] != from.values[name] {
			return differs("the counts of what was cut from room %s", name)
		}
	}
	if !slices.Equal(from.names, to.names) {
		return differs("rooms are cut there that are not cut in the source")
	}
	return nil
}

func (m *migration) compareDocuments(ctx context.Context, whole *store.Sum) error {
	documents := func(s store.Movable) func(context.Context, func([]store.Document) error) error {
		return func(ctx context.Context, send func([]store.Document) error) error { return eachDocument(ctx, s, send) }
	}
	return together(ctx, documents(m.from), documents(m.to), func(from, to []store.Document) error {
		if len(from) != len(to) { // one side has come to its end
			return differs("it has %d documents too few, and %d too many", len(from), len(to))
		}
		for i := range from {
			a, b := &from[i], &to[i]
			switch {
			case a.Key < b.Key:
				return differs("the document %q is missing", a.Key)
			case a.Key > b.Key:
				return differs("the document %q should not be there", b.Key)
			case string(a.Value) != string(b.Value):
				return differs("the document %q has another value", a.Key)
			}
			whole.Document(a)
		}
		m.advance(Comparing, len(from))
		return nil
	})
}

func (m *migration) compareLogs(ctx context.Context, whole *store.Sum) error {
	for i := range m.rooms {
		r := &m.rooms[i]
		entries := func(s store.Movable) func(context.Context, func([]store.Kept) error) error {
			return func(ctx context.Context, send func([]store.Kept) error) error {
				return eachKept(ctx, s, r, r.Oldest-1, send)
			}
		}
		err := together(ctx, entries(m.from), entries(m.to), func(from, to []store.Kept) error {
			if err := compareKept(r, from, to, whole); err != nil {
				return err
			}
			m.advance(Comparing, len(from))
			return nil
		})
		if err != nil {
			return nameRoom(r, err)
		}
	}
	return nil
}

// nameRoom says in what room something cannot be read.
func nameRoom(r *store.Room, err error) error {
	if errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w: room %s: %w", ErrDiffers, r.Name, err)
	}
	return err
}

// compareKept compares runs of entries of a room.
func compareKept(r *store.Room, from, to []store.Kept, whole *store.Sum) error {
	var a, b store.Sum
	for i := range from {
		a.Kept(&from[i])
	}
	for i := range to {
		b.Kept(&to[i])
	}
	if a.Value() == b.Value() {
		whole.Add(&a)
		return nil
	}
	for i := range min(len(from), len(to)) {
		var a, b store.Sum
		a.Kept(&from[i])
		b.Kept(&to[i])
		if a.Value() != b.Value() {
			return differs("room %s: message %d, or what has become of it, is not the same", r.Name, from[i].Seq)
		}
	}
	return differs("room %s has %d messages too few, and %d too many", r.Name, len(from)-min(len(from), len(to)), len(to)-min(len(from), len(to)))
}

// together reads both sides at once, and passes on as much of each. What one side has more comes
// last, with nothing of the other.
func together[T any](ctx context.Context, from, to func(ctx context.Context, send func([]T) error) error, visit func(a, b []T) error) error {
	ctx, stop := context.WithCancel(ctx)
	a, b := begin(ctx, from), begin(ctx, to)
	defer func() {
		stop()
		a.reading.Wait()
		b.reading.Wait()
	}()
	for {
		first, err := a.next()
		if err != nil {
			return err
		}
		second, err := b.next()
		if err != nil {
			return err
		}
		n := min(len(first), len(second))
		if n == 0 {
			if len(first)+len(second) > 0 {
				return visit(first, second)
			}
			return nil
		}
		a.rest, b.rest = first[n:], second[n:]
		if err := visit(first[:n], second[:n]); err != nil {
			return err
		}
	}
}
