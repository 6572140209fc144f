package chat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// listed returns the names of all rooms that a user is told of, page by page.
func (w *town) listed(u User, limit int) (names []string, err error) {
	w.t.Helper()
	after := ""
	for {
		rooms, more, err := u.Rooms(w.t.Context(), after, limit)
		if err != nil {
			return nil, err
		}
		if more && len(rooms) != limit {
			w.t.Errorf("a page of %d rooms after %q, of %d, with more to come", len(rooms), after, limit)
		}
		for _, r := range rooms {
			after = r.Name.String()
			names = append(names, after)
		}
		if !more {
			return names, nil
		}
	}
}

// setAccess changes who may come in.
func (w *town) setAccess(value string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: people.SettingAccess, Value: value})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.chat.Reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) bound(name string, rooms ...string) User {
	w.t.Helper()
	keys := []string{}
	for _, room := range rooms {
		keys = append(keys, storetest.RoomName(w.t, room).Key())
	}
	return w.chat.With(kaban.Account("id-"+name, storetest.Username(w.t, name)), netip.Addr{}, &Credential{ID: "token", Rooms: keys})
}

// Lists have public rooms that one may know of and private ones that one is in.
func TestRoomsThatOneMayKnowOf(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		w.create("bob", "yard", kaban.RoomPublic)
		w.create("ann", "den", kaban.RoomPrivate)
		w.create("ann", "vault", kaban.RoomPrivate)
		w.create("ann", "attic", kaban.RoomPublic)
		want(t, "attic becomes private", w.do("ann", "attic", Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}), nil)
		_, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "gus")})
		want(t, "direct", err, nil)
		_, err = w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "direct", err, nil)
		want(t, "gus in the vault", w.do("ann", "vault", w.to("gus", access.Invite)), nil)
		want(t, "gus in the yard", w.do("ann", "yard", w.to("gus", access.Invite)), nil)
		visitor := w.visitor("vic", netip.MustParseAddr("192.0.2.1"))
		for _, c := range []struct {
			who  string
			user User
			want string
		}{
			{"a visitor", visitor, "hall lobby yard"},
			{"an anonymous reader", w.chat.As(kaban.Identity{}, netip.Addr{}), "hall lobby yard"},
			{"a member", w.user("bob"), "hall lobby yard"},
			{"one in private rooms", w.user("ann"), "attic den hall lobby vault yard"},
			{"a guest", w.user("gus"), "vault yard"},
			{"a guest in no room", w.user("nobody"), "Forbidden"},
			{"an owner, who is in none", w.user("olga"), "hall lobby yard"},
			{"a token for a private room", w.bound("ann", "den"), "den"},
			{"a token for some rooms", w.bound("ann", "yard", "den", "hall", "nowhere"), "den hall yard"},
			{"a token for no room", w.bound("ann"), ""},
			{"an admin's token for a private room", w.bound("adam", "den"), ""},
			{"a guest's token", w.bound("gus", "hall", "vault"), "vault"},
		} {
			for _, limit := range []int{1, 2, 3, 500} {
				got, err := w.listed(c.user, limit)
				if c.want == "Forbidden" {
					want(t, c.who, err, ErrForbidden)
				} else if err != nil || strings.Join(got, " ") != c.want {
					t.Errorf("%s is told of %q in pages of %d, %v; want %q", c.who, got, limit, err, c.want)
				}
			}
		}
		w.setAccess("invite")
		_, err = w.listed(visitor, 500)
		want(t, "a visitor of a closed server", err, ErrAuthRequired)
		if got, err := w.listed(w.user("bob"), 500); err != nil || len(got) != 3 {
			t.Errorf("bob is told of %q, %v", got, err)
		}
	})
}

// A bot is told of no private room that its owner is not in.
func TestRoomsOfABot(t *testing.T) {
	w := newTown(t, memory.New(0))
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-bob"})
	})
	if err != nil {
		t.Fatal(err)
	}
	robo := w.chat.With(kaban.Bot("id-robo", storetest.Username(t, "robo")), netip.Addr{}, &Credential{ID: "token"})
	w.create("ann", "den", kaban.RoomPrivate)
	want(t, "robo in the den", w.do("ann", "den", w.to("robo", access.Invite)), nil)
	if got, err := w.listed(robo, 500); err != nil || !slices.Equal(got, []string{"lobby"}) {
		t.Errorf("without its owner: %q, %v", got, err)
	}
	want(t, "bob in the den", w.do("ann", "den", w.to("bob", access.Invite)), nil)
	if got, err := w.listed(robo, 500); err != nil || !slices.Equal(got, []string{"den", "lobby"}) {
		t.Errorf("with its owner: %q, %v", got, err)
	}
}

// Whatever rooms there are, pages of every size are full, have each room once, and are
// in the order of the names: of the rooms that one may know, and of one's own.
func TestPagesOfRooms(t *testing.T) {
	names := []string{"9", "a", "b", "m", "rn", "l0bby2", "n", "o", "x-y", "x.z", "x_y", "z"}
	rapid.Check(t, func(rt *rapid.T) {
		w := newTown(t, memory.New(0))
		known, guest, own := []string{"lobby"}, []string{}, []string{}
		for _, name := range names {
			kind := rapid.SampledFrom([]kaban.RoomKind{0, kaban.RoomPublic, kaban.RoomPrivate}).Draw(rt, name)
			if kind == 0 {
				continue
			}
			if err := w.user("ann").Create(t.Context(), storetest.RoomName(t, name), NewRoom{Kind: kind}); err != nil {
				continue // it looks like another one
			}
			bob, gus := rapid.Bool().Draw(rt, "bob"), rapid.Bool().Draw(rt, "gus")
			if bob {
				own = append(own, name)
				want(t, "invite", w.do("ann", name, w.to("bob", access.Invite)), nil)
			}
			if gus {
				guest = append(guest, name)
				want(t, "invite", w.do("ann", name, w.to("gus", access.Invite)), nil)
			}
			if bob || kind == kaban.RoomPublic {
				known = append(known, name)
			}
		}
		for _, other := range []string{"ann", "cat", "olga", "adam"} {
			room, err := w.user("bob").Direct(t.Context(), []kaban.Username{storetest.Username(t, other)})
			want(t, "direct", err, nil)
			if rapid.Bool().Draw(rt, "hidden") {
				want(t, "hide", w.user("bob").Part(t.Context(), room), nil)
			} else {
				own = append(own, room.String())
			}
		}
		for _, list := range [][]string{known, guest, own} {
			slices.Sort(list)
		}
		for limit := 1; limit <= len(names)+6; limit++ {
			for name, list := range map[string][]string{"bob": known, "gus": guest} {
				if got, err := w.listed(w.user(name), limit); err != nil || !slices.Equal(got, list) {
					rt.Fatalf("%s is told of %q in pages of %d, %v; want %q", name, got, limit, err, list)
				}
			}
			if got := w.own(rt, "bob", limit); !slices.Equal(got, own) {
				rt.Fatalf("bob's rooms are %q in pages of %d, want %q", got, limit, own)
			}
		}
	})
}

// own returns the names of the rooms of an account, page by page.
func (w *town) own(rt *rapid.T, name string, limit int) (names []string) {
	after := ""
	for {
		me, err := w.user(name).Me(w.t.Context(), after, limit)
		if err != nil {
			rt.Fatal(err)
		}
		if me.Account.Username != name || me.More && len(me.Rooms) != limit {
			rt.Fatalf("a page of %d rooms of %s after %q, of %d, more: %t", len(me.Rooms), me.Account.Username, after, limit, me.More)
		}
		for _, r := range me.Rooms {
			after = r.Room.String()
			names = append(names, after)
		}
		if !me.More {
			return names
		}
	}
}

// What one said oneself is not unread.
func TestOwnEntriesAreNotUnread(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		hall := storetest.RoomName(t, "hall")
		subscriptions := make(map[string]*Subscription)
		for _, name := range []string{"ann", "bob"} {
			s, err := w.follow(w.user(name), "hall", 0)
			want(t, name+" joins", err, nil)
			subscriptions[name] = s
		}
		unread := func(name string, wanted uint64) {
			t.Helper()
			me, err := w.user(name).Me(t.Context(), "", 0)
			if err != nil || len(me.Rooms) != 1 || me.Rooms[0].Unread != wanted {
				t.Errorf("%s: %+v, %v; want %d unread", name, me.Rooms, err, wanted)
			}
			if state, in, err := w.user(name).State(t.Context(), hall); err != nil || !in || state.Unread != wanted {
				t.Errorf("the state for %s: %+v, %v; want %d unread", name, state, err, wanted)
			}
		}
		unread("ann", 0) // she made it
		unread("bob", 0) // what was there before him is not unread
		for i := range 3 {
			want(t, "ann speaks", w.say(w.user("ann"), subscriptions["ann"], fmt.Sprint(i)), nil)
			want(t, "bob speaks", w.say(w.user("bob"), subscriptions["bob"], fmt.Sprint(i)), nil)
			unread("ann", uint64(i)+1)
			unread("bob", uint64(i)+1)
		}
		want(t, "ann reads", w.user("ann").Read(t.Context(), hall, 4), nil) // created, 0, 0, 1
		unread("ann", 2)
		want(t, "bob reads", w.user("bob").Read(t.Context(), hall, 7), nil)
		unread("bob", 0)
		want(t, "a topic", w.do("ann", "hall", Act{Action: access.SetTopic, Topic: "x"}), nil)
		unread("bob", 0) // only messages are
		unread("ann", 2)
	})
}

// What nobody has the name of is not found, and says so of the person only where the
// room is known.
func TestActsOnNobody(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return people.Accounts.Put(tx, &people.Account{ID: "id-rex", Username: "rex", Role: kaban.RoleMember, Status: people.StatusRemoved})
		})
		want(t, "rex", err, nil)
		w.create("ann", "den", kaban.RoomPrivate)
		w.create("ann", "hall", kaban.RoomPublic)
		vic := w.visitor("vic", netip.MustParseAddr("192.0.2.1"))
		_, err = w.follow(vic, "hall", 0)
		want(t, "vic joins", err, nil)
		role := func(name string, role kaban.RoomRole) Act {
			a := w.to(name, access.SetRoomRole)
			a.Role = role
			return a
		}
		check := func(what, name, room string, a Act, wanted error) {
			t.Helper()
			head, _ := w.history(w.user("ann"), room)
			got := w.do(name, room, a)
			want(t, what, got, wanted)
			if wanted == ErrNotFound && got == ErrNobody {
				t.Errorf("%s: it says that there is the room", what)
			}
			if after, _ := w.history(w.user("ann"), room); wanted != nil && len(after) != len(head) {
				t.Errorf("%s: it is in the log", what)
			}
		}
		for _, action := range []access.Action{access.Invite, access.Kick, access.Ban, access.Unban, access.Mute, access.Unmute} {
			for _, name := range []string{"ghost", "rex", "vic"} {
				check(fmt.Sprint(action, " ", name), "ann", "den", w.to(name, action), ErrNobody)
				check("a stranger: "+fmt.Sprint(action, " ", name), "bob", "den", w.to(name, action), ErrNotFound)
			}
		}
		for _, to := range []kaban.RoomRole{kaban.RoomRoleMember, kaban.RoomRoleOp} {
			check("a role for nobody", "ann", "den", role("ghost", to), ErrNobody)
			check("a role for nobody", "ann", "hall", role("ghost", to), ErrNobody)
			check("a role for one outside", "ann", "den", role("bob", to), ErrNobody)
		}
		check("inviting nobody", "ann", "hall", w.to("ghost", access.Invite), ErrNobody)
		check("inviting a visitor", "ann", "hall", w.to("vic", access.Invite), ErrNobody)
		check("kicking nobody", "ann", "hall", w.to("ghost", access.Kick), ErrNobody)
		check("kicking one outside", "ann", "hall", w.to("bob", access.Kick), ErrNobody)
		check("kicking a visitor", "ann", "hall", w.to("vic", access.Kick), nil)
		check("banning a visitor who may come", "ann", "hall", w.to("ghost", access.Ban), nil)
		_, err = w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "ghost")})
		want(t, "talking to nobody", err, ErrNobody)
		_, err = w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "rex")})
		want(t, "talking to one that is removed", err, ErrNobody)
		_, err = w.user("gus").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "a guest that may not know bob", err, ErrNobody)
		w.setAccess("invite")
		check("banning nobody where no visitor comes", "ann", "hall", w.to("spook", access.Ban), ErrNobody)
		check("lifting the ban of a visitor's name", "ann", "hall", w.to("ghost", access.Unban), nil)
	})
}

// What changes nobody's rights leaves the revision of the room's rights alone.
func TestRevisionsOfRights(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		locked, joined := []string{"locked"}, people.HistoryJoined
		archived := false
		for i, c := range []struct {
			act     Act
			changes bool
		}{
			{Act{Action: access.SetTopic, Topic: "x"}, false},
			{w.to("bob", access.Invite), true},
			{w.to("bob", access.Invite), false},
			{Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "bob"), Role: kaban.RoomRoleMember}, false},
			{Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "bob"), Role: kaban.RoomRoleSpeaker}, true},
			{Act{Change: people.RoomChange{Flags: &locked}}, true},
			{Act{Change: people.RoomChange{Flags: &locked}}, false},
			{Act{Change: people.RoomChange{Archived: &archived}}, false},
			{Act{Change: people.RoomChange{History: joined}}, true},
			{Act{Change: people.RoomChange{History: joined}}, false},
			{w.to("bob", access.Mute), true},
			{w.to("bob", access.Kick), true},
		} {
			revision := func() uint64 {
				r, err := s.Room(t.Context(), storetest.RoomName(t, "hall"))
				want(t, "state", err, nil)
				return r.Revision
			}
			before := revision()
			want(t, fmt.Sprint("act ", i), w.do("ann", "hall", c.act), nil)
			if changed := revision() != before; changed != c.changes {
				t.Errorf("act %d, %+v: the revision changed: %t", i, c.act, changed)
			}
		}
	})
}

// A room that is made as an archive is one, and its first entry says so like any other.
func TestCreateAnArchive(t *testing.T) {
	w := newTown(t, memory.New(0))
	ann, flags := w.user("ann"), kaban.FlagArchived|kaban.FlagLocked
	want(t, "create", ann.Create(t.Context(), storetest.RoomName(t, "old"), NewRoom{Kind: kaban.RoomPrivate, Flags: flags}), nil)
	if state, _, err := ann.State(t.Context(), storetest.RoomName(t, "old")); err != nil || state.Flags != flags {
		t.Errorf("the state is %+v, %v", state, err)
	}
	entries, err := w.history(ann, "old")
	if err != nil || len(entries) != 1 || entries[0].Content != `{"change":"created","kind":"private","flags":["locked"],"archived":true}` {
		t.Errorf("the log is %+v, %v", entries, err)
	}
	s, err := w.follow(ann, "old", 0)
	want(t, "join", err, nil)
	want(t, "speak", w.say(ann, s, "hello"), ErrForbidden)
	archived := false
	want(t, "open it", w.do("ann", "old", Act{Change: people.RoomChange{Archived: &archived}}), nil)
	want(t, "speak", w.say(ann, s, "hello"), nil)
}

// BenchmarkRooms lists a page of 500 of 100,000 rooms.
func BenchmarkRooms(b *testing.B) {
	w := newTown(b, memory.New(0))
	const rooms = 100_000
	for i := range rooms {
		kind := kaban.RoomPublic
		if i%10 == 0 {
			kind = kaban.RoomPrivate
		}
		name := storetest.RoomName(b, fmt.Sprintf("room-%06d", i))
		err := w.store.Update(b.Context(), func(tx store.Tx) error {
			room := people.Room{Key: name.Key(), Name: name.String(), Kind: kind}
			if err := people.Enter(tx, "", &room, &people.Member{Room: room.Key, Account: "id-ann", Role: kaban.RoomRoleOp}); err != nil {
				return err
			}
			if i%50 == 0 {
				if err := people.Enter(tx, "", &room, &people.Member{Room: room.Key, Account: "id-gus", Role: kaban.RoomRoleMember}); err != nil {
					return err
				}
			}
			return tx.Bump(name)
		})
		if err != nil {
			b.Fatal(err)
		}
		r, err := w.chat.dispatcher.Lookup(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		if kind == kaban.RoomPrivate {
			w.chat.dispatcher.Unlist(r)
		}
	}
	for name, u := range map[string]User{
		"a visitor": w.visitor("vic", netip.Addr{}), "in no room": w.user("bob"), "in all rooms": w.user("ann"), "a guest in 2000": w.user("gus"),
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				after := fmt.Sprintf("room-%06d", i*7919%(rooms/2))
				if page, more, err := u.Rooms(b.Context(), after, 500); err != nil || len(page) != 500 || !more {
					b.Fatal(len(page), more, err)
				}
			}
		})
	}
}
