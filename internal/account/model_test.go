package account

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"

	"pgregory.net/rapid"
)

// person is what the model knows of an account.
type person struct {
	role     kaban.Role
	status   people.Status
	password string // empty is none
	owner    string // of a bot: a name
}

// model is what accounts are to be after any sequence of calls.
type model struct {
	*world
	people  map[string]*person
	secrets map[string]string // of devices and tokens: whose
	ids     map[string]string // of devices, by secret
	acting  map[string]Actor  // one device of each, by name; checked before use
	n       int
}

var modelNames = []string{"alice", "bob", "carol", "dave", "erin", "robot"}

// Whatever people do, each secret works exactly as long as the model says, and each
// refusal is the one of the contract.
func TestLifeAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, nil)
		alice := w.claim()
		m := &model{
			world:   w,
			people:  map[string]*person{"alice": {role: kaban.RoleOwner, status: people.StatusActive, password: alicePassword}},
			secrets: map[string]string{},
			ids:     map[string]string{},
			acting:  map[string]Actor{"alice": alice},
		}
		name := rapid.SampledFrom(modelNames)
		verbs := []func(by, name string){
			m.addPerson, m.signIn, m.wrongPassword, m.suspend, m.restore, m.remove, m.changeRole(rt), m.changePassword,
			m.revoke, m.resetAndFollow, m.addBot, m.giveBot,
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			verb := rapid.IntRange(0, len(verbs)-1).Draw(rt, "verb")
			verbs[verb](name.Draw(rt, "by"), name.Draw(rt, "name"))
			m.check()
		}
	})
}

// actor returns a fresh device of somebody, signing in if need be; ok is false if
// nobody can.
func (m *model) actor(name string) (Actor, bool) {
	p := m.people[name]
	if p == nil || p.status != people.StatusActive || p.password == "" {
		return Actor{}, false
	}
	a, known := m.acting[name]
	if known {
		if renewed, err := m.Renew(m.ctx, a.Principal); err == nil {
			return renewed.As(""), true
		}
	}
	m.acting[name] = m.signInAs(name, p.password)
	return m.acting[name], true
}

// may is the contract: owners anybody, admins those below.
func (m *model) may(by, name string) string {
	actor, target := m.people[by], m.people[name]
	switch {
	case actor.role < kaban.RoleAdmin:
		return "forbidden"
	case target == nil || target.status == people.StatusRemoved:
		return "not_found"
	case actor.role < kaban.RoleOwner && (target.role >= actor.role || by == name):
		return "forbidden"
	}
	return ""
}

// lastOwner reports whether nobody else is an active owner.
func (m *model) lastOwner(name string) bool {
	for other, p := range m.people {
		if other != name && p.role == kaban.RoleOwner && p.status == people.StatusActive && p.owner == "" {
			return false
		}
	}
	return m.people[name].role == kaban.RoleOwner
}

func (m *model) want(what string, err error, code string) bool {
	if !hasCode(err, code) {
		m.t.Fatalf("%s: %v, want %q", what, err, code)
	}
	return err == nil
}

func (m *model) newPassword() string {
	m.n++
	return fmt.Sprintf("passphrase number %d of many", m.n)
}

func (m *model) addPerson(by, name string) {
	actor, ok := m.actor(by)
	if !ok || name == "robot" {
		return
	}
	password := m.newPassword()
	_, _, err := m.AddAccount(m.ctx, actor, NewPerson{NewAccount{Username: name, Password: password}, kaban.RoleMember})
	switch {
	case m.people[by].role < kaban.RoleAdmin:
		m.want("add", err, "forbidden")
	case m.people[name] != nil:
		if !errors.Is(err, ErrNameTaken) {
			m.t.Fatalf("add %s again: %v", name, err)
		}
	case m.want("add", err, ""):
		m.people[name] = &person{role: kaban.RoleMember, status: people.StatusActive, password: password}
	}
}

func (m *model) signIn(_, name string) {
	p := m.people[name]
	if p == nil || p.password == "" {
		return
	}
	session, err := m.SignInWithPassword(m.ctx, name, p.password, Device{})
	var want error
	switch p.status {
	case people.StatusSuspended:
		want = ErrSuspended
	case people.StatusRemoved:
		want = ErrAuthFailed
	}
	if !errors.Is(err, want) {
		m.t.Fatalf("sign in as %s: %v, want %v", name, err, want)
	}
	if err == nil {
		m.secrets[session.Secret], m.ids[session.Secret] = name, session.Principal.SecretID
	}
}

func (m *model) wrongPassword(_, name string) {
	if _, err := m.SignInWithPassword(m.ctx, name, "not the password", Device{}); !errors.Is(err, ErrAuthFailed) {
		m.t.Fatalf("sign in as %s with a wrong password: %v", name, err)
	}
}

func (m *model) suspend(by, name string) {
	actor, ok := m.actor(by)
	if !ok {
		return
	}
	code := m.may(by, name)
	if code == "" && m.lastOwner(name) {
		code = "last_owner"
	}
	if m.want("suspend", m.Suspend(m.ctx, actor, name, ""), code) {
		m.people[name].status = people.StatusSuspended
	}
}

func (m *model) restore(by, name string) {
	actor, ok := m.actor(by)
	if !ok || m.people[name] != nil && m.people[name].status != people.StatusSuspended {
		return
	}
	if m.want("restore", m.Restore(m.ctx, actor, name), m.may(by, name)) {
		m.people[name].status = people.StatusActive
	}
}

func (m *model) remove(by, name string) {
	actor, ok := m.actor(by)
	if !ok {
		return
	}
	code := m.may(by, name)
	if code == "" && m.lastOwner(name) {
		code = "last_owner"
	}
	if m.want("remove", m.Remove(m.ctx, actor, name), code) {
		p := m.people[name]
		p.status, p.password = people.StatusRemoved, ""
		m.forget(name, "")
	}
}

// forget drops the secrets of somebody but one.
func (m *model) forget(name, but string) {
	maps.DeleteFunc(m.secrets, func(secret, whose string) bool { return whose == name && secret != but })
}

func (m *model) changeRole(rt *rapid.T) func(by, name string) {
	return func(by, name string) {
		actor, ok := m.actor(by)
		if !ok || name == "robot" {
			return
		}
		role := kaban.Role(rapid.IntRange(int(kaban.RoleGuest), int(kaban.RoleOwner)).Draw(rt, "role"))
		code := m.may(by, name)
		mine := m.people[by].role
		switch {
		case by == name && role < mine:
			code = ""
		case code == "" && mine < kaban.RoleOwner && role >= mine:
			code = "forbidden"
		}
		if code == "" && role < kaban.RoleOwner && m.lastOwner(name) {
			code = "last_owner"
		}
		if m.want("change the role", m.SetRole(m.ctx, actor, name, role), code) {
			m.people[name].role = role
		}
	}
}

func (m *model) changePassword(by, _ string) {
	actor, ok := m.actor(by)
	if !ok {
		return
	}
	password := m.newPassword()
	m.must(m.SetPassword(m.ctx, actor, password))
	m.people[by].password = password
	m.forget(by, "")
}

func (m *model) revoke(by, _ string) {
	actor, ok := m.actor(by)
	if !ok {
		return
	}
	for _, secret := range slices.Sorted(maps.Keys(m.ids)) {
		err := m.RevokeDevice(m.ctx, actor, m.ids[secret])
		if whose := m.secrets[secret]; whose == by {
			m.must(err)
			delete(m.secrets, secret)
			delete(m.ids, secret)
			return
		} else if !errors.Is(err, ErrNotFound) {
			m.t.Fatalf("%s revokes a device of %q: %v", by, whose, err)
		}
	}
}

func (m *model) resetAndFollow(by, name string) {
	actor, ok := m.actor(by)
	if !ok || name == "robot" {
		return
	}
	link, err := m.Reset(m.ctx, actor, name)
	if !m.want("reset", err, m.may(by, name)) {
		return
	}
	m.forget(name, "")
	p := m.people[name]
	p.password = m.newPassword()
	session, err := m.SignInWithLink(m.ctx, link, p.password, Device{})
	switch p.status {
	case people.StatusSuspended:
		if !errors.Is(err, ErrSuspended) {
			m.t.Fatalf("follow the link of somebody suspended: %v", err)
		}
		p.status = people.StatusUnclaimed
		m.must(m.Restore(m.ctx, Operator(), name))
		if session, err = m.SignInWithLink(m.ctx, link, p.password, Device{}); err != nil {
			m.t.Fatalf("follow the link when restored: %v", err)
		}
	default:
		m.must(err)
	}
	p.status = people.StatusActive
	m.secrets[session.Secret], m.ids[session.Secret] = name, session.Principal.SecretID
}

func (m *model) addBot(by, _ string) {
	actor, ok := m.actor(by)
	if !ok || m.people["robot"] != nil {
		return
	}
	_, err := m.MakeBot(m.ctx, actor, NewBot{Username: "robot", Role: min(max(m.people[by].role, kaban.RoleGuest), kaban.RoleAdmin)})
	code := ""
	if m.people[by].role < kaban.RoleMember {
		code = "forbidden"
	}
	if !m.want("make a bot", err, code) {
		return
	}
	m.people["robot"] = &person{role: min(m.people[by].role, kaban.RoleAdmin), status: people.StatusActive, owner: by}
	_, secret, err := m.MakeToken(m.ctx, actor, NewToken{Username: "robot", Name: "ci"})
	m.must(err)
	m.secrets[secret] = "robot"
}

func (m *model) giveBot(by, name string) {
	actor, ok := m.actor(by)
	bot, to := m.people["robot"], m.people[name]
	if !ok || bot == nil || bot.status == people.StatusRemoved {
		return
	}
	err := m.GiveBot(m.ctx, actor, "robot", name)
	switch {
	case m.people[by].role < kaban.RoleAdmin:
		m.want("give the bot", err, "forbidden")
	case to != nil && to.status == people.StatusSuspended && name != "robot":
		if _, ok := errors.AsType[*StateError](err); !ok {
			m.t.Fatalf("give the bot to %s, who is suspended: %v", name, err)
		}
	case to == nil || to.status != people.StatusActive || name == "robot":
		if !errors.Is(err, ErrNotFound) {
			m.t.Fatalf("give the bot to %s: %v", name, err)
		}
	case m.want("give the bot", err, ""):
		bot.owner, bot.role = name, min(bot.role, to.role)
		m.forget("robot", "")
	}
}

// check compares every secret, every account and the number of owners.
func (m *model) check() {
	for secret, whose := range m.secrets {
		p := m.people[whose]
		role, want := p.role, error(nil)
		if p.status == people.StatusSuspended {
			want = ErrSuspended
		} else if p.owner != "" {
			owner := m.people[p.owner]
			if role = min(role, owner.role); owner.status != people.StatusActive {
				want = ErrSuspended
			}
		}
		got, err := m.Authenticate(m.ctx, secret, "")
		if !errors.Is(err, want) || err == nil && (got.Role != role || got.Account.Username != whose) {
			m.t.Fatalf("a secret of %s: %v as %s, %v, want %v as %s", whose, got.Account.Username, got.Role, err, want, role)
		}
	}
	for secret := range m.ids {
		if m.secrets[secret] == "" {
			if _, err := m.Authenticate(m.ctx, secret, ""); !errors.Is(err, ErrAuthFailed) {
				m.t.Fatalf("a secret that was revoked: %v", err)
			}
		}
	}
	for name, p := range m.people {
		a, err := m.Find(m.ctx, name)
		role := p.role
		if p.owner != "" { // a bot is shown with the role that it acts with
			role = min(role, m.people[p.owner].role)
		}
		if err != nil || a.Role != role || a.Status != p.status {
			m.t.Fatalf("%s is %+v, %v, want %+v as %s", name, a, err, *p, role)
		}
	}
	m.must(m.documents.View(m.ctx, func(tx store.Tx) error {
		has, err := otherOwner(tx, "")
		if err == nil && !has {
			m.t.Fatalf("there is no owner")
		}
		return err
	}))
}
