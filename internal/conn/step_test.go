package conn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/server/wstest"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// gate is a store that holds up appends until it is opened.
type gate struct {
	store.Store
	open chan struct{}
}

func (g *gate) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	<-g.open
	return g.Store.Append(ctx, batch, results)
}

// newServer returns a server whose loops the test may turn.
func newServer(t interface{ Fatal(...any) }, config conn.Config, d *dispatch.Dispatcher) (*conn.Manager, *server.Server) {
	config.Submit = d.Submit
	m, err := conn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(context.Background(), d, chat.Options{Clock: m.Config().Clock})
	if err != nil {
		t.Fatal(err)
	}
	return m, server.New(server.Config{}, rooms, m)
}

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// turned is a loop that the test turns, over a store that may hold up appends.
type turned struct {
	t          testing.TB
	manager    *conn.Manager
	server     *server.Server
	dispatcher *dispatch.Dispatcher
	loop       *conn.TestLoop
	gate       chan struct{} // nil: appends do not wait
}

func turn(t *testing.T) *turned {
	t.Helper()
	open := make(chan struct{})
	l := turnOver(t, &gate{memory.New(0), open}, dispatch.Options{})
	l.gate = open
	return l
}

// turnOver has no gate.
func turnOver(t testing.TB, s store.Store, options dispatch.Options) *turned {
	t.Helper()
	d, err := dispatch.New(t.Context(), s, options)
	if err != nil {
		t.Fatal(err)
	}
	m, front := newServer(t, conn.Config{MaxClients: 200_000}, d)
	l := &turned{t: t, manager: m, server: front, dispatcher: d, loop: conn.NewTestLoop(m)}
	t.Cleanup(func() {
		l.opened()
		l.loop.CloseAll()
		m.Close()
		d.Close()
		if n := m.Panics(); n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	return l
}

// opened releases the appends.
func (l *turned) opened() {
	if l.gate == nil {
		return
	}
	select {
	case <-l.gate:
	default:
		close(l.gate)
	}
}

// step handles everything that is ready, without the clock.
func (l *turned) step() {
	l.loop.TakePosts()
	l.loop.Read()
	for l.loop.Writes() > 0 {
		l.loop.Write()
	}
}

// until steps until a condition holds.
func (l *turned) until(what string, so func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Microsecond) {
		if l.step(); time.Now().After(deadline) {
			l.t.Fatalf("it never happens: %s", what)
		}
	}
}

// later moves the clock and sweeps.
func (l *turned) later(d time.Duration) {
	l.loop.Later(d)
	l.loop.Sweep()
	l.step()
}

type turnedPeer struct {
	*modelSocket
	l *turned
	h *conn.Handler
}

// connect connects a peer that says nothing and takes everything.
func (l *turned) connect() *turnedPeer {
	l.t.Helper()
	p := &turnedPeer{l: l, modelSocket: &modelSocket{room: 1 << 30}}
	var err error
	if p.h, err = l.loop.Accept(p.modelSocket, l.server.Lines(peer.Loopback())); err != nil {
		l.t.Fatal(err)
	}
	return p
}

// enter connects a peer that has joined the lobby and takes everything.
func (l *turned) enter(name string) *turnedPeer {
	l.t.Helper()
	p := l.connect()
	p.say(`{"type":"hello","version":1,"username":%q}`, name)
	p.say(`{"type":"join","room":"lobby"}`)
	l.until(name+" is in", func() bool { return p.got(`"type":"joined"`) == 1 })
	return p
}

func (p *turnedPeer) say(format string, args ...any) {
	p.in = fmt.Appendf(p.in, format+"\n", args...)
	p.l.loop.Readable(p.h)
}

func (p *turnedPeer) send(id, content string) {
	p.say(`{"type":"send","room":"lobby","id":%q,"content":%q}`, id, content)
}

// got counts a text in the bytes that the peer was sent.
func (p *turnedPeer) got(text string) int { return strings.Count(string(p.out), text) }

// takes lets the peer take more.
func (p *turnedPeer) takes(bytes int) {
	p.room += bytes
	p.l.loop.Writable(p.h)
}

// A peer that does not take its replies is not read from any more.
func TestRepliesAreBounded(t *testing.T) {
	l := turn(t)
	p := l.enter("ann")
	p.room = 0
	const n = 20_000
	for range n {
		p.say(`{"type":"ping"}`)
	}
	most := 0
	for range 1000 {
		l.step()
		most = max(most, len(p.h.Waiting()))
	}
	if most < conn.MaxReplies || most > conn.MaxReplies+1024 {
		t.Errorf("up to %d bytes of replies waited, want about %d", most, conn.MaxReplies)
	}
	if len(p.in) == 0 {
		t.Error("everything was read")
	}
	p.takes(1 << 30)
	l.until("all is answered", func() bool { return p.got(`"type":"pong"`) == n })
}

// The same holds for WebSocket pings, which are not requests.
func TestPongsAreBounded(t *testing.T) {
	l := turn(t)
	s := new(modelSocket)
	h, err := l.loop.Accept(s, l.server.WebSocket(nil, here()))
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	for range n {
		s.in = append(s.in, wstest.ClientFrame(0x89, "0123456789", testMask)...)
	}
	l.loop.Readable(h)
	most := 0
	for range 1000 {
		l.step()
		most = max(most, len(h.Waiting()))
	}
	if most < conn.MaxReplies || most > 2*conn.MaxReplies {
		t.Errorf("up to %d bytes of pongs waited, want about %d", most, conn.MaxReplies)
	}
	if len(s.in) == 0 {
		t.Error("everything was read")
	}
	s.room = 1 << 30
	l.loop.Writable(h)
	l.until("all is answered", func() bool { return len(s.out) == n*12 })
}

// Sends in flight are bounded in number and in bytes.
func TestSendsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		n, size, most, mostBytes int
	}{
		"many":  {3000, 1, conn.MaxSends, conn.MaxSends},
		"large": {200, 5000, conn.MaxSendBytes/5000 + 1, conn.MaxSendBytes + 5000},
	} {
		t.Run(name, func(t *testing.T) {
			l := turn(t)
			p := l.enter("ann")
			for i := range c.n {
				p.send(fmt.Sprint(i), strings.Repeat("x", c.size))
			}
			for range 1000 {
				l.step()
				if p.h.InFlight() > c.most || p.h.InFlightSize() > c.mostBytes {
					t.Fatalf("%d sends of %d bytes are under way, want at most %d of %d", p.h.InFlight(), p.h.InFlightSize(), c.most, c.mostBytes)
				}
			}
			if p.h.InFlight() != c.most {
				t.Errorf("%d sends are under way, want %d", p.h.InFlight(), c.most)
			}
			l.opened()
			l.until("all is acknowledged", func() bool { return p.got(`"type":"ack"`) == c.n })
		})
	}
}

// Sends before a part are acknowledged before it.
func TestPartWaitsForAcks(t *testing.T) {
	l := turn(t)
	p := l.enter("ann")
	p.send("1", "x")
	p.say(`{"type":"part","room":"lobby"}`)
	for range 100 {
		l.step()
	}
	if p.got(`"type":"parted"`) > 0 {
		t.Fatal("it has parted while something was under way")
	}
	l.opened()
	l.until("it has parted", func() bool { return p.got(`"type":"parted"`) == 1 })
	if out := string(p.out); p.got(`"type":"ack"`) != 1 || strings.Index(out, `"type":"ack"`) > strings.Index(out, `"type":"parted"`) {
		t.Errorf("got %s", out)
	}
}

// A frame that the socket took in part goes on where it was cut, in messages as in
// replies.
func TestACutFrameGoesOn(t *testing.T) {
	for name, pings := range map[string]int{"messages": 0, "messages and replies": 20} {
		t.Run(name, func(t *testing.T) {
			l := turn(t)
			ann, bob := l.enter("ann"), l.enter("bob")
			l.opened()
			bob.room = 0
			before := len(bob.out)
			const n = 20
			for i := range n {
				ann.send(fmt.Sprint(i), "hello")
			}
			for i := range pings {
				bob.say(`{"type":"ping","ref":"%d"}`, i)
			}
			l.until("ann has her acks", func() bool { return ann.got(`"type":"ack"`) == n })
			for i := range 2000 {
				bob.takes(i % 13)
				l.step()
			}
			messages, pongs := 0, 0
			for _, line := range strings.SplitAfter(string(bob.out[before:]), "\n") {
				switch {
				case strings.HasPrefix(line, `{"type":"message"`) && strings.Count(line, "type") == 1 && strings.HasSuffix(line, "}\n"):
					messages++
				case strings.HasPrefix(line, `{"type":"pong"`) && strings.Count(line, "type") == 1 && strings.HasSuffix(line, "}\n"):
					pongs++
				case line != "" && !strings.HasPrefix(line, `{"type":"presence"`):
					t.Errorf("bob got the line %q", line)
				}
			}
			if messages != n || pongs != pings {
				t.Errorf("bob got %d messages and %d answers, want %d and %d", messages, pongs, n, pings)
			}
		})
	}
}

// A presence frame that was cut behind a cut message is finished before replies
// that were queued meanwhile.
func TestACutPresenceFrameGoesOn(t *testing.T) {
	l := turn(t)
	ann, bob := l.enter("ann"), l.enter("bob")
	l.opened()
	l.until("the first presence is told", func() bool { return ann.got(`"type":"presence"`) > 0 && bob.got(`"type":"presence"`) > 0 })
	before, told := len(bob.out), ann.got(`"type":"presence"`)
	bob.room = 5
	ann.send("1", "hello")
	l.until("bob is blocked", func() bool { return bob.h.IsBlocked() })
	l.enter("carl")
	l.until("presence is told", func() bool { return ann.got(`"type":"presence"`) > told })
	for i := range 5 {
		bob.say(`{"type":"ping","ref":"%d"}`, i)
	}
	l.until("bob's pings are read", func() bool { return len(bob.in) == 0 })
	for range 2000 {
		bob.takes(7)
		l.step()
	}
	kinds := map[string]int{}
	for line := range strings.Lines(string(bob.out[before:])) {
		var f struct{ Type string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("bob got the line %q", line)
		}
		kinds[f.Type]++
	}
	if kinds["message"] != 1 || kinds["pong"] != 5 || kinds["presence"] == 0 {
		t.Errorf("bob got %v", kinds)
	}
}

// An end that waits for the store is hurried after a while, and not before.
func TestAnEndIsHurried(t *testing.T) {
	l := turn(t)
	p := l.enter("ann")
	p.send("1", "x")
	for range 10 {
		p.say("bad")
	}
	l.step()
	l.later(conn.FinishTimeout - time.Second)
	if p.got(`"type":"goodbye"`) > 0 {
		t.Fatal("it ended before what it had sent was stored")
	}
	l.later(2 * time.Second)
	l.later(time.Second)
	if p.got(`"type":"goodbye","reason":"protocol"`) != 1 {
		t.Errorf("it was not ended: %s", p.out)
	}
}

// A drain gives a peer that takes nothing, or a peer that waits for the store,
// the time to be given what it is owed.
func TestADrainHurriesNobodyAtOnce(t *testing.T) {
	l := turn(t)
	ann, bob := l.enter("ann"), l.enter("bob")
	ann.send("1", "hello")
	l.step()
	l.opened()
	bob.room = 0
	l.until("ann has her ack", func() bool { return ann.got(`"type":"ack"`) == 1 })
	l.until("bob is blocked", func() bool { return bob.h.IsBlocked() })
	l.loop.Drain(time.Second)
	l.step()
	l.later(conn.DrainStall / 2)
	if begun, why, hurried := bob.h.Ends(); !begun || hurried {
		t.Fatalf("bob ends: %v, for %d, hurried: %v", begun, why, hurried)
	}
	bob.takes(1 << 20)
	l.step()
	if bob.got(`"type":"message"`) != 1 || bob.got(`"type":"goodbye","reason":"draining"`) != 1 {
		t.Errorf("bob got %s", bob.out)
	}
}

// A peer that goes on taking nothing is hurried.
func TestADrainHurriesWhoTakesNothing(t *testing.T) {
	l := turn(t)
	ann, bob := l.enter("ann"), l.enter("bob")
	ann.send("1", "hello")
	l.opened()
	bob.room = 0
	l.until("bob is blocked", func() bool { return bob.h.IsBlocked() })
	l.loop.Drain(time.Second)
	l.step()
	for range 10 {
		l.later(conn.DrainStall)
	}
	if !bob.h.IsClosed() || !bob.gone {
		t.Error("bob holds up the drain")
	}
}
