package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Who may administer whom: owners everybody, admins those below, others nobody.
func TestAdministrationByRole(t *testing.T) {
	roles := []kaban.Role{kaban.RoleGuest, kaban.RoleMember, kaban.RoleAdmin, kaban.RoleOwner}
	verbs := map[string]func(*world, Actor, string) error{
		"suspend": func(w *world, by Actor, name string) error { return w.Suspend(w.ctx, by, name, "") },
		"restore": func(w *world, by Actor, name string) error {
			w.must(w.Suspend(w.ctx, Operator(), name, ""))
			return w.Restore(w.ctx, by, name)
		},
		"reset": func(w *world, by Actor, name string) error { _, err := w.Reset(w.ctx, by, name); return err },
		"role":  func(w *world, by Actor, name string) error { return w.SetRole(w.ctx, by, name, kaban.RoleGuest) },
		"name":  func(w *world, by Actor, name string) error { return w.SetName(w.ctx, by, name, "Somebody") },
		"remove": func(w *world, by Actor, name string) error {
			return w.Remove(w.ctx, by, name)
		},
	}
	for verb, do := range verbs {
		for _, actor := range roles {
			for _, target := range roles {
				w := newWorld(t, nil)
				alice := w.claim()
				bob := w.add(alice, "bob", actor)
				w.add(alice, "carol", target)
				want := "forbidden"
				if actor == kaban.RoleOwner || actor == kaban.RoleAdmin && target < actor {
					want = ""
				}
				wantCode(t, fmt.Sprintf("%s by %s of %s", verb, actor, target), do(w, bob, "carol"), want)
			}
		}
		w := newWorld(t, nil)
		alice := w.claim()
		bob := w.add(alice, "bob", kaban.RoleMember)
		if verb != "restore" {
			wantCode(t, verb+" of nobody by an admin", do(w, alice, "nobody"), "not_found")
			wantCode(t, verb+" of no name", do(w, alice, "no name!"), "not_found")
			wantCode(t, verb+" of nobody by a member", do(w, bob, "nobody"), "forbidden")
		}
	}
}

func TestNobodyRises(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleAdmin)
	carol := w.add(alice, "carol", kaban.RoleMember)
	wantCode(t, "an admin makes itself owner", w.SetRole(w.ctx, bob, "bob", kaban.RoleOwner), "forbidden")
	wantCode(t, "an admin makes an admin", w.SetRole(w.ctx, bob, "carol", kaban.RoleAdmin), "forbidden")
	wantCode(t, "a member makes itself admin", w.SetRole(w.ctx, carol, "carol", kaban.RoleAdmin), "forbidden")
	for _, role := range []kaban.Role{kaban.RoleAdmin, kaban.RoleOwner, 9} {
		_, _, err := w.AddAccount(w.ctx, bob, NewPerson{NewAccount{Username: "dave", Password: bobPassword}, role})
		wantCode(t, fmt.Sprint("an admin adds ", role), err, "forbidden")
	}
	before := w.hasher.count.Load()
	_, _, err := w.AddAccount(w.ctx, carol, NewPerson{NewAccount{Username: "dave", Password: bobPassword}, 0})
	wantCode(t, "a member adds", err, "forbidden")
	if w.hasher.count.Load() != before {
		t.Error("a member makes the server hash passwords")
	}
	wantCode(t, "an admin steps down", w.SetRole(w.ctx, bob, "bob", kaban.RoleGuest), "")
	wantCode(t, "a guest again", w.SetRole(w.ctx, bob, "carol", kaban.RoleGuest), "forbidden")
	wantCode(t, "settings by a member", w.Set(w.ctx, carol, SettingAccess, "open"), "forbidden")
	_, err = w.Audit(w.ctx, carol, AuditQuery{})
	wantCode(t, "the audit for a member", err, "forbidden")
}

func TestLastOwnerStays(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	wantCode(t, "demote", w.SetRole(w.ctx, alice, "alice", kaban.RoleAdmin), "last_owner")
	wantCode(t, "remove", w.Remove(w.ctx, alice, "alice"), "last_owner")
	wantCode(t, "suspend", w.Suspend(w.ctx, Operator(), "alice", ""), "last_owner")
	w.add(alice, "bob", kaban.RoleOwner)
	w.must(w.Suspend(w.ctx, alice, "bob", ""))
	wantCode(t, "with a suspended one", w.SetRole(w.ctx, alice, "alice", kaban.RoleAdmin), "last_owner")
	w.must(w.Restore(w.ctx, alice, "bob"))
	wantCode(t, "with another one", w.SetRole(w.ctx, alice, "alice", kaban.RoleMember), "")
}

func TestSuspendAndRemoveStopBots(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleAdmin)
	w.add(alice, "carol", kaban.RoleMember)
	_, err := w.MakeBot(w.ctx, bob, NewBot{Username: "robot", Role: kaban.RoleAdmin})
	w.must(err)
	w.room("dev", kaban.RoomPublic)
	_, token, err := w.MakeToken(w.ctx, bob, NewToken{Username: "robot", Name: "ci", ReadOnly: true, Rooms: []string{"dev", "DEV"}})
	w.must(err)
	robot, err := w.Find(w.ctx, "robot")
	w.must(err)
	check := func(what string, role kaban.Role, want error) {
		t.Helper()
		p, err := w.Authenticate(w.ctx, token, "")
		wantError(t, what, err, want)
		if err == nil && (p.Role != role || !p.ReadOnly || !slices.Equal(p.Rooms, []string{"dev"})) {
			t.Errorf("%s: %+v", what, p)
		}
	}
	check("at first", kaban.RoleAdmin, nil)
	w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleGuest))
	check("a bot is no more than its owner", kaban.RoleGuest, nil)
	w.takeRevoked()
	w.must(w.Suspend(w.ctx, alice, "bob", "spam"))
	if got, want := w.takeRevoked(), []string{bob.Principal.Account.ID + "/", robot.ID + "/"}; !slices.Equal(got, want) {
		t.Errorf("announced %q, want %q", got, want)
	}
	check("with a suspended owner", 0, ErrSuspended)
	w.must(w.Restore(w.ctx, alice, "bob"))
	check("restored", kaban.RoleGuest, nil)
	w.must(w.Remove(w.ctx, alice, "bob"))
	check("with a removed owner", 0, ErrSuspended)
	_, err = w.Renew(w.ctx, bob.Principal)
	wantError(t, "the removed owner", err, ErrAuthFailed)
	_, _, err = w.AddAccount(w.ctx, alice, NewPerson{NewAccount: NewAccount{Username: "dora"}})
	w.must(err)
	for _, to := range []string{"dora", "carol"} {
		if to == "carol" {
			w.must(w.Suspend(w.ctx, alice, to, ""))
		}
		if state, ok := errors.AsType[*StateError](w.GiveBot(w.ctx, alice, "robot", to)); !ok || state.Username != to {
			t.Errorf("given to %s: %v", to, state)
		}
	}
	w.must(w.Restore(w.ctx, alice, "carol"))
	w.must(w.GiveBot(w.ctx, alice, "robot", "carol"))
	check("given to carol", 0, ErrAuthFailed) // its tokens end
	w.must(w.SetRole(w.ctx, alice, "carol", kaban.RoleAdmin))
	if a, err := w.Find(w.ctx, "robot"); err != nil || a.Role != kaban.RoleMember {
		t.Errorf("carol rises, and the bot is %s, %v", a.Role, err)
	}
	wantError(t, "given to a bot", w.GiveBot(w.ctx, alice, "robot", "robot"), ErrNotFound)
	wantError(t, "a person is no bot", w.GiveBot(w.ctx, alice, "carol", "alice"), ErrNotFound)
}

func TestBotsAndTokens(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	guest := w.add(alice, "gustav", kaban.RoleGuest)
	_, err := w.MakeBot(w.ctx, guest, NewBot{Username: "robot"})
	wantCode(t, "a guest's bot", err, "forbidden")
	_, err = w.MakeBot(w.ctx, bob, NewBot{Username: "robot", Owner: "alice"})
	wantCode(t, "a bot for somebody else", err, "forbidden")
	_, err = w.MakeBot(w.ctx, bob, NewBot{Username: "robot", Role: kaban.RoleAdmin})
	if _, ok := errors.AsType[*ValueError](err); !ok {
		t.Errorf("a bot above its owner: %v", err)
	}
	_, err = w.MakeBot(w.ctx, bob, NewBot{Username: "aIice"})
	wantError(t, "a bot that looks like alice", err, ErrNameTaken)
	token := w.bot(bob, "robot")
	_, _, err = w.MakeToken(w.ctx, alice, NewToken{Username: "robot", Name: "spy"})
	wantCode(t, "a token for the bot of somebody else", err, "forbidden")
	_, _, err = w.MakeToken(w.ctx, alice, NewToken{Username: "bob", Name: "spy"})
	wantCode(t, "a token for somebody else", err, "forbidden")
	for _, n := range []NewToken{{}, {Name: strings.Repeat("x", 101)}, {Name: "a\nb"}, {Name: "x", Expires: -1}, {Name: "x", Expires: maxTokenAge + 1}, {Name: "x", Rooms: make([]string, maxTokenRooms+1)}} {
		_, _, err = w.MakeToken(w.ctx, bob, n)
		if _, ok := errors.AsType[*ValueError](err); !ok {
			t.Errorf("%+v: %v", n, err)
		}
	}
	p, err := w.Authenticate(w.ctx, token, "192.0.2.3")
	w.must(err)
	robot := p.As("")
	_, err = w.MakeBot(w.ctx, robot, NewBot{Username: "robot2"})
	wantCode(t, "a bot's bot", err, "forbidden")
	_, _, err = w.MakeToken(w.ctx, robot, NewToken{Name: "more"})
	wantError(t, "a bot's token", err, ErrProgram)
	_, _, err = w.Invite(w.ctx, robot, NewInvite{})
	wantError(t, "a bot's invite", err, ErrProgram)
	_, secret, err := w.MakeToken(w.ctx, Operator(), NewToken{Username: "bob", Name: "reader", ReadOnly: true})
	w.must(err)
	p, err = w.Authenticate(w.ctx, secret, "")
	w.must(err)
	wantCode(t, "a read-only token renames", w.SetName(w.ctx, p.As(""), "", "B."), "forbidden")
	w.room("dev", kaban.RoomPublic)
	_, secret, err = w.MakeToken(w.ctx, Operator(), NewToken{Username: "bob", Name: "bound", Rooms: []string{"dev"}})
	w.must(err)
	p, err = w.Authenticate(w.ctx, secret, "")
	w.must(err)
	wantCode(t, "a bound token renames", w.SetName(w.ctx, p.As(""), "", "B."), "forbidden")
	infos, err := w.Tokens(w.ctx, bob, "robot")
	if err != nil || len(infos) != 1 || infos[0].Name != "ci" {
		t.Errorf("tokens of the bot: %+v, %v", infos, err)
	}
	wantError(t, "somebody else revokes it", w.RevokeDevice(w.ctx, guest, infos[0].ID), ErrNotFound)
	w.must(w.RevokeDevice(w.ctx, bob, infos[0].ID))
	_, err = w.Authenticate(w.ctx, token, "")
	wantError(t, "revoked", err, ErrAuthFailed)
}

func TestResetRevokesEverything(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	_, token, err := w.MakeToken(w.ctx, bob, NewToken{Name: "ci"})
	w.must(err)
	codes, err := w.NewRecoveryCodes(w.ctx, bob)
	w.must(err)
	first, err := w.Reset(w.ctx, alice, "bob")
	w.must(err)
	link, err := w.Reset(w.ctx, alice, "bob")
	w.must(err)
	_, err = w.SignInWithPassword(w.ctx, "bob", bobPassword, Device{})
	wantError(t, "password", err, ErrAuthFailed)
	_, err = w.SignInWithRecoveryCode(w.ctx, "bob", codes[0], Device{})
	wantError(t, "code", err, ErrAuthFailed)
	_, err = w.Authenticate(w.ctx, token, "")
	wantError(t, "token", err, ErrAuthFailed)
	_, err = w.Renew(w.ctx, bob.Principal)
	wantError(t, "device", err, ErrAuthFailed)
	_, err = w.SignInWithLink(w.ctx, first, "", Device{})
	wantError(t, "the former link", err, ErrExpired)
	_, err = w.SignInWithLink(w.ctx, link, "too short", Device{})
	wantError(t, "a weak password", err, ErrWeakPassword)
	_, err = w.SignInWithLink(w.ctx, link, "a long new password", Device{})
	w.must(err)
	w.signInAs("bob", "a long new password")
	wantCode(t, "reset of a bot", func() error { w.bot(alice, "robot"); return nil }(), "")
	_, err = w.Reset(w.ctx, alice, "robot")
	if _, ok := errors.AsType[*ValueError](err); !ok {
		t.Errorf("reset of a bot: %v", err)
	}
}

func TestDevices(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	for range 3 {
		w.pass(time.Minute)
		w.device("alice", alicePassword)
	}
	devices, err := w.Devices(w.ctx, alice)
	w.must(err)
	if len(devices) != 4 || !devices[3].Current || devices[3].Name != "laptop" || devices[0].Used < devices[1].Used {
		t.Errorf("devices: %+v", devices)
	}
	w.must(w.RenameDevice(w.ctx, alice, devices[0].ID, " the\tphone \x1b[31m\u202e "))
	w.must(w.RevokeDevice(w.ctx, alice, devices[1].ID))
	devices, err = w.Devices(w.ctx, alice)
	w.must(err)
	if len(devices) != 3 || devices[0].Name != "the phone [31m" {
		t.Errorf("devices: %+v", devices)
	}
	w.must(w.RevokeOtherDevices(w.ctx, alice))
	devices, err = w.Devices(w.ctx, alice)
	if err != nil || len(devices) != 1 || !devices[0].Current {
		t.Errorf("devices: %+v, %v", devices, err)
	}
	wantError(t, "an unknown one", w.RevokeDevice(w.ctx, alice, "nothing"), ErrNotFound)
	w.must(w.RevokeDevice(w.ctx, alice, alice.Principal.SecretID))
	_, err = w.Devices(w.ctx, alice)
	wantError(t, "after signing out", err, ErrAuthFailed)
}

func TestPeople(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	var bob, gustav Actor
	for i := range 25 {
		name := fmt.Sprintf("user%02d", i)
		_, _, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: name, Name: "Ännchen " + name}, kaban.RoleGuest})
		w.must(err)
		w.put(name, func(a *people.Account) { a.Status = people.StatusActive })
	}
	bob = w.add(alice, "bob", kaban.RoleMember)
	gustav = w.add(alice, "gustav", kaban.RoleGuest)
	w.must(w.Suspend(w.ctx, alice, "user03", "why not"))
	w.must(w.Remove(w.ctx, alice, "user04"))
	find := func(by Actor, q PeopleQuery) (names []string) {
		t.Helper()
		for q.Limit = 4; ; {
			page, err := w.People(w.ctx, by, q)
			w.must(err)
			if len(page.People) > q.Limit {
				t.Fatalf("a page of %d", len(page.People))
			}
			for _, a := range page.People {
				names = append(names, a.Username)
				if by.Principal.Role < kaban.RoleAdmin && (a.Reason != "" || a.Creator != "" || a.Created != 0) {
					t.Errorf("%s sees %+v", by.Principal.Account.Username, a)
				}
			}
			if page.Cursor == "" {
				return names
			}
			q.After = page.Cursor
		}
	}
	for _, c := range []struct {
		by   Actor
		q    PeopleQuery
		want int
	}{
		{alice, PeopleQuery{}, 27},
		{alice, PeopleQuery{Prefix: "USER"}, 24},
		{alice, PeopleQuery{Prefix: "ännchen user1"}, 10},
		{alice, PeopleQuery{Text: "R03"}, 1},
		{alice, PeopleQuery{Status: people.StatusSuspended}, 1},
		{alice, PeopleQuery{Status: people.StatusRemoved}, 1},
		{alice, PeopleQuery{Role: kaban.RoleOwner}, 1},
		{bob, PeopleQuery{}, 25}, // not itself, not the suspended one, which is user03
		{gustav, PeopleQuery{}, 0},
	} {
		got := find(c.by, c.q)
		if c.by.Principal.Account.Username != "alice" { // one always knows oneself
			got = slices.DeleteFunc(got, func(s string) bool { return s == c.by.Principal.Account.Username })
		}
		slices.Sort(got)
		if len(got) != c.want || len(slices.Compact(got)) != c.want {
			t.Errorf("%s asks %+v: %d, want %d: %q", c.by.Principal.Account.Username, c.q, len(got), c.want, got)
		}
	}
	// A guest knows those in the same room.
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		for _, a := range []Actor{bob, gustav} {
			if err := people.Members.Put(tx, &people.Member{Room: "dev", Account: a.Principal.Account.ID, Role: kaban.RoomRoleMember}); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := find(gustav, PeopleQuery{}); !slices.Equal(got, []string{"bob", "gustav"}) {
		t.Errorf("a guest knows %q", got)
	}
	// Whether there are more says nothing of those that it does not know.
	for _, c := range []struct {
		limit, want int
		more        bool
	}{{1, 1, true}, {2, 2, false}, {3, 2, false}} {
		page, err := w.People(w.ctx, gustav, PeopleQuery{Limit: c.limit})
		w.must(err)
		if len(page.People) != c.want || (page.Cursor != "") != c.more {
			t.Errorf("a page of %d has %d people and the cursor %q", c.limit, len(page.People), page.Cursor)
		}
	}
	// A bot that it does not know is as one that there is not.
	_, err := w.MakeBot(w.ctx, alice, NewBot{Username: "robo"})
	w.must(err)
	for _, name := range []string{"robo", "nobody"} {
		_, _, err := w.MakeToken(w.ctx, gustav, NewToken{Username: name, Name: "x", Expires: time.Hour})
		wantCode(t, "a token of "+name, err, "not_found")
	}
}

func TestBlocksAndLinks(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.must(w.Block(w.ctx, bob, "alice"))
	w.must(w.Block(w.ctx, bob, "alice"))
	wantCode(t, "block nobody", w.Block(w.ctx, bob, "nobody"), "not_found")
	wantCode(t, "block oneself", w.Block(w.ctx, bob, "bob"), "not_found")
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error { // nobody else learns whom
		rows, _, err := people.Audits.Since(tx, 0, nil, 100)
		for _, row := range rows {
			if strings.Contains(row.Action, "block") && (row.Subject != "" || row.Detail != "") {
				t.Errorf("the audit has %+v", row)
			}
		}
		return err
	}))
	names, err := w.Blocks(w.ctx, bob)
	if err != nil || !slices.Equal(names, []string{"alice"}) {
		t.Errorf("bob blocks %q, %v", names, err)
	}
	blocked := func(a, b Actor) (is bool) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) (err error) {
			_, err = people.Blocks.Get(tx, a.Principal.Account.ID, b.Principal.Account.ID)
			if is = err == nil; errors.Is(err, people.ErrNotFound) {
				err = nil
			}
			return err
		}))
		return is
	}
	if !blocked(bob, alice) || blocked(alice, bob) {
		t.Error("the block is not one-sided")
	}
	w.must(w.Unblock(w.ctx, bob, "alice"))
	w.must(w.Unblock(w.ctx, bob, "alice"))
	if blocked(bob, alice) {
		t.Error("the block stays")
	}
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		rows, _, err := people.Audits.Since(tx, 0, nil, 100)
		n := 0
		for _, row := range rows {
			if strings.Contains(row.Action, "block") {
				n++
			}
		}
		if n != 2 {
			t.Errorf("a block and its end, twice each, are %d rows of the audit, want 2", n)
		}
		return err
	}))
	wantCode(t, "a member links", w.LinkVisitor(w.ctx, bob, "oldbob", "bob", nil), "forbidden")
	var changed []string
	w.options.OnChanged = func(account string) { changed = append(changed, account) }
	w.must(w.LinkVisitor(w.ctx, alice, "oldbob", "bob", nil))
	if !slices.Equal(changed, []string{bob.Principal.Account.ID}) {
		t.Errorf("a link changes the accounts %q", changed)
	}
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		link, err := people.Links.Get(tx, "visitor:"+username(t, "oldbob").Key())
		if err == nil && link.Account != bob.Principal.Account.ID {
			t.Errorf("the link is %+v", link)
		}
		return err
	}))

	// What has written nothing is not linked, and nothing is done twice.
	var asked []int64
	wrote := false
	ask := func(_ context.Context, author string, since int64) (bool, error) {
		if author != "visitor:"+username(t, "oldbob").Key() {
			t.Errorf("it asks about %q", author)
		}
		asked = append(asked, since)
		return wrote, nil
	}
	rows := func() int { return len(w.rows(alice)) }
	w.add(alice, "carol", kaban.RoleMember)
	before := rows()
	w.must(w.LinkVisitor(w.ctx, alice, "oldbob", "bob", ask))
	if asked[0] == 0 || rows() != before {
		t.Errorf("again, with nothing new since %d: %d rows, want %d", asked[0], rows(), before)
	}
	wantCode(t, "a visitor that has written nothing", w.LinkVisitor(w.ctx, alice, "oldbob", "carol", ask), "not_found")
	if asked[1] != 0 || rows() != before {
		t.Errorf("to somebody else: since %d, %d rows", asked[1], rows())
	}
	wantCode(t, "a member asks", w.LinkVisitor(w.ctx, bob, "oldbob", "carol", ask), "forbidden")
	wantCode(t, "nobody is asked about", w.LinkVisitor(w.ctx, alice, "oldbob", "nobody", ask), "not_found")
	if len(asked) != 2 {
		t.Errorf("it looks at the logs for whoever asks: %v", asked)
	}
	wrote = true
	w.must(w.LinkVisitor(w.ctx, alice, "oldbob", "bob", ask))
	if rows() != before+1 {
		t.Errorf("with something new: %d rows, want %d", rows(), before+1)
	}
}

// A visitor that is linked to another account is that one's alone, and both accounts learn of it.
func TestLinkOfAVisitorToAnotherAccount(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob, carol := w.add(alice, "bob", kaban.RoleMember), w.add(alice, "carol", kaban.RoleMember)
	w.must(w.LinkVisitor(w.ctx, alice, "olduser", "bob", nil))
	var changed, details []string
	w.options.OnChanged = func(account string) { changed = append(changed, account) }
	w.must(w.LinkVisitor(w.ctx, alice, "olduser", "carol", nil))
	if want := []string{bob.Principal.Account.ID, carol.Principal.Account.ID}; !slices.Equal(changed, want) {
		t.Errorf("the accounts %q are changed, want %q", changed, want)
	}
	page, err := w.Audit(w.ctx, alice, AuditQuery{Limit: 500})
	w.must(err)
	for _, row := range page.Rows {
		if row.Action == people.AuditAccountLink.String() || row.Action == people.AuditAccountUnlink.String() {
			details = append(details, row.Action+" "+row.Subject+": "+row.Detail)
		}
	}
	slices.Sort(details)
	if want := []string{"account.link bob: visitor olduser", "account.link carol: visitor olduser", "account.unlink bob: "}; !slices.Equal(details, want) {
		t.Errorf("the audit has %q, want %q", details, want)
	}
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		of := func(by Actor) (links []people.Link) {
			links, _, err := people.Links.Of(tx, by.Principal.Account.ID, 10)
			w.must(err)
			return links
		}
		if len(of(bob)) != 0 || len(of(carol)) != 1 {
			t.Errorf("bob has the links %+v, and carol %+v", of(bob), of(carol))
		}
		return nil
	}))
}

func username(t *testing.T, s string) kaban.Username {
	name, err := kaban.ParseUsername(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDisplayNames(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	for name, want := range map[string]bool{
		"Alice": true, "": true, "  Ärzte ": true, strings.Repeat("ä", 64): true, strings.Repeat("ä", 65): false,
		"a\nb": false, "a\u202eb": false, "a\x00": false, "\xff": false, "👩‍🚀": true,
	} {
		err := w.SetName(w.ctx, alice, "", name)
		if _, ok := errors.AsType[*ValueError](err); ok == want || (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
		if a, _ := w.Find(w.ctx, "alice"); want && a.Name != strings.TrimSpace(name) {
			t.Errorf("%q became %q", name, a.Name)
		}
	}
}

// A script makes an account and a token for it, without a sign-in in between.
func TestATokenForAnAccountThatWaits(t *testing.T) {
	w := newWorld(t, nil)
	w.claim()
	operator := Operator()
	if _, _, err := w.AddAccount(w.ctx, operator, NewPerson{NewAccount: NewAccount{Username: "script"}}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := w.MakeToken(w.ctx, operator, NewToken{Username: "script", Name: "cron"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Authenticate(w.ctx, secret, "192.0.2.9")
	if err != nil || p.Account.Username != "script" || p.Role != kaban.RoleMember {
		t.Errorf("the token signs in %+v: %v", p, err)
	}
}

// A script makes an account and a bot of it, or gives it one, without a sign-in in
// between. An admin cannot.
func TestABotOfAnAccountThatWaits(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	operator := Operator()
	for _, name := range []string{"first", "second"} {
		if _, _, err := w.AddAccount(w.ctx, operator, NewPerson{NewAccount: NewAccount{Username: name}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.MakeBot(w.ctx, operator, NewBot{Username: "robot", Owner: "first"}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := w.MakeToken(w.ctx, operator, NewToken{Username: "robot", Name: "cron"})
	w.must(err)
	if p, err := w.Authenticate(w.ctx, secret, "192.0.2.9"); err != nil || p.Account.Username != "robot" {
		t.Errorf("the token signs in %+v: %v", p, err)
	}
	if _, ok := errors.AsType[*StateError](w.GiveBot(w.ctx, alice, "robot", "second")); !ok {
		t.Error("an admin gives a bot to an account that waits")
	}
	w.must(w.GiveBot(w.ctx, operator, "robot", "second"))
	for _, name := range []string{"first", "second"} {
		if a, err := w.Find(w.ctx, name); err != nil || a.Status != people.StatusActive {
			t.Errorf("%s is %v, %v", name, a.Status, err)
		}
	}
}
