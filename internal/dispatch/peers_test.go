package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// ear is a bus that keeps what is published.
type ear struct {
	mu        sync.Mutex
	published []*bus.Hint
	said      []bus.Message
	receiver  bus.Receiver
}

func (e *ear) Publish(h *bus.Hint) {
	kept := *h
	kept.Entries = slices.Clone(h.Entries)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.published = append(e.published, &kept)
}

func (e *ear) Say(m bus.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, m)
}

func (e *ear) Subscribe(r bus.Receiver) error {
	e.receiver = r
	return nil
}

func (e *ear) Stats() bus.Stats { return bus.Stats{} }

func (e *ear) Close() error { return nil }

// take returns what was published since the last call, as text.
func (e *ear) take() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.published {
		all = append(all, fmt.Sprint(h.Room, " ", h.Head, ":", seqs(h.Entries)))
	}
	e.published = nil
	return all
}

func seqs(entries []store.Entry) (all []uint64) {
	for i := range entries {
		all = append(all, entries[i].Seq)
	}
	return all
}

// connected returns a dispatcher with a bus.
func connected(t *testing.T, s store.Store) (*Dispatcher, *ear) {
	t.Helper()
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	e := new(ear)
	if err := d.Connect(e, func() uint64 { return timeline }); err != nil {
		t.Fatal(err)
	}
	return d, e
}

// hintOf returns the hint of another node about some entries of the lobby, as the store has them.
func hintOf(t *testing.T, s store.Store, first, last uint64) *bus.Hint {
	t.Helper()
	h := &bus.Hint{Epoch: s.Epoch(), Timeline: timeline, Room: storetest.RoomName(t, "lobby"), Head: last}
	if first <= last {
		var err error
		if h.Entries, err = s.Read(t.Context(), h.Room, store.Page{After: first - 1, Before: last + 1, Limit: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// Entries in a hint are published without the store, unless some are missing before them.
func TestHintsWithEntries(t *testing.T) {
	for _, c := range []struct {
		name  string
		hints func(h func(first, last uint64) *bus.Hint) []*bus.Hint
		head  int
		reads bool
	}{
		{"it follows the head", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			return []*bus.Hint{h(1, 2), h(3, 3)}
		}, 3, false},
		{"it overlaps", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			return []*bus.Hint{h(1, 3), h(2, 3), h(1, 1), h(2, 5)}
		}, 5, false},
		{"there is a gap", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			return []*bus.Hint{h(1, 1), h(3, 4)}
		}, 5, true},
		{"the head is beyond the entries", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			hint := h(1, 1)
			hint.Head = 4
			return []*bus.Hint{hint}
		}, 5, true},
		{"there are no entries", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			return []*bus.Hint{h(4, 3)}
		}, 5, true},
		{"another epoch", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			hint := h(1, 2)
			hint.Epoch, hint.Entries[0].Content = "OTHER", "lie"
			return []*bus.Hint{hint}
		}, 5, true},
		{"another timeline", func(h func(first, last uint64) *bus.Hint) []*bus.Hint {
			hint := h(1, 2)
			hint.Timeline, hint.Entries[0].Content = timeline-1, "lie"
			return []*bus.Hint{hint}
		}, 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &counting{Store: memory.New(0)}
			d, e := connected(t, s)
			alice := newReader(t)
			a := join(t, d, alice, "lobby", "alice", Start{})
			elsewhere(t, s.Store, "lobby", "c1", "c2", "c3", "c4", "c5")
			waitIdle(d)
			s.reset()
			for _, h := range c.hints(func(first, last uint64) *bus.Hint { return hintOf(t, s.Store, first, last) }) {
				e.receiver.Hint(h)
				waitIdle(d)
			}
			alice.take(a, 1<<20)
			var want []string
			for seq := 1; seq <= c.head; seq++ {
				want = append(want, fmt.Sprintf("lobby %d carol x", seq))
			}
			assertGiven(t, alice, want...)
			if reads := s.reads+s.asked > 0; reads != c.reads {
				t.Errorf("the store was asked: %v, want %v", reads, c.reads)
			}
			if said := e.take(); len(said) > 0 {
				t.Errorf("it says again what it has heard: %v", said)
			}
		})
	}
}

// What is appended is announced once it is stored, a room and batch at a time.
func TestAppendsAreAnnounced(t *testing.T) {
	for _, instant := range []bool{true, false} {
		t.Run(fmt.Sprint("instant ", instant), func(t *testing.T) {
			s := newRecorder(memory.New(0), instant)
			s.appends = 1 // so that a batch has one order
			d, e := connected(t, s)
			alice := newReader(t)
			a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, alice, "den", "alice", Start{})
			say := func(s *Subscription, id string) Send { return send(t, s, "alice", id, "x") }
			submit := func(sends ...Send) []string {
				d.Submit(sends)
				waitCompleted(d)
				return e.take()
			}
			for _, c := range []struct {
				name  string
				sends []Send
				want  []string
			}{
				{"one", []Send{say(a, "a1")}, []string{"lobby 1:[1]"}},
				{"a batch", []Send{say(a, "a2"), say(b, "b1"), say(a, "a3")}, []string{"lobby 3:[2 3]", "den 1:[1]"}},
				{"a repeat", []Send{say(a, "a3")}, []string{"lobby 3:[]"}}, // perhaps nobody has heard of it
				{"nothing stored", []Send{send(t, a, "alice", "a1", "other")}, nil},
			} {
				if got := submit(c.sends...); !slices.Equal(got, c.want) {
					t.Errorf("%s: announced %v, want %v", c.name, got, c.want)
				}
			}
			elsewhere(t, s, "lobby", "c1")
			if got, want := submit(say(a, "a4")), []string{"lobby 5:[5]"}; !slices.Equal(got, want) {
				t.Errorf("behind another writer: announced %v, want %v", got, want)
			}
		})
	}
}

// waitCompleted returns once everything submitted is stored, published and announced.
func waitCompleted(d *Dispatcher) {
	waitIdle(d)
	for _, c := range d.committers {
		c.mu.Lock()
		c.waiting.Wait()
		c.mu.Unlock()
	}
}

// Batches that do not fit into one hint become several, up to a limit.
func TestLongBatchesAreSplit(t *testing.T) {
	entry := func(seq uint64, content int) store.Entry {
		return store.Entry{Seq: seq, Kind: kaban.KindMessage, ID: "i", Author: "visitor:a", Username: "a", Content: strings.Repeat("x", content)}
	}
	many := func(n, content int) (all []store.Entry) {
		for i := range n {
			all = append(all, entry(uint64(i+1), content))
		}
		return all
	}
	d, e := connected(t, memory.New(0))
	for _, c := range []struct {
		name    string
		entries []store.Entry
		hints   int
		last    int // entries of the last hint
	}{
		{"it fits", many(3, 10_000), 1, 3},
		{"it does not", many(4, 10_000), 2, 1},
		{"none fits", many(1, bus.MaxEntryBytes), 1, 1}, // which the encoding leaves out
		{"with a gap", []store.Entry{entry(1, 1), entry(3, 1)}, 2, 1},
		{"far too long", many(maxAnnounced+1, 20_000), maxAnnounced + 1, 0},
	} {
		g := &grownRoom{name: storetest.RoomName(t, "lobby"), entries: c.entries, head: c.entries[len(c.entries)-1].Seq}
		d.peers.announce(g)
		var all []store.Entry
		for i, h := range e.published {
			all = append(all, h.Entries...)
			if got := len(h.Entries); i == c.hints-1 && (got != c.last || h.Head != g.head) || i < c.hints-1 && h.Head != h.Entries[got-1].Seq {
				t.Errorf("%s: hint %d has %v with the head %d", c.name, i, seqs(h.Entries), h.Head)
			}
		}
		if len(e.published) != c.hints || c.last > 0 && len(all) != len(c.entries) {
			t.Errorf("%s: %d hints with %d entries, want %d with %d", c.name, len(e.published), len(all), c.hints, len(c.entries))
		}
		e.take()
	}
}

// What another node has appended before an append of this one is taken from its hint, where
// that has come by then, and not read.
func TestAppendsBehindAHint(t *testing.T) {
	s := &counting{Store: memory.New(0)}
	d, e := connected(t, s)
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	elsewhere(t, s.Store, "lobby", "c1", "c2", "c3")
	waitIdle(d)
	s.reset()
	d.committers[0].mu.Lock() // so that the committer finds both
	e.receiver.Hint(hintOf(t, s.Store, 1, 3))
	d.Submit([]Send{send(t, a, "alice", "a1", "x")})
	d.committers[0].mu.Unlock()
	d.committers[0].commitQueued()
	alice.until(a, 0)
	waitCompleted(d)
	alice.take(a, 1<<20)
	assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x", "lobby 3 carol x", "ack 4 a1")
	if s.reads+s.asked > 0 {
		t.Errorf("the store was asked %d times and read %d times; %+v", s.asked, s.reads, d.Stats())
	}
}

// late is a store that another node overtakes while it appends.
type late struct {
	counting
	before func()
}

func (s *late) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.before()
	return s.counting.Append(ctx, batch, results)
}

// The same where the hint comes while this node appends.
func TestAHintDuringAnAppend(t *testing.T) {
	s := &late{counting: counting{Store: memory.New(0)}}
	d, e := connected(t, s)
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	waitIdle(d)
	s.reset()
	s.before = func() {
		elsewhere(t, s.Store, "lobby", "c1", "c2")
		e.receiver.Hint(hintOf(t, s.Store, 1, 2))
	}
	d.Submit([]Send{send(t, a, "alice", "a1", "x")})
	alice.until(a, 3)
	waitCompleted(d)
	assertGiven(t, alice, "lobby 1 carol x", "lobby 2 carol x", "ack 3 a1")
	if s.reads+s.asked > 0 {
		t.Errorf("the store was asked %d times and read %d times; %+v", s.asked, s.reads, d.Stats())
	}
}

// Queued hints about a room become one. Of entries with a gap between them the first stay.
func TestHintsAreMerged(t *testing.T) {
	lobby := storetest.RoomName(t, "lobby")
	run := func(first, last uint64) (entries []store.Entry) {
		for seq := first; seq <= last; seq++ {
			entries = append(entries, store.Entry{Seq: seq})
		}
		return entries
	}
	for _, c := range []struct {
		one, two, want []store.Entry
	}{
		{run(3, 4), run(5, 6), run(3, 6)},
		{run(5, 6), run(3, 4), run(3, 6)},
		{run(3, 4), run(6, 7), run(3, 4)},
		{run(6, 7), run(3, 4), run(3, 4)},
		{run(3, 6), run(4, 5), run(3, 6)},
		{run(3, 5), run(4, 7), run(3, 7)},
		{run(4, 7), run(3, 5), run(3, 7)},
		{run(3, 4), nil, run(3, 4)},
		{nil, run(3, 4), run(3, 4)},
		{nil, nil, nil},
	} {
		var b inbox
		b.init(5, maxHinted)
		b.putHint(hint{room: lobby, seq: 9, entries: c.one})
		b.putHint(hint{room: lobby, seq: 8, entries: c.two})
		size := b.hinted
		got := b.takeHints(nil)
		if len(got) != 1 || got[0].seq != 9 || !slices.Equal(seqs(got[0].entries), seqs(c.want)) || b.hinted != 0 || size != got[0].size() {
			t.Errorf("%v and %v: got %+v and size %d, want %v", seqs(c.one), seqs(c.two), got, size, seqs(c.want))
		}
	}
}

// The entries of queued hints have a bound.
func TestHintedEntriesAreBounded(t *testing.T) {
	var b inbox
	b.init(1<<20, maxHinted)
	entry := store.Entry{Seq: 1, Content: strings.Repeat("x", bus.MaxEntryBytes)}
	rooms := 2 * maxHinted / bus.EntrySize(&entry)
	for i := range rooms {
		if !b.putHint(hint{room: storetest.RoomName(t, fmt.Sprint("room-", i)), seq: 1, entries: []store.Entry{entry}}) {
			t.Fatalf("hint %d is not taken", i)
		}
		if b.hinted > maxHinted {
			t.Fatalf("%d bytes are queued, more than %d", b.hinted, maxHinted)
		}
	}
	if b.hinted < maxHinted/2 || len(b.hints) != rooms {
		t.Errorf("%d bytes and %d hints are queued", b.hinted, len(b.hints))
	}
}
