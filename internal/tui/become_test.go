package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban/client"
	"kaban/wire"
)

// changes plays that somebody changes a message, and returns the seq of the change.
func (d *desk) changes(room, username string, c wire.Change) uint64 {
	d.t.Helper()
	c.Seq = d.room(room).head + 1
	c.Username, c.Time = username, noon.Add(time.Duration(c.Seq)*time.Second)
	d.happens(entryEvent{room: room, entry: client.Entry{Seq: c.Seq, Time: c.Time, Change: &c}, head: c.Seq})
	return c.Seq
}

func edited(target uint64, content string) wire.Change {
	return wire.Change{Type: wire.TypeEdit, Target: target, Content: content}
}

func deleted(target uint64) wire.Change { return wire.Change{Type: wire.TypeDelete, Target: target} }

func reacted(target uint64, emoji string, on bool) wire.Change {
	return wire.Change{Type: wire.TypeReact, Target: target, Emoji: emoji, On: on}
}

func pinned(target uint64, on bool) wire.Change {
	return wire.Change{Type: wire.TypePin, Target: target, On: on}
}

// answers plays that somebody answers a message.
func (d *desk) answers(room, username string, to uint64, content string) {
	d.t.Helper()
	head := d.room(room).head + 1
	d.happens(messageEvent{room: room, head: head, message: wire.Message{
		Seq: head, ID: fmt.Sprint(head), Username: username, ReplyTo: to, Content: content, Time: noon.Add(time.Duration(head) * time.Second),
	}})
}

// living is a room in which much has become of the messages.
func living(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	d.joined("lobby", 1)
	d.says("lobby", "ben", "shall we depoly today, or is there anything that speaks against it?") // 2
	d.changes("lobby", "ben", edited(2, "shall we deploy today, or is there anything that speaks against it?"))
	d.answers("lobby", "cid", 2, "nothing, go ahead") // 4
	d.says("lobby", "cid", "the password is 12345")   // 5
	d.changes("lobby", "cid", deleted(5))
	d.says("lobby", "ben", "deployed 🚀") // 7
	d.changes("lobby", "ann", reacted(7, "🎉", true))
	for n := range 3 {
		d.changes("lobby", fmt.Sprint("visitor-", n), reacted(7, "🎉", true))
	}
	d.changes("lobby", "cid", reacted(7, "👨‍👩‍👧", true))
	d.changes("lobby", "cid", reacted(7, "❤️", true))
	d.changes("lobby", "cid", pinned(7, true))
	d.answers("lobby", "a-name-that-is-rather-long", 5, "I have not seen it")
	d.answers("lobby", "ben", 9000, "that was long ago")
	d.answers("lobby", "cid", 7, "/me claps")
	return d
}

func TestGoldenLivingMessages(t *testing.T) {
	for name, size := range map[string][2]int{"living": {100, 24}, "living-narrow": {40, 30}, "living-tiny": {18, 40}} {
		t.Run(name, func(t *testing.T) { golden(t, name, trim(living(t, size[0], size[1]).screen())) })
	}
	t.Run("living-dark", func(t *testing.T) {
		content, _, _ := living(t, 100, 24).render()
		golden(t, "living-dark", strings.ReplaceAll(content, "\x1b", "␛")+"\n")
	})
}

// Changes are no news: nothing rings, nothing is unread, the line "new" does not come.
func TestChangesAreNotNews(t *testing.T) {
	d := newDesk(t, 100, 20)
	d.joined("lobby", 3)
	d.active.marked = false // as of the last time
	for _, away := range []func(){
		func() { d.send(tea.BlurMsg{}) },
		func() { d.keys("/join ops", "enter"); d.joined("ops", 0) },
	} {
		away()
		r := d.room("lobby")
		for _, c := range []wire.Change{
			edited(2, "@ann, are you there? @all"), reacted(3, "🎉", true), reacted(3, "🎉", false), pinned(2, true), deleted(2),
		} {
			d.changes("lobby", "ben", c)
		}
		if len(d.raw) > 0 || r.unread() > 0 || r.mention > 0 || r.marked || r.read != r.head {
			t.Errorf("%q rang, %d are unread with %d mentions, marked %v, read up to %d of %d", d.raw, r.unread(), r.mention, r.marked, r.read, r.head)
		}
		if got := d.unreadElsewhere(); got > 0 {
			t.Errorf("%d rooms are unread", got)
		}
	}
	d.says("lobby", "ben", "a message")
	if got := d.room("lobby").unread(); got != 1 {
		t.Errorf("%d are unread after a message, want 1", got)
	}
}

// The changes that a page leaves out do not count as unread, live or of the last time.
func TestChangesLeftOutOfPagesAreNotNews(t *testing.T) {
	d := newDesk(t, 100, 20)
	r := d.active
	r.epoch, r.read = "e", 3
	d.happens(joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "e", Seq: 300}, head: 300})
	got := client.HistoryPage{Entries: []client.Entry{entry(old(1)), entry(old(2)), entry(old(200))}, First: 1, Last: 300, AsOf: 300}
	d.happens(pageEvent{room: "lobby", page: page{Before: 301, HasBefore: true}, got: got})
	if r.unread() != 0 { // it is looked at
		t.Errorf("%d are unread", r.unread())
	}
	r.read = 3
	if got := r.unread(); got != 1 {
		t.Errorf("%d are unread, want 1", got)
	}
	if r.first() != 1 || r.last() != 300 || !r.complete || !r.attached {
		t.Errorf("the window is %d to %d, complete %v, attached %v", r.first(), r.last(), r.complete, r.attached)
	}
}

// While the window is elsewhere, messages count as unread, and changes do not.
func TestChangesBelowTheWindow(t *testing.T) {
	d := newDesk(t, 100, 20)
	d.joined("lobby", 1000)
	r := d.active
	p := page{Around: true, HasAfter: true, Target: 60, After: 9}
	d.happens(d.pageOf("lobby", p, 1000))
	if r.attached || r.following {
		t.Fatal("the window is still at the end")
	}
	for range 3 {
		d.changes("lobby", "ben", reacted(1000, "🎉", true))
		d.changes("lobby", "ben", reacted(1000, "🎉", false))
		d.says("lobby", "ben", "news")
	}
	if got := r.unread(); got != 3 {
		t.Errorf("%d are unread, want 3", got)
	}
	d.changes("lobby", "ben", edited(60, "changed above"))
	d.shows("changed above (edited)")
	if got := r.unread(); got != 3 {
		t.Errorf("%d are unread, want 3", got)
	}
}

// A page and the live changes may come in any order.
func TestPagesAndLiveChanges(t *testing.T) {
	one := old(5)
	one.Reactions = []wire.Reaction{{Emoji: "🎉", Count: 2, Me: true, Usernames: []string{"ann", "ben"}}}
	one.Pinned, one.Edited = true, wire.Edited{Seq: 7, Time: noon}
	in := func(asOf uint64) client.HistoryPage {
		m := one
		return client.HistoryPage{Entries: []client.Entry{{Seq: 5, Message: &m, AsOf: asOf}}, First: 1, Last: 8, AsOf: asOf}
	}
	d := newDesk(t, 100, 20)
	d.happens(joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "e", Seq: 8}, head: 8})
	// Nine is in the page already, ten is not.
	at := func(seq uint64, c wire.Change) {
		c.Seq, c.Username, c.Time = seq, "cid", noon
		d.happens(entryEvent{room: "lobby", entry: client.Entry{Seq: seq, Change: &c}, head: seq})
	}
	at(9, reacted(5, "🎉", true))
	at(10, reacted(5, "👍", true))
	d.happens(pageEvent{room: "lobby", page: page{Before: 9, HasBefore: true}, got: in(9)})
	d.shows("message 5 (edited)")
	d.shows("pinned  [🎉 2]  👍 1")
	at(11, reacted(5, "👍", false))
	d.shows("pinned  [🎉 2] ")
	d.hides("👍")
	at(12, deleted(5))
	d.shows("cid  (deleted)")
	d.hides("🎉")
	d.hides("message 5")
	if i := d.active.message(5); i == nil || i.content != "" || i.time != one.Time || i.username != one.Username {
		t.Errorf("the deleted message is %+v", i)
	}
}

// A deleted message is neither found nor copied.
func TestDeletedIsGone(t *testing.T) {
	d := newDesk(t, 80, 20)
	d.says("lobby", "ben", "the first")
	d.says("lobby", "ben", "secret")
	d.changes("lobby", "ben", deleted(2))
	d.keys("/copy 2", "enter")
	if want := "the first"; len(d.raw) != 1 || d.raw[0] != want {
		t.Errorf("copied %q, want %q", d.raw, want)
	}
	d.keys("ctrl+f", "ben")
	if d.finder.found != 1 {
		t.Errorf("the search finds %d, want 1", d.finder.found)
	}
	var b block
	b.take(&wire.Message{Seq: 1, Username: "ben", Deleted: true}, scan{query: "ben", direction: -1})
	if b.found != 0 {
		t.Error("the scan finds a deleted message")
	}
}

// The window forgets what falls out of it, and gets it back with a page.
func TestBecomingIsForgottenWithTheWindow(t *testing.T) {
	d := newDesk(t, 80, 20)
	d.joined("lobby", 10)
	r := d.active
	d.changes("lobby", "ben", edited(10, "changed"))
	d.keys("/clear", "enter")
	if _, ok := r.fold.Message(10); ok {
		t.Error("a cleared message is kept")
	}
	d.happens(d.pageOf("lobby", page{Before: 12, HasBefore: true}, 10))
	d.shows("changed (edited)") // as of the page it was not
	for n := range maxItems + 10 {
		d.says("lobby", "ben", fmt.Sprint("flood ", n))
	}
	if _, ok := r.fold.Message(10); ok || len(r.items) > maxItems {
		t.Errorf("%d items are kept, also one that fell out: %v", len(r.items), ok)
	}
}

// An entry that was read as history hides changes of what is shown: that is loaded again,
// where one is.
func TestWindowThatMissesChanges(t *testing.T) {
	d := newDesk(t, 80, 20)
	d.joined("lobby", 50)
	tick := func() { d.Update(ticked(noon.Add(time.Second))) }
	tick()
	d.back.calls = nil
	m := old(70)
	d.happens(messageEvent{room: "lobby", message: m, asOf: 90, head: 90})
	tick()
	if got, want := d.back.calls, []string{"load lobby {Before:0 After:0 HasBefore:false HasAfter:false Around:true Target:0 Thread:0}"}; !slices.Equal(got, want) {
		t.Fatalf("it asks for %q, want %q", got, want)
	}
	tick()
	if len(d.back.calls) != 1 {
		t.Errorf("it asks again: %q", d.back.calls)
	}
	e := d.pageOf("lobby", page{Around: true}, 70)
	e.got.AsOf = 90
	e.got.Entries[49].Message.Content = "changed meanwhile"
	e.got.Last = 90
	for i := range e.got.Entries {
		e.got.Entries[i].AsOf = 90
	}
	d.happens(e)
	tick()
	d.keys("pgup")
	d.shows("changed meanwhile")
	if r := d.active; len(d.back.calls) != 1 || r.stale != 0 || r.head < 70 {
		t.Errorf("it asks %q; stale %d", d.back.calls, r.stale)
	}
}

// Contents of others are cleaned wherever they are shown.
func TestHostileChanges(t *testing.T) {
	for _, width := range []int{120, 60, 40, 12, 2} {
		d := newDesk(t, width, 30)
		d.says("lobby", "ben", "\x1b[2J\u202eevil\r\nsecond "+strings.Repeat("z̶͚̈", 50))
		d.answers("lobby", "b\x1b[31men", 1, "an answer")
		d.answers("lobby", "ben", 1<<53-1, "another")
		for _, emoji := range []string{"\x1b[31m", "\n\n\n", strings.Repeat("👩‍", 20), strings.Repeat("x", 64), "", "\u202e"} {
			d.changes("lobby", "cid", reacted(1, emoji, true))
		}
		d.changes("lobby", "cid", edited(2, "\x1b]0;title\a```\nunclosed"))
		for n := range 3 * maxChips {
			d.changes("lobby", "cid", reacted(3, fmt.Sprint("e", n), true))
		}
		content, _, _ := d.render()
		d.checkSize(content)
		for _, bad := range []string{"\x1b[2J", "\x1b]0;", "\u202e", "\a", "\r"} {
			if strings.Contains(content, bad) {
				t.Errorf("width %d: the screen has %q", width, bad)
			}
		}
		if all := d.read(); strings.Contains(all, fmt.Sprintf("e%d 1", maxChips)) || width > 40 && !strings.Contains(all, "e49 1") {
			t.Errorf("width %d: wrong number of reactions: %s", width, all)
		}
	}
}
