package dispatch

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// countChunks adds up the chunks that a budget lists.
func countChunks(b *budget) (bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := b.oldest; c != nil; c = c.newer {
		bytes += c.cost()
	}
	return bytes
}

// crowd is many rooms with a member for each of two formats.
type crowd struct {
	t     testing.TB
	d     *Dispatcher
	rooms []*Room
	subs  [][]*Subscription // of each room
}

func newCrowd(t testing.TB, rooms int, options Options) *crowd {
	t.Helper()
	c := &crowd{t: t, d: newDispatcher(t, memory.New(0), options)}
	for i := range rooms {
		name := storetest.RoomName(t, fmt.Sprint("room-", i))
		var subs []*Subscription
		for j, format := range []Format{plain, &textFormat{"other"}} {
			s, _, err := tryJoin(c.d, sleeper{}, format, storetest.Username(t, fmt.Sprintf("user-%d-%d", i, j)), name, Start{})
			if err != nil {
				t.Fatal(err)
			}
			subs = append(subs, s)
		}
		c.rooms, c.subs = append(c.rooms, c.d.Peek(name)), append(c.subs, subs)
	}
	return c
}

// say publishes messages in a room and lets its members read them. If keep is set
// they are stored as well.
func (c *crowd) say(room, messages, size int, keep bool) {
	r := c.rooms[room]
	content := strings.Repeat("x", size)
	for range messages {
		if keep {
			storetest.Append(c.t, c.d.store, storetest.Draft(c.t, r.Name().String(), "ann", fmt.Sprintf("%d-%d", room, r.Head()+1), content))
		}
		r.publish([]store.Entry{{Seq: r.Head() + 1, Kind: kaban.KindMessage, ID: "id", Username: "ann", Content: content}})
		for _, s := range c.subs[room] {
			c.listen(s)
		}
	}
}

// listen reads everything that a subscription has.
func (c *crowd) listen(s *Subscription) {
	for {
		switch segment := s.Next(); {
		case segment.Behind:
			if err := s.Fetch(context.Background()); err != nil {
				c.t.Error(err)
				return
			}
		case segment.Frames == nil:
			return
		default:
			s.Advance(&segment, len(segment.Frames))
		}
	}
}

// leave ends all subscriptions.
func (c *crowd) leave() {
	for _, subs := range c.subs {
		for _, s := range subs {
			c.d.Leave(s)
			s.Next()
		}
	}
}

// kept returns the bytes that the tails of a room hold.
func (c *crowd) kept(room int) (bytes int) {
	r := c.rooms[room]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tails {
		bytes += t.size
	}
	return bytes
}

// The tails of all rooms share one budget, however many there are, and release it
// when the last member has left. The count agrees with the heap.
func TestTailsShareABudget(t *testing.T) {
	const budget = 8 << 20
	c := newCrowd(t, 300, Options{TailBudget: budget, PresenceDelay: time.Hour})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var most int64
	for range 30 { // 120 KiB for each of 600 tails
		for i := range c.rooms {
			c.say(i, 4, 1000, false)
			most = max(most, c.d.budget.used.Load())
		}
	}
	held := heap() - before
	t.Logf("the budget is %d KiB, up to %d KiB were counted, the heap holds %d KiB", budget>>10, most>>10, held>>10)
	if most > budget || countChunks(c.d.budget) != c.d.budget.used.Load() {
		t.Errorf("up to %d bytes were counted, want at most %d", most, budget)
	}
	if held > budget*5/4 {
		t.Errorf("the heap holds %d bytes for tails, want about %d", held, budget)
	}
	c.leave()
	if used := c.d.budget.used.Load(); used != 0 || c.d.budget.oldest != nil {
		t.Errorf("after the last member has left, %d bytes are counted", used)
	}
	if held := heap() - before; held > budget/4 {
		t.Errorf("after the last member has left, the heap holds %d bytes", held)
	}
	runtime.KeepAlive(c)
}

// A busier room keeps more.
func TestTheBudgetIsSharedByUse(t *testing.T) {
	c := newCrowd(t, 40, Options{TailBudget: 1 << 20, PresenceDelay: time.Hour})
	for range 200 {
		for i := range c.rooms {
			if i%2 == 0 { // these get nine times as much
				c.say(i, 8, 100, false)
			}
			c.say(i, 1, 100, false)
		}
	}
	busy, quiet := 0, 0
	for i := range c.rooms {
		if i%2 == 0 {
			busy += c.kept(i)
		} else {
			quiet += c.kept(i)
		}
	}
	t.Logf("busy rooms keep %d bytes, quiet ones %d", busy, quiet)
	if busy < 4*quiet || quiet == 0 {
		t.Errorf("busy rooms keep %d bytes, quiet ones %d; want several times as much, and some", busy, quiet)
	}
}

// A format without readers has no tail, even if the room has other members.
func TestALeftFormatHasNoTail(t *testing.T) {
	c := newCrowd(t, 1, Options{PresenceDelay: time.Hour})
	c.say(0, 10, 1000, false)
	both := c.kept(0)
	c.d.Leave(c.subs[0][1])
	if one := c.kept(0); one != both/2 || countChunks(c.d.budget) != c.d.budget.used.Load() || len(c.rooms[0].tails) != 1 {
		t.Errorf("the tails hold %d bytes, before they held %d", one, both)
	}
	c.subs[0] = c.subs[0][:1]
	c.say(0, 1, 1000, false)
	if seq := c.subs[0][0].Seq(); seq != 11 {
		t.Errorf("the other is at %d, want 11", seq)
	}
}

// A room that has become quiet releases its tails, even if cursors stand in them.
// The next frame, here presence, still reaches every member.
func TestAQuietRoomGivesItsTailBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{TailAge: time.Minute, PresenceDelay: time.Second})
		alice, bob := newReader(t), newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		b := join(t, d, bob, "lobby", "bob", Start{})
		d.Submit([]Send{send(t, a, "alice", "one", "hello")})
		alice.until(a, 1)
		for _, s := range []*Subscription{a, b} { // stand in the tail, as between two rounds
			for segment := s.Next(); segment.Frames != nil; segment = s.Next() {
				s.Advance(&segment, len(segment.Frames))
			}
		}
		b.Unpin() // this one keeps its position only
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if d.budget.used.Load() == 0 {
			t.Fatal("there is no tail")
		}
		alice.take(a, 1<<20)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if used := d.budget.used.Load(); used != 0 {
			t.Errorf("the room is quiet, and its tails hold %d bytes", used)
		}
		if !alice.woken {
			t.Error("the cursors in the tail were not woken")
		}
		alice.given, bob.given = nil, nil
		carl := newReader(t)
		join(t, d, carl, "lobby", "carl", Start{})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		alice.take(a, 1<<20)
		bob.take(b, 1<<20)
		for _, given := range [][]string{alice.given, bob.given} {
			if len(given) == 0 || given[len(given)-1] != "lobby presence 3 +carl -" {
				t.Errorf("after a quiet time got %q, want carl's presence", given)
			}
		}
	})
}

// Many rooms have readers and writers at once, and the budget is too small for
// them. It is exceeded only by what is being published.
func TestTheBudgetHoldsUnderLoad(t *testing.T) {
	const budget, rooms, writers, size = 64 << 10, 30, 4, 500
	c := newCrowd(t, rooms, Options{TailBudget: budget, TailBytes: 16 << 10, PresenceDelay: time.Millisecond})
	slack := int64(writers * 2 * (size + maxChunk)) // each is in one room of two tails
	var group sync.WaitGroup
	var mu sync.Mutex
	var mosts []int64
	for w := range writers {
		group.Go(func() {
			var most int64
			for i := range 300 {
				for room := w; room < rooms; room += writers {
					c.say(room, 1, size, true)
					most = max(most, c.d.budget.used.Load())
					if i%50 == room%50 { // others join and leave
						visitor, _, err := tryJoin(c.d, sleeper{}, plain, storetest.Username(t, fmt.Sprint("visitor-", room)), c.rooms[room].Name(), Start{})
						if err != nil {
							t.Error(err)
							return
						}
						c.d.Leave(visitor)
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			mosts = append(mosts, most)
		})
	}
	group.Wait()
	if most := slices.Max(append(mosts, 0)); most > budget+slack {
		t.Errorf("the tails held up to %d bytes, want at most %d and %d that are being published", most, budget, slack)
	}
	c.d.budget.shrink()
	if used := c.d.budget.used.Load(); used > budget || used != countChunks(c.d.budget) {
		t.Errorf("%d bytes are counted and %d held, of %d", used, countChunks(c.d.budget), budget)
	}
	for room, subs := range c.subs {
		for _, s := range subs {
			if s.Seq() != c.rooms[room].Head() {
				t.Errorf("%s: a reader is at %d of %d", c.rooms[room].Name(), s.Seq(), c.rooms[room].Head())
			}
		}
	}
}
