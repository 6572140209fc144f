// Package bustest is the contract of package bus as a suite of tests, which every driver
// passes.
package bustest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
)

// patience is how long a test waits for something that must come.
const patience = time.Minute

// Open returns a function that adds a node to a network of its own. The suite closes the nodes; what
// else there is ends with the test.
type Open func(t *testing.T) (node func() bus.Bus)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, node func() bus.Bus)
	}{
		{"HintsReachAllOthers", testHintsReachAllOthers},
		{"HintsAreWhole", testHintsAreWhole},
		{"MessagesReachAllOthers", testMessagesReachAllOthers},
		{"LongHintsHaveTheHead", testLongHints},
		{"OneReceiver", testOneReceiver},
		{"ClosedIsClosed", testClosed},
		{"PublishKeepsNothing", testPublishKeepsNothing},
		{"PublishNeverWaits", testPublishNeverWaits},
		{"ManyPublish", testManyPublish},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Node is a bus with a receiver that keeps what it is given.
type Node struct {
	bus.Bus
	t *testing.T

	mu     sync.Mutex
	change sync.Cond // on mu
	hints  []*bus.Hint
	said   []bus.Message
	lost   []bus.Loss
	hold   bool // takes nothing
	closed bool
}

// Join subscribes a new receiver to a bus, which ends with the test.
func Join(t *testing.T, b bus.Bus) *Node {
	t.Helper()
	n := &Node{Bus: b, t: t}
	n.change.L = &n.mu
	if err := b.Subscribe(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

func (n *Node) close() {
	n.release()
	if err := n.Close(); err != nil {
		n.t.Errorf("close: %v", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

// Hint implements bus.Receiver.
func (n *Node) Hint(h *bus.Hint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.hold {
		n.change.Wait()
	}
	if n.closed {
		n.t.Error("a receiver is called after Close")
	}
	n.hints = append(n.hints, h)
	n.change.Broadcast()
}

// Said implements bus.Receiver.
func (n *Node) Said(m bus.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		n.t.Error("a receiver is called after Close")
	}
	n.said = append(n.said, m)
	n.change.Broadcast()
}

// Lost implements bus.Receiver.
func (n *Node) Lost(why bus.Loss) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		n.t.Error("a receiver is told of a loss after Close")
	}
	n.lost = append(n.lost, why)
	n.change.Broadcast()
}

func (n *Node) block() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hold = true
}

func (n *Node) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hold = false
	n.change.Broadcast()
}

// wait waits until a condition holds, with mu held.
func (n *Node) wait(what string, holds func() bool) {
	n.t.Helper()
	timer := time.AfterFunc(patience, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.change.Broadcast()
	})
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	n.mu.Lock()
	defer n.mu.Unlock()
	for !holds() {
		if !time.Now().Before(deadline) {
			n.t.Fatalf("after %v: no %s; there are %d hints and %v", patience, what, len(n.hints), n.lost)
		}
		n.change.Wait()
	}
}

// WaitLost waits until the receiver was told of so many losses of some kind.
func (n *Node) WaitLost(times int, kinds ...bus.Loss) {
	n.t.Helper()
	n.wait(fmt.Sprintf("loss no. %d of %v", times, kinds), func() bool {
		count := 0
		for _, why := range n.lost {
			for _, kind := range kinds {
				if why == kind {
					count++
				}
			}
		}
		return count >= times
	})
}

// WaitHint waits for a hint about a room with a head.
func (n *Node) WaitHint(room string, head uint64) (found *bus.Hint) {
	n.t.Helper()
	n.wait(fmt.Sprintf("hint about %s with %d", room, head), func() bool {
		found = n.find(room, head)
		return found != nil
	})
	return found
}

func (n *Node) find(room string, head uint64) *bus.Hint {
	for _, h := range n.hints {
		if h.Room.String() == room && h.Head == head {
			return h
		}
	}
	return nil
}

// Has reports whether a hint about a room with a head has come.
func (n *Node) Has(room string, head uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.find(room, head) != nil
}

// Meet waits until each node hears each other one. A network may take a while to connect
// them, and loses what is published meanwhile.
func Meet(t *testing.T, nodes ...*Node) {
	t.Helper()
	for i, from := range nodes {
		for j, to := range nodes {
			if i != j {
				meet(t, from, to, fmt.Sprintf("from-%d-to-%d", i, j))
			}
		}
	}
}

func meet(t *testing.T, from, to *Node, room string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !to.Has(room, 1); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v %s has not arrived", patience, room)
		}
		from.Publish(&bus.Hint{Epoch: "E", Room: Room(t, room), Head: 1})
	}
}

// Room returns a name of a room.
func Room(t *testing.T, name string) kaban.RoomName {
	t.Helper()
	room, err := kaban.ParseRoomName(name)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// network returns nodes that hear each other.
func network(t *testing.T, node func() bus.Bus, size int) (nodes []*Node) {
	t.Helper()
	for range size {
		nodes = append(nodes, Join(t, node()))
	}
	for _, n := range nodes {
		n.WaitLost(1, bus.Connected)
	}
	Meet(t, nodes...)
	return nodes
}

func entries(first uint64, contents ...string) (all []store.Entry) {
	for i, content := range contents {
		all = append(all, store.Entry{
			Seq: first + uint64(i), Time: 1_764_000_000_000, Kind: kaban.KindMessage,
			ID: fmt.Sprint("id-", i), Author: "visitor:ann", Username: "Ann", Content: content,
		})
	}
	return all
}

// A hint reaches every other node, and never the one that it comes from.
func testHintsReachAllOthers(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 3)
	for i, from := range nodes {
		from.Publish(&bus.Hint{Epoch: "E", Room: Room(t, "lobby"), Head: uint64(10 + i)})
	}
	for i := range nodes {
		for j, to := range nodes {
			if i != j {
				to.WaitHint("lobby", uint64(10+i))
			}
		}
	}
	Meet(t, nodes...) // behind it
	for i, n := range nodes {
		if n.Has("lobby", uint64(10+i)) {
			t.Errorf("node %d hears itself", i)
		}
		s := n.Stats()
		if !s.Connected || s.Connects == 0 || s.Published == 0 || s.Received == 0 || s.Forged+s.Malformed+s.Slow != 0 {
			t.Errorf("node %d has counted %+v", i, s)
		}
	}
}

func testHintsAreWhole(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 2)
	want := &bus.Hint{
		Epoch: "EPOCH", Timeline: 7, Room: Room(t, "häuser"), Revision: 9, Head: 101,
		Entries: entries(99, "Grüße", "zwei\nZeilen", ""),
	}
	nodes[0].Publish(want)
	got := nodes[1].WaitHint("häuser", 101)
	names := cmp.Comparer(func(a, b kaban.RoomName) bool { return a.String() == b.String() && a.Key() == b.Key() })
	if diff := cmp.Diff(want, got, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A message reaches every other node as it was said, in order, and never the one that it comes from.
func testMessagesReachAllOthers(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 3)
	want := []bus.Message{
		&bus.News{Epoch: "E"},
		&bus.Ask{Epoch: "E"},
		&bus.Mention{Epoch: "E", Room: Room(t, "lobby"), Accounts: []string{"one", "two"}},
		&bus.Typing{Epoch: "E", Room: Room(t, "lobby"), Identity: "visitor:ann", Name: "Ann"},
		&bus.Presence{
			Epoch: "E", Node: "N", Number: 7, First: true,
			Rooms:  []bus.Attendance{{Room: Room(t, "häuser"), Visitors: 1, Named: true, Names: []bus.Attendant{{Name: "Ann", Visitor: true}}}},
			Online: []bus.Online{{Identity: "account:1", Online: true}},
		},
	}
	for _, m := range want {
		nodes[0].Say(m)
	}
	names := cmp.Comparer(func(a, b kaban.RoomName) bool { return a.String() == b.String() && a.Key() == b.Key() })
	for _, to := range nodes[1:] {
		to.wait("message", func() bool { return len(to.said) >= len(want) })
		if diff := cmp.Diff(want, to.said, names); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	nodes[0].mu.Lock()
	defer nodes[0].mu.Unlock()
	if len(nodes[0].said) > 0 {
		t.Errorf("a node hears itself: %v", nodes[0].said)
	}
}

// Entries that do not fit cost nothing but themselves.
func testLongHints(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 2)
	nodes[0].Publish(&bus.Hint{Epoch: "E", Room: Room(t, "lobby"), Head: 3, Entries: entries(2, "a", strings.Repeat("x", bus.MaxEntryBytes))})
	nodes[0].Publish(&bus.Hint{Epoch: "E", Room: Room(t, "den"), Head: 1, Entries: entries(1, strings.Repeat("x", bus.MaxEntryBytes-1000))})
	if h := nodes[1].WaitHint("lobby", 3); len(h.Entries) != 0 {
		t.Errorf("there are %d entries, want none", len(h.Entries))
	}
	if h := nodes[1].WaitHint("den", 1); len(h.Entries) != 1 {
		t.Errorf("there are %d entries, want one", len(h.Entries))
	}
}

func testOneReceiver(t *testing.T, node func() bus.Bus) {
	n := Join(t, node())
	if err := n.Subscribe(n); !errors.Is(err, bus.ErrSubscribed) {
		t.Errorf("a second receiver: %v", err)
	}
}

// A node that has gone hears nothing, says nothing, and disturbs nobody.
func testClosed(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 3)
	gone := nodes[2]
	gone.close()
	before := gone.Stats().Published
	gone.Publish(&bus.Hint{Epoch: "E", Room: Room(t, "gone"), Head: 1})
	if s := gone.Stats(); s.Connected || s.Dropped == 0 || s.Published != before {
		t.Errorf("a closed bus has counted %+v", s)
	}
	if err := gone.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	nodes[0].Publish(&bus.Hint{Epoch: "E", Room: Room(t, "lobby"), Head: 5})
	nodes[1].WaitHint("lobby", 5)
	if nodes[1].Has("gone", 1) {
		t.Error("a closed bus publishes")
	}
	fresh := node()
	if err := fresh.Close(); err != nil {
		t.Errorf("a bus without a receiver: %v", err)
	}
	if err := fresh.Subscribe(gone); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("a receiver for a closed bus: %v", err)
	}
}

// Whoever has published may use the entries for something else at once.
func testPublishKeepsNothing(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 2)
	own := entries(1, "first")
	h := &bus.Hint{Epoch: "E", Room: Room(t, "lobby"), Head: 1, Entries: own}
	nodes[0].Publish(h)
	clear(own)
	h.Head, h.Entries = 99, nil
	if got := nodes[1].WaitHint("lobby", 1); len(got.Entries) != 1 || got.Entries[0].Content != "first" {
		t.Errorf("got %+v", got)
	}
}

// A receiver that takes nothing makes nobody wait. It is told that it has lost hints, and
// hears again what comes then.
func testPublishNeverWaits(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 3)
	stuck, room := nodes[1], Room(t, "lobby")
	stuck.block()
	h := &bus.Hint{Epoch: "E", Room: room, Entries: entries(1, strings.Repeat("x", bus.MaxEntryBytes-1000))}
	for !stuck.lostAny() { // until it has lost something
		h.Head++
		nodes[0].Publish(h)
	}
	stuck.release()
	stuck.WaitLost(1, bus.Slow)
	Meet(t, nodes...)
	meet(t, nodes[0], stuck, "afterwards")
	if s := stuck.Stats(); s.Slow == 0 {
		t.Errorf("a slow node has counted %+v", s)
	}
}

func (n *Node) lostAny() bool { return n.Stats().Slow > 0 }

// All nodes publish at once.
func testManyPublish(t *testing.T, node func() bus.Bus) {
	nodes := network(t, node, 3)
	const each = 100
	var group sync.WaitGroup
	for i, from := range nodes {
		room := Room(t, fmt.Sprint("of-", i))
		for range 4 {
			group.Go(func() {
				for head := range uint64(each) {
					from.Publish(&bus.Hint{Epoch: "E", Room: room, Head: head + 1, Entries: entries(head+1, "x")})
				}
			})
		}
	}
	group.Wait()
	for i := range nodes {
		for j, to := range nodes {
			if i != j {
				to.WaitHint(fmt.Sprint("of-", i), each)
			}
		}
	}
}
