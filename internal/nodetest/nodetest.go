// Package nodetest has several nodes serve a test that is written for one server: on one store, with a
// bus between them, and behind one address. With the flag -nodes 3 a package's tests run like that.
package nodetest

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/bus"
	"kaban/internal/bus/local"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/lease"
	"kaban/internal/news"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
)

var count = flag.Int("nodes", 1, "number of nodes that serve a test, behind one address")

// One skips a test of what only one node has, if several are to serve it.
func One(t testing.TB, why string) {
	t.Helper()
	if *count > 1 {
		t.Skip("for one node: " + why)
	}
}

// Node is one of those that serve a test, or a server that is alone. What serves at the node has Store as
// its store.
type Node struct {
	store.Store
	cluster *cluster // nil: it is alone
}

// cluster is the nodes on one store.
type cluster struct {
	network local.Network
	nodes   int
	own     *news.Store // writes the marks

	mu    sync.Mutex // guards all below
	marks int
	seen  map[string]int // by mark, how many nodes have come to it
}

// On returns the nodes that are to serve a test, which has a store of teststore.New: as many as the flag says.
// A test over a store of its own is skipped if that is more than one.
func On(t testing.TB, s store.Store) []*Node {
	t.Helper()
	if n, ok := s.(*Node); ok {
		return []*Node{n}
	}
	if *count == 1 {
		return []*Node{{Store: s}}
	}
	handles := []store.Store{s}
	for len(handles) < *count {
		another, ok := teststore.Another(t, s)
		if !ok {
			One(t, "its store is one of the test")
		}
		handles = append(handles, another)
	}
	return Meet(t, handles...)
}

// Meet returns the nodes on one store, each over a handle of its own.
func Meet(t testing.TB, handles ...store.Store) []*Node {
	t.Helper()
	open := func(s store.Store) *news.Store {
		n, err := news.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c := &cluster{nodes: len(handles), own: open(handles[0]), seen: make(map[string]int)}
	var nodes []*Node
	for _, s := range handles {
		nodes = append(nodes, &Node{open(s), c})
	}
	return nodes
}

// Join has a server follow the other nodes, if there are any. It is called before anybody is connected. The
// caller ends chat and dispatcher by leave.
func (n *Node) Join(t testing.TB, d *dispatch.Dispatcher, rooms *chat.Chat) (leave func(end func())) {
	t.Helper()
	c := n.cluster
	if c == nil {
		return func(end func()) { end() }
	}
	own := n.Store.(*news.Store)
	k, err := lease.Open(t.Context(), own, lease.Options{OnLost: rooms.LeaseLost})
	if err != nil {
		t.Fatal(err)
	}
	rooms.FollowNodes(own, k, func(key string) {
		if !c.pass(key) {
			rooms.SettingChanged(key)
		}
	})
	b := c.network.Open()
	if err := d.Connect(b, nil); err != nil {
		t.Fatal(err)
	}
	return func(end func()) {
		_ = b.Close()
		end()
		k.Close()
	}
}

// mark begins the keys of settings that there are only news of.
const mark = "nodetest-"

// pass notes that a node has come to a mark, and reports whether a key is one.
func (c *cluster) pass(key string) bool {
	if !strings.HasPrefix(key, mark) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[key]++
	return true
}

// Settle waits until all nodes know what was changed before. It is for a test that changes something at one
// node and then expects it at another, which hears of it a moment later.
func (n *Node) Settle(t testing.TB) {
	t.Helper()
	if n.cluster != nil {
		// A node does what some news mean before it reads on: behind the second mark it has done so with
		// everything before the first.
		n.cluster.meet(t)
		n.cluster.meet(t)
	}
}

// patience is how long nodes may take to hear of changes.
const patience = 2 * time.Minute

// meet waits until all nodes have come to a new mark.
func (c *cluster) meet(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	c.marks++
	key := fmt.Sprint(mark, c.marks)
	c.mu.Unlock()
	err := c.own.Update(t.Context(), func(tx store.Tx) error {
		news.Note(tx, store.Key("setting", key))
		return nil
	})
	if err != nil {
		t.Fatalf("mark the news: %v", err)
	}
	b := c.network.Open()
	defer b.Close()
	b.Say(&bus.News{Epoch: c.own.Epoch()})
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
		c.mu.Lock()
		seen := c.seen[key]
		c.mu.Unlock()
		if seen == c.nodes {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d nodes know what was changed", seen, c.nodes)
		}
	}
}
