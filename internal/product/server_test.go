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
// and FRESH one of none.
type deed struct {
	action       access.Action
	method, path string
	body         frame
	newRole      kaban.Role
}

const user = "/v1/admin/users/TARGET"

// toAccounts are done to accounts of every role.
func toAccounts() (all []deed) {
	all = []deed{
		{access.Suspend, http.MethodPost, user + "/suspend", frame{}, 0},
		{access.Restore, http.MethodPost, user + "/restore", nil, 0},
		{access.Reset, http.MethodPost, user + "/reset", nil, 0},
		{access.Remove, http.MethodDelete, user, nil, 0},
		{access.Erase, http.MethodPost, user + "/erase", nil, 0},
	}
	for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
		all = append(all, deed{access.ChangeRole, http.MethodPut, user + "/role", frame{"role": role.String()}, role})
	}
	return all
}

// ofServer have no target.
var ofServer = []deed{
	{access.ReadAudit, http.MethodGet, "/v1/admin/users", nil, 0},
	{access.ReadAudit, http.MethodGet, "/v1/admin/audit", nil, 0},
	{access.ReadAudit, http.MethodGet, "/v1/admin/invites", nil, 0},
	{access.ReadSettings, http.MethodGet, "/v1/admin/settings", nil, 0},
	{access.ChangeSettings, http.MethodPut, "/v1/admin/settings/create_rooms", frame{"value": "member"}, 0},
	{access.ChangeSignOn, http.MethodPut, "/v1/admin/settings/oidc.name", frame{"value": "x"}, 0},
	{access.InviteMember, http.MethodPost, "/v1/admin/invites", frame{"role": "member"}, 0},
	{access.InviteGuest, http.MethodPost, "/v1/admin/invites", frame{"role": "guest"}, 0},
	{access.InviteMember, http.MethodPost, "/v1/invites", frame{}, 0},
	{access.ReadDevices, http.MethodGet, "/v1/invites", nil, 0},
	{access.ReadDevices, http.MethodGet, "/v1/bots", nil, 0},
	{access.CreateAccount, http.MethodPost, "/v1/admin/users", frame{"username": "FRESH", "role": "guest"}, 0},
}

// TestServerAgrees does everything to the server, and to accounts of every role, by
// everybody.
func TestServerAgrees(t *testing.T) {
	for _, admission := range []string{"open", "invite", "closed"} {
		t.Run(admission, func(t *testing.T) {
			w := newWorld(t, api{})
			tried := sample(t, 2)
			w.set("access", admission)
			for _, by := range w.actors() {
				w.tryPeople(admission, &by)
				for _, d := range ofServer {
					w.tryDeed(admission, &by, &d, 0)
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
		f.Target = access.Target{Whom: access.Other, Role: target, NewRole: d.newRole, OtherOwner: true, Reachable: true}
	}
	if d.action == access.Restore && target != kaban.RoleVisitor {
		if err := w.accounts.Suspend(w.t.Context(), account.Operator(), name, ""); err != nil {
			w.t.Fatal(err)
		}
	}
	path := strings.ReplaceAll(d.path, "TARGET", name)
	var body any
	if d.body != nil {
		filled := frame{}
		for k, v := range d.body {
			filled[k] = strings.ReplaceAll(fmt.Sprint(v), "FRESH", "fresh"+name)
		}
		body = filled
	}
	var got *reply
	if by.who.Operator {
		got = w.operate(d.method, path, body)
	} else {
		got = w.request(by.header.Clone(), d.method, path, body)
	}
	want := access.Can(d.action, f)
	if by.who.Role == kaban.RoleVisitor {
		want = access.AuthRequired // before it is asked what there is
	}
	if got := got.code(w); got != code(want) {
		w.t.Errorf("%s: %s %s %v on a %s: %q, want %q", by.name, d.method, path, d.body, target, got, code(want))
	}
}
