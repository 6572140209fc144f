package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// oneWriter is the model of TestEverySeqOnceAndInOrder.
type oneWriter struct {
	t      *testing.T
	rt     *rapid.T
	d      *Dispatcher
	store  *recorder
	window int
	seats  []seat
	froms  sync.Map // of users to the first entry that they may see
	ids    int
}

// seat is a place of a follower. It is empty once the follower has left.
type seat struct {
	*follower
	in     bool
	cursor uint64
}

func (m *oneWriter) nextID() string {
	m.ids++
	return fmt.Sprint("id", m.ids)
}

func (m *oneWriter) log() []store.Entry { return m.store.entries("lobby") }

func (m *oneWriter) head() uint64 { return uint64(len(m.log())) }

// enter has a follower join. The first time it is at the head, with a page of the history;
// then it goes on where it was. Every other one sees only what comes after it was there
// first.
func (m *oneWriter) enter(i int) {
	seat := &m.seats[i]
	start, first := Start{After: seat.cursor, Resume: true, Epoch: m.d.Epoch()}, seat.follower == nil
	if first {
		start = Start{}
		seat.follower = &follower{room: "lobby", user: fmt.Sprint("user", i, "x")}
	}
	f := seat.follower
	f.reader, f.own, f.resynced = newReader(m.t), make(map[string]kaban.Draft), false
	place, err := m.d.Find(context.Background(), storetest.RoomName(m.t, "lobby"), start)
	if err != nil {
		m.rt.Fatal(err)
	}
	if first && i%2 == 1 {
		f.from = place.state.Head + 1
		m.froms.Store(f.user, f.from)
	}
	place.From(f.from)
	sub, joined, err := m.d.Join(f.reader, f.reader, full[i/2%2], &kaban.Peer{Identity: kaban.Visitor(storetest.Username(m.t, f.user))}, place)
	var resync *ResyncError
	switch {
	case err == nil && start.Resume:
		f.next = start.After + 1
	case err == nil:
		f.next = joined.Head + 1
		f.forget(m.rt, m.store, m.d)
	case errors.As(err, &resync) && m.window != 0 && start.After+1 < resync.Oldest:
		return
	default:
		m.rt.Fatalf("join with %+v: %v", start, err)
	}
	f.s, seat.in = sub, true
}

func (m *oneWriter) leave(i int) {
	seat := &m.seats[i]
	seat.cursor = seat.s.Seq()
	m.d.Leave(seat.s)
	seat.check(m.rt, m.log())
	seat.in = false
}

// elsewhere has another writer append, which the dispatcher does not hear of.
func (m *oneWriter) elsewhere() {
	draft := storetest.Draft(m.t, "lobby", "elsewhere", m.nextID(), "x")
	drawEntry(m.rt, &draft, m.head())
	if r := storetest.Append(m.t, m.store, draft)[0]; r.Err != nil && !isAbout(r.Err) {
		m.rt.Fatalf("another writer: %v", r.Err)
	}
}

// checkBudget holds at any time.
func (m *oneWriter) checkBudget() {
	if !m.store.instant { // the committer may be publishing
		return
	}
	if used, counted := m.d.budget.used.Load(), countChunks(m.d.budget); used != counted || used > m.d.budget.limit {
		m.rt.Fatalf("the tails hold %d bytes, counted are %d, and the budget is %d", counted, used, m.d.budget.limit)
	}
}

// finish has everybody read on to the end.
func (m *oneWriter) finish() {
	// A last message shows the dispatcher everything that others wrote.
	last := newReader(m.t)
	final := join(m.t, m.d, last, "lobby", "final", Start{})
	m.d.Submit([]Send{send(m.t, final, "final", "last", "last")})
	for final.Outstanding() > 0 {
		last.until(final, 0)
	}
	waitIdle(m.d)
	for i := range m.seats {
		f := &m.seats[i]
		if !f.in {
			continue
		}
		f.s.Rise()
		if f.take(f.s, 1<<20); f.changed {
			m.leave(i)
			if m.enter(i); !f.in {
				continue
			}
			f.take(f.s, 1<<20)
		}
		f.check(m.rt, m.log())
		if head := final.Seq(); f.next != head+1 {
			m.rt.Fatalf("%s was given everything up to %d, want %d", f.user, f.next-1, head)
		}
		f.checkFold(m.rt, m.store, m.log())
		m.d.Leave(f.s)
	}
	m.d.Leave(final)
	if used := m.d.budget.used.Load(); used != 0 {
		m.rt.Fatalf("after the last has left, the tails hold %d bytes", used)
	}
	for _, e := range m.log() {
		for i := range m.seats {
			if f := m.seats[i].follower; f != nil && f.user == e.Username && e.Target != 0 && e.Target < f.from {
				m.rt.Fatalf("%s, from %d, was let do %+v", f.user, f.from, e)
			}
		}
	}
}

// judge is a Judge for members that may do everything with what they may see.
func (m *oneWriter) judge(r *Room, member *kaban.Peer, _ *Rights, generation uint64) (*Rights, error) {
	rights := &Rights{Generation: generation, Revision: r.Revision()}
	if from, ok := m.froms.Load(member.Name().String()); ok {
		rights.From = from.(uint64)
	}
	return rights, nil
}

// TestEverySeqOnceAndInOrder has readers join, stall, read in odd pieces, leave
// and resume while they and another writer of the log append entries of all
// kinds, with tails and windows of all sizes. Each is given every number
// once, in order, as the log has it, or as one that it may not see. What it has folded
// in the end is what the whole log makes of the messages.
func TestEverySeqOnceAndInOrder(t *testing.T) {
	steps := 0
	defer func() { t.Logf("%d steps", steps) }()
	rapid.Check(t, func(rt *rapid.T) {
		m := &oneWriter{t: t, rt: rt, window: rapid.SampledFrom([]int{0, 0, 8 << 10}).Draw(rt, "window"), seats: make([]seat, 4)}
		m.store = newRecorder(memory.New(m.window), rapid.Bool().Draw(rt, "instant"))
		var err error
		if m.d, err = New(context.Background(), m.store, drawOptions(rt)); err != nil {
			rt.Fatal(err)
		}
		defer m.d.Close()
		m.d.SetJudge(m.judge)
		for _, i := range []int{0, 2} { // the others come later
			m.enter(i)
		}
		step := func(do func()) func(*rapid.T) {
			return func(rt *rapid.T) {
				steps++
				m.rt = rt
				do()
			}
		}
		with := func(in bool, do func(i int)) func(*rapid.T) {
			return step(func() {
				if i := rapid.IntRange(0, len(m.seats)-1).Draw(m.rt, "follower"); m.seats[i].in == in {
					do(i)
				}
			})
		}
		read := func(i int) {
			if m.seats[i].taking(m.rt) {
				m.leave(i)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": with(true, func(i int) { m.d.Submit(m.seats[i].drawSends(m.rt, m.nextID, m.head())) }),
			"repeat": with(true, func(i int) { // of an entry that the log has by now
				if m.window == 0 {
					m.d.Submit(m.seats[i].repeatOf(m.log()))
				}
			}),
			"another writer": step(m.elsewhere),
			"read":           with(true, read),
			"read ":          with(true, read), // twice as often
			"all goes quiet": step(func() { // and the tails are given back
				for c := m.d.budget.oldestAged(0); c != nil; c = m.d.budget.oldestAged(0) {
					c.tail.dropThrough(c)
				}
			}),
			"":          func(rt *rapid.T) { m.rt = rt; m.checkBudget() },
			"leave":     with(true, m.leave),
			"come back": with(false, m.enter),
		})
		m.rt = rt
		m.finish()
	})
}

// recorder keeps whole logs, which the store under it may forget.
type recorder struct {
	store.Store
	instant bool
	appends int // as Appends says
	mu      sync.Mutex
	logs    map[string][]store.Entry // by room
}

func newRecorder(s store.Store, instant bool) *recorder {
	r := &recorder{Store: s, instant: instant, appends: 3, logs: make(map[string][]store.Entry)}
	if instant {
		r.appends = 1
	}
	return r
}

func (s *recorder) Instant() bool { return s.instant }

func (s *recorder) Appends() int { return s.appends }

func (s *recorder) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Store.Append(ctx, batch, results); err != nil {
		return err
	}
	for i, r := range results {
		if r.Err == nil && !r.Duplicate {
			room := batch[i].Room.String()
			s.logs[room] = append(s.logs[room], store.NewEntry(&batch[i].Draft, r.Seq, r.Time))
		}
	}
	return nil
}

func (s *recorder) entries(room string) []store.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logs[room])
}
