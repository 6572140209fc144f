package chat

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

func TestAPrivateRoom(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPrivate)
		ann, bob := w.user("ann"), w.user("bob")
		hers, err := w.follow(ann, "den", 0)
		want(t, "ann joins", err, nil)
		want(t, "ann speaks", w.say(ann, hers, "secret"), nil)
		for _, u := range []User{bob, w.user("olga"), w.user("gus"), w.visitor("vic", netip.MustParseAddr("192.0.2.1")), w.chat.As(kaban.Identity{}, netip.Addr{})} {
			name := u.Identity().ID()
			_, err := w.history(u, "den")
			wantErr := ErrNotFound
			if name == "account:id-olga" {
				wantErr = ErrForbidden // an admin knows of it and does not read it
			}
			want(t, name+" reads", err, wantErr)
			_, _, err = u.Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, "den"), Start{})
			want(t, name+" watches", err, wantErr)
			listed := 1 // the lobby
			if name == "account:id-gus" {
				listed = 0 // a guest sees what it is in
			}
			if rooms, _, err := u.Rooms(t.Context(), "", 0); len(rooms) != listed || err != nil {
				t.Errorf("%s lists %v, %v", name, rooms, err)
			}
		}
		_, err = w.follow(bob, "den", 0)
		want(t, "bob joins", err, ErrRoomTaken)
		want(t, "bob invites himself", w.do("bob", "den", w.to("bob", access.Invite)), ErrNotFound)
		want(t, "ann invites bob", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		his, err := w.follow(bob, "den", 0)
		want(t, "bob joins", err, nil)
		if got, _ := w.drain(his); len(got) != 3 || got[1] != "2 ann: secret" {
			t.Errorf("bob reads %q", got)
		}
		want(t, "bob kicks ann", w.do("bob", "den", w.to("ann", access.Kick)), ErrForbidden)
		want(t, "bob speaks", w.say(bob, his, "hi"), nil)
		want(t, "ann kicks bob", w.do("ann", "den", w.to("bob", access.Kick)), nil)
		want(t, "bob speaks again", w.say(bob, his, "hello?"), dispatch.ErrExpelled)
		if got, why := w.drain(his); why != "kicked" || len(got) != 1 || got[0] != "" {
			t.Errorf("then bob gets %q and %q", got, why)
		}
		_, err = w.history(bob, "den")
		want(t, "bob reads", err, ErrNotFound)
		want(t, "ann parts", ann.Part(t.Context(), storetest.RoomName(t, "den")), ErrLastOp)
	})
}

// Who joins a room with the history "joined" sees what comes from then on, however
// they ask, and another beginning when they come back.
func TestHistoryFromJoining(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPrivate)
		ann, bob := w.user("ann"), w.user("bob")
		hers, err := w.follow(ann, "den", 0)
		want(t, "ann joins", err, nil)
		want(t, "set", w.do("ann", "den", Act{Change: people.RoomChange{History: people.HistoryJoined}}), nil)
		want(t, "before", w.say(ann, hers, "before"), nil) // 3
		want(t, "invite", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		want(t, "after", w.say(ann, hers, "after"), nil) // 5
		got, err := w.history(bob, "den")
		if err != nil || len(got) != 2 || got[0].Seq != 4 {
			t.Errorf("bob reads %+v, %v", got, err)
		}
		page, err := bob.History(t.Context(), storetest.RoomName(t, "den"), Query{Before: 4, HasBefore: true})
		if err != nil || len(page.Entries) != 0 || page.More {
			t.Errorf("before joining: %+v, %v", page, err)
		}
		_, err = w.follow(bob, "den", 2)
		if lost, ok := errors.AsType[*ResyncError](err); !ok || lost.Oldest != 4 {
			t.Errorf("to resume before: %v", err)
		}
		_, _, err = bob.Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, "den"), Start{After: 2, Resume: true})
		if lost, ok := errors.AsType[*ResyncError](err); !ok || lost.Oldest != 4 {
			t.Errorf("to watch from before: %v", err)
		}
		his, err := w.follow(bob, "den", 3)
		want(t, "to resume from there", err, nil)
		if got, _ := w.drain(his); len(got) != 2 {
			t.Errorf("bob is given %q", got)
		}
		want(t, "kick", w.do("ann", "den", w.to("bob", access.Kick)), nil) // 6
		want(t, "away", w.say(ann, hers, "away"), nil)                     // 7
		want(t, "invite again", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		if got, err := w.history(bob, "den"); err != nil || len(got) != 1 || got[0].Seq != 8 {
			t.Errorf("back, bob reads %+v, %v", got, err)
		}
	})
}

func TestDirectRooms(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann, bob := w.user("ann"), w.user("bob")
		names := func(all ...string) (names []kaban.Username) {
			for _, name := range all {
				names = append(names, storetest.Username(t, name))
			}
			return names
		}
		room, err := ann.Direct(t.Context(), names("bob"))
		if err != nil || !room.IsDirect() {
			t.Fatalf("%v, %v", room, err)
		}
		for _, again := range []func() (kaban.RoomName, error){
			func() (kaban.RoomName, error) { return ann.Direct(t.Context(), names("bob", "ann", "bob")) },
			func() (kaban.RoomName, error) { return bob.Direct(t.Context(), names("ann")) },
		} {
			if same, err := again(); err != nil || same != room {
				t.Errorf("the same people: %v, %v", same, err)
			}
		}
		if three, err := ann.Direct(t.Context(), names("bob", "cat")); err != nil || three == room {
			t.Errorf("three people: %v, %v", three, err)
		}
		_, err = ann.Direct(t.Context(), names("ann"))
		if few, ok := errors.AsType[*PeopleError](err); !ok || few.People != 1 {
			t.Errorf("alone: %v", err)
		}
		_, err = ann.Direct(t.Context(), names("nobody"))
		want(t, "nobody", err, ErrNotFound)
		_, err = w.user("gus").Direct(t.Context(), names("ann"))
		want(t, "a guest who shares no room", err, ErrNotFound)
		_, err = w.visitor("vic", netip.Addr{}).Direct(t.Context(), names("ann"))
		want(t, "a visitor", err, ErrAuthRequired)
		for _, outsider := range []string{"cat", "olga"} {
			_, err := w.history(w.user(outsider), room.String())
			want(t, outsider+" reads", err, ErrNotFound)
		}
		his, err := w.follow(bob, room.String(), 0)
		want(t, "bob joins", err, nil)
		want(t, "bob speaks", w.say(bob, his, "hi"), nil)
		for _, action := range []access.Action{access.Invite, access.Kick, access.Ban, access.Mute} {
			if err := w.do("ann", room.String(), w.to("bob", action)); !errors.Is(err, ErrForbidden) {
				t.Errorf("%v in a direct room: %v", action, err)
			}
		}
		err = s.Update(t.Context(), func(tx store.Tx) error {
			return people.Blocks.Put(tx, &people.Block{Account: "id-ann", Blocked: "id-bob"})
		})
		want(t, "block", err, nil)
		w.chat.dispatcher.Invalidate()
		want(t, "a blocked person speaks", w.say(bob, his, "hello?"), ErrForbidden)
	})
}

func TestModeration(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPublic)
		ann, bob := w.user("ann"), w.user("bob")
		his, err := w.follow(bob, "den", 0)
		want(t, "bob joins", err, nil)
		hers, err := w.follow(ann, "den", 0)
		want(t, "ann joins", err, nil)
		flags := func(texts ...string) Act { return Act{Change: people.RoomChange{Flags: &texts}} }
		archived := func(yes bool) Act { return Act{Change: people.RoomChange{Archived: &yes}} }
		role := func(name string, r kaban.RoomRole) Act {
			return Act{Action: access.SetRoomRole, Subject: storetest.Username(t, name), Role: r}
		}
		for _, step := range []struct {
			what string
			by   string
			act  Act
			err  error
			says error // when bob speaks then
		}{
			{"mute", "ann", w.to("bob", access.Mute), nil, ErrForbidden},
			{"unmute by the muted", "bob", w.to("bob", access.Unmute), ErrForbidden, ErrForbidden},
			{"unmute", "adam", w.to("bob", access.Unmute), nil, nil},
			{"announce", "ann", flags("announce"), nil, ErrForbidden},
			{"voice", "ann", role("bob", kaban.RoomRoleSpeaker), nil, nil},
			{"no voice", "ann", role("bob", kaban.RoomRoleMember), nil, ErrForbidden},
			{"topic by a member", "bob", Act{Action: access.SetTopic, Topic: "x"}, ErrForbidden, ErrForbidden},
			{"topic", "ann", Act{Action: access.SetTopic, Topic: "x"}, nil, ErrForbidden},
			{"no flags", "ann", flags(), nil, nil},
			{"archive", "ann", archived(true), nil, ErrForbidden},
			{"mute in an archive", "ann", w.to("bob", access.Mute), ErrForbidden, ErrForbidden},
			{"unarchive", "ann", archived(false), nil, nil},
			{"op by a member", "bob", role("bob", kaban.RoomRoleOp), ErrForbidden, nil},
			{"op", "ann", role("bob", kaban.RoomRoleOp), nil, nil},
			{"ops demote ops", "bob", role("ann", kaban.RoomRoleMember), nil, nil},
			{"kick a stranger", "bob", w.to("cat", access.Kick), ErrNotFound, nil},
			{"public again", "bob", Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}, nil, nil},
			{"never back", "bob", Act{Change: people.RoomChange{Kind: kaban.RoomPublic}}, ErrForbidden, nil},
		} {
			want(t, step.what, w.do(step.by, "den", step.act), step.err)
			want(t, "bob after "+step.what, w.say(bob, his, "hi"), step.says)
		}
		if got, why := w.drain(hers); why != "" || len(got) < 5 {
			t.Errorf("ann, a member still, gets %q, %q", got, why)
		}
	})
}

// A room that becomes private ends the reading of all that are not in it.
func TestARoomBecomesPrivate(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPublic)
	den := storetest.RoomName(t, "den")
	bob, err := w.follow(w.user("bob"), "den", 0)
	want(t, "bob joins", err, nil)
	vic, err := w.follow(w.visitor("vic", netip.MustParseAddr("192.0.2.1")), "den", 0)
	want(t, "vic joins", err, nil)
	cat, _, err := w.user("cat").Watch(t.Context(), reader{}, plain{}, den, Start{})
	want(t, "cat watches", err, nil)
	nobody, _, err := w.chat.As(kaban.Identity{}, netip.Addr{}).Watch(t.Context(), reader{}, plain{}, den, Start{})
	want(t, "nobody watches", err, nil)
	want(t, "set", w.do("ann", "den", Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}), nil)
	for name, s := range map[string]*Subscription{"vic": vic, "cat": cat, "nobody": nobody} {
		if _, why := w.drain(s); why != "gone" {
			t.Errorf("%s goes on: %q", name, why)
		}
	}
	if got, why := w.drain(bob); why != "" || len(got) != 2 {
		t.Errorf("bob gets %q, %q", got, why)
	}
	if rooms, _, _ := w.user("cat").Rooms(t.Context(), "", 0); len(rooms) != 1 {
		t.Errorf("listed: %v", rooms)
	}
}

func TestParting(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPublic)
		bob, den := w.user("bob"), storetest.RoomName(t, "den")
		phone, err := w.follow(bob, "den", 0)
		want(t, "bob joins", err, nil)
		laptop, err := w.follow(bob, "den", 0)
		want(t, "bob joins by another device", err, nil)
		want(t, "bob parts", bob.Part(t.Context(), den), nil)
		for _, s := range []*Subscription{phone, laptop} {
			if _, why := w.drain(s); why != "gone" {
				t.Errorf("a device of bob's goes on: %q", why)
			}
		}
		want(t, "bob parts again", bob.Part(t.Context(), den), ErrNotJoined)
		want(t, "the only op of a public room parts", w.user("ann").Part(t.Context(), den), nil)
		want(t, "from nowhere", bob.Part(t.Context(), storetest.RoomName(t, "nowhere")), ErrNotFound)

		room, err := bob.Direct(t.Context(), []kaban.Username{storetest.Username(t, "ann")})
		want(t, "direct", err, nil)
		want(t, "bob hides it", bob.Part(t.Context(), room), nil)
		again, err := bob.Direct(t.Context(), []kaban.Username{storetest.Username(t, "ann")})
		if _, unread := w.history(bob, room.String()); err != nil || again != room || unread != nil {
			t.Errorf("a hidden room is %v, %v; reading it: %v", again, err, unread)
		}
		if me, err := bob.Me(t.Context(), "", 0); err != nil || len(me.Rooms) != 0 || me.Account.Username != "bob" {
			t.Errorf("bob's rooms: %+v, %v", me, err)
		}
		hers, err := w.follow(w.user("ann"), room.String(), 0)
		want(t, "ann joins", err, nil)
		want(t, "ann speaks", w.say(w.user("ann"), hers, "still there?"), nil)
		me, err := bob.Me(t.Context(), "", 0)
		if err != nil || len(me.Rooms) != 1 || me.Rooms[0].Title != "ann" || me.Rooms[0].Unread != 1 { // bob made it
			t.Errorf("bob's rooms then: %+v, %v", me, err)
		}
	})
}

// Joining and being kicked have one order: a reader that got in just before is
// expelled, one that came later is refused.
func TestKickAndJoinAtOnce(t *testing.T) {
	const rounds = 2000
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	for i := range rounds {
		want(t, "invite", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		kick := w.to("bob", access.Kick)
		kick.Room, kick.ID = storetest.RoomName(t, "den"), w.id()
		deed, err := w.user("ann").Act(nil, 0, kick)
		want(t, "act", err, nil)
		var both sync.WaitGroup
		var his *Subscription
		both.Go(func() { his, err = w.follow(w.user("bob"), "den", 0) })
		both.Go(func() {
			if _, err := w.user("ann").Commit(t.Context(), deed); err != nil {
				t.Errorf("kick: %v", err)
			}
		})
		both.Wait()
		switch {
		case err == nil:
			if _, why := w.drain(his); why != "kicked" {
				t.Fatalf("round %d: bob goes on: %q", i, why)
			}
			w.user("bob").Leave(his, false)
		case !errors.Is(err, ErrRoomTaken) && !errors.Is(err, ErrStale):
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

func TestBansOfVisitors(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPublic)
	session, err := w.chat.claim(owner{}, kaban.Visitor(storetest.Username(t, "vic")), netip.MustParseAddr("192.0.2.1"), "")
	want(t, "claim", err, nil)
	defer w.chat.Release(session)
	vic := w.visitor("vic", netip.MustParseAddr("192.0.2.1"))
	his, err := w.follow(vic, "den", 0)
	want(t, "vic joins", err, nil)
	want(t, "ban", w.do("ann", "den", w.to("Vic", access.Ban)), nil)
	if _, why := w.drain(his); why != "banned" {
		t.Errorf("vic goes on: %q", why)
	}
	for _, c := range []struct {
		name string
		at   netip.Addr
		err  error
	}{
		{"vic", netip.MustParseAddr("192.0.2.9"), ErrForbidden}, // the name
		{"tom", netip.MustParseAddr("192.0.2.1"), ErrForbidden}, // the address
		{"tom", netip.MustParseAddr("192.0.2.9"), nil},
	} {
		_, err := w.follow(w.visitor(c.name, c.at), "den", 0)
		want(t, c.name+" at "+c.at.String(), err, c.err)
		_, err = w.history(w.visitor(c.name, c.at), "den")
		want(t, c.name+" at "+c.at.String()+" reads", err, c.err)
	}
	want(t, "unban", w.do("ann", "den", w.to("vic", access.Unban)), nil)
	_, err = w.follow(w.visitor("vic", netip.MustParseAddr("192.0.2.1")), "den", 0)
	want(t, "vic is back", err, nil)
}

// A ban ends at its time and not before: that of an account at the time that was given, that of
// a visitor after a day, and one without an end never.
func TestABanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		w.create("ann", "den", kaban.RoomPublic)
		ban := w.to("bob", access.Ban)
		ban.Until = w.chat.now() + time.Hour.Milliseconds()
		want(t, "bob is banned for an hour", w.do("ann", "den", ban), nil)
		want(t, "cat is banned", w.do("ann", "den", w.to("cat", access.Ban)), nil)
		want(t, "vic is banned", w.do("ann", "den", w.to("vic", access.Ban)), nil)
		reads := func(when string, who User, wanted error) {
			t.Helper()
			_, err := w.history(who, "den")
			want(t, when, err, wanted)
		}
		bob, cat, vic := w.user("bob"), w.user("cat"), w.visitor("vic", netip.MustParseAddr("192.0.2.1"))
		time.Sleep(time.Hour - time.Second)
		reads("bob, a second too early", bob, ErrForbidden)
		time.Sleep(2 * time.Second)
		reads("bob, after an hour", bob, nil)
		reads("vic, after an hour", vic, ErrForbidden)
		time.Sleep(23*time.Hour - 2*time.Second)
		reads("vic, a second too early", vic, ErrForbidden)
		time.Sleep(2 * time.Second)
		reads("vic, after a day", vic, nil)
		time.Sleep(1000 * time.Hour)
		reads("cat, for good", cat, ErrForbidden)
	})
}

// A ban that would have ended already is refused, as is one that ends later than a time can
// be written, and neither takes anybody out of the room.
func TestABanWithABadEnd(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPublic)
	his, err := w.follow(w.user("bob"), "den", 0)
	want(t, "bob joins", err, nil)
	w.drain(his)
	now := w.chat.now()
	for _, until := range []int64{1, now - 1000, now} {
		ban := w.to("bob", access.Ban)
		ban.Until = until
		want(t, "a ban in the past", w.do("ann", "den", ban), ErrOver)
	}
	for _, until := range []int64{MaxUntil + 1, 1<<53 - 1} {
		ban := w.to("bob", access.Ban)
		ban.Until = until
		want(t, "a ban beyond the year 9999", w.do("ann", "den", ban), ErrTooLate)
	}
	if last := time.UnixMilli(MaxUntil).UTC().Format(time.RFC3339Nano); last != "9999-12-31T23:59:59.999Z" {
		t.Errorf("the latest end is %s", last)
	}
	if entries, why := w.drain(his); why != "" || strings.Join(entries, "") != "" {
		t.Errorf("bob is expelled, %q, and reads %q", why, entries)
	}
	ban := w.to("bob", access.Ban)
	ban.Until = w.chat.now() + 60_000
	want(t, "a ban for a minute", w.do("ann", "den", ban), nil)
	if _, why := w.drain(his); why != "banned" {
		t.Errorf("bob goes on: %q", why)
	}
}

func TestNamesOfRooms(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	for who, err := range map[string]error{"bob": ErrRoomTaken, "gus": ErrNotFound, "adam": ErrRoomTaken} {
		if who == "gus" {
			err = ErrForbidden
		}
		got := w.user(who).Create(t.Context(), storetest.RoomName(t, "den"), NewRoom{Kind: kaban.RoomPublic})
		if !errors.Is(got, err) && !(who == "gus" && errors.Is(got, ErrNotFound)) {
			t.Errorf("%s creates den: %v", who, got)
		}
	}
	got := w.user("bob").Create(t.Context(), storetest.RoomName(t, "lobby"), NewRoom{Kind: kaban.RoomPublic})
	want(t, "the lobby", got, ErrRoomTaken)
	vic := w.visitor("vic", netip.MustParseAddr("192.0.2.1"))
	want(t, "a visitor creates", vic.Create(t.Context(), storetest.RoomName(t, "stage"), NewRoom{Kind: kaban.RoomPublic}), nil)
	want(t, "a visitor creates with flags", vic.Create(t.Context(), storetest.RoomName(t, "hall"), NewRoom{Kind: kaban.RoomPublic, Flags: kaban.FlagAnnounce}), ErrAuthRequired)
	want(t, "a visitor creates a private room", vic.Create(t.Context(), storetest.RoomName(t, "cave"), NewRoom{Kind: kaban.RoomPrivate}), ErrAuthRequired)
	want(t, "members", w.store.View(t.Context(), func(tx store.Tx) error {
		members, _, err := people.Members.List(tx, []string{"stage"}, nil, 5)
		if len(members) > 0 {
			t.Errorf("the visitor's room has the members %+v", members)
		}
		return err
	}), nil)
	s, err := w.follow(w.user("bob"), "fresh", 0) // joining makes a public room
	want(t, "fresh", err, nil)
	want(t, "its creator is op", w.do("bob", "fresh", Act{Action: access.SetTopic, Topic: "x"}), nil)
	if got, _ := w.drain(s); len(got) != 2 {
		t.Errorf("its log has %q", got)
	}
}

func TestMarks(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPublic)
	den, ann := storetest.RoomName(t, "den"), w.user("ann")
	read := func() (seq uint64) {
		want(t, "view", w.store.View(t.Context(), func(tx store.Tx) error {
			m, err := people.Members.Get(tx, "den", "id-ann")
			seq = m.Read
			return err
		}), nil)
		return seq
	}
	for _, step := range []struct{ seq, want uint64 }{{1, 1}, {0, 1}, {99, 1}} {
		want(t, "read", ann.Read(t.Context(), den, step.seq), nil)
		if got := read(); got != step.want {
			t.Errorf("after reading %d: %d, want %d", step.seq, got, step.want)
		}
	}
	want(t, "a stranger's", w.user("bob").Read(t.Context(), den, 1), ErrNotJoined)
	want(t, "a visitor's", w.visitor("vic", netip.Addr{}).Read(t.Context(), den, 1), ErrAuthRequired)
	want(t, "in the empty lobby", ann.Read(t.Context(), storetest.RoomName(t, "lobby"), 1), ErrNotJoined)
	want(t, "nowhere", ann.Read(t.Context(), storetest.RoomName(t, "nowhere"), 1), ErrNotFound)
	want(t, "notify", ann.Notify(t.Context(), den, kaban.NotifyNone), nil)
}

// A credential for reading, or for some rooms, does nothing else.
func TestCredentials(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPublic)
	w.create("ann", "attic", kaban.RoomPublic)
	id := w.user("ann").Identity()
	reads := w.chat.With(id, netip.Addr{}, &Credential{ID: "t", ReadOnly: true})
	s, err := w.follow(reads, "den", 0)
	want(t, "a reader joins", err, nil)
	want(t, "a reader speaks", w.say(reads, s, "hi"), ErrForbidden)
	bound := w.chat.With(id, netip.Addr{}, &Credential{ID: "t", Rooms: []string{"den"}})
	s, err = w.follow(bound, "den", 0)
	want(t, "a bound credential joins", err, nil)
	want(t, "a bound credential speaks", w.say(bound, s, "hi"), nil)
	_, err = w.follow(bound, "attic", 0)
	want(t, "a bound credential elsewhere", err, ErrNotFound)
	_, err = w.history(bound, "attic")
	want(t, "a bound credential reads elsewhere", err, ErrNotFound)
}

// A suspended account does nothing from then on.
func TestSuspension(t *testing.T) {
	w := newTown(t, memory.New(0))
	bob := w.user("bob")
	s, err := w.follow(bob, "lobby", 0)
	want(t, "bob joins", err, nil)
	want(t, "bob speaks", w.say(bob, s, "hi"), nil)
	err = w.store.Update(t.Context(), func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, "id-bob")
		if err != nil {
			return err
		}
		a.Status = people.StatusSuspended
		return people.Accounts.Put(tx, &a)
	})
	want(t, "suspend", err, nil)
	want(t, "reload", w.chat.Reload(t.Context()), nil)
	want(t, "bob speaks", w.say(bob, s, "hi"), ErrForbidden)
	_, err = w.history(bob, "lobby")
	want(t, "bob reads", err, ErrForbidden)
}

// Kicks and sends have one order, whatever races.
func TestKickAndSendAtOnce(t *testing.T) {
	rounds := max(2_000, *manySteps/10)
	mixed, first := 0, 0
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	bob, den := w.user("bob"), storetest.RoomName(t, "den")
	for i := range rounds {
		want(t, "invite", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		page, err := w.user("ann").History(t.Context(), den, Query{Limit: 1})
		want(t, "head", err, nil)
		his, err := w.follow(bob, "den", page.Entries[0].Seq)
		want(t, "join", err, nil)
		message, err := kaban.NewMessage(bob.Identity().Name(), "hi", 100)
		want(t, "message", err, nil)
		var sends []Send
		for range 5 {
			send, err := bob.Draft(his, 0, w.id(), message, 0)
			want(t, "draft", err, nil)
			sends = append(sends, send)
		}
		kick := w.to("bob", access.Kick)
		kick.Room, kick.ID = den, w.id()
		deed, err := w.user("ann").Act(nil, 0, kick)
		want(t, "act", err, nil)
		var both sync.WaitGroup
		at, now := i%len(sends), make(chan struct{}) // the kick begins beside one of the sends
		both.Go(func() {
			for n, send := range sends {
				if n == at {
					close(now)
				}
				if i%2 == 0 {
					runtime.Gosched()
				}
				w.chat.Submit([]Send{send})
			}
		})
		both.Go(func() {
			<-now
			if _, err := w.user("ann").Commit(t.Context(), deed); err != nil {
				t.Errorf("kick: %v", err)
			}
		})
		both.Wait()
		got, why := w.drain(his)
		if why != "kicked" || len(got) > 6 {
			t.Fatalf("round %d: bob gets %q, %q", i, got, why)
		}
		entries, err := w.user("ann").History(t.Context(), den, Query{After: page.Entries[0].Seq, HasAfter: true})
		want(t, "read", err, nil)
		last := entries.Entries[len(entries.Entries)-1]
		if last.Kind != kaban.KindMember || last.Username != "ann" {
			t.Fatalf("round %d: after the kick there is %+v", i, last)
		}
		switch said := len(entries.Entries) - 1; {
		case said == 0:
			first++
		case said < len(sends):
			mixed++
		}
		bob.Leave(his, false)
		if t.Failed() {
			return
		}
	}
	t.Logf("of %d kicks, %d came first and %d between messages", rounds, first, mixed)
	if mixed == 0 || first == rounds {
		t.Error("no kick met a message, so this shows nothing")
	}
}

// interrupted does something after documents were read, as a decision reads them.
type interrupted struct {
	store.Store
	then func()
}

func (i *interrupted) View(ctx context.Context, run func(store.Tx) error) error {
	err := i.Store.View(ctx, run)
	if then := i.then; then != nil {
		i.then = nil
		then()
	}
	return err
}

// Whoever is thrown out right after it was allowed to read gets nothing of what comes later.
func TestReadsWhileThrownOut(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		k := &interrupted{Store: s}
		w := newTown(t, k)
		w.create("ann", "den", kaban.RoomPrivate)
		den := storetest.RoomName(t, "den")
		bob := w.user("bob")
		for what, read := range map[string]func() error{
			"members": func() error { _, err := bob.Members(t.Context(), den, "", 0); return err },
			"room": func() error {
				state, err := bob.Room(t.Context(), den)
				head, _ := k.Store.Room(t.Context(), den)
				if err == nil && state.Head < head.Head { // from before
					err = ErrNotFound
				}
				return err
			},
			"state": func() error {
				_, in, err := bob.State(t.Context(), den)
				if err == nil && !in {
					err = ErrNotFound
				}
				return err
			},
			"me": func() error {
				me, err := bob.Me(t.Context(), "", 0)
				if err == nil && len(me.Rooms) == 0 {
					err = ErrNotFound
				}
				return err
			},
			"rooms": func() error {
				rooms, _, err := bob.Rooms(t.Context(), "", 0)
				if err == nil && !slices.ContainsFunc(rooms, func(r Room) bool { return r.Name == den }) {
					err = ErrNotFound
				}
				return err
			},
			"history": func() error { _, err := bob.History(t.Context(), den, Query{}); return err },
		} {
			want(t, "bob is invited", w.do("ann", "den", w.to("bob", access.Invite)), nil)
			want(t, what, read(), nil)
			k.then = func() {
				want(t, "bob is kicked", w.do("ann", "den", w.to("bob", access.Kick)), nil)
				want(t, "cat is invited", w.do("ann", "den", w.to("cat", access.Invite)), nil)
			}
			want(t, what+" while he is thrown out", read(), ErrNotFound)
			if k.then != nil {
				t.Errorf("%s: nothing was decided", what)
			}
			want(t, "cat is kicked", w.do("ann", "den", w.to("cat", access.Kick)), nil)
		}
	})
}
