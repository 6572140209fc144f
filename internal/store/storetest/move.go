package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kaban/internal/store"
)

// Moves is how everything is taken from one store to another.
type Moves struct {
	// From and To open empty stores. The suite closes them.
	From, To func(t *testing.T) store.Movable
	Move     func(t *testing.T, from, to store.Movable) error
}

// RunMove moves stores in which random things have happened. Afterwards the other store knows
// everything, and goes on as the first one would.
func RunMove(t *testing.T, m Moves) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := m.From(t), m.To(t)
		defer from.Close()
		defer to.Close()
		c := changes{t: t}
		for _, name := range []string{"a", "b"} {
			r := &roomModel{name: RoomName(t, name), ids: make(map[[2]string]uint64), noops: make(map[[2]string]noop)}
			c.rooms = append(c.rooms, r)
			first := message(t, "carol", "first", "hello")
			first.Room = r.name
			r.add(&first, Append(t, from, first)[0].Time, nil)
		}
		decided := ""
		for range rapid.IntRange(2, 8).Draw(rt, "batches") {
			c.append(rt, from, "decided", &decided)
			if rapid.IntRange(0, 3).Draw(rt, "cut") == 3 {
				c.cut(rt, from)
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(rt, "bumps") {
			bump(t, from, fmt.Sprint("Room-", i))
			bump(t, from, "a")
		}
		epoch, rooms := from.Epoch(), sortedRooms(t, from)
		documentsBefore := documents(t, from, "", "\xff", 1000)
		if err := m.Move(t, from, to); err != nil {
			rt.Fatal(err)
		}
		if to.Epoch() != epoch || from.Epoch() == epoch {
			rt.Errorf("the epoch %s is %s now, and %s where it was", epoch, to.Epoch(), from.Epoch())
		}
		if got := sortedRooms(t, to); !slices.EqualFunc(got, rooms, func(a, b store.Room) bool { return a.IsLike(&b) }) {
			rt.Errorf("the rooms are %+v, want %+v", got, rooms)
		}
		// What messages have released may be noted a little later than the append, also after it was looked at.
		isNew := func(d string) bool { return isReleased(d) && !slices.Contains(documentsBefore, d) }
		if got := slices.DeleteFunc(documents(t, to, "", "\xff", 1000), isNew); !slices.Equal(got, documentsBefore) {
			rt.Errorf("the documents are %q, want %q", got, documentsBefore)
		}
		for i := range 3 {
			for _, r := range c.rooms {
				c.compare(rt, to, r)
				c.compareMentions(rt, to, r)
				c.compareCounts(rt, to, r)
			}
			if i < 2 {
				c.append(rt, to, "decided", &decided)
			}
		}
	})
}

// isReleased reports whether a document, as of documents, is one that a store adds for a message.
func isReleased(document string) bool {
	key, _, _ := strings.Cut(document, "=")
	from, to := store.ReleasedKeys()
	return key >= from && key < to
}

func sortedRooms(t *testing.T, s store.Store) []store.Room {
	t.Helper()
	rooms, err := s.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store.SortRooms(rooms)
	return rooms
}
