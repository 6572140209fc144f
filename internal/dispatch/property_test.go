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

// place is a subscription of the property test and what it must be given next.
type place struct {
	*reader
	s        *Subscription
	user     string
	next     uint64          // the entry that must come next
	own      map[string]bool // ids sent through this subscription, without repeats
	resynced bool
}

// check takes off what was given and compares it with the log.
func (p *place) check(t *rapid.T, log []store.Entry) {
	for _, given := range p.given {
		var seq uint64
		var oldest, head uint64
		if n, _ := fmt.Sscanf(given, "resync %d %d", &oldest, &head); n == 2 {
			if p.next >= oldest {
				t.Fatalf("%s was told to resync, but the log has %d to %d and it needs %d", p.user, oldest, head, p.next)
			}
			p.next, p.resynced = head+1, true
			continue
		}
		id, isAck := "", false
		if n, _ := fmt.Sscanf(given, "duplicate %d %s", &seq, &id); n == 2 {
			if e := log[seq-1]; e.ID != id || e.Username != p.user || seq >= p.next {
				t.Fatalf("%s was given %q before %d; the log has %v there", p.user, given, p.next, e)
			}
			continue
		}
		if n, _ := fmt.Sscanf(given, "ack %d %s", &seq, &id); n == 2 {
			isAck = true
		} else if _, err := fmt.Sscanf(given, "lobby %d", &seq); err != nil {
			t.Fatalf("%s was given %q", p.user, given)
		}
		if isAck && p.resynced && seq < p.next { // the log has it, the cursor jumped over it
			continue
		}
		if seq != p.next {
			t.Fatalf("%s was given %q, want number %d", p.user, given, p.next)
		}
		e := log[seq-1]
		want := fmt.Sprintf("lobby %d %s %s", seq, e.Username, e.Content)
		if e.Username == p.user && p.own[e.ID] {
			want = fmt.Sprintf("ack %d %s", seq, e.ID)
		}
		if given != want {
			t.Fatalf("%s was given %q, want %q", p.user, given, want)
		}
		p.next++
	}
	p.given = nil
}

// TestEverySeqOnceAndInOrder has readers come, stall, read in odd pieces, go
// and resume while they and another writer of the log send, with tails and
// windows of all sizes. Whatever happens each is given every number once, in
// order, as the log has it.
func TestEverySeqOnceAndInOrder(t *testing.T) {
	steps := 0
	defer func() { t.Logf("%d steps", steps) }()
	rapid.Check(t, func(rt *rapid.T) {
		window := rapid.SampledFrom([]int{0, 0, 8 << 10}).Draw(rt, "window")
		s := &recorder{Store: memory.New(window), instant: rapid.Bool().Draw(rt, "instant")}
		d, err := New(context.Background(), s, Options{
			TailBytes:     rapid.SampledFrom([]int{1, 8 << 10, 256 << 10}).Draw(rt, "tail"),
			TailBudget:    rapid.SampledFrom([]int64{1, 8 << 10, 64 << 20}).Draw(rt, "budget"),
			PageEntries:   rapid.SampledFrom([]int{1, 7, 500}).Draw(rt, "page"),
			PresenceDelay: time.Hour,
		})
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Close()
		lobby := storetest.RoomName(t, "lobby")
		places := make([]*place, 4)
		cursors := make([]uint64, len(places))
		ids := 0
		content := func(rt *rapid.T) string {
			return strings.Repeat("x", rapid.SampledFrom([]int{1, 1000}).Draw(rt, "length"))
		}
		pick := func() (int, *place) {
			steps++
			i := rapid.IntRange(0, len(places)-1).Draw(rt, "who")
			return i, places[i]
		}
		enter := func(i int, start Start) {
			p := &place{reader: newReader(t), user: fmt.Sprint("user", i, "x"), own: make(map[string]bool)}
			format := []Format{plain, &textFormat{"other"}}[i%2]
			sub, joined, err := tryJoin(d, p.reader, format, storetest.Username(t, p.user), lobby, start)
			var resync *ResyncError
			switch {
			case err == nil && start.Resume:
				p.next = start.After + 1
			case err == nil:
				p.next = joined.Head + 1
			case errors.As(err, &resync) && window != 0 && start.After+1 < resync.Oldest:
				return
			default:
				rt.Fatalf("join with %+v: %v", start, err)
			}
			p.s, places[i] = sub, p
		}
		for i := range places {
			enter(i, Start{})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				_, p := pick()
				if p == nil {
					return
				}
				batch := make([]Send, rapid.IntRange(1, 60).Draw(rt, "sends"))
				for i := range batch {
					ids++
					id := fmt.Sprint("id", ids)
					p.own[id] = true
					batch[i] = send(t, p.s, p.user, id, content(rt))
				}
				d.Submit(batch)
			},
			"repeat": func(rt *rapid.T) { // what the log has by now
				_, p := pick()
				if p == nil {
					return
				}
				log := s.entries()
				for _, e := range log[len(log)-min(len(log), 20):] {
					if e.Username == p.user && window == 0 {
						d.Submit([]Send{send(t, p.s, p.user, e.ID, e.Content)})
						return
					}
				}
			},
			"another writer": func(rt *rapid.T) {
				ids++
				storetest.Append(t, s, storetest.Draft(t, "lobby", "elsewhere", fmt.Sprint("id", ids), content(rt)))
			},
			"take": func(rt *rapid.T) {
				if _, p := pick(); p != nil {
					p.s.Rise()
					p.take(p.s, rapid.SampledFrom([]int{1, 100, 5000, 1 << 20}).Draw(rt, "bytes"))
				}
			},
			"sip": func(rt *rapid.T) { // and no more for now
				if _, p := pick(); p != nil {
					p.s.Rise()
					p.sip(p.s, rapid.SampledFrom([]int{1, 30, 1500}).Draw(rt, "bytes"))
					p.s.Rest()
				}
			},
			"all goes quiet": func(*rapid.T) { // and the tails are given back
				for c := d.budget.first(0); c != nil; c = d.budget.first(0) {
					c.tail.letGo(c)
				}
			},
			"": func(rt *rapid.T) { // holds at any time
				if !s.instant { // or somebody is just publishing
					return
				}
				if used, counted := d.budget.used.Load(), countChunks(d.budget); used != counted || used > d.budget.limit {
					rt.Fatalf("the tails hold %d bytes, counted are %d, and the budget is %d", counted, used, d.budget.limit)
				}
			},
			"leave": func(rt *rapid.T) {
				i, p := pick()
				if p == nil {
					return
				}
				cursors[i] = p.s.Seq()
				d.Leave(p.s)
				p.check(rt, s.entries())
				places[i] = nil
			},
			"come back": func(rt *rapid.T) {
				if i, p := pick(); p == nil {
					enter(i, Start{After: cursors[i], Resume: true, Epoch: d.Epoch()})
				}
			},
		})
		// A last message tells the dispatcher of everything that others wrote.
		last := newReader(t)
		final := join(t, d, last, "lobby", "final", Start{})
		d.Submit([]Send{send(t, final, "final", "last", "last")})
		for final.Outstanding() > 0 {
			last.until(final, 0)
		}
		head := final.Seq()
		log := s.entries()
		for _, p := range places {
			if p == nil {
				continue
			}
			p.s.Rise()
			p.until(p.s, head)
			p.check(rt, log)
			if p.next != head+1 {
				rt.Fatalf("%s was given everything up to %d, want %d", p.user, p.next-1, head)
			}
			d.Leave(p.s)
		}
		d.Leave(final)
		if used := d.budget.used.Load(); used != 0 {
			rt.Fatalf("everybody has left, and the tails hold %d bytes", used)
		}
	})
}

// recorder keeps the whole log, which the store under it may forget.
type recorder struct {
	store.Store
	instant bool
	mu      sync.Mutex
	log     []store.Entry
}

func (s *recorder) Instant() bool { return s.instant }

func (s *recorder) Append(ctx context.Context, batch []kaban.Draft, results []store.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Store.Append(ctx, batch, results); err != nil {
		return err
	}
	for i, r := range results {
		if r.Err == nil && !r.Duplicate {
			d := &batch[i]
			s.log = append(s.log, store.Entry{Seq: r.Seq, ID: d.ID.String(), Username: d.Author.Name().String(), Content: d.Body})
		}
	}
	return nil
}

func (s *recorder) entries() []store.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}
