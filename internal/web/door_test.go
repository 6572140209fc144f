package web_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/peer"
)

// opened is an operation of the document and whom it is for.
type opened struct {
	method, path string
	anybody      bool // needs no credential
	visitors     bool // needs one only where the server takes no visitors
	socket       string
}

// operations returns all operations under /v1.
func operations(t *testing.T) (all []opened) {
	t.Helper()
	document, err := document()
	if err != nil {
		t.Fatal(err)
	}
	paths := document["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !strings.HasPrefix(path, "/v1/") {
			continue
		}
		for method, item := range paths[path].(map[string]any) {
			item := item.(map[string]any)
			o := opened{method: strings.ToUpper(method), path: strings.NewReplacer("{room}", "lobby").Replace(path)}
			o.socket, _ = item["x-admin-socket"].(string)
			required, _ := item["security"].([]any)
			empty := slices.ContainsFunc(required, func(v any) bool { return len(v.(map[string]any)) == 0 })
			o.anybody, o.visitors = empty && len(required) == 1, empty && len(required) > 1
			all = append(all, o)
		}
	}
	if len(all) < 15 {
		t.Fatalf("there are %d operations only", len(all))
	}
	return all
}

// ask makes the request of an operation, without waiting for more than its header.
func (f *fixture) ask(o opened, headers ...string) (status int, code string) {
	f.t.Helper()
	if strings.HasSuffix(o.path, "/events") { // HEAD has the same answers and an end
		o.method = http.MethodHead
	}
	a := f.do(o.method, o.path, "{}", append(asJSON(), headers...)...)
	code, _ = a.json["code"].(string)
	return a.status, code
}

// Every operation asks for the credential that the document says, whatever the setting
// of access.
func TestEveryDoor(t *testing.T) {
	all := operations(t)
	for _, access := range []string{"open", "signup", "invite", "closed"} {
		t.Run(access, func(t *testing.T) {
			f, _ := claimed(t, access)
			for n, o := range all {
				name := o.method + " " + o.path
				refused := func(what string, status int, code string, headers ...string) {
					t.Helper()
					if gotStatus, gotCode := f.ask(o, headers...); gotStatus != status || gotCode != code && o.path != "/v1/rooms/lobby/events" && o.method != http.MethodHead {
						t.Errorf("%s with %s is answered with %d %s, want %d %s", name, what, gotStatus, gotCode, status, code)
					}
				}
				passes := func(what string, headers ...string) {
					t.Helper()
					if status, code := f.ask(o, headers...); status == 401 && code != "auth_failed" || code == "tls_required" || status == 403 && code == "" {
						t.Errorf("%s with %s is answered with %d %s", name, what, status, code)
					}
				}
				person := f.person(fmt.Sprint("mia", n), kaban.RoleMember)
				stale := account.Session{Secret: person.Secret[:len(person.Secret)-4] + "AAAA"}
				open := o.anybody || o.visitors && access == "open" || o.path == "/v1/socket" // hello may have a credential
				switch {
				case o.socket == "only":
					refused("no credential", 403, "forbidden")
					refused("a token", 403, "forbidden", bearer(person)...)
					refused("a cookie", 403, "forbidden", with(cookie(person), origin(f.url))...)
					continue
				case o.anybody:
					passes("no credential", origin(f.url)...)
					passes("a stale token", with(bearer(stale), origin(f.url))...)
					passes("a stale cookie", with(cookie(stale), origin(f.url))...)
				case open:
					passes("no credential")
				default:
					refused("no credential", 401, "auth_required")
				}
				if !o.anybody {
					refused("a stale token", 401, "auth_failed", bearer(stale)...)
					refused("two tokens", 401, "auth_failed", "Authorization", "Bearer "+person.Secret+" "+person.Secret)
					refused("a stale cookie", 401, "auth_required", with(cookie(stale), origin(f.url))...)
				}
				isSafe := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, o.method)
				if !isSafe || o.path == "/v1/socket" {
					refused("a cookie and no origin", 403, "", cookie(person)...)
					refused("a cookie and a foreign origin", 403, "", with(cookie(person), origin("https://evil.example"))...)
					refused("a cookie and the origin with another scheme", 403, "", with(cookie(person), origin("https://"+f.host))...)
					refused("a cookie and the origin null", 403, "", with(cookie(person), origin("null"))...)
				}
				passes("a cookie", with(cookie(person), origin(f.url))...)
				passes("a token", with(bearer(f.person(fmt.Sprint("max", n), kaban.RoleMember)), origin(f.url))...)
			}
		})
	}
}

// The operator passes every door that is not an account's, without an origin, and
// whoever has no credential does not become the operator by its path.
func TestTheOperator(t *testing.T) {
	f, _ := claimed(t, "closed")
	handler := f.web.OperatorHandler()
	for _, o := range operations(t) {
		if o.path == "/v1/socket" || strings.HasSuffix(o.path, "/events") {
			continue // over the network only
		}
		request := httptest.NewRequest(o.method, o.path, strings.NewReader("{}"))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Origin", "https://evil.example")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		isAccounts := !o.anybody && !o.visitors && o.socket == ""
		refused := answer.Code == 403 && strings.Contains(answer.Body.String(), "the operator has none")
		if isAccounts != refused || answer.Code == 401 && o.socket != "" {
			t.Errorf("%s %s answers the operator with %d %s", o.method, o.path, answer.Code, answer.Body)
		}
	}
}

// Secrets are taken over an encrypted connection, whose cookie no other can set, and
// from this machine. Elsewhere they are refused unseen.
func TestSecretsAndTheirConnection(t *testing.T) {
	f, _ := claimed(t, "open")
	mia := f.person("mia", kaban.RoleMember)
	secure, err := peer.Decide(peer.Listener{URL: "https://127.0.0.1:1", TLS: true}, peer.Policy{})
	f.must(err)
	ask := func(remote string, encrypted bool, method, path, body string, headers ...string) *httptest.ResponseRecorder {
		rules := peer.Loopback()
		request := httptest.NewRequest(method, "http://chat.example.org"+path, strings.NewReader(body))
		request.RemoteAddr = remote
		if encrypted {
			request.TLS, rules = new(tls.ConnectionState), secure
		}
		request.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			request.Header.Add(headers[i], headers[i+1])
		}
		answer := httptest.NewRecorder()
		f.web.Answer(answer, request, rules)
		return answer
	}
	const near, far = "127.0.0.1:1", "192.0.2.1:1"
	host := func(s account.Session) []string { return []string{"Cookie", "__Host-kaban=" + s.Secret} }
	for _, test := range []struct {
		what, remote string
		encrypted    bool
		headers      []string
		status       int
		code         string
	}{
		{"a token from here", near, false, bearer(mia), 200, ""},
		{"a token in the clear", far, false, bearer(mia), 403, "tls_required"},
		{"a token over TLS", far, true, bearer(mia), 200, ""},
		{"a cookie from here", near, false, cookie(mia), 200, ""},
		{"a cookie in the clear", far, false, cookie(mia), 403, "tls_required"},
		{"a plain cookie over TLS", far, true, cookie(mia), 401, "auth_required"},
		{"a cookie over TLS", far, true, host(mia), 200, ""},
		{"a cookie for TLS in the clear", near, false, host(mia), 401, "auth_required"},
		{"two tokens", near, false, with(bearer(mia), bearer(mia)), 401, "auth_failed"},
		{"a token with the credential of a proxy", near, false, with([]string{"Authorization", "Basic bWlhOm1pYQ=="}, bearer(mia)), 200, ""},
		{"a wrong token with a cookie", near, false, with(cookie(mia), []string{"Authorization", "Bearer x"}), 401, "auth_failed"},
		{"the credential of a proxy", near, false, []string{"Authorization", "Basic bWlhOm1pYQ=="}, 401, "auth_required"},
	} {
		got := ask(test.remote, test.encrypted, "GET", "/v1/session", "", test.headers...)
		if got.Code != test.status || test.code != "" && !strings.Contains(got.Body.String(), `"code":"`+test.code+`"`) {
			t.Errorf("%s: got %d %s, want %d %s", test.what, got.Code, got.Body, test.status, test.code)
		}
	}
	const body = `{"username":"mia","password":"purple monkey dishwasher"}`
	if got := ask(far, false, "POST", "/v1/session", body, origin("http://chat.example.org")...); got.Code != 403 || !strings.Contains(got.Body.String(), "tls_required") {
		t.Errorf("a password in the clear: got %d %s", got.Code, got.Body)
	}
	if got := ask(far, true, "POST", "/v1/session", body, origin("http://chat.example.org")...); got.Code != 403 || strings.Contains(got.Body.String(), "code") {
		t.Errorf("a page in the clear: got %d %s", got.Code, got.Body)
	}
	_, link, err := f.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: "pia"}})
	f.must(err)
	in := ask(far, true, "POST", "/v1/session", `{"link":"`+link+`"}`, origin("https://chat.example.org")...)
	if set := in.Header().Get("Set-Cookie"); in.Code != 200 || !strings.HasPrefix(set, "__Host-kaban=") || !strings.Contains(set, "; Secure") || !strings.Contains(set, "Path=/;") || strings.Contains(set, "Domain") {
		t.Errorf("signing in over TLS: got %d %s with the cookie %q", in.Code, in.Body, set)
	}
}

// A server without an owner has no accounts, and serves visitors as ever.
func TestAnUnclaimedServer(t *testing.T) {
	f := serve(t)
	f.get("/v1/server").has(t, 200, "server", "kaban", "claimed", false, "access", "open", "sign_up", false, "visitors", true, "passkeys", false)
	f.get("/v1/rooms").has(t, 200)
	f.get("/v1/session").has(t, 401, "code", "auth_required")
	f.do("POST", "/v1/session", `{"username":"olga","password":"purple monkey dishwasher"}`, with(asJSON(), origin(f.url))...).has(t, 401, "code", "auth_failed")
	for _, access := range []string{"open", "signup", "invite", "closed"} {
		f, _ := claimed(t, access)
		f.get("/v1/server").has(t, 200, "claimed", true, "access", access, "sign_up", access == "open" || access == "signup", "visitors", access == "open")
	}
}
