package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// talking is a room with two messages of ben and one of ann, which is the newest.
func talking(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	d.says("lobby", "ben", "shall we deploy today?")
	d.says("lobby", "ben", "or on Monday")
	d.keys("today is fien", "enter")
	d.happens(sentEvent{room: "lobby", number: d.number, receipt: client.Receipt{Seq: 3, Time: noon.Add(3 * time.Second)}})
	d.account = &wire.Account{Username: "ann", Role: kaban.RoleMember}
	d.states = map[string]wire.RoomState{"lobby": {Room: "lobby", Kind: kaban.RoomPublic}}
	d.back.calls = nil
	return d
}

// stores plays that the server stores the last change that was asked for.
func (d *desk) stores(seq uint64) {
	d.t.Helper()
	d.happens(alteredEvent{room: "lobby", number: d.number, receipt: client.Receipt{Seq: seq, Time: noon.Add(time.Minute)}})
}

// refuses plays that the server refuses it.
func (d *desk) refuses(code wire.Code, text string) {
	d.t.Helper()
	d.happens(alteredEvent{room: "lobby", number: d.number, err: &client.Error{Code: code, Text: text}})
}

func (d *desk) asks(want string) {
	d.t.Helper()
	word, _, _ := strings.Cut(want, " ")
	if got := d.back.last(word); got != want {
		d.t.Errorf("it asks for %q, want %q", got, want)
	}
}

func TestGoldenSelection(t *testing.T) {
	for name, do := range map[string]func(*desk){
		"selected": func(d *desk) { d.keys("alt+s", "up") },
		"editing":  func(d *desk) { d.keys("alt+s", "e") },
		"replying": func(d *desk) { d.keys("alt+s", "up", "r", "why ", "not?") },
		"reacting": func(d *desk) { d.keys("alt+s", "up", "+", "thumbs") },
		"deleting": func(d *desk) { d.keys("alt+s", "d") },
		"under-way": func(d *desk) {
			d.keys("/edit today is fine", "enter", "/react #2 :tada:", "enter", "/pin #2", "enter", "/reply #1 yes", "enter")
		},
		"refused-change": func(d *desk) {
			d.keys("/react #2 🎉", "enter")
			d.refuses(wire.CodeForbidden, "you may only read here")
		},
	} {
		for suffix, width := range map[string]int{"": 80, "-narrow": 40} {
			t.Run(name+suffix, func(t *testing.T) {
				d := talking(t, width, 16)
				do(d)
				golden(t, name+suffix, trim(d.screen()))
			})
		}
	}
}

func TestEditingMessages(t *testing.T) {
	d := talking(t, 80, 16)
	d.keys("a draft", "alt+s", "e")
	d.typed("today is fien")
	d.keys("esc")
	d.typed("a draft")
	d.shows("the message stays as it was")
	if got := d.back.last("alter"); got != "" {
		t.Errorf("it asks for %q", got)
	}
	d.back.calls = nil
	d.keys("alt+s", "e", "x", "esc")
	if got := d.back.last("typing"); got != "" {
		t.Error("an edit is shown to others as typing")
	}
	d.keys("ctrl+u", "alt+s", "e", "backspace", "backspace", "ne", "enter")
	d.typed("")
	d.asks(`alter lobby 2 edit 3 "today is fine" "" "" false 3`)
	d.shows("today is fine (edited …)")
	// Another edit before the first is stored has no base that is known.
	d.keys("/edit", "enter", ", or tomorrow", "enter")
	d.asks(`alter lobby 3 edit 3 "today is fine, or tomorrow" "" "" false 0`)
	d.shows("today is fine, or tomorrow (edited …)")
	d.happens(alteredEvent{room: "lobby", number: 2, receipt: client.Receipt{Seq: 4, Time: noon}})
	d.shows("today is fine, or tomorrow (edited …)")
	d.stores(5)
	d.shows("today is fine, or tomorrow (edited)")
	if r := d.active; r.unread() != 0 || r.head != 5 || len(r.altering) > 0 {
		t.Errorf("%d are unread of %d, %d changes are under way", r.unread(), r.head, len(r.altering))
	}
	d.keys("/edit", "enter", "enter")
	d.shows("nothing has changed")
	d.keys("/edit", "enter", "ctrl+u", "enter")
	d.shows("not edited: ")
	d.keys("esc", "/edit #3 /me deploys", "enter")
	d.asks(`alter lobby 4 edit 3 "/me deploys" "" "" false 5`)
	d.stores(6)
	d.shows("*  ann deploys (edited)")
	d.keys("/edit", "enter")
	d.typed("/me deploys")
	d.keys("ctrl+c")
	d.typed("")
	// What is not one's own is not edited.
	d.back.calls = nil
	d.keys("/edit #1 no", "enter")
	d.shows("you can edit only your own messages")
	d.keys("alt+s", "up", "e")
	d.shows("you can edit only your own messages")
	d.keys("/edit #77 no", "enter")
	d.shows("there is no message #77")
	if len(d.back.calls) > 0 {
		t.Errorf("it asks for %q", d.back.calls)
	}
}

// Refused edits come back, and say why.
func TestRefusedEdits(t *testing.T) {
	d := talking(t, 160, 20)
	d.keys("/edit changed", "enter")
	d.refuses(wire.CodeEditConflict, "it was edited")
	d.shows("today is fien")
	d.shows("it was edited elsewhere meanwhile")
	d.typed("changed")
	d.keys("enter")
	d.asks(`alter lobby 3 edit 3 "changed" "" "" false 0`)
	d.keys("typing")
	d.refuses(wire.CodeGone, "it was deleted")
	d.typed("typing")
	d.shows("not edited (#3): it was deleted")
	d.keys("ctrl+u", "up")
	d.typed("changed")
	d.keys("ctrl+u", "/edit again", "enter")
	d.happens(alteredEvent{room: "lobby", number: d.number, err: errors.New("the client has ended")})
	d.shows("It may or may not have been stored")
}

func TestReplying(t *testing.T) {
	d := talking(t, 80, 20)
	d.keys("alt+s", "up", "up", "r", "yes", "enter")
	d.asks(`reply lobby 2 to 1 "yes"`)
	d.shows("┌ ben: shall we deploy today?")
	d.happens(sentEvent{room: "lobby", number: 2, receipt: client.Receipt{Seq: 4, Time: noon}})
	d.shows("┌ ben: shall we deploy today?")
	d.keys("next", "enter")
	d.asks(`post lobby 3 "next"`)
	d.keys("/reply", "enter")
	if d.active.replying != 2 {
		t.Errorf("replying to %d, want 2, the last of another", d.active.replying)
	}
	d.keys("esc", "no answer", "enter")
	d.asks(`post lobby 4 "no answer"`)
	// A refused answer comes back as one.
	d.keys("/reply #1 why?", "enter")
	d.happens(sentEvent{room: "lobby", number: 5, err: &client.Error{Code: wire.CodeForbidden, Text: "no"}})
	d.typed("why?")
	if d.active.replying != 1 {
		t.Errorf("the text that came back answers %d, want 1", d.active.replying)
	}
}

func TestReacting(t *testing.T) {
	d := talking(t, 80, 20)
	d.keys("alt+s", "up", "+", "tada", "enter")
	d.asks(`alter lobby 2 react 2 "" "🎉" "" true 0`)
	d.shows("[🎉 1]  …")
	d.changes("lobby", "ann", reacted(2, "🎉", true)) // known before its receipt
	d.shows("[🎉 1]  …")
	d.stores(4)
	d.shows("[🎉 1]")
	d.hides("…")
	d.changes("lobby", "ben", reacted(2, "🎉", true))
	d.shows("[🎉 2]")
	for n, keys := range [][]string{
		{"alt+s", "up", "+", "🎉", "enter"}, {"/react :tada:", "enter"}, {"/react #2 tada", "enter"}, {"alt+s", "up", "+", "tad", "tab", "enter"},
	} {
		d.keys(keys...)
		on := n%2 == 1
		d.asks(fmt.Sprintf(`alter lobby %d react 2 "" "🎉" "" %v 0`, d.number, on))
		d.shows(map[bool]string{true: "[🎉 2]", false: " 🎉 1"}[on])
		d.stores(d.active.head + 1)
		d.shows(map[bool]string{true: "[🎉 2]", false: " 🎉 1"}[on])
	}
	d.keys("/react 👍", "enter")
	d.shows("[👍 1]")
	d.refuses(wire.CodeTooManyReactions, "there are too many")
	d.hides("[👍 1]")
	d.shows("no reaction (#2): there are too many")
	d.back.calls = nil
	d.keys("/react hello", "enter")
	d.shows("is not an emoji")
	d.keys("alt+s", "+", "zzzz", "enter")
	d.shows("is not an emoji")
	d.keys("esc", "esc", "/react #2 :thumbs_u", "tab")
	d.typed("/react #2 👍")
	if len(d.back.calls) > 0 {
		t.Errorf("it asks for %q", d.back.calls)
	}
	// What changed nothing has the seq of the past, perhaps before the window.
	d = newDesk(t, 80, 20)
	d.joined("lobby", 1000)
	r := d.active
	before := r.all()
	d.keys("/react #900 tada", "enter")
	d.asks(`alter lobby 1 react 900 "" "🎉" "" true 0`)
	d.happens(alteredEvent{room: "lobby", number: d.number, receipt: client.Receipt{Seq: 1, Duplicate: true}})
	if r.all() != before || r.unread() != 0 {
		t.Errorf("the window has %d items, want %d; %d are unread", r.all(), before, r.unread())
	}
}

func TestDeleting(t *testing.T) {
	d := talking(t, 80, 20)
	d.keys("alt+s", "d")
	d.shows("Delete ann: today is fien? (y/n)")
	d.keys("n")
	if len(d.back.calls) > 0 {
		t.Errorf("it asks for %q", d.back.calls)
	}
	d.keys("/delete a typo", "enter", "y")
	d.asks(`alter lobby 2 delete 3 "" "" "a typo" false 0`)
	d.shows("(deleted …)")
	d.hides("today is fien")
	d.refuses(wire.CodeForbidden, "not here")
	d.shows("today is fien")
	d.shows("not deleted (#3): not here")
	d.keys("alt+s", "d", "y")
	d.stores(4)
	d.shows("(deleted)")
	d.back.calls = nil
	d.keys("alt+s") // the deleted one cannot be selected
	if d.selected != 2 {
		t.Errorf("%d is selected, want 2", d.selected)
	}
	d.keys("d")
	d.shows("you can delete only your own messages")
	d.keys("/delete", "enter")
	d.shows("there is no such message here")
	if len(d.back.calls) > 0 {
		t.Errorf("it asks for %q", d.back.calls)
	}
}

func TestPinningAndCopying(t *testing.T) {
	d := talking(t, 80, 20)
	d.keys("alt+s", "up", "p")
	d.asks(`alter lobby 2 pin 2 "" "" "" true 0`)
	d.stores(4)
	d.shows("pinned")
	d.keys("/pin #2", "enter")
	d.asks(`alter lobby 3 pin 2 "" "" "" false 0`)
	d.stores(5)
	d.hides("pinned")
	d = talking(t, 80, 20)
	d.account = nil // visitors do not pin
	d.keys("alt+s", "p")
	d.shows("you may not pin messages in this room")
	d.keys("/pin", "enter")
	d.shows("/pin: you may not pin messages in this room")
	if len(d.back.calls) > 0 {
		t.Errorf("it asks for %q", d.back.calls)
	}
	d.keys("alt+s", "up", "up", "y")
	if want := []string{"shall we deploy today?"}; !slices.Equal(d.raw, want) {
		t.Errorf("copied %q, want %q", d.raw, want)
	}
}

func TestSelecting(t *testing.T) {
	d := newDesk(t, 60, 12)
	d.joined("lobby", 300)
	d.keys("alt+s")
	for want := uint64(300); want > 100; want-- {
		if d.selected != want {
			t.Fatalf("%d is selected, want %d", d.selected, want)
		}
		d.shows(fmt.Sprintf("#%d: r reply", want))
		if !strings.Contains(d.screen(), "▸") {
			t.Fatalf("%d is not on the screen:\n%s", want, d.screen())
		}
		d.keys("up")
	}
	if d.back.last("load lobby {Before:101") == "" {
		t.Error("older messages are not loaded")
	}
	d.keys("down", "down")
	if d.selected != 103 {
		t.Errorf("%d is selected, want 103", d.selected)
	}
	d.typed("")
	d.keys("x", "z") // are no keys here, and do not go into the input
	d.send(tea.PasteMsg{Content: "rm"})
	d.shows("not pasted")
	d.typed("")
	d.changes("lobby", "cid", deleted(103))
	d.keys("r")
	d.shows("the selected message is gone")
	d.keys("esc", "ctrl+f", "message 290", "alt+s")
	if d.selected != 290 || d.mode != selecting {
		t.Errorf("%d is selected, want 290, which was found", d.selected)
	}
	d.keys("/join ops", "enter", "esc")
	d.keys("alt+s", "ctrl+k", "ops", "enter")
	if d.mode != chatting {
		t.Error("something is selected in another room")
	}
	d.keys("alt+s")
	d.shows("there is no message to select")
	for _, e := range []event{openedEvent{room: "kitchen"}, failedEvent{room: "lobby", err: client.ErrJoined}} {
		d.enter(d.room("lobby"))
		d.keys("alt+s")
		if d.mode != selecting {
			t.Fatal("nothing is selected")
		}
		if d.happens(e); d.mode != chatting {
			t.Errorf("after %T something is selected in another room", e)
		}
	}
	last := talking(t, 80, 12)
	last.keys("alt+s")
	if last.happens(failedEvent{room: "lobby", err: client.ErrJoined}); last.mode != chatting {
		t.Error("something is selected where no room is open")
	}
	empty := offlineDesk(t, 80, 12, Options{Config: Config{Server: "chat.example:6440", Username: "ann"}})
	empty.keys("/part lobby", "enter", "alt+s", "/react x", "enter", "/pins", "enter")
	empty.screen()
}

// Nothing that somebody has said gets to the terminal by way of a selection.
func TestHostileSelection(t *testing.T) {
	d := newDesk(t, 80, 20)
	d.says("lobby", "b\x1b[31men", "\x1b[2J\u202eevil\a")
	for _, keys := range [][]string{{"/pin", "enter"}, {"/pins", "enter"}, {"alt+s", "r"}, {"esc", "alt+s", "+"}, {"esc", "esc"}} {
		d.keys(keys...)
		content, _, _ := d.render()
		for _, bad := range []string{"\x1b[2J", "\u202e", "\a"} {
			if strings.Contains(content, bad) {
				t.Errorf("after %v the screen has %q", keys, bad)
			}
		}
	}
}

// Only Esc and Ctrl-C end a reply: going to the newest message does not.
func TestTheNewestMessageEndsNoReply(t *testing.T) {
	d := talking(t, 80, 16)
	d.keys("alt+s", "up", "r", "why not?", "ctrl+end", "alt+>")
	d.shows("reply> why not?")
	d.keys("esc")
	d.hides("reply>")
	d.typed("why not?")
	d = talking(t, 80, 16)
	d.keys("alt+s", "e", "ctrl+end")
	d.shows("edit> today is fien")
}

// With another epoch the numbers are those of other messages.
func TestAnotherEpochEndsWhatIsWrittenAboutAMessage(t *testing.T) {
	for name, again := range map[string][]event{
		"continued": {resyncEvent{room: "lobby", err: errors.New("the log was replaced"), cursor: client.Cursor{Epoch: "f", Seq: 9}}},
		"joined": {
			failedEvent{room: "lobby", err: errors.New("lost")},
			joinedEvent{asked: "lobby", room: "lobby", cursor: client.Cursor{Epoch: "f", Seq: 9}, head: 9},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := talking(t, 120, 16)
			d.keys("alt+s", "up", "r", "why not?")
			d.happens(again...)
			d.shows("the message that you were answering is gone")
			d.hides("reply>")
			d.typed("why not?")
			d.keys("enter")
			d.asks(`post lobby 2 "why not?"`)
			d = talking(t, 120, 16)
			d.keys("draft", "alt+s", "e", ", or so")
			d.happens(again...)
			d.shows("the message that you were editing is gone")
			d.typed("draft")
			d.keys("ctrl+u", "up")
			d.typed("today is fien, or so")
			if len(d.active.items) > 3 || d.active.epoch != "f" {
				t.Errorf("the room has %d items of epoch %s", len(d.active.items), d.active.epoch)
			}
		})
	}
	// The same epoch, somewhere else in it: the message is there.
	d := talking(t, 120, 16)
	d.keys("alt+s", "up", "r", "why not?")
	d.happens(resyncEvent{room: "lobby", err: errors.New("too far behind"), cursor: client.Cursor{Epoch: "e", Seq: 900}})
	d.shows("reply> why not?")
}

// A room that was lost and is joined again shows no messages with a gap between them.
func TestARoomThatIsJoinedAgainHasNoGap(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("lobby", 5)
	d.happens(failedEvent{room: "lobby", err: errors.New("lost")})
	d.joined("lobby", 400)
	r := d.active
	for k := 1; k < len(r.items); k++ {
		if r.items[k].isEntry() && r.items[k-1].isEntry() && r.items[k].begin() != r.items[k-1].seq+1 {
			t.Fatalf("after %d comes %d", r.items[k-1].seq, r.items[k].begin())
		}
	}
	if r.last() != 400 || r.loading {
		t.Errorf("the window ends with %d of 400", r.last())
	}
}

// A window that cannot be loaded again is asked for less and less often, and one line says so.
func TestAStaleRoomDoesNotAskForEver(t *testing.T) {
	d := newDesk(t, 80, 20)
	now := noon
	d.now = func() time.Time { return now }
	d.joined("lobby", 30)
	d.back.calls = nil
	asks := func(seconds int) (n int) {
		for range seconds {
			now = now.Add(time.Second)
			d.Update(ticked(now))
			if d.back.last("load") != "" {
				d.back.calls = nil
				d.happens(pageEvent{room: "lobby", page: page{Around: true}, err: errors.New("no disk")})
				n++
			}
		}
		return n
	}
	d.happens(messageEvent{room: "lobby", message: wire.Message{Seq: 50, Username: "ben", Content: "far", Time: noon}, asOf: 90, head: 90})
	if n := asks(60); n < 3 || n > 6 {
		t.Errorf("it asks %d times in a minute", n)
	}
	if n := asks(1200); n < 5 || n > 12 {
		t.Errorf("it asks %d times in 20 minutes", n)
	}
	if n := strings.Count(d.screen(), "the history could not be loaded"); n != 1 {
		t.Errorf("it says so %d times", n)
	}
	now = now.Add(lastRetry)
	d.Update(ticked(now))
	d.happens(pageEvent{room: "lobby", page: page{Around: true}, got: client.HistoryPage{Entries: []client.Entry{{Seq: 90, AsOf: 95, Message: &wire.Message{Seq: 90, Username: "ben", Content: "at last", Time: noon}}}, First: 90, Last: 90, AsOf: 95}})
	if r := d.active; r.stale != 0 || r.failures != 0 {
		t.Errorf("it is stale as of %d, after %d failures", r.stale, r.failures)
	}
	d.shows("at last")
}
