package account

import (
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

func TestBeforeTheClaimNobodyHasAnAccount(t *testing.T) {
	w := newWorld(t, nil)
	first, err := w.NewClaim(w.ctx)
	w.must(err)
	_, err = w.SignUp(w.ctx, NewAccount{Username: "bob", Password: bobPassword}, Device{})
	wantError(t, "sign up", err, ErrUnclaimed)
	_, _, err = w.AddAccount(w.ctx, Operator(), NewPerson{NewAccount{Username: "bob"}, 0})
	wantError(t, "user add", err, ErrUnclaimed)
	_, _, err = w.Invite(w.ctx, Operator(), NewInvite{})
	wantError(t, "invite add", err, ErrUnclaimed)
	_, err = w.MakeBot(w.ctx, Operator(), NewBot{Username: "robot"})
	wantError(t, "bot add", err, ErrUnclaimed)
	_, err = w.BeginGrant(w.ctx, Device{})
	wantError(t, "begin a grant", err, ErrUnclaimed)
	name, _ := kaban.ParseUsername("bob")
	if free, err := w.NameFree(w.ctx, name); err != nil || !free {
		t.Errorf("bob is free: %v, %v", free, err)
	}
	// Each start makes a new claim, and only the last one counts.
	second, err := w.NewClaim(w.ctx)
	w.must(err)
	_, err = w.ClaimServer(w.ctx, first, NewAccount{Username: "bob", Password: bobPassword}, "", Device{})
	wantError(t, "the claim of the start before", err, ErrAuthFailed)
	_, err = w.ClaimServer(w.ctx, second, NewAccount{Username: "bob", Password: "short"}, "", Device{})
	wantError(t, "with a weak password", err, ErrWeakPassword)
	_, err = w.ClaimServer(w.ctx, second, NewAccount{Username: "bob", Password: bobPassword}, "nobody", Device{})
	if _, ok := err.(interface{ Unwrap() error }); err == nil || !ok {
		t.Errorf("with a wrong setting: %v", err)
	}
	if ok, err := w.IsClaim(w.ctx, second); !ok || err != nil {
		t.Fatalf("failed attempts used the claim up: %v", err)
	}
	made, err := w.ClaimServer(w.ctx, second, NewAccount{Username: "bob"}, "signup", Device{})
	w.must(err)
	if p := made.Session.Principal; p.Role != kaban.RoleOwner || !w.Fresh(p) || len(made.RecoveryCodes) != recoveryCodes {
		t.Errorf("the owner is %+v", p)
	}
	settings, has, err := w.Settings(w.ctx)
	w.must(err)
	if !has || settings.Access != access.Registration {
		t.Errorf("access is %v, an owner: %v", settings.Access, has)
	}
	for _, secret := range []string{first, second} {
		_, err = w.ClaimServer(w.ctx, secret, NewAccount{Username: "mallory", Password: bobPassword}, "", Device{})
		wantError(t, "a second time", err, ErrClaimed)
	}
	_, err = w.NewClaim(w.ctx)
	wantError(t, "a new claim", err, ErrClaimed)
	rooms, err := w.pendingRooms(w.ctx, made.Session.Principal.Account.ID)
	w.must(err)
	if !slices.Equal(rooms, []string{kaban.Lobby}) {
		t.Errorf("the owner is to join %q", rooms)
	}
	if want := []string{"setting.set", "server.claim", "device.add", sameHour}; !sameRows(w.rows(Operator()), want) {
		t.Errorf("audit: %q", w.rows(Operator()))
	}
}

var sameHour = actionSignInFailed

// sameRows compares actions in any order: rows of one moment have random ids.
func sameRows(got, want []string) bool {
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	return slices.Equal(got, want)
}

func TestMakeOwner(t *testing.T) {
	w := newWorld(t, nil)
	secret, err := w.NewClaim(w.ctx)
	w.must(err)
	first, err := w.MakeOwner(w.ctx, "alice", alicePassword)
	w.must(err)
	if !first.First || !first.New || first.Link != "" || len(first.RecoveryCodes) != recoveryCodes {
		t.Errorf("the first owner: %+v", first)
	}
	if ok, _ := w.IsClaim(w.ctx, secret); ok {
		t.Error("the claim outlives the first owner")
	}
	if value, _ := w.Setting(w.ctx, SettingAccess); value != "invite" {
		t.Errorf("access is %q", value)
	}
	alice := w.signInAs("alice", alicePassword)
	bob := w.add(alice, "bob", kaban.RoleGuest)
	w.must(w.Suspend(w.ctx, alice, "bob", "lost the laptop"))
	again, err := w.MakeOwner(w.ctx, "BOB", "")
	w.must(err)
	if again.First || again.New || again.Account.Role != kaban.RoleOwner || again.Account.Status != people.StatusActive || len(again.RecoveryCodes) != 0 {
		t.Errorf("a locked out owner: %+v", again)
	}
	if _, err := w.Renew(w.ctx, bob.Principal); err != nil {
		t.Errorf("without a new password devices stay: %v", err)
	}
	session, err := w.SignInWithLink(w.ctx, again.Link, "a brand new secret", Device{})
	w.must(err)
	if session.Principal.Role != kaban.RoleOwner {
		t.Errorf("bob is %v", session.Principal.Role)
	}
	_, err = w.SignInWithLink(w.ctx, again.Link, "", Device{})
	wantError(t, "the link again", err, ErrExpired)
	_, err = w.MakeOwner(w.ctx, "bob", "yet another secret")
	w.must(err)
	_, err = w.Renew(w.ctx, session.Principal)
	wantError(t, "a device after the new password", err, ErrAuthFailed)
	w.bot(alice, "robot")
	_, err = w.MakeOwner(w.ctx, "robot", "")
	wantError(t, "a bot", err, ErrNameTaken)
}

func TestInvites(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.room("news", kaban.RoomPublic)
	w.room("help", kaban.RoomPublic)
	w.must(w.Set(w.ctx, alice, SettingAutoJoin, "news, #Help"))
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.room("dev", kaban.RoomPublic)
	_, link, err := w.Invite(w.ctx, bob, NewInvite{Rooms: []string{"dev", "dev"}, Uses: 2})
	w.must(err)
	w.kept(link)
	info, err := w.Link(w.ctx, link)
	w.must(err)
	if info.Creator != "bob" || info.Uses != 2 || info.Username != "" || !slices.Equal(info.Rooms, []string{"dev"}) {
		t.Errorf("the link is %+v", info)
	}
	session, err := w.AcceptInvite(w.ctx, link, NewAccount{Username: "carol", Name: "Carol C.", Password: bobPassword}, Device{})
	w.must(err)
	carol := session.Principal
	if carol.Account.Creator != bob.Principal.Account.ID || carol.Role != kaban.RoleMember || carol.Account.Name != "Carol C." {
		t.Errorf("carol is %+v", carol)
	}
	rooms, err := w.pendingRooms(w.ctx, carol.Account.ID)
	w.must(err)
	if want := []string{"lobby", "news", "help", "dev"}; !slices.Equal(rooms, want) {
		t.Errorf("carol is to join %q, want %q", rooms, want)
	}
	w.must(w.roomsJoined(w.ctx, carol.Account.ID))
	if rooms, _ := w.pendingRooms(w.ctx, carol.Account.ID); len(rooms) != 0 {
		t.Errorf("carol is still to join %q", rooms)
	}
	for name, want := range map[string]error{"alice": ErrNameTaken, "aIice": ErrNameTaken, "аlice": ErrNameTaken, "server": ErrNameReserved} {
		_, err = w.AcceptInvite(w.ctx, link, NewAccount{Username: name, Password: bobPassword}, Device{})
		wantError(t, name, err, want)
	}
	_, _, err = w.Invite(w.ctx, bob, NewInvite{Role: kaban.RoleGuest})
	wantCode(t, "a member invites a guest", err, "forbidden")
	_, guestLink, err := w.Invite(w.ctx, alice, NewInvite{Role: kaban.RoleGuest, Rooms: []string{"dev"}})
	w.must(err)
	guest, err := w.AcceptInvite(w.ctx, guestLink, NewAccount{Username: "gustav"}, Device{})
	w.must(err)
	rooms, err = w.pendingRooms(w.ctx, guest.Principal.Account.ID)
	w.must(err)
	if !slices.Equal(rooms, []string{"dev"}) || guest.Principal.Role != kaban.RoleGuest {
		t.Errorf("the guest is to join %q", rooms)
	}
	w.setAccess(alice, "closed")
	_, err = w.AcceptInvite(w.ctx, link, NewAccount{Username: "dave"}, Device{})
	wantError(t, "when closed", err, ErrNotOpen)
	w.setAccess(alice, "invite")
	infos, err := w.Invites(w.ctx, session.Principal.As(""))
	if err != nil || len(infos) != 0 {
		t.Errorf("carol sees %+v, %v", infos, err)
	}
	wantError(t, "carol revokes bob's", w.RevokeInvite(w.ctx, session.Principal.As(""), info.ID), ErrNotFound)
	w.must(w.RevokeInvite(w.ctx, alice, info.ID))
	_, err = w.AcceptInvite(w.ctx, link, NewAccount{Username: "dave"}, Device{})
	wantError(t, "when revoked", err, ErrExpired)
	_, link, err = w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	w.pass(inviteFor)
	_, err = w.AcceptInvite(w.ctx, link, NewAccount{Username: "dave"}, Device{})
	wantError(t, "after a week", err, ErrExpired)
	_, err = w.SignUp(w.ctx, NewAccount{Username: "dave", Password: bobPassword}, Device{})
	wantError(t, "sign up beside access", err, ErrNotOpen)
}

// A link into an account makes no account, and an invite signs in to none.
func TestLinksAreOfTwoKinds(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	_, link, err := w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "bob"}, kaban.RoleGuest})
	w.must(err)
	_, err = w.AcceptInvite(w.ctx, link, NewAccount{Username: "mallory"}, Device{})
	wantError(t, "an account from a link", err, ErrExpired)
	_, invite, err := w.Invite(w.ctx, alice, NewInvite{})
	w.must(err)
	_, err = w.SignInWithLink(w.ctx, invite, "", Device{})
	wantError(t, "a sign-in with an invite", err, ErrExpired)
	session, err := w.SignInWithLink(w.ctx, link, "", Device{})
	w.must(err)
	if a := session.Principal.Account; a.Username != "bob" || a.Status != people.StatusActive || session.Principal.Role != kaban.RoleGuest {
		t.Errorf("bob is %+v", a)
	}
	if strings.Contains(w.everything(), link) {
		t.Error("the link is stored in the clear")
	}
}

func TestNameFree(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	w.add(alice, "bob", kaban.RoleMember)
	w.must(w.Remove(w.ctx, alice, "bob"))
	for name, want := range map[string]bool{"bob": false, "BOB": false, "aIice": false, "carol": true} {
		username, err := kaban.ParseUsername(name)
		w.must(err)
		if free, err := w.NameFree(w.ctx, username); free != want || err != nil {
			t.Errorf("%s is free: %v, %v", name, free, err)
		}
	}
}
