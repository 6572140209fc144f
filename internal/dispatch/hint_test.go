package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// elsewhere has another writer append to a room.
func elsewhere(t testing.TB, s store.Store, room string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		storetest.Append(t, s, storetest.Draft(t, room, "carol", id, "x"))
	}
}

// A hint that is late, doubled or early changes nothing but when readers get what
// the store has.
func TestGrownPublishesUpToTheStore(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PageEntries: 2, PresenceDelay: time.Hour})
	lobby := storetest.RoomName(t, "lobby")
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	d.Grown(lobby, 5) // nothing is there yet
	elsewhere(t, s, "lobby", "c1", "c2", "c3", "c4", "c5")
	d.Grown(lobby, 0)
	alice.take(a, 1<<20)
	assertGiven(t, alice)
	for _, seq := range []uint64{1, 5, 2, 5, 99} {
		d.Grown(lobby, seq)
	}
	alice.take(a, 1<<20)
	assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x", "lobby 3 carol x", "lobby 4 carol x", "lobby 5 carol x")
	if head := a.Room().Head(); head != 5 {
		t.Errorf("the head is %d, want 5", head)
	}
}

// counting is a store that blocks and counts its calls.
type counting struct {
	store.Store
	mu           sync.Mutex
	reads, asked int
}

func (s *counting) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	s.mu.Lock()
	s.reads++
	s.mu.Unlock()
	return s.Store.Read(ctx, room, p)
}

func (s *counting) Room(ctx context.Context, room kaban.RoomName) (store.Room, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	return s.Store.Room(ctx, room)
}

func (s *counting) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads, s.asked = 0, 0
}

func (s *counting) Instant() bool { return false }

// A room without readers costs the store nothing when it grows elsewhere, and is
// listed with the head that the hint has.
func TestARoomWithoutReadersIsNotRead(t *testing.T) {
	s := &counting{Store: memory.New(0)}
	elsewhere(t, s, "den", "c1")
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	den := storetest.RoomName(t, "den")
	elsewhere(t, s, "den", "c2", "c3")
	d.Grown(den, 3)
	d.Grown(den, 2)
	waitIdle(d)
	infos, _ := d.Rooms("", 1)
	if want := []RoomInfo{{den, 3, 0}}; !slices.Equal(infos, want) || s.asked+s.reads != 0 {
		t.Errorf("got %v after %d questions and %d reads, want %v after none", infos, s.asked, s.reads, want)
	}
	a := join(t, d, newReader(t), "den", "alice", Start{})
	if a.Seq() != 3 || s.reads != 0 {
		t.Errorf("she joins at %d after %d reads, want 3 after none", a.Seq(), s.reads)
	}
}

// A hint that comes between looking a room up and joining it is not lost.
func TestAHintBeforeTheFirstReaderIsKept(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	lobby := storetest.RoomName(t, "lobby")
	place, err := d.Find(t.Context(), lobby, Start{})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere(t, s, "lobby", "c1")
	d.Grown(lobby, 1)
	alice := newReader(t)
	a, joined, err := d.Join(alice, alice, plain, &kaban.Peer{Identity: kaban.Visitor(storetest.Username(t, "alice"))}, place)
	if err != nil || joined.Head != 0 {
		t.Fatalf("joined %+v, %v", joined, err)
	}
	alice.take(a, 1<<20)
	assertGiven(t, alice, "lobby 1 carol x")
}

// The committer may come to publish entries over which the head was raised while
// the room had no readers.
func TestPublishNeverLowersTheHead(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	r := d.Peek(storetest.RoomName(t, "lobby"))
	r.raise(5)
	a := join(t, d, newReader(t), "lobby", "alice", Start{})
	r.publish([]store.Entry{{Seq: 3}, {Seq: 4}})
	r.restart(4)
	if segment := a.Next(); r.Head() != 5 || segment.Frames != nil || segment.Behind {
		t.Errorf("the head is %d, want 5, and alice is given %+v", r.Head(), segment)
	}
}

// A reader may come from a node that has published more. It is given each entry
// once all the same, and no resync.
func TestACursorFromAnotherNodeIsAheadOfTheHead(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	lobby := storetest.RoomName(t, "lobby")
	bob := newReader(t)
	b := join(t, d, bob, "lobby", "bob", Start{})
	elsewhere(t, s, "lobby", "c1", "c2", "c3")
	place, err := d.Find(t.Context(), lobby, Start{After: 2, Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	alice := newReader(t)
	a := &Subscription{member: alice, user: new(kaban.Peer)}
	joined, _, err := d.enter(alice, plain, place, a) // and does not publish what the store has
	if err != nil || joined.Head != 3 || a.Room().Head() != 0 {
		t.Fatalf("joined %+v, %v, with %d published", joined, err, a.Room().Head())
	}
	alice.take(a, 1<<20)
	assertGiven(t, alice)
	d.Grown(lobby, 3)
	alice.take(a, 1<<20)
	bob.take(b, 1<<20)
	assertGiven(t, alice, "lobby 3 carol x")
	assertGiven(t, bob, "lobby 1 carol x", "lobby 2 carol x", "lobby 3 carol x")
	if _, _, err := tryJoin(d, alice, plain, storetest.Username(t, "eve"), lobby, Start{After: 4, Resume: true}); !errors.As(err, new(*ResyncError)) {
		t.Errorf("beyond the store's head: %v, want a resync", err)
	}
}

// A room that another dispatcher made is found by every call that names it.
func TestARoomThatAnotherDispatcherMade(t *testing.T) {
	for _, ask := range []struct {
		how string
		do  func(d *Dispatcher, name kaban.RoomName) error
	}{
		{"history", func(d *Dispatcher, name kaban.RoomName) error {
			found, err := d.History(context.Background(), name, store.Page{Limit: 5})
			if len(found.Entries) != 2 {
				err = fmt.Errorf("%d entries, %w", len(found.Entries), err)
			}
			return err
		}},
		{"members", func(d *Dispatcher, name kaban.RoomName) error {
			_, _, _, err := d.Members(context.Background(), name, "", 5)
			return err
		}},
		{"room", func(d *Dispatcher, name kaban.RoomName) error {
			info, err := d.Room(context.Background(), name)
			if info.Head != 2 {
				err = fmt.Errorf("head %d, %w", info.Head, err)
			}
			return err
		}},
		{"lookup", func(d *Dispatcher, name kaban.RoomName) error {
			_, err := d.Lookup(context.Background(), name)
			return err
		}},
		{"watch", func(d *Dispatcher, name kaban.RoomName) error {
			place, err := d.Find(context.Background(), name, Start{Resume: true})
			if err != nil {
				return err
			}
			_, _, err = d.Watch(sleeper{}, nil, plain, new(kaban.Peer), place)
			return err
		}},
		{"join", func(d *Dispatcher, name kaban.RoomName) error { // although it is one too many, and looks like another
			place, err := d.Find(context.Background(), name, Start{Resume: true})
			if err != nil {
				return err
			}
			if place.IsNew() {
				return errors.New("it is new")
			}
			_, _, err = d.Join(sleeper{}, nil, plain, new(kaban.Peer), place)
			return err
		}},
		{"post", func(d *Dispatcher, name kaban.RoomName) error {
			receipt, err := d.Post(context.Background(), Send{Draft: storetest.Draft(t, name.String(), "bot", "p1", "x")}, func() {})
			if receipt.Seq != 3 {
				err = fmt.Errorf("number %d, %w", receipt.Seq, err)
			}
			return err
		}},
		{"hint", func(d *Dispatcher, name kaban.RoomName) error {
			d.Grown(name, 2)
			waitIdle(d)
			return nil
		}},
	} {
		for _, instant := range []bool{false, true} {
			t.Run(fmt.Sprint(ask.how, " instant ", instant), func(t *testing.T) {
				s := newRecorder(memory.New(0), instant)
				d := newDispatcher(t, s, Options{MaxRooms: 1, PresenceDelay: time.Hour})
				elsewhere(t, s, "Iobby", "c1", "c2")
				name := storetest.RoomName(t, "iobby")
				if err := ask.do(d, name); err != nil {
					t.Fatalf("%s: %v", ask.how, err)
				}
				if infos, _ := d.Rooms("", 5); len(infos) != 2 || infos[0].Name.String() != "iobby" || infos[0].Head < 2 {
					t.Errorf("then the rooms are %v", infos)
				}
			})
		}
	}
}

// The number of queued hints is bounded, one for each of so many rooms.
func TestHintsAreCoalescedAndBounded(t *testing.T) {
	var b inbox
	b.init(2, maxHinted)
	one, two, three := storetest.RoomName(t, "one"), storetest.RoomName(t, "two"), storetest.RoomName(t, "three")
	for _, h := range []hint{{room: one, seq: 5}, {room: one, seq: 3}, {room: two, seq: 1}, {room: two, seq: 8}, {room: one, seq: 7}} {
		if !b.putHint(h) {
			t.Errorf("%v is not taken", h)
		}
	}
	if b.putHint(hint{room: three, seq: 1}) {
		t.Error("a third room is taken")
	}
	got := b.takeHints(nil)
	slices.SortFunc(got, func(x, y hint) int { return int(x.seq) - int(y.seq) })
	if len(got) != 2 || got[0].room != one || got[0].seq != 7 || got[1].room != two || got[1].seq != 8 || !b.isEmpty() {
		t.Errorf("got %v, want 7 of %s and 8 of %s", got, one, two)
	}
	b.close()
	if b.putHint(hint{room: one, seq: 1}) {
		t.Error("a closed inbox takes hints")
	}
}

// stuck is a store that does not answer until it is opened.
type stuck struct {
	store.Store
	open chan struct{}
}

func (s *stuck) Room(ctx context.Context, room kaban.RoomName) (store.Room, error) {
	<-s.open
	return s.Store.Room(ctx, room)
}

func (s *stuck) Instant() bool { return false }

func TestGrownDoesNotWaitForTheStore(t *testing.T) {
	s := &stuck{memory.New(0), make(chan struct{})}
	elsewhere(t, s.Store, "den", "c1")
	d := newDispatcher(t, s, Options{MaxRooms: 10, PresenceDelay: time.Hour})
	den := storetest.RoomName(t, "den")
	elsewhere(t, s.Store, "den", "c2")
	for i := range 100 {
		d.Grown(storetest.RoomName(t, fmt.Sprint("unknown-", i)), 1)
	}
	b := &d.committers[0].inbox
	b.mu.Lock()
	queued := len(b.hints)
	b.mu.Unlock()
	if queued > 10 {
		t.Errorf("%d hints are queued, want 10 at most", queued)
	}
	close(s.open)
	waitIdle(d)
	alice := newReader(t)
	a := join(t, d, alice, "den", "alice", Start{Resume: true})
	alice.until(a, 2)
	if d.Peek(den) == nil || d.Peek(storetest.RoomName(t, "unknown-0")) != nil {
		t.Error("rooms are known by hints that the store does not confirm")
	}
}

// A hint that cannot be followed is logged, once, and the next makes up for it.
func TestALostHintIsMadeUpForByTheNext(t *testing.T) {
	s := &hiccup{Store: memory.New(0), fails: 2}
	var log strings.Builder
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	elsewhere(t, s, "lobby", "c1", "c2")
	for range 2 {
		d.Grown(a.Room().Name(), 1)
		waitIdle(d)
	}
	alice.take(a, 1<<20)
	assertGiven(t, alice)
	d.Grown(a.Room().Name(), 2)
	waitIdle(d)
	alice.take(a, 1<<20)
	assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x")
	if got := log.String(); strings.Count(got, "level=ERROR") != 1 {
		t.Errorf("the log has\n%swant one line", got)
	}
}
