package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/wire"
)

const password = "correct horse battery"

// town is a claimed server with the owner olga, the members ann and bob and the guest
// gus, each with a token.
type town struct {
	*fixture
	store    store.Store
	accounts *account.Service
	tokens   map[string]string
}

func newTown(t *testing.T) *town { return newTownWith(t, chat.Options{}) }

// newTownWith is newTown with options of the chat.
func newTownWith(t *testing.T, options chat.Options) *town {
	t.Helper()
	return newTownOn(t, options, teststore.New(t))
}

// newTownOn is newTownWith on a store.
func newTownOn(t *testing.T, options chat.Options, s store.Store) *town {
	t.Helper()
	w := &town{store: s, tokens: make(map[string]string)}
	w.fixture = startAll(t, options, conn.Config{}, w.store, dispatch.Options{}, func(accounts *account.Service) { w.accounts = accounts })
	operator, ctx := account.Operator(), t.Context()
	if _, err := w.accounts.MakeOwner(ctx, "olga", password); err != nil {
		t.Fatal(err)
	}
	for name, role := range map[string]kaban.Role{"ann": kaban.RoleMember, "bob": kaban.RoleMember, "gus": kaban.RoleGuest} {
		if _, _, err := w.accounts.AddAccount(ctx, operator, account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"olga", "ann", "bob", "gus"} {
		_, secret, err := w.accounts.MakeToken(ctx, operator, account.NewToken{Username: name, Name: "test", Expires: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[name] = secret
	}
	return w
}

// enter signs in with a token.
func (w *town) enter(name string) *peer {
	w.t.Helper()
	p := w.dial()
	p.say(`{"type":"hello","version":1,"token":"%s"}`, w.tokens[name])
	p.expect("welcome", "username", name)
	return p
}

// TestSigningIn tries the ways in, right and wrong.
func TestSigningIn(t *testing.T) {
	w := newTown(t)
	if err := w.accounts.Suspend(t.Context(), account.Operator(), "bob", "a test"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hello string
		code  wire.Code
	}{
		{`"token":"` + w.tokens["ann"] + `"`, ""},
		{`"token":"` + w.tokens["ann"] + `","username":"ANN"`, ""},
		{`"username":"ann","password":"` + password + `"`, ""},
		{`"token":"` + w.tokens["ann"] + `","username":"gus"`, wire.CodeForbidden},
		{`"token":"kaban_token_` + strings.Repeat("x", 43) + `"`, wire.CodeAuthFailed},
		{`"username":"ann","password":"wrong"`, wire.CodeAuthFailed},
		{`"username":"nobody","password":"wrong"`, wire.CodeAuthFailed},
		{`"username":"bob","password":"wrong"`, wire.CodeAuthFailed},
		{`"username":"bob","password":"` + password + `"`, wire.CodeSuspended},
		{`"token":"` + w.tokens["bob"] + `"`, wire.CodeSuspended},
		{`"username":"visitor"`, wire.CodeAuthRequired},
	} {
		p := w.dial()
		p.say(`{"type":"hello","version":1,%s,"ref":"r"}`, c.hello)
		if c.code != "" {
			p.expect("error", "code", c.code, "ref", "r")
			p.expectEnd("auth")
			continue
		}
		welcome := p.expect("welcome", "username", "ann", "ref", "r")
		told, _ := welcome["account"].(map[string]any)
		if told["username"] != "ann" || told["role"] != "member" || told["bot"] != false {
			t.Errorf("%s is welcomed as %v", c.hello, told)
		}
		if _, ok := welcome["token"]; ok != strings.Contains(c.hello, "password") {
			t.Errorf("%s: a token is %v", c.hello, ok)
		}
		p.alive()
	}
	if log := w.log.String(); strings.Contains(log, password) || strings.Contains(log, w.tokens["ann"]) {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

// TestTheNewDeviceSignsIn uses the secret of a welcome, until it is revoked.
func TestTheNewDeviceSignsIn(t *testing.T) {
	w := newTown(t)
	p := w.dial()
	p.say(`{"type":"hello","version":1,"username":"ann","password":"%s"}`, password)
	secret, _ := p.expect("welcome")["token"].(string)
	again := w.dial()
	again.say(`{"type":"hello","version":1,"token":"%s"}`, secret)
	again.expect("welcome", "username", "ann")
	if err := w.accounts.Suspend(t.Context(), account.Operator(), "ann", "a test"); err != nil {
		t.Fatal(err)
	}
	p.expectEnd("auth")
	again.expectEnd("auth")
}

// TestPeopleTalk plays two accounts, each on two devices, in a private and a direct
// room.
func TestPeopleTalk(t *testing.T) {
	w := newTown(t)
	ann, bob, phone := w.enter("ann"), w.enter("bob"), w.enter("bob")
	ann.say(`{"type":"create","room":"den","kind":"private","topic":"plans","ref":"1"}`)
	ann.expect("created", "room", "den", "ref", "1")
	ann.say(`{"type":"join","room":"den","after":0}`)
	ann.expect("joined", "room", "den", "head", 1)
	ann.expect("room", "seq", 1, "change", "created", "kind", "private", "username", "ann")
	bob.say(`{"type":"join","room":"den","ref":"2"}`)
	bob.expect("error", "code", "room_taken", "ref", "2")
	bob.say(`{"type":"history","room":"den","ref":"3"}`)
	bob.expect("error", "code", "not_found", "ref", "3")
	ann.say(`{"type":"invite","room":"den","id":"i1","username":"Bob","ref":"4"}`)
	ann.expect("ack", "room", "den", "id", "i1", "seq", 2, "ref", "4")
	for _, device := range []*peer{bob, phone} {
		device.expect("state", "room", "den", "kind", "private", "topic", "plans", "role", "member", "head", 2)
	}
	bob.say(`{"type":"join","room":"den","after":1}`)
	bob.expect("joined", "head", 2)
	bob.expect("member", "seq", 2, "change", "invited", "subject", "Bob", "username", "ann")
	phone.say(`{"type":"watch","room":"den"}`)
	phone.expect("watching", "room", "den", "head", 2)
	bob.say(`{"type":"send","room":"den","id":"m1","content":"hello"}`)
	bob.expect("ack", "seq", 3)
	m := ann.expect("message", "seq", 3, "content", "hello", "username", "bob")
	if id, _ := m["account"].(string); len(id) != 26 {
		t.Errorf("the author's account is %v", m["account"])
	}
	phone.expect("message", "seq", 3)
	ann.say(`{"type":"read","room":"den","seq":3}`)
	ann.expect("ok")
	ann.say(`{"type":"members","room":"den"}`)
	members := ann.expect("members", "room", "den")
	if got := fmt.Sprint(members["usernames"]); got != "[ann bob]" {
		t.Errorf("members are %s", got)
	}
	ann.say(`{"type":"kick","room":"den","id":"k1","username":"bob","reason":"a test"}`)
	ann.expect("ack", "id", "k1", "seq", 4)
	for _, device := range []*peer{bob, phone} {
		device.expect("parted", "room", "den", "reason", "kicked")
	}
	bob.say(`{"type":"send","room":"den","id":"m2","content":"hello?"}`)
	bob.expect("error", "code", "not_joined", "id", "m2")
	back := w.enter("bob")
	for _, device := range []*peer{bob, phone, back} { // what is stored is acknowledged, whatever has become of the rights
		device.say(`{"type":"send","room":"den","id":"m1","content":"hello","ref":"1"}`)
		device.expect("ack", "room", "den", "id", "m1", "seq", 3, "duplicate", true, "ref", "1")
		device.say(`{"type":"send","room":"den","id":"m1","content":"goodbye"}`)
		device.expect("error", "code", "id_conflict", "id", "m1")
	}
	back.say(`{"type":"send","room":"nowhere","id":"m1","content":"hello"}`)
	back.expect("error", "code", "not_joined", "room", "nowhere")
	ann.say(`{"type":"part","room":"den","ref":"5"}`)
	ann.expect("error", "code", "last_op", "ref", "5")

	ann.say(`{"type":"direct","usernames":["bob"]}`)
	room, _ := ann.expect("created")["room"].(string)
	if !strings.HasPrefix(room, "@") {
		t.Fatalf("the direct room is %q", room)
	}
	ann.say(`{"type":"join","room":"%s"}`, room)
	ann.expect("joined", "room", room)
	ann.say(`{"type":"send","room":"%s","id":"d1","content":"just you"}`, room)
	ann.expect("ack", "room", room)
	bob.say(`{"type":"history","room":"%s"}`, room)
	bob.expect("history", "room", room, "first", 1, "last", 2)
	phone.say(`{"type":"me"}`)
	me := phone.expect("me")
	if rooms, _ := me["rooms"].([]any); len(rooms) != 2 || rooms[0].(map[string]any)["title"] != "ann" {
		t.Errorf("bob's rooms are %v", me["rooms"])
	}
	gus := w.enter("gus")
	gus.say(`{"type":"history","room":"%s","ref":"6"}`, room)
	gus.expect("error", "code", "not_found", "ref", "6")
	gus.say(`{"type":"rooms"}`)
	if got := gus.expect("rooms"); strings.Contains(got.String(), "den") || strings.Contains(got.String(), "@") {
		t.Errorf("gus lists %s", got)
	}
}

// TestPartingOnAllDevices ends a membership everywhere, with one answer for the device
// that asked.
func TestPartingOnAllDevices(t *testing.T) {
	w := newTown(t)
	ann, phone := w.enter("ann"), w.enter("ann")
	for _, p := range []*peer{ann, phone} {
		p.say(`{"type":"join","room":"lobby"}`)
		p.expect("joined", "room", "lobby")
	}
	ann.say(`{"type":"part","room":"lobby","ref":"1"}`)
	parted := ann.expect("parted", "room", "lobby", "ref", "1")
	if _, ok := parted["reason"]; ok {
		t.Errorf("the answer is %v", parted)
	}
	phone.expect("parted", "room", "lobby", "reason", "gone")
	ann.alive()
	phone.alive()
	ann.say(`{"type":"unwatch","room":"lobby","ref":"2"}`)
	ann.expect("error", "code", "not_joined", "ref", "2")
	ann.say(`{"type":"watch","room":"lobby"}`)
	ann.expect("watching", "room", "lobby")
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"x"}`)
	ann.expect("error", "code", "not_joined")
	ann.say(`{"type":"join","room":"lobby","after":99,"ref":"4"}`)
	ann.expect("error", "code", "resync", "ref", "4")
	ann.say(`{"type":"unwatch","room":"lobby","ref":"3"}`) // the refused join has left it alone
	ann.expect("ok", "ref", "3")
}

// TestStatesOfRooms follows what all devices of an account are told about a room.
func TestStatesOfRooms(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	for _, step := range []struct {
		say  string
		want []any
	}{
		{`{"type":"invite","room":"den","id":"1","username":"bob"}`, []any{"role", "member", "head", 2, "read", 1, "unread", 0}},
		{`{"type":"role","room":"den","id":"2","username":"bob","role":"op"}`, []any{"role", "op", "head", 3}},
		{`{"type":"kick","room":"den","id":"3","username":"bob"}`, []any{"gone", true}},
		{`{"type":"invite","room":"den","id":"4","username":"bob"}`, []any{"role", "member"}},
	} {
		ann.say("%s", step.say)
		ann.expect("ack")
		bob.expect("state", append([]any{"room", "den"}, step.want...)...)
	}
	phone := w.enter("bob")
	bob.say(`{"type":"read","room":"den","seq":5}`)
	got := phone.expect("state", "read", 5, "unread", 0)
	if _, ok := got["seq"]; ok {
		t.Errorf("a state has a seq: %s", got)
	}
	bob.expect("ok")
	bob.say(`{"type":"notify","room":"den","level":"none"}`)
	phone.expect("state", "notify", "none")
	bob.expect("ok")
}

// What an account wants to be notified of is told to all its devices, and to nobody else, and
// decides about rooms for which it has chosen nothing.
func TestNotificationsAreTold(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	phone := w.enter("bob")
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"invite","room":"den","id":"i","username":"bob"}`)
	ann.expect("ack")
	for _, device := range []*peer{bob, phone} {
		device.expect("state", "room", "den", "notify", "mentions")
	}
	principal, err := w.accounts.Authenticate(t.Context(), w.tokens["bob"], "")
	if err != nil {
		t.Fatal(err)
	}
	set := people.Notifications{Keywords: []string{"deploy"}, Quiet: &people.Quiet{Until: 5}, Level: kaban.NotifyAll}
	if err := w.accounts.SetNotifications(t.Context(), principal.As(""), set); err != nil {
		t.Fatal(err)
	}
	for _, device := range []*peer{bob, phone} {
		device.expect("notifications", "keywords", []any{"deploy"}, "quiet", map[string]any{"until_ms": 5}, "level", "all")
		device.say(`{"type":"me"}`)
		me := device.expect("me", "level", "all")
		if room := me["rooms"].([]any)[0].(map[string]any); room["notify"] != "all" {
			t.Errorf("the room has the level %v", room["notify"])
		}
	}
	ann.say(`{"type":"ping"}`)
	ann.expect("pong") // and nothing before it
	bob.say(`{"type":"notify","room":"den","level":"none"}`)
	bob.expect("ok")
	phone.expect("state", "notify", "none")
}

// A client that takes nothing for a while is told the states then, each room once, and
// keeps its connection.
func TestStatesOfASlowClient(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"invite","room":"den","id":"i","username":"bob"}`)
	ann.expect("ack")
	bob.expect("state", "room", "den")
	for i := range 300 { // more than the sockets hold
		bob.say(`{"type":"members","room":"%s%d"}`, strings.Repeat("x", 60), i)
		bob.say(`{"type":"send","room":"%s%d","id":"%d","content":"%s"}`, strings.Repeat("x", 60), i, i, strings.Repeat("y", 4000))
	}
	phone := w.enter("bob")
	for i := range 50 {
		phone.say(`{"type":"notify","room":"den","level":"%s"}`, []string{"all", "none"}[i%2])
		phone.expect("ok")
	}
	last := ""
	for range 2000 {
		f, err := bob.next()
		if err != nil {
			t.Fatal(err)
		}
		if f["type"] == "goodbye" {
			t.Fatalf("the connection ends: %s", f)
		}
		if f["type"] == "state" {
			if last, _ = f["notify"].(string); last == "none" {
				return
			}
		}
	}
	t.Errorf("the last state says %q", last)
}

// TestABanInThePast: the answer says what to do, and nobody leaves the room.
func TestABanInThePast(t *testing.T) {
	w := newTown(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	ann.say(`{"type":"create","room":"den","kind":"public"}`)
	ann.expect("created", "room", "den")
	bob.say(`{"type":"join","room":"den"}`)
	bob.expect("joined", "room", "den")
	ann.say(`{"type":"ban","room":"den","id":"b1","username":"bob","until_ms":1}`)
	ann.expect("error", "code", "bad_field")
	bob.say(`{"type":"send","room":"den","id":"m1","content":"still here"}`)
	bob.expect("ack", "id", "m1")
}

// TestTyping follows who is shown typing in a room, and who may type there.
func TestTyping(t *testing.T) {
	w := newTown(t)
	ann, phone, bob := w.enter("ann"), w.enter("ann"), w.enter("bob")
	for _, p := range []*peer{ann, phone, bob} {
		p.say(`{"type":"typing","room":"lobby","ref":"early"}`)
		p.expect("error", "code", "not_joined", "room", "lobby", "ref", "early")
		p.say(`{"type":"join","room":"lobby"}`)
		p.expect("joined", "room", "lobby")
	}
	olga := w.enter("olga")
	olga.say(`{"type":"watch","room":"lobby"}`)
	olga.expect("watching")
	for range 50 {
		ann.say(`{"type":"typing","room":"lobby","ref":"1"}`)
	}
	bob.expect("typing", "room", "lobby", "usernames", []any{"ann"})
	olga.expect("typing", "room", "lobby", "usernames", []any{"ann"})
	ann.alive() // no answers, and nothing about itself
	phone.alive()
	bob.say(`{"type":"typing","room":"lobby"}`)
	for _, p := range []*peer{ann, phone} {
		p.expect("typing", "usernames", []any{"bob"})
	}
	olga.expect("typing", "usernames", []any{"ann", "bob"})
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"x"}`)
	ann.expect("ack", "id", "1")
	bob.expect("message", "id", "1")
	end := bob.expect("typing", "room", "lobby", "usernames", []any{})
	if len(end) != 3 {
		t.Errorf("the frame is %s", end)
	}
	olga.expect("message", "id", "1")
	olga.expect("typing", "usernames", []any{"bob"})
	bob.say(`{"type":"part","room":"lobby"}`)
	bob.expect("parted")
	ann.expect("typing", "usernames", []any{})
	olga.expect("typing", "usernames", []any{})
	phone.expect("message", "id", "1")
	phone.expect("typing", "usernames", []any{})
	olga.say(`{"type":"typing","room":"lobby","ref":"2"}`)
	olga.expect("error", "code", "not_joined", "ref", "2")
	olga.say(`{"type":"typing","room":"nowhere","ref":"3"}`)
	olga.expect("error", "code", "not_joined", "room", "nowhere", "ref", "3")

	// Whoever may not send may not type, as of now.
	ann.say(`{"type":"create","room":"den","kind":"private"}`)
	ann.expect("created")
	ann.say(`{"type":"invite","room":"den","id":"2","username":"bob"}`)
	ann.expect("ack")
	bob.say(`{"type":"join","room":"den"}`)
	bob.expect("joined")
	bob.say(`{"type":"typing","room":"den"}`)
	bob.alive()
	ann.say(`{"type":"mute","room":"den","id":"3","username":"bob"}`)
	ann.expect("ack")
	bob.expect("member", "change", "muted")
	bob.say(`{"type":"typing","room":"den","ref":"4"}`)
	bob.expect("error", "code", "forbidden", "room", "den", "ref", "4")
}

// A visitor that comes back with its session does not get a name that an account has by then,
// whatever the account's status is, and nobody gets in by it on a server that takes no visitors.
func TestResumingANameOfAnAccount(t *testing.T) {
	w := newTown(t)
	operator, ctx := account.Operator(), t.Context()
	setting := func(key, value string) {
		t.Helper()
		if err := w.accounts.Set(ctx, operator, key, value); err != nil {
			t.Fatal(err)
		}
	}
	setting("access", "open")
	sessions := make(map[string]string)
	statuses := map[string]func(name string) error{
		"active":    func(string) error { return nil },
		"unclaimed": func(string) error { return nil },
		"suspended": func(name string) error { return w.accounts.Suspend(ctx, operator, name, "a test") },
		"removed":   func(name string) error { return w.accounts.Remove(ctx, operator, name) },
	}
	for name := range statuses {
		p := w.dial()
		p.say(`{"type":"hello","version":1,"username":%q}`, name)
		sessions[name], _ = p.expect("welcome", "username", name)["session"].(string)
	}
	setting("access", "invite") // visitors have left
	for name, become := range statuses {
		person := account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: kaban.RoleMember}
		if name == "unclaimed" {
			person.Password = ""
		}
		if _, _, err := w.accounts.AddAccount(ctx, operator, person); err != nil {
			t.Fatal(err)
		}
		if err := become(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, open := range []bool{false, true} {
		code := "auth_required"
		if open {
			setting("access", "open")
			code = "username_taken"
		}
		for name := range statuses {
			p := w.dial()
			p.say(`{"type":"hello","version":1,"username":%q,"resume":%q}`, name, sessions[name])
			p.expect("error", "code", code)
		}
	}
}
