package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/news"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
)

// viewed is a store that counts its reads of documents, and has some of them fail.
type viewed struct {
	store.Store
	views   atomic.Int32
	fails   atomic.Int32 // which one does; 0: none
	recover atomic.Bool  // those behind it do not
}

// errNoClass is an error of a database that says nothing of what it has.
var errNoClass = errors.New("out of memory (SQLSTATE 53200)")

func (s *viewed) View(ctx context.Context, run func(store.Tx) error) error {
	if n, fails := s.views.Add(1), s.fails.Load(); fails > 0 && (n == fails || n > fails && !s.recover.Load()) {
		return errNoClass
	}
	return s.Store.View(ctx, run)
}

// following is a server that follows the news of another one on its store when it is told to.
type following struct {
	*town
	*viewed
	other *town
}

func newFollowing(t testing.TB, s store.Store) *following {
	t.Helper()
	other, err := news.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	one := newTown(t, other)
	counted := &viewed{Store: s}
	n, err := news.Open(t.Context(), counted)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dispatch.New(t.Context(), n, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	w := &town{t: t, chat: chatOver(t, d, Options{}), store: n, ids: 1000}
	w.chat.follower = &follower{chat: w.chat, news: n, setting: w.chat.SettingChanged, wake: make(chan struct{}, 1), cancel: func() {}, pending: newChanged()}
	return &following{w, counted, one}
}

// look has the server take up what is new.
func (w *following) look() {
	w.t.Helper()
	if err := w.chat.follower.look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// fill makes some rooms, and accounts members of each.
func (w *following) fill(rooms int, accounts ...string) {
	w.t.Helper()
	for i := range rooms {
		room := people.Room{Key: fmt.Sprint("room-", i), Name: fmt.Sprint("room-", i), Kind: kaban.RoomPublic}
		w.other.update(func(tx store.Tx) error {
			for _, account := range accounts {
				m := people.Member{Room: room.Key, Account: account, Role: kaban.RoomRoleMember, From: 1}
				if err := people.Enter(tx, w.store.Epoch(), &room, &m); err != nil {
					return err
				}
			}
			return tx.Bump(storetest.RoomName(w.t, room.Name)) // makes it
		})
	}
}

// mark has the other server store that an account has read a room up to a seq.
func (w *following) mark(account, room string, seq uint64) {
	w.t.Helper()
	w.other.update(func(tx store.Tx) error {
		m, err := people.Members.Get(tx, room, account)
		if err != nil {
			return err
		}
		m.Read = seq
		return people.Members.Put(tx, &m)
	})
}

// withdrawn is a Pusher that notes what is taken back.
type withdrawn []string

func (*withdrawn) Push(*push.Subscription, push.Notice) error { return nil }
func (*withdrawn) Forget(string, string) int                  { return 0 }
func (w *withdrawn) Withdraw(account, room string, upTo uint64) int {
	*w = append(*w, fmt.Sprint(account, " ", room, " ", upTo))
	return 1
}

// Read markers of other nodes are read together, and only those that concern somebody here. Their
// accounts are told, and pushes of what was read are taken back.
func TestReadMarkersAreReadTogether(t *testing.T) {
	const rooms = 600
	w := newFollowing(t, memory.New(0))
	w.fill(rooms, "id-ann", "id-bob", "id-cat")
	ann := w.enter("ann", "phone")
	taken := new(withdrawn)
	var service Pusher = taken
	w.chat.pushes.service.Store(&service)
	w.chat.Subscribed("id-bob")
	w.look()
	ann.take()
	for i := range rooms {
		for _, account := range []string{"id-ann", "id-bob", "id-cat"} {
			w.mark(account, fmt.Sprint("room-", i), 5)
		}
	}
	w.views.Store(0)
	w.look()
	// One is for the news, and nobody asks for what is cat's.
	if got, most := w.views.Load(), int32(1+(2*rooms+maxBatch-1)/maxBatch); got > most {
		t.Errorf("%d transactions for %d read markers, want at most %d", got, 3*rooms, most)
	}
	told := ann.take()
	if len(told) != rooms || !slices.Contains(told, "room-7") {
		t.Errorf("ann is told of %d rooms, want %d", len(told), rooms)
	}
	bobs := slices.DeleteFunc(*taken, func(text string) bool { return !strings.HasPrefix(text, "id-bob ") })
	if len(bobs) != rooms || !slices.Contains(bobs, "id-bob room-7 5") {
		t.Errorf("pushes of %d rooms were taken back, want %d", len(bobs), rooms)
	}
}

// BenchmarkReadMarkers measures how many read markers of other nodes a second a node follows, a
// third of them of accounts that are connected to it. Over a database: -postgres.
func BenchmarkReadMarkers(b *testing.B) {
	const rooms = 200
	w := newFollowing(b, teststore.New(b))
	w.fill(rooms, "id-ann", "id-bob", "id-cat")
	w.enter("ann", "phone")
	w.look()
	markers := 0
	for b.Loop() {
		b.StopTimer()
		for i := range rooms {
			for _, account := range []string{"id-ann", "id-bob", "id-cat"} {
				w.mark(account, fmt.Sprint("room-", i), uint64(markers))
				markers++
			}
		}
		b.StartTimer()
		w.look()
	}
	b.ReportMetric(float64(markers)/b.Elapsed().Seconds(), "markers/s")
}
