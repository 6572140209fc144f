package account

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"kaban"
	"kaban/internal/account/passkeytest"
	"kaban/internal/people"
	"kaban/internal/store"
)

// startNew begins the passkey of a new account and returns the response of the
// authenticator, which keeps it in cred.
func (b *keyBench) startNew(by Admission, name string, cred virtualwebauthn.Credential) (NewAccount, error) {
	b.t.Helper()
	n := NewAccount{Username: name}
	options, err := b.service.BeginNewPasskey(b.t.Context(), by, b.keys, b.browser, n, "")
	if err != nil {
		return n, err
	}
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		b.t.Fatal(err)
	}
	b.handle = parsed.UserID
	n.Passkey = &NewPasskey{Keys: b.keys, Browser: b.browser, Response: b.created("", options, cred)}
	return n, nil
}

// emptyKeyBench is a keyBench without an owner.
func emptyKeyBench(t *testing.T) *keyBench {
	t.Helper()
	b := newKeyBench(t)
	update(t, b.docs, func(tx store.Tx) error {
		owners, _, err := people.Accounts.WithRole(tx, kaban.RoleOwner, people.StatusActive, 1)
		if err != nil {
			return err
		}
		owners[0].Role = kaban.RoleMember
		return people.Accounts.Put(tx, &owners[0])
	})
	return b
}

// An account is made with a passkey and no password: by a claim, by an invite, and where
// anybody may sign up. The passkey signs in.
func TestNewAccountsWithAPasskey(t *testing.T) {
	b := emptyKeyBench(t)
	ctx := t.Context()
	claim, err := b.service.NewClaim(ctx)
	if err != nil {
		t.Fatal(err)
	}
	enter := func(session Session, cred virtualwebauthn.Credential, name string, err error) {
		t.Helper()
		account := session.Principal.Account
		if err != nil || account.Username != name {
			t.Fatalf("made %q: %v, want %s", account.Username, err, name)
		}
		// The authenticator knows the account by the handle that the options had.
		if got, key, err := b.signIn(b.handle, cred); err != nil || got != account.ID || key.Name != "Passkey" {
			t.Errorf("%s signs in as %s with %q: %v", name, got, key.Name, err)
		}
		by := session.Principal.As("")
		if ways, err := b.service.Ways(ctx, by, b.keys); err != nil || !slices.Equal(ways, []Way{WayPasskey}) {
			t.Errorf("%s confirms by %v (%v), want by a passkey only", name, ways, err)
		}
	}
	cred := passkeytest.NewCredential(t)
	n, err := b.startNew(Admission{Claim: claim}, "olga", cred)
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.service.ClaimServer(ctx, claim, n, "", Device{})
	enter(made.Session, cred, "olga", err)
	owner := made.Session.Principal.As("")

	_, invite, err := b.service.Invite(ctx, owner, NewInvite{Uses: 2})
	if err != nil {
		t.Fatal(err)
	}
	cred = passkeytest.NewCredential(t)
	if n, err = b.startNew(Admission{Invite: invite}, "mia", cred); err != nil {
		t.Fatal(err)
	}
	session, err := b.service.AcceptInvite(ctx, invite, n, Device{})
	enter(session, cred, "mia", err)

	if err := b.service.Set(ctx, owner, SettingAccess, "signup"); err != nil {
		t.Fatal(err)
	}
	cred = passkeytest.NewCredential(t)
	if n, err = b.startNew(Admission{}, "sid", cred); err != nil {
		t.Fatal(err)
	}
	session, err = b.service.SignUp(ctx, n, Device{})
	enter(session, cred, "sid", err)
}

// Nobody gets the options for a passkey without a right to an account of that name, and
// no account gets a passkey that was not made for it, in this browser, just now.
func TestNewPasskeyRefusals(t *testing.T) {
	b := newKeyBench(t)
	ctx := t.Context()
	root := b.by(b.account("olga", kaban.RoleOwner))
	_, invite, err := b.service.Invite(ctx, root, NewInvite{Uses: 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.service.Set(ctx, root, SettingAccess, "invite"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by   Admission
		name string
		want error
	}{
		"nothing":        {Admission{}, "mia", ErrNotOpen},
		"a wrong claim":  {Admission{Claim: claimPrefix + "x"}, "mia", ErrAuthFailed},
		"a wrong invite": {Admission{Invite: invitePrefix + "x"}, "mia", ErrExpired},
		"a name in use":  {Admission{Invite: invite}, "OLGA", ErrNameTaken},
	} {
		if _, err := b.startNew(c.by, c.name, passkeytest.NewCredential(t)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		spoil func(n *NewAccount)
		want  error
	}{
		"another browser": {func(n *NewAccount) { n.Passkey.Browser = NewBrowser() }, ErrCeremony},
		"too late":        {func(*NewAccount) { b.clock.advance(ceremonyLife) }, ErrCeremony},
		"nothing":         {func(n *NewAccount) { n.Passkey.Response = []byte("{}") }, ErrPasskey},
		"a passkey for an account": {func(n *NewAccount) {
			options, err := b.service.BeginPasskey(ctx, root, b.keys, b.browser)
			if err != nil {
				t.Fatal(err)
			}
			n.Passkey.Response = b.created("", options, passkeytest.NewCredential(t))
		}, ErrCeremony},
	} {
		n, err := b.startNew(Admission{Invite: invite}, "mia", passkeytest.NewCredential(t))
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(&n)
		if _, err := b.service.AcceptInvite(ctx, invite, n, Device{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// The passkey is used once, whether the account was made or not.
	n, err := b.startNew(Admission{Invite: invite}, "mia", passkeytest.NewCredential(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.service.AcceptInvite(ctx, invite, n, Device{}); err != nil {
		t.Fatal(err)
	}
	n.Username = "max"
	if _, err := b.service.AcceptInvite(ctx, invite, n, Device{}); !errors.Is(err, ErrCeremony) {
		t.Errorf("used twice: %v", err)
	}
}

// A passkey of the account makes a stale sign-in fresh, and that of another one does not.
func TestConfirmWithAPasskey(t *testing.T) {
	b := newKeyBench(t)
	ann, bob := b.account("ann", kaban.RoleMember), b.account("bob", kaban.RoleMember)
	anns, bobs := b.register(ann, ""), b.register(bob, "")
	by := b.by(ann)
	b.clock.advance(freshFor + time.Second)
	confirm := func(account string, cred virtualwebauthn.Credential) error {
		return b.service.ConfirmWithPasskey(t.Context(), by, b.keys, b.browser, b.got(account, b.begin(), cred))
	}
	isFresh := func() bool {
		now, err := b.service.Renew(t.Context(), by.Principal)
		if err != nil {
			t.Fatal(err)
		}
		return b.service.Fresh(now)
	}
	if isFresh() {
		t.Fatal("the sign-in is fresh after 15 minutes")
	}
	if err := confirm(bob, bobs); !errors.Is(err, ErrAuthFailed) || isFresh() {
		t.Errorf("with the passkey of another: %v", err)
	}
	response := b.got(ann, b.begin(), anns)
	if err := b.service.ConfirmWithPasskey(t.Context(), by, b.keys, NewBrowser(), response); !errors.Is(err, ErrCeremony) || isFresh() {
		t.Errorf("in another browser: %v", err)
	}
	if err := confirm(ann, anns); err != nil || !isFresh() {
		t.Errorf("with the passkey of the account: %v", err)
	}
}
