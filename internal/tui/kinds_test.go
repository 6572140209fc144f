package tui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kaban/client"
	"kaban/client/clienttest"
)

// The session goes on past entries of unknown kinds: live, after a break, in a
// search and in the search for a date.
func TestSessionPassesUnknownKinds(t *testing.T) {
	s := clienttest.NewServer(t)
	s.Message("ben", "a needle")
	for range 600 { // more than a block
		s.Entry("react")
	}
	w := newWitness(t)
	w.join(clienttest.Room)
	w.connect(s.Addr(), []string{"ann"})
	await(w, always[joinedEvent])

	s.Entry("edit")
	s.Message("ben", "one")
	head := s.Entry("react")
	var seqs []uint64
	for len(seqs) < 3 {
		switch e := await(w, always[event]).(type) {
		case messageEvent:
			seqs = append(seqs, e.message.Seq)
		case entryEvent:
			seqs = append(seqs, e.entry.Seq)
		case resyncEvent, failedEvent:
			t.Fatalf("got %+v", e)
		}
	}
	if want := []uint64{602, 603, 604}; !slices.Equal(seqs, want) {
		t.Errorf("got %v, want %v", seqs, want)
	}
	s.Cut()
	await(w, func(e stateEvent) bool { return e.link == online })
	next := s.Message("ben", "two")
	if e := await(w, always[messageEvent]); e.message.Seq != next {
		t.Errorf("got %+v after the break", e.message)
	}
	if joins := s.Joins(); !slices.Equal(joins, []uint64{head}) {
		t.Errorf("joined again after %v, want %d, behind the unknown entry", joins, head)
	}

	w.search(clienttest.Room, scan{number: 1, query: "needle", direction: -1, from: next})
	if e := await(w, func(e scanEvent) bool { return e.found > 0 || e.done || e.err != nil }); e.found != 1 {
		t.Errorf("the search ends with %+v", e)
	}
	w.find(clienttest.Room, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	if e := await(w, always[pageEvent]); e.err != nil || e.page.Target != 1 || len(e.got.Messages()) != 1 || e.got.Last != pageSize {
		t.Errorf("the date is at %+v: %v", e.page, e.err)
	}
}

// A room shows its messages, loads past pages without any, and counts as unread
// only messages.
func TestUnknownKindsAreNotShown(t *testing.T) {
	d := newDesk(t, 80, 20)
	d.happens(joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "e", Seq: 300}, head: 300})
	unknown := func(from, to uint64) (entries []client.Entry) {
		for seq := from; seq <= to; seq++ {
			entries = append(entries, client.Entry{Seq: seq})
		}
		return entries
	}
	d.happens(pageEvent{room: "lobby", page: page{Before: 301, HasBefore: true}, got: pageWith(true, unknown(101, 300)...)})
	if got, want := d.back.last("load"), "load lobby {Before:101 After:0 HasBefore:true HasAfter:false Around:false Target:0 Thread:0}"; got != want {
		t.Errorf("after a page without messages: %q, want %q", got, want)
	}
	e := pageEvent{room: "lobby", page: page{Before: 101, HasBefore: true}, got: pageWith(false, append(unknown(1, 99), entry(old(100)))...)}
	d.happens(e)
	d.shows(old(100).Content)

	r := d.active
	d.keys("ctrl+k", "o", "p", "s", "enter") // away from the lobby
	if d.active == r {
		t.Fatal("still in the lobby")
	}
	d.happens(entryEvent{room: "lobby", entry: client.Entry{Seq: 301}, head: 301})
	if r.unread() != 0 || r.read != 301 {
		t.Errorf("%d are unread and the place is %d; want none and 301", r.unread(), r.read)
	}
	m := old(302)
	d.happens(messageEvent{room: "lobby", message: m, head: 302}, entryEvent{room: "lobby", entry: client.Entry{Seq: 303}, head: 303})
	if r.unread() != 1 || r.head != 303 || r.read != 301 {
		t.Errorf("%d are unread of %d; want 1 of 303", r.unread(), r.head)
	}
}

// The place of the last time is behind entries that nobody could read.
func TestPlaceBeforeUnknownKinds(t *testing.T) {
	d := newDesk(t, 80, 20)
	r := d.active
	r.epoch, r.read = "e", 3
	d.happens(joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "e", Seq: 5}, head: 5})
	e := pageEvent{room: "lobby", page: page{Before: 6, HasBefore: true}, got: pageWith(false, entry(old(1)), entry(old(2)), entry(old(3)), client.Entry{Seq: 4}, client.Entry{Seq: 5})}
	d.happens(e)
	if r.read != 5 || r.marked || r.unread() != 0 {
		t.Errorf("read up to %d, marked %v, %d unread; want 5, false and 0", r.read, r.marked, r.unread())
	}
}

// Where the front of a log was cut, the terminal says so, also if that happens while somebody
// reads.
func TestWhereTheHistoryIsCut(t *testing.T) {
	const begins, cut = "the beginning of lobby", "older messages are no longer kept"
	page1 := func(before uint64, from uint64, more bool) pageEvent {
		var entries []client.Entry
		for seq := from; seq < before; seq++ {
			entries = append(entries, entry(old(seq)))
		}
		return pageEvent{room: "lobby", page: page{Before: before, HasBefore: true}, got: pageWith(more, entries...)}
	}
	newest := page1(51, 41, false)
	around := newest
	around.page = page{Around: true}
	hidden := newest // the oldest entry that is kept is a change
	hidden.got.First = 40
	for name, c := range map[string]struct {
		pages []pageEvent
		want  string
	}{
		"whole":            {[]pageEvent{page1(51, 41, true), page1(41, 1, false)}, begins},
		"cut":              {[]pageEvent{newest}, cut},
		"cut to a change":  {[]pageEvent{hidden}, cut},
		"cut meanwhile":    {[]pageEvent{page1(51, 41, true), page1(41, 41, false)}, cut},
		"cut, and a jump":  {[]pageEvent{page1(51, 45, true), around}, cut},
		"whole to a jump":  {[]pageEvent{page1(51, 41, true), page1(41, 1, false), around}, cut},
		"a change is left": {[]pageEvent{page1(51, 41, true), {room: "lobby", page: page{Before: 41, HasBefore: true}, got: client.HistoryPage{First: 1, Last: 40}}}, begins},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 80, 60)
			d.happens(joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "e", Seq: 50}, head: 50})
			for _, e := range c.pages {
				d.happens(e)
			}
			d.keys("pgup", "pgup", "pgup")
			screen := d.screen()
			if strings.Contains(screen, begins) != (c.want == begins) || strings.Contains(screen, cut) != (c.want == cut) {
				t.Errorf("want %q on\n%s", c.want, screen)
			}
		})
	}
}
