package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// follower is a subscription of a property test and the entry it must be given
// next.
type follower struct {
	*reader
	s        *Subscription
	room     string
	user     string
	next     uint64          // the entry that must come next
	own      map[string]bool // ids sent through this subscription, without repeats
	resynced bool
}

// check consumes everything given and compares it with the log.
func (f *follower) check(t *rapid.T, log []store.Entry) {
	for _, given := range f.given {
		f.checkOne(t, log, given)
	}
	f.given = nil
}

func (f *follower) checkOne(t *rapid.T, log []store.Entry, given string) {
	var seq, oldest, head uint64
	if n, _ := fmt.Sscanf(given, "resync %d %d", &oldest, &head); n == 2 {
		if f.next >= oldest {
			t.Fatalf("%s got a resync, but the log has %d to %d and it needs %d", f.user, oldest, head, f.next)
		}
		f.next, f.resynced = head+1, true
		return
	}
	id, isAck := "", false
	if n, _ := fmt.Sscanf(given, "duplicate %d %s", &seq, &id); n == 2 {
		if e := log[seq-1]; e.ID != id || e.Username != f.user || seq >= f.next {
			t.Fatalf("%s got %q before %d; the log has %v there", f.user, given, f.next, e)
		}
		return
	}
	if n, _ := fmt.Sscanf(given, "ack %d %s", &seq, &id); n == 2 {
		isAck = true
	} else if _, err := fmt.Sscanf(given, f.room+" %d", &seq); err != nil {
		t.Fatalf("%s got %q", f.user, given)
	}
	if isAck && f.resynced && seq < f.next { // the log has it, the cursor jumped over it
		return
	}
	if seq != f.next {
		t.Fatalf("%s got %q, want number %d", f.user, given, f.next)
	}
	e := &log[seq-1]
	want := strings.TrimSuffix(string(plain.AppendEntry(nil, f.room, e)), "\n")
	if e.Username == f.user && f.own[e.ID] {
		want = fmt.Sprintf("ack %d %s", seq, e.ID)
	}
	if given != want {
		t.Fatalf("%s got %q, want %q", f.user, given, want)
	}
	f.next++
}

// drawEntry draws what an entry of a property test holds. Not all are messages.
func drawEntry(t *rapid.T, d *kaban.Draft) {
	d.Kind = rapid.SampledFrom([]kaban.Kind{kaban.KindMessage, unknownKind}).Draw(t, "kind")
	d.Body = strings.Repeat("x", rapid.SampledFrom([]int{1, 1000}).Draw(t, "length"))
}

// drawOptions draws tails of all sizes.
func drawOptions(t *rapid.T) Options {
	return Options{
		TailBytes:     rapid.SampledFrom([]int{1, 8 << 10, 256 << 10}).Draw(t, "tail"),
		TailBudget:    rapid.SampledFrom([]int64{1, 8 << 10, 64 << 20}).Draw(t, "budget"),
		PageEntries:   rapid.SampledFrom([]int{1, 7, 500}).Draw(t, "page"),
		PresenceDelay: time.Hour,
	}
}

// drawSends draws a batch that a follower sends.
func (f *follower) drawSends(t *rapid.T, nextID func() string) []Send {
	batch := make([]Send, rapid.IntRange(1, 60).Draw(t, "sends"))
	for i := range batch {
		id := nextID()
		f.own[id] = true
		batch[i] = send(f.t, f.s, f.user, id, "x")
		drawEntry(t, &batch[i].Draft)
	}
	return batch
}

// repeatOf returns a repeat of a late entry of the follower's user, or nil.
func (f *follower) repeatOf(log []store.Entry) []Send {
	for _, e := range log[len(log)-min(len(log), 20):] {
		if e.Username == f.user {
			again := send(f.t, f.s, f.user, e.ID, e.Content)
			again.Draft.Kind = e.Kind
			return []Send{again}
		}
	}
	return nil
}

// TestEverySeqOnceAndInOrder has readers join, stall, read in odd pieces, leave
// and resume while they and another writer of the log append entries of known and
// unknown kinds, with tails and windows of all sizes. Each is given every number
// once, in order, as the log has it.
func TestEverySeqOnceAndInOrder(t *testing.T) {
	steps := 0
	defer func() { t.Logf("%d steps", steps) }()
	rapid.Check(t, func(rt *rapid.T) {
		window := rapid.SampledFrom([]int{0, 0, 8 << 10}).Draw(rt, "window")
		s := newRecorder(memory.New(window), rapid.Bool().Draw(rt, "instant"))
		d, err := New(context.Background(), s, drawOptions(rt))
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Close()
		lobby := storetest.RoomName(t, "lobby")
		followers := make([]*follower, 4)
		cursors := make([]uint64, len(followers))
		ids := 0
		nextID := func() string {
			ids++
			return fmt.Sprint("id", ids)
		}
		pick := func() (int, *follower) {
			steps++
			i := rapid.IntRange(0, len(followers)-1).Draw(rt, "follower")
			return i, followers[i]
		}
		enter := func(i int, start Start) {
			f := &follower{reader: newReader(t), room: "lobby", user: fmt.Sprint("user", i, "x"), own: make(map[string]bool)}
			format := []Format{plain, &textFormat{"other"}}[i%2]
			sub, joined, err := tryJoin(d, f.reader, format, storetest.Username(t, f.user), lobby, start)
			var resync *ResyncError
			switch {
			case err == nil && start.Resume:
				f.next = start.After + 1
			case err == nil:
				f.next = joined.Head + 1
			case errors.As(err, &resync) && window != 0 && start.After+1 < resync.Oldest:
				return
			default:
				rt.Fatalf("join with %+v: %v", start, err)
			}
			f.s, followers[i] = sub, f
		}
		for i := range followers {
			enter(i, Start{})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				if _, f := pick(); f != nil {
					d.Submit(f.drawSends(rt, nextID))
				}
			},
			"repeat": func(*rapid.T) { // of an entry that the log has by now
				if _, f := pick(); f != nil && window == 0 {
					d.Submit(f.repeatOf(s.entries("lobby")))
				}
			},
			"another writer": func(rt *rapid.T) {
				draft := storetest.Draft(t, "lobby", "elsewhere", nextID(), "x")
				drawEntry(rt, &draft)
				storetest.Append(t, s, draft)
			},
			"take": func(rt *rapid.T) {
				if _, f := pick(); f != nil {
					f.s.Rise()
					f.take(f.s, rapid.SampledFrom([]int{1, 100, 5000, 1 << 20}).Draw(rt, "bytes"))
				}
			},
			"sip": func(rt *rapid.T) { // and no more for now
				if _, f := pick(); f != nil {
					f.s.Rise()
					f.sip(f.s, rapid.SampledFrom([]int{1, 30, 1500}).Draw(rt, "bytes"))
					f.s.Rest()
				}
			},
			"all goes quiet": func(*rapid.T) { // and the tails are given back
				for c := d.budget.oldestAged(0); c != nil; c = d.budget.oldestAged(0) {
					c.tail.dropThrough(c)
				}
			},
			"": func(rt *rapid.T) { // holds at any time
				if !s.instant { // the committer may be publishing
					return
				}
				if used, counted := d.budget.used.Load(), countChunks(d.budget); used != counted || used > d.budget.limit {
					rt.Fatalf("the tails hold %d bytes, counted are %d, and the budget is %d", counted, used, d.budget.limit)
				}
			},
			"leave": func(rt *rapid.T) {
				i, f := pick()
				if f == nil {
					return
				}
				cursors[i] = f.s.Seq()
				d.Leave(f.s)
				f.check(rt, s.entries("lobby"))
				followers[i] = nil
			},
			"come back": func(*rapid.T) {
				if i, f := pick(); f == nil {
					enter(i, Start{After: cursors[i], Resume: true, Epoch: d.Epoch()})
				}
			},
		})
		// A last message shows the dispatcher everything that others wrote.
		last := newReader(t)
		final := join(t, d, last, "lobby", "final", Start{})
		d.Submit([]Send{send(t, final, "final", "last", "last")})
		for final.Outstanding() > 0 {
			last.until(final, 0)
		}
		waitIdle(d)
		head := final.Seq()
		log := s.entries("lobby")
		for _, f := range followers {
			if f == nil {
				continue
			}
			f.s.Rise()
			f.take(f.s, 1<<20)
			f.check(rt, log)
			if f.next != head+1 {
				rt.Fatalf("%s was given everything up to %d, want %d", f.user, f.next-1, head)
			}
			d.Leave(f.s)
		}
		d.Leave(final)
		if used := d.budget.used.Load(); used != 0 {
			rt.Fatalf("after the last has left, the tails hold %d bytes", used)
		}
	})
}

// recorder keeps whole logs, which the store under it may forget.
type recorder struct {
	store.Store
	instant bool
	mu      sync.Mutex
	logs    map[string][]store.Entry // by room
}

func newRecorder(s store.Store, instant bool) *recorder {
	return &recorder{Store: s, instant: instant, logs: make(map[string][]store.Entry)}
}

func (s *recorder) Instant() bool { return s.instant }

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
