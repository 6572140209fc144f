package account

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Whatever ends the devices of an account ends those that are about to be.
func TestRevokedDevicesTakeApprovedOnesAlong(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(w *world, alice, bob Actor)
		want error
	}{
		{"password", func(w *world, _, bob Actor) { w.must(w.SetPassword(w.ctx, bob, "another long password")) }, ErrExpired},
		{"other devices", func(w *world, _, bob Actor) { w.must(w.RevokeOtherDevices(w.ctx, bob)) }, ErrExpired},
		{"one device", func(w *world, _, bob Actor) {
			other := w.signInAs("bob", bobPassword)
			w.must(w.RevokeDevice(w.ctx, other, bob.Principal.SecretID))
		}, ErrExpired},
		{"reset", func(w *world, alice, _ Actor) { _, err := w.Reset(w.ctx, alice, "bob"); w.must(err) }, ErrExpired},
		{"suspend and restore", func(w *world, alice, _ Actor) {
			w.must(w.Suspend(w.ctx, alice, "bob", ""))
			w.must(w.Restore(w.ctx, alice, "bob"))
		}, ErrExpired},
		{"remove", func(w *world, alice, _ Actor) { w.must(w.Remove(w.ctx, alice, "bob")) }, ErrExpired},
		{"erase", func(w *world, alice, _ Actor) { w.must(w.Erase(w.ctx, alice, "bob")) }, ErrExpired},
		{"a password of the operator", func(w *world, _, _ Actor) {
			_, err := w.MakeOwner(w.ctx, "bob", "another long password")
			w.must(err)
		}, ErrExpired},
		{"a password with a link", func(w *world, _, _ Actor) {
			made, err := w.MakeOwner(w.ctx, "bob", "")
			w.must(err)
			_, err = w.SignInWithLink(w.ctx, made.Link, "another long password", Device{})
			w.must(err)
		}, ErrExpired},
		{"signing out", func(w *world, _, bob Actor) { w.must(w.RevokeDevice(w.ctx, bob, bob.Principal.SecretID)) }, nil},
		{"a token", func(w *world, _, bob Actor) {
			info, _, err := w.MakeToken(w.ctx, bob, NewToken{Name: "ci"})
			w.must(err)
			w.must(w.RevokeDevice(w.ctx, bob, info.ID))
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := w.claim()
			bob := w.add(alice, "bob", kaban.RoleMember)
			carol := w.add(alice, "carol", kaban.RoleMember)
			mine, err := w.BeginGrant(w.ctx, Device{Name: "mine"})
			w.must(err)
			theirs, err := w.BeginGrant(w.ctx, Device{Name: "theirs"})
			w.must(err)
			w.must(w.DecideGrant(w.ctx, bob, mine.Code, true))
			w.must(w.DecideGrant(w.ctx, carol, theirs.Code, true))
			test.end(w, alice, bob)
			if _, err = w.PollGrant(w.ctx, mine.Secret); test.want == nil {
				w.must(err)
			} else {
				wantError(t, "a device that was approved before", err, test.want)
			}
			_, err = w.PollGrant(w.ctx, theirs.Secret)
			w.must(err) // another account's goes on
		})
	}
}

// A link into an account ends with the devices of the account.
func TestRevokedDevicesTakeLinksAlong(t *testing.T) {
	for name, end := range map[string]func(w *world, bob Actor) error{
		"password":      func(w *world, bob Actor) error { return w.SetPassword(w.ctx, bob, "another long password") },
		"other devices": func(w *world, bob Actor) error { return w.RevokeOtherDevices(w.ctx, bob) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			bob := w.add(w.claim(), "bob", kaban.RoleMember)
			made, err := w.MakeOwner(w.ctx, "bob", "")
			w.must(err)
			w.must(end(w, bob))
			_, err = w.SignInWithLink(w.ctx, made.Link, "", Device{})
			wantError(t, "a link that was made before", err, ErrExpired)
		})
	}
}

// A password that comes with a link revokes the devices that were there before.
func TestPasswordOfALinkRevokesDevices(t *testing.T) {
	w := newWorld(t, nil)
	w.add(w.claim(), "bob", kaban.RoleMember)
	device := w.device("bob", bobPassword)
	made, err := w.MakeOwner(w.ctx, "bob", "")
	w.must(err)
	session, err := w.SignInWithLink(w.ctx, made.Link, "another long password", Device{})
	w.must(err)
	_, err = w.Authenticate(w.ctx, device, "")
	wantError(t, "a device from before", err, ErrAuthFailed)
	_, err = w.Authenticate(w.ctx, session.Secret, "")
	w.must(err)
}

// Every kind of ticket that is bound to an account ends with its devices.
func TestTicketsOfEveryKindEndWithTheDevices(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	put := func(kind string, a Actor) {
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
			return beginCeremony(tx, kind, kind+a.Principal.Account.ID, "the secret of a browser", a.Principal.Account.ID, w.options.Now(), nil)
		}))
	}
	kinds := []string{ticketRegister, ticketProvider}
	for _, kind := range kinds {
		put(kind, alice)
		put(kind, bob)
	}
	w.must(w.RevokeOtherDevices(w.ctx, bob))
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		for a, want := range map[string]int{bob.Principal.Account.ID: 0, alice.Principal.Account.ID: len(kinds)} {
			if found, _, err := people.Tickets.For(tx, a, 10); len(found) != want || err != nil {
				t.Errorf("%d tickets, %v, want %d", len(found), err, want)
			}
		}
		return nil
	}))
}

// Every way to make an account announces it once, so that a visitor loses the name.
func TestEveryNewAccountIsAnnounced(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	announced := func(what string, a people.Account) {
		t.Helper()
		if got := w.takeChanged(); !slices.Equal(got, []string{a.ID}) {
			t.Errorf("%s: announced %q, want %q once", what, got, a.ID)
		}
	}
	announced("the first owner", alice.Principal.Account)
	a, _, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount: NewAccount{Username: "bob"}})
	w.must(err)
	announced("with a link", a)
	a, _, err = w.AddAccount(w.ctx, alice, NewPerson{NewAccount: NewAccount{Username: "carol", Password: bobPassword}})
	w.must(err)
	announced("with a password", a)
	a, err = w.MakeBot(w.ctx, alice, NewBot{Username: "robo"})
	w.must(err)
	announced("a bot", a)
	made, err := w.MakeOwner(w.ctx, "dave", bobPassword)
	w.must(err)
	announced("an owner", made.Account)
	_, link, err := w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	session, err := w.AcceptInvite(w.ctx, link, NewAccount{Username: "erin"}, Device{})
	w.must(err)
	announced("with an invite", session.Principal.Account)
	w.setAccess(alice, "signup")
	session, err = w.SignUp(w.ctx, NewAccount{Username: "frank"}, Device{})
	w.must(err)
	announced("signed up", session.Principal.Account)
}

// One account does not use up the invites of the others, nor do members those of admins.
func TestInvitesOfOneAccountAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	carol := w.add(alice, "carol", kaban.RoleMember)
	invite := func(by Actor) error {
		_, _, err := w.Invite(w.ctx, by, NewInvite{Expires: time.Hour})
		return err
	}
	for range maxOwnInvites {
		w.must(invite(bob))
	}
	wantError(t, "one too many of bob", invite(bob), ErrTooMany)
	w.must(invite(carol))
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		for n := range maxInvites {
			i := people.Invite{Hash: fmt.Sprint(n), ID: fmt.Sprint(n), Uses: 1, Expires: w.now() + time.Hour.Milliseconds()}
			if err := people.Invites.Put(tx, &i); err != nil {
				return err
			}
		}
		return nil
	}))
	wantError(t, "one too many of the server", invite(carol), ErrTooMany)
	w.must(invite(alice))
	w.must(invite(Operator()))
	w.pass(time.Hour)
	w.must(w.Confirm(w.ctx, bob, bobPassword))
	w.must(w.Confirm(w.ctx, carol, bobPassword))
	w.must(invite(bob))
	w.must(invite(carol))
}

// An invite and a link are worth as much as the right of their creator to make them.
func TestInvitesEndWithTheRightToInvite(t *testing.T) {
	for _, test := range []struct {
		name                 string
		role                 kaban.Role // of bob, who makes them
		change               func(w *world, alice Actor) error
		member, guest, reset error // what is left of them
	}{
		{"nothing", kaban.RoleAdmin, func(*world, Actor) error { return nil }, nil, nil, nil},
		{"suspended", kaban.RoleAdmin, func(w *world, alice Actor) error { return w.Suspend(w.ctx, alice, "bob", "") }, ErrExpired, ErrExpired, ErrExpired},
		{"a guest", kaban.RoleAdmin, func(w *world, alice Actor) error { return w.SetRole(w.ctx, alice, "bob", kaban.RoleGuest) }, ErrExpired, ErrExpired, ErrExpired},
		{"a member", kaban.RoleAdmin, func(w *world, alice Actor) error { return w.SetRole(w.ctx, alice, "bob", kaban.RoleMember) }, nil, ErrExpired, ErrExpired},
		{"the account is an admin's", kaban.RoleAdmin, func(w *world, alice Actor) error { return w.SetRole(w.ctx, alice, "dave", kaban.RoleAdmin) }, nil, nil, ErrExpired},
		{"the setting", kaban.RoleMember, func(w *world, alice Actor) error { return w.Set(w.ctx, alice, SettingInviteMembers, "admin") }, ErrExpired, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := w.claim()
			bob := w.add(alice, "bob", test.role)
			w.add(alice, "dave", kaban.RoleMember)
			_, member, err := w.Invite(w.ctx, bob, NewInvite{})
			w.must(err)
			var guest, reset string
			if test.role == kaban.RoleAdmin {
				_, guest, err = w.Invite(w.ctx, bob, NewInvite{Role: kaban.RoleGuest})
				w.must(err)
				reset, err = w.Reset(w.ctx, bob, "dave")
				w.must(err)
			}
			w.must(test.change(w, alice))
			_, err = w.Link(w.ctx, member)
			wantError(t, "look", err, test.member)
			_, err = w.AcceptInvite(w.ctx, member, NewAccount{Username: "erin"}, Device{})
			wantError(t, "a member's invite", err, test.member)
			if test.role == kaban.RoleAdmin {
				_, err = w.AcceptInvite(w.ctx, guest, NewAccount{Username: "frank"}, Device{})
				wantError(t, "a guest's invite", err, test.guest)
				_, err = w.SignInWithLink(w.ctx, reset, "", Device{})
				wantError(t, "a link", err, test.reset)
			}
		})
	}
}

// A token of an owner changes nothing about the server, and makes no way in: it reads, and ends
// the invites of its account.
func TestTokensDoNotAdminister(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.add(alice, "bob", kaban.RoleMember)
	_, err := w.MakeBot(w.ctx, alice, NewBot{Username: "robo", Role: kaban.RoleAdmin})
	w.must(err)
	others, _, err := w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	second := w.add(alice, "second", kaban.RoleOwner)
	_, own, err := w.MakeToken(w.ctx, second, NewToken{Name: "ci"})
	w.must(err)
	p, err := w.Authenticate(w.ctx, own, "")
	w.must(err)
	by := p.As("")
	for name, do := range map[string]func() error{
		"add": func() error {
			_, _, err := w.AddAccount(w.ctx, by, NewPerson{NewAccount: NewAccount{Username: "eve"}})
			return err
		},
		"suspend":  func() error { return w.Suspend(w.ctx, by, "bob", "") },
		"restore":  func() error { return w.Restore(w.ctx, by, "bob") },
		"reset":    func() error { _, err := w.Reset(w.ctx, by, "bob"); return err },
		"role":     func() error { return w.SetRole(w.ctx, by, "bob", kaban.RoleOwner) },
		"own role": func() error { return w.SetRole(w.ctx, by, "second", kaban.RoleMember) },
		"name":     func() error { return w.SetName(w.ctx, by, "bob", "B") },
		"remove":   func() error { return w.Remove(w.ctx, by, "bob") },
		"erase":    func() error { return w.Erase(w.ctx, by, "bob") },
		"give":     func() error { return w.GiveBot(w.ctx, by, "robo", "bob") },
		"bot":      func() error { _, err := w.MakeBot(w.ctx, by, NewBot{Username: "eve"}); return err },
		"invite":   func() error { _, _, err := w.Invite(w.ctx, by, NewInvite{}); return err },
		"guest":    func() error { _, _, err := w.Invite(w.ctx, by, NewInvite{Role: kaban.RoleGuest}); return err },
		"setting":  func() error { return w.Set(w.ctx, by, SettingAccess, "open") },
		"sign-on":  func() error { return w.Set(w.ctx, by, "oidc.issuer", "https://id.example") },
	} {
		wantError(t, name, do(), ErrProgram)
	}
	wantError(t, "an invite of somebody else", w.RevokeInvite(w.ctx, by, others.ID), ErrProgram)
	mine, _, err := w.Invite(w.ctx, second, NewInvite{Role: kaban.RoleGuest})
	w.must(err)
	w.must(w.RevokeInvite(w.ctx, by, mine.ID))
	_, err = w.ListSettings(w.ctx, by)
	w.must(err)
	_, err = w.Bots(w.ctx, by, "alice")
	w.must(err)
	_, err = w.Audit(w.ctx, by, AuditQuery{})
	w.must(err)
}

// A bot is shown with the role that it acts with.
func TestBotsAreShownWithTheirOwnersRole(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleAdmin)
	_, err := w.MakeBot(w.ctx, bob, NewBot{Username: "robo", Role: kaban.RoleAdmin})
	w.must(err)
	for _, role := range []kaban.Role{kaban.RoleGuest, kaban.RoleAdmin} {
		w.must(w.SetRole(w.ctx, alice, "bob", role))
		found, err := w.Find(w.ctx, "robo")
		if w.must(err); found.Role != role {
			t.Errorf("of a %s, found as %s", role, found.Role)
		}
		bots, err := w.Bots(w.ctx, bob, "")
		if w.must(err); len(bots) != 1 || bots[0].Role != role {
			t.Errorf("of a %s, the owner sees %v", role, bots)
		}
		page, err := w.People(w.ctx, alice, PeopleQuery{Prefix: "robo", Role: role})
		if w.must(err); len(page.People) != 1 || page.People[0].Role != role {
			t.Errorf("of a %s, listed as %v", role, page.People)
		}
	}
}
