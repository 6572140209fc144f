package tui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	"kaban/wire"
)

// stateOf returns the state of a room for a member.
func stateOf(room string, kind kaban.RoomKind, role kaban.RoomRole, head, read uint64) wire.RoomState {
	return wire.RoomState{Room: room, Kind: kind, Role: role, Head: head, Read: read, Unread: int(head - read), Notify: kaban.NotifyAll}
}

// newMember returns a client that is signed in as ann and has been told her rooms.
func newMember(t *testing.T, role kaban.Role, states ...wire.RoomState) *desk {
	t.Helper()
	d := offlineDesk(t, 120, 16, Options{
		Config: Config{Server: "chat.example:6440", Username: "ann"},
		Token:  func(string) (wire.Secret, error) { return "a token", nil },
	})
	account := wire.Account{Username: "ann", Name: "Ann", Role: role}
	d.happens(stateEvent{link: online, username: "ann", server: "kaban/test", limit: kaban.DefaultMaxContent, account: &account}, stateEvent{link: online})
	if !slices.Contains(d.back.calls, "me") {
		t.Fatalf("nobody asked for the rooms: %q", d.back.calls)
	}
	if join := d.back.last("join"); join != "" {
		t.Fatalf("%q before the rooms are known", join)
	}
	d.happens(meEvent{me: client.Me{Account: account, Rooms: states}})
	for _, s := range states {
		d.joined(s.Room, s.Head)
	}
	d.happens(stateEvent{link: online})
	return d
}

// The rooms of an account are there with what is unread, whatever device read them.
func TestRoomsOfAnAccount(t *testing.T) {
	direct := stateOf("@mfzwizltoq4tqmjqgezdgnbvgy", kaban.RoomDirect, kaban.RoomRoleMember, 7, 5)
	direct.Title = "ben, cid"
	plans := stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 30, 10)
	plans.Topic = "the next release"
	d := newMember(t, kaban.RoleMember, direct, plans, stateOf("lobby", kaban.RoomPublic, kaban.RoomRoleMember, 0, 0))
	d.shows("ben, cid")
	d.hides("@mfzwizlto")
	d.enter(d.room(direct.Room))
	r := d.room("plans")
	if r.unread() != 20 || !r.marked || r.mark != 10 {
		t.Errorf("%d are unread, marked %v at %d; want 20 at 10", r.unread(), r.marked, r.mark)
	}
	d.keys("ctrl+n")
	d.enter(r)
	d.shows("plans")
	d.shows("the next release")

	d.back.calls = nil
	d.send(ticked(noon))
	d.report() // there is nothing new
	if got := slices.DeleteFunc(slices.Clone(d.back.calls), func(c string) bool { return !strings.HasPrefix(c, "read") }); !slices.Equal(got, []string{"read @mfzwizltoq4tqmjqgezdgnbvgy 7", "read plans 30"}) {
		t.Errorf("reported is %q", got)
	}
	d.says("plans", "ben", "more")
	d.enter(d.room(direct.Room))
	d.says("plans", "ben", "and more")
	if r.unread() != 1 {
		t.Errorf("%d are unread, want 1", r.unread())
	}
	plans.Read, plans.Topic = 32, "another topic"
	d.happens(roomStateEvent(plans))
	if r.unread() != 0 {
		t.Errorf("%d are unread after another device has read them", r.unread())
	}

	// Somebody else begins: the room appears, and nothing else changes.
	d.happens(roomStateEvent(stateOf("secret", kaban.RoomPrivate, kaban.RoomRoleMember, 1, 0)))
	if d.back.last("join") != "join secret" || d.active.name != direct.Room {
		t.Errorf("%q, in %s", d.back.last("join"), d.active.name)
	}
	d.happens(presenceEvent{Room: "plans", Members: 2, Joined: []string{"ben"}})
	d.happens(roomStateEvent(wire.RoomState{Room: "plans", Gone: true}), failedEvent{room: "plans", err: &client.RemovedError{Room: "plans", Reason: wire.RemovalKicked}})
	d.enter(r)
	d.shows("you were removed from plans; /join plans takes you back")
	if r.count != 0 || len(r.members) != 0 {
		t.Errorf("after the removal, %d members are shown: %v", r.count, r.members)
	}
	d.happens(failedEvent{room: "plans", err: &client.Error{Code: wire.CodeRoomTaken, Text: "the name of the room is in use; choose another"}})
	d.shows("you cannot join plans; somebody in it must invite you")
	d.happens(failedEvent{room: "plans", err: &client.RemovedError{Room: "plans", Reason: wire.RemovalBanned}})
	d.shows("you were banned from plans; only an op there can lift the ban")
	if _, ok := d.activeState(); ok {
		t.Error("the state of a room is kept that the account is not in any more")
	}

	// Somebody invites again: the room is joined, once.
	d.back.calls = nil
	for range 2 {
		d.happens(roomStateEvent(stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleMember, 40, 40)))
	}
	joins := slices.DeleteFunc(slices.Clone(d.back.calls), func(c string) bool { return c != "join plans" })
	if len(joins) != 1 || r.failed != "" {
		t.Errorf("after an invitation: %q, %q", d.back.calls, r.failed)
	}
}

// Private and direct rooms have a mark, and are found by their titles.
func TestMarksOfRooms(t *testing.T) {
	direct := stateOf("@mfzwizltoq4tqmjqgezdgnbvgy", kaban.RoomDirect, kaban.RoomRoleMember, 7, 7)
	direct.Title = "ben, cid"
	untitled := stateOf("@aaawizltoq4tqmjqgezdgnbvgy", kaban.RoomDirect, kaban.RoomRoleMember, 1, 1)
	d := newMember(t, kaban.RoleMember, stateOf("lobby", kaban.RoomPublic, 1, 3, 3), stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 3, 3), direct, untitled)
	for _, text := range []string{"▸ lobby ", "2 ~plans ", "3 @ben, cid ", "4 @aaawiz"} {
		d.shows(text)
	}
	d.hides("@@")
	d.hides("@mfz")
	d.happens(roomsEvent{rooms: []wire.RoomInfo{{Room: "plans"}, {Room: "lobby"}}, asked: true})
	d.shows("  ~plans (")
	d.shows("  lobby (")
	for _, query := range []string{"@ben", "cid", "bc"} {
		d.keys("ctrl+k", query)
		d.shows("▸ @ben, cid")
		d.keys("enter")
		if d.active.name != direct.Room {
			t.Errorf("%q leads to %s", query, d.active.name)
		}
		d.shows(" @ben, cid")
		d.keys("ctrl+k", "~plans")
		d.shows("▸ ~plans")
		d.keys("enter")
		if d.active.name != "plans" {
			t.Errorf("~plans leads to %s", d.active.name)
		}
	}
	d.keys("/join @ben, cid", "enter")
	if d.active.name != direct.Room {
		t.Errorf("/join @ben, cid leads to %s", d.active.name)
	}
	d.keys("/part ~plans", "enter")
	if d.room("plans") != nil {
		t.Error("/part ~plans leaves nothing")
	}
}

// One's own first message in a new direct room is not new to oneself.
func TestOwnMessageIsNotNew(t *testing.T) {
	d := newMember(t, kaban.RoleMember, stateOf("lobby", kaban.RoomPublic, 1, 3, 3))
	d.happens(roomStateEvent(stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 2, 0)))
	r := d.room("plans")
	entries := []client.Entry{
		{Seq: 1, Time: noon, Change: &wire.Change{Type: wire.TypeRoom, Change: "created", Username: "ann", Kind: kaban.RoomPrivate, Seq: 1, Time: noon}},
		{Seq: 2, Time: noon, Message: &wire.Message{Seq: 2, ID: "2", Username: "ann", Content: "hello", Time: noon}},
	}
	d.happens(
		joinedEvent{asked: r.name, room: r.name, cursor: client.Cursor{Epoch: "e", Seq: 2}, head: 2},
		pageEvent{room: r.name, page: page{Before: 3, HasBefore: true}, got: client.HistoryPage{Entries: entries, First: 1, Last: 2}},
	)
	d.enter(r)
	d.shows("hello")
	d.hides("─ new ─")
	d.enter(d.room("lobby"))
	d.says("plans", "ben", "hi")
	if r.unread() != 1 {
		t.Errorf("%d are unread, want 1", r.unread())
	}
	d.enter(r)
	d.shows("─ new ─")
}

// The rooms of the last time are opened where the account is still in them.
func TestRememberedRoomsOfAnAccount(t *testing.T) {
	d := offlineDesk(t, 80, 16, Options{
		Config: Config{Server: "chat.example:6440", Username: "ann"},
		Token:  func(string) (wire.Secret, error) { return "a token", nil },
	})
	d.remembered = []place{{room: "zoo"}, {room: "gone"}, {room: "lobby"}}
	account := wire.Account{Username: "ann", Role: kaban.RoleMember}
	d.happens(stateEvent{link: online, username: "ann", limit: 9, account: &account})
	d.happens(meEvent{me: client.Me{Account: account, Rooms: []wire.RoomState{stateOf("lobby", kaban.RoomPublic, 1, 0, 0), stateOf("plans", kaban.RoomPublic, 1, 0, 0), stateOf("zoo", kaban.RoomPublic, 1, 0, 0)}}})
	var names []string
	for _, r := range d.rooms {
		names = append(names, r.name)
	}
	if want := []string{"zoo", "lobby", "plans"}; !slices.Equal(names, want) || d.active.name != "zoo" {
		t.Errorf("the rooms are %q, want %q", names, want)
	}
}

// A start opens the room that was open at last, and the first one the lobby; direct rooms come
// last, although their names sort first.
func TestTheFirstRoomOfAnAccount(t *testing.T) {
	direct := stateOf("@mfzwizltoq4tqmjqgezdgnbvgy", kaban.RoomDirect, kaban.RoomRoleMember, 1, 1)
	lobby, zoo := stateOf("lobby", kaban.RoomPublic, 1, 0, 0), stateOf("zoo", kaban.RoomPublic, 1, 0, 0)
	for _, c := range []struct {
		remembered []place
		states     []wire.RoomState
		want       string
	}{
		{nil, []wire.RoomState{direct, lobby, zoo}, "lobby"},
		{nil, []wire.RoomState{direct, zoo}, "zoo"},
		{nil, []wire.RoomState{direct}, direct.Room},
		{[]place{{room: "lobby"}, {room: direct.Room, last: true}}, []wire.RoomState{direct, lobby, zoo}, direct.Room},
		{[]place{{room: "zoo"}, {room: "gone", last: true}}, []wire.RoomState{direct, lobby, zoo}, "zoo"},
		{[]place{{room: "gone", last: true}}, []wire.RoomState{direct, lobby, zoo}, "lobby"},
	} {
		d := offlineDesk(t, 80, 16, Options{
			Config: Config{Server: "chat.example:6440", Username: "ann"},
			Token:  func(string) (wire.Secret, error) { return "a token", nil },
		})
		d.remembered = c.remembered
		account := wire.Account{Username: "ann", Role: kaban.RoleMember}
		d.happens(stateEvent{link: online, username: "ann", limit: 9, account: &account})
		d.happens(meEvent{me: client.Me{Account: account, Rooms: c.states}})
		if d.active == nil || d.active.name != c.want {
			t.Errorf("after %v, of %d rooms: %v is open, want %s", c.remembered, len(c.states), d.active, c.want)
		}
	}
}

// A webhook may show the name of anybody, and is taken for nobody.
func TestAWebhookWithThePersonsName(t *testing.T) {
	d := newMember(t, kaban.RoleMember, stateOf("plans", kaban.RoomPublic, kaban.RoomRoleMember, 0, 0))
	d.says("plans", "ann", "mine")
	m := wire.Message{Seq: 2, ID: "hook", Username: "ann", Bot: true, Content: "not mine", Time: noon}
	d.happens(entryEvent{room: "plans", entry: client.Entry{Seq: 2, Message: &m}})
	d.shows("ann (bot)  not mine")
	r := d.room("plans")
	if first, second := r.at(0), r.at(1); !first.own || second.own {
		t.Errorf("own: %t of the person, %t of the webhook", first.own, second.own)
	}
}

// What one may not do is not offered, and not asked of the server.
func TestOnlyWhatOneMay(t *testing.T) {
	private, public, direct := kaban.RoomPrivate, kaban.RoomPublic, kaban.RoomDirect
	member, op := kaban.RoomRoleMember, kaban.RoomRoleOp
	for _, c := range []struct {
		role  kaban.Role
		kind  kaban.RoomKind
		in    kaban.RoomRole
		flags kaban.RoomFlags
		want  string // of the commands kick, invite, topic x, create and msg
	}{
		{kaban.RoleGuest, private, member, 0, "msg"},
		{kaban.RoleGuest, private, op, 0, "kick invite topic msg"},
		{kaban.RoleMember, private, member, 0, "topic create msg"},
		{kaban.RoleMember, private, member, kaban.FlagLocked, "create msg"},
		{kaban.RoleMember, private, member, kaban.FlagAnnounce, "create msg"},
		{kaban.RoleMember, private, op, kaban.FlagLocked, "kick invite topic create msg"},
		{kaban.RoleMember, public, member, 0, "invite topic create msg"},
		{kaban.RoleMember, direct, member, 0, "topic create msg"},
		{kaban.RoleAdmin, public, member, kaban.FlagLocked, "kick invite topic create msg"},
		{kaban.RoleAdmin, private, member, kaban.FlagLocked, "create msg"},
		{kaban.RoleOwner, direct, member, 0, "topic create msg"},
	} {
		state := stateOf("plans", c.kind, c.in, 0, 0)
		state.Flags = c.flags
		d := newMember(t, c.role, state)
		var got []string
		for _, typed := range []string{"/kick ben", "/invite ben", "/topic x", "/create x", "/msg ben"} {
			d.back.calls = nil
			d.keys(typed, "enter", "esc")
			name := strings.Fields(typed[1:])[0]
			asked := d.back.last("change")+d.back.last("create")+d.back.last("direct") != ""
			offered := slices.Contains(d.commandNames(""), name)
			if name != "topic" && asked != offered { // reading the topic is offered to all
				t.Errorf("%s of %s with %v in a %s room: /%s is offered: %v, asked for: %v", c.role, c.in, c.flags.Texts(), c.kind, name, offered, asked)
			}
			if asked {
				got = append(got, name)
			}
			if name == "kick" && d.Model.draft().text != "" {
				t.Errorf("%s: %q stays in the input", c.role, d.Model.draft().text)
			}
			d.Model.draft().set("")
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s, %s with %v in a %s room may %q, want %q", c.role, c.in, c.flags.Texts(), c.kind, text, c.want)
		}
	}
}

// Each command asks the server for what it says, and shows what came of it.
func TestCommandsOfAMember(t *testing.T) {
	for _, c := range []struct{ typed, call, shows string }{
		{"/kick ben", "change plans ann removed ben", ""},
		{"/kick @ben too loud", "change plans ann removed ben: too loud", ""},
		{"/ban ben", "change plans ann banned ben", ""},
		{"/ban ben 90m", "change plans ann banned ben until 25 Nov 2026 13:30 UTC", ""},
		{"/ban ben 7d too loud", "change plans ann banned ben until 2 Dec 2026 12:00 UTC: too loud", ""},
		{"/ban ben too loud", "change plans ann banned ben: too loud", ""},
		{"/ban ben 2hours", "", `"2hours" is not a time`},
		{"/ban ben 5 times too loud", "", `"5" is not a time`},
		{"/ban ben 0d", "", `"0d" is not a time`},
		{"/ban ben -3h", "", `"-3h" is not a time; write 30m, 12h or 7d`},
		{"/ban ben -7d", "", `"-7d" is not a time`},
		{"/ban ben \u22123h too loud", "", "\"\u22123h\" is not a time"},
		{"/ban ben .5x", "", `".5x" is not a time`},
		{"/ban ben - too loud", "change plans ann banned ben: - too loud", ""},
		{"/ban ben 4000d", "", "at most 3650d"},
		{"/mute ben 7d", "change plans ann muted ben: 7d", ""},
		{"/set locked", "change plans ann made this room announce and locked", ""},
		{"/set LOCKED -announce", "change plans ann made this room locked", ""},
		{"/set -announce", "change plans ann removed the flags of this room", ""},
		{"/set history joined", "change plans ann closed the history to later members", ""},
		{"/set history all archived", "change plans ann opened the history to later members, archived this room", ""},
		{"/set -archived private", "change plans ann made this room private, took this room out of the archive", ""},
		{"/set", "", "this room is private, announce"},
		{"/set quiet", "", "/set does not know"},
		{"/set -private", "", "/set does not know"},
		{"/set history", "", "/set history takes all or joined"},
		{"/set history none", "", "/set history takes all or joined"},
		{"/unban ben", "change plans ann lifted the ban of ben", ""},
		{"/mute ben", "change plans ann muted ben", ""},
		{"/unmute ben", "change plans ann let ben speak again", ""},
		{"/op ben", "change plans ann made ben an op", ""},
		{"/deop ben", "change plans ann made ben a member", ""},
		{"/voice ben", "change plans ann made ben a speaker", ""},
		{"/invite cid", "change plans ann invited cid", ""},
		{"/topic tea", "change plans ann changed the topic: tea", ""},
		{"/topic -", "change plans ann removed the topic", ""},
		{"/topic", "", "the topic is: old"},
		{"/create ops", `create ops public ""`, ""},
		{"/create ops private for us", `create ops private "for us"`, ""},
		{"/create ops for all", `create ops public "for all"`, ""},
		{"/create a/b", "", "is not a room name"},
		{"/msg ben hello there", `direct ben "hello there"`, ""},
		{"/query @ben", `direct ben ""`, ""},
		{"/msg a/b", "", "is not a name"},
		{"/notify mentions", "notify plans mentions", ""},
		{"/notify loud", "", "notification level"},
		{"/away", `away true "" until /back`, ""},
		{"/away at lunch", `away true "at lunch" until /back`, ""},
		{"/away 90m at lunch", `away true "at lunch" until 2026-11-25T13:30:00Z`, ""},
		{"/away 7d", `away true "" until 2026-12-02T12:00:00Z`, ""},
		{"/away 400d", "", `"400d" is not a time; write 30m, 12h or 7d, at most 365d, or begin the text with a word`},
		{"/away " + strings.Repeat("ü", wire.MaxStatus+1), "", "at most"},
		{"/back", `away false "" until /back`, ""},
		{"/kick a/b", "", "is not a name"},
		{"/kick", "", "/kick NAME [REASON]"},
		{"/nick Anna B.", `setName chat.example:6440 "Anna B."`, ""},
		{"/devices", "devices chat.example:6440", ""},
		{"/whois ben", "whois chat.example:6440 plans ben", ""},
		{"/join @mfzwizltoq4tqmjqgezdgnbvgy", "join @mfzwizltoq4tqmjqgezdgnbvgy", ""},
	} {
		state := stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 0, 0)
		state.Topic, state.Flags = "old", kaban.FlagAnnounce
		d := newMember(t, kaban.RoleMember, state)
		d.back.calls = []string{""}
		d.keys(c.typed, "enter")
		if !slices.Contains(d.back.calls, c.call) {
			t.Errorf("%s: asked for %q, want %q", c.typed, d.back.calls, c.call)
		}
		d.shows(c.shows)
	}
	// The flag archived would archive the room again.
	c, err := parseSet([]string{"locked", "-archived"}, kaban.FlagArchived|kaban.FlagAnnounce)
	if err != nil || c.Flags != kaban.FlagAnnounce|kaban.FlagLocked || !c.HasArchived || c.Archived {
		t.Errorf("in an archived room: %+v, %v", c, err)
	}
	d := newMember(t, kaban.RoleMember, stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 0, 0))
	done := wire.Change{Type: wire.TypeMember, Change: "kicked", Username: "ann", Subject: "ben", Seq: 1, Time: noon}
	d.happens(actedEvent{room: "plans", change: done})
	d.shows("ann removed ben")
	d.happens(actedEvent{room: "plans", change: done, err: &client.Error{Code: wire.CodeLastOp, Text: "name another op first"}})
	d.shows("cannot remove ben: name another op first")
	d.happens(noticeEvent{room: "plans", err: context.DeadlineExceeded})
	d.shows("not done: the server does not answer in time")
	d.happens(noticeEvent{room: "plans", text: "notifications: none"})
	d.shows("notifications: none")
	d.happens(whoisEvent{room: "plans", name: "zed", absent: true}, whoisEvent{room: "plans", name: "ben", member: &wire.Member{Username: "ben", Name: "Ben B", Account: "x", Online: true, Role: kaban.RoomRoleSpeaker}})
	d.shows("there is no account zed that you may know of, and nobody of")
	d.shows("that name in ~plans")
	gus := Person{wire.Account{Username: "gus", Name: "Gus G", Role: kaban.RoleGuest}, true}
	d.happens(whoisEvent{room: "plans", name: "gus", absent: true, person: &gus}, whoisEvent{name: "gus", person: &gus})
	d.shows("gus (Gus G): an account, online, a guest of the server, not in")
	d.happens(whoisEvent{room: "plans", name: "zed", absent: true, err: errors.New("the page is away")})
	d.shows("zed cannot be looked up, not in ~plans: the page is away")
	d.happens(whoisEvent{room: "plans", name: "moe", err: errors.New("the members could not be read")})
	d.shows("moe cannot be looked up: the members could not be read")
	d.shows("ben (Ben B): an account, online, a speaker in ~plans")
	d.happens(openedEvent{what: "talk to zed", err: &client.Error{Code: wire.CodeNotFound, Text: "there is nobody here with this name"}})
	d.shows("cannot talk to zed: there is nobody here with this name")
	d.happens(openedEvent{room: "@mfzwizltoq4tqmjqgezdgnbvgy", text: "hello"})
	if d.active.name != "@mfzwizltoq4tqmjqgezdgnbvgy" || !slices.Equal(d.back.posted, []string{"hello"}) {
		t.Errorf("posted %q in %s", d.back.posted, d.active.name)
	}
}

// A session does with a server what the commands ask for.
func TestSessionOfAVisitorCannotModerate(t *testing.T) {
	addr := host(t)
	w := newWitness(t)
	w.join("lobby")
	w.connect(addr, []string{"ann"})
	await(w, always[joinedEvent])
	w.change("lobby", wire.Change{Type: wire.TypeMember, Change: "kicked", Subject: "ben"})
	if e := await(w, always[actedEvent]); e.err == nil {
		t.Error("a visitor kicks")
	}
	w.change("lobby", wire.Change{Type: wire.TypeMember, Change: "left", Subject: "ben"})
	if e := await(w, always[actedEvent]); e.err == nil || !strings.Contains(e.err.Error(), "left") {
		t.Errorf("an unknown change: %v", e.err)
	}
	w.whois("h:1", "lobby", "ANN")
	if e := await(w, always[whoisEvent]); e.err != nil || e.member == nil || e.member.Username != "ann" {
		t.Errorf("whois: %+v", e)
	}
	w.options.Person = func(context.Context, string, string) (Person, bool, error) {
		t.Error("a visitor asks for accounts")
		return Person{}, false, nil
	}
	w.whois("h:1", "lobby", "ben")
	if e := await(w, always[whoisEvent]); e.err != nil || e.member != nil {
		t.Errorf("whois of nobody: %+v", e)
	}
}

// What needs the page is asked of the page, and says so where there is none.
func TestDevicesAndNames(t *testing.T) {
	s := newSession(Options{})
	w := &witness{Session: s, t: t}
	t.Cleanup(s.Close)
	w.devices("h:1")
	if e := await(w, always[noticeEvent]); e.err == nil {
		t.Errorf("without a page: %+v", e)
	}
	s.options.Devices = func(_ context.Context, server string) ([]string, error) { return []string{"laptop at " + server}, nil }
	s.options.SetName = func(_ context.Context, server, name string) error { return errors.New(server + " refuses " + name) }
	w.devices("h:1")
	if e := await(w, always[noticeEvent]); e.err != nil || e.text != "your devices:\n  laptop at h:1" {
		t.Errorf("devices: %+v", e)
	}
	w.setName("h:1", "Anna")
	if e := await(w, always[noticeEvent]); e.err == nil || e.err.Error() != "h:1 refuses Anna" {
		t.Errorf("a name: %+v", e)
	}
}

// newPerson signs in somebody that gets an account at a server.
func newPerson(t *testing.T, addr string, accounts *account.Service, name string) *witness {
	t.Helper()
	operator := account.Operator()
	if _, _, err := accounts.AddAccount(t.Context(), operator, account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: "correct horse battery"}, Role: kaban.RoleMember}); err != nil {
		t.Fatal(err)
	}
	_, token, err := accounts.MakeToken(t.Context(), operator, account.NewToken{Username: name, Name: "test", Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{t: t, Session: newSession(Options{Token: func(string) (wire.Secret, error) { return wire.Secret(token), nil }})}
	t.Cleanup(w.Close)
	w.connect(addr, []string{"a-guess"})
	if e := await(w, func(e stateEvent) bool { return e.link == online }); e.account == nil || e.username != name {
		t.Fatalf("got %+v", e)
	}
	return w
}

// Two people use a real server: what one does, the other sees.
func TestSessionsOfMembers(t *testing.T) {
	addr, accounts := town(t)
	if _, err := accounts.MakeOwner(t.Context(), "olga", ""); err != nil {
		t.Fatal(err)
	}
	ann, ben := newPerson(t, addr, accounts, "ann"), newPerson(t, addr, accounts, "ben")
	ann.create(client.NewRoom{Name: "plans", Kind: kaban.RoomPrivate})
	if e := await(ann, always[openedEvent]); e.err != nil || e.room != "plans" {
		t.Fatalf("create: %+v", e)
	}
	act := func(change, subject string) {
		t.Helper()
		ann.change("plans", wire.Change{Type: wire.TypeMember, Change: change, Username: "ann", Subject: subject})
		if e := await(ann, always[actedEvent]); e.err != nil || e.change.Seq == 0 || e.change.Time.IsZero() {
			t.Fatalf("%s: %+v", change, e)
		}
	}
	act("invited", "ben")
	await(ben, func(e roomStateEvent) bool { return e.Room == "plans" && e.Kind == kaban.RoomPrivate })
	ben.join("plans")
	await(ben, always[joinedEvent])
	ann.change("plans", wire.Change{Type: wire.TypeTopic, Topic: "tea"})
	if e := await(ben, always[entryEvent]); e.entry.Change == nil || e.entry.Change.Topic != "tea" {
		t.Errorf("the topic: %+v", e.entry)
	}
	for _, change := range []string{"muted", "unmuted"} {
		act(change, "ben")
		if e := await(ben, always[entryEvent]); e.entry.Change == nil || e.entry.Change.Change != change {
			t.Errorf("%s: %+v", change, e.entry)
		}
	}
	ann.whois("h:1", "", "ben")
	if e := await(ann, always[whoisEvent]); !errors.Is(e.err, errNoPage) {
		t.Errorf("whois without a page: %+v", e)
	}
	ann.options.Person = func(_ context.Context, server, name string) (Person, bool, error) {
		return Person{Account: wire.Account{Username: name + " at " + server}}, name != "zed", nil
	}
	for name, want := range map[string]bool{"ben": false, "olga": true, "zed": false} { // ben is in the room
		ann.whois("h:1", "plans", name)
		e := await(ann, always[whoisEvent])
		if got := e.person != nil && e.person.Username == name+" at h:1"; e.err != nil || got != want || (e.member != nil) != (name == "ben") {
			t.Errorf("whois %s: %+v", name, e)
		}
	}
	change, err := parseSet([]string{"announce", "history", "all"}, kaban.FlagLocked)
	if err != nil {
		t.Fatal(err)
	}
	ann.change("plans", change)
	if e := await(ben, always[entryEvent]); e.entry.Change == nil || e.entry.Change.Flags != kaban.FlagAnnounce|kaban.FlagLocked || e.entry.Change.History != wire.HistoryAll {
		t.Errorf("set: %+v", e.entry)
	}
	ben.notify("plans", kaban.NotifyNone)
	if e := await(ben, always[noticeEvent]); e.err != nil {
		t.Error(e.err)
	}
	ben.setAway(client.Away{Away: true, Text: "at lunch"})
	if e := await(ben, always[noticeEvent]); e.err != nil || e.text != "you are away until you say /back" {
		t.Errorf("away: %+v", e)
	}
	ann.whois("h:1", "plans", "ben")
	if e := await(ann, always[whoisEvent]); e.member == nil || !e.member.Away || e.member.Status != "at lunch" {
		t.Errorf("somebody away: %+v", e)
	}
	ben.markRead("plans", 2)
	await(ben, func(e roomStateEvent) bool { return e.Room == "plans" && e.Read == 2 && e.Notify == kaban.NotifyNone })
	ben.me()
	if e := await(ben, always[meEvent]); e.err != nil || e.me.Account.Username != "ben" || len(e.me.Rooms) == 0 {
		t.Errorf("me: %+v", e)
	}
	act("kicked", "ben")
	if e := await(ben, always[failedEvent]); reasonOf(e.err) != "you were removed from plans" {
		t.Errorf("kicked: %v", e.err)
	}
	for _, change := range []string{"banned", "unbanned"} {
		act(change, "ben")
	}
	ann.direct("ben", "hello")
	if e := await(ann, always[openedEvent]); e.err != nil || e.text != "hello" || e.room[0] != '@' {
		t.Errorf("direct: %+v", e)
	}
}

// An op completes the words of /set.
func TestCompletionOfSettings(t *testing.T) {
	for typed, want := range map[string]string{
		"/set": "/set ", "/set ann": "/set announce ", "/set announce -lo": "/set announce -locked ", "/set pri": "/set private ",
		"/set history j": "/set history joined ", "/set history all arc": "/set history all archived ",
	} {
		d := newMember(t, kaban.RoleMember, stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleOp, 0, 0))
		d.keys(typed, "tab")
		d.typed(want)
	}
}
