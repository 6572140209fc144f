package chat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/bus/local"
	"kaban/internal/dispatch"
	"kaban/internal/lease"
	"kaban/internal/news"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// twoNodes returns two servers on one store that follow each other. Without a network the bus
// is cut.
func twoNodes(t *testing.T, cut bool) (one, two *town) {
	t.Helper()
	s := memory.New(0)
	return twoNodesOn(t, cut, s, s, Options{})
}

// twoNodesOn is twoNodes on two handles of a store, with options of the second node.
func twoNodesOn(t *testing.T, cut bool, first, second store.Store, options Options) (one, two *town) {
	t.Helper()
	network := new(local.Network)
	for i, s := range []store.Store{first, second} {
		n, err := news.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		w := &town{t: t, store: n, ids: 1000 * i}
		if i == 0 {
			w = newTown(t, n)
			one = w
		} else {
			d, err := dispatch.New(t.Context(), n, dispatch.Options{PresenceDelay: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			w.chat = chatOver(t, d, options)
			two = w
		}
		k, err := lease.Open(t.Context(), s, lease.Options{OnLost: w.chat.LeaseLost})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		w.chat.FollowNodes(n, k, w.chat.SettingChanged)
		if cut {
			network = new(local.Network)
		}
		w.connect(network)
	}
	return one, two
}

// guest is a connection that notes what it is told.
type guest struct {
	told
	revoked atomic.Bool
}

func (g *guest) Revoke() { g.revoked.Store(true) }

// enter has a connection of an account sign in with a secret, which is stored.
func (w *town) enter(name, secret string) *guest {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Secrets.Put(tx, &people.Secret{Hash: "hash of " + secret, ID: secret, Account: "id-" + name, Kind: people.SecretDevice})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	g := new(guest)
	w.chat.Enter(new(Session), g, kaban.Account("id-"+name, storetest.Username(w.t, name)), netip.Addr{}, &Credential{ID: secret, Device: true})
	return g
}

// visit has a visitor come in.
func (w *town) visit(name string) *guest {
	w.t.Helper()
	g := new(guest)
	if err := w.chat.Claim(new(Session), g, kaban.Visitor(storetest.Username(w.t, name)), netip.Addr{}, ""); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// update changes documents.
func (w *town) update(run func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), run); err != nil {
		w.t.Fatal(err)
	}
}

// lists reports whether somebody sees a room in the list.
func (w *town) lists(u User, room string) bool {
	w.t.Helper()
	rooms, _, err := u.Rooms(w.t.Context(), "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.ContainsFunc(rooms, func(r Room) bool { return r.Name.String() == room })
}

// silent is a store that shows nothing but what is new while it is silent.
type silent struct {
	store.Store
	silent atomic.Bool
	asked  atomic.Int32 // while it was
}

// View fails but for the first read of each round, which is that of the news.
func (s *silent) View(ctx context.Context, run func(store.Tx) error) error {
	if !s.silent.Load() {
		return s.Store.View(ctx, run)
	}
	read := false
	err := s.Store.View(ctx, func(tx store.Tx) error { return run(&scans{Tx: tx, read: &read}) })
	if read && err == nil {
		return nil
	}
	s.asked.Add(1)
	return store.ErrUnavailable
}

// scans notes whether news are read.
type scans struct {
	store.Tx
	read *bool
}

func (t *scans) Scan(from, to string, limit int) ([]store.Document, error) {
	*t.read = *t.read || strings.HasPrefix(from, "news/")
	return t.Tx.Scan(from, to, limit)
}

// What cannot take effect because the store does not answer does so when it is back, and until then
// nobody is sent away for lack of an answer.
func TestNewsTakeEffectLater(t *testing.T) {
	below := memory.New(0)
	s := &silent{Store: below}
	one, two := twoNodesOn(t, true, below, s, Options{})
	bob, cat, mia := two.enter("bob", "phone"), two.enter("cat", "tablet"), two.visit("mia")
	s.silent.Store(true)
	one.change("bob", suspend)
	one.create("ann", "hall", kaban.RoomPublic)
	one.update(func(tx store.Tx) error {
		return errors.Join(people.Secrets.Delete(tx, "hash of tablet"), people.Settings.Put(tx, &people.Setting{Key: people.SettingPreviews, Value: "x"}))
	})
	eventually(t, "the other node has tried", func() bool { return s.asked.Load() >= 3 })
	two.chat.SettingChanged("title") // as by this node
	if bob.revoked.Load() || cat.revoked.Load() || mia.revoked.Load() || !two.chat.TakesVisitors() {
		t.Error("somebody was sent away while nothing is known")
	}
	s.silent.Store(false)
	eventually(t, "both connections end", func() bool { return bob.revoked.Load() && cat.revoked.Load() })
	eventually(t, "the room is listed", func() bool { return two.lists(two.user("ann"), "hall") })
	if mia.revoked.Load() {
		t.Error("the visitor's connection ends")
	}
}

// What one node changes takes effect on another, also where the bus is cut.
func TestNewsOfOtherNodes(t *testing.T) {
	for _, cut := range []bool{false, true} {
		for _, c := range []struct {
			name string
			run  func(t *testing.T, one, two *town)
		}{
			{"a secret is revoked", testSecretElsewhere},
			{"an account is suspended", testSuspensionElsewhere},
			{"a role is taken", testRoleElsewhere},
			{"visitors may not come any more", testAccessElsewhere},
			{"an account has a visitor's name", testNameElsewhere},
			{"memberships", testMembershipsElsewhere},
			{"rooms", testRoomsElsewhere},
			{"a visitor is banned", testBanElsewhere},
			{"pushes", testPushesElsewhere},
			{"everything may have changed", testAllElsewhere},
		} {
			t.Run(fmt.Sprintf("%s, cut %v", c.name, cut), func(t *testing.T) {
				t.Parallel()
				one, two := twoNodes(t, cut)
				c.run(t, one, two)
			})
		}
	}
}

func testSecretElsewhere(t *testing.T, one, two *town) {
	gone, stays, other := two.enter("bob", "phone"), two.enter("bob", "laptop"), two.enter("cat", "tablet")
	one.update(func(tx store.Tx) error { return people.Secrets.Delete(tx, "hash of phone") })
	eventually(t, "the connection ends", gone.revoked.Load)
	if stays.revoked.Load() || other.revoked.Load() {
		t.Error("another connection ends")
	}
}

func testSuspensionElsewhere(t *testing.T, one, two *town) {
	bob, cat := two.enter("bob", "phone"), two.enter("cat", "tablet")
	one.change("bob", suspend)
	eventually(t, "the connection ends", bob.revoked.Load)
	if cat.revoked.Load() {
		t.Error("another connection ends")
	}
}

func testRoleElsewhere(t *testing.T, one, two *town) {
	one.create("ann", "hall", kaban.RoomPublic)
	sub, _, err := two.user("bob").Watch(t.Context(), reader{}, plain{}, storetest.RoomName(t, "hall"), Start{})
	if err != nil {
		t.Fatal(err)
	}
	one.change("bob", func(a *people.Account) { a.Role = kaban.RoleGuest })
	eventually(t, "the subscription ends", func() bool { _, why := two.drain(sub); return why == reasonGone })
}

func testAccessElsewhere(t *testing.T, one, two *town) {
	mia, bob := two.visit("mia"), two.enter("bob", "phone")
	one.update(func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: people.SettingAccess, Value: "invite"})
	})
	eventually(t, "the visitor's connection ends", mia.revoked.Load)
	if bob.revoked.Load() || two.chat.TakesVisitors() {
		t.Error("an account's connection ends, or visitors may come")
	}
}

func testNameElsewhere(t *testing.T, one, two *town) {
	mia, max := two.visit("mia"), two.visit("max")
	one.update(func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-mia", Username: "mia", Role: kaban.RoleMember, Status: people.StatusActive})
	})
	eventually(t, "the visitor's connection ends", mia.revoked.Load)
	if max.revoked.Load() {
		t.Error("another connection ends")
	}
}

func testMembershipsElsewhere(t *testing.T, one, two *town) {
	bob := two.enter("bob", "phone")
	one.create("ann", "den", kaban.RoomPrivate)
	told := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { return slices.Contains(bob.take(), "den") })
	}
	want(t, "invite", one.do("ann", "den", one.to("bob", access.Invite)), nil)
	told("bob is told that he is in a room")
	room := storetest.RoomName(t, "den")
	eventually(t, "the members are counted", func() bool {
		r, err := two.user("bob").Room(t.Context(), room)
		return err == nil && r.Members == 2
	})
	want(t, "topic", one.do("ann", "den", Act{Action: access.SetTopic, Topic: "x"}), nil)
	told("bob is told of a topic")
	want(t, "notify", one.user("bob").Notify(t.Context(), room, kaban.NotifyNone), nil)
	told("bob is told what he has set elsewhere")
	want(t, "kick", one.do("ann", "den", one.to("bob", access.Kick)), nil)
	told("bob is told that he is out of it")
}

func testRoomsElsewhere(t *testing.T, one, two *town) {
	one.create("ann", "hall", kaban.RoomPublic)
	one.create("ann", "den", kaban.RoomPrivate)
	one.create("ann", "open", kaban.RoomPublic)
	eventually(t, "there are the rooms", func() bool {
		return two.lists(two.user("bob"), "hall") && two.lists(two.user("bob"), "open") && two.lists(two.user("ann"), "den")
	})
	if _, err := two.user("ann").Room(t.Context(), storetest.RoomName(t, "den")); err != nil {
		t.Error(err)
	}
	if two.lists(two.user("bob"), "den") {
		t.Error("somebody sees a private room that he is not in")
	}
	want(t, "make it private", one.do("ann", "open", Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}), nil)
	eventually(t, "a room is not public any more", func() bool { return !two.lists(two.user("bob"), "open") })
}

func testBanElsewhere(t *testing.T, one, two *town) {
	one.create("ann", "hall", kaban.RoomPublic)
	var subs []*Subscription
	for _, name := range []string{"mia", "max"} {
		s, err := two.follow(two.visitor(name, netip.Addr{}), "hall", 0)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, s)
	}
	want(t, "ban", one.do("ann", "hall", one.to("mia", access.Ban)), nil)
	eventually(t, "the visitor is out", func() bool { _, why := two.drain(subs[0]); return why != "" })
	if _, why := two.drain(subs[1]); why != "" {
		t.Errorf("another visitor is out: %s", why)
	}
}

func testPushesElsewhere(t *testing.T, one, two *town) {
	one.update(func(tx store.Tx) error { return people.Pushes.Put(tx, &people.Push{ID: "p", Account: "id-bob"}) })
	eventually(t, "the browser is known", func() bool {
		_, known := two.chat.pushes.accounts()["id-bob"]
		return known
	})
}

func testAllElsewhere(t *testing.T, one, two *town) {
	one.create("ann", "hall", kaban.RoomPublic)
	bob, cat := two.enter("bob", "phone"), two.enter("cat", "tablet")
	want(t, "bob joins", joins(one, "bob", "hall"), nil)
	one.update(func(tx store.Tx) error {
		for i := range 5000 {
			if err := people.Settings.Put(tx, &people.Setting{Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return people.Secrets.Delete(tx, "hash of tablet")
	})
	eventually(t, "the connection ends, and others are told", func() bool {
		return cat.revoked.Load() && slices.Contains(bob.take(), "hall")
	})
	if bob.revoked.Load() {
		t.Error("another connection ends")
	}
}

func joins(w *town, name, room string) error {
	_, err := w.follow(w.user(name), room, 0)
	return err
}

// Whom a message mentions is told on other nodes, too, as long as there is a bus.
func TestMentionsOnOtherNodes(t *testing.T) {
	one, two := twoNodes(t, false)
	one.create("ann", "hall", kaban.RoomPublic)
	for _, name := range []string{"bob", "cat"} {
		want(t, "invite", one.do("ann", "hall", one.to(name, access.Invite)), nil)
	}
	bob, cat := two.enter("bob", "phone"), two.enter("cat", "tablet")
	eventually(t, "the news are read", func() bool { return two.lists(two.user("bob"), "hall") })
	time.Sleep(50 * time.Millisecond)
	bob.take()
	cat.take()
	one.tell("ann", "hall", "@bob look")
	eventually(t, "bob is told", func() bool { return slices.Contains(bob.take(), "hall") })
	if rooms := cat.take(); len(rooms) > 0 {
		t.Errorf("cat is told of %s", strings.Join(rooms, ", "))
	}
	one.tell("ann", "hall", "@everyone look")
	eventually(t, "cat is told", func() bool { return slices.Contains(cat.take(), "hall") })
}

// Lists of members say who is connected to another node, and a visitor that is there can be kicked.
func TestPeopleOnOtherNodes(t *testing.T) {
	one, two := twoNodes(t, false)
	one.create("ann", "hall", kaban.RoomPublic)
	want(t, "invite", one.do("ann", "hall", one.to("bob", access.Invite)), nil)
	mia, err := two.follow(two.visitor("mia", netip.Addr{}), "hall", 0)
	if err != nil {
		t.Fatal(err)
	}
	two.enter("bob", "phone")
	hall := storetest.RoomName(t, "hall")
	lists := func(want ...string) func() bool {
		return func() bool {
			page, err := one.user("ann").Members(t.Context(), hall, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range page.People {
				got = append(got, fmt.Sprint(p.Username, " ", p.Online))
			}
			return slices.Equal(got, want)
		}
	}
	eventually(t, "they are listed", lists("ann false", "bob true", "mia true"))
	want(t, "kick", one.do("ann", "hall", one.to("mia", access.Kick)), nil)
	eventually(t, "the visitor is out", func() bool { _, why := two.drain(mia); return why == people.ChangeKicked })
	eventually(t, "and not listed", lists("ann false", "bob true"))
}

// Tasks of a node that has died are done by another.
func TestTasksOfADeadNode(t *testing.T) {
	one, two := twoNodes(t, true)
	one.create("ann", "hall", kaban.RoomPublic)
	one.update(func(tx store.Tx) error {
		return people.Tasks.Put(tx, &people.Task{Account: "id-bob", Kind: people.TaskJoin, ID: "t", Rooms: []string{"hall"}})
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { two.chat.DoTasks(ctx) })
	eventually(t, "bob is in the room", func() bool {
		in := false
		one.update(func(tx store.Tx) (err error) {
			_, in, err = people.Members.Find(tx, "hall", "id-bob")
			return err
		})
		return in
	})
	cancel()
	group.Wait()
}
