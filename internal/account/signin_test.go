package account

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// statuses are the states of an account that sign-ins depend on, and how bob gets
// into each.
var statuses = []struct {
	name string
	set  func(*world, Actor)
}{
	{"active", func(*world, Actor) {}},
	{"suspended", func(w *world, by Actor) { w.must(w.Suspend(w.ctx, by, "bob", "")) }},
	{"unclaimed", func(w *world, by Actor) { w.put("bob", func(a *people.Account) { a.Status = people.StatusUnclaimed }) }},
	// Behind the Service, which removes credentials, too: the status alone must do.
	{"removed", func(w *world, by Actor) { w.put("bob", func(a *people.Account) { a.Status = people.StatusRemoved }) }},
	{"bot", func(w *world, by Actor) {
		w.put("bob", func(a *people.Account) { a.Bot, a.Owner = true, by.Principal.Account.ID })
	}},
	{"bot of nobody", func(w *world, by Actor) { w.put("bob", func(a *people.Account) { a.Bot, a.Owner = true, "gone" }) }},
	{"bot of a suspended owner", func(w *world, by Actor) {
		w.add(by, "carol", kaban.RoleMember)
		carol, _ := w.Find(w.ctx, "carol")
		w.put("bob", func(a *people.Account) { a.Bot, a.Owner = true, carol.ID })
		w.must(w.Suspend(w.ctx, by, "carol", ""))
	}},
}

// Every way in, as far as it has a function of its own here. Each prepares a right
// secret while bob is active, and returns how to use it.
var ways = []struct {
	way     Way
	prepare func(*world, Actor, Actor) func() error // owner, bob
}{
	{WayPassword, func(w *world, _, _ Actor) func() error {
		return func() error {
			_, err := w.SignInWithPassword(w.ctx, "bob", bobPassword, Device{})
			return err
		}
	}},
	{WayDevice, func(w *world, _, _ Actor) func() error {
		secret := w.device("bob", bobPassword)
		return func() error {
			_, err := w.Authenticate(w.ctx, secret, "")
			return err
		}
	}},
	{WayToken, func(w *world, _, bob Actor) func() error {
		_, secret, err := w.MakeToken(w.ctx, bob, NewToken{Name: "ci"})
		w.must(err)
		return func() error {
			_, err := w.Authenticate(w.ctx, secret, "")
			return err
		}
	}},
	{WayRecovery, func(w *world, _, bob Actor) func() error {
		codes, err := w.NewRecoveryCodes(w.ctx, bob)
		w.must(err)
		return func() error {
			_, err := w.SignInWithRecoveryCode(w.ctx, "bob", codes[0], Device{})
			return err
		}
	}},
	{WayGrant, func(w *world, _, bob Actor) func() error {
		grant, err := w.BeginGrant(w.ctx, Device{Name: "terminal"})
		w.must(err)
		w.must(w.DecideGrant(w.ctx, bob, grant.Code, true))
		return func() error {
			_, err := w.PollGrant(w.ctx, grant.Secret)
			return err
		}
	}},
	{WayLink, func(w *world, _, _ Actor) func() error {
		bob, err := w.Find(w.ctx, "bob")
		w.must(err)
		secret := newSecret(invitePrefix)
		w.must(w.update(w.ctx, Operator(), func(c *change) error {
			return errors.Join(c.putLink(&bob, secret, time.Hour), c.audit(people.AuditAccountName, "", ""))
		}))
		return func() error {
			_, err := w.SignInWithLink(w.ctx, secret, "", Device{})
			return err
		}
	}},
	{WayPasskey, byCore(WayPasskey)},
	{WayOIDC, byCore(WayOIDC)},
}

// byCore signs in through the core only. Tests of package web and of providertest go the
// whole way.
func byCore(way Way) func(*world, Actor, Actor) func() error {
	return func(w *world, _, bob Actor) func() error {
		return func() error {
			_, err := w.signIn(w.ctx, way, Device{}, func(c *change) (proof, error) {
				a, err := c.account(bob.Principal.Account.ID)
				return proof{account: a}, err
			})
			return err
		}
	}
}

func TestEveryWayInEveryStatus(t *testing.T) {
	want := func(way Way, status string) error {
		switch {
		case status == "active", status == "bot" && way == WayToken:
			return nil
		case status == "unclaimed" && (way == WayLink || way == WayOIDC):
			return nil
		case status == "suspended" && way == WayGrant:
			return ErrExpired // it ends with the account's devices
		case status == "suspended", strings.HasPrefix(status, "bot of ") && way == WayToken:
			return ErrSuspended
		}
		return ErrAuthFailed
	}
	for _, way := range ways {
		for _, status := range statuses {
			t.Run(string(way.way)+" "+status.name, func(t *testing.T) {
				w := newWorld(t, nil)
				alice := w.claim()
				bob := w.add(alice, "bob", kaban.RoleMember)
				use := way.prepare(w, alice, bob)
				status.set(w, alice)
				if got := use(); !errors.Is(got, want(way.way, status.name)) {
					t.Errorf("%v, want %v", got, want(way.way, status.name))
				}
			})
		}
	}
}

// A secret that was right, but of no use, is not used up. A suspension ends a device
// that waits.
func TestSuspensionUsesNothingUp(t *testing.T) {
	for _, way := range ways {
		if way.way == WayGrant {
			continue
		}
		t.Run(string(way.way), func(t *testing.T) {
			w := newWorld(t, nil)
			alice := w.claim()
			bob := w.add(alice, "bob", kaban.RoleMember)
			use := way.prepare(w, alice, bob)
			w.must(w.Suspend(w.ctx, alice, "bob", "holiday"))
			wantError(t, "suspended", use(), ErrSuspended)
			w.must(w.Restore(w.ctx, alice, "bob"))
			w.pass(GrantInterval)
			wantError(t, "restored", use(), nil)
		})
	}
}

// Who fails to sign in learns nothing from the error or from the work.
func TestEnumeration(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.add(alice, "bob", kaban.RoleMember)
	w.add(alice, "eve", kaban.RoleMember)
	w.must(w.Suspend(w.ctx, alice, "eve", ""))
	_, _, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "unclaimed"}, 0})
	w.must(err)
	w.bot(alice, "robot")
	w.add(alice, "gone", kaban.RoleMember)
	w.must(w.Remove(w.ctx, alice, "gone"))
	var texts []string
	for _, c := range []struct{ name, password string }{
		{"bob", "wrong password"},
		{"eve", "wrong password"},
		{"unclaimed", "wrong password"},
		{"robot", "wrong password"},
		{"gone", bobPassword},
		{"nobody", "wrong password"},
		{"not a name!", "wrong password"},
		{"", ""},
		{"bob", ""},
		{"bob", "bell\a is no text"},
		{"bob", strings.Repeat("x", MaxPassword+1)},
	} {
		before := w.hasher.count.Load()
		_, err := w.SignInWithPassword(w.ctx, c.name, c.password, Device{Address: "192.0.2.9"})
		if hashes := w.hasher.count.Load() - before; hashes != 1 {
			t.Errorf("%q with %.20q: %d hashes", c.name, c.password, hashes)
		}
		if !errors.Is(err, ErrAuthFailed) {
			t.Errorf("%q with %.20q: %v", c.name, c.password, err)
			continue
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("texts differ: %q and %q", text, texts[0])
		}
	}
	// Only the right password learns of the suspension.
	_, err = w.SignInWithPassword(w.ctx, "eve", bobPassword, Device{})
	wantError(t, "eve with the right password", err, ErrSuspended)
	for _, c := range []struct{ name, code string }{{"bob", "abcd-efgh-ijkl-mnop"}, {"nobody", "abcd-efgh-ijkl-mnop"}, {"bob", ""}} {
		_, err := w.SignInWithRecoveryCode(w.ctx, c.name, c.code, Device{})
		if !errors.Is(err, ErrAuthFailed) || err.Error() != texts[0] {
			t.Errorf("recovery code of %q: %v", c.name, err)
		}
	}
}

// Failed sign-ins write nothing; the audit counts them by hour, account and address.
func TestFailuresAreCounted(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	before := w.everything()
	fail := func(n int, name, address string) {
		for range n {
			_, err := w.SignInWithPassword(w.ctx, name, "wrong password", Device{Address: address})
			wantError(t, name, err, ErrAuthFailed)
		}
	}
	fail(3, "alice", "192.0.2.7")
	fail(2, "mallory", "192.0.2.7")
	fail(2, "trent", "192.0.2.7")
	if w.everything() != before {
		t.Error("failed sign-ins changed the store")
	}
	w.must(w.FlushFailures(w.ctx))
	fail(1, "alice", "192.0.2.7")
	w.pass(time.Hour)
	fail(1, "alice", "192.0.2.7")
	page, err := w.Audit(w.ctx, alice, AuditQuery{Action: "sign_in"})
	w.must(err)
	got := make(map[string][]int)
	for _, r := range page.Rows {
		if r.Address != "192.0.2.7" || r.Actor != "" {
			t.Errorf("row %+v", r)
		}
		got[r.Subject] = append(got[r.Subject], r.Count)
	}
	if a := got["alice"]; len(got) != 2 || len(a) != 2 || a[0] != 4 || a[1] != 1 || len(got[""]) != 1 || got[""][0] != 4 {
		t.Errorf("counts: %v", got)
	}
}

func TestAuthenticateWritesOnceAnHour(t *testing.T) {
	w := newWorld(t, nil)
	w.claim()
	secret := w.device("alice", alicePassword)
	updates := &counting{Documents: w.documents}
	w.documents = updates
	for range 100 {
		w.pass(time.Minute)
		_, err := w.Authenticate(w.ctx, secret, "192.0.2.50")
		w.must(err)
	}
	if updates.updates != 1 {
		t.Errorf("%d writes in 100 minutes", updates.updates)
	}
	devices, err := w.Devices(w.ctx, w.signInAs("alice", alicePassword))
	w.must(err)
	for _, d := range devices {
		if d.Address == "192.0.2.50" {
			return
		}
	}
	t.Errorf("no device has the address of its last use: %+v", devices)
}

// counting counts the transactions that write.
type counting struct {
	store.Documents
	updates int
}

func (c *counting) Update(ctx context.Context, run func(store.Tx) error) error {
	c.updates++
	return c.Documents.Update(ctx, run)
}

func TestOutdatedHashIsRenewed(t *testing.T) {
	w := newWorld(t, nil)
	w.claim()
	w.hasher.current = parameters{memory: 128, passes: 1, lanes: 1}
	w.signInAs("alice", alicePassword)
	if all := w.everything(); !strings.Contains(all, "m=128,t=1,p=1") || strings.Contains(all, "m=64,") {
		t.Error("the hash has its former parameters")
	}
	before := w.hasher.count.Load()
	w.signInAs("alice", alicePassword)
	if n := w.hasher.count.Load() - before; n != 1 {
		t.Errorf("%d hashes for a hash that is not outdated", n)
	}
}

// The same password, typed on keyboards that compose characters differently.
func TestPasswordsAreNormalised(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.must(w.SetPassword(w.ctx, alice, "caf\u00e9 au lait\u00a0noir"))
	_, err := w.SignInWithPassword(w.ctx, "alice", "cafe\u0301 au lait noir", Device{})
	w.must(err)
	_, err = w.SignInWithPassword(w.ctx, "alice", "Café au lait noir", Device{})
	wantError(t, "another case", err, ErrAuthFailed)
}

func TestChangedPasswordRevokesOtherDevices(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	other := w.device("alice", alicePassword)
	_, token, err := w.MakeToken(w.ctx, alice, NewToken{Name: "ci"})
	w.must(err)
	w.takeRevoked()
	w.must(w.SetPassword(w.ctx, alice, "a new passphrase"))
	if got := w.takeRevoked(); len(got) != 1 {
		t.Errorf("announced %q", got)
	}
	_, err = w.Authenticate(w.ctx, other, "")
	wantError(t, "the other device", err, ErrAuthFailed)
	_, err = w.Authenticate(w.ctx, token, "")
	w.must(err)
	_, err = w.Renew(w.ctx, alice.Principal)
	w.must(err)
	_, err = w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{})
	wantError(t, "the former password", err, ErrAuthFailed)
	w.pass(freshFor)
	wantError(t, "a quarter of an hour later", w.SetPassword(w.ctx, alice, "another passphrase"), ErrNotFresh)
	w.must(w.Confirm(w.ctx, alice, "a new passphrase"))
	alice.Principal, err = w.Renew(w.ctx, alice.Principal)
	w.must(err)
	w.must(w.SetPassword(w.ctx, alice, "another passphrase"))
	wantError(t, "the only way in", w.RemovePassword(w.ctx, alice), ErrLastWay)
}

// A device that was revoked in between is nobody's, whatever the caller still has.
func TestRevokedActorMayDoNothing(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	other := w.signInAs("alice", alicePassword)
	w.must(w.RevokeDevice(w.ctx, alice, other.Principal.SecretID))
	_, _, err := w.AddAccount(w.ctx, other, NewPerson{NewAccount{Username: "bob", Password: bobPassword}, 0})
	wantError(t, "add an account", err, ErrAuthFailed)
	wantError(t, "revoke", w.RevokeDevice(w.ctx, other, alice.Principal.SecretID), ErrAuthFailed)
	forged := Actor{Principal: Principal{Account: alice.Principal.Account, Role: kaban.RoleOwner}}
	wantError(t, "forged", w.SetRole(w.ctx, forged, "alice", kaban.RoleMember), ErrAuthFailed)
	wantError(t, "nobody", w.SetRole(w.ctx, Actor{}, "alice", kaban.RoleMember), ErrAuthFailed)
	carol := w.add(alice, "carol", kaban.RoleMember)
	carol.Principal.Account, carol.Principal.Role = alice.Principal.Account, kaban.RoleOwner
	wantError(t, "with the device of somebody else", w.SetRole(w.ctx, carol, "alice", kaban.RoleMember), ErrAuthFailed)
}

func TestTimes(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, token, err := w.MakeToken(w.ctx, alice, NewToken{Name: "short", Expires: 2 * time.Hour})
	w.must(err)
	check := func(what string, want error) {
		t.Helper()
		_, err := w.Authenticate(w.ctx, token, "")
		wantError(t, what, err, want)
	}
	check("new", nil)
	w.pass(2*time.Hour - time.Millisecond)
	check("just before it expires", nil)
	w.pass(time.Millisecond)
	check("expired while in use", ErrExpired)
	w.setClock(-time.Hour)
	check("the clock is set back", nil)
	w.setClock(time.Hour)
	check("and forward again", ErrExpired)

	alice = w.signInAs("alice", alicePassword)
	grant, err := w.BeginGrant(w.ctx, Device{})
	w.must(err)
	if !w.Fresh(alice.Principal) {
		t.Error("a new sign-in is not fresh")
	}
	w.setClock(-time.Hour)
	if w.Fresh(alice.Principal) {
		t.Error("a sign-in in the future is fresh")
	}
	_, err = w.PollGrant(w.ctx, grant.Secret)
	wantError(t, "a grant from the future", err, ErrExpired)
	if _, err := w.Renew(w.ctx, alice.Principal); err != nil {
		t.Errorf("a device after the clock was set back: %v", err)
	}
}

func TestTooManyDevicesRevokeTheOldest(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.takeRevoked()
	for range maxDevices {
		w.pass(time.Second)
		w.device("alice", alicePassword)
	}
	if got := w.takeRevoked(); len(got) != 1 || got[0] != alice.Principal.Account.ID+"/"+alice.Principal.SecretID {
		t.Errorf("revoked %q", got)
	}
}
