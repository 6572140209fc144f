package web_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
)

// caller is somebody that makes requests, and the facts about them.
type caller struct {
	name    string
	headers []string
	who     access.Identity
	self    string // the username
}

// asOperator makes a request over the admin socket.
func (f *fixture) asOperator(method, path, body string) *answer {
	f.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	f.web.OperatorHandler().ServeHTTP(recorder, request)
	a := &answer{status: recorder.Code, header: recorder.Header(), body: recorder.Body.String()}
	if strings.Contains(a.header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(recorder.Body.Bytes(), &a.json); err != nil {
			f.t.Fatalf("%s %s: got %q: %v", method, path, a.body, err)
		}
	}
	f.check(method, path, a)
	return a
}

// as makes a request with a JSON body.
func (f *fixture) as(c *caller, method, path, body string) *answer {
	f.t.Helper()
	if c.who.Operator {
		return f.asOperator(method, path, body)
	}
	return f.do(method, path, body, with(asJSON(), c.headers)...)
}

// callers returns one of every kind. The bot and the token are of the owner, so that
// only what they are limits them.
func (f *fixture) callers(owner account.Session) []caller {
	f.t.Helper()
	ctx := f.t.Context()
	by := owner.Principal.As("")
	full := access.Identity{Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Reach: access.ReachServer, Writes: true}
	of := func(name string, role kaban.Role, secret, self string, change func(*access.Identity)) caller {
		c := caller{name: name, self: self, who: full}
		c.who.Role, c.who.InPerson = role, !strings.Contains(name, "token") && name != "a bot"
		if secret != "" {
			c.headers = []string{"Authorization", "Bearer " + secret}
		}
		if change != nil {
			change(&c.who)
		}
		return c
	}
	bot, err := f.accounts.MakeBot(ctx, by, account.NewBot{Username: "robo", Role: kaban.RoleAdmin})
	if err != nil {
		f.t.Fatal(err)
	}
	token := func(n account.NewToken) string {
		_, secret, err := f.accounts.MakeToken(ctx, by, n)
		if err != nil {
			f.t.Fatal(err)
		}
		return secret
	}
	return []caller{
		of("a visitor", kaban.RoleVisitor, "", "", nil),
		of("a guest", kaban.RoleGuest, f.person("gus", kaban.RoleGuest).Secret, "gus", nil),
		of("a member", kaban.RoleMember, f.person("mona", kaban.RoleMember).Secret, "mona", nil),
		of("an admin", kaban.RoleAdmin, f.person("adam", kaban.RoleAdmin).Secret, "adam", nil),
		of("an owner", kaban.RoleOwner, owner.Secret, "olga", nil),
		of("the operator", kaban.RoleOwner, "", "", func(i *access.Identity) { i.Operator = true }),
		of("a bot", kaban.RoleAdmin, token(account.NewToken{Username: bot.Username, Name: "ci"}), "robo", func(i *access.Identity) { i.Person = false }),
		of("a token", kaban.RoleOwner, token(account.NewToken{Name: "t"}), "olga", nil),
		of("a token that reads", kaban.RoleOwner, token(account.NewToken{Name: "r", ReadOnly: true}), "olga", func(i *access.Identity) { i.Writes = false }),
		of("a token of a room", kaban.RoleOwner, token(account.NewToken{Name: "l", Rooms: []string{"lobby"}}), "olga", func(i *access.Identity) { i.Reach = access.ReachElsewhere }),
	}
}

// right is an operation, and the action that package access decides about.
type right struct {
	method, path, body string // FRESH is a new name, and TARGET that of a new account
	action             access.Action
	ok                 int        // the status where it is allowed
	target, newRole    kaban.Role // of TARGET
	notes              note
}

// note is what else decides.
type note uint8

const (
	inDen       note = 1 << iota // it is about a private room that the caller is not in
	ofAccounts                   // the operator has no account
	ofAnyToken                   // whoever has a credential may
	notOperator                  // another test is about the operator
)

var rights = []right{
	{"GET", "/v1/account", ``, access.ReadDevices, 200, 0, 0, ofAccounts | ofAnyToken},
	{"PATCH", "/v1/account", `{"name":"X"}`, access.ChangeProfile, 200, 0, 0, ofAccounts},
	{"GET", "/v1/account/recovery-codes", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"POST", "/v1/account/recovery-codes", ``, access.ChangeCredentials, 200, 0, 0, ofAccounts},
	{"GET", "/v1/blocks", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"PUT", "/v1/blocks/TARGET", ``, access.Block, 204, kaban.RoleMember, 0, ofAccounts},
	{"GET", "/v1/identities", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"GET", "/v1/tokens", ``, access.ReadDevices, 200, 0, 0, notOperator},
	{"POST", "/v1/tokens", `{"name":"x"}`, access.MakeToken, 201, 0, 0, notOperator},
	{"GET", "/v1/bots", ``, access.ReadDevices, 200, 0, 0, 0},
	{"POST", "/v1/bots", `{"username":"FRESH"}`, access.MakeBot, 201, 0, 0, notOperator},
	{"GET", "/v1/invites", ``, access.ReadDevices, 200, 0, 0, 0},
	{"POST", "/v1/invites", `{}`, access.InviteMember, 201, 0, 0, 0},
	{"POST", "/v1/invites", `{"role":"guest"}`, access.InviteGuest, 201, 0, 0, 0},
	{"POST", "/v1/admin/invites", `{"role":"guest"}`, access.InviteGuest, 201, 0, 0, 0},
	{"GET", "/v1/admin/invites", ``, access.ReadAudit, 200, 0, 0, 0},
	{"GET", "/v1/admin/users", ``, access.ReadAudit, 200, 0, 0, 0},
	{"GET", "/v1/admin/users/TARGET", ``, access.ReadAudit, 200, kaban.RoleMember, 0, 0},
	{"POST", "/v1/admin/users", `{"username":"FRESH"}`, access.CreateAccount, 201, 0, 0, 0},
	{"POST", "/v1/admin/users/TARGET/suspend", `{}`, access.Suspend, 204, kaban.RoleMember, 0, 0},
	{"POST", "/v1/admin/users/TARGET/suspend", ``, access.Suspend, 204, kaban.RoleAdmin, 0, 0},
	{"POST", "/v1/admin/users/TARGET/suspend", `{"reason":"spam"}`, access.Suspend, 204, kaban.RoleOwner, 0, 0},
	{"POST", "/v1/admin/users/TARGET/restore", ``, access.Restore, 204, kaban.RoleMember, 0, 0},
	{"POST", "/v1/admin/users/TARGET/reset", ``, access.Reset, 200, kaban.RoleMember, 0, 0},
	{"POST", "/v1/admin/users/TARGET/reset", ``, access.Reset, 200, kaban.RoleAdmin, 0, 0},
	{"PUT", "/v1/admin/users/TARGET/role", `{"role":"guest"}`, access.ChangeRole, 204, kaban.RoleMember, kaban.RoleGuest, 0},
	{"PUT", "/v1/admin/users/TARGET/role", `{"role":"admin"}`, access.ChangeRole, 204, kaban.RoleMember, kaban.RoleAdmin, 0},
	{"PUT", "/v1/admin/users/TARGET/role", `{"role":"owner"}`, access.ChangeRole, 204, kaban.RoleMember, kaban.RoleOwner, 0},
	{"PUT", "/v1/admin/users/TARGET/role", `{"role":"member"}`, access.ChangeRole, 204, kaban.RoleOwner, kaban.RoleMember, 0},
	{"PUT", "/v1/admin/users/TARGET/name", `{"name":"X"}`, access.Reset, 204, kaban.RoleMember, 0, 0},
	{"PUT", "/v1/admin/users/TARGET/identities", `{"issuer":"https://id.example","subject":"FRESH"}`, access.LinkIdentity, 204, kaban.RoleMember, 0, 0},
	{"PUT", "/v1/admin/users/TARGET/visitor", `{"visitor":"FRESH"}`, access.ChangeSettings, 404, kaban.RoleMember, 0, 0},
	{"DELETE", "/v1/admin/users/TARGET", ``, access.Remove, 204, kaban.RoleMember, 0, 0},
	{"POST", "/v1/admin/users/TARGET/erase", ``, access.Erase, 204, kaban.RoleMember, 0, 0},
	{"GET", "/v1/admin/users/TARGET/erase", ``, access.ReadAudit, 200, kaban.RoleMember, 0, 0},
	{"GET", "/v1/admin/users/TARGET/erase/preview", ``, access.Erase, 200, kaban.RoleMember, 0, 0},
	{"DELETE", "/v1/admin/users/TARGET", ``, access.Remove, 204, kaban.RoleOwner, 0, 0},
	{"GET", "/v1/admin/audit", ``, access.ReadAudit, 200, 0, 0, 0},
	{"GET", "/v1/admin/settings", ``, access.ReadSettings, 200, 0, 0, 0},
	{"PUT", "/v1/admin/settings/create_rooms", `{"value":"member"}`, access.ChangeSettings, 204, 0, 0, 0},
	{"PUT", "/v1/admin/settings/oidc.name", `{"value":"x"}`, access.ChangeSignOn, 204, 0, 0, 0},
	{"PUT", "/v1/admin/settings/oidc.client_secret_file", `{"value":"/etc/passwd"}`, access.NameFile, 204, 0, 0, 0},
	{"PUT", "/v1/admin/rooms/lobby/retention", `{"value":"90d"}`, access.ChangeRetention, 204, 0, 0, 0},
	{"PUT", "/v1/admin/settings/retention", `{"value":"90d"}`, access.ChangeRetention, 204, 0, 0, 0},
	{"GET", "/v1/admin/retention?value=90d", ``, access.ChangeRetention, 200, 0, 0, 0},
	{"GET", "/v1/account/notifications", ``, access.ReadDevices, 200, 0, 0, ofAccounts | ofAnyToken},
	{"PUT", "/v1/account/notifications", `{}`, access.ChangeProfile, 200, 0, 0, ofAccounts},
	{"GET", "/v1/push", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"PUT", "/v1/push", `{"content":"hint"}`, access.Subscribe, 200, 0, 0, ofAccounts},
	{"GET", "/v1/push/subscriptions", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"POST", "/v1/push/subscriptions", subscription, access.Subscribe, 201, 0, 0, ofAccounts},
	{"DELETE", "/v1/push/subscriptions/FRESH", ``, access.Subscribe, 404, 0, 0, ofAccounts},
	{"PUT", "/v1/account/password", `{"password":"short"}`, access.ChangeCredentials, 400, 0, 0, ofAccounts},
	{"DELETE", "/v1/account/password", ``, access.ChangeCredentials, 404, 0, 0, ofAccounts},
	{"DELETE", "/v1/blocks/TARGET", ``, access.Block, 204, kaban.RoleMember, 0, ofAccounts},
	{"GET", "/v1/devices", ``, access.ReadDevices, 200, 0, 0, ofAccounts},
	{"PATCH", "/v1/devices/FRESH", `{"name":"x"}`, access.ChangeProfile, 404, 0, 0, ofAccounts},
	{"DELETE", "/v1/devices/FRESH", ``, access.RevokeDevice, 404, 0, 0, ofAccounts},
	{"DELETE", "/v1/identities/FRESH", ``, access.ChangeCredentials, 404, 0, 0, ofAccounts},
	{"DELETE", "/v1/tokens/FRESH", ``, access.RevokeDevice, 404, 0, 0, 0},
	{"GET", "/v1/session", ``, access.ReadDevices, 200, 0, 0, ofAccounts | ofAnyToken},
	{"GET", "/v1/inbox", ``, access.ReadDevices, 200, 0, 0, ofAccounts | ofAnyToken},
	{"GET", "/v1/admin/rooms", ``, access.ReadAudit, 200, 0, 0, 0},
	{"GET", "/v1/people", ``, access.ReadDevices, 200, 0, 0, ofAnyToken},
	{"POST", "/v1/device/decide", `{"user_code":"BBBB-BBBB","approve":true}`, access.ChangeCredentials, 404, 0, 0, ofAccounts},
	{"POST", "/v1/device/decide", `{"user_code":"BBBB-BBBB","approve":false}`, access.TendCredentials, 404, 0, 0, ofAccounts},
	{"GET", "/v1/admin/users/FRESH/tokens", ``, access.ReadAudit, 404, 0, 0, 0},
	{"POST", "/v1/admin/users/FRESH/tokens", `{"name":"x"}`, access.ReadAudit, 404, 0, 0, 0},
	{"DELETE", "/v1/admin/users/FRESH/tokens/x", ``, access.ReadAudit, 404, 0, 0, 0},
	{"PUT", "/v1/admin/users/TARGET/owner", `{"username":"olga"}`, access.GiveBot, 404, kaban.RoleMember, 0, 0},
	{"POST", "/v1/files", `{}`, access.Upload, 415, 0, 0, ofAccounts},
	{"PATCH", "/v1/files/FRESH", `{"alt":"x"}`, access.Upload, 404, 0, 0, ofAccounts},
	{"PATCH", "/v1/uploads/FRESH", ``, access.Upload, 404, 0, 0, ofAccounts},
	{"DELETE", "/v1/uploads/FRESH", ``, access.Upload, 404, 0, 0, ofAccounts},
	{"PUT", "/v1/admin/rooms/den/op", `{"username":"TARGET"}`, access.Appoint, 204, kaban.RoleMember, 0, inDen},
}

// want returns what package access says of a request by somebody.
func (r *right) want(c *caller) access.Verdict {
	f := access.Facts{
		Server: access.Server{Claim: access.Claimed, Admission: access.InviteOnly, MembersCreate: true, MembersInvite: true},
		Who:    c.who,
	}
	if r.target != 0 {
		f.Target = access.Target{Whom: access.Other, Role: r.target, NewRole: r.newRole, OtherOwner: true, Reachable: true}
	}
	if r.notes&inDen != 0 {
		f.Room, f.Membership.Standing = access.NewRoom(kaban.RoomPrivate, 0, false), access.Good
		f.Target.RoomRole, f.Target.NewRoomRole = kaban.RoomRoleMember, kaban.RoomRoleOp
	}
	switch v := access.Can(r.action, f); {
	case r.notes&ofAccounts != 0 && c.who.Operator:
		return access.Forbidden
	case r.notes&ofAnyToken != 0 && c.who.Role != 0:
		return access.Allowed
	default:
		return v
	}
}

// den makes a private room with a member. Its op is dora.
func (f *fixture) den(dora account.Session, room, member string) {
	f.t.Helper()
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.user(dora).Create(f.t.Context(), name, chat.NewRoom{Kind: kaban.RoomPrivate}); err != nil {
		f.t.Fatal(err)
	}
	f.act(dora, access.Invite, room, member)
}

// Every operation does for everybody what package access says, and nothing else.
func TestEveryRight(t *testing.T) {
	f, owner := claimed(t, "invite")
	f.person("second", kaban.RoleOwner)
	dora := f.person("dora", kaban.RoleMember)
	f.person("mia", kaban.RoleMember)
	f.den(dora, "den", "mia")
	n := 0
	for _, c := range f.callers(owner) {
		for _, r := range rights {
			if n++; r.notes&notOperator != 0 && c.who.Operator {
				continue
			}
			fresh, target := fmt.Sprint("fresh", n), fmt.Sprint("target", n)
			if r.target != 0 {
				f.person(target, r.target)
			}
			if r.notes&inDen != 0 {
				f.act(dora, access.Invite, "den", target)
			}
			if r.action == access.Restore {
				if err := f.accounts.Suspend(t.Context(), account.Operator(), target, ""); err != nil {
					t.Fatal(err)
				}
			}
			fill := strings.NewReplacer("FRESH", fresh, "TARGET", target)
			if r.method == "DELETE" && r.action == access.Block {
				f.as(&c, "PUT", fill.Replace(r.path), "") // to end a block that is not there changes nothing
			}
			before := f.rows()
			got := f.as(&c, r.method, fill.Replace(r.path), fill.Replace(r.body))
			want := r.want(&c)
			code, _ := got.json["code"].(string)
			switch {
			case want == access.Allowed && got.status != r.ok, want != access.Allowed && code != want.String():
				t.Errorf("%s: %s %s %s is answered with %s, want %s", c.name, r.method, r.path, r.body, got, want)
			case want != access.Allowed && f.rows() != before:
				t.Errorf("%s: %s %s is refused and in the audit", c.name, r.method, r.path)
			case want == access.Allowed && r.ok < 300 && r.method != "GET" && f.rows() == before:
				t.Errorf("%s: %s %s is done and not in the audit", c.name, r.method, r.path)
			}
			if got.status < 300 && got.header.Get("Cache-Control") != "no-store" && want == access.Allowed {
				t.Errorf("%s %s: the answer may be kept", r.method, r.path)
			}
		}
	}
}

// rows returns how many rows the audit has.
func (f *fixture) rows() (n int) {
	f.t.Helper()
	for after := ""; ; {
		page, err := f.accounts.Audit(f.t.Context(), account.Operator(), account.AuditQuery{After: after, Limit: 500})
		if err != nil {
			f.t.Fatal(err)
		}
		n += len(page.Rows)
		if after = page.Cursor; after == "" {
			return n
		}
	}
}

// otherRights are operations for accounts that have no row, and what tries them.
var otherRights = map[string]string{
	"GET /v1/admin/hooks":            "product.TestHooksAreManagedAsAgreed",
	"POST /v1/admin/hooks":           "product.TestHooksAreManagedAsAgreed",
	"DELETE /v1/admin/hooks/{id}":    "product.TestHooksAreManagedAsAgreed",
	"DELETE /v1/invites/{id}":        "product.TestServerAgrees, with an invite of somebody else",
	"DELETE /v1/admin/invites/{id}":  "product.TestServerAgrees, with an invite of somebody else",
	"PUT /v1/rooms/lobby/read":       "product.TestAgrees",
	"PUT /v1/rooms/lobby/unread":     "product.TestAgrees",
	"GET /v1/rooms/lobby/restricted": "product.TestAgrees",
	"GET /v1/passkeys":               "product.TestServerAgrees, where there are passkeys",
	"POST /v1/passkeys/begin":        "product.TestServerAgrees, where there are passkeys",
	"PATCH /v1/passkeys/{id}":        "product.TestServerAgrees, where there are passkeys",
	"DELETE /v1/passkeys/{id}":       "product.TestServerAgrees, where there are passkeys",
	"POST /v1/passkeys":              "TestPasskeyOverHTTP: the secret is looked at before the right",
	"POST /v1/passkeys/confirm":      "TestAccountsWithAPasskeyOnly: the secret is looked at before the right",
	"POST /v1/session/confirm":       "TestASession: the secret is looked at before the right",
	"POST /v1/device/look":           "product.TestServerAgrees: the wrong codes are counted before the right",
	"GET /v1/oidc/link":              "it leads to the provider: the tests of providertest",
	"GET /v1/oidc/confirm":           "it leads to the provider: the tests of providertest",
	"POST /v1/admin/rooms":           "chat.TestRoomsOfTheOperator: it is for commands in the data directory",
	"DELETE /v1/session":             "TestASession: it ends what asks",
	"HEAD /v1/uploads/{id}":          "TestUploadsAreTheirOwners: its refusal has no text",
	"DELETE /v1/devices":             "account.TestDevices: it ends what the others ask with",
}

// TestEveryRightHasARow sees that no operation for accounts is forgotten above.
func TestEveryRightHasARow(t *testing.T) {
	all := make(map[string]bool)
	for _, o := range operations(t) {
		if o.anybody || o.visitors || o.socket == "only" {
			continue
		}
		name := o.method + " " + o.path
		all[name] = true
		has := slices.ContainsFunc(rights, func(r right) bool { return r.method == o.method && isPath(r.path, o.path) })
		if has == (otherRights[name] != "") {
			t.Errorf("%s has a row: %t, and is tried elsewhere: %q; want one of both", name, has, otherRights[name])
		}
	}
	for name := range otherRights {
		if !all[name] {
			t.Errorf("there is no operation %s for accounts", name)
		}
	}
}

// isPath reports whether a path is one of an operation, where anything may be in the
// place of the lobby.
func isPath(path, of string) bool {
	path, _, _ = strings.Cut(path, "?")
	asked, has := strings.Split(path, "/"), strings.Split(of, "/")
	if len(asked) != len(has) {
		return false
	}
	for i, part := range has {
		if part != asked[i] && !strings.HasPrefix(part, "{") && part != "lobby" {
			return false
		}
	}
	return true
}
