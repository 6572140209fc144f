package storetest

import (
	"errors"
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// countedLog appends entries of several authors and kinds to two rooms and returns those of
// the lobby.
func countedLog(t *testing.T, s store.Store, entries int) (lobby []kaban.Draft) {
	t.Helper()
	var drafts []kaban.Draft
	for i := range entries {
		name := []string{"ann", "bob", "ann", "carol"}[i%4]
		d := Draft(t, "lobby", name, fmt.Sprint(i), "x")
		switch {
		case i%7 == 0:
			d.Kind = kaban.KindTopic
		case i%11 == 10 && lobby[i-1].Kind == kaban.KindMessage: // what was deleted stays a message
			d.Kind, d.Target, d.Body = kaban.KindDelete, uint64(i), ""
		}
		lobby = append(lobby, d)
		drafts = append(drafts, d, Draft(t, "attic", name, fmt.Sprint(i), "x"))
	}
	for i := 0; i < len(drafts); i += 6 { // a driver moves some of them to their place
		Append(t, s, drafts[i:min(i+6, len(drafts))]...)
	}
	return lobby
}

// countsOf counts those of some drafts that are messages.
func countsOf(drafts []kaban.Draft, author string) (c store.Counts) {
	for i := range drafts {
		if d := &drafts[i]; d.Kind == kaban.KindMessage {
			c.Add(d.Author.ID() == author)
		}
	}
	return c
}

func testCounts(t *testing.T, s store.Store) {
	const entries = 600
	log := countedLog(t, s, entries)
	lobby, attic, nowhere := RoomName(t, "lobby"), RoomName(t, "attic"), RoomName(t, "nowhere")
	for _, name := range []string{"ann", "bob", "carol", "nobody"} {
		author := kaban.Visitor(Username(t, name)).ID()
		all := countsOf(log, author)
		tallies, err := s.Tallies(t.Context(), author, []kaban.RoomName{nowhere, lobby, attic, lobby})
		if err != nil || len(tallies) != 4 {
			t.Fatalf("Tallies = %+v, %v", tallies, err)
		}
		for i, want := range map[int]store.Tally{
			0: {Oldest: 1}, 1: {Head: entries, Oldest: 1, Counts: all}, 3: {Head: entries, Oldest: 1, Counts: all},
		} {
			if tallies[i] != want {
				t.Errorf("tally %d for %s is %+v, want %+v", i, name, tallies[i], want)
			}
		}
		if got := tallies[2]; got.Head != entries || got.Messages != entries || got.Own != map[string]uint64{"ann": entries / 2, "bob": entries / 4, "carol": entries / 4}[name] {
			t.Errorf("the attic for %s: %+v", name, got)
		}
		at := func(seq uint64) store.Mark { return store.Mark{Seq: seq, Counts: countsOf(log[:seq], author)} }
		for _, known := range []uint64{0, 3, 290, 599, 600} {
			for _, seq := range []uint64{0, 1, 2, 7, 8, 30, 31, 250, 255, 256, 257, 300, 400, 598, 599, 600, 601, 1 << 40} {
				want := at(min(seq, entries))
				if got, err := s.CountTo(t.Context(), lobby, author, seq, at(known)); err != nil || got != want {
					t.Errorf("CountTo(%s, %d, %d) = %+v, %v; want %+v", name, seq, known, got, err, want)
				}
			}
		}
		if got, err := s.CountTo(t.Context(), nowhere, author, 10, at(3)); got != (store.Mark{}) || err != nil {
			t.Errorf("CountTo in no room = %+v, %v", got, err)
		}
		// A mark of another log may be behind the head.
		beyond := store.Mark{Seq: entries + 1, Counts: store.Counts{Messages: 7}}
		if got, err := s.CountTo(t.Context(), lobby, author, entries, beyond); got != at(entries) || err != nil {
			t.Errorf("CountTo with a mark behind the head = %+v, %v; want %+v", got, err, at(entries))
		}
	}
}

// A transaction counts what it has appended itself.
func testCountsInTransactions(t *testing.T, s store.Store) {
	log := countedLog(t, s, 20)
	lobby, ann := RoomName(t, "lobby"), kaban.Visitor(Username(t, "ann")).ID()
	before := countsOf(log, ann)
	expect := func(when string, want store.Counts) func(store.Tx) error {
		return func(tx store.Tx) error {
			got, err := tx.Counts(lobby, ann)
			if err != nil || got != want {
				t.Errorf("%s: Counts = %+v, %v; want %+v", when, got, err, want)
			}
			none, err := tx.Counts(RoomName(t, "nowhere"), ann)
			if err != nil || none != (store.Counts{}) {
				t.Errorf("%s: Counts of no room = %+v, %v", when, none, err)
			}
			return nil
		}
	}
	batch := Writes(Draft(t, "lobby", "ann", "new", "x"), Draft(t, "lobby", "bob", "new", "x"), Draft(t, "lobby", "bob", "topic", "x"), Draft(t, "lobby", "ann", "last", "x"))
	batch[2].Kind = kaban.KindTopic
	for i, want := range []store.Counts{
		before,
		{Messages: before.Messages + 1, Own: before.Own + 1},
		{Messages: before.Messages + 2, Own: before.Own + 1},
		{Messages: before.Messages + 2, Own: before.Own + 1},
	} {
		batch[i].Decide = expect(fmt.Sprint("before write ", i), want)
	}
	if err := s.Append(t.Context(), batch, make([]store.Result, len(batch))); err != nil {
		t.Fatal(err)
	}
	after := store.Counts{Messages: before.Messages + 3, Own: before.Own + 2}
	if err := s.Update(t.Context(), expect("afterwards", after)); err != nil {
		t.Error(err)
	}
	if err := s.View(t.Context(), func(tx store.Tx) error {
		if _, err := tx.Counts(lobby, ann); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Counts in a View: %v, want ErrReadOnly", err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	tallies, err := s.Tallies(t.Context(), ann, []kaban.RoomName{lobby})
	if err != nil || tallies[0] != (store.Tally{Head: 24, Oldest: 1, Counts: after}) {
		t.Errorf("Tallies = %+v, %v; want %+v", tallies, err, after)
	}
}

// Whatever is marked, what is unread is what reading the log finds.
func testUnread(t *testing.T, s store.Store) {
	log := countedLog(t, s, 40)
	lobby := RoomName(t, "lobby")
	for _, name := range []string{"ann", "carol", "nobody"} {
		author := kaban.Visitor(Username(t, name)).ID()
		tallies, err := s.Tallies(t.Context(), author, []kaban.RoomName{lobby})
		if err != nil {
			t.Fatal(err)
		}
		var mark store.Mark
		for seq := range uint64(43) {
			if mark, err = s.CountTo(t.Context(), lobby, author, seq, mark); err != nil {
				t.Fatal(err)
			}
			rest := countsOf(log[min(seq, 40):], author)
			if got, want := tallies[0].Unread(mark), rest.Messages-rest.Own; got != want {
				t.Errorf("%s has %d unread behind %d, want %d", name, got, seq, want)
			}
		}
	}
}
