package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"kaban/client"
	"kaban/wire"
)

// inThread is a room in which ben has asked something with the seq 1, which has replies, and
// others talk about something else. Its thread is open.
func inThread(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	d.says("lobby", "ben", "where do we eat?")
	d.says("lobby", "cid", "the build is red")
	d.answers("lobby", "cid", 1, "at the harbour")
	d.says("lobby", "cid", "green again")
	d.back.calls = nil
	d.keys("alt+t")
	d.opensThread(1, d.active.message(1), d.active.message(3))
	return d
}

// opensThread plays the server's answer to the opening of a thread: its first message, and
// its replies.
func (d *desk) opensThread(root uint64, items ...*item) {
	d.t.Helper()
	e := pageEvent{room: "lobby", page: page{Thread: root}}
	asOf := d.active.head
	for _, i := range items {
		m := *i.asMessage()
		m.Replies = i.replies
		entry := client.Entry{Seq: m.Seq, Message: &m, AsOf: asOf}
		if m.Seq == root {
			e.root = &entry
			continue
		}
		e.got.Entries = append(e.got.Entries, entry)
	}
	e.got.First, e.got.Last, e.got.AsOf = 1, asOf, asOf
	d.happens(e)
}

func TestGoldenThread(t *testing.T) {
	for suffix, width := range map[string]int{"": 80, "-narrow": 40} {
		d := inThread(t, width, 14)
		d.keys("fine with me", "enter")
		golden(t, "thread"+suffix, trim(d.screen()))
	}
}

func TestAThreadShowsAMessageAndItsReplies(t *testing.T) {
	d := inThread(t, 80, 16)
	if got, want := d.back.last("load"), "load lobby {Before:0 After:0 HasBefore:false HasAfter:false Around:false Target:0 Thread:1}"; got != want {
		t.Errorf("it asks for %q, want %q", got, want)
	}
	d.shows("thread of ben: where do we eat?")
	d.shows("at the harbour")
	d.hides("red")
	d.hides("┌ ben") // each answers the same message
	// What is new comes by itself, if it belongs there.
	d.answers("lobby", "dot", 1, "too expensive")
	d.answers("lobby", "dot", 2, "whose fault?")
	d.says("lobby", "dot", "hello")
	d.shows("too expensive")
	d.hides("whose fault?")
	d.hides("hello")
	d.shows("3 new in the room, Esc")
	// So do changes of its messages.
	d.changes("lobby", "dot", edited(5, "too far"))
	d.changes("lobby", "ben", reacted(3, "👍", true))
	d.changes("lobby", "ben", edited(1, "where do we eat today?"))
	d.shows("too far (edited)")
	d.shows("👍 1")
	d.shows("thread of ben: where do we eat today?")
	d.keys("esc")
	d.shows("hello")
	d.hides("thread of")
	if d.active.unread() != 0 || d.thread != nil {
		t.Errorf("%d are unread in the room that is seen", d.active.unread())
	}
}

func TestWritingInAThreadReplies(t *testing.T) {
	d := inThread(t, 80, 16)
	d.keys("fine with me", "enter")
	d.asks(`reply lobby 1 to 1 "fine with me"`)
	d.shows("…        ann  fine with me")
	d.happens(sentEvent{room: "lobby", number: 1, receipt: client.Receipt{Seq: 5, Time: noon}})
	d.shows("12:00        ann  fine with me")
	d.keys("/me pays", "enter")
	d.asks(`reply lobby 2 to 1 "/me pays"`)
	d.happens(sentEvent{room: "lobby", number: 2, err: &client.Error{Code: wire.CodeForbidden, Text: "you may only read here"}})
	d.typed("//me pays")
	d.shows("not sent: you may only read here")
	// Edits and reactions are those of its messages.
	d.keys("ctrl+u", "/edit fine", "enter")
	d.asks(`alter lobby 3 edit 5 "fine" "" "" false 5`)
	d.shows("fine (edited …)")
	d.stores(6)
	d.shows("fine (edited)")
	d.keys("/react #3 :tada:", "enter")
	d.shows("[🎉 1]  …")
	d.refuses(wire.CodeForbidden, "you may only read here")
	d.shows("no reaction (#3): you may only read here")
	d.hides("🎉")
	d.keys("alt+s", "up", "r", "yes", "enter")
	d.asks(`reply lobby 5 to 1 "yes"`)
	// A draft is not lost, and the room has its own.
	d.keys("and another thing", "esc")
	d.typed("")
	d.shows("Up in the input brings your text back")
	d.keys("up")
	d.typed("and another thing")
	d.keys("ctrl+u")
	d.shows("┌ ben: where do we eat?")
	d.keys("outside", "enter")
	d.asks(`post lobby 6 "outside"`)
}

func TestWaysIntoAThread(t *testing.T) {
	for keys, root := range map[string]uint64{
		"alt+s up t":        1, // a reply without replies
		"alt+s up up up t":  1,
		"alt+s up up t":     2, // without any
		"/thread enter":     1,
		"/thread #2 enter":  2,
		"/thread #99 enter": 99, // not loaded
		"alt+t":             1,
	} {
		d := inThread(t, 80, 16)
		d.keys("alt+t")
		if d.thread != nil {
			t.Fatal("the second Alt-T leaves it open")
		}
		for _, stroke := range strings.Split(strings.ReplaceAll(keys, "/thread #", "/thread_#"), " ") {
			d.keys(strings.ReplaceAll(stroke, "_", " "))
		}
		if d.thread == nil || d.thread.root != root {
			t.Errorf("%s opens %+v, want the thread of %d", keys, d.thread, root)
		}
	}
	d := newDesk(t, 100, 16)
	d.says("lobby", "ben", "hello")
	d.keys("alt+t")
	d.shows("no message here has replies")
	d.keys("/thread x", "enter")
	d.shows("/thread takes the number of a message")
}

// Whatever else goes somewhere leaves the thread.
func TestWaysOutOfAThread(t *testing.T) {
	for _, keys := range [][]string{{"esc"}, {"alt+t"}, {"ctrl+f"}, {"alt+u"}, {"/clear", "enter"}, {"/date 2026-11-01", "enter"}, {"/join ops", "enter"}, {"/part", "enter"}} {
		d := inThread(t, 80, 16)
		d.keys(keys...)
		if d.thread != nil {
			t.Errorf("%s leaves it open", keys)
		}
		d.screen()
	}
	for _, e := range []event{
		resyncEvent{room: "lobby", err: errors.New("replaced"), cursor: client.Cursor{Epoch: "f", Seq: 9}},
		joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "f", Seq: 9}, head: 9},
	} {
		d := inThread(t, 80, 16)
		d.happens(e)
		if d.thread != nil {
			t.Errorf("%T leaves it open", e)
		}
	}
}

// Older replies are loaded above, the first message comes with the last of them, and pages
// without any are passed over.
func TestALongThread(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("lobby", 5000)
	d.back.calls = nil
	d.keys("/thread #7", "enter")
	reply := func(seq uint64) client.Entry {
		return client.Entry{Seq: seq, Message: &wire.Message{Seq: seq, Username: "ben", ReplyTo: 7, Content: fmt.Sprint("reply ", seq), Time: noon}, AsOf: 5000}
	}
	root := client.Entry{Seq: 7, Message: &wire.Message{Seq: 7, Username: "cid", Content: "the first", Time: noon}, AsOf: 5000}
	first := pageEvent{room: "lobby", page: page{Thread: 7}, root: &root}
	for seq := uint64(4000); seq < 4200; seq++ {
		first.got.Entries = append(first.got.Entries, reply(seq))
	}
	first.got.First, first.got.Last, first.got.AsOf, first.got.More = 4000, 5000, 5000, true
	d.happens(first)
	d.shows("reply 4199")
	d.shows("thread of cid: the first")
	d.keys("ctrl+home")
	older := func(before uint64) {
		t.Helper()
		want := fmt.Sprintf("load lobby {Before:%d After:0 HasBefore:true HasAfter:false Around:false Target:0 Thread:7}", before)
		if got := d.back.last("load"); got != want {
			t.Fatalf("it asks for %q, want %q", got, want)
		}
	}
	older(4000)
	next := page{Before: 4000, HasBefore: true, Thread: 7}
	d.happens(pageEvent{room: "lobby", page: next, got: client.HistoryPage{First: 2000, Last: 3999, AsOf: 5000, More: true}})
	older(2000)
	d.happens(pageEvent{room: "lobby", page: page{Before: 2000, HasBefore: true, Thread: 8}, got: client.HistoryPage{Entries: []client.Entry{reply(9)}}})
	next.Before = 2000
	d.happens(pageEvent{room: "lobby", page: next, got: client.HistoryPage{Entries: []client.Entry{reply(10)}, First: 1, Last: 1999, AsOf: 5000}})
	d.keys("ctrl+home")
	d.shows("cid  the first")
	d.shows("reply 10")
	d.hides("reply 9\n")
	if n := len(d.thread.items); n != 202 {
		t.Errorf("it has %d messages, want 202", n)
	}
	d.back.calls = nil
	d.keys("ctrl+home", "pgup")
	if got := d.back.last("load"); got != "" {
		t.Errorf("it asks for %q, and has all", got)
	}
	d.happens(pageEvent{room: "lobby", page: page{Thread: 7}, err: errors.New("no disk")})
	d.keys("ctrl+end")
	d.shows("the thread could not be loaded: no disk")
}

// A mention in the thread that is looked at does not ring; one beside it does.
func TestMentionsBesideAThread(t *testing.T) {
	d := inThread(t, 80, 16)
	d.answers("lobby", "ben", 1, "@ann?")
	if len(d.raw) > 0 {
		t.Error("it rings for what is seen")
	}
	d.says("lobby", "ben", "@ann!")
	if len(d.raw) != 1 {
		t.Error("it does not ring for what is not seen")
	}
	d.send(tea.BlurMsg{})
	d.answers("lobby", "ben", 1, "@ann?")
	if len(d.raw) != 2 {
		t.Error("it does not ring while nobody looks")
	}
}

// A thread whose reader passed over changes is loaded again.
func TestAThreadThatMissesChanges(t *testing.T) {
	d := inThread(t, 80, 16)
	d.back.calls = nil
	d.happens(messageEvent{room: "lobby", message: wire.Message{Seq: 50, Username: "ben", Content: "far", Time: noon}, asOf: 90, head: 90})
	if got := d.back.last("load"); !strings.HasSuffix(got, "Thread:1}") {
		t.Errorf("it asks for %q", got)
	}
}

// A thread without anything to see says so.
func TestAnEmptyThread(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("lobby", 5)
	d.keys("/thread #77", "enter")
	d.happens(pageEvent{room: "lobby", page: page{Thread: 77}})
	d.shows("there is no message #77 that you may read")
}
