package product

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
)

// actor is somebody that does something to the server.
type actor struct {
	name   string
	header http.Header
	who    access.Identity
}

// actors are a visitor, every role with a session, with each kind of token and as a bot,
// and the operator.
func (w *world) actors() (all []actor) {
	w.t.Helper()
	full := access.Identity{Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Reach: access.ReachServer, Writes: true}
	visitor, operator := full, full
	operator.Role, operator.Operator = kaban.RoleOwner, true
	all = []actor{{"a visitor", http.Header{}, visitor}, {"the operator", nil, operator}}
	for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
		add := func(c credential, n *account.NewToken, change func(*access.Identity)) {
			who, front, name := full, api{cookie: n == nil}, roles[role]
			who.Role, who.InPerson = role, n == nil
			change(&who)
			if n != nil {
				w.secrets++
				name = fmt.Sprint("actor-", w.secrets)
				_, w.tokens[name] = w.token(*n)
			}
			all = append(all, actor{fmt.Sprint(role, " by ", c), front.credential(w, name), who})
		}
		add(device, nil, func(*access.Identity) {})
		add(program, &account.NewToken{Username: roles[role]}, func(*access.Identity) {})
		add(reader, &account.NewToken{Username: roles[role], ReadOnly: true}, func(i *access.Identity) { i.Writes = false })
		add(elsewhere, &account.NewToken{Username: roles[role], Rooms: []string{"lobby"}}, func(i *access.Identity) { i.Reach = access.ReachElsewhere })
		if s := (scenario{role: role, credential: bot}); s.possible() {
			add(bot, &account.NewToken{Username: s.name()}, func(i *access.Identity) { i.Person = false })
		}
	}
	return all
}

// deed is something that is done to the server. TARGET is the name of a new account,
// and FRESH one of none. BOT is that of a new bot of somebody else, TOKEN the id of a
// token of it, and INVITE that of a new invite of somebody else.
type deed struct {
	action  access.Action
	request string // method and path
	body    frame
	notes   notes
}

// notes say what else decides about a deed.
type notes struct {
	newRole  kaban.Role
	accounts bool          // the operator has none
	socket   bool          // it is for the operator only
	programs bool          // whoever has a credential may
	first    access.Action // has to be allowed, too, and is looked at before
	knows    access.Action // whom it is not allowed does not know that there is such a thing
	owners   bool          // nobody but the owner of a bot, which the actor is not, and the operator may
	operator string        // the code for the operator, whom it leaves no choice but to name an account
	done     string        // the code of the answer if it is allowed, of a deed that changes nothing
}

const user = "/v1/admin/users/TARGET"

// toAccounts are done to accounts of every role.
func toAccounts() (all []deed) {
	all = []deed{
		{access.Suspend, "POST " + user + "/suspend", frame{}, notes{}},
		{access.Restore, "POST " + user + "/restore", nil, notes{}},
		{access.Reset, "POST " + user + "/reset", nil, notes{}},
		{access.Reset, "PUT " + user + "/name", frame{"name": "X"}, notes{}},
		{access.Remove, "DELETE " + user, nil, notes{}},
		{access.Erase, "POST " + user + "/erase", nil, notes{}},
		{access.Erase, "GET " + user + "/erase/preview", nil, notes{}},
		{access.ReadAudit, "GET " + user, nil, notes{}},
		{access.ReadAudit, "GET " + user + "/erase", nil, notes{}},
		{access.LinkIdentity, "PUT " + user + "/identities", frame{"issuer": "https://id.example", "subject": "FRESH"}, notes{}},
		{access.ChangeSettings, "PUT " + user + "/visitor", frame{"visitor": "FRESH"}, notes{done: "not_found"}},
		{access.Block, "PUT /v1/blocks/TARGET", nil, notes{accounts: true}},
		{access.Block, "DELETE /v1/blocks/TARGET", nil, notes{accounts: true}},
	}
	for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
		all = append(all, deed{access.ChangeRole, "PUT " + user + "/role", frame{"role": role.String()}, notes{newRole: role}})
	}
	return all
}

// subscription is that of the example of RFC 8291, appendix A.
var subscription = frame{
	"endpoint": "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
	"keys": frame{
		"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
		"auth":   "BTBZMqHH6r4Tts7J_aSIgg",
	},
}

// ofServer have no target.
var ofServer = []deed{
	{access.ReadAudit, "GET /v1/admin/users", nil, notes{}},
	{access.ReadAudit, "GET /v1/admin/audit", nil, notes{}},
	{access.ReadAudit, "GET /v1/admin/invites", nil, notes{}},
	{access.ReadAudit, "GET /v1/admin/rooms", nil, notes{}},
	{access.ReadSettings, "GET /v1/admin/settings", nil, notes{}},
	{access.ChangeSettings, "PUT /v1/admin/settings/create_rooms", frame{"value": "member"}, notes{}},
	{access.ChangeSignOn, "PUT /v1/admin/settings/oidc.name", frame{"value": "x"}, notes{}},
	{access.NameFile, "PUT /v1/admin/settings/oidc.client_secret_file", frame{"value": "/FRESH"}, notes{}},
	{access.ChangeRetention, "PUT /v1/admin/settings/retention", frame{"value": "forever"}, notes{}},
	{access.ChangeRetention, "GET /v1/admin/retention?value=90d", nil, notes{}},
	{access.InviteMember, "POST /v1/admin/invites", frame{"role": "member"}, notes{}},
	{access.InviteGuest, "POST /v1/admin/invites", frame{"role": "guest"}, notes{}},
	{access.RevokeInvite, "DELETE /v1/admin/invites/INVITE", nil, notes{first: access.ChangeProfile, knows: access.ReadAudit}},
	{access.InviteMember, "POST /v1/invites", frame{}, notes{}},
	{access.ReadDevices, "GET /v1/invites", nil, notes{}},
	{access.RevokeInvite, "DELETE /v1/invites/INVITE", nil, notes{first: access.ChangeProfile, knows: access.ReadAudit}},
	{access.ReadDevices, "GET /v1/bots", nil, notes{}},
	{access.MakeBot, "POST /v1/bots", frame{"username": "FRESH"}, notes{operator: "bad_field"}},
	{access.CreateAccount, "POST /v1/admin/users", frame{"username": "FRESH", "role": "guest"}, notes{}},
	{access.ReadDevices, "GET /v1/account", nil, notes{accounts: true, programs: true}},
	{access.ChangeProfile, "PATCH /v1/account", frame{"name": "X"}, notes{accounts: true}},
	{access.ReadDevices, "GET /v1/account/notifications", nil, notes{accounts: true, programs: true}},
	{access.ChangeProfile, "PUT /v1/account/notifications", frame{}, notes{accounts: true}},
	{access.ReadDevices, "GET /v1/push", nil, notes{accounts: true}},
	{access.Subscribe, "PUT /v1/push", frame{"content": "hint"}, notes{accounts: true}},
	{access.ReadDevices, "GET /v1/push/subscriptions", nil, notes{accounts: true}},
	{access.Subscribe, "POST /v1/push/subscriptions", subscription, notes{accounts: true}},
	{access.Subscribe, "DELETE /v1/push/subscriptions/none", nil, notes{accounts: true, done: "not_found"}},
	{access.ChangeCredentials, "PUT /v1/account/password", frame{"password": "short"}, notes{accounts: true, done: "bad_field"}},
	{access.ChangeCredentials, "DELETE /v1/account/password", nil, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "GET /v1/account/recovery-codes", nil, notes{accounts: true}},
	{access.ChangeCredentials, "POST /v1/account/recovery-codes", nil, notes{accounts: true}},
	{access.ReadDevices, "GET /v1/blocks", nil, notes{accounts: true}},
	{access.ReadDevices, "GET /v1/devices", nil, notes{accounts: true}},
	{access.RevokeDevice, "DELETE /v1/devices/FRESH", nil, notes{accounts: true, done: "not_found"}},
	{access.ChangeProfile, "PATCH /v1/devices/FRESH", frame{"name": "X"}, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "GET /v1/identities", nil, notes{accounts: true}},
	{access.ChangeCredentials, "DELETE /v1/identities/FRESH", nil, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "GET /v1/passkeys", nil, notes{accounts: true}},
	{access.ChangeCredentials, "POST /v1/passkeys/begin", nil, notes{accounts: true}},
	{access.TendCredentials, "PATCH /v1/passkeys/FRESH", frame{"name": "X"}, notes{accounts: true, done: "not_found"}},
	{access.ChangeCredentials, "DELETE /v1/passkeys/FRESH", nil, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "POST /v1/device/look", frame{"user_code": "BBBB-BBBB"}, notes{accounts: true, done: "not_found"}},
	{access.ChangeCredentials, "POST /v1/device/decide", frame{"user_code": "BBBB-BBBB", "approve": true}, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "GET /v1/session", nil, notes{accounts: true, programs: true}},
	{access.Upload, "POST /v1/files", frame{}, notes{accounts: true, done: "bad_type"}},
	{access.Upload, "PATCH /v1/files/FRESH", frame{"alt": "x"}, notes{accounts: true, done: "not_found"}},
	{access.Upload, "PATCH /v1/uploads/FRESH", nil, notes{accounts: true, done: "not_found"}},
	{access.Upload, "DELETE /v1/uploads/FRESH", nil, notes{accounts: true, done: "not_found"}},
	{access.ReadDevices, "GET /v1/tokens", nil, notes{operator: "bad_field"}},
	{access.MakeToken, "POST /v1/tokens", frame{"name": "x"}, notes{operator: "bad_field"}},
	{access.RevokeDevice, "DELETE /v1/tokens/FRESH", nil, notes{done: "not_found"}},
	{access.GiveBot, "PUT /v1/admin/users/BOT/owner", frame{"username": "opal"}, notes{}},
	{access.ReadDevices, "GET /v1/admin/users/BOT/tokens", nil, notes{first: access.ReadAudit, owners: true}},
	{access.MakeBot, "POST /v1/admin/users/BOT/tokens", frame{"name": "x"}, notes{first: access.ReadAudit, owners: true}},
	{access.RevokeDevice, "DELETE /v1/admin/users/BOT/tokens/TOKEN", nil, notes{first: access.ReadAudit, owners: true}},
	{access.Claim, "POST /v1/admin/claim", nil, notes{socket: true, done: "forbidden"}},
	{access.Export, "POST /v1/admin/exports", frame{}, notes{socket: true}},
	{access.ChangeRole, "POST /v1/admin/owner", frame{"username": "FRESH"}, notes{socket: true}},
}

// TestServerAgrees does everything to the server, and to accounts of every role, by
// everybody.
func TestServerAgrees(t *testing.T) {
	for _, admission := range []string{"open", "invite", "closed"} {
		t.Run(admission, func(t *testing.T) {
			w := newWorld(t, api{})
			tried := sample(t, 4)
			w.makeInvites(100)
			w.set("access", admission)
			for _, by := range w.actors() {
				w.tryPeople(admission, &by)
				for _, d := range ofServer {
					if tried() {
						w.tryDeed(admission, &by, &d, 0)
					}
				}
				for _, d := range toAccounts() {
					for target := kaban.RoleVisitor; target <= kaban.RoleOwner; target++ {
						if tried() {
							w.tryDeed(admission, &by, &d, target)
						}
					}
				}
			}
			t.Logf("%d requests", w.count)
		})
	}
}

// makeInvites has the operator make invites, as long as the server is open to any.
func (w *world) makeInvites(n int) {
	w.t.Helper()
	for range n {
		info, _, err := w.accounts.Invite(w.t.Context(), account.Operator(), account.NewInvite{})
		if err != nil {
			w.t.Fatal(err)
		}
		w.invites = append(w.invites, info.ID)
	}
}

// tryPeople looks for accounts of every role in the list of people.
func (w *world) tryPeople(admission string, by *actor) {
	w.t.Helper()
	for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
		w.count++
		name := fmt.Sprint("person", w.count)
		w.add(name, role)
		f := w.serverFacts(admission, by)
		f.Target = access.Target{Whom: access.Other, Role: role, Reachable: true}
		want := access.Can(access.KnowPerson, f)
		path := "/v1/people?query=" + name
		var got *reply
		if by.who.Operator {
			got = w.operate(http.MethodGet, path, nil)
		} else {
			got = w.request(by.header.Clone(), http.MethodGet, path, nil)
		}
		switch listed := strings.Contains(string(got.body), name); {
		case by.who.Role == kaban.RoleVisitor && got.code(w) == code(access.AuthRequired):
		case got.code(w) != "" || listed != (want == access.Allowed):
			w.t.Errorf("%s: in the list of people is a %s: %t, want %v: %s", by.name, role, listed, want, got.body)
		}
	}
}

// serverFacts returns the facts about somebody on the server.
func (w *world) serverFacts(admission string, by *actor) access.Facts {
	w.t.Helper()
	f := access.Facts{Server: access.Server{Claim: access.Claimed, Local: true, MembersCreate: true, MembersInvite: true}, Who: by.who}
	var err error
	if f.Server.Admission, err = access.ParseAdmission(admission); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// tryDeed does something to a new account with a role, or to no account if that is a
// visitor's.
func (w *world) tryDeed(admission string, by *actor, d *deed, target kaban.Role) {
	w.t.Helper()
	w.count++
	name := fmt.Sprint("target", w.count)
	f := w.serverFacts(admission, by)
	if target != kaban.RoleVisitor {
		w.add(name, target)
		f.Target = access.Target{Whom: access.Other, Role: target, NewRole: d.notes.newRole, OtherOwner: true, Reachable: true}
	}
	if d.action == access.Restore && target != kaban.RoleVisitor {
		if err := w.accounts.Suspend(w.t.Context(), account.Operator(), name, ""); err != nil {
			w.t.Fatal(err)
		}
	}
	fill := w.fill(d.request, name)
	if strings.Contains(d.request, "/BOT/") {
		f.Target = access.Target{Whom: access.Other, Role: kaban.RoleMember, Reachable: true}
	}
	method, path, _ := strings.Cut(fill.Replace(d.request), " ")
	var body any
	if d.body != nil {
		filled := frame{}
		for k, v := range d.body {
			if text, ok := v.(string); ok {
				v = fill.Replace(text)
			}
			filled[k] = v
		}
		body = filled
	}
	var answer *reply
	if by.who.Operator {
		answer = w.operate(method, path, body)
	} else {
		answer = w.request(by.header.Clone(), method, path, body)
	}
	want := d.want(&f)
	if got := answer.code(w); got != want {
		w.t.Errorf("%s: %s %s %v on a %s: %q, want %q: %s", by.name, method, path, d.body, target, got, want, answer.body)
	}
}

// fill makes what a request names, for the deed with a name.
func (w *world) fill(request, name string) *strings.Replacer {
	w.t.Helper()
	bot, token, invite := "bot-"+name, "", ""
	if strings.Contains(request, "/BOT/") {
		if _, err := w.accounts.MakeBot(w.t.Context(), account.Operator(), account.NewBot{Username: bot, Owner: w.ownerOfBots()}); err != nil {
			w.t.Fatal(err)
		}
		token, _ = w.token(account.NewToken{Username: bot})
	}
	if strings.Contains(request, "/INVITE") {
		invite = w.invites[len(w.invites)-1]
		w.invites = w.invites[:len(w.invites)-1]
	}
	return strings.NewReplacer("TARGET", name, "FRESH", "fresh"+name, "BOT", bot, "TOKEN", token, "INVITE", invite)
}

// want returns the code that answers a deed.
func (d *deed) want(f *access.Facts) string {
	isOperator, n := f.Who.Operator, &d.notes
	v := access.Can(d.action, *f)
	switch {
	case n.first != 0 && access.Can(n.first, *f) != access.Allowed:
		v = access.Can(n.first, *f)
	case n.knows != 0 && access.Can(n.knows, *f) != access.Allowed:
		v = access.NotFound
	case n.owners && !isOperator:
		v = access.Forbidden
	case n.programs:
		v = access.Allowed
	}
	switch {
	case n.socket && isOperator:
		return n.done
	case n.socket, n.accounts && isOperator:
		return code(access.Forbidden)
	case f.Who.Role == kaban.RoleVisitor:
		return code(access.AuthRequired) // before it is asked what there is
	case v != access.Allowed:
		return code(v)
	case f.Target.Whom == access.Nobody && strings.Contains(d.request, "TARGET"):
		return code(access.NotFound)
	case isOperator && n.operator != "":
		return n.operator
	}
	return n.done
}
