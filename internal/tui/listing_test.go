package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

func hit(room string, seq uint64, username, snippet string, marks ...wire.Mark) wire.Hit {
	return wire.Hit{Room: room, Seq: seq, Username: username, Snippet: snippet, Marks: marks, Time: noon.Add(-time.Duration(100-seq) * time.Hour)}
}

// finds plays the answer to the last search.
func (d *desk) finds(found client.Hits) {
	d.t.Helper()
	d.happens(foundEvent{number: d.listing.number, found: found})
}

// searched is a client that has searched all rooms.
func searched(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	d.joined("lobby", 60)
	d.keys("/search deploy", "enter")
	d.finds(client.Hits{Hits: []wire.Hit{
		hit("lobby", 41, "ben", "shall we deploy\nto ops-3?", wire.Mark{Start: 9, Length: 6}),
		hit("ops", 7, "cid", "…the deploy of 東京都 👩‍👩‍👧 failed, and nobody has noticed it until the morning, when everything was down and people came to ask", wire.Mark{Start: 5, Length: 6}),
		hit("kitchen", 3, "dot", "deploy\u202e the cake 🇩🇪 👍🏽", wire.Mark{Length: 6}, wire.Mark{Start: 90, Length: 9}),
	}, Partial: true})
	return d
}

func TestGoldenListing(t *testing.T) {
	for suffix, width := range map[string]int{"": 80, "-narrow": 40} {
		d := searched(t, width, 16)
		d.keys("down")
		golden(t, "found"+suffix, trim(d.screen()))
	}
}

func TestSearchingAllRooms(t *testing.T) {
	d := searched(t, 80, 16)
	d.shows("1 of 3, perhaps not all; Enter opens; Esc closes")
	d.keys("down")
	d.shows("2 of 3, perhaps not all; Enter joins ops and opens; Esc closes")
	// A query that was changed is asked for before anything opens.
	d.keys(" -ops", "enter")
	d.asks("lookUp {number:2 query:deploy -ops room: before:0}")
	d.happens(foundEvent{number: 1, found: client.Hits{Hits: []wire.Hit{hit("ops", 1, "ben", "late")}}})
	d.hides("late")
	d.happens(foundEvent{number: 2, err: &client.Error{Code: wire.CodeBadQuery, Text: "write a word behind the -"}})
	d.shows("write a word behind the -; Enter tries again")
	d.keys("enter")
	d.finds(client.Hits{})
	d.shows("nothing is found")
	d.keys("esc")
	d.typed("")
	d.hides("search all")
	// Ctrl-F in the search of a room goes on to all rooms, and back.
	d.keys("ctrl+f", "zebra", "ctrl+f")
	d.asks("lookUp {number:4 query:zebra room: before:0}")
	d.shows("search all: zebra")
	d.keys("ctrl+f")
	d.shows("search: ")
}

// A hit that is chosen is shown where it stands, and is selected.
func TestOpeningAHit(t *testing.T) {
	d := searched(t, 80, 16)
	d.keys("enter")
	d.shows("▸")
	d.shows("#41: r reply")
	if d.mode != selecting || d.selected != 41 || d.active.name != "lobby" {
		t.Errorf("%d of %s is selected, want 41 of lobby", d.selected, d.active.name)
	}
	// In a room that is not open yet, once it is joined and loaded.
	d = searched(t, 80, 16)
	d.keys("down", "enter")
	d.asks("join ops")
	d.happens(joinedEvent{asked: "ops", room: "ops", cursor: client.Cursor{Epoch: "e", Seq: 900}, head: 900})
	p := page{Around: true, HasAfter: true, Target: 7}
	d.asks("load ops {Before:0 After:0 HasBefore:false HasAfter:true Around:true Target:7 Thread:0}")
	d.happens(d.pageOf("ops", p, 900))
	d.shows("#7: r reply")
	d.shows("message 7")
	// In one that is open, outside of the window.
	d = newDesk(t, 80, 16)
	d.joined("lobby", 900)
	d.keys("/search x", "enter")
	d.finds(client.Hits{Hits: []wire.Hit{hit("lobby", 90, "ben", "x")}})
	d.keys("enter")
	p = page{Around: true, HasAfter: true, After: 39, Target: 90}
	d.asks("load lobby {Before:0 After:39 HasBefore:false HasAfter:true Around:true Target:90 Thread:0}")
	d.happens(d.pageOf("lobby", p, 900))
	d.shows("#90: r reply")
	// It may be gone by then.
	d.keys("esc", "/search x", "enter")
	d.finds(client.Hits{Hits: []wire.Hit{hit("lobby", 700, "ben", "x")}})
	d.keys("enter")
	d.happens(pageEvent{room: "lobby", page: page{Around: true, HasAfter: true, After: 649, Target: 700}, got: pageWith(false, entry(old(701)))})
	d.shows("the message is not there any more")
}

// Further pages come as the choice nears the end.
func TestManyHits(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys("/pins", "enter")
	more := func(from int) client.Hits {
		found := client.Hits{More: true, Next: uint64(from)}
		for n := range hitsPerPage {
			found.Hits = append(found.Hits, hit("lobby", uint64(from-n), "ben", fmt.Sprint("hit ", from-n)))
		}
		return found
	}
	d.finds(more(1000))
	d.back.calls = nil
	for range hitsPerPage {
		d.keys("down")
	}
	d.asks("lookUp {number:2 query:is:pinned room:lobby before:1000}")
	if len(d.back.calls) != 1 {
		t.Errorf("it asks %d times", len(d.back.calls))
	}
	d.finds(more(950))
	d.keys("down")
	d.shows("51 of 100 and more")
	d.shows("hit 950")
	d.keys("pgup", "pgup", "q")
	d.typed("is:pinned")
	for range 200 {
		d.keys("pgdown", "pgup", "pgdown")
		d.screen()
	}
	d.keys("esc")
	d.hides("hit")
}

func TestUnreadFromHere(t *testing.T) {
	d := talking(t, 80, 16)
	d.states["lobby"] = wire.RoomState{Room: "lobby", Kind: kaban.RoomPublic, Read: 3}
	d.keys("alt+s", "up", "u")
	d.asks("unread lobby 2")
	d.shows("unread from here")
	if n := d.active.unread(); n != 1 { // the own message does not count
		t.Errorf("%d are unread, want 1", n)
	}
	d.says("lobby", "ben", "anybody?")
	d.back.calls = nil
	d.report()
	if len(d.back.calls) > 0 {
		t.Errorf("it reports %q, which would clear the mark", d.back.calls)
	}
	d.keys("/join ops", "enter")
	d.joined("ops", 0)
	d.shows("lobby      2")
	d.back.calls = nil
	d.keys("alt+1")
	d.asks("read lobby 4")
	d.shows("─ new ─")
	if d.active.flag != 0 || d.active.mark != 1 {
		t.Errorf("the mark is %d, the line is above %d", d.active.flag, d.active.mark+1)
	}
	// Another device sets and clears it.
	state := wire.RoomState{Room: "ops", Kind: kaban.RoomPublic, Read: 0, UnreadFrom: 1}
	d.says("ops", "ben", "x")
	d.happens(roomStateEvent(state))
	if d.room("ops").flag != 1 {
		t.Error("what another device marks is not marked")
	}
	state.UnreadFrom = 0
	d.happens(roomStateEvent(state))
	if d.room("ops").flag != 0 {
		t.Error("what another device clears stays")
	}
	// Visitors have no marks.
	d.states = nil
	d.keys("alt+s", "u")
	d.shows("only accounts can do that")
}

func TestMutedRoomsAreQuiet(t *testing.T) {
	d := talking(t, 80, 16)
	d.keys("/join ops", "enter")
	d.joined("ops", 0)
	d.keys("alt+1")
	for _, test := range []struct {
		level       kaban.NotifyLevel
		text, badge string
		rings       bool
	}{
		{kaban.NotifyAll, "hello", "1", true},
		{kaban.NotifyMentions, "hello", "1", false},
		{kaban.NotifyMentions, "@ann", "@1", true},
		{kaban.NotifyNone, "hello", "", false},
		{kaban.NotifyNone, "@ann", "@", false},
	} {
		d.raw = nil
		r := d.room("ops")
		r.see()
		state := wire.RoomState{Room: "ops", Kind: kaban.RoomPublic, Notify: test.level, Read: r.read}
		d.states["ops"] = state
		d.says("ops", "ben", test.text)
		if state.Head = r.head; test.text == "@ann" {
			state.Mentions = 1
			d.happens(roomStateEvent(state))
		}
		shown := strings.TrimSpace(strings.TrimPrefix(d.roomLine(r, 1, 20).text(), "2 ops"))
		if shown != test.badge || (len(d.raw) > 0) != test.rings {
			t.Errorf("%q in a room with %s: %q, rings %v; want %q, %v", test.text, test.level, shown, len(d.raw) > 0, test.badge, test.rings)
		}
	}
	d.room("ops").mention = 0
	d.keys("alt+a")
	d.shows("nothing is unread in other rooms")
}
