package server_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// answer sends a line and returns the next frame that does not tell of a state.
func (p *peer) answer(format string, args ...any) frame {
	p.t.Helper()
	p.say(format, args...)
	return p.nextBut("state")
}

// nextBut returns the next frame of another type. How the account is notified is told when its state is, at
// some nodes more often.
func (p *peer) nextBut(kind string) frame {
	p.t.Helper()
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatal(err)
		}
		if f["type"] != kind && f["type"] != "notifications" {
			return f
		}
	}
}

// must is answer for a request that succeeds.
func (p *peer) must(format string, args ...any) frame {
	p.t.Helper()
	f := p.answer(format, args...)
	if f["type"] == "error" {
		p.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), f)
	}
	return f
}

// set changes a setting.
func (w *town) set(key, value string) {
	w.t.Helper()
	if err := w.accounts.Set(w.t.Context(), account.Operator(), key, value); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// TestVisitorsLeaveAServerThatCloses has visitors in rooms, watching and doing nothing
// when visitors are not allowed any more: they get nothing that comes later.
func TestVisitorsLeaveAServerThatCloses(t *testing.T) {
	w := newTown(t)
	w.set("access", "open")
	member, watcher, idle := w.join("vic"), w.hello("wil"), w.hello("xan")
	watcher.must(`{"type":"watch","room":"lobby"}`)
	ann := w.enter("ann")
	ann.must(`{"type":"join","room":"lobby"}`)
	w.set("create_rooms", "admin") // which is none of their business
	for _, p := range []*peer{member, watcher, idle} {
		p.alive()
	}
	w.set("access", "signup")
	ann.must(`{"type":"send","room":"lobby","id":"1","content":"members only"}`)
	for _, p := range []*peer{member, watcher, idle} {
		for {
			f, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(f.String(), "members only") {
				t.Errorf("a visitor gets %s", f)
			}
			if f["type"] == "goodbye" {
				if f["reason"] != "auth" {
					t.Errorf("a visitor ends with %s", f)
				}
				break
			}
		}
	}
	ann.alive()
	late := w.dial()
	late.say(`{"type":"hello","version":1,"username":"vic"}`)
	late.expect("error", "code", "auth_required")
}

// A server that gets its owner sends visitors away, whatever access is then; and no
// visitor keeps the name of a new account.
func TestVisitorsLeaveAServerThatIsClaimed(t *testing.T) {
	var w town
	w.fixture = startAll(t, chat.Options{}, conn.Config{}, nil, dispatch.Options{}, func(accounts *account.Service) { w.accounts = accounts })
	vic := w.join("vic")
	secret, err := w.accounts.NewClaim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.accounts.ClaimServer(t.Context(), secret, account.NewAccount{Username: "olga", Password: password}, "open", account.Device{})
	if err != nil {
		t.Fatal(err)
	}
	for vic.nextBut("member")["type"] != "goodbye" { // olga joins the lobby
	}
	wil, xan := w.hello("wil"), w.hello("xan")
	_, _, err = w.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: "WIL", Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	wil.expectEnd("auth")
	xan.alive()
}

// TestAGuestSeesNoMoreThanItsRooms demotes somebody that reads a room without being in
// it, and somebody that is in it.
func TestAGuestSeesNoMoreThanItsRooms(t *testing.T) {
	w := newTown(t)
	ann, bob, olga := w.enter("ann"), w.enter("bob"), w.enter("olga")
	ann.must(`{"type":"create","room":"hall","kind":"public"}`)
	ann.must(`{"type":"join","room":"hall"}`)
	bob.must(`{"type":"watch","room":"hall"}`)
	bob.must(`{"type":"join","room":"lobby"}`)
	olga.must(`{"type":"watch","room":"hall"}`)
	if err := w.accounts.SetRole(t.Context(), account.Operator(), "bob", kaban.RoleGuest); err != nil {
		t.Fatal(err)
	}
	w.settle()
	ann.must(`{"type":"send","room":"hall","id":"1","content":"not for guests"}`)
	if f := bob.nextBut("state"); f["type"] != "parted" || f["room"] != "hall" || f["reason"] != "gone" {
		t.Errorf("bob gets %s", f)
	}
	if f := bob.answer(`{"type":"history","room":"hall"}`); f["code"] != "not_found" {
		t.Errorf("bob reads %s", f)
	}
	bob.must(`{"type":"send","room":"lobby","id":"1","content":"here I am"}`)
	if f := olga.nextBut("state"); f["content"] != "not for guests" {
		t.Errorf("olga gets %s", f)
	}
}

// A bot reads nothing that its owner may not read.
func TestABotLeavesWithItsOwner(t *testing.T) {
	w := newTown(t)
	if _, err := w.accounts.MakeBot(t.Context(), account.Operator(), account.NewBot{Username: "robo", Owner: "bob"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if _, w.tokens["robo"], err = w.accounts.MakeToken(t.Context(), account.Operator(), account.NewToken{Username: "robo", Name: "test", Expires: time.Hour}); err != nil {
		t.Fatal(err)
	}
	ann, bob, robo := w.enter("ann"), w.enter("bob"), w.enter("robo")
	ann.must(`{"type":"create","room":"den","kind":"private"}`)
	for i, end := range []string{"kick", "part"} {
		for _, name := range []string{"bob", "robo"} {
			ann.must(`{"type":"invite","room":"den","id":"i%d%s","username":"%s"}`, i, name, name)
		}
		robo.must(`{"type":"join","room":"den"}`)
		if end == "kick" {
			ann.must(`{"type":"kick","room":"den","id":"k","username":"bob"}`)
		} else {
			bob.must(`{"type":"part","room":"den"}`)
		}
		if f := robo.nextBut("state"); f["type"] != "parted" || f["reason"] != "gone" {
			t.Errorf("after the %s of its owner the bot gets %s", end, f)
		}
	}
}

// A bot stays a member when its owner leaves. It hears once that the room is gone, and of
// its state again when the owner is back.
func TestABotHearsOnceThatARoomIsGone(t *testing.T) {
	w := newTown(t)
	if _, err := w.accounts.MakeBot(t.Context(), account.Operator(), account.NewBot{Username: "robo", Owner: "bob"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if _, w.tokens["robo"], err = w.accounts.MakeToken(t.Context(), account.Operator(), account.NewToken{Username: "robo", Name: "test", Expires: time.Hour}); err != nil {
		t.Fatal(err)
	}
	ann, robo := w.enter("ann"), w.enter("robo")
	invite := func(room, name, id string) {
		t.Helper()
		ann.must(`{"type":"invite","room":"%s","id":"%s","username":"%s"}`, room, id, name)
	}
	ann.must(`{"type":"create","room":"den","kind":"private"}`)
	ann.must(`{"type":"create","room":"hall","kind":"public"}`)
	invite("den", "bob", "1")
	invite("den", "robo", "2")
	robo.expect("state", "room", "den", "role", "member")
	for round := range 2 {
		ann.must(`{"type":"kick","room":"den","id":"kick%d","username":"bob"}`, round)
		for change := range 3 {
			ann.must(`{"type":"topic","room":"den","id":"topic%d%d","topic":"plans"}`, round, change)
		}
		for robo.expect("state", "room", "den")["gone"] != true { // the last round's state may come twice
		}
		invite("hall", "robo", fmt.Sprint("hall", round)) // whose state comes after those
		if f, err := robo.next(); err != nil || f["type"] != "state" || f["room"] != "hall" {
			t.Errorf("round %d: after it has heard that the room is gone, the bot gets %s, %v", round, f, err)
		}
		ann.must(`{"type":"kick","room":"hall","id":"out%d","username":"robo"}`, round)
		robo.expect("state", "room", "hall", "gone", true)
		invite("den", "bob", fmt.Sprint("back", round))
		ann.must(`{"type":"topic","room":"den","id":"topic%d","topic":"together"}`, round)
		for robo.expect("state", "room", "den")["topic"] != "together" { // of the invite, perhaps
		}
	}
}

// TestATokenExpiresWhileItIsConnected has hours pass on the clock that nobody can set.
func TestATokenExpiresWhileItIsConnected(t *testing.T) {
	t.Parallel()
	var elapsed atomic.Int64
	w := newTownWith(t, chat.Options{Clock: func() time.Duration { return time.Duration(elapsed.Load()) }})
	_, long, err := w.accounts.MakeToken(t.Context(), account.Operator(), account.NewToken{Username: "ann", Name: "long", Expires: 3 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	short, bob := w.enter("ann"), w.enter("bob") // with tokens for an hour
	short.must(`{"type":"join","room":"lobby"}`)
	w.tokens["ann"] = long
	other := w.enter("ann")
	elapsed.Store(int64(2 * time.Hour))
	for short.nextBut("state")["type"] != "goodbye" {
	}
	bob.expectEnd("auth")
	other.alive()
}

// TestStatesElsewhere follows what devices are told of rooms that they are not
// subscribed to.
func TestStatesElsewhere(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.must(`{"type":"create","room":"den","kind":"public"}`)
	ann.must(`{"type":"invite","room":"den","id":"1","username":"bob"}`)
	bob.expect("state", "room", "den", "role", "member")
	for _, step := range []struct {
		say  string
		want []any
	}{
		{`{"type":"topic","room":"den","id":"2","topic":"plans"}`, []any{"topic", "plans", "head", 3}},
		{`{"type":"set","room":"den","id":"3","flags":["locked"]}`, []any{"flags", "[locked]"}},
		{`{"type":"set","room":"den","id":"4","kind":"private"}`, []any{"kind", "private", "history", "all"}},
		{`{"type":"set","room":"den","id":"6","history":"joined"}`, []any{"history", "joined"}},
		{`{"type":"set","room":"den","id":"5","archived":true}`, []any{"flags", "[locked archived]"}},
	} {
		ann.must("%s", step.say)
		bob.expect("state", append([]any{"room", "den"}, step.want...)...)
	}
	room := ann.must(`{"type":"direct","usernames":["bob"]}`)["room"]
	bob.expect("state", "room", room, "title", "ann")
	bob.must(`{"type":"part","room":"%s"}`, room)
	ann.must(`{"type":"join","room":"%s"}`, room)
	ann.must(`{"type":"send","room":"%s","id":"6","content":"are you there?"}`, room)
	for f := (frame{}); f["gone"] == true || f["room"] != room; {
		var err error
		if f, err = bob.next(); err != nil {
			t.Fatal(err)
		}
	}
	ann.must(`{"type":"send","room":"%s","id":"7","content":"again"}`, room)
	if f := bob.must(`{"type":"ping"}`); f["type"] != "pong" { // once is enough
		t.Errorf("bob gets %s", f)
	}
}

// TestTheFirstRooms has people come in by all ways.
func TestTheFirstRooms(t *testing.T) {
	w := newTown(t)
	ann := w.enter("ann")
	for _, room := range []string{"news", "dev"} {
		ann.must(`{"type":"create","room":"%s","kind":"public"}`, room)
	}
	ann.must(`{"type":"create","room":"den","kind":"private"}`)
	olga := w.enter("olga")
	olga.must(`{"type":"create","room":"vault","kind":"private"}`)
	olga.must(`{"type":"invite","room":"vault","id":"in","username":"ann"}`)
	olga.must(`{"type":"role","room":"vault","id":"up","username":"ann","role":"op"}`)
	// As an older version has stored it, which took every name.
	if err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: people.SettingAutoJoin, Value: "news,vault,new-one"})
	}); err != nil {
		t.Fatal(err)
	}
	by, err := w.accounts.SignInWithPassword(t.Context(), "ann", password, account.Device{}) // a token makes no invites
	if err != nil {
		t.Fatal(err)
	}
	rooms := []string{"dev", "den", "vault"}
	_, invite, err := w.accounts.Invite(t.Context(), by.Principal.As(""), account.NewInvite{Rooms: rooms})
	if err != nil {
		t.Fatal(err)
	}
	_, guests, err := w.accounts.Invite(t.Context(), account.Operator(), account.NewInvite{Rooms: rooms[:1], Role: kaban.RoleGuest})
	if err != nil {
		t.Fatal(err)
	}
	olga.must(`{"type":"kick","room":"vault","id":"out","username":"ann"}`) // and she invites nobody there any more
	for _, c := range []struct {
		name, link, want string
	}{
		{"cat", invite, "[den dev lobby new-one news]"},
		{"gil", guests, "[dev]"},
	} {
		session, err := w.accounts.AcceptInvite(t.Context(), c.link, account.NewAccount{Username: c.name, Password: password}, account.Device{})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[c.name] = session.Secret
		var names []any
		list, _ := w.enter(c.name).must(`{"type":"me"}`)["rooms"].([]any)
		for _, r := range list {
			names = append(names, r.(map[string]any)["room"])
		}
		if fmt.Sprint(names) != c.want {
			t.Errorf("%s is in %v, want %s", c.name, names, c.want)
		}
	}
	entry := func(room, change, by string) {
		page := ann.must(`{"type":"history","room":"%s","limit":1}`, room)
		if s := page.String(); !strings.Contains(s, `"change":"`+change+`"`) || !strings.Contains(s, `"subject":"cat"`) || !strings.Contains(s, `"username":"`+by+`"`) {
			t.Errorf("the last entry of %s is %s", room, s)
		}
	}
	entry("news", "joined", "cat")
	entry("den", "invited", "ann")
}

// TestTheLastOpGoes follows rooms whose only op may not be used any more.
func TestTheLastOpGoes(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.must(`{"type":"create","room":"den","kind":"private"}`)
	for _, name := range []string{"gus", "bob"} {
		ann.must(`{"type":"invite","room":"den","id":"%s","username":"%s"}`, name, name)
	}
	bob.must(`{"type":"join","room":"den"}`)
	if err := w.accounts.Suspend(t.Context(), account.Operator(), "ann", "a test"); err != nil {
		t.Fatal(err)
	}
	f := bob.nextBut("state")
	if f["type"] != "member" || f["change"] != "role" || f["role"] != "op" || f["subject"] != "bob" || f["username"] != "server" {
		t.Errorf("bob gets %s", f)
	}
	bob.must(`{"type":"topic","room":"den","id":"t","topic":"mine now"}`)
	bob.must(`{"type":"set","room":"den","id":"s","flags":["locked"]}`)
}

// A removed account leaves its rooms, once others are ops where it was one.
func TestARemovedAccountLeaves(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	for room, kind := range map[string]string{"den": "private", "hall": "public"} {
		ann.must(`{"type":"create","room":"%s","kind":"%s"}`, room, kind)
		ann.must(`{"type":"invite","room":"%s","id":"bob","username":"bob"}`, room)
	}
	duo := ann.must(`{"type":"direct","usernames":["bob"]}`)["room"]
	bob.must(`{"type":"join","room":"den"}`)
	if err := w.accounts.Remove(t.Context(), account.Operator(), "ann"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"role bob", "left ann"} {
		f := bob.nextBut("state")
		if got := fmt.Sprint(f["change"], " ", f["subject"]); f["type"] != "member" || got != want {
			t.Errorf("bob gets %s, want %s", f, want)
		}
	}
	for room, role := range map[any]string{"den": "op", "hall": "op", duo: "member"} {
		f := bob.must(`{"type":"members","room":"%s"}`, room)
		if got, want := fmt.Sprint(f["usernames"]), "[bob]"; got != want || !strings.Contains(f.String(), role) {
			t.Errorf("the members of %s: %s", room, f)
		}
	}
	for _, r := range bob.must(`{"type":"rooms"}`)["rooms"].([]any) {
		if room := r.(map[string]any); room["room"] != "lobby" && fmt.Sprint(room["members"]) != "1" {
			t.Errorf("the list of rooms has %v", room)
		}
	}
}
