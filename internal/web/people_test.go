package web_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/web"
)

// claimed returns a server with an owner, named olga, and a setting of access.
func claimed(t testing.TB, access string) (*fixture, account.Session) {
	t.Helper()
	f := start(t, web.Config{}, nil)
	return f, f.claim(access)
}

// claim makes the owner of a server.
func (f *fixture) claim(access string) account.Session {
	f.t.Helper()
	secret, err := f.accounts.NewClaim(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	made, err := f.accounts.ClaimServer(f.t.Context(), secret, account.NewAccount{Username: "olga"}, access, account.Device{Name: "her laptop"})
	if err != nil {
		f.t.Fatal(err)
	}
	return made.Session
}

// person makes an account and signs it in.
func (f *fixture) person(username string, role kaban.Role) account.Session {
	f.t.Helper()
	_, link, err := f.accounts.AddAccount(f.t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: username}, Role: role})
	if err != nil {
		f.t.Fatal(err)
	}
	session, err := f.accounts.SignInWithLink(f.t.Context(), link, "", account.Device{Name: "a browser"})
	if err != nil {
		f.t.Fatal(err)
	}
	return session
}

// with returns headers.
func with(parts ...[]string) (all []string) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func bearer(s account.Session) []string { return []string{"Authorization", "Bearer " + s.Secret} }
func cookie(s account.Session) []string { return []string{"Cookie", "kaban=" + s.Secret} }
func origin(of string) []string         { return []string{"Origin", of} }
func asJSON() []string                  { return []string{"Content-Type", "application/json"} }

// setCookies returns the cookies that an answer sets.
func (a *answer) setCookies() []*http.Cookie {
	return (&http.Response{Header: a.header}).Cookies()
}

// A password makes a session with a cookie, which works until it is ended. Nothing of
// it is in the log.
func TestASession(t *testing.T) {
	f, owner := claimed(t, "invite")
	const password = "purple monkey dishwasher"
	if err := f.accounts.SetPassword(t.Context(), owner.Principal.As(""), password); err != nil {
		t.Fatal(err)
	}
	in := f.do("POST", "/v1/session", `{"username":"OLGA","password":"`+password+`","device":"Firefox"}`, with(asJSON(), origin(f.url))...)
	in.has(t, 200, "account", "map[bot:false name: role:owner username:olga]", "fresh", true)
	cookies := in.setCookies()
	if len(cookies) != 2 {
		t.Fatalf("%d cookies are set", len(cookies))
	}
	// The browser is known from then on, also once the session has ended.
	if b := cookies[1]; b.Name != "kaban-browser" || b.Path != "/" || !b.HttpOnly || b.SameSite != http.SameSiteLaxMode || b.MaxAge <= 0 || len(b.Value) < 32 {
		t.Errorf("the cookie of the browser is %v", b)
	}
	c := cookies[0]
	if c.Name != "kaban" || c.Path != "/" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.MaxAge <= 0 {
		t.Errorf("the cookie is %q", in.header.Get("Set-Cookie"))
	}
	session := account.Session{Secret: c.Value}
	got := f.get("/v1/session", cookie(session)...).has(t, 200, "device", in.json["device"], "fresh", true)
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the session may be kept: %v", got.header)
	}
	if device := got.json["device"].(map[string]any); device["name"] != "Firefox" || len(got.setCookies()) != 0 {
		t.Errorf("the session is %s, and it sets %d cookies", got, len(got.setCookies()))
	}
	list := f.get("/v1/devices", cookie(session)...).has(t, 200)
	if n := len(list.json["devices"].([]any)); n != 2 {
		t.Errorf("there are %d devices", n)
	}
	f.do("POST", "/v1/session/confirm", `{"password":"wrong password"}`, with(asJSON(), cookie(session), origin(f.url))...).has(t, 401, "code", "auth_failed")
	f.do("POST", "/v1/session/confirm", `{"password":"`+password+`"}`, with(asJSON(), cookie(session), origin(f.url))...).has(t, 204)
	out := f.do("DELETE", "/v1/session", "", with(cookie(session), origin(f.url))...).has(t, 204)
	if gone := out.setCookies(); len(gone) != 1 || gone[0].Name != "kaban" || gone[0].MaxAge >= 0 || gone[0].Value != "" {
		t.Errorf("signing out sets %q", out.header.Values("Set-Cookie"))
	}
	stale := f.get("/v1/session", cookie(session)...).has(t, 401, "code", "auth_required")
	if gone := stale.setCookies(); len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("a cookie that is not valid any more sets %q", stale.header.Values("Set-Cookie"))
	}
	if stale.header.Get("WWW-Authenticate") != `Bearer realm="kaban"` {
		t.Errorf("it does not say how to sign in: %v", stale.header)
	}
	for _, s := range []string{c.Value, owner.Secret, password, "wrong password"} {
		if strings.Contains(f.log.String(), s) {
			t.Errorf("a secret is in the log:\n%s", f.log)
		}
	}
}

// Nobody learns from an answer which names have accounts.
func TestSigningInFailsAlike(t *testing.T) {
	f, owner := claimed(t, "invite")
	if err := f.accounts.SetPassword(t.Context(), owner.Principal.As(""), "purple monkey dishwasher"); err != nil {
		t.Fatal(err)
	}
	f.person("mia", kaban.RoleMember) // has no password
	bot, err := f.accounts.MakeBot(t.Context(), owner.Principal.As(""), account.NewBot{Username: "robo"})
	if err != nil {
		t.Fatal(err)
	}
	var want string
	for _, body := range []string{
		`{"username":"olga","password":"wrong password"}`,
		`{"username":"nobody","password":"wrong password"}`,
		`{"username":"mia","password":"wrong password"}`,
		`{"username":"` + bot.Username + `","password":"wrong password"}`,
		`{"username":"no name","password":"wrong password"}`,
		`{"username":"olga","recovery_code":"aaaa-aaaa-aaaa-aaaa"}`,
		`{"username":"nobody","recovery_code":"aaaa-aaaa-aaaa-aaaa"}`,
	} {
		got := f.do("POST", "/v1/session", body, with(asJSON(), origin(f.url))...).has(t, 401, "code", "auth_failed")
		if want == "" {
			want = got.body
		}
		if got.body != want || len(got.setCookies()) != 0 {
			t.Errorf("%s is answered with %s, and olga with %s", body, got.body, want)
		}
	}
	for _, body := range []string{`{}`, `{"username":"olga"}`, `{"password":"x"}`, `{"username":"olga","password":"x","link":"y"}`} {
		f.do("POST", "/v1/session", body, with(asJSON(), origin(f.url))...).has(t, 400)
	}
}

// room makes a public room, which an account is op of.
func (f *fixture) room(name string, by account.Session) {
	f.t.Helper()
	room, err := kaban.ParseRoomName(name)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.user(by).Create(f.t.Context(), room, chat.NewRoom{Kind: kaban.RoomPublic}); err != nil {
		f.t.Fatal(err)
	}
}

// user returns what an account may do.
func (f *fixture) user(s account.Session) chat.User {
	f.t.Helper()
	id, err := s.Principal.Account.Identity()
	if err != nil {
		f.t.Fatal(err)
	}
	return f.chat.With(id, netip.Addr{}, &chat.Credential{ID: s.Principal.SecretID, Device: true, Fresh: true})
}

// What makes a way in or a voice that stays asks for a proof where the sign-in is not fresh,
// so that the page shows how to give it, and works after it.
func TestProofIsAskedFor(t *testing.T) {
	f, owner := claimed(t, "invite")
	const password = "purple monkey dishwasher"
	if err := f.accounts.SetPassword(t.Context(), owner.Principal.As(""), password); err != nil {
		t.Fatal(err)
	}
	as := with(asJSON(), cookie(owner), origin(f.url))
	acts := map[string]string{
		"POST /v1/admin/hooks":          `{"room":"builds"}`,
		"POST /v1/invites":              `{}`,
		"POST /v1/tokens":               `{"name":"ci"}`,
		"POST /v1/bots":                 `{"username":"robo"}`,
		"POST /v1/admin/users":          `{"username":"mia"}`,
		"PUT /v1/admin/settings/access": `{"value":"open"}`,
	}
	try := func(act string) *answer {
		method, path, _ := strings.Cut(act, " ")
		return f.do(method, path, acts[act], as...)
	}
	f.clock.pass(16 * time.Minute)
	for act := range acts {
		try(act).has(t, 403, "code", "forbidden", "confirm", true)
	}
	f.do("POST", "/v1/session/confirm", `{"password":"`+password+`"}`, as...).has(t, 204)
	for act := range acts {
		if got := try(act); got.status/100 != 2 {
			t.Errorf("%s after the proof: %s", act, got)
		}
	}
}

// A secret in the address of a request is none, so that nobody puts one where logs keep it.
// It is not in the log of this server either.
func TestSecretsInAddresses(t *testing.T) {
	f, owner := claimed(t, "invite")
	_, token, err := f.accounts.MakeToken(t.Context(), owner.Principal.As(""), account.NewToken{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{owner.Secret, token} {
		for _, name := range []string{"token", "access_token", "kaban", "authorization", "session"} {
			for _, path := range []string{"/v1/session", "/v1/devices", "/v1/rooms/lobby/messages"} {
				f.get(path+"?"+name+"="+secret).has(t, 401, "code", "auth_required")
			}
		}
		if strings.Contains(f.log.String(), secret) {
			t.Error("the log has the secret")
		}
	}
	f.get("/v1/session", "Authorization", "Bearer "+token).has(t, 200)
}
