package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

// ever is an age of which all entries are old.
var ever = store.Age{Before: math.MaxInt64, Now: math.MaxInt64}

// cut cuts a room and checks how many entries that takes.
func cut(t testing.TB, s store.Store, room kaban.RoomName, age store.Age, limit, want int) {
	t.Helper()
	if n, err := s.Cut(context.Background(), room, age, limit); err != nil || n != want {
		t.Fatalf("Cut of up to %d of %s = %d, %v; want %d", limit, room, n, err, want)
	}
}

// wantRoom checks what is kept of a room.
func wantRoom(t testing.TB, s store.Store, room kaban.RoomName, oldest, head uint64) {
	t.Helper()
	state, err := s.Room(context.Background(), room)
	if err != nil || state.Oldest != oldest || state.Head != head {
		t.Fatalf("Room = %+v, %v; want %d to %d", state, err, oldest, head)
	}
	entries, err := s.Read(context.Background(), room, all)
	if err != nil || uint64(len(entries)) != head+1-oldest || len(entries) > 0 && entries[0].Seq != oldest {
		t.Fatalf("Read = %+v, %v; want %d to %d", entries, err, oldest, head)
	}
}

func testCut(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	told := &store.Mentions{Accounts: []string{"17"}}
	appendWrite(t, s, message(t, "ann", "one", "the first @bob"), told)
	appendWrite(t, s, edit(t, "ann", "two", 1, "the first, edited @bob"), told)
	Append(t, s, message(t, "bob", "three", "the second"), reply(t, "bob", "four", 1, "a reply"), reply(t, "ann", "five", 3, "another"),
		edit(t, "ann", "six", 1, "the first, edited again"), edit(t, "bob", "seven", 3, "the second, edited"),
		change(t, kaban.KindReact, "bob", "eight", 1, "+👍"), change(t, kaban.KindReact, "ann", "nine", 3, "+👍"), change(t, kaban.KindPin, "ann", "ten", 1, "+"))
	Append(t, s, many(t, "attic", 0, 30)...)
	none := store.Age{Before: 1, Now: math.MaxInt64}
	cut(t, s, lobby, none, 5, 0)
	cut(t, s, RoomName(t, "nowhere"), ever, 5, 0)
	cut(t, s, lobby, ever, 0, 0)
	wantRoom(t, s, lobby, 1, 10)
	if entries, messages, err := s.Old(t.Context(), lobby, ever); err != nil || entries != 10 || messages != 4 {
		t.Errorf("Old = %d, %d, %v; want 10, 4", entries, messages, err)
	}
	cut(t, s, lobby, ever, 2, 2)
	wantRoom(t, s, lobby, 3, 10)
	wantRoom(t, s, RoomName(t, "attic"), 1, 30)
	if entries, messages, err := s.Old(t.Context(), lobby, ever); err != nil || entries != 8 || messages != 3 {
		t.Errorf("Old = %d, %d, %v; want 8, 3", entries, messages, err)
	}
	rooms, err := s.Rooms(t.Context())
	for _, room := range rooms {
		if want := map[string]uint64{"lobby": 3, "attic": 1}[room.Name.String()]; room.Oldest != want {
			t.Errorf("Rooms says that the oldest of %s is %d, want %d", room.Name, room.Oldest, want)
		}
	}
	if err != nil || len(rooms) != 2 {
		t.Errorf("Rooms = %+v, %v", rooms, err)
	}
	// Changes of what is gone have no text, those of what is kept do.
	var lines []string
	for _, e := range read(t, s, lobby) {
		lines = append(lines, fmt.Sprint(e.Seq, " ", e.Content))
	}
	if diff := cmp.Diff([]string{"3 the second, edited", "4 a reply", "5 another", "6 ", "7 the second, edited", "8 +👍", "9 +👍", "10 +"}, lines); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
	h, err := s.History(t.Context(), lobby, store.Page{Limit: 2, Last: true})
	if err != nil || h.First != 4 || h.Last != 10 || h.AsOf != 10 || len(h.Entries) != 2 {
		t.Errorf("the last page of history is %+v, %v", h, err)
	}
	h, err = s.History(t.Context(), lobby, all)
	if err != nil || h.First != 3 || h.Last != 10 || len(h.Entries) != 3 || h.Entries[0].State.Replies != 1 {
		t.Errorf("the history is %+v, %v", h, err)
	}
	h, err = s.History(t.Context(), lobby, store.Page{Limit: 5, RepliesTo: 1})
	if err != nil || len(h.Entries) != 1 || h.Entries[0].Seq != 4 {
		t.Errorf("the replies to a message that is gone are %+v, %v", h, err)
	}
	if found, err := s.Mentions(t.Context(), lobby, "17", 0, 10); err != nil || len(found) > 0 {
		t.Errorf("%+v, %v mention somebody, but that is gone", found, err)
	}
	// What is gone is no target, its id is free, and its edits are as good as any other.
	for i, d := range []kaban.Draft{
		edit(t, "ann", "a", 1, "x"), change(t, kaban.KindDelete, "ann", "b", 1, ""), change(t, kaban.KindReact, "ann", "c", 1, "+👍"),
		change(t, kaban.KindReact, "bob", "d", 1, "-👍"), change(t, kaban.KindPin, "ann", "e", 1, "-"), reply(t, "ann", "f", 1, "x"),
	} {
		if got := Append(t, s, d)[0]; !errors.Is(got.Err, store.ErrNoTarget) {
			t.Errorf("change %d of what is gone: %+v, want %v", i, got, store.ErrNoTarget)
		}
	}
	for i, c := range []struct {
		draft kaban.Draft
		want  store.Result
	}{
		{edit(t, "ann", "six", 1, "something else"), known(6)},
		{edit(t, "bob", "seven", 3, "something else"), refused(store.ErrIDConflict)},
		{message(t, "ann", "five", "another"), refused(store.ErrIDConflict)},
		{message(t, "ann", "one", "something else"), stored(11)},
		{message(t, "ann", "one", "something else"), known(11)},
	} {
		if got := Append(t, s, c.draft)[0]; got.Seq != c.want.Seq || got.Duplicate != c.want.Duplicate || !errors.Is(got.Err, c.want.Err) {
			t.Errorf("repeat %d: %+v, want %+v", i, got, c.want)
		}
	}
	wantRoom(t, s, lobby, 3, 11)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Cut(t.Context(), lobby, ever, 1)
	_, _, old := s.Old(t.Context(), lobby, ever)
	if !errors.Is(err, store.ErrClosed) || !errors.Is(old, store.ErrClosed) {
		t.Errorf("a closed store: %v, %v; want %v", err, old, store.ErrClosed)
	}
}

// later appends to another room until the clock of the store has gone on.
func later(t *testing.T, s store.Store, than int64) {
	t.Helper()
	for i := 0; Append(t, s, Draft(t, "clock", "ann", fmt.Sprint("c", than, "-", i), "x"))[0].Time <= than; i++ {
	}
}

// Nothing is taken that is not behind an old entry, and nothing that is behind a young one.
func testCutByTime(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	var times []int64
	for i := range 6 {
		result := Append(t, s, Draft(t, "lobby", "ann", fmt.Sprint("id", i), "x"))[0]
		times = append(times, result.Time)
		later(t, s, result.Time)
	}
	for i, c := range []struct {
		age   store.Age
		limit int
		want  int // the oldest one that is kept
	}{
		{store.Age{Before: times[0], Now: times[5]}, 9, 1},
		{store.Age{Before: times[0] + 1, Now: times[5]}, 9, 2},
		{store.Age{Before: times[2], Now: times[5]}, 9, 3},
		{store.Age{Before: times[5], Now: times[5]}, 2, 5},
		// Entries of the future say nothing, so what is behind them would count.
		{store.Age{Before: times[2], Now: times[3]}, 9, 5},
		{store.Age{Before: times[5], Now: times[3]}, 9, 6},
		{store.Age{Before: times[5] + 1, Now: times[5]}, 9, 7},
	} {
		state, err := s.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		want := c.want - int(state.Oldest)
		entries, messages, err := s.Old(t.Context(), lobby, c.age)
		if err != nil || min(int(entries), c.limit) != want || entries != messages {
			t.Errorf("cut %d: Old = %d, %d, %v; want %d", i, entries, messages, err, want)
		}
		cut(t, s, lobby, c.age, c.limit, want)
		wantRoom(t, s, lobby, uint64(c.want), 6)
	}
}

func testCutWhole(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	Append(t, s, many(t, "lobby", 0, 20)...)
	cut(t, s, lobby, ever, 15, 15)
	cut(t, s, lobby, ever, 15, 5)
	cut(t, s, lobby, ever, 15, 0)
	wantRoom(t, s, lobby, 21, 20)
	h, err := s.History(t.Context(), lobby, all)
	if err != nil || len(h.Entries) > 0 || h.First != 0 || h.AsOf != 20 {
		t.Errorf("the history is %+v, %v", h, err)
	}
	if got := Append(t, s, Draft(t, "lobby", "ann", "new", "x"))[0]; got.Seq != 21 {
		t.Errorf("the next entry is %+v, want 21", got)
	}
	wantRoom(t, s, lobby, 21, 21)
}

// Whatever is cut and marked, what is unread is what reading the log finds.
func testUnreadOfCut(t *testing.T, s store.Store) {
	const entries = 600
	lobby := RoomName(t, "lobby")
	log := countedLog(t, s, 0)
	accounts := make(map[string]kaban.Identity)
	for _, name := range []string{"ann", "bob", "carol"} {
		accounts[name] = kaban.Account(name, Username(t, name))
	}
	for i := range entries {
		d := Draft(t, "lobby", "ann", fmt.Sprint(i), "x")
		d.Author = accounts[[]string{"ann", "bob", "ann", "carol"}[i%4]]
		if i%7 == 0 {
			d.Kind = kaban.KindTopic
		}
		log = append(log, d)
	}
	for i := 0; i < entries; i += 60 {
		Append(t, s, log[i:i+60]...)
	}
	for oldest := uint64(1); oldest <= entries+1; oldest += 100 {
		wantRoom(t, s, lobby, oldest, entries)
		for _, name := range []string{"ann", "carol", "nobody"} {
			author := kaban.Account(name, Username(t, name)).ID()
			tallies, err := s.Tallies(t.Context(), author, []kaban.RoomName{lobby})
			want := store.Tally{Head: entries, Oldest: oldest, Counts: countsOf(log, author), Front: countsOf(log[:oldest-1], author)}
			if err != nil || tallies[0] != want {
				t.Errorf("%d is the oldest: Tallies = %+v, %v; want %+v", oldest, tallies, err, want)
			}
			for _, seq := range []uint64{0, 1, 99, 100, 101, 350, 599, 600, 601} {
				for _, known := range []uint64{0, 200, 600} {
					at := store.Mark{Seq: known, Counts: countsOf(log[:known], author)}
					got, err := s.CountTo(t.Context(), lobby, author, seq, at)
					place := max(min(seq, entries), oldest-1)
					if want := (store.Mark{Seq: place, Counts: countsOf(log[:place], author)}); err != nil || got != want {
						t.Errorf("%d is the oldest: CountTo(%s, %d) = %+v, %v; want %+v", oldest, name, seq, got, err, want)
					}
					rest := countsOf(log[place:], author)
					for _, mark := range []store.Mark{got, {Seq: min(seq, entries), Counts: countsOf(log[:min(seq, entries)], author)}} {
						if unread := tallies[0].Unread(mark); unread != rest.Messages-rest.Own {
							t.Errorf("%d is the oldest: %s has %d unread behind %d, want %d", oldest, name, unread, seq, rest.Messages-rest.Own)
						}
					}
				}
			}
			err = s.Update(t.Context(), func(tx store.Tx) error {
				got, err := tx.Counts(lobby, author)
				if got != want.Counts {
					t.Errorf("%d is the oldest: Counts = %+v, want %+v", oldest, got, want.Counts)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if oldest <= entries {
			cut(t, s, lobby, ever, 100, 100)
		}
	}
}

// cut cuts the front of a room in a store and in its model.
func (c *changes) cut(rt *rapid.T, s store.Store) {
	r := c.rooms[rapid.IntRange(0, len(c.rooms)-1).Draw(rt, "room that is cut")]
	seq := rapid.Uint64Range(1, uint64(len(r.log))).Draw(rt, "up to about")
	age, limit := store.Age{Before: r.log[seq-1].Time + 1, Now: math.MaxInt64}, rapid.IntRange(1, 20).Draw(rt, "limit of the cut")
	want := uint64(0)
	for int(want) < limit && r.cut+want < uint64(len(r.log)) && r.log[r.cut+want].Time < age.Before {
		want++
	}
	if n, err := s.Cut(c.t.Context(), r.name, age, limit); err != nil || n != int(want) {
		rt.Fatalf("Cut of %s = %d, %v; want %d", r.name, n, err, want)
	}
	for _, e := range r.log[r.cut : r.cut+want] {
		if id := [2]string{e.Author, e.ID}; r.ids[id] == e.Seq {
			delete(r.ids, id)
		}
	}
	r.cut += want
}

// compareCounts compares the counts of some authors in a room, and what is unread behind a mark.
func (c *changes) compareCounts(rt *rapid.T, s store.Store, r *roomModel) {
	head := uint64(len(r.log))
	for _, who := range identities(c.t) {
		count := func(entries []store.Entry) (n store.Counts) {
			for i := range entries {
				if entries[i].Kind == kaban.KindMessage {
					n.Add(entries[i].Author == who.ID())
				}
			}
			return n
		}
		tallies, err := s.Tallies(c.t.Context(), who.ID(), []kaban.RoomName{r.name})
		want := store.Tally{Head: head, Oldest: r.cut + 1, Counts: count(r.log), Front: count(r.log[:r.cut])}
		account, bot := kaban.AuthorOf(who.ID())
		isVisitor := account == "" && !bot // may be forgotten with what it has written
		if err != nil || tallies[0] != want && !isVisitor {
			rt.Fatalf("Tallies of %s in %s = %+v, %v; want %+v", who.ID(), r.name, tallies, err, want)
		}
		seq := rapid.Uint64Range(0, head+1).Draw(rt, "mark")
		mark, err := s.CountTo(c.t.Context(), r.name, who.ID(), seq, store.Mark{})
		rest := count(r.log[max(min(seq, head), r.cut):])
		if got := tallies[0].Unread(mark); err != nil || got != rest.Messages-rest.Own {
			rt.Fatalf("%s has %d unread behind %d of %s, %v; want %d", who.ID(), got, seq, r.name, err, rest.Messages-rest.Own)
		}
	}
}
