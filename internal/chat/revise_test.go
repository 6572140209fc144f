package chat

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// setting stores a setting and has the chat notice.
func (w *town) setting(key, value string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: key, Value: value})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.SettingChanged(key)
}

// change changes an account and has the chat notice.
func (w *town) change(name string, change func(*people.Account)) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, "id-"+name)
		if err != nil {
			return err
		}
		change(&a)
		return people.Accounts.Put(tx, &a)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.AccountChanged("id-" + name)
}

func suspend(a *people.Account) { a.Status = people.StatusSuspended }

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

// A kick or a ban of a visitor ends what its network has in the room, an unban lifts
// the ban of the network, too.
func TestABanOfAVisitorIsForItsNetwork(t *testing.T) {
	const room = "hall"
	for _, action := range []access.Action{access.Kick, access.Ban} {
		drivers(t, func(t *testing.T, s store.Store) {
			w := newTown(t, s)
			w.create("ann", room, kaban.RoomPublic)
			vic, err := w.chat.claim(owner{}, kaban.Visitor(storetest.Username(t, "vic")), address("2001:db8::1"), "")
			want(t, "claim", err, nil)
			follow := func(u User) *Subscription {
				sub, err := w.follow(u, room, 0)
				want(t, "join", err, nil)
				return sub
			}
			watch := func(u User) *Subscription {
				sub, _, err := u.Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, room), Start{})
				want(t, "watch", err, nil)
				return sub
			}
			mal, far := w.visitor("mal", address("2001:db8::ffff")), w.visitor("far", address("2001:db8:0:1::1"))
			anybody := w.chat.As(kaban.Identity{}, address("2001:db8::2"))
			end := map[string]*Subscription{"vic": follow(w.chat.By(vic)), "mal": follow(mal), "a reader": watch(anybody)}
			bob := w.chat.With(kaban.Account("id-bob", storetest.Username(t, "bob")), address("2001:db8::3"), &Credential{})
			stay := map[string]*Subscription{"far": follow(far), "bob": follow(bob), "here": watch(w.chat.As(kaban.Identity{}, netip.Addr{}))}
			want(t, "do", w.do("ann", room, w.to("vic", action)), nil)
			for name, sub := range end {
				if got, why := w.drain(sub); why == "" || slices.ContainsFunc(got, func(s string) bool { return s != "" }) && name == "a reader" {
					t.Errorf("%s: %s gets %q, %q", action, name, got, why)
				}
			}
			for name, sub := range stay {
				if _, why := w.drain(sub); why != "" {
					t.Errorf("%s: %s must go: %q", action, name, why)
				}
			}
			banned := error(nil)
			if action == access.Ban {
				banned = ErrForbidden
			}
			for name, u := range map[string]User{"mal": mal, "a reader": anybody, "vic": w.visitor("vic", address("192.0.2.7"))} {
				_, err = w.history(u, room)
				want(t, action.String()+": then "+name+" reads", err, banned)
			}
			w.chat.Release(vic)
			if action == access.Kick {
				return
			}
			want(t, "unban", w.do("ann", room, w.to("vic", access.Unban)), nil)
			for name, u := range map[string]User{"mal": mal, "a reader": anybody, "vic": w.visitor("vic", address("2001:db8::1"))} {
				_, err = w.history(u, room)
				want(t, "after the unban "+name+" reads", err, nil)
			}
			if n := w.restrictions(room); n != 0 {
				t.Errorf("%d restrictions are left", n)
			}
		})
	}
}

// restrictions counts what moderation has left in a room.
func (w *town) restrictions(room string) (n int) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		found, _, err := people.Restrictions.List(tx, []string{storetest.RoomName(w.t, room).Key()}, nil, 1000)
		n = len(found)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// Two names of one network are banned: it is until both are forgiven. A mute is apart.
func TestANetworkOfTwoThatAreBanned(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "hall", kaban.RoomPublic)
	at := address("192.0.2.7")
	for _, name := range []string{"vic", "wil"} {
		s, err := w.chat.claim(owner{}, kaban.Visitor(storetest.Username(t, name)), at, "")
		want(t, "claim", err, nil)
		want(t, "ban", w.do("ann", "hall", w.to(name, access.Ban)), nil)
		want(t, "mute", w.do("ann", "hall", w.to(name, access.Mute)), nil)
		w.chat.Release(s)
	}
	_, err := w.history(w.visitor("mal", at), "hall")
	want(t, "both are banned", err, ErrForbidden)
	want(t, "unban", w.do("ann", "hall", w.to("vic", access.Unban)), nil)
	_, err = w.history(w.visitor("mal", at), "hall")
	want(t, "one is banned", err, ErrForbidden)
	want(t, "unban", w.do("ann", "hall", w.to("wil", access.Unban)), nil)
	_, err = w.history(w.visitor("mal", at), "hall")
	want(t, "none is banned", err, nil)
	mal := w.visitor("mal", at)
	s, err := w.follow(mal, "hall", 0)
	want(t, "join", err, nil)
	want(t, "both are muted", w.say(mal, s, "hi"), ErrForbidden)
	for _, name := range []string{"vic", "wil"} {
		want(t, "unmute", w.do("ann", "hall", w.to(name, access.Unmute)), nil)
	}
	want(t, "none is muted", w.say(mal, s, "hi"), nil)
	if n := w.restrictions("hall"); n != 0 {
		t.Errorf("%d restrictions are left", n)
	}
}

// Whoever found a place, or asked to come in, while it was allowed, does not get in once
// it is not.
func TestNobodySlipsIn(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "hall", kaban.RoomPublic)
	hall := storetest.RoomName(t, "hall")
	vic, bob, nobody := w.visitor("vic", netip.Addr{}), w.user("bob"), w.chat.As(kaban.Identity{}, netip.Addr{})
	find := func(u User) Place {
		p, err := u.FindToRead(t.Context(), hall, Start{})
		want(t, "find", err, nil)
		return p
	}
	join, err := vic.Find(t.Context(), hall, Start{})
	want(t, "find", err, nil)
	lobby, ok := vic.Locate(storetest.RoomName(t, "lobby"), Start{})
	if !ok {
		t.Fatal("the lobby is not known")
	}
	read, guest := find(nobody), find(bob)
	w.change("bob", func(a *people.Account) { a.Role = kaban.RoleGuest })
	w.setting("access", "invite")
	for name, p := range map[string]Place{"vic": join, "vic, lobby": lobby} {
		_, _, err = vic.Join(reader{}, vic, plain{}, p)
		want(t, name, err, ErrStale)
	}
	_, _, err = nobody.WatchAt(reader{}, nobody, plain{}, read)
	want(t, "nobody", err, ErrStale)
	_, _, err = bob.WatchAt(reader{}, bob, plain{}, guest)
	want(t, "bob", err, ErrStale)
	_, err = w.chat.claim(owner{}, kaban.Visitor(storetest.Username(t, "vic")), netip.Addr{}, "")
	want(t, "claim", err, ErrAuthRequired)
	if _, here := w.chat.names.Visiting(storetest.Username(t, "vic")); here {
		t.Error("the refused visitor has the name")
	}
}

// What a change of the server or of accounts ends, and what it leaves alone.
func TestWhoMustGo(t *testing.T) {
	const room = "hall"
	for _, c := range []struct {
		name   string
		change func(w *town)
		gone   []string
	}{
		{"the server closes", func(w *town) { w.setting("access", "signup") }, []string{"vic joins", "vic watches", "nobody watches"}},
		{"another setting", func(w *town) { w.setting("create_rooms", "admin") }, nil},
		{"bob becomes a guest", func(w *town) { w.change("bob", func(a *people.Account) { a.Role = kaban.RoleGuest }) }, []string{"robo watches"}}, // bob is in it
		{"bob becomes an admin", func(w *town) { w.change("bob", func(a *people.Account) { a.Role = kaban.RoleAdmin }) }, nil},
		{"bob is suspended", func(w *town) { w.change("bob", suspend) }, []string{"bob joins", "bob watches", "robo watches"}},
		{"bob has another name", func(w *town) { w.change("bob", func(a *people.Account) { a.Name = "Bob" }) }, nil},
		{"nothing can be read", func(w *town) {
			_ = w.chat.revise(w.chat.dispatcher.Peek(storetest.RoomName(w.t, room)), errors.New("broken"), false, func(p *kaban.Peer) bool { return p.ID() == "account:id-bob" })
		}, []string{"bob joins", "bob watches"}},
	} {
		drivers(t, func(t *testing.T, s store.Store) {
			w := newTown(t, s)
			w.create("ann", room, kaban.RoomPublic)
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-bob"})
			})
			want(t, "bot", err, nil)
			robo := w.chat.With(kaban.Bot("id-robo", storetest.Username(t, "robo")), netip.Addr{}, &Credential{})
			all := make(map[string]*Subscription)
			for name, u := range map[string]User{"vic": w.visitor("vic", netip.Addr{}), "bob": w.user("bob"), "cat": w.user("cat"), "nobody": w.chat.As(kaban.Identity{}, netip.Addr{}), "robo": robo} {
				all[name+" watches"], _, err = u.Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, room), Start{})
				want(t, name+" watches", err, nil)
				if name == "nobody" || name == "robo" {
					continue
				}
				all[name+" joins"], err = w.follow(u, room, 0)
				want(t, name+" joins", err, nil)
			}
			c.change(w)
			for name, sub := range all {
				if _, why := w.drain(sub); (why != "") != slices.Contains(c.gone, name) {
					t.Errorf("%s: %s: %q", c.name, name, why)
				}
			}
		})
	}
}

// told is an owner that notes what it is told.
type told struct {
	mu    sync.Mutex
	rooms []string
}

func (*told) Replace() {}
func (*told) Revoke()  {}

func (o *told) Changed(room kaban.RoomName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rooms = append(o.rooms, room.String())
}

func (o *told) take() (rooms []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rooms, o.rooms = o.rooms, nil
	return rooms
}

// Members who are not in a room are told that it has changed, others are not.
func TestMembersElsewhereAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		owners := make(map[string]*told)
		for _, name := range []string{"ann", "bob", "cat", "gus"} {
			owners[name] = new(told)
			w.chat.enter(owners[name], w.user(name).Identity(), netip.Addr{}, &Credential{})
		}
		check := func(what string, want map[string]int) {
			t.Helper()
			synctest.Wait()
			for name, o := range owners {
				if got := o.take(); len(got) != want[name] {
					t.Errorf("%s: %s is told of %q, want %d", what, name, got, want[name])
				}
			}
		}
		w.create("ann", "den", kaban.RoomPrivate)
		check("create", map[string]int{"ann": 1})
		for _, action := range []access.Action{access.Mute, access.Unmute, access.Ban, access.Unban} {
			want(t, "done to somebody outside", w.do("ann", "den", w.to("bob", action)), nil)
			check("done to somebody outside", nil)
		}
		want(t, "invite", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		check("invite", map[string]int{"bob": 1})
		want(t, "topic", w.do("ann", "den", Act{Action: access.SetTopic, Topic: "x"}), nil)
		check("topic", map[string]int{"ann": 1, "bob": 1})
		for _, name := range []string{"cat", "gus", "adam", "olga"} { // more members than are connected
			want(t, "invite", w.do("ann", "den", w.to(name, access.Invite)), nil)
		}
		check("invite", map[string]int{"cat": 1, "gus": 1})
		want(t, "set", w.do("ann", "den", Act{Change: people.RoomChange{Flags: &[]string{"locked"}}}), nil)
		check("flags", map[string]int{"ann": 1, "bob": 1, "cat": 1, "gus": 1})

		room, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "direct", err, nil)
		check("direct", map[string]int{"ann": 1, "bob": 1})
		hers, err := w.follow(w.user("ann"), room.String(), 0)
		want(t, "ann joins", err, nil)
		want(t, "ann speaks", w.say(w.user("ann"), hers, "1"), nil)
		check("a message", nil)
		want(t, "bob hides it", w.user("bob").Part(t.Context(), room), nil)
		check("hide", map[string]int{"bob": 1})
		for i := range 2 {
			want(t, "ann speaks", w.say(w.user("ann"), hers, "2"), nil)
			check("the next message", map[string]int{"bob": 1 - i})
		}
		want(t, "topic", w.do("ann", room.String(), Act{Action: access.SetTopic, Topic: "x"}), nil)
		check("topic of a direct room", map[string]int{"ann": 1, "bob": 1})
		w.chat.Close()
		want(t, "topic", w.do("ann", "den", Act{Action: access.SetTopic, Topic: "y"}), nil)
		check("the end", nil)
		time.Sleep(time.Hour) // nothing waits for that
	})
}

// What is read while the server closes is not given to those that it closes to.
func TestReadingWhileTheServerCloses(t *testing.T) {
	s := &betweenRead{Store: memory.New(0)}
	w := newTown(t, s)
	w.create("ann", "hall", kaban.RoomPublic)
	s.run = func() { w.setting("access", "invite") }
	_, err := w.history(w.visitor("vic", netip.Addr{}), "hall")
	want(t, "history", err, ErrAuthRequired)
}

// betweenRead runs something before the next read.
type betweenRead struct {
	store.Store
	run func()
}

func (s *betweenRead) History(ctx context.Context, room kaban.RoomName, page store.Page) (store.History, error) {
	if run := s.run; run != nil {
		s.run = nil
		run()
	}
	return s.Store.History(ctx, room, page)
}

// A room that changes before its turn is told once, to everybody that any of the
// changes concerns; one that was left after the last message stays hidden.
func TestNewsAreGathered(t *testing.T) {
	w := newTown(t, memory.New(0))
	n, den := &w.chat.news, storetest.RoomName(t, "den")
	n.busy = true // so that nobody tells
	w.chat.changed(den)
	w.chat.grew(den)
	w.chat.grew(storetest.RoomName(t, "hall"))
	if room, to, ok := n.take(); !ok || room != den || to.whom != everybody {
		t.Errorf("the first is %v for %v, %v", room, to, ok)
	}
	if _, to, ok := n.take(); !ok || to.whom != thoseAway {
		t.Errorf("the second is for %v, %v", to, ok)
	}
	if _, _, ok := n.take(); ok || n.busy {
		t.Error("there are more")
	}
	room, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
	want(t, "direct", err, nil)
	want(t, "bob hides it", w.user("bob").Part(t.Context(), room), nil)
	for range 2 {
		if accounts, err := w.chat.uncover(t.Context(), room); err != nil || len(accounts) > 0 {
			t.Errorf("nothing was said, and it comes back for %q, %v", accounts, err)
		}
	}
}

// A direct room that was hidden comes back with the next message, and not with a reaction to
// an old one, a pin or a topic.
func TestOnlyAMessageBringsADirectRoomBack(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann, bob := w.user("ann"), w.user("bob")
		room, err := ann.Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "direct", err, nil)
		first, err := w.post(ann, room.String(), "hello", 0)
		want(t, "ann speaks", err, nil)
		shown := func(what string, want bool) {
			t.Helper()
			me, err := bob.Me(t.Context(), "", 0)
			if err != nil || (len(me.Rooms) > 0) != want {
				t.Errorf("%s: bob's rooms are %+v, %v", what, me.Rooms, err)
			}
			if _, in, err := bob.State(t.Context(), room); in != want || err != nil {
				t.Errorf("%s: bob is told of the room: %v, %v; want %v", what, in, err, want)
			}
		}
		want(t, "bob hides it", bob.Part(t.Context(), room), nil)
		shown("hidden", false)
		for _, c := range []Change{react(first, "👍"), pin(first), edit(first, "hello!")} {
			_, err := w.alter(ann, room.String(), c)
			want(t, "change", err, nil)
		}
		want(t, "topic", w.do("ann", room.String(), Act{Action: access.SetTopic, Topic: "x"}), nil)
		back, err := w.chat.uncover(t.Context(), room)
		if err != nil || len(back) > 0 {
			t.Errorf("it comes back for %q, %v", back, err)
		}
		shown("changes", false)
		_, err = w.post(ann, room.String(), "still there?", 0)
		want(t, "ann speaks", err, nil)
		shown("a message", true)
		for !w.uncovered("bob", room) { // the news do it, or this
			_, err := w.chat.uncover(t.Context(), room)
			want(t, "uncover", err, nil)
		}
		shown("uncovered", true)
	})
}

// uncovered reports whether an account has not hidden a direct room.
func (w *town) uncovered(name string, room kaban.RoomName) (is bool) {
	w.t.Helper()
	if err := w.chat.dispatcher.View(w.t.Context(), func(tx store.Tx) error {
		m, in, err := people.Members.Find(tx, room.Key(), "id-"+name)
		is = in && m.Hidden == 0
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return is
}

// Package account takes a server whose owners are suspended for claimed, so nobody claims it.
// Then it does not open for visitors either.
func TestAServerOfSuspendedOwnersIsClaimed(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			owner := people.Account{ID: "id-olga", Username: "olga", Role: kaban.RoleOwner, Status: people.StatusSuspended}
			return errors.Join(people.Accounts.Put(tx, &owner), people.Settings.Delete(tx, people.SettingAccess))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.chat.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !w.chat.IsClaimed() || w.chat.TakesVisitors() {
			t.Errorf("claimed: %t, takes visitors: %t; want true, false", w.chat.IsClaimed(), w.chat.TakesVisitors())
		}
	})
}

// A bot in a public room leaves it when it becomes private and its owner is not a member.
func TestABotLeavesWhatBecomesPrivateWithoutItsOwner(t *testing.T) {
	for _, owner := range []string{"bob", "ann"} {
		w := newTown(t, memory.New(0))
		w.robot(owner, kaban.RoleMember)
		w.create("ann", "hall", kaban.RoomPublic)
		s, err := w.follow(w.user("robo"), "hall", 1)
		want(t, "robo joins", err, nil)
		want(t, "ann makes the room private", w.do("ann", "hall", Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}), nil)
		entries, why := w.drain(s)
		if stays := owner == "ann"; stays != (why == "") || stays != (entries[0] != "") {
			t.Errorf("the bot of %s is given %q and %q", owner, entries, why)
		}
	}
}
