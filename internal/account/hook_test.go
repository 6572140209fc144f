package account

import (
	"errors"
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Nobody takes all hooks of the server: each account and each room has a limit, and members
// leave some to admins.
func TestHooksAreShared(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	n := 0
	make := func(by Actor, room string) error {
		n++
		return w.documents.Update(w.ctx, func(tx store.Tx) error {
			return w.KeepHook(tx, by, &people.Hook{Hash: fmt.Sprint("hash", n), ID: fmt.Sprint("id", n), Room: room, Username: "webhook"})
		})
	}
	bob := w.add(alice, "bob", kaban.RoleMember)
	for i := range maxOwnHooks {
		w.must(make(bob, fmt.Sprint("room", i)))
	}
	wantError(t, "one more of an account", make(bob, "other"), ErrTooMany)
	for range maxRoomHooks - 1 {
		w.must(make(Operator(), "room0"))
	}
	wantError(t, "one more in a room", make(alice, "room0"), ErrTooMany)
	w.must(make(alice, "room1"))
	w.must(make(Operator(), "room0"))
	var others Actor
	for i := n - 2; i < maxMembersHooks; i++ {
		if i%maxOwnHooks == 0 || others.Address == "" {
			others = w.add(alice, fmt.Sprint("member", i), kaban.RoleMember)
		}
		if err := make(others, fmt.Sprint("room", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	carol := w.add(alice, "carol", kaban.RoleMember)
	wantError(t, "one more of members", make(carol, "carols"), ErrTooMany)
	w.must(make(alice, "alices"))
	var err error
	for err == nil && n < 2*people.MaxHooks {
		err = make(Operator(), "operators")
	}
	if !errors.Is(err, ErrTooMany) {
		t.Errorf("after %d: %v", n, err)
	}
}

// A damaged hook keeps nobody from being removed, and no other from being made.
func TestBesideADamagedHook(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return tx.Put(store.Key("hook", "damaged"), []byte("{")) }))
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		return w.KeepHook(tx, bob, &people.Hook{Hash: "hash", ID: "id", Room: "room", Username: "webhook"})
	}))
	w.must(w.Remove(w.ctx, alice, "bob"))
}
