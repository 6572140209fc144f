package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/bus/local"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// nodesOf returns dispatchers over one store that hear each other, and their buses.
func nodesOf(t *testing.T, count int) (nodes []*Dispatcher, buses []bus.Bus) {
	t.Helper()
	s, network := memory.New(0), new(local.Network)
	for range count {
		d, b := newDispatcher(t, s, Options{}), network.Open()
		if err := d.Connect(b, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		nodes, buses = append(nodes, d), append(buses, b)
	}
	return nodes, buses
}

// later returns what a reader is given within a second and a half.
func (r *reader) later(s *Subscription) []string {
	time.Sleep(1500 * time.Millisecond)
	synctest.Wait()
	r.given = nil
	r.take(s, 1<<20)
	return r.given
}

// Those in a room are told who joins and leaves it on other nodes, and how many there are on all.
func TestPresenceOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, buses := nodesOf(t, 3)
		vic := newReader(t)
		v := join(t, nodes[0], vic, "lobby", "vic", Start{})
		given := func(what string, want ...string) {
			t.Helper()
			if got := vic.later(v); !slices.Equal(got, want) {
				t.Errorf("%s: given %q, want %q", what, got, want)
			}
		}
		given("alone")
		wim := join(t, nodes[1], newReader(t), "lobby", "wim", Start{})
		given("a visitor joins elsewhere", "lobby presence 2 +wim -")
		if names, _ := v.Room().Visitors("", 10); !slices.Equal(names, []string{"vic", "wim"}) || v.Room().Members() != 2 {
			t.Errorf("the members are %v, %d", names, v.Room().Members())
		}
		if names, more := v.Room().Visitors("", 1); !slices.Equal(names, []string{"vic"}) || !more {
			t.Errorf("the first page is %v, %v", names, more)
		}
		if !v.Room().Has(kaban.Visitor(storetest.Username(t, "Wim")).ID()) || v.Room().Has("visitor:xim") {
			t.Error("a visitor elsewhere is not found, or another is")
		}
		if _, infos := nodes[2].Rooms("", 10); infos || nodes[2].Peek(v.Room().Name()).Members() != 2 {
			t.Error("a node without readers does not count")
		}
		ann := joinAs(t, nodes[1], newReader(t), "ann")
		given("an account joins elsewhere", "lobby presence 2 +ann -")
		own := joinAs(t, nodes[0], newReader(t), "ann")
		given("and here")
		nodes[1].Leave(ann)
		given("and is here only")
		nodes[0].Leave(own)
		given("and is gone", "lobby presence 2 + -ann")
		nodes[1].Leave(wim)
		given("the visitor leaves", "lobby presence 1 + -wim")
		join(t, nodes[2], newReader(t), "lobby", "xan", Start{})
		given("another comes", "lobby presence 2 +xan -")
		_ = buses[2].Close() // it is dead
		given("a node is silent")
		time.Sleep(maxSilence)
		given("and dead", "lobby presence 1 + -xan")
	})
}

// Of a room with many there is the count alone.
func TestManyElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, _ := nodesOf(t, 2)
		vic := newReader(t)
		v := join(t, nodes[0], vic, "lobby", "vic", Start{})
		crowd := newReader(t)
		for i := range bus.MaxNames + 1 {
			join(t, nodes[1], crowd, "lobby", fmt.Sprint("user-", i), Start{})
		}
		if got, want := vic.later(v), []string{"lobby presence 258 + -"}; !slices.Equal(got, want) {
			t.Errorf("given %q, want %q", got, want)
		}
		if names, _ := v.Room().Visitors("", 1000); len(names) != 1 {
			t.Errorf("%d names are known", len(names))
		}
	})
}

// A room without an entry is known everywhere as long as somebody is in it.
func TestVisitedRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, _ := nodesOf(t, 2)
		wim := join(t, nodes[1], newReader(t), "den", "wim", Start{})
		later := func(want string) {
			t.Helper()
			time.Sleep(2500 * time.Millisecond)
			synctest.Wait()
			var got []string
			infos, _ := nodes[0].Rooms("", 10)
			for _, r := range infos {
				got = append(got, fmt.Sprint(r.Name, " ", r.Members))
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("the rooms are %s, want %s", text, want)
			}
		}
		later("den 1, lobby 0")
		own := join(t, nodes[0], newReader(t), "den", "vic", Start{})
		later("den 2, lobby 0")
		nodes[1].Leave(wim)
		later("den 1, lobby 0")
		if !nodes[0].Leave(own) {
			t.Error("the room stays")
		}
		later("lobby 0")
	})
}

// A room that somebody joins here right after another node has named it has those in it that are there, once.
func TestJoiningARoomOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, _ := nodesOf(t, 2)
		time.Sleep(5*time.Second + 10*time.Millisecond) // all know that nobody is there
		vic := join(t, nodes[0], newReader(t), "new", "vic", Start{})
		time.Sleep(beaconInterval + 10*time.Millisecond) // it is named, and not looked up yet
		if nodes[1].Peek(vic.Room().Name()) != nil {
			t.Fatal("it is known already")
		}
		reads := newReader(t)
		wim := join(t, nodes[1], reads, "new", "wim", Start{})
		if got, want := reads.later(wim), []string{"new presence 2 +vic -"}; !slices.Equal(got, want) {
			t.Errorf("given %q, want %q", got, want)
		}
		if n := wim.Room().Members(); n != 2 {
			t.Errorf("%d are in it, want 2", n)
		}
		nodes[0].Leave(vic)
		if got, want := reads.later(wim), []string{"new presence 1 + -vic"}; !slices.Equal(got, want) {
			t.Errorf("given %q, want %q", got, want)
		}
		nodes[1].Leave(wim)
		time.Sleep(2 * time.Second)
		if nodes[0].Peek(vic.Room().Name()) != nil || nodes[1].Peek(vic.Room().Name()) != nil {
			t.Error("a room that nobody is in is known")
		}
	})
}

// A node that joins later, or has missed something, learns everything.
func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, e := connected(t, memory.New(0))
		synctest.Wait() // for what it asks at its start
		lobby := storetest.RoomName(t, "lobby")
		r := d.Peek(lobby)
		say := func(number uint64, first, last bool, visitors int, online ...bus.Online) (asked bool) {
			e.mu.Lock()
			e.said = nil
			e.mu.Unlock()
			e.receiver.(*peers).Said(&bus.Presence{
				Epoch: d.Epoch(), Node: "N", Number: number, First: first, Last: last, Online: online,
				Rooms: []bus.Attendance{{Room: lobby, Visitors: visitors}},
			})
			e.mu.Lock()
			defer e.mu.Unlock()
			return slices.ContainsFunc(e.said, func(m bus.Message) bool { _, is := m.(*bus.Ask); return is })
		}
		on := func(is bool) bus.Online { return bus.Online{Identity: "account:a", Online: is} }
		for _, c := range []struct {
			name        string
			number      uint64
			first, last bool
			visitors    int
			online      []bus.Online
			asks        bool
			want        int
			wantOnline  bool
		}{
			{"a change before any snapshot", 5, false, false, 1, nil, true, 0, false},
			{"a snapshot", 6, true, true, 2, []bus.Online{on(true)}, false, 2, true},
			{"a change", 7, false, false, 3, nil, false, 3, true},
			{"an old message", 6, true, true, 9, nil, false, 3, true},
			{"a gap", 9, false, false, 9, []bus.Online{on(false)}, true, 3, true},
			{"behind it", 10, false, false, 9, nil, true, 3, true},
			{"a snapshot begins", 11, true, false, 0, nil, false, 3, true},
			{"and ends", 12, false, true, 4, nil, false, 4, false},
			{"it says that the account is online", 13, false, false, 4, []bus.Online{on(true), on(true)}, false, 4, true},
			{"and that it is not", 14, false, false, 4, []bus.Online{on(false)}, false, 4, false},
		} {
			if asks := say(c.number, c.first, c.last, c.visitors, c.online...); asks != c.asks {
				t.Errorf("%s: asks %v, want %v", c.name, asks, c.asks)
			}
			if n, online := r.Members(), d.IsOnlineElsewhere("account:a"); n != c.want || online != c.wantOnline {
				t.Errorf("%s: %d, online %v; want %d, %v", c.name, n, online, c.want, c.wantOnline)
			}
		}
		time.Sleep(maxSilence + time.Second)
		synctest.Wait()
		if n := r.Members(); n != 0 {
			t.Errorf("a silent node counts %d", n)
		}
		if say(15, false, false, 5); r.Members() != 0 {
			t.Error("a change is taken without a snapshot")
		}
		if say(16, true, true, 5); r.Members() != 5 {
			t.Error("a node does not come back")
		}
	})
}

// What is known of other nodes is bounded.
func TestOtherNodesAreBounded(t *testing.T) {
	d, e := connected(t, memory.New(0))
	p := e.receiver.(*peers)
	for i := range 2 * maxNodes {
		p.Said(&bus.Presence{Epoch: d.Epoch(), Node: fmt.Sprint(i), Number: 1, First: true, Last: true, Rooms: []bus.Attendance{{Room: storetest.RoomName(t, "lobby"), Visitors: 1}}})
	}
	if n := len(p.others.nodes); n != maxNodes {
		t.Errorf("%d nodes are known, want %d", n, maxNodes)
	}
	if n := d.Peek(storetest.RoomName(t, "lobby")).Members(); n != maxNodes {
		t.Errorf("%d visitors, want %d", n, maxNodes)
	}
	for i := range 2 * maxUnknown {
		p.Said(&bus.Presence{Epoch: d.Epoch(), Node: "x", Number: uint64(i + 1), First: true, Last: true, Rooms: []bus.Attendance{{Room: storetest.RoomName(t, fmt.Sprint("room-", i)), Visitors: 1}}})
	}
	if n := len(p.others.unknown); n > maxUnknown {
		t.Errorf("%d rooms wait", n)
	}
}

// Readers see who is typing on another node, until the message comes or the time is over.
func TestTypingOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, _ := nodesOf(t, 2)
		vic := newReader(t)
		v := join(t, nodes[0], vic, "lobby", "vic", Start{})
		w := join(t, nodes[1], newReader(t), "lobby", "wim", Start{})
		vic.later(v)
		given := func(want ...string) {
			t.Helper()
			if got := vic.later(v); !slices.Equal(got, want) {
				t.Errorf("given %q, want %q", got, want)
			}
		}
		mustType(t, nodes[1], w)
		given("lobby typing wim")
		nodes[1].Submit([]Send{send(t, w, "wim", "1", "x")})
		given("lobby 1 wim x", "lobby typing ")
		mustType(t, nodes[1], w)
		given("lobby typing wim")
		time.Sleep(typingLasts)
		given("lobby typing ")
	})
}
