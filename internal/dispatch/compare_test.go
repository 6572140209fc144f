package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// stating is a store that returns states, and counts how often and for how many rooms.
type stating struct {
	counting
	queries, rooms atomic.Int64
	fail           atomic.Bool
	lower          atomic.Uint64 // heads are lower by it than they are
}

func (s *stating) States(ctx context.Context, names []kaban.RoomName) (states []store.Room, err error) {
	s.queries.Add(1)
	s.rooms.Store(int64(len(names)))
	if s.fail.Load() {
		return nil, errors.New("no states")
	}
	for _, name := range names {
		state, err := s.Store.Room(ctx, name)
		if err != nil {
			return nil, err
		}
		state.Head -= min(state.Head, s.lower.Load())
		states = append(states, state)
	}
	return states, nil
}

// What no hint says is found by a comparison, which is one query for all rooms with readers, and a
// read for each that has grown.
func TestComparisonsMakeUpForLostHints(t *testing.T) {
	for name, wake := range map[string]func(e *ear){
		"in a second": func(*ear) { time.Sleep(compareInterval) },
		"at once":     func(e *ear) { e.receiver.Lost(bus.Slow) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stating{counting: counting{Store: memory.New(0)}}
				d, e := connected(t, s)
				alice := newReader(t)
				a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, alice, "den", "alice", Start{})
				left := join(t, d, alice, "attic", "alice", Start{})
				synctest.Wait()
				d.Submit([]Send{send(t, left, "alice", "a1", "x")})
				synctest.Wait()
				alice.take(left, 1<<20)
				d.Leave(left)
				alice.given = nil
				elsewhere(t, s.Store, "lobby", "c1", "c2")
				elsewhere(t, s.Store, "attic", "c3")
				s.reset()
				wake(e)
				synctest.Wait()
				alice.take(a, 1<<20)
				alice.take(b, 1<<20)
				assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x")
				if s.queries.Load() != 1 || s.rooms.Load() != 2 || s.asked != 0 || s.reads != 1 {
					t.Errorf("%d queries for %d rooms, %d for one, %d reads; want 1 for 2, none, 1 read", s.queries.Load(), s.rooms.Load(), s.asked, s.reads)
				}
				if n := d.Stats(); n.Compared != 1 || n.Behind != 1 || n.Ahead != 0 {
					t.Errorf("counted %+v", n)
				}
			})
		})
	}
}

// A store without a query for some rooms is asked for all.
func TestComparisonsWithoutStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{Store: memory.New(0)}
		d, _ := connected(t, s)
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		elsewhere(t, s.Store, "lobby", "c1")
		elsewhere(t, s.Store, "den", "c2")
		time.Sleep(compareInterval)
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice, "lobby 1 carol x")
	})
}

// A room of another node that cannot be read holds up neither the other rooms nor the comparison. It is in
// the log once, and met when it can be read again.
func TestAnUnreadableRoomHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stating{counting: counting{Store: memory.New(0)}}
		bad := &unreadable{stating: s, room: "den"}
		bad.is.Store(true)
		var log strings.Builder
		d, e := newDispatcher(t, bad, Options{PresenceDelay: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))}), new(ear)
		if err := d.Connect(e, nil); err != nil {
			t.Fatal(err)
		}
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		rooms := []bus.Attendance{}
		for _, name := range []string{"attic", "den", "hall"} {
			rooms = append(rooms, bus.Attendance{Room: storetest.RoomName(t, name), Visitors: 1})
		}
		e.receiver.(*peers).Said(&bus.Presence{Epoch: d.Epoch(), Node: "N", Number: 1, First: true, Last: true, Rooms: rooms})
		elsewhere(t, s.Store, "lobby", "c1")
		time.Sleep(2 * compareInterval)
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice, "lobby 1 carol x")
		met := func() (names []string) {
			for _, r := range rooms {
				if d.Peek(r.Room) != nil {
					names = append(names, r.Room.String())
				}
			}
			return names
		}
		if got, want := met(), []string{"attic", "hall"}; !slices.Equal(got, want) {
			t.Errorf("met %q, want %q", got, want)
		}
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "room=den") {
			t.Errorf("the log has\n%s", text)
		}
		bad.is.Store(false)
		time.Sleep(compareInterval)
		synctest.Wait()
		if got := met(); len(got) != 3 {
			t.Errorf("met %q in the end", got)
		}
	})
}

// unreadable is a store in which a room cannot be read.
type unreadable struct {
	*stating
	room string
	is   atomic.Bool
}

func (s *unreadable) Room(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	if s.is.Load() && name.String() == s.room {
		return store.Room{}, fmt.Errorf("%w: its name", store.ErrDamaged)
	}
	return s.stating.Room(ctx, name)
}

// Nobody reads: the store is not asked.
func TestNothingToCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stating{counting: counting{Store: memory.New(0)}}
		connected(t, s)
		time.Sleep(time.Hour)
		if n := s.queries.Load(); n != 0 {
			t.Errorf("%d queries", n)
		}
	})
}

// A store that fails is asked again, and named in the log once. So is one that has less than readers
// were given.
func TestComparisonsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stating{counting: counting{Store: memory.New(0)}}
		var log strings.Builder
		d := newDispatcher(t, s, Options{PresenceDelay: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := d.Connect(new(ear), nil); err != nil {
			t.Fatal(err)
		}
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		elsewhere(t, s.Store, "lobby", "c1")
		s.fail.Store(true)
		time.Sleep(5 * compareInterval)
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice)
		s.fail.Store(false)
		time.Sleep(compareInterval)
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice, "lobby 1 carol x")
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=INFO") != 1 {
			t.Errorf("the log has\n%s", text)
		}
		s.lower.Store(1)
		time.Sleep(compareInterval)
		synctest.Wait()
		if n := d.Stats().Ahead; n != 1 || !strings.Contains(log.String(), "does not have") {
			t.Errorf("%d rooms are ahead of the store, and the log has\n%s", n, log.String())
		}
	})
}

// unless returns the error of a store that does not answer, unless those that have to leave are found.
func unless(found bool) error {
	if found {
		return nil
	}
	return store.ErrUnavailable
}

// bump changes the rights in a room, as another node does.
func bump(t *testing.T, s store.Store, room string) {
	t.Helper()
	name := storetest.RoomName(t, room)
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Bump(name) }); err != nil {
		t.Fatal(err)
	}
}

// Rights that another node has changed are noticed before anything that comes behind the change is
// shown, whatever way the news take.
func TestRightsThatOthersChange(t *testing.T) {
	member := func(t *testing.T, s store.Store) { // a kick, say, and what somebody writes then
		draft := storetest.Draft(t, "lobby", "carol", "c1", "x")
		draft.Kind = kaban.KindMember
		storetest.Append(t, s, draft)
		bump(t, s, "lobby")
		elsewhere(t, s, "lobby", "c2")
	}
	for _, c := range []struct {
		name  string
		learn func(t *testing.T, s store.Store, d *Dispatcher, e *ear, a *Subscription)
	}{
		{"a hint with entries", func(t *testing.T, s store.Store, _ *Dispatcher, e *ear, _ *Subscription) {
			h := hintOf(t, s, 1, 2)
			h.Revision = 1
			e.receiver.Hint(h)
		}},
		{"a hint without", func(t *testing.T, s store.Store, _ *Dispatcher, e *ear, _ *Subscription) {
			e.receiver.Hint(hintOf(t, s, 3, 2))
		}},
		{"a hint of rights", func(t *testing.T, s store.Store, _ *Dispatcher, e *ear, _ *Subscription) {
			h := hintOf(t, s, 1, 0)
			h.Revision = 1
			e.receiver.Hint(h)
		}},
		{"a comparison", func(*testing.T, store.Store, *Dispatcher, *ear, *Subscription) { time.Sleep(compareInterval) }},
		{"an append of one's own", func(t *testing.T, _ store.Store, d *Dispatcher, _ *ear, a *Subscription) {
			d.Submit([]Send{send(t, a, "alice", "a1", "x")})
		}},
		{"an append of one's own behind a hint", func(t *testing.T, s store.Store, d *Dispatcher, e *ear, a *Subscription) {
			e.receiver.Hint(hintOf(t, s, 1, 2))
			d.Submit([]Send{send(t, a, "alice", "a1", "x")})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stating{counting: counting{Store: memory.New(0)}}
				d, e := connected(t, s)
				var seen []string
				d.SetOnRevised(func(r *Room) error {
					seen = append(seen, fmt.Sprintf("%s %d at %d", r.Name(), r.Revision(), r.Head()))
					return nil
				})
				alice := newReader(t)
				a := join(t, d, alice, "lobby", "alice", Start{})
				member(t, s.Store)
				c.learn(t, s.Store, d, e, a)
				synctest.Wait()
				time.Sleep(5 * compareInterval)
				synctest.Wait()
				if want := []string{"lobby 1 at 0"}; !slices.Equal(seen, want) || a.Room().Head() < 2 {
					t.Errorf("revised %v, want %v; the head is %d", seen, want, a.Room().Head())
				}
			})
		})
	}
}

// While those are looked for that have to leave, nothing is published that comes behind the change,
// whoever finds it.
func TestNothingPassesThoseThatLeave(t *testing.T) {
	s := &stating{counting: counting{Store: memory.New(0)}}
	d, e := connected(t, s)
	looking, found := make(chan struct{}), make(chan struct{})
	d.SetOnRevised(func(*Room) error {
		close(looking)
		<-found
		return nil
	})
	r := join(t, d, newReader(t), "lobby", "alice", Start{}).Room()
	bump(t, s.Store, "lobby")
	var learns sync.WaitGroup
	learns.Go(func() { // as a comparison does
		if _, _, err := d.refresh(t.Context(), r.Name()); err != nil {
			t.Error(err)
		}
	})
	<-looking
	elsewhere(t, s.Store, "lobby", "c1")
	e.receiver.Hint(hintOf(t, s.Store, 2, 1)) // for the committer, which asks the store
	time.Sleep(50 * time.Millisecond)         // in vain, if all is well
	if head := r.Head(); head > 0 {
		t.Errorf("%d was published too early", head)
	}
	close(found)
	learns.Wait()
	for r.Head() < 1 {
		time.Sleep(time.Millisecond)
	}
}

// Somebody that looks at a room finds what another node has changed there before it is announced, and then
// those are looked for that have to leave, too.
func TestALookFindsRightsThatOthersChange(t *testing.T) {
	s := memory.New(0)
	d, e := connected(t, s)
	var calls atomic.Int64
	d.SetOnRevised(func(*Room) error { return unless(calls.Add(1) > 1) })
	r := join(t, d, newReader(t), "lobby", "alice", Start{}).Room()
	bump(t, s, "lobby")
	if err := d.Look(t.Context(), r); !errors.Is(err, store.ErrUnavailable) || calls.Load() != 1 {
		t.Errorf("%v after %d calls, want that they could not be found", err, calls.Load())
	}
	if err := d.Look(t.Context(), r); err != nil || calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	if err := d.Look(t.Context(), r); err != nil || calls.Load() != 2 {
		t.Errorf("%v after %d calls, want no more of them", err, calls.Load())
	}
	if told := e.take(); len(told) > 0 {
		t.Errorf("a look was announced: %v", told)
	}
}

// While it cannot be found out who has to leave, nothing that comes behind the change is published,
// whatever way the news take.
func TestNothingIsPublishedWhileNobodyIsFound(t *testing.T) {
	for _, way := range []string{"hint", "comparison", "own append"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stating{counting: counting{Store: memory.New(0)}}
				d, e := connected(t, s)
				var found atomic.Bool
				d.SetOnRevised(func(*Room) error { return unless(found.Load()) })
				alice := newReader(t)
				a := join(t, d, alice, "lobby", "alice", Start{})
				draft := storetest.Draft(t, "lobby", "carol", "c1", "x")
				draft.Kind = kaban.KindMember
				storetest.Append(t, s.Store, draft)
				bump(t, s.Store, "lobby")
				elsewhere(t, s.Store, "lobby", "c2")
				switch way {
				case "hint":
					e.receiver.Hint(hintOf(t, s.Store, 3, 2))
				case "own append":
					d.Submit([]Send{send(t, a, "alice", "a1", "x")})
				}
				time.Sleep(5 * compareInterval)
				synctest.Wait()
				if head := a.Room().Head(); head > 0 {
					t.Errorf("%d is published", head)
				}
				found.Store(true)
				time.Sleep(5 * compareInterval)
				synctest.Wait()
				if head := a.Room().Head(); head < 2 {
					t.Errorf("the head is %d afterwards", head)
				}
			})
		})
	}
}

// What this node has changed itself is told to others, and nobody is looked for at once. Where another
// node has changed something as well, somebody is. Which change is whose is not certain, so the next
// comparison looks in any case.
func TestRightsThatThisNodeChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(0)
		d, e := connected(t, s)
		var calls atomic.Int64
		d.SetOnRevised(func(*Room) error { return unless(calls.Add(1) > 1) })
		r := join(t, d, newReader(t), "lobby", "alice", Start{}).Room()
		refresh := func(wantCalls int64) {
			t.Helper()
			if err := d.Refresh(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if n := calls.Load(); n != wantCalls {
				t.Errorf("called %d times, want %d", n, wantCalls)
			}
		}
		bump(t, s, "lobby")
		refresh(0)
		e.mu.Lock()
		if n := len(e.published); n != 1 || e.published[0].Revision != 1 || e.published[0].Head != 0 {
			t.Errorf("announced %+v", e.published)
		}
		e.mu.Unlock()
		bump(t, s, "lobby")
		bump(t, s, "lobby")
		refresh(1) // and it fails
		time.Sleep(compareInterval)
		synctest.Wait()
		refresh(2)
		time.Sleep(5 * compareInterval)
		synctest.Wait()
		refresh(3)
	})
}

// A lost hint about a room without readers is made up for, too, for whoever wants to know how far rooms have grown: the
// rooms take turns. So is one of a room whose head is known here by a question about it.
func TestComparisonsOfRestingRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 2*maxResting + maxResting/2
		s := &stating{counting: counting{Store: memory.New(0)}}
		for i := range rooms {
			elsewhere(t, s.Store, fmt.Sprint("room-", i), "first")
		}
		d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
		var mu sync.Mutex
		heads := make(map[string]uint64)
		d.SetOnGrown(func(room kaban.RoomName, seq uint64) {
			mu.Lock()
			defer mu.Unlock()
			heads[room.Key()] = max(heads[room.Key()], seq)
		})
		if err := d.Connect(new(ear), nil); err != nil {
			t.Fatal(err)
		}
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		for i := range rooms {
			elsewhere(t, s.Store, fmt.Sprint("room-", i), "second")
		}
		elsewhere(t, s.Store, "lobby", "c1")
		if _, err := d.Room(t.Context(), storetest.RoomName(t, "room-7")); err != nil {
			t.Fatal(err)
		}
		s.reset()
		time.Sleep(compareInterval)
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice, "lobby 1 carol x")
		if n := s.rooms.Load(); s.queries.Load() != 1 || n > maxResting+1 {
			t.Errorf("the first comparison is of %d rooms in %d queries", n, s.queries.Load())
		}
		time.Sleep(5 * compareInterval)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i := range rooms {
			if name := storetest.RoomName(t, fmt.Sprint("room-", i)); heads[name.Key()] != 2 {
				t.Fatalf("%s is known up to %d", name, heads[name.Key()])
			}
		}
		if infos, _ := d.Rooms("room-8", 1); len(infos) != 1 || infos[0].Head != 2 {
			t.Errorf("listed are %+v", infos)
		}
	})
}
