package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// whole is an export without documents.
type whole struct {
	fronts  []store.Front
	records []store.Record
}

func (a *Archives) whole(t *testing.T, location string) (all whole) {
	t.Helper()
	err := a.archive(t, location).Export(t.Context(), nil, store.Receiver{Front: func(f *store.Front) error {
		if n := len(all.records); n > 0 && all.records[n-1].Room == f.Room {
			t.Errorf("the front of %s follows its records", f.Room)
		}
		part := *f
		part.Written = slices.Clone(f.Written)
		all.fronts = append(all.fronts, part)
		return nil
	}, Record: func(r *store.Record) error {
		all.records = append(all.records, *r)
		return nil
	}, Damaged: asError})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// importInto imports an export as the command does, and returns how much is new.
func (w *whole) importInto(t *testing.T, s store.Importer) (fronts, records int) {
	t.Helper()
	for i := range w.fronts {
		isNew, err := s.ImportFront(t.Context(), &w.fronts[i])
		if err != nil {
			t.Fatal(err)
		}
		if isNew {
			fronts++
		}
	}
	records, err := s.Import(t.Context(), w.records)
	if err != nil {
		t.Fatal(err)
	}
	return fronts, records
}

// saying returns drafts of messages by an account, with ids from first. Of visitors a store may forget
// more.
func saying(t testing.TB, room, author string, first, n int) []kaban.Draft {
	batch := make([]kaban.Draft, n)
	for i := range batch {
		batch[i] = Draft(t, room, author, fmt.Sprint("id-", first+i), fmt.Sprint("message ", first+i))
		batch[i].Author = kaban.Account(author, Username(t, author))
	}
	return batch
}

// wantTallies compares counts in two stores.
func wantTallies(t *testing.T, when string, s, other store.Store, names ...string) {
	t.Helper()
	var rooms []kaban.RoomName
	for _, name := range names {
		rooms = append(rooms, RoomName(t, name))
	}
	for _, name := range []string{"ann", "bob", "user7", "nobody"} {
		author := kaban.Account(name, Username(t, name)).ID()
		want, err := s.Tallies(t.Context(), author, rooms)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := other.Tallies(t.Context(), author, rooms); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: counts for %s: %+v, %v; want %+v", when, name, got, err, want)
		}
	}
}

// An import of logs that were cut begins where they begin, with the counts of what was cut.
func (a *Archives) testFronts(t *testing.T) {
	from, to := a.New(t), a.New(t)
	s, other := a.open(t, from), a.open(t, to)
	Append(t, s, saying(t, "attic", "ann", 0, 3)...)
	Append(t, s, saying(t, "kitchen", "bob", 0, 5)...)
	const authors = store.MaxFrontAuthors + 2
	var first []kaban.Draft
	for i := range authors {
		first = append(first, saying(t, "lobby", fmt.Sprint("user", authors-i), 0, 1)...)
	}
	Append(t, s, append(first, saying(t, "lobby", "ann", 0, 10)...)...)
	Append(t, s, edit(t, "ann", "e", authors+1, "edited"), react(t, "bob", "r", authors+1, true, "👍"),
		edit(t, "ann", "e2", authors+9, "also edited"), reply(t, "bob", "a", authors+2, "a reply"))
	cut(t, s, RoomName(t, "kitchen"), ever, 100, 5)
	cut(t, s, RoomName(t, "lobby"), ever, authors+5, authors+5)
	want := a.whole(t, from)
	if len(want.fronts) != 3 || len(want.fronts[1].Written) != store.MaxFrontAuthors || len(want.records) != 3+5+4 {
		t.Fatalf("exported are %d fronts and %d records", len(want.fronts), len(want.records))
	}
	for _, round := range []struct{ fronts, records int }{{3, 12}, {}} {
		if fronts, records := want.importInto(t, other); fronts != round.fronts || records != round.records {
			t.Errorf("%d fronts and %d records are new, want %v", fronts, records, round)
		}
		if got := a.whole(t, to); !reflect.DeepEqual(got, want) {
			t.Errorf("exported are\n%.3000v\nwant\n%.3000v", got, want)
		}
	}
	wantTallies(t, "imported", s, other, "lobby", "kitchen", "attic")
	for _, s := range []store.Importer{s, other} { // a room that is empty goes on
		if got := Append(t, s, saying(t, "kitchen", "bob", 5, 1)...)[0]; got.Seq != 6 {
			t.Errorf("the next entry is %d, want 6", got.Seq)
		}
		cut(t, s, RoomName(t, "lobby"), ever, 2, 2)
	}
	wantTallies(t, "going on", s, other, "lobby", "kitchen", "attic")
	other.Close()
	a.wantNoTrouble(t, to)
	wantTallies(t, "opened again", s, a.open(t, to), "lobby", "kitchen", "attic")
}

// wantNoTrouble checks a store.
func (a *Archives) wantNoTrouble(t *testing.T, location string) {
	t.Helper()
	report, err := a.archive(t, location).Check(t.Context())
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		t.Error(err)
	}
}

// A front is refused where it would leave a gap, or count otherwise, and leaves what is there.
func (a *Archives) testFrontsDiffer(t *testing.T) {
	from, to := a.New(t), a.New(t)
	s, other := a.open(t, from), a.open(t, to)
	Append(t, s, append(saying(t, "lobby", "ann", 0, 10), saying(t, "lobby", "bob", 0, 10)...)...)
	everything := a.whole(t, from)
	cut(t, s, RoomName(t, "lobby"), ever, 12, 12)
	good := a.whole(t, from)
	good.importInto(t, other)
	ann, bob := good.fronts[0].Written[0].Author, good.fronts[0].Written[1].Author
	refused := func(s store.Importer, want string, change func(f *store.Front)) {
		t.Helper()
		f := good.fronts[0]
		f.Written = slices.Clone(f.Written)
		change(&f)
		added, err := s.ImportFront(t.Context(), &f)
		if added || !errors.Is(err, store.ErrDiffers) || !strings.Contains(err.Error(), want) {
			t.Errorf("added: %t, %v; want store.ErrDiffers with %q", added, err, want)
		}
	}
	refused(other, "begins with 22, which would leave a gap, the room has 20", func(f *store.Front) { f.Seq = 21 })
	refused(other, "12 were messages there, and not 11", func(f *store.Front) { f.Messages = 11 })
	refused(other, "ann has written 10 of the entries up to 12 of lobby there, and not 9", func(f *store.Front) { f.Written[0].Messages = 9 })
	fresh := a.open(t, a.New(t))
	refused(fresh, "authors have written 13", func(f *store.Front) {
		f.Written = []store.FrontAuthor{{Author: ann, Messages: 11}, {Author: bob, Messages: 2}}
	})
	refused(fresh, "only 12 were messages", func(f *store.Front) { f.Written[1].Messages = 1 << 60 })
	refused(fresh, "with 13 messages is none", func(f *store.Front) { f.Messages = 13 })
	if rooms, err := fresh.Rooms(t.Context()); err != nil || len(rooms) != 0 {
		t.Errorf("what was refused leaves %v, %v", rooms, err)
	}
	if got := a.whole(t, to); !reflect.DeepEqual(got, good) {
		t.Error("what was refused has changed something")
	}
	// What is not kept any more does not come back.
	const want = "message 1 of lobby is not kept there any more, which begins with 13"
	if _, err := other.Import(t.Context(), everything.records); !errors.Is(err, store.ErrDiffers) || !strings.Contains(err.Error(), want) {
		t.Errorf("an import of what was cut: %v, want %q", err, want)
	}
	// A longer log stays, and takes what follows.
	longer := a.open(t, a.New(t))
	if n, err := longer.Import(t.Context(), everything.records[:15]); n != 15 || err != nil {
		t.Fatal(n, err)
	}
	if fronts, records := good.importInto(t, longer); fronts != 0 || records != 5 {
		t.Errorf("%d fronts and %d records are new", fronts, records)
	}
	wantRoom(t, longer, RoomName(t, "lobby"), 1, 20)
	other.Close()
	a.wantNoTrouble(t, to)
}
