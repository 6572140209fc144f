package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
)

// historyPage is a page of the lobby and what History must return.
type historyPage struct {
	page        store.Page
	seqs        []uint64
	first, last uint64
}

func wantPages(t *testing.T, s store.Store, asOf uint64, pages []historyPage) {
	t.Helper()
	lobby := RoomName(t, "lobby")
	for _, p := range pages {
		h := readHistory(t, s, lobby, p.page)
		if got := seqsOf(h.Entries); !slices.Equal(got, p.seqs) || h.First != p.first || h.Last != p.last || h.AsOf != asOf {
			t.Errorf("%+v: %v, %d to %d as of %d; want %v, %d to %d as of %d", p.page, got, h.First, h.Last, h.AsOf, p.seqs, p.first, p.last, asOf)
		}
	}
}

func seqsOf(entries []store.Entry) (seqs []uint64) {
	for i := range entries {
		seqs = append(seqs, entries[i].Seq)
	}
	return seqs
}

func testHistory(t *testing.T, s store.Store) {
	if h := readHistory(t, s, RoomName(t, "lobby"), all); len(h.Entries) != 0 || h.First != 0 || h.Last != 0 || h.AsOf != 0 {
		t.Errorf("history of a room that does not exist: %+v", h)
	}
	bump(t, s, "lobby")
	if h := readHistory(t, s, RoomName(t, "lobby"), all); len(h.Entries) != 0 || h.First != 0 || h.Last != 0 || h.AsOf != 0 {
		t.Errorf("history of a room without entries: %+v", h)
	}
	Append(t, s, many(t, "attic", 0, 20)...)
	for i, d := range []kaban.Draft{
		message(t, "ann", "1", "hello"), edit(t, "ann", "2", 1, "Hello"), message(t, "bob", "3", "hi"), react(t, "ann", "4", 1, true, "👍"),
		react(t, "ann", "5", 3, true, "👍"), change(t, kaban.KindTopic, "ann", "6", 0, "cats"), reply(t, "ann", "7", 1, "x"), pin(t, "ann", "8", 1, true),
		remove(t, "bob", "9", 3, ""), change(t, 200, "ann", "10", 1, "x"), edit(t, "ann", "11", 7, "y"), react(t, "ann", "12", 7, true, "👍"),
	} {
		if got := Append(t, s, d)[0]; got.Seq != uint64(i+1) {
			t.Fatalf("%+v: %+v, want seq %d", d, got, i+1)
		}
	}
	wantPages(t, s, 12, []historyPage{
		{all, []uint64{1, 3, 6, 7, 10}, 1, 12},
		{store.Page{Limit: 1}, []uint64{1}, 1, 2},
		{store.Page{Limit: 2}, []uint64{1, 3}, 1, 5},
		{store.Page{Limit: 3}, []uint64{1, 3, 6}, 1, 6},
		{store.Page{Limit: 4}, []uint64{1, 3, 6, 7}, 1, 9},
		{store.Page{Limit: 5}, []uint64{1, 3, 6, 7, 10}, 1, 12},
		{store.Page{After: 1, Limit: 1}, []uint64{3}, 2, 5},
		{store.Page{After: 2, Limit: 1}, []uint64{3}, 3, 5},
		{store.Page{After: 3, Limit: 2}, []uint64{6, 7}, 4, 9},
		{store.Page{After: 1, Before: 3, Limit: 1}, nil, 2, 2},
		{store.Page{After: 3, Before: 6, Limit: 9}, nil, 4, 5},
		{store.Page{After: 3, Before: 6, Limit: 9, Last: true}, nil, 4, 5},
		{store.Page{After: 10, Limit: 1}, nil, 11, 12},
		{store.Page{After: 12, Limit: 1}, nil, 0, 0},
		{store.Page{After: 100, Limit: 1}, nil, 0, 0},
		{store.Page{Limit: 1, Last: true}, []uint64{10}, 8, 12},
		{store.Page{Limit: 2, Last: true}, []uint64{7, 10}, 7, 12},
		{store.Page{Limit: 3, Last: true}, []uint64{6, 7, 10}, 4, 12},
		{store.Page{Limit: 4, Last: true}, []uint64{3, 6, 7, 10}, 2, 12},
		{store.Page{Limit: 5, Last: true}, []uint64{1, 3, 6, 7, 10}, 1, 12},
		{store.Page{Before: 10, Limit: 1, Last: true}, []uint64{7}, 7, 9},
		{store.Page{Before: 6, Limit: 1, Last: true}, []uint64{3}, 2, 5},
		{store.Page{Before: 7, Limit: 9, Last: true}, []uint64{1, 3, 6}, 1, 6},
		{store.Page{Before: 7, Limit: 9}, []uint64{1, 3, 6}, 1, 6},
		{store.Page{Before: 1, Limit: 1, Last: true}, nil, 0, 0},
		{store.Page{After: 1, Before: 2, Limit: 1, Last: true}, nil, 0, 0},
		{store.Page{After: 9, Before: 3, Limit: 1}, nil, 0, 0},
		{store.Page{After: 9, Before: 3, Limit: 1, Last: true}, nil, 0, 0},
		{store.Page{Before: 100, Limit: 2, Last: true}, []uint64{7, 10}, 7, 12},
		{store.Page{After: 3, Before: 11, Limit: 2, Last: true}, []uint64{7, 10}, 7, 10},
		{store.Page{After: 3, Before: 11, Limit: 3, Last: true}, []uint64{6, 7, 10}, 4, 10},
	})
	// Whatever the page is, its messages are as they are now.
	for _, page := range []store.Page{{Limit: 1}, {Before: 2, Limit: 1, Last: true}} {
		got := describeAll(readHistory(t, s, RoomName(t, "LOBBY"), page).Entries)
		if want := []string{"1 ann: Hello (edited 2, pinned 8, 1 replies, 👍 ann 4)"}; !slices.Equal(got, want) {
			t.Errorf("%+v: %q, want %q", page, got, want)
		}
	}
}

func testHistoryOfReplies(t *testing.T, s store.Store) {
	for i, d := range []kaban.Draft{
		message(t, "ann", "1", "hello"), reply(t, "bob", "2", 1, "a"), message(t, "ann", "3", "hi"), reply(t, "bob", "4", 1, "b"),
		edit(t, "bob", "5", 4, "c"), reply(t, "ann", "6", 3, "d"), reply(t, "ann", "7", 2, "e"), remove(t, "bob", "8", 2, ""),
		change(t, 200, "ann", "9", 1, "x"), reply(t, "carol", "10", 1, "f"), react(t, "ann", "11", 10, true, "👍"),
	} {
		if got := Append(t, s, d)[0]; got.Seq != uint64(i+1) {
			t.Fatalf("%+v: %+v, want seq %d", d, got, i+1)
		}
	}
	elsewhere := change(t, 200, "ann", "1", 1, "another room")
	elsewhere.Room = RoomName(t, "attic")
	Append(t, s, elsewhere)
	wantPages(t, s, 11, []historyPage{
		{store.Page{RepliesTo: 1, Limit: 9}, []uint64{2, 4, 10}, 1, 11},
		{store.Page{RepliesTo: 1, Limit: 1}, []uint64{2}, 1, 3},
		{store.Page{RepliesTo: 1, Limit: 2}, []uint64{2, 4}, 1, 9},
		{store.Page{RepliesTo: 1, Limit: 3}, []uint64{2, 4, 10}, 1, 11},
		{store.Page{RepliesTo: 1, Limit: 1, Last: true}, []uint64{10}, 5, 11},
		{store.Page{RepliesTo: 1, Limit: 2, Last: true}, []uint64{4, 10}, 3, 11},
		{store.Page{RepliesTo: 1, Limit: 3, Last: true}, []uint64{2, 4, 10}, 1, 11},
		{store.Page{RepliesTo: 1, After: 4, Limit: 9}, []uint64{10}, 5, 11},
		{store.Page{RepliesTo: 1, After: 2, Before: 10, Limit: 9}, []uint64{4}, 3, 9},
		{store.Page{RepliesTo: 1, Before: 4, Limit: 9, Last: true}, []uint64{2}, 1, 3},
		{store.Page{RepliesTo: 1, After: 11, Limit: 9}, nil, 0, 0},
		{store.Page{RepliesTo: 2, Limit: 9}, []uint64{7}, 1, 11},
		{store.Page{RepliesTo: 3, Limit: 9}, []uint64{6}, 1, 11},
		{store.Page{RepliesTo: 5, Limit: 9}, nil, 1, 11},
		{store.Page{RepliesTo: 10, Limit: 9, Last: true}, nil, 1, 11},
		{store.Page{RepliesTo: 99, Limit: 9}, nil, 1, 11},
		{store.Page{RepliesTo: 1<<53 - 1, Limit: 9}, nil, 1, 11},
	})
	got := describeAll(readHistory(t, s, RoomName(t, "lobby"), store.Page{RepliesTo: 1, Limit: 9}).Entries)
	if diff := cmp.Diff([]string{"2 bob answers 1 (deleted 8, 1 replies)", "4 bob answers 1: c (edited 5)", "10 carol answers 1: f (👍 ann 11)"}, got); diff != "" {
		t.Errorf("the replies (-want +got):\n%s", diff)
	}
}

// Contents count as they are now, in Read as well.
func testHistoryBytes(t *testing.T, s store.Store) {
	long := strings.Repeat("x", 100)
	for i := range 5 {
		Append(t, s, message(t, "ann", fmt.Sprint(i), long))
	}
	Append(t, s, edit(t, "ann", "e", 2, long[:10]), remove(t, "ann", "d", 3, ""), react(t, "ann", "r", 1, true, "👍"))
	wantPages(t, s, 8, []historyPage{
		{store.Page{Limit: 9, Bytes: 1}, []uint64{1}, 1, 1},
		{store.Page{Limit: 9, Bytes: 109}, []uint64{1}, 1, 1},
		{store.Page{Limit: 9, Bytes: 110}, []uint64{1, 2, 3}, 1, 3},
		{store.Page{Limit: 2, Bytes: 110}, []uint64{1, 2}, 1, 2},
		{store.Page{Limit: 9, Bytes: 210}, []uint64{1, 2, 3, 4}, 1, 4},
		{store.Page{Limit: 9, Bytes: 310}, []uint64{1, 2, 3, 4, 5}, 1, 8},
		{store.Page{After: 4, Limit: 9, Bytes: 1}, []uint64{5}, 5, 8},
		{store.Page{Limit: 9, Bytes: 1, Last: true}, []uint64{5}, 5, 8},
		{store.Page{Limit: 9, Bytes: 199, Last: true}, []uint64{5}, 5, 8},
		{store.Page{Limit: 9, Bytes: 200, Last: true}, []uint64{3, 4, 5}, 3, 8},
		{store.Page{Limit: 2, Bytes: 200, Last: true}, []uint64{4, 5}, 4, 8},
		{store.Page{Limit: 9, Bytes: 210, Last: true}, []uint64{2, 3, 4, 5}, 2, 8},
		{store.Page{Limit: 9, Bytes: 310, Last: true}, []uint64{1, 2, 3, 4, 5}, 1, 8},
	})
	for _, c := range []struct {
		page store.Page
		want []uint64
	}{
		{store.Page{Limit: 9, Bytes: 110}, []uint64{1, 2, 3}},
		{store.Page{After: 5, Limit: 9, Bytes: 10}, []uint64{6, 7}},
		{store.Page{Limit: 9, Bytes: 14, Last: true}, []uint64{7, 8}},
		{store.Page{Limit: 9, Bytes: 15, Last: true}, []uint64{6, 7, 8}},
	} {
		entries, err := s.Read(t.Context(), RoomName(t, "lobby"), c.page)
		if got := seqsOf(entries); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Read of %+v: %v, %v; want %v", c.page, got, err, c.want)
		}
	}
}

// walk reads the history of a room page by page, up or down, and returns the seqs shown. Its
// pages must cover every entry exactly once.
func walk(t *testing.T, s store.Store, room kaban.RoomName, page store.Page, head uint64) (seqs []uint64) {
	t.Helper()
	next := uint64(1) // not covered yet
	if page.Last {
		next = head
	}
	for next >= 1 && next <= head {
		if page.Last {
			page.Before = next + 1
		} else {
			page.After = next - 1
		}
		h := readHistory(t, s, room, page)
		got := seqsOf(h.Entries)
		start, end := h.First, h.Last
		if page.Last {
			start, end = h.Last, h.First
		}
		if start != next || h.First > h.Last || h.First == 0 || h.Last > head || h.AsOf != head || len(got) > page.Limit {
			t.Fatalf("the page %+v at %d is %v, %d to %d as of %d", page, next, got, h.First, h.Last, h.AsOf)
		}
		for _, seq := range got {
			if seq < h.First || seq > h.Last {
				t.Fatalf("the page %+v of %d to %d has entry %d", page, h.First, h.Last, seq)
			}
		}
		if page.Last {
			slices.Reverse(got)
			next = end - 1
		} else {
			next = end + 1
		}
		seqs = append(seqs, got...)
	}
	if page.Last {
		slices.Reverse(seqs)
	}
	return seqs
}

func testHistoryWalk(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	random := rand.New(rand.NewPCG(1, 2))
	batch := []kaban.Draft{message(t, "ann", "first", "hello")}
	for i := range 300 {
		target, id := 1+random.Uint64N(uint64(i+1)), fmt.Sprint("id-", i)
		batch = append(batch, []kaban.Draft{
			message(t, "ann", id, "hello"), reply(t, "ann", id, 1, "hi"), reply(t, "ann", id, target, "hi"), edit(t, "ann", id, target, strings.Repeat("x", i)),
			edit(t, "ann", id, 1, "x"), react(t, "ann", id, target, true, "👍"), pin(t, "ann", id, target, i%2 == 0), pin(t, "ann", id, 1, i%2 == 0),
			change(t, 200, "ann", id, target, "x"),
		}[random.IntN(9)])
		if len(batch) > random.IntN(20) {
			Append(t, s, batch...)
			batch = nil
		}
	}
	Append(t, s, batch...)
	var shown, replies []uint64
	entries := read(t, s, lobby)
	for _, e := range entries {
		if e.Kind == kaban.KindMessage || e.Kind == 200 {
			shown = append(shown, e.Seq)
		}
		if e.Kind == kaban.KindMessage && e.Target == 1 {
			replies = append(replies, e.Seq)
		}
	}
	head := uint64(len(entries))
	if len(shown) < 50 || len(shown) > int(head)-50 || len(replies) < 20 {
		t.Fatalf("of %d entries %d are shown, and %d are replies", head, len(shown), len(replies))
	}
	for _, page := range []store.Page{{Limit: 1}, {Limit: 2}, {Limit: 3}, {Limit: 7}, {Limit: 50}, {Limit: 1000}, {Limit: 50, Bytes: 1}, {Limit: 50, Bytes: 200}} {
		for _, last := range []bool{false, true} {
			page.Last, page.RepliesTo = last, 0
			if got := walk(t, s, lobby, page, head); !slices.Equal(got, shown) {
				t.Errorf("%+v: the pages have %v, want %v", page, got, shown)
			}
			page.RepliesTo = 1
			if got := walk(t, s, lobby, page, head); !slices.Equal(got, replies) {
				t.Errorf("%+v: the pages have %v, want %v", page, got, replies)
			}
		}
	}
}

// testRunsOfChanges has messages with more and more changes between them, also with a front that
// ends within such a run.
func testRunsOfChanges(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	var shown []uint64
	head := uint64(0)
	add := func(changes, batch int) {
		drafts := []kaban.Draft{message(t, "ann", fmt.Sprint("m", head), "hello")}
		shown = append(shown, head+1)
		for i := range changes {
			drafts = append(drafts, edit(t, "ann", fmt.Sprint("e", head, "-", i), 1, fmt.Sprint("edit ", head, " ", i)))
		}
		for some := range slices.Chunk(drafts, batch) {
			Append(t, s, some...)
			head += uint64(len(some))
		}
	}
	for i, changes := range []int{0, 1, 62, 63, 64, 65, 0, 127, 128, 200, 1, 1, 300} {
		add(changes, []int{1 << 10, 7, 64}[i%3])
	}
	wantRuns(t, s, shown, 1, head)
	if n, err := s.Cut(t.Context(), lobby, store.Age{Before: 1 << 60, Now: 1 << 61}, 250); n != 250 || err != nil { // the run of 64 is gone, and a part of the next one
		t.Fatalf("cut %d, %v", n, err)
	}
	shown = slices.DeleteFunc(shown, func(seq uint64) bool { return seq <= 250 })
	wantRuns(t, s, shown, 251, head)
}

// wantRuns reads pages from both ends of and around each message that a room shows.
func wantRuns(t *testing.T, s store.Store, shown []uint64, oldest, head uint64) {
	t.Helper()
	lobby := RoomName(t, "lobby")
	places := []uint64{0, oldest, head / 2, head, head + 1}
	for _, seq := range shown {
		places = append(places, seq-1, seq, seq+1, seq+40)
	}
	for _, after := range places {
		for _, limit := range []int{1, 2, 5, 100} {
			want := slices.DeleteFunc(slices.Clone(shown), func(seq uint64) bool { return seq <= after })
			got := readHistory(t, s, lobby, store.Page{After: after, Limit: limit})
			if seqs := seqsOf(got.Entries); !slices.Equal(seqs, want[:min(limit, len(want))]) {
				t.Errorf("%d after %d: %v, want the first of %v", limit, after, seqs, want)
			}
			end := head
			if len(want) > limit {
				end = want[limit] - 1
			}
			if after < head && (got.First != max(after+1, oldest) || got.Last != end) {
				t.Errorf("%d after %d: of %d to %d, want up to %d", limit, after, got.First, got.Last, end)
			}
			before := after + 1
			want = slices.DeleteFunc(slices.Clone(shown), func(seq uint64) bool { return seq >= before })
			got = readHistory(t, s, lobby, store.Page{Before: before, Limit: limit, Last: true})
			if seqs := seqsOf(got.Entries); !slices.Equal(seqs, want[max(0, len(want)-limit):]) {
				t.Errorf("%d before %d: %v, want the last of %v", limit, before, seqs, want)
			}
			begin := oldest
			if len(want) > limit {
				begin = want[len(want)-limit-1] + 1
			}
			if before > oldest && (got.First != begin || got.Last != min(before-1, head)) {
				t.Errorf("%d before %d: of %d to %d, want from %d", limit, before, got.First, got.Last, begin)
			}
		}
	}
}

func testManyChanges(t *testing.T, s store.Store) {
	const changes, batches = 2000, 20
	Append(t, s, message(t, "ann", "m", "hello"))
	for i := range batches {
		var batch []kaban.Draft
		for j := range changes / batches {
			n := i*changes/batches + j
			id := fmt.Sprint("id-", n)
			batch = append(batch, []kaban.Draft{
				edit(t, "ann", id, 1, fmt.Sprint("edit ", n)), react(t, "bob", id, 1, true, "👍"), react(t, "bob", id, 1, false, "👍"),
				pin(t, "bob", id, 1, true), pin(t, "bob", id, 1, false),
			}[n%5])
		}
		for j, got := range Append(t, s, batch...) {
			if want := uint64(2 + i*changes/batches + j); got.Seq != want {
				t.Fatalf("%+v: %+v, want seq %d", batch[j], got, want)
			}
		}
	}
	const last = changes + 2
	Append(t, s, message(t, "ann", "n", "hi"))
	wantPages(t, s, last, []historyPage{
		{store.Page{Limit: 1}, []uint64{1}, 1, last - 1},
		{store.Page{Limit: 2}, []uint64{1, last}, 1, last},
		{store.Page{After: 1, Limit: 1}, []uint64{last}, 2, last},
		{store.Page{After: 1, Before: last, Limit: 1}, nil, 2, last - 1},
		{store.Page{After: 1, Before: last, Limit: 1, Last: true}, nil, 2, last - 1},
		{store.Page{Limit: 1, Last: true}, []uint64{last}, 2, last},
		{store.Page{Limit: 2, Last: true}, []uint64{1, last}, 1, last},
		{store.Page{Before: last, Limit: 1, Last: true}, []uint64{1}, 1, last - 1},
	})
	lobby := RoomName(t, "lobby")
	const edited, text = 2 + changes - 5, "edit 1995"
	if got := describe(&readHistory(t, s, lobby, store.Page{Limit: 1}).Entries[0]); got != fmt.Sprintf("1 ann: %s (edited %d)", text, edited) {
		t.Errorf("the message is %q", got)
	}
	for _, after := range []uint64{0, 1000, edited - 1, edited} {
		entries, err := s.Read(t.Context(), lobby, store.Page{After: after, Limit: changes + 2})
		if err != nil || len(entries) != int(last-after) {
			t.Fatalf("Read after %d: %d entries, %v", after, len(entries), err)
		}
		for _, e := range entries {
			want := text
			switch {
			case e.Seq == last:
				want = "hi"
			case e.Kind == kaban.KindEdit && e.Seq != edited:
				want = ""
			case e.Kind != kaban.KindEdit && e.Kind != kaban.KindMessage:
				continue
			}
			if e.Content != want {
				t.Fatalf("Read after %d: %s, want the content %q", after, describe(&e), want)
			}
		}
	}
}

// testLongRuns has more changes between two messages than a page covers.
func testLongRuns(t *testing.T, s store.Store) {
	const changes, step = store.MaxRun + 2, 1003
	Append(t, s, message(t, "ann", "m", "hello"))
	for first := 0; first < changes; first += step {
		var batch []kaban.Draft
		for n := first; n < min(first+step, changes); n++ {
			batch = append(batch, pin(t, "bob", fmt.Sprint("id-", n), 1, n%2 == 0))
		}
		Append(t, s, batch...)
	}
	const last = changes + 2
	Append(t, s, message(t, "ann", "n", "hi"))
	Append(t, s, reply(t, "ann", "r", 1, "yes"))
	wantPages(t, s, last+1, []historyPage{
		{store.Page{Limit: 2}, []uint64{1}, 1, store.MaxRun},
		{store.Page{After: 1, Limit: 2}, nil, 2, store.MaxRun + 1},
		{store.Page{After: 1, Limit: 2, Before: 5}, nil, 2, 4},
		{store.Page{Limit: 3, Last: true}, []uint64{last, last + 1}, last + 2 - store.MaxRun, last + 1},
		{store.Page{Limit: 1, Last: true, Before: last}, nil, last - store.MaxRun, last - 1},
		{store.Page{Limit: 2, Last: true, Before: last - store.MaxRun}, []uint64{1}, 1, last - store.MaxRun - 1},
		{store.Page{Limit: 2, RepliesTo: 1}, []uint64{last + 1}, 1, last + 1},
		{store.Page{Limit: 2, RepliesTo: 1, Last: true}, []uint64{last + 1}, 1, last + 1},
	})
}

// testOneMoment reads beside a writer. Every batch edits a message and then pins or unpins
// it, so that its state says after which batch it is.
func testOneMoment(t *testing.T, writer, reader store.Store) {
	const batches = 200
	lobby := RoomName(t, "lobby")
	Append(t, writer, message(t, "ann", "m", "1"))
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer close(done)
		for i := range batches {
			results := make([]store.Result, 2)
			err := writer.Append(context.Background(), Writes(edit(t, "ann", fmt.Sprint("e", i), 1, fmt.Sprint(2*i+2)), pin(t, "ann", fmt.Sprint("p", i), 1, i%2 == 0)), results)
			if err != nil || results[0].Seq != uint64(2*i+2) || results[1].Seq != uint64(2*i+3) {
				t.Errorf("batch %d: %+v, %v", i, results, err)
			}
		}
	})
	defer writing.Wait()
	// check looks at a message that was read when the room had entries up to head.
	check := func(what string, e store.Entry, head uint64) {
		edited, pinned := head-1, uint64(0)
		if head%4 == 3 {
			pinned = head
		}
		want := fmt.Sprintf("1 ann: %d (edited %d", edited, edited)
		if pinned != 0 {
			want += fmt.Sprintf(", pinned %d", pinned)
		}
		if want += ")"; head == 1 {
			want = "1 ann: 1"
		}
		if got := describe(&e); got != want {
			t.Fatalf("%s as of %d has %q, want %q", what, head, got, want)
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false // and look once more
		default:
		}
		h := readHistory(t, reader, lobby, all)
		if len(h.Entries) != 1 || h.AsOf%2 != 1 || h.Last != h.AsOf {
			t.Fatalf("history is %q, %d to %d as of %d", describeAll(h.Entries), h.First, h.Last, h.AsOf)
		}
		check("history", h.Entries[0], h.AsOf)
		entries := read(t, reader, lobby)
		head := uint64(len(entries))
		if head%2 != 1 || head < h.AsOf {
			t.Fatalf("there are %d entries after %d", head, h.AsOf)
		}
		check("Read", entries[0], head)
		for _, e := range entries[1:] {
			want := ""
			if e.Seq == head-1 {
				want = entries[0].Content
			}
			if e.Kind == kaban.KindEdit && e.Content != want {
				t.Fatalf("Read as of %d: %s, want the content %q", head, describe(&e), want)
			}
		}
	}
}

// testHandlesStates plays the story line by line on both handles.
func testHandlesStates(t *testing.T, a, b store.Store) {
	script, entries, history := story(t)
	play(t, script, entries, history, a, b)
}
