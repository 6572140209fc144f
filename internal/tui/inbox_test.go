package tui

import (
	"testing"

	"kaban"
	"kaban/client"
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
	d.happens(roomStateEvent(wire.RoomState{Room: "ops", Kind: kaban.RoomPublic, Head: 2, Mentions: 1}))
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

// For an account the server decides what mentions it, and what it rings for. The message and
// its count come in any order.
func TestMentionsThatTheServerCounts(t *testing.T) {
	d := talking(t, 80, 16)
	d.keys("/join ops", "enter")
	state := wire.RoomState{Room: "ops", Kind: kaban.RoomPublic}
	d.states["ops"] = state
	d.joined("ops", 0)
	d.keys("alt+1")
	r := d.room("ops")
	mentions := func(what string, want, rings int) {
		t.Helper()
		if r.mention != want || len(d.raw) != rings {
			t.Errorf("%s: %d mentions, it rang %d times; want %d, %d", what, r.mention, len(d.raw), want, rings)
		}
	}
	counts := func(head uint64, n int) {
		state.Head, state.Mentions = head, n
		d.happens(roomStateEvent(state))
	}
	d.says("ops", "ben", "@everyone, hi")
	mentions("ben may not mention everyone", 0, 0)
	counts(1, 0)
	mentions("the server counts none", 0, 0)
	d.says("ops", "ben", "@ann, hi")
	mentions("before the server has counted", 0, 0)
	counts(2, 1)
	mentions("a mention", 1, 1)
	counts(2, 1)
	mentions("the same count", 1, 1)
	counts(3, 2)
	mentions("a count without its message", 2, 1)
	d.says("ops", "ben", "@ann?")
	mentions("a message after its count", 2, 2)
	d.says("ops", "ben", "@here")
	mentions("ann was not here", 2, 2)

	// After a reconnection the rooms have what has come meanwhile.
	state.Head, state.Mentions = 4, 3
	d.happens(meEvent{me: client.Me{Account: *d.account, Rooms: []wire.RoomState{state}}})
	mentions("after a reconnection", 3, 3)

	// A room that is looked at has none, whatever the server counts.
	d.keys("alt+2")
	counts(4, 3)
	mentions("a room that is seen", 0, 3)
	// The server does not know yet what was read.
	d.keys("alt+1")
	d.says("ops", "ben", "@ann!")
	counts(5, 4)
	mentions("a count of what was read", 0, 3)
	state.Read = 4
	counts(5, 1)
	mentions("a new count", 1, 4)

	// A visitor counts itself.
	d.states = nil
	d.says("ops", "ben", "@all")
	mentions("a visitor", 2, 5)
}
