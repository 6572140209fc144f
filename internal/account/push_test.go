package account

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// subscribe has a browser of an actor's device notified.
func (w *world) subscribe(by Actor, id string) PushInfo {
	w.t.Helper()
	p, err := w.Subscribe(w.ctx, by, people.Push{ID: id, Endpoint: "https://push.example/" + id, P256DH: "key " + id, Auth: "auth " + id})
	w.must(err)
	return p
}

// subscriptions returns the ids of all subscriptions that are stored.
func (w *world) subscriptions() (ids []string) {
	w.t.Helper()
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		ids = nil
		return people.Pushes.All(tx, func(p *people.Push) bool { ids = append(ids, p.ID); return true })
	}))
	slices.Sort(ids)
	return ids
}

// A subscription ends with its device, however that ends, and with the account.
func TestPushesEnd(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(w *world, alice, bob Actor) error
		left string
	}{
		"the device signs out":   {func(w *world, _, bob Actor) error { return w.RevokeDevice(w.ctx, bob, bob.Principal.SecretID) }, "alice bob2"},
		"all other devices":      {func(w *world, _, bob Actor) error { return w.RevokeOtherDevices(w.ctx, bob) }, "alice bob"},
		"the person ends it":     {func(w *world, _, bob Actor) error { return w.Unsubscribe(w.ctx, bob, "bob2") }, "alice bob"},
		"the push service":       {func(w *world, _, bob Actor) error { return w.DropPush(w.ctx, bob.Principal.Account.ID, "bob2") }, "alice bob"},
		"not that of another":    {func(w *world, alice, _ Actor) error { return w.DropPush(w.ctx, alice.Principal.Account.ID, "bob2") }, "alice bob bob2"},
		"the account suspended":  {func(w *world, alice, _ Actor) error { return w.Suspend(w.ctx, alice, "bob", "") }, "alice"},
		"the account removed":    {func(w *world, alice, _ Actor) error { return w.Remove(w.ctx, alice, "bob") }, "alice"},
		"the account erased":     {func(w *world, alice, _ Actor) error { return w.Erase(w.ctx, alice, "bob") }, "alice"},
		"the account is reset":   {func(w *world, alice, _ Actor) error { _, err := w.Reset(w.ctx, alice, "bob"); return err }, "alice"},
		"more devices than fit":  {func(w *world, _, _ Actor) error { return w.fillDevices("bob") }, "alice"},
		"the device has expired": {func(w *world, alice, bob Actor) error { return w.expireDevice(alice, bob) }, "alice bob2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := w.claim()
			bob := w.add(alice, "bob", kaban.RoleMember)
			w.pass(time.Minute)
			second := w.signInAs("bob", bobPassword)
			w.subscribe(alice, "alice")
			w.subscribe(bob, "bob")
			w.subscribe(second, "bob2")
			w.must(end.do(w, alice, bob))
			if got := strings.Join(w.subscriptions(), " "); got != end.left {
				t.Errorf("left are %q, want %q", got, end.left)
			}
			if got := w.everything(); strings.Contains(end.left, "bob") != strings.Contains(got, "push.example/bob") {
				t.Errorf("an endpoint is left: %s", got)
			}
		})
	}
}

// fillDevices signs in so often that the first devices of an account end.
func (w *world) fillDevices(name string) error {
	for range maxDevices {
		w.pass(time.Minute)
		w.device(name, bobPassword)
	}
	return nil
}

// expireDevice has a device of bob end by its time, and what is left of it removed.
func (w *world) expireDevice(alice, bob Actor) error {
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		kept, err := people.Secrets.WithID(tx, bob.Principal.SecretID)
		if err == nil {
			kept.Expires = w.now() + 1
			err = people.Secrets.Put(tx, &kept)
		}
		return err
	}))
	for range 2 { // the subscription may be looked at before its device
		w.pass(expiredFor + time.Hour)
		for more := true; more; {
			var err error
			if more, err = w.Maintain(w.ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestPushesAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	for i := range MaxPushes {
		w.pass(time.Minute)
		w.subscribe(w.signInAs("alice", alicePassword), fmt.Sprint("p", i))
	}
	w.pass(time.Minute)
	last := w.signInAs("alice", alicePassword)
	_, err := w.Subscribe(w.ctx, last, people.Push{ID: "more", Endpoint: "https://push.example/more"})
	wantError(t, "one too many", err, ErrTooMany)
	w.must(w.Unsubscribe(w.ctx, alice, "p0"))
	w.subscribe(last, "more")
	if infos, err := w.Pushes(w.ctx, last); err != nil || len(infos) != MaxPushes || !infos[0].Current || infos[1].Current {
		t.Errorf("listed are %+v, %v", infos, err)
	}
	wantError(t, "an unknown one", w.Unsubscribe(w.ctx, alice, "p0"), ErrNotFound)
	wantRow(t, w.Service, people.AuditPushAdd, "alice")
	wantRow(t, w.Service, people.AuditPushRemove, "alice")
}

// Programs have no browser.
func TestTokensDoNotSubscribe(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bot, err := w.Authenticate(w.ctx, w.bot(alice, "robo"), "")
	w.must(err)
	_, err = w.Subscribe(w.ctx, bot.As(""), people.Push{ID: "x", Endpoint: "https://push.example/x"})
	if err == nil || len(w.subscriptions()) != 0 {
		t.Errorf("a bot has subscribed: %v", err)
	}
}

// Since when a subscription fails is kept, and the hooks learn of ends.
func TestPushesFailAndAreAnnounced(t *testing.T) {
	var told []string
	w := newWorld(t, nil)
	w.options.OnSubscribed = func(account string) { told = append(told, "begun "+account) }
	w.options.OnUnsubscribed = func(_, id string) { told = append(told, "ended "+id) }
	alice := w.claim()
	w.subscribe(alice, "one")
	id := alice.Principal.Account.ID
	since := time.UnixMilli(1_790_000_000_000)
	for _, c := range []struct {
		account string
		since   time.Time
		want    int64
	}{{id, since, since.UnixMilli()}, {"other", time.Time{}, since.UnixMilli()}, {id, time.Time{}, 0}} {
		w.must(w.MarkPush(w.ctx, c.account, "one", c.since))
		if infos, err := w.Pushes(w.ctx, alice); err != nil || infos[0].FailingSince != c.want {
			t.Errorf("fails since %+v, %v; want %d", infos, err, c.want)
		}
	}
	w.must(w.MarkPush(w.ctx, id, "none", since))
	w.subscribe(alice, "one") // nothing is different
	w.subscribe(alice, "two")
	w.must(w.RevokeDevice(w.ctx, alice, alice.Principal.SecretID))
	if got, want := strings.Join(told, ", "), fmt.Sprintf("begun %s, ended one, begun %s, ended two", id, id); got != want {
		t.Errorf("the hooks were told %q, want %q", got, want)
	}
}
