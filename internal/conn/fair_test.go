package conn_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"kaban"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// round is a round of the loop's goroutine, without the clock.
func (l *turned) round() {
	l.loop.TakePosts()
	l.loop.Read()
	l.loop.Write()
}

// roundsUntil counts rounds until a condition holds.
func (l *turned) roundsUntil(what string, so func() bool) (rounds int) {
	l.t.Helper()
	for !so() {
		if l.round(); rounds == 100_000 {
			l.t.Fatalf("it does not happen that %s", what)
		}
		rounds++
	}
	return rounds
}

// bystander connects a peer that is in no room.
func (l *turned) bystander(name string) *turnedPeer {
	l.t.Helper()
	p := l.connect()
	p.room = 1 << 40
	p.say(`{"type":"hello","version":1,"username":%q}`, name)
	return p
}

// inLobby connects n peers that are in the lobby.
func (l *turned) inLobby(n int) []*turnedPeer {
	l.t.Helper()
	peers := make([]*turnedPeer, n)
	for i := range peers {
		peers[i] = l.bystander(fmt.Sprint("peer-", i, "-x"))
		peers[i].say(`{"type":"join","room":"lobby"}`)
	}
	for l.loop.Posted() || l.loop.Busy() {
		l.round()
	}
	for _, p := range peers {
		p.out = nil
	}
	return peers
}

// roomsStore returns a store with many rooms.
func roomsStore(t testing.TB, n int) store.Store {
	t.Helper()
	s := memory.New(1 << 30)
	batch := make([]kaban.Draft, n)
	for i := range batch {
		batch[i] = storetest.Draft(t, fmt.Sprintf("room-%d", i), "ann", fmt.Sprint("id-", i), "x")
	}
	if err := s.Append(t.Context(), storetest.Writes(batch...), make([]store.Result, n)); err != nil {
		t.Fatal(err)
	}
	return s
}

// Connections that ask for much share a part of each round, and one that asks for
// little is answered in the same round.
func TestRequestsShareTheRound(t *testing.T) {
	for kind, c := range map[string]struct {
		request string
		n       int // of each
	}{
		"rooms":         {`{"type":"rooms","after":"room-1"}`, 40},
		"members":       {`{"type":"members","room":"lobby","limit":500}`, 200},
		"nothing there": {`{"type":"members","room":"lobby","after":"zzz"}`, 2000},
		"join again":    {`{"type":"join","room":"lobby"}`, 2000},
		"pings":         {`{"type":"ping"}`, 2000},
		"refused":       {`{"type":"part","room":"elsewhere"}`, 2000},
	} {
		t.Run(kind, func(t *testing.T) {
			l := turnOver(t, roomsStore(t, 1000), dispatch.Options{PresenceDelay: time.Hour})
			greedy, modest := l.inLobby(40), l.bystander("modest")
			l.roundsUntil("modest is in", func() bool { return modest.got(`"type":"welcome"`) == 1 })
			for _, p := range greedy {
				for range c.n {
					p.say("%s", c.request)
				}
			}
			l.round() // the loop does not know yet that they are heavy
			most := 0
			for i := range 20 {
				modest.say(`{"type":"ping"}`)
				l.round()
				if modest.got(`"type":"pong"`) != i+1 {
					t.Fatalf("modest was not answered in round %d", i+1)
				}
				most = max(most, l.loop.Spent())
			}
			if most == 0 || most > conn.HeavyShare+conn.StepShare+500 { // and one page
				t.Errorf("up to %d units of work were done in a round, want at most %d and one share", most, conn.HeavyShare)
			}
			l.roundsUntil("all have had their turn", func() bool { return !l.loop.Busy() })
			for _, p := range greedy {
				if len(p.in) > 0 || p.got("\n") != c.n {
					t.Fatalf("%d of %d requests were answered, and %d bytes are left", p.got("\n"), c.n, len(p.in))
				}
			}
		})
	}
}

// A message in a large room holds up neither a small room nor a reply.
func TestALargeRoomHoldsUpNobody(t *testing.T) {
	l := turnOver(t, memory.New(0), dispatch.Options{PresenceDelay: time.Hour})
	crowd := l.inLobby(5000)
	ann, bob, carl := l.bystander("ann"), l.bystander("bob"), l.bystander("carl")
	for _, p := range []*turnedPeer{ann, bob} {
		p.say(`{"type":"join","room":"kitchen"}`)
	}
	l.roundsUntil("all are in", func() bool {
		return !l.loop.Posted() && !l.loop.Busy() && ann.got(`"type":"joined"`) == 1 && bob.got(`"type":"joined"`) == 1
	})
	crowd[0].say(`{"type":"send","room":"lobby","id":"1","content":"hello, all"}`)
	l.round()
	ann.say(`{"type":"send","room":"kitchen","id":"2","content":"hello, bob"}`)
	carl.say(`{"type":"ping"}`)
	few := l.roundsUntil("bob has the message", func() bool {
		return bob.got("hello, bob") == 1 && ann.got(`"type":"ack"`) == 1 && carl.got(`"type":"pong"`) == 1
	})
	many := l.roundsUntil("all have theirs", func() bool { return !l.loop.Busy() })
	t.Logf("the small room took %d rounds, the large one %d more", few, many)
	if few > 3 || many < 5000/conn.FlushesPerRound/2 {
		t.Errorf("a small room took %d rounds beside a large one that took %d more", few, many)
	}
	for _, p := range crowd[1:] {
		if p.got("hello, all") != 1 {
			t.Fatalf("one got %q", p.out)
		}
	}
}

// After a quiet time all connections are pinged, not all in one round, and those
// that wait for their turn have no buffer.
func TestASweepSharesTheRounds(t *testing.T) {
	l := turnOver(t, memory.New(0), dispatch.Options{PresenceDelay: time.Hour})
	crowd := l.inLobby(5000)
	l.loop.Later(l.manager.Config().Heartbeat + time.Second)
	pings, most, rounds := 0, 0, 0
	for pings < len(crowd) {
		if rounds++; rounds > 10*len(crowd) {
			t.Fatalf("%d of %d were asked", pings, len(crowd))
		}
		l.loop.Sweep()
		waiting := 0
		for _, p := range crowd {
			if p.h.Waiting() != nil {
				waiting++
			}
		}
		most = max(most, waiting)
		l.round()
		pings = 0
		for _, p := range crowd {
			pings += p.got(`"type":"ping"`)
		}
	}
	if pings > len(crowd) || most > 2*conn.FlushesPerRound {
		t.Errorf("%d were asked %d times, and up to %d buffers waited", len(crowd), pings, most)
	}
}

// A page costs as much as it holds, however much there is.
func TestAPageCostsWhatItHolds(t *testing.T) {
	allocated := func(call func()) uint64 {
		var before, after runtime.MemStats
		call()
		runtime.ReadMemStats(&before)
		call()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	costs := make(map[int][2]uint64)
	for _, n := range []int{1000, 20_000} {
		l := turnOver(t, roomsStore(t, n), dispatch.Options{PresenceDelay: time.Hour})
		l.inLobby(n)
		d := l.dispatcher
		lobby := storetest.RoomName(t, "lobby")
		costs[n] = [2]uint64{
			allocated(func() { d.Rooms("", 500) }),
			allocated(func() { d.Members(t.Context(), lobby, "", 500) }),
		}
	}
	t.Logf("bytes allocated for pages of rooms and members: %v", costs)
	for i, what := range []string{"rooms", "members"} {
		if few, many := costs[1000][i], costs[20_000][i]; many > 2*few {
			t.Errorf("a page of %s takes %d bytes, and %d where there are 20 times as many", what, few, many)
		}
	}
}
