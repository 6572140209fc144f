package account

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

func TestDeviceGrant(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	grant, err := w.BeginGrant(w.ctx, Device{Name: "kaban on buildhost", Address: "192.0.2.77"})
	w.must(err)
	w.kept(grant.Secret)
	if letters := parseCode(grant.Code); len(letters) != codeLength || len(grant.Code) != codeLength+1 || grant.Code[4] != '-' {
		t.Errorf("the code is %q", grant.Code)
	}
	poll := func(what string, want error) {
		t.Helper()
		_, err := w.PollGrant(w.ctx, grant.Secret)
		wantError(t, what, err, want)
	}
	poll("first poll", ErrPending)
	w.pass(GrantInterval - time.Millisecond)
	poll("too early", ErrSlowDown)
	w.pass(GrantInterval)
	poll("too early for the longer interval", ErrSlowDown)
	w.pass(3*GrantInterval - time.Millisecond)
	poll("still", ErrSlowDown)
	w.pass(4 * GrantInterval)
	poll("in time", ErrPending)
	w.setClock(-time.Minute)
	w.pass(4 * GrantInterval)
	w.setClock(time.Minute)
	poll("the clock has nothing to do with it", ErrPending)

	info, err := w.Grant(w.ctx, alice, strings.ToLower(strings.ReplaceAll(grant.Code, "-", " ")))
	w.must(err)
	if info.Name != "kaban on buildhost" || info.Address != "192.0.2.77" {
		t.Errorf("the page shows %+v", info)
	}
	w.must(w.DecideGrant(w.ctx, alice, grant.Code, true))
	wantError(t, "approved twice", w.DecideGrant(w.ctx, alice, grant.Code, true), ErrNotFound)
	w.pass(4 * GrantInterval)
	session, err := w.PollGrant(w.ctx, grant.Secret)
	w.must(err)
	if p := session.Principal; p.Account.Username != "alice" || p.Kind != people.SecretDevice {
		t.Errorf("signed in as %+v", p)
	}
	poll("once more", ErrExpired)

	grant, err = w.BeginGrant(w.ctx, Device{})
	w.must(err)
	w.must(w.DecideGrant(w.ctx, alice, grant.Code, false))
	poll("denied", ErrDenied)
	grant, err = w.BeginGrant(w.ctx, Device{})
	w.must(err)
	w.pass(GrantLifetime)
	wantError(t, "approved too late", w.DecideGrant(w.ctx, w.signInAs("alice", alicePassword), grant.Code, true), ErrNotFound)
	poll("ten minutes later", ErrExpired)
	_, err = w.PollGrant(w.ctx, "kaban_grant_nonsense")
	wantError(t, "nonsense", err, ErrExpired)
}

func TestApprovalNeedsAFreshSignIn(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, token, err := w.MakeToken(w.ctx, alice, NewToken{Name: "ci"})
	w.must(err)
	w.pass(freshFor)
	grant, err := w.BeginGrant(w.ctx, Device{})
	w.must(err)
	wantError(t, "an old sign-in", w.DecideGrant(w.ctx, alice, grant.Code, true), ErrNotFresh)
	p, err := w.Authenticate(w.ctx, token, "")
	w.must(err)
	wantError(t, "a token", w.DecideGrant(w.ctx, p.As(""), grant.Code, true), ErrProgram)
	_, _, err = w.MakeToken(w.ctx, alice, NewToken{Name: "another"})
	wantError(t, "a token", err, ErrNotFresh)
	_, err = w.NewRecoveryCodes(w.ctx, alice)
	wantError(t, "recovery codes", err, ErrNotFresh)
	w.must(w.DecideGrant(w.ctx, alice, grant.Code, false)) // denying is always safe
}

func TestFiveWrongCodes(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	grant, err := w.BeginGrant(w.ctx, Device{})
	w.must(err)
	for range 3 * maxGuesses {
		_, err := w.Grant(w.ctx, alice, grant.Code) // right ones do not count
		w.must(err)
	}
	for range maxGuesses {
		_, err := w.Grant(w.ctx, alice, "BBBB-BBBB")
		wantError(t, "a wrong code", err, ErrNotFound)
	}
	_, err = w.Grant(w.ctx, alice, grant.Code)
	if wait, ok := errors.AsType[*WaitError](err); !ok || wait.After != GrantLifetime {
		t.Errorf("the right code after five wrong ones: %v", err)
	}
	if err := w.DecideGrant(w.ctx, alice, grant.Code, true); err == nil {
		t.Error("approved after five wrong codes")
	}
	_, err = w.Grant(w.ctx, bob, grant.Code)
	w.must(err) // others are not kept out
	w.setClock(GrantLifetime)
	if _, err = w.Grant(w.ctx, alice, grant.Code); err == nil {
		t.Error("setting the clock forward gives more attempts")
	}
	w.setClock(-GrantLifetime)
	w.pass(GrantLifetime)
	_, err = w.Grant(w.ctx, alice, "BBBB-BBBB")
	wantError(t, "ten minutes later", err, ErrNotFound)
}

// One address shuts the sign-in of devices for itself only, and many addresses for
// nobody.
func TestStrangersBeginABoundedNumberOfGrants(t *testing.T) {
	w := newWorld(t, nil)
	w.options.Exempt = netip.Addr.IsLoopback
	w.claim()
	begin := func(address string) Grant {
		t.Helper()
		grant, err := w.BeginGrant(w.ctx, Device{Address: address})
		w.must(err)
		return grant
	}
	waits := func(address string, want time.Duration) {
		t.Helper()
		_, err := w.BeginGrant(w.ctx, Device{Address: address})
		if wait, ok := errors.AsType[*WaitError](err); !ok || wait.After != want {
			t.Errorf("one too many from %s: %v, want to wait for %v", address, err, want)
		}
	}
	mine := begin("198.51.100.7")
	w.pass(time.Second)
	first := begin("2001:db8:0:1::1")
	w.pass(time.Second)
	for n := range maxGrantsFrom - 1 {
		begin(fmt.Sprintf("2001:db8:0:1::%x", n))
	}
	waits("2001:db8:0:1::ffff", GrantLifetime-time.Second)
	begin("2001:db8:0:2::1")
	for range maxGrants - maxGrantsFrom - 2 { // the machine itself has no limit of its own
		begin("127.0.0.1")
	}
	last := begin("203.0.113.9")
	for range 10 {
		begin("127.0.0.1")
	}
	for _, grant := range []Grant{mine, first, last} {
		_, err := w.PollGrant(w.ctx, grant.Secret)
		wantError(t, "a grant of an address that is not crowded", err, ErrPending)
	}
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		tickets, _, err := people.Tickets.List(tx, nil, nil, 2*maxGrants)
		if len(tickets) != maxGrants {
			t.Errorf("%d grants are kept, want %d", len(tickets), maxGrants)
		}
		return err
	}))
	w.pass(GrantLifetime)
	begin("2001:db8:0:1::1")
}

func TestRecoveryCodes(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	codes, err := w.NewRecoveryCodes(w.ctx, alice)
	w.must(err)
	typed := " " + strings.ToUpper(strings.ReplaceAll(codes[3], "-", "")) + " "
	_, err = w.SignInWithRecoveryCode(w.ctx, "bob", typed, Device{})
	wantError(t, "of somebody else", err, ErrAuthFailed)
	session, err := w.SignInWithRecoveryCode(w.ctx, "ALICE", typed, Device{})
	w.must(err)
	if !w.Fresh(session.Principal) {
		t.Error("not fresh")
	}
	_, err = w.SignInWithRecoveryCode(w.ctx, "alice", codes[3], Device{})
	wantError(t, "again", err, ErrAuthFailed)
	if n, err := w.RecoveryCodesLeft(w.ctx, alice); n != recoveryCodes-1 || err != nil {
		t.Errorf("%d left, %v", n, err)
	}
	_, err = w.NewRecoveryCodes(w.ctx, alice)
	w.must(err)
	_, err = w.SignInWithRecoveryCode(w.ctx, "alice", codes[4], Device{})
	wantError(t, "a former one", err, ErrAuthFailed)
}
