package server_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
)

// crowd opens connections that each say what the kind says and nothing more, one
// byte now and then if they trickle. They are closed at the end of the test.
func (f *fixture) crowd(n int, says string, trickle bool) {
	f.t.Helper()
	var mu sync.Mutex
	conns := make([]net.Conn, 0, n)
	for range n {
		conn := f.dialConn()
		conn.Write([]byte(says))
		conns = append(conns, conn)
	}
	stop := make(chan struct{})
	var trickling sync.WaitGroup
	if trickle {
		trickling.Go(func() {
			for {
				mu.Lock()
				for _, conn := range conns {
					conn.Write([]byte(" "))
				}
				mu.Unlock()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-stop:
					return
				}
			}
		})
	}
	f.t.Cleanup(func() {
		close(stop)
		trickling.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	})
}

// However many connections say nothing, or never finish their hello, a client that
// says hello is let in at once and not after the time-out of the others.
func TestALoginBesideManyThatSayNothing(t *testing.T) {
	for name, kind := range map[string]struct {
		says    string
		trickle bool
	}{
		"silent":     {"", false},
		"half hello": {`{"type":"hello","version":1,"usern`, false},
		"trickling":  {"{", true},
		"nonsense":   {"{}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			const clients = 100
			bad, more := crowdOf(1000), crowdOf(20)
			f := start(t, conn.Config{MaxClients: clients, HelloTimeout: time.Hour}, nil, dispatch.Options{})
			ann, bob := f.join("ann"), f.join("bob") // clients stay
			f.crowd(bad, kind.says, kind.trickle)
			for i := range 20 {
				p := f.join(fmt.Sprint("good-", i))
				p.say(`{"type":"send","room":"lobby","id":"%d","content":"x"}`, i)
				p.expect("ack", "id", i)
				ann.expect("message", "id", i)
				bob.expect("message", "id", i)
				f.crowd(more, kind.says, false)
			}
			if n, nodes := f.clients(), len(f.all); n > nodes*(clients+64) {
				t.Errorf("%d connections are there, want %d clients and 64 newcomers at most at each of %d nodes", n, clients, nodes)
			}
			if name != "nonsense" && strings.Count(f.log.String(), "make room") != len(f.all) {
				t.Errorf("the log must say once for each node that newcomers make room:\n%s", f.log)
			}
		})
	}
}

// Clients never make room. The next connection learns that the server is full,
// whether it was when it came or when it says hello.
func TestClientsMakeNoRoom(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	const clients = 10
	f := start(t, conn.Config{MaxClients: clients}, nil, dispatch.Options{})
	early := f.dial()
	early.send(`{"type":"hel`) // so that it has been accepted
	var in []*peer
	for i := range clients {
		in = append(in, f.join(fmt.Sprint("client-", i)))
	}
	early.say(`lo","version":1,"username":"early","ref":"r"}`)
	if got := early.expect("error", "code", "server_full", "max", clients, "ref", "r"); got["retry_after_ms"] == nil {
		t.Errorf("%s does not say when to come back", got)
	}
	if got := early.expectEnd("internal"); got["reconnect_after_ms"] == nil {
		t.Errorf("%s does not say when to come back", got)
	}
	late := f.dial()
	late.expect("error", "code", "server_full", "max", clients)
	late.expectEnd("internal")
	for _, p := range in {
		p.alive()
	}
	in[0].conn.Close()
	for { // until its place is free
		p := f.dial()
		p.say(`{"type":"hello","version":1,"username":"next"}`)
		if got, err := p.next(); err == nil && got["type"] == "welcome" {
			break
		}
		p.conn.Close()
	}
}

// Who is refused at hello takes nobody's place, not even while it does not hang up.
func TestTheRefusedTakeNoPlace(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	f := start(t, conn.Config{MaxClients: 2}, nil, dispatch.Options{})
	ann := f.join("ann")
	for range 10 {
		taken := f.dial()
		taken.say(`{"type":"hello","version":1,"username":"ann"}`)
		taken.expect("error", "code", "username_taken")
	}
	converse(ann, f.join("bob"), "1")
}

// A newcomer that makes room is asked to come back, and the first to come is the
// first to go.
func TestWhoMakesRoomIsTold(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	f := start(t, conn.Config{MaxClients: 1, MaxNewcomers: 3, HelloTimeout: time.Hour}, nil, dispatch.Options{})
	first := f.dial()
	for f.clients() == 0 { // a WebSocket is the manager's only after its handshake
		time.Sleep(time.Millisecond)
	}
	for range 6 {
		f.dial().send("{")
	}
	if got := first.expect("error", "code", "server_full"); got["retry_after_ms"] == nil {
		t.Errorf("%s does not say when to come back", got)
	}
	if got := first.expectEnd("internal"); got["reconnect_after_ms"] == nil {
		t.Errorf("%s does not say when to come back", got)
	}
}

// Without descriptors left, those that say nothing make room too.
func TestAcceptMakesRoom(t *testing.T) {
	onlyLines(t)
	onlyPlain(t) // nobody is told before the end of the handshake
	f := start(t, conn.Config{HelloTimeout: time.Hour}, nil, dispatch.Options{})
	first := f.dial()
	first.send("{")
	f.hello("bob").alive() // accepted behind the first, so that is a newcomer now
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveLines(f.server, &exhausted{Listener: l, times: 1}) }()
	f.addr = l.Addr().String()
	f.hello("ann").alive()
	first.expect("error", "code", "server_full")
	f.manager.Close()
	<-done
}
