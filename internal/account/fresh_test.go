package account

import (
	"testing"

	"kaban"
	"kaban/internal/people"
)

// A bot that is given away is its new owner's alone.
func TestTokensEndWithTheOwner(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	secret := w.bot(bob, "robo")
	w.must(w.Remove(w.ctx, alice, "bob"))
	w.must(w.GiveBot(w.ctx, alice, "robo", "alice"))
	_, err := w.Authenticate(w.ctx, secret, "192.0.2.1")
	wantError(t, "a token that the former owner knows", err, ErrAuthFailed)
	_, secret, err = w.MakeToken(w.ctx, alice, NewToken{Username: "robo", Name: "new"})
	w.must(err)
	_, err = w.Authenticate(w.ctx, secret, "192.0.2.1")
	w.must(err)
}

// A token that is bound to rooms does nothing on the server, so it lists nobody.
func TestBoundTokensListNobody(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, secret, err := w.MakeToken(w.ctx, alice, NewToken{Name: "bound", Rooms: []string{"lobby"}})
	w.must(err)
	p, err := w.Authenticate(w.ctx, secret, "")
	w.must(err)
	page, err := w.People(w.ctx, p.As(""), PeopleQuery{})
	if w.must(err); len(page.People) != 0 {
		t.Errorf("it lists %v", page.People)
	}
}

// A session that somebody has stolen is not worth the server: what makes a way in, gives
// power or ends an account takes a fresh sign-in. What only takes away does not.
func TestPowerNeedsAFreshSignIn(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.add(alice, "bob", kaban.RoleMember)
	w.add(alice, "second", kaban.RoleOwner)
	w.bot(alice, "robo")
	w.add(alice, "suspended", kaban.RoleMember)
	w.must(w.Suspend(w.ctx, alice, "suspended", "spam"))
	w.pass(freshFor)
	for name, do := range map[string]func() error{
		"add": func() error {
			_, _, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount: NewAccount{Username: "eve"}, Role: kaban.RoleOwner})
			return err
		},
		"reset":         func() error { _, err := w.Reset(w.ctx, alice, "bob"); return err },
		"reset oneself": func() error { _, err := w.Reset(w.ctx, alice, "alice"); return err },
		"role":          func() error { return w.SetRole(w.ctx, alice, "bob", kaban.RoleOwner) },
		"own role":      func() error { return w.SetRole(w.ctx, alice, "alice", kaban.RoleMember) },
		"name":          func() error { return w.SetName(w.ctx, alice, "bob", "B") },
		"remove":        func() error { return w.Remove(w.ctx, alice, "bob") },
		"erase":         func() error { return w.Erase(w.ctx, alice, "bob") },
		"give":          func() error { return w.GiveBot(w.ctx, alice, "robo", "bob") },
		"setting":       func() error { return w.Set(w.ctx, alice, SettingAccess, "open") },
		"sign-on":       func() error { return w.Set(w.ctx, alice, "oidc.issuer", "https://id.example") },
		"visitor":       func() error { return w.LinkVisitor(w.ctx, alice, "ghost", "bob", nil) },
		"restore":       func() error { return w.Restore(w.ctx, alice, "suspended") },
		"invite":        func() error { _, _, err := w.Invite(w.ctx, alice, NewInvite{}); return err },
		"invite guests": func() error { _, _, err := w.Invite(w.ctx, alice, NewInvite{Role: kaban.RoleGuest}); return err },
		"bot":           func() error { _, err := w.MakeBot(w.ctx, alice, NewBot{Username: "bot"}); return err },
		"token":         func() error { _, _, err := w.MakeToken(w.ctx, alice, NewToken{Name: "token"}); return err },
		"bot's token": func() error {
			_, _, err := w.MakeToken(w.ctx, alice, NewToken{Username: "robo", Name: "token"})
			return err
		},
		"password":    func() error { return w.SetPassword(w.ctx, alice, "another horse battery") },
		"no password": func() error { return w.RemovePassword(w.ctx, alice) },
		"codes":       func() error { _, err := w.NewRecoveryCodes(w.ctx, alice); return err },
		"unlink":      func() error { return w.UnlinkIdentity(w.ctx, alice, nil, "id") },
		"passkey":     func() error { _, err := w.BeginPasskey(w.ctx, alice, nil, NewBrowser()); return err },
		"no passkey":  func() error { return w.RemovePasskey(w.ctx, alice, nil, "id") },
		"provider":    func() error { _, err := w.BeginLink(w.ctx, alice, nil, NewBrowser(), "", ""); return err },
	} {
		before := len(w.rows(alice))
		wantError(t, name, do(), ErrNotFresh)
		if got := len(w.rows(alice)); got != before {
			t.Errorf("%s: refused and in the audit", name)
		}
	}
	w.must(w.Suspend(w.ctx, alice, "bob", "spam"))
	w.must(w.Restore(w.ctx, Operator(), "bob"))
	_, err := w.ListSettings(w.ctx, alice)
	w.must(err)
	w.must(w.Set(w.ctx, Operator(), SettingAccess, "invite"))
	w.must(w.Confirm(w.ctx, alice, alicePassword))
	w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleAdmin))
	if a, err := w.Find(w.ctx, "bob"); err != nil || a.Role != kaban.RoleAdmin || a.Status != people.StatusActive {
		t.Errorf("bob is %v, %v", a, err)
	}
}
