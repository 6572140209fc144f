package hook_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/hook"
	"kaban/internal/people"
	"kaban/internal/session"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// place is a server with hooks.
type place struct {
	*testing.T
	store    store.Store
	chat     *chat.Chat
	accounts *account.Service
	hooks    *hook.Service
	posts    int
	stop     func()
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, store: memory.New(0)}
	p.start()
	return p
}

// start starts the server over what is stored.
func (p *place) start() {
	p.Helper()
	d, err := dispatch.New(p.Context(), p.store, dispatch.Options{})
	must(p.T, err)
	p.chat, err = chat.New(p.Context(), d, chat.Options{})
	must(p.T, err)
	p.stop = sync.OnceFunc(func() { p.chat.Close(); d.Close() })
	p.Cleanup(p.stop)
	p.accounts = account.New(p.store, account.Options{Hashes: 1, OnChanged: p.chat.AccountChanged, OnSettings: p.chat.SettingChanged})
	p.hooks = hook.New(p.accounts)
}

func (p *place) restart() {
	p.Helper()
	p.stop()
	p.start()
}

// operator returns a command in the data directory.
func (p *place) operator() hook.By {
	return hook.By{User: p.chat.Operator(), Actor: account.Operator()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func named(t *testing.T, room, username string) hook.NewHook {
	t.Helper()
	n := hook.NewHook{Username: storetest.Username(t, username)}
	var err error
	n.Room, err = kaban.ParseRoomName(room)
	must(t, err)
	return n
}

// post posts as the holder of a key.
func (p *place) post(key string) error {
	p.Helper()
	h, err := p.chat.FindHook(p.Context(), key)
	if err != nil {
		return err
	}
	return p.postAs(h, h.Username)
}

func (p *place) postAs(h chat.Hook, name kaban.Username) error {
	p.Helper()
	p.posts++
	id, err := kaban.ParseMessageID(fmt.Sprint("p", p.posts))
	must(p.T, err)
	_, _, err = p.chat.Hook(h, name).Post(p.Context(), h.Room, id, "green", 0)
	return err
}

// entries returns the log of a room, an entry a string.
func (p *place) entries(room string) (all []string) {
	p.Helper()
	name, err := kaban.ParseRoomName(room)
	must(p.T, err)
	found, err := p.store.Read(p.Context(), name, store.Page{Limit: 100})
	must(p.T, err)
	for _, e := range found {
		kind := "message"
		if e.Kind == kaban.KindMember {
			kind = "member"
		}
		all = append(all, fmt.Sprintf("%s %s %s", kind, e.Username, e.Content))
	}
	return all
}

func (p *place) change(do func(store.Tx) error) {
	p.Helper()
	must(p.T, p.store.Update(p.Context(), do))
	must(p.T, p.chat.Reload(p.Context()))
}

func TestAHookIsAMemberOfItsRoom(t *testing.T) {
	p := newPlace(t)
	key, h, err := p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "ci"))
	must(t, err)
	if len(key) < 26 || strings.Contains(h.Hash+h.ID, key) {
		t.Errorf("the key is %q of %+v", key, h)
	}
	must(t, p.post(key))
	found, err := p.chat.FindHook(t.Context(), key)
	must(t, err)
	must(t, p.postAs(found, storetest.Username(t, "jenkins")))
	for _, wrong := range []string{"", key + "x", strings.ToLower(key), h.Hash, h.ID, strings.Repeat("x", 1000)} {
		if _, err := p.chat.FindHook(t.Context(), wrong); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	removed, err := p.hooks.Remove(t.Context(), p.operator(), h.ID[:6])
	if err != nil || removed.ID != h.ID {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if err := p.post(key); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("a removed key: %v", err)
	}
	// The decision is made in the commit, whatever was looked up before.
	if err := p.postAs(found, found.Username); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("a hook that was found before: %v", err)
	}
	want := []string{
		`member ci {"subject":"ci","change":"joined"}`, "message ci green", "message jenkins green",
		`member ci {"subject":"ci","change":"left"}`,
	}
	if got := p.entries("builds"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log is\n%s", strings.Join(got, "\n"))
	}
	page, err := p.accounts.Audit(t.Context(), account.Operator(), account.AuditQuery{Action: "hook"})
	if err == nil {
		t.Errorf("the audit of a server without an owner: %+v", page)
	}
	var rows []string
	must(t, p.store.View(t.Context(), func(tx store.Tx) error {
		found, _, err := people.Audits.Since(tx, 0, nil, 100)
		for _, row := range found {
			if strings.Contains(fmt.Sprint(row), key) {
				t.Error("the audit has the key")
			}
			rows = append(rows, row.Action+" "+row.Subject+" "+row.Detail)
		}
		return err
	}))
	if want := []string{"hook.add " + h.ID + " ci in builds", "hook.remove " + h.ID + " ci in builds"}; strings.Join(rows, ",") != strings.Join(want, ",") &&
		strings.Join(rows, ",") != want[1]+","+want[0] { // within a millisecond
		t.Errorf("the audit has %q", rows)
	}
}

// A hook posts whoever may come in, in private rooms, too, and not where a member
// cannot.
func TestWhereHooksPost(t *testing.T) {
	p := newPlace(t)
	_, err := p.accounts.MakeOwner(t.Context(), "olga", "correct horse battery")
	must(t, err)
	key, h, err := p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "ci"))
	must(t, err)
	speaker := named(t, "builds", "news")
	speaker.Speaker = true
	loud, _, err := p.hooks.Add(t.Context(), p.operator(), speaker)
	must(t, err)
	kept := func(change func(*people.Room)) {
		p.change(func(tx store.Tx) error {
			r, _, err := people.Rooms.Known(tx, named(t, "builds", "x").Room)
			if err != nil {
				return err
			}
			r.Flags = 0
			change(&r)
			if err := people.Rooms.Put(tx, &r); err != nil {
				return err
			}
			return tx.Bump(named(t, "builds", "x").Room)
		})
	}
	for _, test := range []struct {
		name        string
		change      func(*people.Room)
		quiet, loud error
	}{
		{"public", func(*people.Room) {}, nil, nil},
		{"private", func(r *people.Room) { r.Kind = kaban.RoomPrivate }, nil, nil},
		{"announce", func(r *people.Room) { r.Flags = kaban.FlagAnnounce }, chat.ErrForbidden, nil},
		{"archived", func(r *people.Room) { r.Flags = kaban.FlagArchived }, chat.ErrForbidden, chat.ErrForbidden},
	} {
		kept(test.change)
		if err := p.post(key); !errors.Is(err, test.quiet) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := p.post(loud); !errors.Is(err, test.loud) {
			t.Errorf("%s, a speaker: %v", test.name, err)
		}
	}
	if _, _, err := p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "late")); !errors.Is(err, chat.ErrForbidden) {
		t.Errorf("a hook for an archived room: %v", err)
	}
	kept(func(*people.Room) {})
	p.change(func(tx store.Tx) error {
		return people.Restrictions.Put(tx, &people.Restriction{Room: "builds", Subject: "hook:" + h.ID, Mute: true})
	})
	if err := p.post(key); !errors.Is(err, chat.ErrForbidden) {
		t.Errorf("muted: %v", err)
	}
}

func TestWhoManagesHooks(t *testing.T) {
	p := newPlace(t)
	if _, _, err := p.hooks.Add(t.Context(), hook.By{User: p.chat.Operator()}, named(t, "builds", "ci")); !errors.Is(err, account.ErrUnclaimed) {
		t.Errorf("anybody, on a server without an owner: %v", err)
	}
	_, err := p.accounts.MakeOwner(t.Context(), "olga", "correct horse battery")
	must(t, err)
	actors := map[kaban.Role]hook.By{}
	for name, role := range map[string]kaban.Role{"adam": kaban.RoleAdmin, "mia": kaban.RoleMember, "gus": kaban.RoleGuest} {
		_, _, err := p.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{
			NewAccount: account.NewAccount{Username: name, Password: "correct horse battery"}, Role: role,
		})
		must(t, err)
		s, err := p.accounts.SignInWithPassword(t.Context(), name, "correct horse battery", account.Device{})
		must(t, err)
		id, err := s.Principal.Account.Identity()
		must(t, err)
		actors[role] = hook.By{User: p.chat.With(id, netip.Addr{}, &chat.Credential{ID: s.Principal.SecretID, Device: true, Fresh: true}), Actor: s.Principal.As("")}
	}
	stale := actors[kaban.RoleAdmin]
	id, err := stale.Actor.Principal.Account.Identity()
	must(t, err)
	stale.User = p.chat.With(id, netip.Addr{}, &chat.Credential{ID: stale.Actor.Principal.SecretID, Device: true})
	if _, _, err := p.hooks.Add(t.Context(), stale, named(t, "builds", "ci")); !errors.Is(err, chat.ErrNotFresh) {
		t.Errorf("without a fresh sign-in: %v", err)
	}
	key, h, err := p.hooks.Add(t.Context(), actors[kaban.RoleAdmin], named(t, "builds", "ci"))
	must(t, err)
	if h.Creator == "" {
		t.Error("the hook of an admin has no creator")
	}
	for _, role := range []kaban.Role{kaban.RoleMember, kaban.RoleGuest} {
		_, _, added := p.hooks.Add(t.Context(), actors[role], named(t, "builds", "ci"))
		_, listed := p.hooks.List(t.Context(), actors[role].User)
		_, removed := p.hooks.Remove(t.Context(), actors[role], h.ID)
		for what, err := range map[string]error{"add": added, "list": listed, "remove": removed} {
			want := chat.ErrForbidden
			if role == kaban.RoleGuest && what == "add" {
				want = chat.ErrNotFound // of the room
			}
			if !errors.Is(err, want) {
				t.Errorf("%s by a %s: %v", what, role, err)
			}
		}
	}
	must(t, p.post(key))
}

func TestBadHooks(t *testing.T) {
	p := newPlace(t)
	if _, _, err := p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "server")); !errors.Is(err, session.ErrReserved) {
		t.Errorf("a reserved name: %v", err)
	}
	direct, err := kaban.ParseAnyRoom(kaban.NewDirectRoom().String())
	must(t, err)
	if _, _, err := p.hooks.Add(t.Context(), p.operator(), hook.NewHook{Room: direct}); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("a direct room: %v", err)
	}
	seen, twice := map[string]bool{}, ""
	for range 17 { // two of the ids begin with the same digit
		_, h, err := p.hooks.Add(t.Context(), p.operator(), hook.NewHook{Room: named(t, "builds", "x").Room})
		must(t, err)
		if h.Username != "webhook" {
			t.Errorf("the default name is %s", h.Username)
		}
		if seen[h.ID[:1]] {
			twice = h.ID[:1]
		}
		seen[h.ID[:1]] = true
	}
	for id, want := range map[string]error{twice: hook.ErrAmbiguous, "": hook.ErrNotFound, "zz": hook.ErrNotFound} {
		if _, err := p.hooks.Remove(t.Context(), p.operator(), id); !errors.Is(err, want) {
			t.Errorf("remove %q: %v", id, err)
		}
	}
	if all, err := p.hooks.List(t.Context(), p.chat.Operator()); err != nil || len(all) != 17 {
		t.Errorf("%d hooks, %v", len(all), err)
	}
}

const password = "correct horse battery"

// op returns a member that is op of a new room, who makes a hook there, and its key.
func (p *place) op(username, room string) (by hook.By, key string) {
	p.Helper()
	ctx := p.Context()
	if _, has, err := p.accounts.Settings(ctx); err != nil || !has {
		_, err := p.accounts.MakeOwner(ctx, "olga", password)
		must(p.T, err)
	}
	_, _, err := p.accounts.AddAccount(ctx, account.Operator(), account.NewPerson{
		NewAccount: account.NewAccount{Username: username, Password: password}, Role: kaban.RoleMember,
	})
	must(p.T, err)
	session, err := p.accounts.SignInWithPassword(ctx, username, password, account.Device{})
	must(p.T, err)
	id, err := session.Principal.Account.Identity()
	must(p.T, err)
	by.Actor = session.Principal.As("")
	by.User = p.chat.With(id, netip.Addr{}, &chat.Credential{ID: session.Principal.SecretID, Device: true, Fresh: true})
	n := named(p.T, room, "ci")
	must(p.T, by.User.Create(ctx, n.Room, chat.NewRoom{Kind: kaban.RoomPublic}))
	key, _, err = p.hooks.Add(ctx, by, n)
	must(p.T, err)
	return by, key
}

// audited returns the subjects of an action in the audit.
func (p *place) audited(action string) (subjects []string) {
	p.Helper()
	page, err := p.accounts.Audit(p.Context(), account.Operator(), account.AuditQuery{Action: action})
	must(p.T, err)
	for _, r := range page.Rows {
		subjects = append(subjects, r.Subject)
	}
	return subjects
}

// A hook pauses while the account that made it is suspended, also over a restart. It is seen
// to, and works again afterwards.
func TestHooksOfASuspendedAccount(t *testing.T) {
	p := newPlace(t)
	_, key := p.op("ann", "builds")
	operators, _, err := p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "nightly"))
	must(t, err)
	must(t, p.post(key))
	found, err := p.chat.FindHook(t.Context(), key)
	must(t, err)
	must(t, p.accounts.Suspend(t.Context(), account.Operator(), "ann", "on leave"))
	for _, restarted := range []bool{false, true} {
		if restarted {
			p.restart()
		}
		if err := p.post(key); !errors.Is(err, chat.ErrPaused) || !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("restarted %v: a new request: %v", restarted, err)
		}
		if err := p.postAs(found, found.Username); !errors.Is(err, chat.ErrPaused) {
			t.Errorf("restarted %v: one that was under way: %v", restarted, err)
		}
		must(t, p.post(operators))
		all, err := p.hooks.List(t.Context(), p.chat.Operator())
		if err != nil || len(all) != 2 || pauses(all[0]) != (all[0].Username == "ci") || pauses(all[1]) != (all[1].Username == "ci") {
			t.Errorf("restarted %v: the list is %+v, %v", restarted, all, err)
		}
	}
	must(t, p.accounts.Restore(t.Context(), account.Operator(), "ann"))
	must(t, p.post(key))
}

func pauses(h chat.SeenHook) bool { return errors.Is(h.Paused, chat.ErrMakerSuspended) }

// A hook pauses while the account that made it may not read its room, and only then: nobody
// whom a room has put out speaks there with a key that is left. It is decided in the commit.
func TestHooksOfSomebodyPutOut(t *testing.T) {
	p := newPlace(t)
	ann, key := p.op("ann", "builds")
	bob, _ := p.op("bob", "tests")
	room, name := named(t, "builds", "ci").Room, storetest.Username(t, "ann")
	act := func(by chat.User, a chat.Act) {
		t.Helper()
		id, err := kaban.ParseMessageID(fmt.Sprint("act", p.posts))
		must(t, err)
		p.posts++
		a.Room, a.ID = room, id
		send, err := by.Act(nil, 0, a)
		must(t, err)
		_, err = by.Commit(t.Context(), send)
		must(t, err)
	}
	found, err := p.chat.FindHook(t.Context(), key)
	must(t, err)
	posts := func(when string, want error) {
		t.Helper()
		if err := p.post(key); !errors.Is(err, want) {
			t.Errorf("%s: a new request: %v", when, err)
		}
		if err := p.postAs(found, found.Username); !errors.Is(err, want) {
			t.Errorf("%s: one that was under way: %v", when, err)
		}
		all, err := p.hooks.List(t.Context(), p.chat.Operator())
		if i := slices.IndexFunc(all, func(h chat.SeenHook) bool { return h.ID == found.ID }); err != nil || i < 0 || !errors.Is(all[i].Paused, want) {
			t.Errorf("%s: the list is %+v, %v", when, all, err)
		}
	}
	posts("at first", nil)
	bobs := storetest.Username(t, "bob")
	act(ann.User, chat.Act{Action: access.Invite, Subject: bobs})
	act(ann.User, chat.Act{Action: access.SetRoomRole, Subject: bobs, Role: kaban.RoomRoleOp})
	act(bob.User, chat.Act{Action: access.SetRoomRole, Subject: name, Role: kaban.RoomRoleMember})
	posts("as a member", nil)
	act(bob.User, chat.Act{Action: access.Kick, Subject: name})
	posts("outside a public room, which she may read", nil)
	act(bob.User, chat.Act{Action: access.Ban, Subject: name})
	posts("banned", chat.ErrMakerOutside)
	act(bob.User, chat.Act{Action: access.Unban, Subject: name})
	posts("not banned any more", nil)
	act(bob.User, chat.Act{Action: access.MakePrivate, Change: people.RoomChange{Kind: kaban.RoomPrivate}})
	posts("outside a private room", chat.ErrMakerOutside)
	p.restart()
	bob.User = p.chat.With(bob.User.Identity(), netip.Addr{}, nil)
	posts("after a restart", chat.ErrMakerOutside)
	act(bob.User, chat.Act{Action: access.Invite, Subject: name})
	posts("back in it", nil)
}

// A hook ends with the account that made it, whenever the server stops: at once for whoever
// has its key, and with an entry that its room sees, once.
func TestHooksOfARemovedAccount(t *testing.T) {
	for name, remove := range map[string]func(p *place) error{
		"removed": func(p *place) error { return p.accounts.Remove(p.Context(), account.Operator(), "ann") },
		"erased":  func(p *place) error { return p.accounts.Erase(p.Context(), account.Operator(), "ann") },
		"removed before the server stops": func(p *place) error {
			return account.New(p.store, account.Options{}).Remove(p.Context(), account.Operator(), "ann")
		},
		"removed by an older version": func(p *place) error {
			return p.store.Update(p.Context(), func(tx store.Tx) error {
				a, err := people.Accounts.Named(tx, storetest.Username(p.T, "ann"))
				must(p.T, err)
				a.Status = people.StatusRemoved
				return people.Accounts.Put(tx, &a)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			_, key := p.op("ann", "builds")
			bob, bobs := p.op("bob", "tests")
			found, err := p.chat.FindHook(t.Context(), key)
			must(t, err)
			must(t, remove(p))
			for restarts := range 3 {
				if err := p.post(key); !errors.Is(err, chat.ErrNotFound) {
					t.Errorf("after %d restarts: a new request: %v", restarts, err)
				}
				if err := p.postAs(found, found.Username); !errors.Is(err, chat.ErrNotFound) {
					t.Errorf("after %d restarts: one that was under way: %v", restarts, err)
				}
				must(t, p.post(bobs))
				if all, err := p.hooks.List(t.Context(), p.chat.Operator()); err != nil || len(all) != 1 || all[0].Room != "tests" {
					t.Errorf("after %d restarts: the list is %+v, %v", restarts, all, err)
				}
				p.restart()
			}
			left := slices.DeleteFunc(p.entries("builds"), func(e string) bool { return !strings.Contains(e, "member ci") || !strings.Contains(e, "left") })
			if len(left) != 1 {
				t.Errorf("the log has %q", p.entries("builds"))
			}
			if rows := p.audited("hook.remove"); name != "removed by an older version" && !slices.Equal(rows, []string{found.ID}) {
				t.Errorf("the audit has %q, want %s", rows, found.ID)
			}
			must(t, p.store.View(t.Context(), func(tx store.Tx) error {
				all, _, err := people.Hooks.List(tx, nil, nil, 10)
				if len(all) != 1 || all[0].Creator != bob.Actor.Principal.Account.ID {
					t.Errorf("stored are %+v", all)
				}
				return err
			}))
		})
	}
}

// What the programs of an account have written goes when that is erased: what its bots wrote, and
// hooks that it made, also one that was removed long before. What others have stays.
func TestErasedWithItsMaker(t *testing.T) {
	p := newPlace(t)
	ann, key := p.op("ann", "builds")
	first, removed, err := p.hooks.Add(t.Context(), ann, named(t, "builds", "old"))
	must(t, err)
	_, bobs := p.op("bob", "tests")
	robot, err := p.accounts.MakeBot(t.Context(), ann.Actor, account.NewBot{Username: "robot"})
	must(t, err)
	id, err := robot.Identity()
	must(t, err)
	name := named(t, "builds", "ci").Room
	invite, err := ann.User.Act(nil, 0, chat.Act{Action: access.Invite, Room: name, ID: storetest.Draft(t, "x", "x", "invite", "x").ID, Subject: id.Name()})
	must(t, err)
	_, err = ann.User.Commit(t.Context(), invite)
	must(t, err)
	_, _, err = p.chat.With(id, netip.Addr{}, nil).Post(t.Context(), name, storetest.Draft(t, "x", "x", "b1", "x").ID, "green", 0)
	must(t, err)
	for _, k := range []string{key, key, first, bobs} {
		must(t, p.post(k))
	}
	_, err = p.hooks.Remove(t.Context(), ann, removed.ID)
	must(t, err)
	must(t, p.accounts.Remove(t.Context(), account.Operator(), "ann"))
	p.restart() // and the other one has left
	must(t, p.accounts.Erase(t.Context(), account.Operator(), "ann"))
	e, err := p.accounts.Erasure(t.Context(), account.Operator(), "ann")
	for ; err == nil && e.Done == 0; e, err = p.accounts.Erasure(t.Context(), account.Operator(), "ann") {
		time.Sleep(time.Millisecond)
	}
	if err != nil || e.Messages != 4 || e.Rooms != 1 || e.Bots != 1 || e.Hooks != 2 {
		t.Errorf("erased: %+v, %v", e, err)
	}
	for room, want := range map[string]int{"builds": 0, "tests": 1} {
		if got := strings.Count(strings.Join(p.entries(room), "\n"), "green"); got != want {
			t.Errorf("%s has %d texts, want %d: %q", room, got, want, p.entries(room))
		}
	}
}

// A hook may be the first in a room. Where the server has an owner, the room has an op all the same.
func TestARoomThatAHookMakesHasAnOp(t *testing.T) {
	p := newPlace(t)
	_, _, err := p.hooks.Add(t.Context(), p.operator(), named(t, "early", "ci"))
	must(t, err)
	_, err = p.accounts.MakeOwner(t.Context(), "olga", "correct horse battery")
	must(t, err)
	_, _, err = p.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{
		NewAccount: account.NewAccount{Username: "adam", Password: "correct horse battery"}, Role: kaban.RoleAdmin,
	})
	must(t, err)
	users := make(map[string]hook.By)
	for _, name := range []string{"olga", "adam"} {
		s, err := p.accounts.SignInWithPassword(t.Context(), name, "correct horse battery", account.Device{})
		must(t, err)
		id, err := s.Principal.Account.Identity()
		must(t, err)
		users[name] = hook.By{User: p.chat.With(id, netip.Addr{}, &chat.Credential{ID: s.Principal.SecretID, Device: true, Fresh: true}), Actor: s.Principal.As("")}
	}
	_, _, err = p.hooks.Add(t.Context(), p.operator(), named(t, "builds", "ci"))
	must(t, err)
	_, _, err = p.hooks.Add(t.Context(), users["adam"], named(t, "deploys", "ci"))
	must(t, err)
	for room, op := range map[string]string{"builds": "olga", "deploys": "adam"} {
		for name, user := range users {
			state, in, err := user.User.State(t.Context(), named(t, room, "ci").Room)
			if err != nil || in != (name == op) || in && state.Role != kaban.RoomRoleOp {
				t.Errorf("%s in %s: %t, %+v, %v; its op is to be %s", name, room, in, state, err, op)
			}
		}
	}
}
