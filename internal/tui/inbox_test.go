package tui

import (
	"testing"

	"kaban"
	"kaban/wire"
)

// caught is an account's client with mentions in ops and lobby and news in kitchen. The inbox
// is open.
func caught(t *testing.T) *desk {
	t.Helper()
	d := talking(t, 80, 16)
	for _, room := range []string{"ops", "kitchen"} {
		d.keys("/join "+room, "enter")
		d.joined(room, 0)
		d.states[room] = wire.RoomState{Room: room, Kind: kaban.RoomPublic}
	}
	d.keys("alt+1")
	d.says("ops", "ben", "@ann: look")
	d.says("ops", "ben", "never mind")
	d.says("kitchen", "cid", "cake")
	d.keys("/inbox", "enter")
	d.asks("inbox 1 0")
	d.happens(mentionsEvent{number: 1, hits: []wire.Hit{hit("ops", 1, "ben", "@ann: look"), hit("attic", 9, "dot", "@ann, the roof")}})
	d.back.calls = nil
	return d
}

func TestCatchingUp(t *testing.T) {
	d := caught(t)
	golden(t, "inbox", trim(d.screen()))
	d.shows("2 mentions, 2 rooms with news; r reads and goes on")
	// Reading a mention reads its room up to it.
	d.keys("r")
	d.asks("read ops 1")
	d.hides("look")
	d.shows("ops  1 new")
	if r := d.room("ops"); r.unread() != 1 || r.mention != 0 {
		t.Errorf("%d are unread, %d mentions", r.unread(), r.mention)
	}
	d.keys("r")
	d.asks("read attic 9") // a room that is not open
	d.keys("r")
	d.asks("read ops 2")
	d.shows("▸ kitchen  1 new")
	d.keys(" ")
	d.asks("read kitchen 1")
	d.shows("nothing is unread")
	d.keys("r", "enter", "esc")
	d.typed("")
	d.hides("inbox")
}

func TestOpeningFromTheInbox(t *testing.T) {
	d := caught(t)
	d.keys("enter")
	if d.active.name != "ops" || d.mode != selecting || d.selected != 1 {
		t.Errorf("%d of %s is selected, want 1 of ops", d.selected, d.active.name)
	}
	d = caught(t)
	d.keys("down", "down", "down", "enter")
	d.shows("─ new ─")
	d.shows("cake")
	if d.active.name != "kitchen" {
		t.Errorf("%s is open, want the kitchen", d.active.name)
	}
	// A draft stays where it was.
	d.keys("a draft", "alt+i")
	d.asks("inbox 2 0")
	d.keys("esc")
	d.typed("a draft")
	d.account = nil
	d.keys("alt+i")
	d.shows("only accounts can do that")
}

// The server's count of mentions is that of the list, also of those before the client began.
func TestMentionsOfBefore(t *testing.T) {
	d := talking(t, 80, 16)
	d.keys("/join ops", "enter")
	d.states["ops"] = wire.RoomState{Room: "ops", Kind: kaban.RoomPublic, Read: 3, Mentions: 2}
	d.joined("ops", 7)
	d.keys("alt+1")
	state := wire.RoomState{Room: "ops", Kind: kaban.RoomPublic, Read: 7, Mentions: 2}
	d.says("ops", "ben", "x")
	d.happens(roomStateEvent(state))
	if got := d.room("ops").mention; got != 2 {
		t.Errorf("%d mentions, want 2", got)
	}
	state.Read, state.Mentions = 8, 0
	d.happens(roomStateEvent(state))
	if got := d.room("ops").mention; got != 0 {
		t.Errorf("%d mentions after reading elsewhere, want 0", got)
	}
}
