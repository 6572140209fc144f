package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/store/storetest"
)

// token makes a token for an account and returns it as a session.
func (f *fixture) token(by account.Session, n account.NewToken) account.Session {
	f.t.Helper()
	n.Name, n.Username = "a program", by.Principal.Account.Username
	_, secret, err := f.accounts.MakeToken(f.t.Context(), by.Principal.As(""), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return account.Session{Principal: by.Principal, Secret: secret}
}

// do does something to somebody in a room.
func (f *fixture) act(by account.Session, action access.Action, room, username string) {
	f.t.Helper()
	u := f.user(by)
	id := storetest.Draft(f.t, "lobby", "x", fmt.Sprint(action, username, "-", f.acts.Add(1)), "x").ID
	send, err := u.Act(nil, 0, chat.Act{Action: action, Room: storetest.RoomName(f.t, room), ID: id, Subject: storetest.Username(f.t, username)})
	if err == nil {
		var receipt chat.Receipt
		receipt, err = u.Commit(f.t.Context(), send)
		err = cmp.Or(err, receipt.Err)
	}
	if err != nil {
		f.t.Fatalf("%s %s: %v", action, username, err)
	}
}

// private makes a private room with a member.
func (f *fixture) private(name string, op, member account.Session) {
	f.t.Helper()
	if err := f.user(op).Create(f.t.Context(), storetest.RoomName(f.t, name), chat.NewRoom{Kind: kaban.RoomPrivate}); err != nil {
		f.t.Fatal(err)
	}
	f.act(op, access.Invite, name, member.Principal.Account.Username)
}

// Rooms over HTTP are those of the account: what it may not know of is not there.
func TestRoomsOfAnAccount(t *testing.T) {
	f, owner := claimed(t, "invite")
	mia, max := f.person("mia", kaban.RoleMember), f.person("max", kaban.RoleMember)
	f.private("den", mia, max)
	f.private("lair", mia, max)
	pia := f.person("pia", kaban.RoleMember)
	bound := f.token(max, account.NewToken{Rooms: []string{"den"}})
	reading := f.token(max, account.NewToken{ReadOnly: true})
	paths := []string{"/v1/rooms/den", "/v1/rooms/den/messages", "/v1/rooms/den/members"}
	for _, test := range []struct {
		who       string
		headers   []string
		den, lair int
	}{
		{"nobody", nil, 401, 401},
		{"another member", bearer(pia), 404, 404},
		{"mia's cookie", cookie(mia), 200, 200},
		{"max", bearer(max), 200, 200},
		{"a token for the den", bearer(bound), 200, 404},
		{"a token for reading", bearer(reading), 200, 200},
	} {
		for _, path := range paths {
			if got := f.get(path, test.headers...); got.status != test.den {
				t.Errorf("%s, %s: got %s, want %d", test.who, path, got, test.den)
			}
			if got := f.get(strings.Replace(path, "den", "lair", 1), test.headers...); got.status != test.lair {
				t.Errorf("%s, %s of the lair: got %s, want %d", test.who, path, got, test.lair)
			}
		}
	}
	f.get("/v1/rooms/den/messages", bearer(owner)...).has(t, 403, "code", "forbidden") // an admin knows, and reads nothing
	// As if it were not there, exactly.
	hidden, missing := f.get("/v1/rooms/den", bearer(pia)...), f.get("/v1/rooms/nil", bearer(pia)...)
	if hidden.body != missing.body {
		t.Errorf("a hidden room is %s, and one that is not there %s", hidden, missing)
	}
}

// An account posts under its own name, where it is a member.
func TestPostsOfAnAccount(t *testing.T) {
	f, owner := claimed(t, "open")
	mia, max := f.person("mia", kaban.RoleMember), f.person("max", kaban.RoleMember)
	f.private("den", mia, max)
	pia := f.person("pia", kaban.RoleMember)
	reading := f.token(max, account.NewToken{ReadOnly: true})
	bound := f.token(max, account.NewToken{Rooms: []string{"den"}})
	f.room("plaza", mia)
	for n, test := range []struct {
		what, room, username string
		headers              []string
		status               int
		code                 string
	}{
		{"without a name", "den", "", bearer(max), 201, ""},
		{"with its own", "den", "MAX", bearer(max), 201, ""},
		{"with a cookie", "den", "", with(cookie(max), origin(f.url)), 201, ""},
		{"with another name", "den", "mia", bearer(max), 403, "forbidden"},
		{"where it is not a member", "plaza", "", bearer(owner), 400, "not_joined"},
		{"in a room that it may not know of", "den", "", bearer(pia), 404, "not_found"},
		{"in no room", "nil", "", bearer(max), 404, "not_found"},
		{"in a direct room of others", "@aaaaaaaaaaaaaaaaaaaaaaaaaa", "", bearer(max), 404, "not_found"},
		{"with a token for reading", "den", "", bearer(reading), 403, "forbidden"},
		{"with a token for the room", "den", "", bearer(bound), 201, ""},
		{"elsewhere with a token for one room", "lobby", "", bearer(bound), 404, "not_found"},
		{"a visitor", "lobby", "guest1", nil, 201, ""},
		{"a visitor without a name", "lobby", "", nil, 400, "missing_field"},
		{"a visitor with an account's name", "lobby", "mia", nil, 409, "username_taken"},
		{"a visitor whose name looks like an account's", "lobby", "rnax", nil, 201, ""},
		{"a visitor in a private room", "den", "guest1", nil, 404, "not_found"},
	} {
		body, err := json.Marshal(map[string]string{"id": fmt.Sprint("m-", n), "username": test.username, "content": "hello"})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(body), `,"username":""`, "", 1)
		got := f.post(test.room, text, test.headers...)
		if code, _ := got.json["code"].(string); got.status != test.status || code != test.code {
			t.Errorf("%s: got %s, want %d %s", test.what, got, test.status, test.code)
		}
	}
	// A request does not join, so the answer says what does.
	if got := f.post("plaza", `{"id":"hint","content":"hello"}`, bearer(owner)...); !strings.Contains(fmt.Sprint(got.json["detail"]), "kaban send --join") {
		t.Errorf("the answer to an outsider has no hint how to join: %s", got)
	}
	page := f.get("/v1/rooms/den/messages", bearer(mia)...).has(t, 200)
	for _, m := range page.json["messages"].([]any) {
		if m := m.(map[string]any); m["type"] == "message" && (m["account"] != max.Principal.Account.ID || m["username"] != "max") {
			t.Errorf("a message is by %v (%v)", m["username"], m["account"])
		}
	}
}

// Changes of a room are entries of its log, in pages and in streams.
func TestChangesOfARoom(t *testing.T) {
	f, owner := claimed(t, "invite")
	mia := f.person("mia", kaban.RoleMember)
	f.private("den", owner, mia)
	f.act(owner, access.Kick, "den", "mia")
	page := f.get("/v1/rooms/den/messages", bearer(owner)...).has(t, 200)
	r := f.followIn("den", "?after=0", bearer(owner)...)
	r.expect("joined")
	for n, want := range []string{"room created", "member invited", "member kicked"} {
		m := page.json["messages"].([]any)[n].(map[string]any)
		e, err := r.next()
		for from, got := range map[string]map[string]any{"the page": m, "the stream": e.data} {
			if fmt.Sprint(got["type"], " ", got["change"]) != want || got["username"] != "olga" || n > 0 && got["subject"] != "mia" || err != nil {
				t.Errorf("entry %d of %s is %v, %v; want %s", n+1, from, got, err, want)
			}
		}
		if e.name != e.data["type"] || e.id == "" {
			t.Errorf("the event %s with the id %q is a %v", e.name, e.id, e.data["type"])
		}
	}
}

// The ban of a visitor is that of an address, over HTTP, too.
func TestBannedVisitorsDoNotPost(t *testing.T) {
	f, owner := claimed(t, "open")
	f.say("lobby", "1", "pest", "hello")
	f.act(owner, access.Ban, "lobby", "pest")
	f.post("lobby", `{"id":"2","username":"pest","content":"again"}`).has(t, 403, "code", "forbidden")
	f.get("/v1/rooms/lobby/messages").has(t, 200) // nobody is not a name
}

// The ops of a room see who is banned and muted in it, and nobody else does.
func TestRestrictedInARoom(t *testing.T) {
	f, owner := claimed(t, "open")
	mia := f.person("mia", kaban.RoleMember)
	f.person("max", kaban.RoleMember)
	f.say("lobby", "1", "Pest", "hello")
	list := func() string {
		return f.get("/v1/rooms/lobby/restricted", cookie(owner)...).has(t, 200, "more", false).body
	}
	if got := list(); !strings.Contains(got, `"restricted":[]`) {
		t.Errorf("nobody is restricted, but %s", got)
	}
	f.act(owner, access.Ban, "lobby", "pest")
	f.act(owner, access.Ban, "lobby", "max")
	f.act(owner, access.Mute, "lobby", "mia")
	for _, want := range []string{`"username":"max","visitor":false,"banned":true,"muted":false`, `"username":"mia","visitor":false,"banned":false,"muted":true`, `"username":"pest","visitor":true,"banned":true`} {
		if got := list(); !strings.Contains(got, want) || strings.Contains(got, "address") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f.get("/v1/rooms/lobby/restricted", cookie(mia)...).has(t, 403, "code", "forbidden")
	f.get("/v1/rooms/lobby/restricted").has(t, 401, "code", "auth_required")
	f.get("/v1/rooms/nowhere/restricted", cookie(owner)...).has(t, 404, "code", "not_found")
	f.act(owner, access.Unban, "lobby", "max")
	f.act(owner, access.Unmute, "lobby", "mia")
	if got := list(); strings.Contains(got, "max") || strings.Contains(got, "mia") {
		t.Errorf("what was lifted is listed: %s", got)
	}
}

// hello opens a WebSocket, says something and returns the answer.
func (f *fixture) hello(frame string, headers ...string) (*websocket.Conn, map[string]any) {
	f.t.Helper()
	status, c := f.handshake(headers...)
	if status != http.StatusSwitchingProtocols {
		f.t.Fatalf("the status is %d", status)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		f.t.Fatal(err)
	}
	return c, f.frame(c)
}

// frame returns the next frame.
func (f *fixture) frame(c *websocket.Conn) (got map[string]any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// A WebSocket with a cookie is its account's; a token wins, and a name does not.
func TestHelloWithACookie(t *testing.T) {
	f, owner := claimed(t, "open")
	mia := f.person("mia", kaban.RoleMember)
	signedIn := with(cookie(mia), origin(f.url))
	for _, test := range []struct {
		what, frame string
		headers     []string
		want        string // the username in welcome, or the code
	}{
		{"the cookie", `{"type":"hello","version":1}`, signedIn, "mia"},
		{"a Bearer token", `{"type":"hello","version":1}`, bearer(mia), "mia"},
		{"its own name", `{"type":"hello","version":1,"username":"MIA"}`, signedIn, "mia"},
		{"another name", `{"type":"hello","version":1,"username":"olga"}`, signedIn, "forbidden"},
		{"a visitor's name", `{"type":"hello","version":1,"username":"guest1"}`, signedIn, "forbidden"},
		{"a token", `{"type":"hello","version":1,"token":"` + owner.Secret + `"}`, signedIn, "olga"},
		{"a wrong token", `{"type":"hello","version":1,"token":"` + owner.Secret + `x"}`, signedIn, "auth_failed"},
		{"no cookie and a name", `{"type":"hello","version":1,"username":"guest1"}`, origin(f.url), "guest1"},
		{"no cookie and no name", `{"type":"hello","version":1}`, origin(f.url), "missing_field"},
	} {
		_, got := f.hello(test.frame, test.headers...)
		answered := got["code"]
		if got["type"] == "welcome" {
			answered = got["username"]
		}
		if answered != test.want {
			t.Errorf("%s: got %v, want %s", test.what, got, test.want)
		}
		if account, ok := got["account"].(map[string]any); ok != (test.want == "mia" || test.want == "olga") || ok && account["username"] != test.want {
			t.Errorf("%s: the account is %v", test.what, got["account"])
		}
	}
	if status, _ := f.handshake(cookie(mia)...); status != 403 {
		t.Errorf("a cookie without an origin: the status is %d", status)
	}
	if status, _ := f.handshake(with(cookie(mia), origin("https://"+f.host))...); status != 403 {
		t.Errorf("a cookie with the wrong scheme: the status is %d", status)
	}
}

// A browser whose account is suspended hears so, and a stranger with its name does not: a page
// cannot read why a handshake fails.
func TestHelloOfASuspendedAccount(t *testing.T) {
	f, owner := claimed(t, "open")
	mia := f.person("mia", kaban.RoleMember)
	signedIn := with(cookie(mia), origin(f.url))
	if err := f.accounts.Suspend(t.Context(), owner.Principal.As(""), "mia", ""); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what, frame string
		headers     []string
		want        string
	}{
		{"the cookie", `{"type":"hello","version":1}`, signedIn, "suspended"},
		{"the cookie and a name", `{"type":"hello","version":1,"username":"guest1"}`, signedIn, "suspended"},
		{"a wrong password", `{"type":"hello","version":1,"username":"mia","password":"purple monkey dishwasher"}`, origin(f.url), "auth_failed"},
		{"a name", `{"type":"hello","version":1,"username":"mia"}`, origin(f.url), "username_taken"},
	} {
		c, got := f.hello(test.frame, test.headers...)
		if got["code"] != test.want {
			t.Errorf("%s: got %v, want %s", test.what, got, test.want)
			continue
		}
		if bye := f.frame(c); bye["type"] != "goodbye" || bye["reason"] != "auth" || bye["reconnect_after_ms"] != nil {
			t.Errorf("%s: then got %v, want goodbye auth", test.what, bye)
		}
	}
	_, got := f.hello(`{"type":"hello","version":1,"token":"`+owner.Secret+`"}`, signedIn...)
	if got["username"] != "olga" {
		t.Errorf("a token of somebody else: %v", got)
	}
}

// A connection with a cookie ends with it, also between the handshake and hello.
func TestASocketEndsWithItsCookie(t *testing.T) {
	f, _ := claimed(t, "open")
	for _, late := range []bool{false, true} {
		mia := f.person(fmt.Sprint("mia-", late), kaban.RoleMember)
		signedIn := with(cookie(mia), origin(f.url))
		status, c := f.handshake(signedIn...)
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("the status is %d", status)
		}
		revoke := func() {
			if err := f.accounts.RevokeDevice(t.Context(), mia.Principal.As(""), mia.Principal.SecretID); err != nil {
				t.Fatal(err)
			}
		}
		if !late {
			revoke()
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello","version":1}`)); err != nil {
			t.Fatal(err)
		}
		got := f.frame(c)
		if late {
			if got["type"] != "welcome" {
				t.Fatalf("got %v", got)
			}
			revoke()
			for got = f.frame(c); got["type"] == "notifications"; got = f.frame(c) { // news of another node, which made the account
			}
		} else {
			if got["code"] != "auth_failed" {
				t.Errorf("got %v", got)
			}
			got = f.frame(c)
		}
		if got["type"] != "goodbye" || got["reason"] != "auth" {
			t.Errorf("got %v", got)
		}
		if status, _ := f.handshake(signedIn...); status != 401 {
			t.Errorf("a revoked cookie: the status is %d", status)
		}
	}
}

// A stream ends when its credential or the right to read does, and says why.
func TestAStreamEndsWithItsRight(t *testing.T) {
	for _, test := range []struct {
		what string
		end  func(f *fixture, owner, max account.Session)
		want string // the last event and its reason
	}{
		{"the device is revoked", func(f *fixture, _, max account.Session) {
			f.must(f.accounts.RevokeDevice(t.Context(), max.Principal.As(""), max.Principal.SecretID))
		}, "goodbye auth"},
		{"the account is suspended", func(f *fixture, owner, _ account.Session) {
			f.must(f.accounts.Suspend(t.Context(), owner.Principal.As(""), "max", ""))
		}, "goodbye auth"},
		{"a kick", func(f *fixture, owner, _ account.Session) {
			f.act(owner, access.Kick, "den", "max")
		}, "parted kicked"},
	} {
		t.Run(test.what, func(t *testing.T) {
			f, owner := claimed(t, "invite")
			max := f.person("max", kaban.RoleMember)
			f.private("den", owner, max)
			r := f.followIn("den", "", bearer(max)...)
			r.expect("joined")
			test.end(f, owner, max)
			last, err := r.next()
			if got := fmt.Sprint(last.name, " ", last.data["reason"]); err != nil || got != test.want {
				t.Errorf("the last event is %s %v, %v; want %s", last.name, last.data, err, test.want)
			}
			if e, err := r.next(); err == nil {
				t.Errorf("after the end comes %s %v", e.name, e.data)
			}
		})
	}
}

// A stream of nobody ends when the server takes no visitors any more.
func TestAStreamEndsWithTheVisitors(t *testing.T) {
	f, owner := claimed(t, "open")
	r := f.follow("", "")
	r.expect("joined")
	f.must(f.accounts.Set(t.Context(), owner.Principal.As(""), "access", "invite"))
	for {
		e, err := r.next()
		if err != nil {
			return
		}
		if e.name != "parted" && e.name != "goodbye" {
			t.Fatalf("got %s %v", e.name, e.data)
		}
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}
