package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// waitIdle returns once everything queued is committed, published and followed.
func waitIdle(d *Dispatcher) {
	for _, c := range d.committers {
		for idle := false; !idle; runtime.Gosched() {
			c.mu.Lock()
			idle = c.inbox.isEmpty()
			c.mu.Unlock()
		}
	}
}

// node is one of several dispatchers on a store, and its end of the network. It hears
// what the test has it hear.
type node struct {
	*recorder
	d        *Dispatcher
	network  *network
	receiver bus.Receiver
}

func (n *node) Publish(h *bus.Hint) { n.network.publish(h) }

func (n *node) Say(bus.Message) {}

func (n *node) Subscribe(r bus.Receiver) error {
	n.receiver = r
	return nil
}

func (n *node) Stats() bus.Stats { return bus.Stats{} }

func (n *node) Close() error { return nil }

// network holds the hints that are under way to each node, as unreliable as a test
// wants it.
type network struct {
	mu    sync.Mutex
	hints [2][][]byte
}

func (w *network) publish(h *bus.Hint) {
	encoded := h.Append(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.hints { // also back to the node it comes from
		w.hints[i] = append(w.hints[i], encoded)
	}
}

// take returns any hint to a node, or nil if there is none. If keep is set the
// hint will come again.
func (w *network) take(t interface{ Fatal(...any) }, node, any int, keep bool) *bus.Hint {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.hints[node]
	if len(queue) == 0 {
		return nil
	}
	any %= len(queue)
	encoded := queue[any]
	if !keep {
		w.hints[node] = slices.Delete(queue, any, any+1)
	}
	h, err := bus.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// timeline is that of the database in the tests.
const timeline = 5

// newNodes returns two dispatchers on one store, and the network between them.
func newNodes(t interface{ Fatal(...any) }, s *recorder, options func() Options) ([2]*node, *network) {
	var nodes [2]*node
	w := new(network)
	for i := range nodes {
		n := &node{recorder: s, network: w}
		d, err := New(context.Background(), n, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Connect(n, func() uint64 { return timeline }); err != nil {
			t.Fatal(err)
		}
		n.d, nodes[i] = d, n
	}
	return nodes, w
}

// twoWriters is the model of TestTwoDispatchersOnOneStore.
type twoWriters struct {
	t         *testing.T
	rt        *rapid.T
	store     *recorder
	window    int
	nodes     [2]*node
	network   *network
	followers []*followerAt
	ids       int
}

// followerAt is a follower with its node. It may have left.
type followerAt struct {
	*follower
	node   int
	cursor uint64
	in     bool
}

var writerRooms = []string{"lobby", "den", "attic"}

func (m *twoWriters) nextID() string {
	m.ids++
	return fmt.Sprint("id", m.ids)
}

func (m *twoWriters) pick(in bool) *followerAt {
	f := rapid.SampledFrom(m.followers).Draw(m.rt, "follower")
	if f.in != in {
		return nil
	}
	return f
}

func (m *twoWriters) pickNode() *node { return m.nodes[rapid.IntRange(0, 1).Draw(m.rt, "node")] }

func (m *twoWriters) pickRoom() string { return rapid.SampledFrom(writerRooms).Draw(m.rt, "room") }

// enter has a follower join or watch a room at any node, at the head or from its
// cursor, whichever node gave it that.
func (m *twoWriters) enter(f *followerAt, room string, start Start) {
	f.node = rapid.IntRange(0, 1).Draw(m.rt, "node")
	f.reader, f.room, f.own = newReader(m.t), room, make(map[string]kaban.Draft)
	f.resynced = false
	d := m.nodes[f.node].d
	name := storetest.RoomName(m.t, room)
	stored := uint64(len(m.store.entries(room)))
	r := d.Peek(name)
	unread := r == nil || r.isUnread()
	place, ok := d.Known(name, start)
	var err error
	if !ok {
		if place, err = d.Find(context.Background(), name, start); err != nil {
			m.rt.Fatal(err)
		}
	}
	if place.IsNew() && stored > 0 {
		m.rt.Fatalf("%s is new, but has %d entries", room, stored)
	}
	var joined Joined
	watch := rapid.Bool().Draw(m.rt, "watch") && stored > 0
	if watch {
		f.s, joined, err = d.Watch(f.reader, f.reader, full[0], new(kaban.Peer), place)
	} else {
		f.s, joined, err = d.Join(f.reader, f.reader, full[0], &kaban.Peer{Identity: kaban.Visitor(storetest.Username(m.t, f.user))}, place)
	}
	var resync *ResyncError
	switch {
	case err == nil && start.Resume:
		f.next = start.After + 1
	case err == nil:
		f.next = joined.Head + 1
		f.forget(m.rt, m.store, d)
	case errors.As(err, &resync) && m.window != 0 && start.After+1 < resync.Oldest:
		return
	default:
		m.rt.Fatalf("join %s with %+v where %d are stored: %v", room, start, stored, err)
	}
	if unread && joined.Head < stored {
		m.rt.Fatalf("the head of %s is %d, want %d", room, joined.Head, stored)
	}
	f.in = true
}

func (m *twoWriters) leave(f *followerAt) {
	f.cursor = f.s.Seq()
	m.nodes[f.node].d.Leave(f.s)
	f.check(m.rt, m.store.entries(f.room))
	f.in = false
}

func (m *twoWriters) resume(f *followerAt) {
	m.enter(f, f.room, Start{After: f.cursor, Resume: true, Epoch: m.store.Epoch()})
}

func (m *twoWriters) read(f *followerAt) {
	if f.taking(m.rt) {
		m.leave(f)
	}
}

// post has an author without a connection post to a room, and wants the log to
// have it.
func (m *twoWriters) post() {
	room := m.pickRoom()
	draft := storetest.Draft(m.t, room, "poster", m.nextID(), "x")
	drawEntry(m.rt, &draft, uint64(len(m.store.entries(room))))
	receipt, err := m.pickNode().d.Post(context.Background(), Send{Draft: draft}, func() {})
	if isAbout(err) {
		return
	}
	if err != nil {
		m.rt.Fatalf("post to %s: %v", room, err)
	}
	if log := m.store.entries(room); !receipt.Duplicate && log[receipt.Seq-1].ID != draft.ID.String() {
		m.rt.Fatalf("post to %s: got number %d, where the log has %v", room, receipt.Seq, log[receipt.Seq-1])
	}
}

// hear delivers a hint, in any order, perhaps not for the last time, and perhaps spoilt.
func (m *twoWriters) hear() {
	node := rapid.IntRange(0, 1).Draw(m.rt, "node")
	h := m.network.take(m.rt, node, rapid.IntRange(0, 1000).Draw(m.rt, "hint"), rapid.Bool().Draw(m.rt, "again"))
	if h == nil {
		h = &bus.Hint{Epoch: m.store.Epoch(), Timeline: timeline, Room: storetest.RoomName(m.t, rapid.SampledFrom([]string{"lobby", "nowhere"}).Draw(m.rt, "room")), Head: 1}
	}
	m.spoil(h)
	m.nodes[node].receiver.Hint(h)
}

// spoil makes a hint say less than it did, or something else that a network, or a node with an
// old state, may make of it.
func (m *twoWriters) spoil(h *bus.Hint) {
	n := len(h.Entries)
	switch rapid.SampledFrom([]string{"", "", "", "", "ahead", "far ahead", "no entries", "the end", "the beginning", "epoch", "timeline"}).Draw(m.rt, "spoilt") {
	case "ahead":
		h.Head++
	case "far ahead":
		h.Head += 1000
	case "no entries":
		h.Entries = nil
	case "the end":
		h.Entries = h.Entries[n/2:]
	case "the beginning":
		h.Entries = h.Entries[:n/2]
	case "epoch":
		h.Epoch = "OTHER"
		m.lie(h)
	case "timeline":
		h.Timeline += rapid.SampledFrom([]uint64{1, ^uint64(0)}).Draw(m.rt, "timeline")
		m.lie(h)
	}
}

// lie makes the entries of a hint others than those that the store has.
func (m *twoWriters) lie(h *bus.Hint) {
	for i := range h.Entries {
		h.Entries[i].Content, h.Entries[i].ID = "a lie", "lie"
	}
}

// ask reads a room's state or its last page, which are as current as they claim.
func (m *twoWriters) ask() {
	d, room := m.pickNode().d, m.pickRoom()
	name := storetest.RoomName(m.t, room)
	stored := uint64(len(m.store.entries(room)))
	r := d.Peek(name)
	unread := r == nil || r.isUnread()
	switch rapid.SampledFrom([]string{"state", "members", "history"}).Draw(m.rt, "of") {
	case "state":
		if info, err := d.Room(context.Background(), name); err != nil && stored > 0 || unread && info.Head < stored {
			m.rt.Fatalf("%s is at %d, %v, want %d", room, info.Head, err, stored)
		}
	case "members":
		if _, _, _, err := d.Members(context.Background(), name, "", 10); err != nil && stored > 0 {
			m.rt.Fatalf("members of %s: %v", room, err)
		}
	default:
		found, err := d.History(context.Background(), name, store.Page{Last: true, Limit: 10})
		if err != nil && stored > 0 {
			m.rt.Fatalf("history of %s: %v", room, err)
		}
		checkPage(m.rt, m.store.entries(room), &found)
		if unread && stored > 0 && m.window == 0 && found.Last < stored {
			m.rt.Fatalf("the history of %s ends with %d, want %d", room, found.Last, stored)
		}
	}
}

// finish delivers one last hint for each room. Then every follower must have
// everything and each node must list all rooms.
func (m *twoWriters) finish() {
	for _, n := range m.nodes {
		waitIdle(n.d)
	}
	for _, n := range m.nodes {
		for _, room := range writerRooms {
			if head := len(m.store.entries(room)); head > 0 {
				n.d.Grown(storetest.RoomName(m.t, room), uint64(head))
			}
		}
		waitIdle(n.d)
		infos, _ := n.d.Rooms("", 10)
		for _, room := range writerRooms {
			head := uint64(len(m.store.entries(room)))
			if i := slices.IndexFunc(infos, func(r RoomInfo) bool { return r.Name.String() == room }); head > 0 && (i < 0 || infos[i].Head < head) {
				m.rt.Fatalf("the rooms are %v, want %s with head %d", infos, room, head)
			}
		}
	}
	for _, f := range m.followers {
		if !f.in {
			continue
		}
		log := m.store.entries(f.room)
		f.s.Rise()
		if f.take(f.s, 1<<20); f.changed {
			m.leave(f)
			if m.resume(f); !f.in {
				continue
			}
			f.take(f.s, 1<<20)
		}
		f.check(m.rt, log)
		f.checkFold(m.rt, m.store, log)
		if f.next != uint64(len(log))+1 || f.s.Outstanding() != 0 {
			m.rt.Fatalf("%s was given everything up to %d of %s, want %d; %d sends have no receipt", f.user, f.next-1, f.room, len(log), f.s.Outstanding())
		}
		m.leave(f)
	}
}

// TestTwoDispatchersOnOneStore has readers join, watch, send, read in odd pieces,
// leave and resume at either of two dispatchers that share a store, while hints of
// what the other appends come late, doubled, reordered or not at all. Each is given
// every number once, in order, and with the last hint everything.
func TestTwoDispatchersOnOneStore(t *testing.T) {
	steps := 0
	defer func() { t.Logf("%d steps", steps) }()
	rapid.Check(t, func(rt *rapid.T) {
		m := &twoWriters{t: t, window: rapid.SampledFrom([]int{0, 0, 8 << 10}).Draw(rt, "window")}
		m.store = newRecorder(memory.New(m.window), rapid.Bool().Draw(rt, "instant"))
		m.nodes, m.network = newNodes(rt, m.store, func() Options { return drawOptions(rt) })
		for _, n := range m.nodes {
			defer n.d.Close()
		}
		for i := range 5 {
			m.followers = append(m.followers, &followerAt{follower: &follower{user: fmt.Sprint("user", i, "x")}})
		}
		m.rt = rt
		for _, f := range m.followers[:3] {
			m.enter(f, m.pickRoom(), Start{})
		}
		step := func(do func()) func(*rapid.T) {
			return func(rt *rapid.T) {
				steps++
				m.rt = rt
				do()
			}
		}
		with := func(in bool, do func(f *followerAt)) func(*rapid.T) {
			return step(func() {
				if f := m.pick(in); f != nil {
					do(f)
				}
			})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"join": with(false, func(f *followerAt) {
				f.cursor = 0
				m.enter(f, m.pickRoom(), Start{})
			}),
			"resume": with(false, func(f *followerAt) {
				if f.reader != nil && f.cursor > 0 {
					m.resume(f)
				}
			}),
			"send": with(true, func(f *followerAt) {
				if !f.s.watches {
					m.nodes[f.node].d.Submit(f.drawSends(m.rt, m.nextID, uint64(len(m.store.entries(f.room)))))
				}
			}),
			"repeat": with(true, func(f *followerAt) {
				if !f.s.watches && m.window == 0 {
					m.nodes[f.node].d.Submit(f.repeatOf(m.store.entries(f.room)))
				}
			}),
			"read":  with(true, m.read),
			"read ": with(true, m.read), // twice as often
			"leave": with(true, m.leave),
			"post":  step(m.post),
			"hear":  step(m.hear),
			"hear ": step(m.hear), // twice as often
			"lose": step(func() {
				m.network.take(m.rt, rapid.IntRange(0, 1).Draw(m.rt, "node"), rapid.IntRange(0, 1000).Draw(m.rt, "hint"), false)
			}),
			"ask": step(m.ask),
		})
		m.rt = rt
		m.finish()
		for _, n := range m.nodes {
			if used := n.d.budget.used.Load(); used != 0 {
				rt.Fatalf("after the last has left, the tails hold %d bytes", used)
			}
		}
	})
}

// Several connections at two dispatchers, each with its own goroutine, and hints
// from two more: nothing is lost, doubled or out of order.
func TestTwoDispatchersAtOnce(t *testing.T) {
	const connections, sends, stays = 6, 30, 5
	for _, instant := range []bool{true, false} {
		t.Run(fmt.Sprint("instant ", instant), func(t *testing.T) {
			s := newRecorder(memory.New(0), instant)
			nodes, hints := newNodes(t, s, func() Options { return Options{TailBytes: 8 << 10, PageEntries: 7, PresenceDelay: time.Hour} })
			var clients, deliveries sync.WaitGroup
			given := make([][]string, connections)
			done := make(chan struct{})
			for i := range nodes {
				deliveries.Go(func() {
					for {
						if h := hints.take(t, i, rand.IntN(1000), rand.IntN(4) == 0); h != nil {
							nodes[i].receiver.Hint(h)
							continue
						}
						select {
						case <-done:
							return
						default:
							runtime.Gosched()
						}
					}
				})
			}
			for c := range connections {
				clients.Go(func() {
					user, cursor := fmt.Sprint("user", c, "x"), uint64(0)
					for stay := range stays {
						d, r := nodes[(c+stay)%2].d, newReader(t)
						sub := join(t, d, r, "lobby", user, Start{Resume: true, After: cursor})
						for i := range sends {
							d.Submit([]Send{send(t, sub, user, fmt.Sprintf("%d-%d-%d", c, stay, i), "x")})
							r.take(sub, 100)
						}
						r.until(sub, 0)
						cursor = sub.Seq()
						d.Leave(sub)
						given[c] = append(given[c], r.given...)
					}
				})
			}
			clients.Wait()
			const head = connections * sends * stays
			for c := range given { // what others sent after its last stay
				d, r := nodes[c%2].d, newReader(t)
				seq := uint64(len(given[c]))
				sub := join(t, d, r, "lobby", "late", Start{Resume: true, After: seq})
				d.Grown(sub.Room().Name(), head)
				r.until(sub, head)
				d.Leave(sub)
				given[c] = append(given[c], r.given...)
			}
			close(done)
			deliveries.Wait()
			for c, all := range given {
				if len(all) != head {
					t.Fatalf("connection %d was given %d entries, want %d", c, len(all), head)
				}
				for i, line := range all {
					e := s.entries("lobby")[i]
					message, ack := fmt.Sprintf("lobby %d %s x", e.Seq, e.Username), fmt.Sprintf("ack %d %s", e.Seq, e.ID)
					if line != message && line != ack {
						t.Fatalf("connection %d was given %q as number %d", c, line, e.Seq)
					}
				}
			}
			for _, n := range nodes {
				n.d.Close()
			}
		})
	}
}
