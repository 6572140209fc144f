package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

func TestGroupsGiveAndTakeAway(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.groups", "staff=member,admins=admin,dev=#backend,ops=#backend")
	enter := func(groups ...string) ProviderResult {
		t.Helper()
		list := make([]any, len(groups))
		for i, g := range groups {
			list[i] = g
		}
		return s.entered("jane", map[string]any{"groups": list})
	}
	id := enter().Session.Principal.Account.ID
	role := func(want kaban.Role, groups ...string) {
		t.Helper()
		if a := s.account(id); a.Role != want || !slices.Equal(a.Groups, groups) {
			t.Errorf("the role is %s by %q, want %s by %q", a.Role, a.Groups, want, groups)
		}
	}
	setRole := func(role kaban.Role) {
		t.Helper()
		s.change(func(tx store.Tx) error {
			a, err := people.Accounts.Get(tx, id)
			if err != nil {
				return err
			}
			a.Role = role
			return people.Accounts.Put(tx, &a)
		})
	}
	role(kaban.RoleMember)
	if p := enter("admins", "unknown").Session.Principal; p.Role != kaban.RoleAdmin {
		t.Errorf("the session has the role %s", p.Role)
	}
	role(kaban.RoleAdmin, "admins")
	enter("admins", "staff")
	role(kaban.RoleAdmin, "admins", "staff")
	enter("staff")
	role(kaban.RoleMember, "staff")

	setRole(kaban.RoleAdmin) // by hand, so no group takes it away
	enter("admins")
	enter("staff")
	role(kaban.RoleAdmin, "staff")
	enter()
	role(kaban.RoleAdmin)
	setRole(kaban.RoleGuest) // by hand, so the group gives member
	enter("staff")
	role(kaban.RoleMember, "staff")
	enter()
	role(kaban.RoleGuest)
	enter("admins")
	setRole(kaban.RoleOwner) // somebody promoted an admin by group
	enter()
	role(kaban.RoleOwner)
}

func TestGroupsThatAreNotSent(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.groups", "admins=admin,guests=guest")
	id := s.entered("jane", map[string]any{"groups": "admins"}).Session.Principal.Account.ID
	s.entered("jane", map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://x.example"}}})
	if a := s.account(id); a.Role != kaban.RoleAdmin {
		t.Errorf("groups that the provider keeps elsewhere took away the role: %s", a.Role)
	}
	s.entered("jane", nil)
	if a := s.account(id); a.Role != kaban.RoleMember {
		t.Errorf("without groups the role is %s", a.Role)
	}
	guest := s.entered("visitor", map[string]any{"groups": []any{"guests"}})
	if guest.Session.Principal.Role != kaban.RoleGuest {
		t.Errorf("a new account of guests is a %s", guest.Session.Principal.Role)
	}
}

func TestGroupsNeverDemoteTheLastOwner(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.groups", "root=owner")
	id := s.entered("jane", map[string]any{"groups": "root"}).Session.Principal.Account.ID
	suspendAlice := func(status people.Status) {
		s.change(func(tx store.Tx) error {
			a, err := people.Accounts.Get(tx, s.owner.Principal.Account.ID)
			if err != nil {
				return err
			}
			a.Status = status
			return people.Accounts.Put(tx, &a)
		})
	}
	suspendAlice(people.StatusSuspended)
	s.entered("jane", nil)
	if a := s.account(id); a.Role != kaban.RoleOwner {
		t.Errorf("the last owner became a %s", a.Role)
	}
	suspendAlice(people.StatusActive)
	s.entered("jane", nil)
	if a := s.account(id); a.Role != kaban.RoleMember {
		t.Errorf("an owner by group stays a %s", a.Role)
	}
}

func TestGroupsGiveRooms(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.groups", "dev=#backend,ops=#backend,ops=#alerts")
	enter := func(groups ...any) (list []string) {
		t.Helper()
		for _, c := range s.entered("jane", map[string]any{"groups": groups}).Rooms {
			verb := "-"
			if c.Join {
				verb = "+"
			}
			list = append(list, verb+c.Room.String()+" "+c.Group)
		}
		return list
	}
	member := func(room, group string) {
		t.Helper()
		jane, err := s.Find(s.ctx, "jane")
		if err != nil {
			t.Fatal(err)
		}
		s.change(func(tx store.Tx) error {
			return people.Members.Put(tx, &people.Member{Room: room, Account: jane.ID, Group: group})
		})
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("the changes are %q, want %q", got, want)
		}
	}
	check(enter("dev", "ops"), "+backend dev", "+alerts ops")
	check(enter("dev", "ops"), "+backend dev", "+alerts ops") // nobody made them
	member("backend", "dev")
	member("alerts", "ops")
	member("lobby", "")
	check(enter("dev", "ops"))
	check(enter("ops")) // another group gives the room, too
	check(enter("dev"), "-alerts ops")
	member("alerts", "") // by an invitation, so no group takes it away
	check(enter(), "-backend dev")
}

func TestParseGroups(t *testing.T) {
	got, err := parseGroups(` admins=admin , cn=dev\,ou=x=#Backend,a\\b=guest,`)
	if err != nil || len(got) != 3 || got[0].group != "admins" || got[0].role != kaban.RoleAdmin ||
		got[1].group != "cn=dev,ou=x" || got[1].room.String() != "backend" || got[2].group != `a\b` {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"x", "=admin", "x=", "x=king", "x=#a b", strings.Repeat("g=member,", maxGroupGrants+1), strings.Repeat("g", maxClaimedGroup+1) + "=member"} {
		if _, err := parseGroups(bad); err == nil {
			t.Errorf("%.50q is accepted", bad)
		}
	}
}

func TestLinkByEmail(t *testing.T) {
	s := newSignOn(t)
	email := func(address string, verified any) map[string]any {
		return map[string]any{"email": address, "email_verified": verified}
	}
	id := func(subject string, claims map[string]any) string {
		t.Helper()
		return s.entered(subject, claims).Session.Principal.Account.ID
	}
	jane := id("jane", email("jane@example.org", true))
	move := func() { // to another provider with the same people
		s.fake = newFakeProvider(t, s.options.Now)
		s.set("oidc.issuer", s.fake.URL)
	}
	move()
	if id("jane", email("jane@example.org", true)) == jane {
		t.Error("linked by e-mail without the setting")
	}
	s.set("oidc.link_by_email", "true")
	bob := id("bob", email("Bob@Example.org", true))
	if again := id("bob2", email("bob@example.org", true)); again == bob {
		t.Error("an address that has a new holder at the same provider led to the account of the old one")
	}
	admin := id("root", email("root@example.org", true))
	s.change(func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, admin)
		a.Role = kaban.RoleAdmin
		return firstError(err, people.Accounts.Put(tx, &a))
	})
	move()
	if id("unverified", email("bob@example.org", false)) == bob {
		t.Error("linked by an address that is not verified")
	}
	if id("absent", map[string]any{"email": "bob@example.org"}) == bob {
		t.Error("linked by an address that nobody verified")
	}
	if id("admin", email("root@example.org", true)) == admin {
		t.Error("an address led to an admin")
	}
	if got := id("b-0-b", email("bob@example.org", "true")); got != bob {
		t.Error("a verified address led elsewhere")
	}
	s.set("oidc.link_by_email", "false")
	move()
	if id("b", email("bob@example.org", true)) == bob {
		t.Error("linked by e-mail after the setting was changed")
	}
}

func TestSubjectClaim(t *testing.T) {
	s := newSignOn(t)
	jane := s.entered("42", map[string]any{"oid": "7"}).Session.Principal.Account.ID
	s.set("oidc.subject_claim", "oid")
	s.fake.claims = map[string]any{"sub": "x", "oid": "42"}
	if _, err := s.enter(); !errors.Is(err, ErrSubjectClaim) {
		t.Errorf("a claim that somebody else's subject is the value of: %v", err)
	}
	for _, claims := range []map[string]any{{"sub": "x"}, {"sub": "x", "oid": 42}, {"sub": "", "oid": "8"}, {"oid": "8"}} {
		s.fake.claims = claims
		if _, err := s.enter(); !errors.Is(err, ErrAuthFailed) {
			t.Errorf("the claims %v: %v", claims, err)
		}
	}
	if err := s.LinkIdentity(s.ctx, Operator(), s.account(jane).Username, s.fake.URL, "7"); err != nil {
		t.Fatal(err)
	}
	if got := s.entered("42", map[string]any{"oid": "7"}).Session.Principal.Account.ID; got != jane {
		t.Error("the identity that was linked again leads elsewhere")
	}
}

// Whoever was removed does not come back by single sign-on, unless the operator says so.
func TestRemovedPeopleStayRemoved(t *testing.T) {
	for name, end := range map[string]func(s *signOn, username string) error{
		"removed": func(s *signOn, username string) error { return s.Remove(s.ctx, Operator(), username) },
		"erased":  func(s *signOn, username string) error { return s.Erase(s.ctx, Operator(), username) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSignOn(t)
			in := s.entered("42", map[string]any{"preferred_username": "zoe"}).Session
			s.must(end(s, in.Principal.Account.Username))
			if again, err := s.enter(); !errors.Is(err, ErrAuthFailed) {
				t.Fatalf("came back as %q: %v", again.Session.Principal.Account.Username, err)
			}
			eve := s.add(s.owner, "eve", kaban.RoleMember)
			s.must(s.LinkIdentity(s.ctx, Operator(), "eve", s.fake.URL, "42"))
			if got := s.entered("42", nil).Session.Principal.Account.ID; got != eve.Principal.Account.ID {
				t.Error("the operator cannot let somebody in again")
			}
		})
	}
}

func TestSessionsEndUnlessRenewed(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.max_age", "1d")
	browser := s.entered("jane", nil).Session
	works := func(secret string) bool {
		_, err := s.Authenticate(s.ctx, secret, "")
		if err != nil && !errors.Is(err, ErrExpired) {
			t.Error(err)
		}
		return err == nil
	}
	byHand := func() (Session, error) {
		return s.signIn(s.ctx, WayGrant, Device{}, func(c *change) (proof, error) {
			a, err := people.Accounts.Get(c.Tx, browser.Principal.Account.ID)
			return proof{account: a}, err
		})
	}
	s.pass(12 * time.Hour)
	terminal, err := byHand()
	if err != nil {
		t.Fatal(err)
	}
	s.pass(11 * time.Hour)
	s.change(func(tx store.Tx) error {
		return people.Secrets.Put(tx, &people.Secret{
			Hash: hashOf("elsewhere"), ID: "elsewhere", Account: browser.Principal.Account.ID, Kind: people.SecretDevice,
			Issuer: "https://elsewhere.example", Expires: s.now() + 1,
		})
	})
	s.entered("jane", nil) // renews both
	s.change(func(tx store.Tx) error {
		kept, err := people.Secrets.WithID(tx, "elsewhere")
		if kept.Expires != s.now()+1 {
			t.Error("a sign-in renewed a device that depends on another provider")
		}
		return err
	})
	s.pass(23 * time.Hour)
	if !works(browser.Secret) || !works(terminal.Secret) {
		t.Error("a renewed session has ended")
	}
	s.pass(time.Hour)
	if works(browser.Secret) || works(terminal.Secret) {
		t.Error("a session is older than oidc.max_age")
	}
	if _, err := byHand(); !errors.Is(err, ErrRenew) {
		t.Errorf("a new device without the provider: %v", err)
	}
	s.entered("jane", nil)
	if works(browser.Secret) {
		t.Error("a session that has ended came back")
	}
	s.must(s.SetPassword(s.ctx, s.entered("jane", nil).Session.Principal.As(""), bobPassword))
	if jane := s.signInAs(browser.Principal.Account.Username, bobPassword); jane.Principal.Expires == 0 {
		t.Error("a password of an account that the provider made does not depend on it")
	}
	if n := s.account(s.owner.Principal.Account.ID); n.Status != people.StatusActive {
		t.Error("the owner is gone")
	}
	if bob := s.signInAs("alice", alicePassword); bob.Principal.Expires != 0 {
		t.Error("a session of an account without single sign-on ends")
	}
}

// The provider of an account makes a stale sign-in fresh: after the person has signed in
// there again, with the identity that is linked, in the browser that asked.
func TestConfirmAtTheProvider(t *testing.T) {
	s := newSignOn(t)
	s.entered("eve", nil)
	jane := s.entered("jane", nil).Session.Principal.As("")
	s.pass(freshFor)
	confirm := func(finisher Actor, browser string) error {
		address, err := s.BeginConfirmation(s.ctx, jane, s.provider, s.browser, "", "/device")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(address, "prompt=login") || !strings.Contains(address, "max_age=0") {
			t.Errorf("the provider is not asked to sign in again: %s", address)
		}
		result, err := s.FinishProvider(s.ctx, finisher, s.provider, s.fake.visit(address, browser), Device{})
		if err == nil && (!result.Confirmed || result.Linked || result.Session.Secret != "" || result.Next != "/device") {
			t.Errorf("the result is %+v", result)
		}
		return err
	}
	isFresh := func() bool {
		now, err := s.Renew(s.ctx, jane.Principal)
		if err != nil {
			t.Fatal(err)
		}
		return s.Fresh(now)
	}
	wantError(t, "by nobody", confirm(Actor{}, s.browser), ErrCeremony)
	wantError(t, "by somebody else", confirm(s.owner, s.browser), ErrCeremony)
	wantError(t, "in another browser", confirm(jane, NewBrowser()), ErrCeremony)
	s.fake.with(func() { s.fake.claims["sub"] = "eve" })
	wantError(t, "as somebody else", confirm(jane, s.browser), ErrAuthFailed)
	s.fake.with(func() { s.fake.claims["sub"] = "jane" })
	var confirming *ConfirmationError
	if err := confirm(jane, NewBrowser()); errors.As(err, &confirming) {
		t.Error("a ticket that nobody has is of a confirmation")
	}
	s.fake.with(func() { s.fake.claims["sub"] = "eve" })
	if err := confirm(jane, s.browser); !errors.As(err, &confirming) || errors.Is(err, ErrUnproven) {
		t.Errorf("as somebody else: %v is no error of a confirmation, or that of a provider that shows no sign-in", err)
	}
	s.fake.with(func() { s.fake.claims["sub"] = "jane" })
	if isFresh() {
		t.Fatal("a refused confirmation made the sign-in fresh")
	}
	signedIn := func(when any) func() { return func() { s.fake.claims["auth_time"] = when } }
	now := s.options.Now()
	for _, refused := range []struct {
		name, advice string
		when         any // auth_time
	}{
		{"without auth_time", "has no auth_time", nil},
		{"at a time that is none", "has no auth_time", "now"},
		{"at no time", "has no auth_time", 0},
		{"at a time beyond all bounds", "has no auth_time", 1e300},
		{"before it was asked for", "prompt=login", now.Add(-maxSkew - time.Second).Unix()},
		{"yesterday", "prompt=login", now.Add(-24 * time.Hour).Unix()},
		{"in the future", "compare the clocks", now.Add(maxSkew + 2*time.Second).Unix()},
	} {
		s.fake.with(signedIn(refused.when))
		err := confirm(jane, s.browser)
		wantError(t, "signed in "+refused.name, err, ErrAuthFailed)
		if !errors.As(err, &confirming) || !errors.Is(err, ErrUnproven) {
			t.Errorf("signed in %s: the error %v is not ErrUnproven of a confirmation", refused.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), refused.advice) {
			t.Errorf("signed in %s: the error is %v", refused.name, err)
		}
	}
	if isFresh() {
		t.Fatal("a session at the provider made the sign-in fresh")
	}
	s.fake.with(signedIn(now.Add(-maxSkew + time.Second).Unix()))
	if err := confirm(jane, s.browser); err != nil || !isFresh() {
		t.Errorf("within the skew: %v", err)
	}
	s.pass(freshFor)
	s.fake.with(signedIn(s.options.Now().Unix()))
	if err := confirm(jane, s.browser); err != nil || !isFresh() {
		t.Errorf("the right person at the provider: %v", err)
	}
	if ways, err := s.Ways(s.ctx, jane, nil); err != nil || !slices.Equal(ways, []Way{WayOIDC}) {
		t.Errorf("the ways are %v, %v", ways, err)
	}
}

// A sign-in at the provider is as fresh as the provider says, because its session may be
// enough for it.
func TestSignInAtTheProviderIsAsFreshAsItSays(t *testing.T) {
	s := newSignOn(t)
	address, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "/")
	if err != nil || !strings.Contains(address, "max_age="+anyAge) {
		t.Errorf("the provider is not asked for auth_time: %s, %v", address, err)
	}
	now := s.options.Now()
	for _, c := range []struct {
		name  string
		when  any // auth_time
		fresh bool
	}{
		{"just now", now.Unix(), true},
		{"within the time", now.Add(-freshFor + 2*time.Second).Unix(), true},
		{"before it", now.Add(-freshFor - 2*time.Second).Unix(), false},
		{"yesterday", now.Add(-24 * time.Hour).Unix(), false},
		{"a little later", now.Add(maxSkew - 2*time.Second).Unix(), true},
		{"in the future", now.Add(maxSkew + 2*time.Second).Unix(), false},
		{"at no time", nil, false},
		{"at a time that is none", "now", false},
	} {
		got := s.entered("jane", map[string]any{"auth_time": c.when}).Session
		if s.Fresh(got.Principal) != c.fresh {
			t.Errorf("signed in %s: fresh is %v", c.name, !c.fresh)
		}
		again, err := s.Authenticate(s.ctx, got.Secret, "")
		if err != nil || s.Fresh(again) != c.fresh {
			t.Errorf("signed in %s, the next request: fresh is %v, %v", c.name, !c.fresh, err)
		}
	}
}

// A confirmation that a server before this one began is not known to be newer than the
// sign-in at the provider.
func TestConfirmationOfAnOlderServer(t *testing.T) {
	s := newSignOn(t)
	jane := s.entered("jane", nil).Session.Principal.As("")
	address, err := s.providerAddress(s.ctx, s.provider, s.browser, jane.Principal.Account.ID, providerTicket{Return: "/", Redirect: testRedirect, Confirm: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.FinishProvider(s.ctx, jane, s.provider, s.fake.visit(address, s.browser), Device{})
	wantError(t, "without when it was begun", err, ErrCeremony)
}

func TestLinkWhileSignedIn(t *testing.T) {
	s := newSignOn(t)
	bob := s.add(s.owner, "bob", kaban.RoleMember)
	link := func(by, finisher Actor) error {
		address, err := s.BeginLink(s.ctx, by, s.provider, s.browser, "", "/settings")
		if err != nil {
			return err
		}
		result, err := s.FinishProvider(s.ctx, finisher, s.provider, s.fake.visit(address, s.browser), Device{})
		if err == nil && (!result.Linked || result.Session.Secret != "" || result.Next != "/settings") {
			t.Errorf("the result is %+v", result)
		}
		return err
	}
	wantError(t, "finished by nobody", link(bob, Actor{}), ErrCeremony)
	wantError(t, "finished by somebody else", link(bob, s.owner), ErrCeremony)
	if err := link(bob, bob); err != nil {
		t.Fatal(err)
	}
	result, err := s.enter()
	if err != nil || result.Session.Principal.Account.ID != bob.Principal.Account.ID {
		t.Fatalf("signed in as %s: %v", result.Session.Principal.Account.Username, err)
	}
	wantError(t, "somebody else's identity", link(s.owner, s.owner), ErrIdentityTaken)
	if device := s.signInAs("bob", bobPassword); device.Principal.Expires != 0 {
		t.Error("a password of a linked account depends on the provider")
	}
	list, err := s.Identities(s.ctx, bob)
	if err != nil || len(list) != 1 || list[0].Subject != "248289761001" {
		t.Fatalf("%+v, %v", list, err)
	}
	wantError(t, "unlinking somebody else's", s.UnlinkIdentity(s.ctx, s.owner, nil, list[0].ID), ErrNotFound)
	if err := s.UnlinkIdentity(s.ctx, bob, nil, list[0].ID); err != nil {
		t.Fatal(err)
	}
	wantRow(t, s.Service, people.AuditIdentityUnlink, "bob")
	if _, err := s.Authenticate(s.ctx, result.Session.Secret, ""); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("a session of an identity that was unlinked: %v", err)
	}
	s.pass(freshFor)
	wantError(t, "no fresh sign-in", link(bob, bob), ErrNotFresh)
	other, err := s.enter()
	if err != nil || other.Session.Principal.Account.ID == bob.Principal.Account.ID {
		t.Errorf("an identity that was unlinked: %v", err)
	}
	only, err := s.Identities(s.ctx, other.Session.Principal.As(""))
	if err != nil || len(only) != 1 {
		t.Fatal(only, err)
	}
	wantError(t, "the last way in", s.UnlinkIdentity(s.ctx, other.Session.Principal.As(""), nil, only[0].ID), ErrLastWay)
}

func TestUserLink(t *testing.T) {
	s := newSignOn(t)
	bob := s.add(s.owner, "bob", kaban.RoleMember)
	eve := s.add(s.owner, "eve", kaban.RoleMember)
	err := s.LinkIdentity(s.ctx, eve, "bob", s.fake.URL, "1")
	if _, ok := errors.AsType[*RefusedError](err); !ok {
		t.Errorf("a member linked somebody: %v", err)
	}
	// It would be a way into the account that its owner does not notice.
	wantCode(t, "an owner linked somebody over the network", s.LinkIdentity(s.ctx, s.owner, "bob", s.fake.URL, "1"), "forbidden")
	wantCode(t, "an owner linked itself without signing in there", s.LinkIdentity(s.ctx, s.owner, s.owner.Principal.Account.Username, s.fake.URL, "1"), "forbidden")
	wantError(t, "linked nobody", s.LinkIdentity(s.ctx, Operator(), "nobody", s.fake.URL, "1"), ErrNotFound)
	for _, bad := range [][2]string{{"", "1"}, {"http://id.example.org", "1"}, {s.fake.URL, " "}, {s.fake.URL, strings.Repeat("x", 256)}} {
		if err := s.LinkIdentity(s.ctx, Operator(), "bob", bad[0], bad[1]); !isValueError(err) {
			t.Errorf("linked %q: %v", bad, err)
		}
	}
	if err := s.LinkIdentity(s.ctx, Operator(), "bob", s.fake.URL, "1"); err != nil {
		t.Fatal(err)
	}
	wantRow(t, s.Service, people.AuditIdentityLink, "bob")
	wantError(t, "the same for another", s.LinkIdentity(s.ctx, Operator(), "eve", s.fake.URL, "1"), ErrIdentityTaken)
	if got := s.entered("1", nil).Session.Principal.Account.ID; got != bob.Principal.Account.ID {
		t.Error("the identity leads elsewhere")
	}
	s.must(s.Suspend(s.ctx, s.owner, "bob", "x"))
	_, err = s.enter()
	wantError(t, "a suspended account", err, ErrSuspended)
}

func TestSingleSignOnThatMakesNoAccounts(t *testing.T) {
	s := newSignOn(t)
	s.set("oidc.create", "false")
	_, err := s.enter()
	wantError(t, "a new identity", err, ErrNotOpen)
}

func TestNamesOfNewAccounts(t *testing.T) {
	docs := memory.New(0)
	for _, c := range []struct{ claimed, want string }{
		{"jane@example.org", "jane"},
		{"jane", "jane-2"},
		{"JANE", "JANE-3"},
		{"jаne", "jаne-4"}, // with a Cyrillic letter
		{"Jörg Müller", "Jörg-Müller"},
		{"a/b\x00c", "a-b-c"},
		{"", "member"},
		{"@", "member-2"},
		{"...", "member-3"},
		{"💥", "member-4"},
		{strings.Repeat("x", 100), strings.Repeat("x", kaban.MaxUsername)},
		{strings.Repeat("x", 100), strings.Repeat("x", kaban.MaxUsername-2) + "-2"},
	} {
		update(t, docs, func(tx store.Tx) error {
			name, err := freeName(tx, c.claimed)
			if err != nil || name.String() != c.want {
				t.Errorf("%q becomes %q, want %q; %v", c.claimed, name, c.want, err)
			}
			return people.Accounts.Put(tx, &people.Account{ID: newID(), Username: name.String(), Role: kaban.RoleMember})
		})
	}
}

func TestAnyClaimBecomesAFreeName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		docs := memory.New(0)
		claims := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"ann", "Ann", "aпn", "admin", "system"})), 1, 8).Draw(t, "claims")
		err := docs.Update(t.Context(), func(tx store.Tx) error {
			for _, claimed := range claims {
				name, err := freeName(tx, claimed)
				if err != nil {
					return err
				}
				if alike, err := people.Accounts.Like(tx, name, 1); err != nil || len(alike) > 0 || kaban.IsReserved(name) {
					t.Fatalf("%q became %q, which is not free: %v", claimed, name, err)
				}
				if err := people.Accounts.Put(tx, &people.Account{ID: newID(), Username: name.String(), Role: kaban.RoleMember}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
