package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/account/passkeytest"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

const rightPassword = "purple monkey dishwasher"

// wayIn is a way to sign in over HTTP.
type wayIn struct {
	name string
	// prepare makes what an account signs in with, and returns how to use it.
	prepare func(f *fixture, who account.Session) func() *answer
	invites bool // it lets somebody in that has not come yet
}

func waysIn() []wayIn {
	signIn := func(f *fixture, body string, headers ...string) func() *answer {
		return func() *answer { return f.send("POST", "/v1/session", body, headers...) }
	}
	return []wayIn{
		{"a password", func(f *fixture, who account.Session) func() *answer {
			f.send("PUT", "/v1/account/password", `{"password":"`+rightPassword+`"}`, cookie(who)...).has(f.t, 204)
			return signIn(f, `{"username":"`+who.Principal.Account.Username+`","password":"`+rightPassword+`"}`)
		}, false},
		{"a recovery code", func(f *fixture, who account.Session) func() *answer {
			codes := f.send("POST", "/v1/account/recovery-codes", "", cookie(who)...).has(f.t, 200).json["recovery_codes"].([]any)
			return signIn(f, fmt.Sprintf(`{"username":%q,"recovery_code":%q}`, who.Principal.Account.Username, codes[0]))
		}, false},
		{"a link", func(f *fixture, who account.Session) func() *answer {
			link := f.asOperator("POST", "/v1/admin/users/"+who.Principal.Account.Username+"/reset", "").has(f.t, 200).text("link")
			f.put(who, func(a *people.Account) { a.Status = people.StatusActive })
			return signIn(f, `{"link":"`+fragment(f.t, link, "/sign-in")+`"}`)
		}, true},
		{"a passkey", (*fixture).addPasskey, false},
		{"a cookie", func(f *fixture, who account.Session) func() *answer {
			return func() *answer { return f.get("/v1/session", cookie(who)...) }
		}, false},
		{"a token", func(f *fixture, who account.Session) func() *answer {
			token := f.token(who, account.NewToken{})
			return func() *answer { return f.get("/v1/session", bearer(token)...) }
		}, false},
		{"a device that was approved", func(f *fixture, who account.Session) func() *answer {
			begun := f.do("POST", "/v1/device", `{"name":"tty"}`, asJSON()...).has(f.t, 200)
			f.send("POST", "/v1/device/decide", fmt.Sprintf(`{"user_code":%q,"approve":true}`, begun.text("user_code")), cookie(who)...).has(f.t, 204)
			form := url.Values{"device_code": {begun.text("device_code")}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"x"}}
			return func() *answer {
				return f.do("POST", "/v1/device/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			}
		}, false},
	}
}

// addPasskey adds a passkey with an authenticator in software, and returns how to sign in
// with it. The challenge is older than what happens in between.
func (f *fixture) addPasskey(who account.Session) func() *answer {
	f.t.Helper()
	rp := virtualwebauthn.RelyingParty{Name: "Kaban", ID: "localhost", Origin: passkeyOrigin}
	device, credential := virtualwebauthn.NewAuthenticator(), passkeytest.NewCredential(f.t)
	begun := f.send("POST", "/v1/passkeys/begin", "", cookie(who)...).has(f.t, 200)
	made, err := virtualwebauthn.ParseAttestationOptions(begun.body)
	if err != nil {
		f.t.Fatal(err)
	}
	device.Options.UserHandle = []byte(who.Principal.Account.ID)
	response := virtualwebauthn.CreateAttestationResponse(rp, device, credential, *made)
	f.send("POST", "/v1/passkeys", strings.Replace(response, "{", `{"name":"key",`, 1), "Cookie", "kaban="+who.Secret+"; "+browserCookie(f.t, begun)).has(f.t, 201)

	challenge := f.send("POST", "/v1/passkeys/sign-in/begin", "").has(f.t, 200)
	asked, err := virtualwebauthn.ParseAssertionOptions(challenge.body)
	if err != nil {
		f.t.Fatal(err)
	}
	proof := virtualwebauthn.CreateAssertionResponse(rp, device, credential, *asked)
	return func() *answer {
		return f.send("POST", "/v1/passkeys/sign-in", proof, "Cookie", browserCookie(f.t, challenge))
	}
}

// put changes an account behind the service, which would remove what it signs in with.
func (f *fixture) put(who account.Session, change func(*people.Account)) {
	f.t.Helper()
	if err := f.dispatcher.Update(f.t.Context(), func(tx store.Tx) error {
		a, err := people.Accounts.Named(tx, storetest.Username(f.t, who.Principal.Account.Username))
		if err != nil {
			return err
		}
		change(&a)
		return people.Accounts.Put(tx, &a)
	}); err != nil {
		f.t.Fatal(err)
	}
}

// TestEveryWayInEveryStatus signs in over HTTP in every way, with what is right, while the
// account is active, suspended, not claimed yet and removed. (The provider of single
// sign-on is a test of its own, in providertest.)
func TestEveryWayInEveryStatus(t *testing.T) {
	f := withPasskeys(t)
	f.claim("invite")
	for i, way := range waysIn() {
		for _, status := range []people.Status{people.StatusActive, people.StatusSuspended, people.StatusUnclaimed, people.StatusRemoved} {
			t.Run(fmt.Sprint(way.name, " ", status), func(t *testing.T) {
				f.t = t
				who := f.person(fmt.Sprint("person", i, "-", status), kaban.RoleMember)
				use := way.prepare(f, who)
				f.put(who, func(a *people.Account) { a.Status = status })
				got := use()
				switch {
				case status == people.StatusActive, status == people.StatusUnclaimed && way.invites:
					got.has(t, 200)
				case strings.HasPrefix(way.name, "a device"):
					got.has(t, 400, "error", "access_denied")
				case status == people.StatusSuspended:
					got.has(t, 403, "code", "suspended")
				case way.name == "a cookie":
					got.has(t, 401, "code", "auth_required") // as without one
				default:
					got.has(t, 401, "code", "auth_failed")
				}
			})
		}
	}
}
