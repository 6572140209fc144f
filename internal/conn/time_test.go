package conn_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// handClock is a clock that the test sets.
type handClock struct{ atomic.Int64 }

func (c *handClock) shows() time.Duration { return time.Duration(c.Load()) }
func (c *handClock) move(d time.Duration) { c.Add(int64(d)) }

// timed is a loop that a test turns, with a clock that it sets.
type timed struct {
	*turned
	clock *handClock
}

func turnTimed(t *testing.T, config conn.Config) *timed {
	t.Helper()
	d, err := dispatch.New(t.Context(), memory.New(0), dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := new(handClock)
	config.Clock = c.shows
	m, front := newServer(t, config, d)
	l := &timed{turned: &turned{t: t, manager: m, server: front, dispatcher: d, loop: conn.NewTestLoop(m)}, clock: c}
	t.Cleanup(func() {
		l.loop.CloseAll()
		m.Close()
		d.Close()
		if n := m.Panics(); n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	return l
}

func (p *turnedPeer) ends() bool { begun, _, _ := p.h.Ends(); return begun }

func (p *turnedPeer) why() conn.Reason { _, why, _ := p.h.Ends(); return why }

// run has time pass in rounds as a loop makes them, and calls each before every
// round.
func (l *timed) run(d time.Duration, each func()) {
	for step := l.manager.SweepEvery(); d > 0; d -= step {
		l.clock.move(min(step, d))
		if each != nil {
			each()
		}
		l.loop.Round()
		for l.loop.Unhurried() > 0 {
			l.loop.Write()
		}
	}
}

// readyPerRound is how many sockets a poller reports at a time.
const readyPerRound = 256

// A server that was stopped for longer than three heartbeats gives up no peer that
// talks, even if reading the input that came meanwhile takes many rounds.
func TestAStoppedServerGivesNobodyUp(t *testing.T) {
	const crowd, heartbeat = 600, 2 * time.Second
	for _, stop := range []time.Duration{7 * time.Second, 2 * time.Minute, 24 * time.Hour} {
		t.Run(stop.String(), func(t *testing.T) {
			l := turnTimed(t, conn.Config{Heartbeat: heartbeat})
			peers := make([]*turnedPeer, crowd)
			for i := range peers {
				peers[i] = l.enter(fmt.Sprint("peer-", i))
			}
			var ready []*turnedPeer // have input that the poller has not reported
			turns := 0
			talk := func() {
				if turns++; turns%4 == 0 {
					for _, p := range peers {
						p.in = append(p.in, `{"type":"ping"}`+"\n"...)
					}
					ready = append(ready, peers...)
				}
				n := min(len(ready), readyPerRound)
				for _, p := range ready[:n] {
					l.loop.Readable(p.h)
				}
				ready = ready[n:]
			}
			for range 3 {
				l.run(2*heartbeat, talk)
				l.clock.move(stop)
			}
			l.run(4*heartbeat, talk)
			for i, p := range peers {
				if p.ends() || p.gone {
					t.Fatalf("peer %d was ended: %+v", i, p.why())
				}
			}
		})
	}
}

// A peer that was silent before a stop is pinged after it and has a heartbeat to
// answer, and many that do not answer are ended one after the other.
func TestAStoppedServerAsksBeforeItGivesUp(t *testing.T) {
	const crowd, heartbeat = 400, 2 * time.Second
	l := turnTimed(t, conn.Config{Heartbeat: heartbeat})
	peers := make([]*turnedPeer, crowd)
	for i := range peers {
		peers[i] = l.enter(fmt.Sprint("peer-", i))
	}
	l.run(heartbeat/2, nil)
	l.clock.move(time.Hour)
	ended := func() (n int) {
		for _, p := range peers {
			n += p.got(`"reason":"idle"`)
		}
		return n
	}
	before, most, rounds := 0, 0, 0
	for before < crowd && rounds < 1000 {
		l.run(l.manager.SweepEvery(), nil)
		now := ended()
		most = max(most, now-before)
		if now > before {
			rounds++
		}
		before = now
	}
	for i, p := range peers {
		if p.got(`"type":"ping"`) != conn.MaxPings || p.got(`"reconnect_after_ms":`) != 1 {
			t.Fatalf("peer %d got %s; want %d pings and a time to come back", i, p.out, conn.MaxPings)
		}
	}
	if want := int(heartbeat / l.manager.SweepEvery()); rounds < want || most > crowd/want {
		t.Errorf("%d were ended in %d rounds, up to %d at a time; want no fewer rounds than %d", crowd, rounds, most, want)
	}
}

// The hello of a connection that waited in the backlog while the server was
// stopped is read before the time for it is judged.
func TestAStoppedServerReadsTheHello(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	p := l.connect()
	l.loop.Round()
	l.clock.move(time.Hour)
	p.in = append(p.in, `{"type":"hello","version":1,"username":"ann"}`+"\n"...)
	l.run(30*time.Second, nil) // and no poller reports it
	if p.got(`"type":"welcome"`) != 1 || p.got(`"type":"error"`) != 0 {
		t.Errorf("got %s, want a welcome", p.out)
	}
}

// The time for a hello counts from when the connection came, however long the server
// had nothing to do before.
func TestTheFirstConnectionAfterALongQuiet(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	for _, quiet := range []time.Duration{13 * time.Second, time.Hour} {
		l.clock.move(quiet) // no round: nothing happens
		p := l.connect()
		l.run(l.manager.Config().HelloTimeout-time.Second, nil)
		if len(p.out) > 0 {
			t.Fatalf("after %s of quiet a new connection got %s", quiet, p.out)
		}
		l.run(3*time.Second, nil)
		if p.got(`"code":"hello_required"`) != 1 {
			t.Errorf("it got %q, want hello_required", p.out)
		}
		l.run(10*time.Second, nil)
	}
}

// A peer is not silent while the server itself does not read, because a worker reads
// the store for it.
func TestWhoIsNotReadFromIsNotSilent(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	p := l.enter("ann")
	p.h.SetAsking(true)
	l.run(10*l.manager.Config().Heartbeat, nil)
	p.h.SetAsking(false)
	l.run(l.manager.Config().Heartbeat/2, nil)
	if p.ends() || p.got(`"type":"ping"`) > 0 {
		t.Errorf("it got %s", p.out)
	}
}

// A newcomer is not late while the server itself finds out whether it may come in.
func TestAHelloThatWaitsForTheStoreIsNotLate(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	p := l.connect()
	p.h.SetAsking(true)
	l.run(10*l.manager.Config().HelloTimeout, nil)
	if len(p.out) > 0 || p.ends() {
		t.Errorf("it got %s", p.out)
	}
	p.h.SetAsking(false)
	l.run(l.manager.Config().HelloTimeout, nil)
	if p.got(`"code":"hello_required"`) != 1 {
		t.Errorf("one that says nothing after that got %q, want hello_required", p.out)
	}
}

// owes has the kernel hold bytes that the peer has not taken.
func (p *turnedPeer) owes(bytes int) {
	p.untaken = bytes
	p.h.AddSent(bytes)
}

// A peer on a slow link, or one that reads slowly, goes on for as long as its TCP
// takes something, although no ping gets through to it and it says nothing. When
// it takes nothing any more it is a slow consumer.
func TestALittleProgressIsEnough(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	ann, slow := l.enter("ann"), l.enter("slow")
	slow.room = 10
	ann.send("1", strings.Repeat("x", 4000))
	l.run(time.Second, nil)
	if !slow.h.IsBlocked() {
		t.Fatal("it is not blocked")
	}
	slow.owes(1 << 20)
	answer := func() {
		if l.loop.Now()-ann.h.Quiet() > 10*time.Second {
			ann.say(`{"type":"ping"}`)
		}
	}
	l.run(10*time.Minute, func() { slow.untaken -= 350; answer() }) // 700 bytes a second
	if slow.ends() || slow.gone {
		t.Fatalf("it was ended: %+v", slow.why())
	}
	l.run(l.manager.Config().StallTimeout-2*time.Second, answer)
	if slow.ends() {
		t.Fatalf("it was ended too soon: %+v", slow.why())
	}
	l.run(4*time.Second, answer)
	if !slow.gone || slow.why() != conn.SlowConsumer {
		t.Errorf("it takes nothing; its ending: %+v", slow.why())
	}
	if ann.ends() {
		t.Errorf("ann was ended: %+v", ann.why())
	}
}

// Bytes that the kernel takes for a peer that takes nothing are no progress: the
// peer has as long as if there were none.
func TestRoomInTheKernelIsNoProgress(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	ann, stopped := l.enter("ann"), l.enter("stopped")
	stopped.room = 10
	ann.send("1", strings.Repeat("x", 4000))
	l.run(time.Second, nil)
	if !stopped.h.IsBlocked() {
		t.Fatal("it is not blocked")
	}
	stopped.owes(1 << 20)
	l.run(l.manager.Config().StallTimeout+3*time.Second, func() {
		if stopped.gone {
			return
		}
		stopped.untaken++
		stopped.takes(1)
		if l.loop.Now()-ann.h.Quiet() > 10*time.Second {
			ann.say(`{"type":"ping"}`)
		}
	})
	if !stopped.gone || stopped.why() != conn.SlowConsumer {
		t.Errorf("it takes nothing; its ending: %+v", stopped.why())
	}
}

// A peer also goes on when the kernel has taken everything for it, pings included,
// and is slow to deliver it.
func TestAPingBehindMuchMayTakeLong(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	p := l.enter("slow")
	p.owes(1 << 20)
	l.run(10*time.Minute, func() { p.untaken -= 350 })
	if p.ends() || p.gone {
		t.Fatalf("it was ended: %+v", p.why())
	}
	l.run(4*l.manager.Config().Heartbeat, nil) // nothing is taken any more
	if !p.gone || p.why() != conn.Idle {
		t.Errorf("it takes nothing and says nothing; its ending: %+v", p.why())
	}
}

// A program that hangs is given up although its system takes all bytes.
func TestAHangingProgramIsGivenUp(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	ann, hung := l.enter("ann"), l.enter("hung")
	sends := 0
	l.run(4*l.manager.Config().Heartbeat, func() { // a message a second, and all is taken between two looks
		if sends++; sends%2 == 0 {
			ann.send(fmt.Sprint(sends), "hello")
		}
	})
	if !hung.gone || hung.why() != conn.Idle {
		t.Errorf("its ending: %+v", hung.why())
	}
}
