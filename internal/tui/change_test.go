package tui

import (
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// Each change has its line; one of a later version has none.
func TestChangesAreDescribed(t *testing.T) {
	until := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).UnixMilli()
	member := func(change string) wire.Change {
		return wire.Change{Type: wire.TypeMember, Username: "ann", Subject: "ben", Change: change}
	}
	because := member("kicked")
	because.Reason = "spam"
	role := func(r kaban.RoomRole) wire.Change {
		c := member("role")
		c.Role = r
		return c
	}
	banned := member("banned")
	banned.Until = until
	room := func(c wire.Change) wire.Change {
		c.Type, c.Username, c.Change = wire.TypeRoom, "ann", "set"
		return c
	}
	created := room(wire.Change{Kind: kaban.RoomPrivate, Flags: kaban.FlagLocked, HasFlags: true})
	created.Change = "created"
	direct := created
	direct.Kind = kaban.RoomDirect
	for _, c := range []struct {
		change wire.Change
		want   string
	}{
		{member("joined"), "ben joined"},
		{member("invited"), "ann invited ben"},
		{member("left"), "ben left"},
		{because, "ann removed ben: spam"},
		{member("banned"), "ann banned ben"},
		{banned, "ann banned ben until 30 Nov 2026 12:00 UTC"},
		{member("unbanned"), "ann lifted the ban of ben"},
		{member("muted"), "ann muted ben"},
		{member("unmuted"), "ann let ben speak again"},
		{role(kaban.RoomRoleOp), "ann made ben an op"},
		{role(kaban.RoomRoleSpeaker), "ann made ben a speaker"},
		{role(kaban.RoomRoleMember), "ann made ben a member"},
		{member("promoted"), ""},
		{wire.Change{Type: wire.TypeTopic, Username: "ann", Topic: "tea"}, "ann changed the topic: tea"},
		{wire.Change{Type: wire.TypeTopic, Username: "ann"}, "ann removed the topic"},
		{created, "ann created this room"},
		{direct, "ann began this conversation"},
		{room(wire.Change{Kind: kaban.RoomPrivate}), "ann made this room private"},
		{room(wire.Change{Flags: kaban.FlagAnnounce | kaban.FlagLocked, HasFlags: true}), "ann made this room announce and locked"},
		{room(wire.Change{HasFlags: true, History: wire.HistoryJoined}), "ann removed the flags of this room, closed the history to later members"},
		{room(wire.Change{Archived: true, HasArchived: true}), "ann archived this room"},
		{room(wire.Change{HasArchived: true, History: wire.HistoryAll}), "ann opened the history to later members, took this room out of the archive"},
		{room(wire.Change{}), ""},
		{wire.Change{Type: wire.TypeRoom, Username: "ann", Change: "moved"}, ""},
	} {
		if got := Describe(&c.change); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.change, got, c.want)
		}
	}
}

// A change is a quiet line in its place, which is not unread and rings no bell.
func TestChangesAreQuiet(t *testing.T) {
	for _, width := range []int{80, 40} {
		d := newDesk(t, width, 20)
		d.says("lobby", "ben", "hello")
		topic := client.Entry{Seq: 2, Change: &wire.Change{Type: wire.TypeTopic, Seq: 2, Username: "ben", Topic: "tea \x1b[2J@ann", Time: noon}}
		d.happens(entryEvent{room: "lobby", entry: topic, head: 2})
		d.says("lobby", "ben", "more")
		d.shows("ben changed the topic: tea")
		if strings.Contains(d.screen(), "\x1b[2J") {
			t.Error("a control sequence is on the screen")
		}
		r := d.active
		d.keys("ctrl+k", "o", "p", "s", "enter") // away from the lobby
		later := client.Entry{Seq: 4, Change: &wire.Change{Type: wire.TypeMember, Seq: 4, Username: "ben", Subject: "ann", Change: "muted", Time: noon}}
		d.happens(entryEvent{room: "lobby", entry: later, head: 4})
		if r.unread() != 0 || r.mention != 0 || r.head != 4 {
			t.Errorf("%d are unread, %d of them mentions, of %d; want none of 4", r.unread(), r.mention, r.head)
		}
	}
}
