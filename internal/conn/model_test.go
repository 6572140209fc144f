package conn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban/internal/account"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/server/wstest"
	"kaban/internal/store/memory"
)

// modelSocket is a peer that reads and writes when the test says so.
type modelSocket struct {
	in    []byte // what the peer has sent
	ended bool   // and then it has hung up its side
	fault error  // and then it has failed
	out   []byte // what it was sent
	room  int    // bytes that it takes before it blocks
	half  bool
	gone  bool

	untaken int // of what it was sent
}

func (s *modelSocket) Read(p []byte) (int, error) {
	switch {
	case len(s.in) == 0 && s.fault != nil:
		return 0, s.fault
	case len(s.in) == 0 && s.ended:
		return 0, io.EOF
	}
	n := copy(p, s.in)
	if s.in = s.in[n:]; len(s.in) == 0 && !s.ended && s.fault == nil {
		return n, conn.ErrBlocked
	}
	return n, nil
}

func (s *modelSocket) Write(p []byte) (int, error) {
	n := min(s.room, len(p))
	s.out = append(s.out, p[:n]...)
	if s.room -= n; n < len(p) {
		return n, conn.ErrBlocked
	}
	return n, nil
}

func (s *modelSocket) Untaken() int       { return s.untaken }
func (s *modelSocket) CloseWrite() error  { s.half = true; return nil }
func (s *modelSocket) Close() error       { s.gone = true; return nil }
func (s *modelSocket) RemoteAddr() string { return "model" }

// model is a loop without a goroutine: the test turns it.
type model struct {
	t       interface{ Fatal(...any) }
	manager *conn.Manager
	server  *server.Server
	loop    *conn.TestLoop
	peers   []*modelPeer
	named   int
	web     bool // every other peer is on a WebSocket
}

// webEach reports whether the next peer is on a WebSocket.
func (m *model) webEach() bool { return m.web && len(m.peers)%2 == 0 }

// modelPeer is a client, and what it is owed.
type modelPeer struct {
	m       *model
	handler *conn.Handler
	socket  *modelSocket
	checked int // bytes of socket.out
	web     bool

	sent  []string // ids that wait for an ack, in order
	asked []string // refs that wait for an answer, in order
	at    map[string]uint64

	joined map[string]bool
}

// enter lets a peer in.
func (m *model) enter() *modelPeer {
	p := &modelPeer{m: m, socket: new(modelSocket), at: make(map[string]uint64), joined: make(map[string]bool)}
	protocol := m.server.Lines(peer.Loopback())
	if p.web = m.webEach(); p.web {
		protocol = m.server.WebSocket(nil, here())
	}
	var err error
	if p.handler, err = m.loop.Accept(p.socket, protocol); err != nil {
		m.t.Fatal(err)
	}
	m.peers = append(m.peers, p)
	m.named++
	p.say(`{"type":"hello","version":1,"username":"peer-%d","ref":"hello"}`, m.named)
	p.asked = append(p.asked, "hello")
	return p
}

// say is something that the peer sends.
func (p *modelPeer) say(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); p.web {
		p.socket.in = append(p.socket.in, wstest.ClientFrame(0x81, line, testMask)...)
	} else {
		p.socket.in = append(p.socket.in, line+"\n"...)
	}
	p.m.loop.Readable(p.handler)
}

// hear returns the whole frames that were not heard yet, as lines.
func (p *modelPeer) hear() string {
	fresh := p.socket.out[p.checked:]
	if !p.web {
		whole := fresh[:bytes.LastIndexByte(fresh, '\n')+1]
		p.checked += len(whole)
		return string(whole)
	}
	heard, rest, err := wstest.ServerFrames(fresh)
	if err != nil {
		p.m.t.Fatal(err)
	}
	p.checked = len(p.socket.out) - len(rest)
	return heard
}

func (p *modelPeer) ask(kind, fields string) {
	p.m.named++
	ref := fmt.Sprint("ref-", p.m.named)
	p.asked = append(p.asked, ref)
	p.say(`{"type":%q,"ref":%q%s}`, kind, ref, fields)
}

// take lets the peer read some more.
func (p *modelPeer) take(bytes int) {
	p.socket.room += bytes
	p.m.loop.Writable(p.handler)
}

// turn is a round of the loop.
func (m *model) turn() {
	m.loop.Tick()
	m.loop.TakePosts()
	m.loop.Read()
	m.loop.Write()
}

// settle turns until nothing moves any more without the peers, workers included.
func (m *model) settle() {
	for quiet := 0; quiet < 3; quiet++ {
		m.turn()
		busy := m.loop.Posted() || m.loop.Busy()
		for _, p := range m.peers {
			busy = busy || p.handler.IsAsking() || p.handler.IsFetching() || p.handler.InFlight() > 0 && !p.handler.IsBlocked()
		}
		if busy {
			quiet = -1
			time.Sleep(time.Microsecond)
		}
	}
}

// check compares what a peer was sent with what it is owed.
func (p *modelPeer) check() {
	t := p.m.t.(*rapid.T)
	for line := range strings.Lines(p.hear()) {
		var f struct {
			Type, Room, ID, Ref, Code string
			Seq                       uint64
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("got the line %q: %v", line, err)
		}
		switch f.Type {
		case "message", "ack":
			if f.Seq != p.at[f.Room]+1 {
				t.Fatalf("%s %d of %s came behind %d", f.Type, f.Seq, f.Room, p.at[f.Room])
			}
			p.at[f.Room] = f.Seq
			if f.Type == "message" {
				break
			}
			if len(p.sent) == 0 {
				t.Fatalf("an ack for %s that was not sent", f.ID)
			}
			// Acks of one room come in order; rooms pass one another.
			found := false
			for i, id := range p.sent {
				if room, _, _ := strings.Cut(id, "."); room == f.Room {
					if id != f.ID {
						t.Fatalf("an ack for %s, want the one for %s first", f.ID, id)
					}
					p.sent = append(p.sent[:i:i], p.sent[i+1:]...)
					found = true
					break
				}
			}
			if !found {
				t.Fatalf("an ack for %s that was not sent", f.ID)
			}
		case "presence":
		case "error":
			t.Fatalf("got %s", line)
		default:
			if len(p.asked) == 0 || p.asked[0] != f.Ref {
				t.Fatalf("got %s, want the answer to %v", line, p.asked)
			}
			p.asked = p.asked[1:]
		}
	}
}

// TestTheLoopAgainstAModel has peers send, ask, join, leave, read in odd pieces,
// stall and hang up, and turns the loop at any moment in between. Whatever
// happens, each is sent whole frames: every number of its rooms once and in
// order, an ack for each of its sends in the place of the message, and an answer
// to everything it asked, in order.
func TestTheLoopAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, err := dispatch.New(context.Background(), memory.New(0), dispatch.Options{
			TailBytes:   rapid.SampledFrom([]int{1, 4 << 10, 256 << 10}).Draw(rt, "tail"),
			PageEntries: rapid.SampledFrom([]int{1, 10, 500}).Draw(rt, "page"),
		})
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Close()
		manager, front := newServer(rt, conn.Config{MaxClients: 1000}, d)
		defer manager.Close()
		m := &model{t: rt, manager: manager, server: front, loop: conn.NewTestLoop(manager), web: rapid.Bool().Draw(rt, "web")}
		defer m.loop.CloseAll()
		pick := func() *modelPeer { return m.peers[rapid.IntRange(0, len(m.peers)-1).Draw(rt, "who")] }
		rooms := []string{"lobby", "kitchen"}
		join := func(p *modelPeer, room string) {
			if p.joined[room] {
				return
			}
			p.joined[room] = true
			p.ask("join", fmt.Sprintf(`,"room":%q,"after":%d`, room, p.at[room]))
		}
		for range 3 {
			p := m.enter()
			p.take(1 << 20)
			join(p, "lobby")
		}
		m.settle()
		for _, p := range m.peers {
			p.socket.room = 0 // from now on they read when the test says so
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {
				for _, p := range m.peers {
					p.check()
				}
			},
			"send": func(rt *rapid.T) {
				p, room := pick(), rapid.SampledFrom(rooms).Draw(rt, "room")
				if !p.joined[room] {
					return
				}
				for range rapid.IntRange(1, 40).Draw(rt, "sends") {
					m.named++
					id := fmt.Sprintf("%s.%d", room, m.named)
					p.sent = append(p.sent, id)
					p.say(`{"type":"send","room":%q,"id":%q,"content":"%s"}`, room, id, strings.Repeat("x", rapid.SampledFrom([]int{1, 300, 4000}).Draw(rt, "length")))
				}
			},
			"join": func(rt *rapid.T) { join(pick(), rapid.SampledFrom(rooms).Draw(rt, "room")) },
			"part": func(rt *rapid.T) {
				p, room := pick(), rapid.SampledFrom(rooms).Draw(rt, "room")
				if p.joined[room] {
					p.joined[room] = false
					p.ask("part", fmt.Sprintf(`,"room":%q`, room))
					p.take(1 << 24) // parting answers when all is acknowledged
					m.settle()
					p.check()
				}
			},
			"ask": func(rt *rapid.T) {
				switch p := pick(); rapid.IntRange(0, 3).Draw(rt, "what") {
				case 0:
					p.ask("ping", "")
				case 1:
					p.ask("history", `,"room":"lobby","limit":3`)
				case 2:
					p.ask("members", `,"room":"lobby"`)
				case 3:
					p.ask("rooms", "")
				}
			},
			"read": func(rt *rapid.T) {
				pick().take(rapid.SampledFrom([]int{0, 1, 100, 5000, 1 << 20}).Draw(rt, "bytes"))
			},
			"turn":   func(*rapid.T) { m.turn() },
			"settle": func(*rapid.T) { m.settle() },
		})
		for range 100 { // a peer takes its time: what it sends next waits for what it reads
			done := true
			for _, p := range m.peers {
				p.take(1 << 24)
				m.settle()
				p.check()
				done = done && len(p.sent) == 0 && len(p.asked) == 0
			}
			if done {
				break
			}
		}
		infos, _ := d.Rooms("", 10)
		for i, p := range m.peers {
			p.check()
			if len(p.sent) > 0 || len(p.asked) > 0 || p.checked < len(p.socket.out) {
				rt.Fatalf("peer %d still waits for the acks of %v and the answers to %v, and has %d bytes of a frame", i, p.sent, p.asked, len(p.socket.out)-p.checked)
			}
			for _, room := range infos {
				if name := room.Name.String(); p.joined[name] && p.at[name] != room.Head {
					rt.Fatalf("peer %d is at %d of %s, want %d", i, p.at[name], name, room.Head)
				}
			}
		}
	})
}

// here returns the caller of a WebSocket from this machine.
func here() *account.Caller {
	rules := peer.Loopback()
	p, err := rules.Accept(netip.IPv6Loopback())
	if err != nil {
		panic(err)
	}
	return &account.Caller{Peer: p, TakesSecrets: rules.TakesSecrets(p)}
}
