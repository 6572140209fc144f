package web_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban/internal/store/teststore"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/web"
)

// bodies returns the operations of accounts with a JSON body, and a body for each that
// an owner's request could have.
func bodies() map[string]string {
	return map[string]string{
		"PATCH /v1/account":                   `{"name":"x"}`,
		"PUT /v1/account/password":            `{"password":"purple monkey dishwasher"}`,
		"PUT /v1/account/notifications":       `{"keywords":["x"],"quiet":{"from":"22:00","to":"07:00","zone":"UTC","days":["mon"],"until_ms":1}}`,
		"PUT /v1/push":                        `{"content":"hint"}`,
		"POST /v1/push/subscriptions":         `{"endpoint":"https://push.example/x","expirationTime":1,"keys":{"p256dh":"x","auth":"x"}}`,
		"POST /v1/tokens":                     `{"name":"x","expires_in":"30d","rooms":["lobby"],"read_only":true,"username":"robo"}`,
		"POST /v1/bots":                       `{"username":"x","name":"x","role":"member","owner":"olga"}`,
		"POST /v1/invites":                    `{"role":"guest","rooms":["lobby"],"uses":2,"expires_in":"7d"}`,
		"POST /v1/admin/invites":              `{"role":"guest","rooms":["lobby"],"uses":2,"expires_in":"7d"}`,
		"POST /v1/admin/users":                `{"username":"x","name":"x","role":"guest","password":"purple monkey dishwasher"}`,
		"POST /v1/admin/users/mia/suspend":    `{"reason":"x"}`,
		"PUT /v1/admin/users/mia/role":        `{"role":"guest"}`,
		"PUT /v1/admin/users/mia/name":        `{"name":"x"}`,
		"PUT /v1/admin/users/robo/owner":      `{"username":"olga"}`,
		"PUT /v1/admin/users/mia/identities":  `{"issuer":"https://id.example","subject":"x"}`,
		"PUT /v1/admin/users/mia/visitor":     `{"visitor":"x"}`,
		"POST /v1/admin/users/robo/tokens":    `{"name":"x","expires_in":"30d","rooms":["lobby"],"read_only":true}`,
		"PUT /v1/rooms/lobby/read":            `{"seq":1}`,
		"PUT /v1/rooms/lobby/unread":          `{"seq":1}`,
		"POST /v1/admin/rooms":                `{"room":"made"}`,
		"PUT /v1/admin/rooms/lobby/op":        `{"username":"olga"}`,
		"PUT /v1/admin/rooms/lobby/retention": `{"value":"90d"}`,
		"PUT /v1/admin/settings/auto_join":    `{"value":"dev"}`,
		"POST /v1/admin/hooks":                `{"room":"lobby","username":"x"}`,
		"POST /v1/admin/exports":              `{"username":"x","rooms":2}`,
		"POST /v1/admin/owner":                `{"username":"x","password":"purple monkey dishwasher"}`,
		"POST /v1/device/look":                `{"user_code":"BCDF-GHJK"}`,
		"POST /v1/device/decide":              `{"user_code":"BCDF-GHJK","approve":false}`,
		"POST /v1/claim":                      `{"claim":"x","username":"x","name":"x","password":"purple monkey dishwasher","passkey":{},"access":"open","device":"x"}`,
		"POST /v1/claim/look":                 `{"claim":"x"}`,
		"POST /v1/accounts":                   `{"username":"x","name":"x","password":"purple monkey dishwasher","passkey":{},"device":"x"}`,
		"POST /v1/invite/look":                `{"invite":"x"}`,
		"POST /v1/invite/accept":              `{"invite":"x","username":"x","name":"x","password":"purple monkey dishwasher","passkey":{},"device":"x"}`,
		"POST /v1/passkeys":                   `{"id":"x","rawId":"x","type":"public-key","response":{},"name":"x"}`,
		"POST /v1/passkeys/sign-in":           `{"id":"x","rawId":"x","type":"public-key","response":{},"device":"x"}`,
		"POST /v1/passkeys/new/begin":         `{"username":"x","name":"x","claim":"x","invite":"x"}`,
		"POST /v1/passkeys/confirm":           `{"id":"x","rawId":"x","type":"public-key","response":{},"device":"x"}`,
		"PATCH /v1/passkeys/0123456789abcdef": `{"name":"x"}`,
		"POST /v1/device":                     `{"name":"x","client_id":"x","scope":"x"}`,
		"POST /v1/device/token":               `{"device_code":"x","grant_type":"x","client_id":"x"}`,
	}
}

// Every operation of accounts with a body has an example above.
func TestEveryBodyIsTried(t *testing.T) {
	all, err := document()
	if err != nil {
		t.Fatal(err)
	}
	known := bodies()
	tried := 0
	for pattern, item := range all["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			if tags, _ := op["tags"].([]any); op["requestBody"] == nil || !slices.Contains(tags, any("people")) {
				continue
			}
			tried++
			found := slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(request string) bool {
				m, path, _ := strings.Cut(request, " ")
				p, _ := operation(all, m, path)
				return p == pattern && strings.EqualFold(m, method)
			})
			if !found {
				t.Errorf("%s %s has no example", method, pattern)
			}
		}
	}
	if tried != len(known) {
		t.Errorf("%d operations have a body, and there are %d examples", tried, len(known))
	}
}

// A body that is not what the document says changes nothing and is refused, not with a
// fault of the server.
func TestBadBodies(t *testing.T) {
	f := withPasskeys(t)
	owner := f.claim("open")
	f.person("mia", kaban.RoleMember)
	if _, err := f.accounts.MakeBot(t.Context(), owner.Principal.As(""), account.NewBot{Username: "robo"}); err != nil {
		t.Fatal(err)
	}
	before := f.rows()
	refused := func(request, body string, want ...int) {
		t.Helper()
		method, path, _ := strings.Cut(request, " ")
		var got *answer
		if path == "/v1/admin/owner" || path == "/v1/admin/exports" {
			got = f.asOperator(method, path, body)
		} else {
			got = f.do(method, path, body, with(asJSON(), bearer(owner), origin(f.url))...)
		}
		if len(want) == 0 {
			want = []int{400}
		}
		if !slices.Contains(want, got.status) || got.json["title"] == nil && got.json["error"] == nil {
			t.Errorf("%s %.120q is answered with %s, want %v", request, body, got, want)
		}
		if n := f.rows(); n != before {
			t.Errorf("%s %.120q has changed something", request, body)
			before = n
		}
	}
	for request, body := range bodies() {
		lenient := strings.HasPrefix(request, "POST /v1/device") && !strings.Contains(request, "look") && !strings.Contains(request, "decide") || strings.HasPrefix(request, "POST /v1/passkeys") && !strings.Contains(request, "/new/")
		for _, bad := range []string{
			"hello", "[]", "null", `"x"`, body + body, body[:len(body)-1], `{"a":{"b":[1,` + body + `}}`,
			strings.Replace(body, `"`, `"\ud800`, 3), strings.Replace(body, `:"`, ":\"\xff", 1), strings.Replace(body, `:"`, ":\"\x00", 1),
			body[:len(body)-1] + "," + body[1:], // every name twice
			"{" + strings.Repeat(`"x":[`, 12) + strings.Repeat("]", 12) + "}",
		} {
			if bad != body { // it has no text to spoil
				refused(request, bad)
			}
		}
		refused(request, strings.Repeat(" ", 1<<20), 413)
		var fields map[string]any
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		for name, value := range fields {
			for _, wrong := range []any{nil, 7, "seven", true, []any{"x"}, []any{nil}, []any{1}, map[string]any{}, map[string]any{"x": 1}} {
				if sameType(value, wrong) {
					continue
				}
				changed := maps.Clone(fields)
				changed[name] = wrong
				text, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				refused(request, string(text))
			}
		}
		if !lenient {
			refused(request, body[:len(body)-1]+`,"unknown":1}`)
			name := strings.SplitN(body, `"`, 3)[1]
			refused(request, strings.Replace(body, name, strings.ToUpper(name), 1))
		}
	}
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("the log has:\n%s", f.log)
	}
}

// withPasskeys returns a server at http://localhost, where passkeys work.
func withPasskeys(t *testing.T) *fixture {
	t.Helper()
	docs := teststore.New(t)
	keys, err := account.NewPasskeys(docs, []string{passkeyOrigin}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, web.Config{Passkeys: keys}, docs)
}

const passkeyOrigin = "http://localhost:6480"

// A value that is too long or has characters that belong in no line changes nothing.
func TestBadValues(t *testing.T) {
	f, owner := claimed(t, "open")
	f.person("mia", kaban.RoleMember)
	ctx := t.Context()
	invite := func() string {
		_, secret, err := f.accounts.Invite(ctx, owner.Principal.As(""), account.NewInvite{})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}()
	before := f.rows()
	long := strings.Repeat("a", 5000)
	for _, hostile := range []string{"", long, "a\u0000b", "a\rb", "a\nb", "a\u001b[31m", "a\u200bb", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		quoted, err := json.Marshal(hostile)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			request, body string
			fine          []string // values that are not bad here
		}{
			{"PATCH /v1/account", `{"name":V}`, []string{"", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"PUT /v1/account/password", `{"password":V}`, []string{"@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/tokens", `{"name":V}`, []string{"../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/tokens", `{"name":"x","rooms":[V]}`, []string{"@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/tokens", `{"name":"x","username":V}`, []string{""}},
			{"POST /v1/tokens", `{"name":"x","expires_in":V}`, []string{""}},
			{"POST /v1/bots", `{"username":V}`, nil},
			{"POST /v1/invites", `{"role":V}`, []string{""}},
			{"POST /v1/invites", `{"rooms":[V]}`, nil},
			{"POST /v1/invites", `{"expires_in":V}`, []string{""}},
			{"POST /v1/admin/users", `{"username":V}`, nil},
			{"POST /v1/admin/users", `{"username":"x","role":V}`, []string{""}},
			{"POST /v1/admin/users/mia/suspend", `{"reason":V}`, []string{"", "a\u200bb", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"PUT /v1/admin/users/mia/role", `{"role":V}`, nil},
			{"PUT /v1/admin/users/mia/name", `{"name":V}`, []string{"", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"PUT /v1/admin/users/mia/identities", `{"issuer":V,"subject":"x"}`, nil},
			{"PUT /v1/admin/users/mia/identities", `{"issuer":"https://id.example","subject":V}`, []string{"a\u200bb", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"PUT /v1/admin/users/mia/visitor", `{"visitor":V}`, nil},
			{"PUT /v1/admin/users/mia/owner", `{"username":V}`, nil},
			{"PUT /v1/admin/rooms/lobby/op", `{"username":V}`, nil},
			{"PUT /v1/admin/settings/auto_join", `{"value":V}`, []string{""}},
			{"PUT /v1/admin/settings/access", `{"value":V}`, nil},
			{"PUT /v1/admin/settings/oidc.name", `{"value":V}`, []string{"", "a\u200bb", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/claim", `{"claim":V,"username":"x","password":"purple monkey dishwasher"}`, nil},
			{"POST /v1/claim/look", `{"claim":V}`, nil},
			{"POST /v1/accounts", `{"username":V,"password":"purple monkey dishwasher"}`, nil},
			{"POST /v1/accounts", `{"username":"x","password":V}`, []string{"@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/accounts", `{"username":"x","name":V,"password":"purple monkey dishwasher"}`, []string{"", "../x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
			{"POST /v1/invite/look", `{"invite":V}`, nil},
			{"POST /v1/invite/accept", `{"invite":V,"username":"x","password":"purple monkey dishwasher"}`, nil},
			{"POST /v1/invite/accept", `{"invite":"` + invite + `","username":V,"password":"purple monkey dishwasher"}`, nil},
			{"POST /v1/device/look", `{"user_code":V}`, nil},
			{"POST /v1/device/token", `{"device_code":V}`, nil},
		} {
			if slices.Contains(test.fine, hostile) {
				continue
			}
			method, path, _ := strings.Cut(test.request, " ")
			body := strings.ReplaceAll(test.body, "V", string(quoted))
			got := f.do(method, path, body, with(asJSON(), bearer(owner), origin(f.url))...)
			if got.status < 400 || got.status >= 500 {
				t.Errorf("%s %.100q is answered with %s", test.request, body, got)
			}
			if n := f.rows(); n != before {
				t.Errorf("%s %.100q has changed something", test.request, body)
				before = n
			}
		}
		escaped := url.PathEscape(hostile)
		if hostile == "" {
			continue
		}
		for _, request := range []string{
			"GET /v1/admin/users/V", "DELETE /v1/admin/users/V", "POST /v1/admin/users/V/reset", "PUT /v1/blocks/V", "DELETE /v1/blocks/V",
			"DELETE /v1/tokens/V", "DELETE /v1/invites/V", "DELETE /v1/identities/V", "DELETE /v1/admin/users/V/tokens/V", "GET /v1/tokens?username=V",
		} {
			method, path, _ := strings.Cut(strings.ReplaceAll(request, "V", escaped), " ")
			if got := f.do(method, path, "", with(bearer(owner), origin(f.url))...); got.status < 400 || got.status >= 500 {
				t.Errorf("%s %.100s is answered with %s", method, path, got)
			}
		}
		for _, list := range []string{"/v1/people?query=V", "/v1/people?after=V", "/v1/admin/users?query=V", "/v1/admin/users?after=V", "/v1/admin/audit?actor=V", "/v1/admin/audit?after=V", "/v1/admin/rooms?after=V"} {
			if got := f.get(strings.ReplaceAll(list, "V", escaped), bearer(owner)...); got.status >= 500 || hostile == long && got.status != 400 {
				t.Errorf("%s of %.20q is answered with %s", list, hostile, got)
			}
		}
	}
	for _, limit := range []string{"0", "501", "-1", "x"} {
		for _, list := range []string{"/v1/people", "/v1/admin/users", "/v1/admin/audit", "/v1/admin/rooms"} {
			f.get(list+"?limit="+limit, bearer(owner)...).has(t, 400, "code", "bad_limit")
		}
	}
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("the log has:\n%s", f.log)
	}
}

// sameType reports whether two values of JSON have the same type.
func sameType(a, b any) bool {
	switch b := b.(type) {
	case string:
		_, ok := a.(string)
		return ok
	case int:
		_, ok := a.(float64)
		return ok
	case bool:
		_, ok := a.(bool)
		return ok
	case []any:
		_, ok := a.([]any)
		_, text := b[0].(string)
		return ok && text
	case map[string]any:
		_, ok := a.(map[string]any)
		return ok
	}
	return a == nil
}
