package chat

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// newMissing returns a server that has missed what is done to the documents of its store, and hears that it has.
func newMissing(t *testing.T) (w *following, miss func(run func(store.Tx) error)) {
	t.Helper()
	s := memory.New(0)
	w = newFollowing(t, s)
	return w, func(run func(store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever has changed takes effect on a server that has missed the news of it.
func TestWhatWasMissed(t *testing.T) {
	w, miss := newMissing(t)
	w.other.create("ann", "hall", kaban.RoomPublic)
	w.other.create("ann", "open", kaban.RoomPublic)
	w.other.create("ann", "closed", kaban.RoomPrivate)
	w.look()
	miss(func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Bot: true, Owner: "id-adam", Role: kaban.RoleMember, Status: people.StatusActive})
	})
	robo := new(guest)
	w.chat.Enter(new(Session), robo, kaban.Bot("id-robo", storetest.Username(t, "robo")), w.user("robo").peer.Address, &Credential{ID: "token"})
	ann, bob, cat, mia, max := w.enter("ann", "watch"), w.enter("bob", "phone"), w.enter("cat", "tablet"), w.visit("mia"), w.visit("max")
	want(t, "ann joins", joins(w.town, "ann", "hall"), nil)
	guests, _, err := w.user("gus").Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, "hall"), Start{})
	if err == nil {
		t.Fatal("a guest reads a room", guests)
	}
	watching, _, err := w.user("cat").Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, "hall"), Start{})
	if err != nil {
		t.Fatal(err)
	}
	ann.take()
	miss(func(tx store.Tx) error {
		account := func(name string, change func(*people.Account)) error {
			a, err := people.Accounts.Get(tx, "id-"+name)
			if err != nil && !errors.Is(err, people.ErrNotFound) {
				return err
			}
			change(&a)
			return people.Accounts.Put(tx, &a)
		}
		room := func(name string, kind kaban.RoomKind) error {
			r, err := people.Rooms.Get(tx, name)
			if err != nil {
				return err
			}
			r.Kind = kind
			return people.Rooms.Put(tx, &r)
		}
		return errors.Join(
			account("bob", func(a *people.Account) { a.Status = people.StatusSuspended }),
			account("adam", func(a *people.Account) { a.Status = people.StatusSuspended }),
			account("cat", func(a *people.Account) { a.Role = kaban.RoleGuest }),
			account("mia", func(a *people.Account) {
				*a = people.Account{ID: "id-mia", Username: "Mia", Role: kaban.RoleMember, Status: people.StatusActive}
			}),
			room("open", kaban.RoomPrivate), room("closed", kaban.RoomPublic),
		)
	})
	w.chat.follower.all = true
	w.look()
	for name, is := range map[string]bool{
		"the connection of a suspended account": bob.revoked.Load(), "that of its bot": robo.revoked.Load(),
		"that of a visitor with the name of an account": mia.revoked.Load(),
	} {
		if !is {
			t.Error(name, "goes on")
		}
	}
	if ann.revoked.Load() || cat.revoked.Load() || max.revoked.Load() {
		t.Error("another connection ends")
	}
	if _, why := w.drain(watching); why != reasonGone {
		t.Errorf("a guest reads on: %q", why)
	}
	if told := ann.take(); !slices.Contains(told, "hall") || !slices.Contains(told, "") {
		t.Errorf("ann is told of %q", told)
	}
	max2 := w.visitor("max", w.user("robo").peer.Address)
	if w.lists(max2, "open") || !w.lists(max2, "closed") {
		t.Error("the list of rooms is not that of the documents")
	}
}

// What a server does that has missed news does not grow with the people that are connected times the
// rooms in use.
func TestWhatIsMissedCosts(t *testing.T) {
	const connected, rooms = 40, 30
	w, _ := newMissing(t)
	for i := range rooms {
		w.other.create("ann", fmt.Sprint("room-", i), kaban.RoomPublic)
	}
	w.look()
	for i := range rooms {
		want(t, "ann joins", joins(w.town, "ann", fmt.Sprint("room-", i)), nil)
	}
	for i := range connected {
		w.visit(fmt.Sprint("visitor", i))
		for _, name := range []string{"ann", "bob", "cat", "gus"} {
			w.enter(name, fmt.Sprint("phone", i))
		}
	}
	w.look()
	w.views.Store(0)
	before := w.chat.dispatcher.Generation()
	w.chat.follower.all = true
	w.look()
	if n := w.chat.dispatcher.Generation() - before; n != 1 {
		t.Errorf("the settings are read %d times", n)
	}
	if got := w.views.Load(); got > rooms+15 {
		t.Errorf("%d transactions", got)
	}
}

// Whichever read fails with an error that says nothing of what the store has, nobody is sent away, and everything takes
// effect with the next look.
func TestAnErrorIsNoDamage(t *testing.T) {
	for _, all := range []bool{false, true} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprintf("everything may have changed: %v, once: %v", all, once), func(t *testing.T) {
				for n := int32(1); failsAt(t, n, all, once); n++ {
				}
			})
		}
	}
}

// failsAt has a read fail during a look, and those behind it unless it is once, and reports whether there was one.
func failsAt(t *testing.T, n int32, all, once bool) bool {
	t.Helper()
	w, change := newMissing(t)
	if !all {
		change = w.other.update
	}
	w.other.create("ann", "hall", kaban.RoomPublic)
	w.other.create("ann", "open", kaban.RoomPublic)
	w.other.create("ann", "closed", kaban.RoomPrivate)
	w.other.update(func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Bot: true, Owner: "id-bob", Role: kaban.RoleMember, Status: people.StatusActive})
	})
	w.look()
	ann, bob, mia := w.enter("ann", "watch"), w.enter("bob", "phone"), w.visit("mia")
	robo := new(guest)
	w.chat.Enter(new(Session), robo, kaban.Bot("id-robo", storetest.Username(t, "robo")), w.user("robo").peer.Address, &Credential{ID: "token"})
	hall := storetest.RoomName(t, "hall")
	stays, _, err := w.user("ann").Watch(t.Context(), reader{}, plain{}, hall, Start{})
	if err != nil {
		t.Fatal(err)
	}
	goes, _, err := w.user("cat").Watch(t.Context(), reader{}, plain{}, hall, Start{})
	if err != nil {
		t.Fatal(err)
	}
	w.look()
	change(func(tx store.Tx) error {
		for name, change := range map[string]func(*people.Account){
			"ann": func(a *people.Account) { a.Name = "Ann" },
			"bob": suspend,
			"cat": func(a *people.Account) { a.Role = kaban.RoleGuest },
		} {
			a, err := people.Accounts.Get(tx, "id-"+name)
			if err != nil {
				return err
			}
			change(&a)
			if err := people.Accounts.Put(tx, &a); err != nil {
				return err
			}
		}
		for name, kind := range map[string]kaban.RoomKind{"open": kaban.RoomPrivate, "closed": kaban.RoomPublic, "hall": kaban.RoomPublic} {
			r, err := people.Rooms.Get(tx, name)
			if err != nil {
				return err
			}
			r.Kind = kind
			if err := people.Rooms.Put(tx, &r); err != nil {
				return err
			}
		}
		m, err := people.Members.Get(tx, "hall", "id-ann")
		m.Notify = kaban.NotifyNone
		return errors.Join(err, people.Members.Put(tx, &m),
			people.Pushes.Put(tx, &people.Push{ID: "push", Account: "id-ann", Endpoint: "https://push.example.org/1"}),
			people.Settings.Put(tx, &people.Setting{Key: "title", Value: "x"}))
	})
	ann.take()
	w.chat.follower.all = all
	w.views.Store(0)
	w.recover.Store(once)
	w.fails.Store(n)
	failed := w.chat.follower.look(t.Context())
	if failed != nil && !errors.Is(failed, errNoClass) && !errors.Is(failed, store.ErrUnavailable) {
		t.Fatal(failed)
	}
	reached := w.views.Load() >= n
	w.fails.Store(0)
	if ann.revoked.Load() || mia.revoked.Load() || !w.chat.TakesVisitors() || !w.lists(w.user("adam"), "hall") {
		t.Errorf("somebody is sent away, or a room is not listed, when read %d fails", n)
	}
	w.look()
	if ann.revoked.Load() || mia.revoked.Load() {
		t.Errorf("somebody is sent away after read %d has failed", n)
	}
	if _, why := w.drain(stays); why != "" {
		t.Errorf("somebody leaves a room after read %d has failed: %s", n, why)
	}
	if !bob.revoked.Load() || !robo.revoked.Load() {
		t.Errorf("the connections of a suspended account go on after read %d has failed", n)
	}
	if _, why := w.drain(goes); why != reasonGone {
		t.Errorf("a guest reads on after read %d has failed: %q", n, why)
	}
	if told := ann.take(); !slices.Contains(told, "hall") {
		t.Errorf("ann is told of %q after read %d has failed", told, n)
	}
	if u := w.user("adam"); w.lists(u, "open") || !w.lists(u, "closed") {
		t.Errorf("the list of rooms is old after read %d has failed", n)
	}
	if _, known := w.chat.pushes.accounts()["id-ann"]; !known {
		t.Errorf("a push is not known after read %d has failed", n)
	}
	return reached
}

// An error that stays, of a store that answers, counts as damage after a while. One of a store that does not answer
// never does.
func TestAnErrorThatStays(t *testing.T) {
	for _, c := range []struct {
		name    string
		period  time.Duration
		revoked bool
	}{{"at first", maxFailing - 1, false}, {"later", maxFailing, true}} {
		w, _ := newMissing(t)
		w.look()
		bob := w.enter("bob", "phone")
		f := w.chat.follower
		w.chat.elapsed = func() time.Duration { return 0 }
		f.note(errNoClass)
		since := time.Duration(f.since.Load())
		w.chat.elapsed = func() time.Duration { return since + c.period }
		w.other.update(func(tx store.Tx) error {
			a, err := people.Accounts.Get(tx, "id-bob")
			suspend(&a)
			return errors.Join(err, people.Accounts.Put(tx, &a))
		})
		w.views.Store(0)
		w.recover.Store(false)
		w.fails.Store(2) // behind that of the news
		f.look(t.Context())
		if w.views.Load() < 2 {
			t.Fatalf("%s: nothing has failed", c.name)
		}
		if got := bob.revoked.Load(); got != c.revoked {
			t.Errorf("%s: the connection of a suspended account is ended: %v, want %v", c.name, got, c.revoked)
		}
		if w.chat.passing(store.ErrUnavailable) == nil {
			t.Errorf("%s: a database that does not answer counts as damage", c.name)
		}
		f.note(nil)
		if w.chat.passing(errNoClass) == nil {
			t.Errorf("%s: an error counts as damage after a look that has not failed", c.name)
		}
	}
}

// Accounts that were erased are looked for again after an error that says nothing of what the store has.
func TestErasedIsLookedForAgain(t *testing.T) {
	w, miss := newMissing(t)
	miss(func(tx store.Tx) error { return people.Erasures.Put(tx, &people.Erasure{Account: "id-dan", Done: 1}) })
	w.fails.Store(w.views.Load() + 1)
	if err := w.chat.erasedMissed(t.Context()); !errors.Is(err, errNoClass) {
		t.Errorf("while the store fails: %v", err)
	}
	w.fails.Store(0)
	want(t, "look again", w.chat.erasedMissed(t.Context()), nil)
}
