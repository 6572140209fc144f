package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// parallel is a store that wants several appends at a time. It notes those that are under way,
// by room, and holds up those of one room until it is let go. All others wait until there are two of them, or for a
// few seconds in vain, if they are to.
type parallel struct {
	store.Store
	held     string
	let      chan struct{}
	together bool
	two      chan struct{} // closed when there are two

	mu    sync.Mutex
	under map[string]bool // rooms of appends under way
	most  int             // appends that were under way at a time
	now   int
	twice bool // there were two of one room
}

func newParallel(held string) *parallel {
	return &parallel{Store: memory.New(0), held: held, let: make(chan struct{}), two: make(chan struct{}), under: make(map[string]bool)}
}

func (s *parallel) Instant() bool { return false }

func (s *parallel) Appends() int { return 4 }

func (s *parallel) note(batch []store.Write, begins bool) (held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now--; begins {
		s.now += 2
	}
	if s.most < 2 && s.now == 2 {
		close(s.two)
	}
	s.most = max(s.most, s.now)
	rooms := make(map[string]bool)
	for i := range batch {
		room := batch[i].Room.String()
		rooms[room], held = true, held || room == s.held
	}
	for room := range rooms {
		s.twice = s.twice || begins && s.under[room]
		s.under[room] = begins
	}
	return held
}

func (s *parallel) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if s.note(batch, true) {
		<-s.let
	}
	defer s.note(batch, false)
	if s.together {
		select {
		case <-s.two:
		case <-time.After(10 * time.Second):
		}
	}
	return s.Store.Append(ctx, batch, results)
}

// A room whose append takes its time does not hold up those of other committers, and no room has
// two appends under way.
func TestCommittersAreIndependent(t *testing.T) {
	s := newParallel("held")
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	held := join(t, d, alice, "held", "alice", Start{})
	d.Submit([]Send{send(t, held, "alice", "first", "x")})
	free := 0
	for i := 0; free < 20; i++ {
		room := fmt.Sprint("room-", i)
		if d.committerOf(storetest.RoomName(t, room)) == d.committerOf(held.Room().Name()) {
			continue
		}
		free++
		if r, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, room, "bot", "1", "x")}, func() {}); err != nil || r.Seq != 1 {
			t.Fatalf("%s: %+v, %v", room, r, err)
		}
	}
	if _, idle := d.Progress(); idle || held.Room().Head() != 0 {
		t.Errorf("idle %v, and the head is %d, while an append is held up", idle, held.Room().Head())
	}
	close(s.let)
	alice.until(held, 0)
	alice.take(held, 1<<20)
	assertGiven(t, alice, "ack 1 first")
}

// What one connection sends to many rooms at once arrives in the order of each room.
func TestOneSubmitForManyRooms(t *testing.T) {
	s := newParallel("")
	s.together = true
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	const rooms, each = 20, 50
	var readers []*reader
	var subs []*Subscription
	for i := range rooms {
		readers = append(readers, newReader(t))
		subs = append(subs, join(t, d, readers[i], fmt.Sprint("room-", i), "alice", Start{}))
	}
	for n := range each {
		var sends []Send
		for i, sub := range subs {
			sends = append(sends, send(t, sub, "alice", fmt.Sprint(n, "-", i), fmt.Sprint(n)))
		}
		d.Submit(sends)
	}
	for i, sub := range subs {
		readers[i].until(sub, each)
		entries, err := s.Read(t.Context(), sub.Room().Name(), store.Page{Limit: each + 1})
		if err != nil || len(entries) != each {
			t.Fatalf("%s has %d entries, %v", sub.Room().Name(), len(entries), err)
		}
		for n, e := range entries {
			if e.Content != fmt.Sprint(n) {
				t.Fatalf("%s: entry %d says %s", sub.Room().Name(), e.Seq, e.Content)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.twice || s.most < 2 || s.most > 4 {
		t.Errorf("two appends of one room: %v; %d at a time, want 2 to 4", s.twice, s.most)
	}
}

// leaving is a store whose database goes away after one append, until it is back.
type leaving struct {
	slowStore
	away atomic.Bool
}

var errAway = fmt.Errorf("read: %w", store.ErrUnavailable)

func (s *leaving) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if s.away.Swap(true) {
		return errAway
	}
	return s.slowStore.Append(ctx, batch, results)
}

func (s *leaving) Read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if s.away.Load() {
		return nil, errAway
	}
	return s.slowStore.Read(ctx, room, page)
}

// While a database is away that has entries which must be read first, messages are refused, and
// do not wait for it.
func TestSendsDoNotWaitForADatabaseThatIsAway(t *testing.T) {
	for _, terms := range []*Terms{nil, {}} { // with some, the committer itself reads
		s := &leaving{slowStore: slowStore{memory.New(0)}}
		d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		elsewhere(t, s.slowStore, "lobby", "c1", "c2")
		first := send(t, a, "alice", "stored", "x") // the third entry; the others cannot be read
		first.Terms = terms
		d.Submit([]Send{first})
		for i := 0; !s.away.Load(); i++ {
			time.Sleep(time.Millisecond)
		}
		for i := range 3 {
			_, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "lobby", "bot", fmt.Sprint("refused-", i), "x")}, func() {})
			if !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
		}
		if a.Room().Head() != 0 {
			t.Fatalf("the head is %d", a.Room().Head())
		}
		s.away.Store(false)
		alice.until(a, 3)
		assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x", "ack 3 stored")
	}
}

// narrow is a store that takes no more than some entries at once in time.
type narrow struct {
	slowStore
	most    int
	appends atomic.Int64
}

func (s *narrow) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if s.appends.Add(1); len(batch) > s.most {
		return errAway
	}
	return s.slowStore.Append(ctx, batch, results)
}

// A client that sends again what took too long does so in vain if it is appended at once again.
func TestAppendsBecomeSmallWhereTheWayIsNarrow(t *testing.T) {
	s := &narrow{slowStore: slowStore{memory.New(0)}, most: 40}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	var sends []Send
	for i := range 300 {
		sends = append(sends, send(t, a, "alice", fmt.Sprint(i), "x"))
	}
	attempts := 0
	for ; attempts < 20 && len(sends) > 0; attempts++ {
		d.Submit(slices.Clone(sends))
		alice.until(a, 0)
		sends = sends[a.Room().Head()-uint64(300-len(sends)):]
	}
	if len(sends) > 0 {
		t.Errorf("%d messages are not stored after %d attempts", len(sends), attempts)
	}
	if s.most = maxBatch; s.appends.Load() > 60 {
		t.Errorf("there were %d appends", s.appends.Load())
	}
	// Once the way is wide again, appends are as large as before.
	for i := range 20 {
		var more []Send
		for j := range maxBatch {
			more = append(more, send(t, a, "alice", fmt.Sprint("more-", i, "-", j), "x"))
		}
		s.appends.Store(0)
		d.Submit(more)
		alice.until(a, 0)
	}
	if n := s.appends.Load(); n > 2 {
		t.Errorf("there were %d appends for %d messages", n, maxBatch)
	}
}

// Of what was taken, nothing waits for a database that has not answered meanwhile.
func TestOneAppendFindsOutThatADatabaseIsAway(t *testing.T) {
	s := &narrow{slowStore: slowStore{memory.New(0)}}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	reader := newReader(t)
	a, b := join(t, d, reader, "lobby", "alice", Start{}), join(t, d, reader, "lobby", "bob", Start{})
	var sends []Send
	for i := range maxBatch + 10 {
		sends = append(sends, send(t, a, "alice", fmt.Sprint(i), "x"))
	}
	d.Submit(append(sends, send(t, b, "bob", "last", "x")))
	reader.until(a, 0)
	reader.until(b, 0)
	if n := s.appends.Load(); n != 1 {
		t.Errorf("there were %d appends, want 1", n)
	}
}
