package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store/storetest"
)

// joinAs subscribes a device of an account.
func joinAs(t *testing.T, d *Dispatcher, r *reader, account string) *Subscription {
	t.Helper()
	place, err := d.Find(t.Context(), storetest.RoomName(t, "lobby"), Start{})
	if err != nil {
		t.Fatal(err)
	}
	peer := &kaban.Peer{Identity: kaban.Account("id-"+account, storetest.Username(t, account))}
	s, _, err := d.Join(r, r, plain, peer, place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Presence reports the first and the last subscription of a name, and an account stays
// a member without any.
func TestPresenceOfDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{})
		vic := newReader(t)
		v := join(t, d, vic, "lobby", "vic", Start{})
		r := v.Room()
		later := func(wanted ...string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			vic.given = nil
			vic.take(v, 1<<20)
			assertGiven(t, vic, wanted...)
		}
		later()
		d.SetAccounts(r, 2, 1)
		later("lobby presence 3 + -")
		phone := joinAs(t, d, newReader(t), "ann")
		later("lobby presence 3 +ann -")
		laptop := joinAs(t, d, newReader(t), "ann")
		later()
		d.Leave(phone)
		later()
		d.Leave(laptop)
		later("lobby presence 3 + -ann")
		d.SetAccounts(r, 1, 3)
		later("lobby presence 2 + -")
		d.SetAccounts(r, 2, 2) // older
		later()
		if r.Members() != 2 {
			t.Errorf("%d members, want 2", r.Members())
		}
		// A visitor that comes back before its old connection is gone.
		old := join(t, d, newReader(t), "lobby", "wim", Start{})
		later("lobby presence 3 +wim -")
		join(t, d, newReader(t), "lobby", "wim", Start{})
		d.Leave(old)
		later()
	})
}
