package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/account/passkeytest"
)

// secrets are what must not be in the log.
type secrets []string

func (s *secrets) add(values ...string) { *s = append(*s, values...) }

func (s secrets) check(t *testing.T, f *fixture) {
	t.Helper()
	for _, secret := range s {
		if secret == "" {
			t.Error("a secret is empty")
		} else if strings.Contains(f.log.String(), secret) {
			t.Errorf("the log has the secret %q:\n%s", secret, f.log)
		}
	}
}

// text returns a field of an answer.
func (a *answer) text(field string) string {
	text, _ := a.json[field].(string)
	return text
}

// fragment returns the secret in a link to a page.
func fragment(t testing.TB, link, page string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || !strings.HasSuffix(u.Path, page) || u.Fragment == "" || u.RawQuery != "" {
		t.Fatalf("the link is %q, want one to %s with a fragment", link, page)
	}
	return u.Fragment
}

// session returns the cookie that an answer sets.
func (a *answer) session(t *testing.T) account.Session {
	t.Helper()
	for _, c := range a.setCookies() {
		if c.Name == "kaban" && c.HttpOnly {
			return account.Session{Secret: c.Value}
		}
	}
	t.Fatalf("%s sets no cookie", a)
	return account.Session{}
}

// send makes a request of a page of this server.
func (f *fixture) send(method, path, body string, headers ...string) *answer {
	f.t.Helper()
	return f.do(method, path, body, with(asJSON(), origin(f.url), headers)...)
}

// A server is claimed once, by the page that the link leads to, and the invite that
// comes with it makes one account.
func TestClaimAndInvite(t *testing.T) {
	f := serve(t)
	var kept secrets
	f.send("POST", "/v1/accounts", `{"username":"eve","password":"purple monkey dishwasher"}`).has(t, 403, "code", "forbidden")
	claim := fragment(t, f.asOperator("POST", "/v1/admin/claim", "").has(t, 200).text("link"), "/claim")
	f.send("POST", "/v1/claim/look", `{"claim":"kaban_claim_wrong"}`).has(t, 404, "code", "not_found")
	f.send("POST", "/v1/claim/look", `{"claim":"`+claim+`"}`).has(t, 204)
	body := `{"claim":"` + claim + `","username":"Olga","name":"Olga O.","password":"purple monkey dishwasher","device":"laptop"}`
	f.do("POST", "/v1/claim", body, asJSON()...).has(t, 403) // no origin
	f.send("POST", "/v1/claim", strings.Replace(body, claim, claim+"x", 1)).has(t, 401, "code", "auth_failed")
	f.send("POST", "/v1/claim", strings.Replace(body, "purple monkey dishwasher", "", 1)).has(t, 400, "field", "password")
	made := f.send("POST", "/v1/claim", body).has(t, 201, "account", "map[bot:false name:Olga O. role:owner username:Olga]", "fresh", true)
	owner := made.session(t)
	if n := len(made.json["recovery_codes"].([]any)); n < 8 {
		t.Errorf("there are %d recovery codes", n)
	}
	kept.add(claim, owner.Secret, "purple monkey dishwasher", made.json["recovery_codes"].([]any)[0].(string))
	f.send("POST", "/v1/claim", body).has(t, 403, "code", "forbidden")
	f.send("POST", "/v1/claim/look", `{"claim":"`+claim+`"}`).has(t, 404)
	f.get("/v1/server").has(t, 200, "claimed", true, "access", "invite", "create_rooms", "member")

	invite := fragment(t, made.text("invite"), "/invite")
	f.send("POST", "/v1/invite/look", `{"invite":"`+invite+`"}`).has(t, 200, "kind", "invite", "role", "member", "by", "Olga", "rooms", "[]")
	accept := `{"invite":"` + invite + `","username":"mia","password":"correct horse battery"}`
	joined := f.send("POST", "/v1/invite/accept", accept).has(t, 201)
	f.get("/v1/account", cookie(joined.session(t))...).has(t, 200, "username", "mia", "role", "member")
	f.send("POST", "/v1/invite/accept", strings.Replace(accept, "mia", "max", 1)).has(t, 404, "code", "not_found")
	f.send("POST", "/v1/invite/look", `{"invite":"`+invite+`"}`).has(t, 404, "code", "not_found")
	kept.add(invite, joined.session(t).Secret, "correct horse battery")
	kept.check(t, f)
}

// An invite with one use makes one account, however many accept it at once, and a claim
// one owner.
func TestAtOnce(t *testing.T) {
	f := serve(t)
	race := func(n int, path string, body func(i int) string) (succeeded int64) {
		var all sync.WaitGroup
		var count atomic.Int64
		for i := range n {
			all.Go(func() {
				switch got := f.send("POST", path, body(i)); {
				case got.status == 201:
					count.Add(1)
				case got.status >= 500 && got.status != 503:
					t.Errorf("%s: %s", path, got)
				}
			})
		}
		all.Wait()
		return count.Load()
	}
	claim := fragment(t, f.asOperator("POST", "/v1/admin/claim", "").text("link"), "/claim")
	if n := race(10, "/v1/claim", func(i int) string {
		return fmt.Sprintf(`{"claim":%q,"username":"olga%d","password":"purple monkey dishwasher"}`, claim, i)
	}); n != 1 {
		t.Errorf("%d have claimed the server", n)
	}
	invite := fragment(t, f.asOperator("POST", "/v1/admin/invites", `{}`).has(t, 201).text("link"), "/invite")
	if n := race(25, "/v1/invite/accept", func(i int) string {
		return fmt.Sprintf(`{"invite":%q,"username":"u%d","password":"purple monkey dishwasher"}`, invite, i)
	}); n != 1 {
		t.Errorf("an invite with one use has made %d accounts", n)
	}
	if users := f.asOperator("GET", "/v1/admin/users", "").json["users"].([]any); len(users) != 2 {
		t.Errorf("there are %d accounts: %v", len(users), users)
	}
}

// A device is signed in once somebody that is fresh approves it: RFC 8628. One that asks
// too often is told to slow down.
func TestDeviceGrant(t *testing.T) {
	f, _ := claimed(t, "invite")
	var kept secrets
	form := func(path, body string) *answer {
		t.Helper()
		return f.do("POST", path, body, "Content-Type", "application/x-www-form-urlencoded")
	}
	begun := form("/v1/device", "client_id=kaban&name=build+host&unknown=1").has(t, 200, "interval", 5, "expires_in", 600)
	code, user := begun.text("device_code"), begun.text("user_code")
	kept.add(code, user)
	if fragment(t, begun.text("verification_uri_complete"), "/device") != user || strings.Contains(begun.text("verification_uri"), user) {
		t.Errorf("the addresses are %s", begun)
	}
	poll := func() *answer {
		return form("/v1/device/token", url.Values{"device_code": {code}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"x"}}.Encode())
	}
	first := poll().has(t, 400, "error", "authorization_pending")
	if first.header.Get("Content-Type") != "application/json" || first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", first.header)
	}
	poll().has(t, 400, "error", "slow_down")
	form("/v1/device/token", "device_code="+code+"&grant_type=password").has(t, 400, "error", "unsupported_grant_type")
	form("/v1/device/token", "device_code="+code+"&device_code="+code).has(t, 400, "code", "bad_field", "field", "device_code")
	form("/v1/device/token", "x=1").has(t, 400, "code", "missing_field", "field", "device_code")
	f.send("POST", "/v1/device/token", `{"device_code":"kaban_grant_wrong"}`).has(t, 400, "error", "expired_token")

	mia := f.person("mia", kaban.RoleMember)
	look := `{"user_code":"` + strings.ToLower(user) + `"}`
	f.send("POST", "/v1/device/look", look).has(t, 401, "code", "auth_required")
	f.send("POST", "/v1/device/look", look, cookie(mia)...).has(t, 200, "name", "build host", "address", "127.0.0.1")
	approve := `{"user_code":"` + user + `","approve":true}`
	f.clock.pass(8 * time.Minute)
	stale := f.person("sam", kaban.RoleMember)
	f.clock.pass(16 * time.Minute)
	f.send("POST", "/v1/device/decide", approve, cookie(stale)...).has(t, 403, "confirm", true) // not fresh any more
	poll().has(t, 400, "error", "expired_token")

	max := f.person("max", kaban.RoleMember)
	for _, approves := range []bool{false, true} {
		begun = f.do("POST", "/v1/device", `{"name":"tty"}`, asJSON()...).has(t, 200)
		code, user = begun.text("device_code"), begun.text("user_code")
		poll().has(t, 400, "error", "authorization_pending")
		f.send("POST", "/v1/device/decide", fmt.Sprintf(`{"user_code":%q,"approve":%t}`, user, approves), cookie(max)...).has(t, 204)
		f.clock.pass(6 * time.Second)
		if !approves {
			poll().has(t, 400, "error", "access_denied")
			continue
		}
		got := poll().has(t, 200, "token_type", "Bearer", "username", "max")
		device := account.Session{Secret: got.text("access_token")}
		f.get("/v1/account", bearer(device)...).has(t, 200, "username", "max")
		poll().has(t, 400, "error", "expired_token") // once
		kept.add(code, device.Secret)
	}
	for range 5 {
		f.send("POST", "/v1/device/look", `{"user_code":"BBBB-BBBB"}`, cookie(max)...).has(t, 404)
	}
	f.send("POST", "/v1/device/look", `{"user_code":"BBBB-BBBB"}`, cookie(max)...).has(t, 429, "code", "rate_limited")
	kept.check(t, f)
}

// A passkey is added and signs in, with an authenticator in software.
func TestPasskeyOverHTTP(t *testing.T) {
	f := withPasskeys(t)
	owner := f.claim("invite")
	var kept secrets
	rp := virtualwebauthn.RelyingParty{Name: "Kaban", ID: "localhost", Origin: passkeyOrigin}
	device := virtualwebauthn.NewAuthenticator()
	credential := passkeytest.NewCredential(t)

	begun := f.send("POST", "/v1/passkeys/begin", "", cookie(owner)...).has(t, 200)
	browser := browserCookie(t, begun)
	options, err := virtualwebauthn.ParseAttestationOptions(begun.body)
	if err != nil {
		t.Fatal(err)
	}
	device.Options.UserHandle = []byte(owner.Principal.Account.ID)
	response := virtualwebauthn.CreateAttestationResponse(rp, device, credential, *options)
	named := strings.Replace(response, "{", `{"name":"key ring",`, 1)
	f.send("POST", "/v1/passkeys", named, cookie(owner)...).has(t, 401, "code", "auth_failed") // another browser
	begun = f.send("POST", "/v1/passkeys/begin", "", "Cookie", "kaban="+owner.Secret+"; "+browser).has(t, 200)
	if len(begun.setCookies()) != 0 {
		t.Errorf("a browser gets another secret: %v", begun.header)
	}
	if options, err = virtualwebauthn.ParseAttestationOptions(begun.body); err != nil {
		t.Fatal(err)
	}
	response = virtualwebauthn.CreateAttestationResponse(rp, device, credential, *options)
	named = strings.Replace(response, "{", `{"name":"key ring",`, 1)
	added := f.send("POST", "/v1/passkeys", named, "Cookie", "kaban="+owner.Secret+"; "+browser).has(t, 201, "name", "key ring")
	f.send("POST", "/v1/passkeys", named, "Cookie", "kaban="+owner.Secret+"; "+browser).has(t, 401, "code", "auth_failed") // once

	challenge := f.send("POST", "/v1/passkeys/sign-in/begin", "").has(t, 200)
	browser = browserCookie(t, challenge)
	assertion, err := virtualwebauthn.ParseAssertionOptions(challenge.body)
	if err != nil {
		t.Fatal(err)
	}
	proof := virtualwebauthn.CreateAssertionResponse(rp, device, credential, *assertion)
	f.do("POST", "/v1/passkeys/sign-in", proof, with(asJSON(), []string{"Cookie", browser})...).has(t, 403) // no origin
	in := f.send("POST", "/v1/passkeys/sign-in", strings.Replace(proof, "{", `{"device":"phone",`, 1), "Cookie", browser).has(t, 200, "fresh", true)
	session := in.session(t)
	f.get("/v1/session", cookie(session)...).has(t, 200, "account", "map[bot:false name: role:owner username:olga]")
	f.send("POST", "/v1/passkeys/sign-in", proof, "Cookie", browser).has(t, 401, "code", "auth_failed") // once
	kept.add(session.Secret, strings.TrimPrefix(browser, "kaban-browser="))

	id := added.text("id")
	f.send("PATCH", "/v1/passkeys/"+id, `{"name":"the other"}`, cookie(session)...).has(t, 204)
	list := f.get("/v1/passkeys", cookie(session)...).has(t, 200).json["passkeys"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["name"] != "the other" || list[0].(map[string]any)["used"] == nil {
		t.Errorf("the passkeys are %v", list)
	}
	f.send("DELETE", "/v1/passkeys/"+id, "", cookie(session)...).has(t, 403, "code", "forbidden") // the last way in
	f.send("PUT", "/v1/account/password", `{"password":"purple monkey dishwasher"}`, cookie(session)...).has(t, 204)
	f.send("DELETE", "/v1/passkeys/"+id, "", cookie(session)...).has(t, 204)
	kept.check(t, f)
}

// The first owner and an invited person come with a passkey and no password, and confirm
// with it what needs a fresh sign-in.
func TestAccountsWithAPasskeyOnly(t *testing.T) {
	f := withPasskeys(t)
	rp := virtualwebauthn.RelyingParty{Name: "Kaban", ID: "localhost", Origin: passkeyOrigin}
	device := virtualwebauthn.NewAuthenticator()
	var kept secrets
	// enter makes an account at a path and returns the answer, and the passkey.
	enter := func(path, key, secret, name string) (*answer, virtualwebauthn.Credential) {
		t.Helper()
		begun := f.send("POST", "/v1/passkeys/new/begin", `{"username":"`+name+`","`+key+`":"`+secret+`"}`).has(t, 200)
		options, err := virtualwebauthn.ParseAttestationOptions(begun.body)
		if err != nil {
			t.Fatal(err)
		}
		credential := passkeytest.NewCredential(t)
		device.Options.UserHandle = []byte(options.UserID)
		passkey := virtualwebauthn.CreateAttestationResponse(rp, device, credential, *options)
		body := `{"` + key + `":"` + secret + `","username":"` + name + `","passkey":` + passkey + `}`
		f.send("POST", path, strings.Replace(body, passkey, "{}", 1), "Cookie", browserCookie(t, begun)).has(t, 401, "code", "auth_failed")
		kept.add(secret)
		return f.send("POST", path, body, "Cookie", browserCookie(t, begun)).has(t, 201, "fresh", true), credential
	}
	claim := fragment(t, f.asOperator("POST", "/v1/admin/claim", "").has(t, 200).text("link"), "/claim")
	f.send("POST", "/v1/passkeys/new/begin", `{"username":"olga","claim":"`+claim+`x"}`).has(t, 401, "code", "auth_failed")
	f.send("POST", "/v1/passkeys/new/begin", `{"username":"olga"}`).has(t, 403, "code", "forbidden")
	f.send("POST", "/v1/claim", `{"claim":"`+claim+`","username":"olga"}`).has(t, 400, "field", "password")
	made, _ := enter("/v1/claim", "claim", claim, "olga")
	invite := fragment(t, made.text("invite"), "/invite")
	f.do("POST", "/v1/passkeys/new/begin", `{"username":"mia","invite":"`+invite+`"}`, asJSON()...).has(t, 403) // no origin
	joined, credential := enter("/v1/invite/accept", "invite", invite, "mia")
	mia := joined.session(t)
	f.send("POST", "/v1/passkeys/new/begin", `{"username":"max","invite":"`+invite+`"}`).has(t, 404, "code", "not_found")

	f.get("/v1/session", cookie(mia)...).has(t, 200, "ways", "[passkey]")
	challenge := f.send("POST", "/v1/passkeys/sign-in/begin", "").has(t, 200)
	assertion, err := virtualwebauthn.ParseAssertionOptions(challenge.body)
	if err != nil {
		t.Fatal(err)
	}
	proof := virtualwebauthn.CreateAssertionResponse(rp, device, credential, *assertion)
	of := func(s account.Session) []string {
		return []string{"Cookie", "kaban=" + s.Secret + "; " + browserCookie(t, challenge)}
	}
	f.send("POST", "/v1/passkeys/confirm", proof, "Cookie", browserCookie(t, challenge)).has(t, 401, "code", "auth_required")
	f.send("POST", "/v1/passkeys/confirm", proof, of(mia)...).has(t, 204)
	f.send("POST", "/v1/passkeys/confirm", proof, of(mia)...).has(t, 401, "code", "auth_failed") // once
	kept.check(t, f)
}

// A link into an account sets a passkey, for that account only.
func TestALinkSetsAPasskey(t *testing.T) {
	f := withPasskeys(t)
	f.claim("open")
	rp := virtualwebauthn.RelyingParty{Name: "Kaban", ID: "localhost", Origin: passkeyOrigin}
	link := func(name string) string {
		t.Helper()
		return fragment(t, f.asOperator("POST", "/v1/admin/users", `{"username":"`+name+`"}`).has(t, 201).text("link"), "/sign-in")
	}
	mia, max := link("mia"), link("max")
	begun := f.send("POST", "/v1/passkeys/new/begin", `{"username":"mia","invite":"`+mia+`"}`).has(t, 200)
	options, err := virtualwebauthn.ParseAttestationOptions(begun.body)
	if err != nil {
		t.Fatal(err)
	}
	device := virtualwebauthn.NewAuthenticator()
	device.Options.UserHandle = []byte(options.UserID)
	passkey := virtualwebauthn.CreateAttestationResponse(rp, device, passkeytest.NewCredential(t), *options)
	in := func(link, more string) *answer {
		t.Helper()
		return f.send("POST", "/v1/session", `{"link":"`+link+`"`+more+`,"passkey":`+passkey+`}`, "Cookie", browserCookie(t, begun))
	}
	in(mia, `,"password":"purple monkey dishwasher"`).has(t, 400, "code", "missing_field")
	in(mia+"x", "").has(t, 401)
	// What was begun for an account makes no other one of it.
	f.send("POST", "/v1/accounts", `{"username":"mallory","passkey":`+passkey+`}`, "Cookie", browserCookie(t, begun)).has(t, 401, "code", "auth_failed")
	f.asOperator("GET", "/v1/admin/users?query=mallory", "").has(t, 200, "users", "[]")
	begun = f.send("POST", "/v1/passkeys/new/begin", `{"username":"mia","invite":"`+mia+`"}`).has(t, 200)
	if options, err = virtualwebauthn.ParseAttestationOptions(begun.body); err != nil {
		t.Fatal(err)
	}
	passkey = virtualwebauthn.CreateAttestationResponse(rp, device, passkeytest.NewCredential(t), *options)
	session := in(mia, "").has(t, 200, "fresh", true).session(t)
	f.get("/v1/session", cookie(session)...).has(t, 200, "ways", "[passkey]")
	in(mia, "").has(t, 401) // once

	// One that was begun for another account is not taken, and the link stays.
	begun = f.send("POST", "/v1/passkeys/new/begin", `{"username":"max","invite":"`+link("eva")+`"}`).has(t, 200)
	if options, err = virtualwebauthn.ParseAttestationOptions(begun.body); err != nil {
		t.Fatal(err)
	}
	passkey = virtualwebauthn.CreateAttestationResponse(rp, device, passkeytest.NewCredential(t), *options)
	in(max, "").has(t, 401, "code", "auth_failed")
	f.send("POST", "/v1/session", `{"link":"`+max+`"}`).has(t, 200)
}

// browserCookie returns the cookie that binds a ceremony to a browser.
func browserCookie(t testing.TB, a *answer) string {
	t.Helper()
	for _, c := range a.setCookies() {
		if c.Name == "kaban-browser" && c.HttpOnly && c.MaxAge == 0 {
			return c.Name + "=" + c.Value
		}
	}
	t.Fatalf("%s sets no cookie for a browser: %v", a, a.header)
	return ""
}

// Without an address that permits passkeys the server says why there are none.
func TestNoPasskeys(t *testing.T) {
	f, owner := claimed(t, "invite")
	for _, request := range []string{"POST /v1/passkeys/begin", "POST /v1/passkeys/sign-in/begin", "GET /v1/passkeys"} {
		method, path, _ := strings.Cut(request, " ")
		got := f.send(method, path, "", bearer(owner)...).has(t, 404, "code", "not_found")
		if !strings.Contains(got.text("detail"), "--origin") {
			t.Errorf("%s is answered with %s", request, got)
		}
	}
	for want, err := range map[string]error{
		"/sign-in#error=auth_failed":                  account.ErrAuthFailed,
		"/sign-in#error=unavailable":                  account.ErrProviderDown,
		"/sign-in#error=auth_failed&about=confirming": &account.ConfirmationError{Err: account.ErrAuthFailed},
		"/sign-in#error=unavailable&about=confirming": &account.ConfirmationError{Err: account.ErrProviderDown},
		"/sign-in#error=auth_failed&about=unproven":   &account.ConfirmationError{Err: fmt.Errorf("%w: %w", account.ErrUnproven, account.ErrAuthFailed)},
	} {
		if got := f.web.SignInFailed(err); got != want {
			t.Errorf("after %v the browser goes on at %s, want %s", err, got, want)
		}
	}
	f.get("/v1/oidc/start").has(t, 404, "code", "not_found")
	f.get("/v1/oidc/callback?state=x&code=y").has(t, 404, "code", "not_found")
}
