package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// between runs a function once, before the next transaction that writes: after
// everything that a call checked outside it.
type between struct {
	store.Documents
	run func()
}

func (b *between) Update(ctx context.Context, run func(store.Tx) error) error {
	if first := b.run; first != nil {
		b.run = nil
		first()
	}
	return b.Documents.Update(ctx, run)
}

func TestWhatChangesBetweenCheckAndCommit(t *testing.T) {
	w := newWorld(t, nil)
	gap := &between{Documents: w.documents}
	w.documents = gap
	claim, err := w.NewClaim(w.ctx)
	w.must(err)
	gap.run = func() { _, err := w.NewClaim(w.ctx); w.must(err) }
	_, err = w.ClaimServer(w.ctx, claim, NewAccount{Username: "mallory", Password: bobPassword}, "", Device{})
	wantError(t, "with a claim that was replaced", err, ErrClaimed)
	alice := w.claim()
	gap.run = func() { w.must(w.SetPassword(w.ctx, alice, "a new passphrase")) }
	_, err = w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{})
	wantError(t, "with a password that was changed", err, ErrAuthFailed)
	w.setAccess(alice, "signup")
	gap.run = func() { w.setAccess(alice, "closed") }
	_, err = w.SignUp(w.ctx, NewAccount{Username: "bob", Password: bobPassword}, Device{})
	wantError(t, "when sign-ups were closed", err, ErrNotOpen)
	bob := w.add(alice, "bob", kaban.RoleAdmin)
	gap.run = func() { w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleMember)) }
	_, _, err = w.AddAccount(w.ctx, bob, NewPerson{NewAccount{Username: "carol", Password: bobPassword}, 0})
	wantCode(t, "by an admin that was demoted", err, "forbidden")
	gap.run = func() { w.must(w.Suspend(w.ctx, alice, "bob", "")) }
	_, err = w.SignInWithPassword(w.ctx, "bob", bobPassword, Device{})
	wantError(t, "as somebody that was suspended", err, ErrSuspended)
}

// The rights of an actor are those of now, not those of its sign-in.
func TestStaleActor(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleAdmin)
	w.must(w.Set(w.ctx, alice, SettingAccess, "invite"))
	info, _, err := w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	if infos, err := w.Invites(w.ctx, bob); err != nil || len(infos) != 1 {
		t.Errorf("an admin sees %+v, %v", infos, err)
	}
	w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleMember))
	if infos, err := w.Invites(w.ctx, bob); err != nil || len(infos) != 0 {
		t.Errorf("a former admin sees %+v, %v", infos, err)
	}
	wantError(t, "a former admin revokes", w.RevokeInvite(w.ctx, bob, info.ID), ErrNotFound)
	w.must(w.SetName(w.ctx, alice, "bob", "Robert"))
	w.must(w.SetName(w.ctx, bob, "", "Bob"))
	if a, _ := w.Find(w.ctx, "bob"); a.Role != kaban.RoleMember || a.Name != "Bob" {
		t.Errorf("writing the name brought back %+v", a)
	}
}

// Nothing that a removed account signed in with stays.
func TestRemovedAccountLeavesNoSecrets(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	_, err := w.NewRecoveryCodes(w.ctx, bob)
	w.must(err)
	_, _, err = w.MakeToken(w.ctx, bob, NewToken{Name: "ci"})
	w.must(err)
	w.must(w.Remove(w.ctx, alice, "bob"))
	for _, table := range []string{"secret", "credential", "invite"} {
		for line := range strings.Lines(w.everything()) {
			if strings.HasPrefix(line, table) && strings.Contains(line, bob.Principal.Account.ID) {
				t.Errorf("left: %s", line)
			}
		}
	}
	_, _, err = w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "bob"}, 0})
	wantError(t, "the name again", err, ErrNameTaken)
}

func TestHooks(t *testing.T) {
	w := newWorld(t, nil)
	var changed, settings []string
	w.options.OnChanged = func(account string) { changed = append(changed, account) }
	w.options.OnSettings = func(key string) { settings = append(settings, key) }
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.bot(bob, "robot")
	robot, err := w.Find(w.ctx, "robot")
	w.must(err)
	changed = nil
	w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleGuest))
	wantCode(t, "refused", w.SetRole(w.ctx, bob, "alice", kaban.RoleGuest), "forbidden")
	slices.Sort(changed)
	if want := slices.Sorted(slices.Values([]string{bob.Principal.Account.ID, robot.ID})); !slices.Equal(changed, want) {
		t.Errorf("changed: %q, want %q", changed, want)
	}
	if !slices.Equal(settings, []string{SettingAccess}) {
		t.Errorf("settings: %q", settings)
	}
}

// A program must not go around a suspension, and only the operator's is the first to use
// an account. The account stays as it is.
func TestProgramsOfAccountsThatAreNotInUse(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, _, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "amy"}, 0})
	w.must(err)
	w.add(alice, "sam", kaban.RoleMember)
	w.must(w.Suspend(w.ctx, alice, "sam", ""))
	_, err = w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot"})
	w.must(err)
	_, made := w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot2", Owner: "sam"})
	_, _, given := w.MakeToken(w.ctx, Operator(), NewToken{Username: "sam", Name: "ci"})
	for what, refused := range map[string]struct {
		err      error
		username string
	}{
		"a bot":                      {made, "sam"},
		"a token":                    {given, "sam"},
		"somebody's bot by an admin": {w.GiveBot(w.ctx, alice, "robot", "sam"), "sam"},
		"somebody's bot":             {w.GiveBot(w.ctx, Operator(), "robot", "sam"), "sam"},
		"a bot before a sign-in":     {w.GiveBot(w.ctx, alice, "robot", "amy"), "amy"},
	} {
		if state, ok := errors.AsType[*StateError](refused.err); !ok || state.Username != refused.username {
			t.Errorf("%s of %s: %v", what, refused.username, refused.err)
		}
	}
	for username, status := range map[string]people.Status{"amy": people.StatusUnclaimed, "sam": people.StatusSuspended} {
		if a, err := w.Find(w.ctx, username); err != nil || a.Status != status {
			t.Errorf("%s is %s, %v", username, a.Status, err)
		}
		if tokens, err := w.Tokens(w.ctx, Operator(), username); err != nil || len(tokens) > 0 {
			t.Errorf("tokens of %s: %v, %v", username, tokens, err)
		}
	}
	_, err = w.Find(w.ctx, "robot2")
	wantError(t, "the bot", err, ErrNotFound)
	state, ok := errors.AsType[*StateError](w.Restore(w.ctx, alice, "amy"))
	if !ok || state.Error() != "amy is not suspended" {
		t.Errorf("restore: %v", state)
	}
}

func TestOperatorsBots(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	a, err := w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot"})
	w.must(err)
	if a.Owner != alice.Principal.Account.ID || a.Role != kaban.RoleMember {
		t.Errorf("the bot of the only owner is %+v", a)
	}
	bob := w.add(alice, "bob", kaban.RoleOwner)
	if _, err = w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot2"}); err == nil {
		t.Error("the bot of one of two owners")
	}
	_, err = w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot2", Owner: "bob"})
	w.must(err)
	_, err = w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot3", Owner: "robot"})
	wantError(t, "the bot of a bot", err, ErrNotFound)
	bots, err := w.Bots(w.ctx, bob, "")
	if err != nil || len(bots) != 1 || bots[0].Username != "robot2" {
		t.Errorf("bob's bots: %+v, %v", bots, err)
	}
	bots, err = w.Bots(w.ctx, bob, "alice")
	if err != nil || len(bots) != 1 || bots[0].Username != "robot" {
		t.Errorf("alice's bots: %+v, %v", bots, err)
	}
	carol := w.add(alice, "carol", kaban.RoleMember)
	_, err = w.Bots(w.ctx, carol, "alice")
	wantCode(t, "bots of others for a member", err, "forbidden")
}

func TestRemovePassword(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	wantError(t, "the last way", w.RemovePassword(w.ctx, alice), ErrLastWay)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		return people.Credentials.Put(tx, &people.Credential{Kind: people.CredentialPasskey, ID: "key", Account: alice.Principal.Account.ID, Data: []byte("{}")})
	}))
	w.must(w.RemovePassword(w.ctx, alice))
	wantRow(t, w.Service, people.AuditPasswordRemove, "alice")
	_, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{})
	wantError(t, "without a password", err, ErrAuthFailed)
	wantError(t, "a second time", w.RemovePassword(w.ctx, alice), ErrNotFound)
}

func TestExpiredInvitesMakeRoom(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	for range maxAdminsOwn {
		_, _, err := w.Invite(w.ctx, alice, NewInvite{Expires: time.Hour})
		w.must(err)
	}
	_, _, err := w.Invite(w.ctx, alice, NewInvite{})
	wantError(t, "one too many", err, ErrTooMany)
	w.pass(time.Hour)
	w.must(w.Confirm(w.ctx, alice, alicePassword))
	_, _, err = w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	for i, n := range []NewInvite{{Uses: -1}, {Uses: maxInviteUses + 1}, {Expires: time.Second}, {Expires: maxInviteAge + 1}, {Role: kaban.RoleAdmin}, {Rooms: []string{"not a room!"}}, {Rooms: make([]string, maxInviteRooms+1)}} {
		if _, _, err := w.Invite(w.ctx, alice, n); err == nil {
			t.Errorf("invite %d is accepted", i)
		}
	}
}

// A placeholder of a name that spoke before becomes the first owner.
func TestPlaceholderBecomesOwner(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: newID(), Username: "alice", Role: kaban.RoleMember, Status: people.StatusUnclaimed})
	}))
	claim, err := w.NewClaim(w.ctx)
	w.must(err)
	made, err := w.MakeOwner(w.ctx, "alice", alicePassword)
	w.must(err)
	if !made.First || made.New || made.Account.Role != kaban.RoleOwner || made.Account.Status != people.StatusActive {
		t.Errorf("made %+v", made)
	}
	if ok, _ := w.IsClaim(w.ctx, claim); ok {
		t.Error("the claim stays")
	}
	if value, _ := w.Setting(w.ctx, SettingAccess); value != "invite" {
		t.Errorf("access is %q", value)
	}
	rooms, err := w.pendingRooms(w.ctx, made.Account.ID)
	if err != nil || !slices.Equal(rooms, []string{kaban.Lobby}) {
		t.Errorf("rooms %q, %v", rooms, err)
	}
	w.signInAs("alice", alicePassword)
}

func TestErrorsAreReadable(t *testing.T) {
	for _, err := range []error{&RefusedError{1, 3}, &WaitError{90 * time.Second}, &ValueError{"role", "unknown"}, &UnknownSettingError{"a", "b"}, &WeakPasswordError{"short"}} {
		if s := fmt.Sprint(err); s == "" || strings.Contains(s, "%!") {
			t.Errorf("%T: %q", err, s)
		}
	}
}
