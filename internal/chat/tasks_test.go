package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// failing is a store that refuses everything that writes after a number of writes.
type failing struct {
	store.Store
	left atomic.Int64 // negative: no end
}

var errFull = fmt.Errorf("a test: %w", store.ErrFull)

func (f *failing) fails() bool {
	if f.left.Load() < 0 {
		return false
	}
	if f.left.Load() == 0 {
		return true
	}
	f.left.Add(-1)
	return false
}

func (f *failing) Update(ctx context.Context, run func(store.Tx) error) error {
	if f.fails() {
		return errFull
	}
	return f.Store.Update(ctx, run)
}

func (f *failing) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if f.fails() {
		return errFull
	}
	return f.Store.Append(ctx, writes, results)
}

// give stores a task with a change of an account, and has the chat notice.
func (w *town) give(task people.Task, change func(*people.Account)) {
	w.t.Helper()
	task.ID = fmt.Sprint(task.Kind)
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, task.Account)
		if err != nil {
			return err
		}
		change(&a)
		return errors.Join(people.Accounts.Put(tx, &a), people.Tasks.Put(tx, &task))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.AccountChanged(task.Account)
}

func nothing(*people.Account) {}

// restart has the same store in another server.
func (w *town) restart() {
	w.t.Helper()
	w.restartWith(Options{})
}

func (w *town) restartWith(options Options) {
	w.t.Helper()
	d, err := dispatch.New(w.t.Context(), w.store, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(d.Close)
	w.chat = chatOver(w.t, d, options)
}

// changes returns the entries of kind member in a room.
func (w *town) changes(room string) (all []string) {
	w.t.Helper()
	page, err := w.store.Read(w.t.Context(), storetest.RoomName(w.t, room), store.Page{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range page {
		if e.Kind != kaban.KindMember {
			continue
		}
		change, err := people.DecodeChange[people.MemberChange](e.Content)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, fmt.Sprint(e.Username, " ", change.Change, " ", change.Subject))
	}
	return all
}

// roles returns who is what in a room.
func (w *town) roles(room string) (all []string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		return people.Members.All(tx, storetest.RoomName(w.t, room).Key(), func(m *people.Member) bool {
			all = append(all, fmt.Sprint(m.Account[len("id-"):], " ", m.Role))
			return true
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// tasks counts the tasks that are left.
func (w *town) tasks() (n int) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		all, _, err := people.Tasks.List(tx, nil, nil, 100)
		n = len(all)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *town) equal(what string, got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// enterAt makes an account a member since a time.
func (w *town) enterAt(name, room string, role kaban.RoomRole, since int64) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		r, err := people.Rooms.Get(tx, storetest.RoomName(w.t, room).Key())
		if err != nil {
			return err
		}
		return people.Enter(tx, "", &r, &people.Member{Room: r.Key, Account: "id-" + name, Role: role, From: 1, Since: since})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Whatever write is the last before a server ends, in the end everything is done, and
// once.
func TestTasksSurviveTheServer(t *testing.T) {
	for writes := range int64(20) {
		s := &failing{Store: memory.New(0)}
		s.left.Store(-1)
		w := newTown(t, s)
		for _, room := range []string{"hall", "den", "vault"} {
			kind := kaban.RoomPrivate
			if room == "hall" {
				kind = kaban.RoomPublic
			}
			w.create("ann", room, kind)
			w.enterAt("bob", room, kaban.RoomRoleMember, 1)
		}
		s.left.Store(writes)
		join := people.Task{Account: "id-cat", Kind: people.TaskJoin, Rooms: []string{"lobby", "news"}, Invited: []string{"den", "vault"}, Inviter: "id-ann"}
		succeed, leave := people.Task{Account: "id-ann", Kind: people.TaskSucceed}, people.Task{Account: "id-ann", Kind: people.TaskLeave}
		s.left.Store(writes + 1) // the change itself
		w.give(join, nothing)
		s.left.Store(-1)
		w.restart()
		w.equal("lobby", w.changes("lobby"), "cat joined cat")
		s.left.Store(writes + 1)
		w.give(succeed, suspend)
		s.left.Store(-1)
		w.restart()
		s.left.Store(writes + 1)
		w.give(leave, suspend)
		s.left.Store(-1)
		w.restart()
		for range 2 {
			w.equal("lobby", w.changes("lobby"), "cat joined cat")
			w.equal("news", w.changes("news"), "cat joined cat")
			w.equal("hall", w.changes("hall"), "server role bob")
			w.equal("hall", w.roles("hall"), "bob op")
			for _, room := range []string{"den", "vault"} {
				w.equal(room, w.changes(room), "ann invited cat", "server role bob", "ann left ann")
				w.equal(room, w.roles(room), "bob op", "cat member")
			}
			if n := w.tasks(); n > 0 {
				t.Fatalf("after %d writes %d tasks are left", writes, n)
			}
			w.restart()
		}
	}
}

// A task that failed is done with the next one, and one that was done again does not
// bring back who has left since.
func TestTasksLater(t *testing.T) {
	s := &failing{Store: memory.New(0)}
	s.left.Store(-1)
	w := newTown(t, s)
	s.left.Store(1)
	w.give(people.Task{Account: "id-cat", Kind: people.TaskJoin, Rooms: []string{"lobby"}}, nothing)
	s.left.Store(-1)
	w.equal("the store is full", w.roles("lobby"))
	w.chat.AccountChanged("id-bob")
	w.equal("the store works", w.roles("lobby"), "cat member")
	want(t, "part", w.user("cat").Part(t.Context(), storetest.RoomName(t, "lobby")), nil)
	w.give(people.Task{Account: "id-cat", Kind: people.TaskJoin, Rooms: []string{"lobby"}}, nothing)
	w.equal("again", w.roles("lobby"))
	if n := w.tasks(); n > 0 {
		t.Errorf("%d tasks are left", n)
	}
}

// Who becomes op where the last one is gone.
func TestTheHeir(t *testing.T) {
	type one struct {
		name  string
		role  kaban.RoomRole
		since int64
	}
	member, op := kaban.RoomRoleMember, kaban.RoomRoleOp
	for _, c := range []struct {
		name    string
		members []one
		change  func(w *town)
		want    string // the heir
	}{
		{"alone", nil, nil, ""},
		{"the member of longest standing", []one{{"cat", member, 3}, {"bob", member, 2}, {"adam", member, 4}}, nil, "bob"},
		{"a speaker is a member", []one{{"cat", kaban.RoomRoleSpeaker, 1}, {"bob", member, 2}}, nil, "cat"},
		{"of those that came at once, always the same", []one{{"cat", member, 2}, {"bob", member, 2}}, nil, "bob"},
		{"no guest", []one{{"gus", member, 1}, {"cat", member, 2}}, nil, "cat"},
		{"only a guest", []one{{"gus", member, 1}}, nil, ""},
		{"no bot", []one{{"robo", member, 1}, {"cat", member, 2}}, nil, "cat"},
		{"nobody that is suspended", []one{{"bob", member, 1}, {"cat", member, 2}}, func(w *town) { w.change("bob", suspend) }, "cat"},
		{"another op", []one{{"bob", member, 1}, {"cat", op, 2}}, nil, ""},
		{"a guest that is op", []one{{"bob", member, 1}, {"gus", op, 2}}, nil, ""},
		{"another op that is suspended", []one{{"bob", member, 2}, {"cat", op, 1}}, func(w *town) { w.change("cat", suspend) }, "bob"},
		{"another op that is a bot", []one{{"bob", member, 2}, {"robo", op, 1}}, nil, "bob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTown(t, memory.New(0))
			err := w.store.Update(t.Context(), func(tx store.Tx) error {
				return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-cat"})
			})
			want(t, "bot", err, nil)
			w.create("ann", "den", kaban.RoomPrivate)
			for _, m := range c.members {
				w.enterAt(m.name, "den", m.role, m.since)
			}
			if c.change != nil {
				c.change(w)
			}
			if w.give(people.Task{Account: "id-ann", Kind: people.TaskSucceed}, nothing); len(w.changes("den")) > 0 {
				t.Error("ann is active, and has an heir")
			}
			w.give(people.Task{Account: "id-ann", Kind: people.TaskSucceed}, suspend)
			if c.want == "" {
				w.equal("the log", w.changes("den"))
				return
			}
			w.equal("the log", w.changes("den"), "server role "+c.want)
			if got := w.roles("den"); !slices.Contains(got, c.want+" op") {
				t.Errorf("roles: %q", got)
			}
			if c.want == "bob" || c.want == "cat" {
				want(t, "the heir does something", w.do(c.want, "den", Act{Action: access.SetTopic, Topic: "x"}), nil)
			}
		})
	}
}

// The members of a room change while an heir is looked for.
func TestTheHeirIsGone(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	w.enterAt("bob", "den", kaban.RoomRoleMember, 1)
	w.enterAt("cat", "den", kaban.RoomRoleMember, 2)
	w.change("ann", suspend)
	between := &betweenStore{Store: w.store}
	w.store = between
	w.restart()
	between.run = func() { w.change("bob", suspend) }
	want(t, "hand over", w.user("ann").handOver(t.Context()), nil)
	w.equal("the log", w.changes("den"), "server role cat")
	w.equal("roles", w.roles("den"), "ann op", "bob member", "cat op")
}

// betweenStore runs something before the next append.
type betweenStore struct {
	store.Store
	run func()
}

func (s *betweenStore) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if run := s.run; run != nil {
		s.run = nil
		run()
	}
	return s.Store.Append(ctx, writes, results)
}

// What the first rooms of an account leave out.
func TestTheFirstRooms(t *testing.T) {
	w := newTown(t, memory.New(0))
	for _, room := range []string{"hall", "old", "off"} {
		w.create("ann", room, kaban.RoomPublic)
	}
	w.create("bob", "den", kaban.RoomPrivate)
	want(t, "ban", w.do("ann", "off", w.to("cat", access.Ban)), nil)
	yes := true
	want(t, "archive", w.do("ann", "old", Act{Change: people.RoomChange{Archived: &yes}}), nil)
	rooms := []string{"hall", "old", "off", "den", "h\u0430ll", "not a room", "lobby", "fresh"} // there is no fresh yet
	w.give(people.Task{Account: "id-cat", Kind: people.TaskJoin, Rooms: rooms, Invited: []string{"den", "nowhere", "old"}, Inviter: "id-ann"}, nothing)
	for room, members := range map[string][]string{
		"fresh": {"cat member", "olga op"}, "hall": {"ann op", "cat member"}, "lobby": {"cat member"}, "old": {"ann op"}, "off": {"ann op"}, "den": {"bob op"}, "nowhere": nil,
	} {
		w.equal(room, w.roles(room), members...)
	}
	w.give(people.Task{Account: "id-gus", Kind: people.TaskJoin, Invited: []string{"hall", "den"}}, nothing)
	w.equal("a guest of the operator", w.roles("hall"), "ann op", "cat member", "gus member")
	w.equal("a guest of the operator", w.roles("den"), "bob op")
	w.give(people.Task{Account: "id-bob", Kind: people.TaskJoin, Rooms: []string{"hall"}}, suspend)
	w.equal("somebody that is suspended", w.roles("hall"), "ann op", "cat member", "gus member")
	if n := w.tasks(); n > 0 {
		t.Errorf("%d tasks are left", n)
	}
	if r := w.chat.dispatcher.Peek(storetest.RoomName(t, "lobby")); r.Revision() != 0 {
		t.Error("joining the lobby makes it cost something to everybody")
	}
}

// An account that leaves for good leaves nothing of itself in rooms but its entries.
func TestLeavingForGood(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		w.create("ann", "den", kaban.RoomPrivate)
		for _, room := range []string{"hall", "den"} {
			w.enterAt("bob", room, kaban.RoomRoleMember, 1)
		}
		w.create("cat", "off", kaban.RoomPublic)
		want(t, "ban", w.do("cat", "off", w.to("bob", access.Ban)), nil)
		want(t, "mute", w.do("cat", "off", w.to("gus", access.Mute)), nil)
		direct, err := w.user("bob").Direct(t.Context(), []kaban.Username{storetest.Username(t, "ann")})
		want(t, "direct", err, nil)
		w.give(people.Task{Account: "id-bob", Kind: people.TaskLeave}, func(a *people.Account) { a.Status = people.StatusRemoved })
		w.equal("hall", w.roles("hall"), "ann op")
		w.equal("den", w.roles("den"), "ann op")
		w.equal("the log of den", w.changes("den"), "bob left bob")
		w.equal("direct", w.roles(direct.String()), "ann member")
		if n := w.restrictions("off"); n != 1 {
			t.Errorf("%d restrictions are left, want that of gus", n)
		}
		_, err = w.history(w.user("ann"), direct.String())
		want(t, "ann reads", err, nil)
	})
}

// Those that an older version has removed leave their rooms when this one starts. It
// looks for them once.
func TestRemovedByAnOlderVersion(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		w.create("ann", "den", kaban.RoomPrivate)
		for _, name := range []string{"bob", "cat", "gus"} {
			w.enterAt(name, "hall", kaban.RoomRoleMember, 1)
			w.enterAt(name, "den", kaban.RoomRoleMember, 1)
		}
		remove := func(names ...string) {
			t.Helper()
			want(t, "removed", w.store.Update(t.Context(), func(tx store.Tx) error {
				for _, name := range names {
					a, err := people.Accounts.Get(tx, "id-"+name)
					if err != nil {
						return err
					}
					a.Status = people.StatusRemoved
					if err := people.Accounts.Put(tx, &a); err != nil {
						return err
					}
				}
				return nil
			}), nil)
		}
		remove("bob", "gus", "olga") // a member, a guest, and one that is in no room
		want(t, "an older version", w.store.Update(t.Context(), func(tx store.Tx) error {
			return people.Upgrades.Delete(tx, people.UpgradeLeave)
		}), nil)
		w.restart()
		w.equal("hall", w.roles("hall"), "ann op", "cat member")
		w.equal("den", w.roles("den"), "ann op", "cat member")
		w.equal("the log of den", w.changes("den"), "bob left bob", "gus left gus")
		if n := w.tasks(); n > 0 {
			t.Errorf("%d tasks are left", n)
		}

		remove("cat") // behind the back of everybody: a task is what removes members now
		w.restart()
		w.equal("looked once", w.roles("hall"), "ann op", "cat member")
	})
}
