package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// robot makes the bot robo of somebody.
func (w *town) robot(owner string, role kaban.Role) {
	w.t.Helper()
	err := w.chat.dispatcher.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{
			ID: "id-robo", Username: "robo", Role: role, Bot: true, Owner: "id-" + owner, Status: people.StatusActive,
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// A bot does to people what its owner could do to them: whom the owner may not know, or
// who has blocked the owner, the bot does not reach.
func TestABotReachesWhomItsOwnerReaches(t *testing.T) {
	for _, owner := range []string{"gus", "ann"} {
		w := newTown(t, memory.New(0))
		w.robot(owner, kaban.RoleGuest)
		w.create("bob", "den", kaban.RoomPrivate)
		for _, name := range []string{owner, "robo"} {
			want(t, "invited", w.do("bob", "den", w.to(name, access.Invite)), nil)
			want(t, "risen", w.do("bob", "den", Act{Action: access.SetRoomRole, Subject: storetest.Username(t, name), Role: kaban.RoomRoleOp}), nil)
		}
		w.create("cat", "hall", kaban.RoomPublic)
		want(t, "cat meets the bot", w.do("cat", "hall", w.to("robo", access.Invite)), nil)
		var known error
		if owner == "gus" { // a guest knows only those whom it meets
			known = ErrNobody
		}
		want(t, owner+" invites", w.do(owner, "den", w.to("cat", access.Invite)), known)
		want(t, "the bot of "+owner+" invites", w.do("robo", "den", w.to("cat", access.Invite)), known)
		want(t, "the bot of "+owner+" bans", w.do("robo", "den", w.to("cat", access.Ban)), known)

		err := w.chat.dispatcher.Update(t.Context(), func(tx store.Tx) error {
			return people.Blocks.Put(tx, &people.Block{Account: "id-bob", Blocked: "id-" + owner})
		})
		want(t, "a block", err, nil)
		err = w.chat.dispatcher.View(t.Context(), func(tx store.Tx) error {
			u := w.user("robo")
			s, err := u.scene(tx, kaban.RoomName{}, false, false)
			if err != nil {
				return err
			}
			if _, _, err = u.target(tx, &s, kaban.RoomName{}, storetest.Username(t, "bob")); err == nil && s.Target.Reachable {
				err = errors.New("the bot reaches who has blocked its owner")
			}
			return err
		})
		want(t, "blocked", err, nil)
	}
}

// A bot is in a direct room only together with its owner, so no other is opened: the
// bot could not join it.
func TestDirectRoomsWithABot(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.robot("ann", kaban.RoleMember)
	w.create("cat", "hall", kaban.RoomPublic)
	want(t, "cat meets gus", w.do("cat", "hall", w.to("gus", access.Invite)), nil)
	for _, c := range []struct {
		by   string
		with []string
		want error
	}{
		{"ann", []string{"robo"}, nil},
		{"robo", []string{"ann"}, nil},
		{"bob", []string{"robo"}, ErrBotAlone},
		{"bob", []string{"robo", "cat"}, ErrBotAlone},
		{"bob", []string{"robo", "ann"}, nil},
		{"bob", []string{"robo", "ann", "cat"}, nil},
		{"robo", []string{"bob"}, ErrBotAlone},
		{"robo", []string{"bob", "ann"}, nil},
		{"bob", []string{"robo", "nobody"}, ErrNobody},
		{"gus", []string{"robo"}, ErrNobody},
		{"gus", []string{"cat", "robo"}, ErrNobody}, // a guest learns of no bot that it does not meet
	} {
		var others []kaban.Username
		for _, name := range c.with {
			others = append(others, storetest.Username(t, name))
		}
		room, err := w.user(c.by).Direct(t.Context(), others)
		want(t, c.by+" with "+strings.Join(c.with, ", "), err, c.want)
		if err == nil {
			_, err := w.follow(w.user("robo"), room.String(), 0)
			want(t, "the bot joins the room of "+c.by, err, nil)
		}
	}
}

// A bot learns nothing of a room that its owner may not read, and nothing from before its
// owner came in.
func TestABotKnowsWhatItsOwnerKnows(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		x := withIndex(t, w)
		w.robot("bob", kaban.RoleMember)
		w.create("ann", "den", kaban.RoomPrivate)
		for _, name := range []string{"bob", "robo"} {
			want(t, name+" is invited", w.do("ann", "den", w.to(name, access.Invite)), nil)
		}
		robo, den := w.user("robo"), storetest.RoomName(t, "den")
		say := func() {
			want(t, "ann says something", w.put(w.user("ann"), den, kaban.KindMessage, 0, "tea for @robo"), nil)
		}
		check := func(what string, rooms int, first uint64, read error) {
			t.Helper()
			me, err := robo.Me(t.Context(), "", 0)
			if err != nil || len(me.Rooms) != rooms {
				t.Errorf("%s: the bot is in %+v, %v, want %d rooms", what, me.Rooms, err, rooms)
			}
			if _, in, err := robo.State(t.Context(), den); err != nil || in != (rooms > 0) {
				t.Errorf("%s: the bot has a state: %t, %v", what, in, err)
			}
			entries, err := w.history(robo, "den")
			if want(t, what, err, read); err == nil && (len(entries) == 0 || entries[0].Seq != first) {
				t.Errorf("%s: the bot reads %+v, want those from %d", what, entries, first)
			}
			if err := x.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			reads := matching(w.readable(robo, den), func(*Entry) bool { return true })
			for _, query := range []Search{{Query: "tea", Limit: 5}, {Query: "tea in:den", Limit: 5}, {Query: "from:ann", Limit: 5}} {
				if got, err := w.found(robo, query); err != nil || !slices.Equal(got, reads) {
					t.Errorf("%s: the bot finds for %s %v, %v, and can read %v", what, query.Query, got, err, reads)
				}
			}
		}
		say()
		check("together", 1, 1, nil)
		want(t, "bob is kicked", w.do("ann", "den", w.to("bob", access.Kick)), nil)
		want(t, "ann hides what was", w.do("ann", "den", Act{Change: people.RoomChange{History: people.HistoryJoined}}), nil)
		say()
		check("alone", 0, 0, ErrNotFound)
		want(t, "bob is back", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		state, _, err := w.user("bob").State(t.Context(), den)
		want(t, "bob's state", err, nil)
		say()
		check("together again", 1, state.Head, nil)
	})
}

// Whoever may make no room is told the same of all names.
func TestCreateTellsNoNames(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "bobfile", kaban.RoomPrivate)
	for _, room := range []string{"bobfile", "вobfile", "вobfile2"} { // with a Cyrillic letter
		err := w.user("gus").Create(t.Context(), storetest.RoomName(t, room), NewRoom{Kind: kaban.RoomPrivate})
		want(t, room, err, ErrForbidden)
	}
}

// Every entry that an admin leaves in a room that it is not in has its row in the audit.
func TestAnAppointmentIsAudited(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	act := Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "ann"), Role: kaban.RoomRoleOp}
	for rows := 1; rows <= 2; rows++ {
		want(t, "adam appoints", w.do("adam", "den", act), nil)
		n := 0
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			all, _, err := people.Audits.List(tx, nil, nil, 100)
			n = len(all)
			return err
		})
		if want(t, "the audit", err, nil); n != rows {
			t.Errorf("the audit has %d rows, want %d", n, rows)
		}
	}
}

// Moderation is in the audit with the room, in the transaction of the act. What changes
// nothing, or is refused, is not.
func TestModerationIsAudited(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "hall", kaban.RoomPublic)
	want(t, "ann invites bob", w.do("ann", "hall", w.to("bob", access.Invite)), nil)
	role := w.to("bob", access.SetRoomRole)
	role.Role = kaban.RoomRoleSpeaker
	flags := []string{"announce"}
	until := w.to("bob", access.Ban)
	until.Reason = "a reason is a content"
	for _, act := range []Act{role, role, w.to("bob", access.Mute), w.to("bob", access.Unmute), w.to("bob", access.Kick), until, w.to("bob", access.Unban), {Change: people.RoomChange{Flags: &flags}}} {
		want(t, "ann acts", w.do("ann", "hall", act), nil)
	}
	if err := w.do("bob", "hall", w.to("ann", access.Kick)); err == nil {
		t.Error("bob kicks ann")
	}
	var got []string
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		rows, _, err := people.Audits.List(tx, nil, nil, 100)
		for _, r := range rows {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s in %s %s", r.Name, r.Action, r.Subject, r.Room, r.Detail)))
			if strings.Contains(fmt.Sprint(r), until.Reason) {
				t.Errorf("%v has the reason", r)
			}
		}
		return err
	})
	want(t, "the audit", err, nil)
	slices.Sort(got)
	wanted := []string{
		"ann room.ban bob in hall", "ann room.kick bob in hall", "ann room.mute bob in hall", "ann room.role bob in hall speaker",
		"ann room.set  in hall", "ann room.unban bob in hall", "ann room.unmute bob in hall",
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("the audit has\n%q, want\n%q", got, wanted)
	}
}

// A token does not appoint, nor does an admin's token that has joined make an op: that is
// the admin's own right, and not one of the room. It goes on moderating, and the token of
// an op makes ops.
func TestTokensDoNotAppoint(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	w.create("ann", "hall", kaban.RoomPublic)
	for _, room := range []string{"den", "hall"} {
		want(t, "ann invites bob", w.do("ann", room, w.to("bob", access.Invite)), nil)
	}
	token := func(name string, rooms ...string) User {
		return w.chat.With(w.user(name).Identity(), netip.Addr{}, &Credential{ID: "token", Rooms: rooms})
	}
	role := func(role kaban.RoomRole) Act {
		return Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "bob"), Role: role}
	}
	for _, room := range []string{"den", "hall"} {
		for name, admin := range map[string]User{"adam": token("adam"), "adam in one room": token("adam", room)} {
			want(t, name+"'s token appoints in "+room, w.doAs(admin, room, role(kaban.RoomRoleOp)), ErrProgram)
		}
	}
	want(t, "adam joins", w.do("ann", "hall", w.to("adam", access.Invite)), nil)
	want(t, "adam's token makes an op where it has joined", w.doAs(token("adam"), "hall", role(kaban.RoomRoleOp)), ErrProgram)
	want(t, "adam's token makes a speaker", w.doAs(token("adam"), "hall", role(kaban.RoomRoleSpeaker)), nil)
	want(t, "ann's token makes an op", w.doAs(token("ann", "hall"), "hall", role(kaban.RoomRoleOp)), nil)
	want(t, "adam appoints", w.do("adam", "den", role(kaban.RoomRoleOp)), nil)
}

// A token that is bound to rooms gets the same answer about an id in every other one,
// whether its account has used the id there, for the same or for something else, or not,
// and whether there is such a room.
func TestBoundTokensLearnNothingOfIDs(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	w.create("ann", "hall", kaban.RoomPublic)
	den, ann := storetest.RoomName(t, "den"), w.user("ann")
	message, err := kaban.NewMessage(ann.Identity().Name(), "hello", 100)
	want(t, "a message", err, nil)
	id := func(text string) kaban.MessageID {
		id, err := kaban.ParseMessageID(text)
		want(t, text, err, nil)
		return id
	}
	post := func(u User, room kaban.RoomName, used string) error {
		_, _, err := u.Post(t.Context(), room, id(used), "hello", 0)
		return err
	}
	topic := func(u User, room kaban.RoomName, used string) error {
		send, err := u.Act(nil, 0, Act{Action: access.SetTopic, Room: room, ID: id(used), Topic: "x"})
		if err == nil {
			_, err = u.Commit(t.Context(), send)
		}
		return err
	}
	ways := map[string]func(u User, room kaban.RoomName, used string) error{
		"post": post, "topic": topic,
		"send": func(u User, room kaban.RoomName, used string) error {
			_, err := u.Recall(t.Context(), room, id(used), message, 0)
			return err
		},
		"edit": func(u User, room kaban.RoomName, used string) error {
			_, _, err := u.Change(t.Context(), room, id(used), Change{Kind: kaban.KindEdit, Target: 1, Content: "x"})
			return err
		},
	}
	want(t, "ann posts", post(ann, den, "posted"), nil)
	want(t, "ann sets the topic", topic(ann, den, "acted"), nil)
	for _, readOnly := range []bool{false, true} {
		credential := &Credential{ID: "token", Rooms: []string{"hall"}, ReadOnly: readOnly}
		bound := w.chat.With(ann.Identity(), netip.Addr{}, credential)
		for way, do := range ways {
			refused := ErrNotFound
			switch {
			case way == "send":
				refused = ErrNotJoined
			case readOnly:
				refused = ErrForbidden
			}
			for _, room := range []string{"den", "nowhere"} {
				for _, used := range []string{"posted", "acted", "new"} {
					want(t, way+" of "+used+" in "+room, do(bound, storetest.RoomName(t, room), used), refused)
				}
			}
		}
	}
	want(t, "ann's device repeats", post(ann, den, "posted"), nil)
	bound := w.chat.With(ann.Identity(), netip.Addr{}, &Credential{ID: "token", Rooms: []string{"den"}})
	want(t, "ann's token of the room repeats", post(bound, den, "posted"), nil)
	want(t, "ann's token of the room conflicts", topic(bound, den, "posted"), ErrIDConflict)
}
