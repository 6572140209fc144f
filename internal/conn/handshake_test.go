package conn_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
	"kaban/internal/tlstest"
	"kaban/internal/turns"
)

// In a flood of handshakes, one whose peer is far away loses its place at times, and at
// times it does not: those that came first are not the ones to go. Nobody goes while there
// is room.
func TestAFloodOfHandshakesLeavesSomeThatAreSlow(t *testing.T) {
	const most, tries = 100, 200
	h := conn.NewTestHandshakes(most)
	name, stayed := 0, 0
	for range most {
		name++
		if other := h.Enter(name); other != 0 {
			t.Errorf("%d makes room while there is some", other)
		}
	}
	for range tries {
		name++
		slow, gone := name, false
		if h.Enter(slow) == 0 {
			t.Fatal("nobody makes room")
		}
		for range most { // until its answer is here
			name++
			gone = h.Enter(name) == slow || gone
		}
		if !gone {
			stayed++
		}
	}
	// (1 - 1/100)^100 is 0.366. Outside of these bounds is one run of 10^9.
	if stayed < tries/8 || stayed > tries*5/8 {
		t.Errorf("%d of %d stayed, want about a third", stayed, tries)
	}
}

// A handshake computes in a turn of those that it shares, and waits for its peer in none.
func TestHandshakesTakeTurns(t *testing.T) {
	d, err := dispatch.New(t.Context(), memory.New(0), dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shared := turns.New(1)
	var other turns.Turn
	other.Enter(shared)
	other.Work()
	m, front := newServer(t, conn.Config{Turns: shared}, d)
	l := &turned{t: t, manager: m, server: front, dispatcher: d, loop: conn.NewTestLoop(m)}
	defer func() { other.End(); l.loop.CloseAll(); m.Close(); d.Close() }()
	hello := clientHello(t)
	var all []*turnedPeer
	for range 3 {
		p := l.newcomer()
		p.in = append(p.in, hello...)
		l.loop.Readable(p.h)
		all = append(all, p)
	}
	answered := func() (n int) {
		for _, p := range all {
			if len(p.out) > 0 {
				n++
			}
		}
		return n
	}
	for range 1000 { // the others have time to do what they must not
		l.step()
		runtime.Gosched()
	}
	if n := answered(); n > 0 {
		t.Errorf("%d handshakes compute beside another listener's", n)
	}
	other.End()
	l.until("all have answers", func() bool { return answered() == len(all) })
}

// A peer that resets its connection in a handshake, or right behind it, has not broken
// any rule.
func TestAResetIsNoViolation(t *testing.T) {
	reset := os.NewSyscallError("read", syscall.ECONNRESET)
	ends := func(t *testing.T, l *turned, p *turnedPeer) {
		t.Helper()
		p.fault = reset
		l.loop.Readable(p.h)
		l.until("it is over", func() bool { return p.gone })
		if _, why, _ := p.h.Ends(); why == conn.Violation {
			t.Error("it counts as a violation")
		}
	}
	t.Run("in it", func(t *testing.T) {
		l := turnTLS(t)
		p := l.newcomer()
		p.in = append(p.in, clientHello(t)...)
		ends(t, l, p)
	})
	for name, version := range versions {
		t.Run("behind it, "+name, func(t *testing.T) {
			l := turnTLS(t)
			c := l.secure(version, 0)
			ends(t, l, c.turnedPeer)
		})
		t.Run("later, "+name, func(t *testing.T) {
			l := turnTLS(t)
			c := l.secure(version, 0)
			c.enter("ann")
			ends(t, l, c.turnedPeer)
		})
	}
}

// watched is the toy over TLS. It counts the handshakes that compute.
type watched struct {
	toy
	config *tls.Config
}

func (p watched) TLS() *tls.Config { return p.config }

// refuser is a manager in a bubble of synctest: its loops wait for the kernel, so no time
// passes there, and a machine that is busy ends no goodbye early.
func refuser(t *testing.T) *conn.Manager {
	t.Helper()
	m, err := conn.New(conn.Config{Submit: func([]dispatch.Send) {}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Connections that are refused over TLS get the reason, and compute one at a time.
func TestRefusedHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := refuser(t)
		defer m.Close()
		var now, most atomic.Int32
		config, certificate := tlstest.Server(), tlstest.Server().GetCertificate
		config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			most.Store(max(most.Load(), now.Add(1)))
			for range 1000 {
				runtime.Gosched() // so that others compute beside it, if they may
			}
			defer now.Add(-1)
			return certificate(hello)
		}
		p := watched{config: config}
		const clients = 8
		var group sync.WaitGroup
		var told atomic.Int32
		for range clients {
			ours, theirs := net.Pipe()
			m.Refuse(ours, p.TLS(), func() []byte { return p.TurnAway(time.Second) })
			group.Go(func() {
				c := tls.Client(theirs, tlstest.Client())
				defer c.Close()
				if got, _ := io.ReadAll(c); strings.Contains(string(got), "BYE full") {
					told.Add(1)
				}
			})
		}
		group.Wait()
		if n := most.Load(); n != 1 || told.Load() != clients {
			t.Errorf("%d handshakes computed at a time, want 1; %d of %d clients got the reason", n, told.Load(), clients)
		}
	})
}

// A panic while a connection is refused ends that connection, and nothing else. The turn
// is free again.
func TestARefusalPanics(t *testing.T) {
	for name, breaks := range map[string]func(*tls.Config, *func() []byte){
		"in the handshake": func(config *tls.Config, _ *func() []byte) {
			config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no certificate") }
		},
		"in the words": func(_ *tls.Config, words *func() []byte) { *words = func() []byte { panic("no words") } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := refuser(t)
				defer m.Close()
				refuse := func(config *tls.Config, words func() []byte) string {
					ours, theirs := net.Pipe()
					m.Refuse(ours, config, words)
					c := tls.Client(theirs, tlstest.Client())
					defer c.Close()
					got, _ := io.ReadAll(c)
					return string(got)
				}
				words := func() []byte { return []byte("BYE full\n") }
				config, broken := tlstest.Server(), words
				breaks(config, &broken)
				if got := refuse(config, broken); got != "" {
					t.Errorf("got %q", got)
				}
				if n := m.Panics(); n != 1 {
					t.Errorf("%d panics were recovered, want 1", n)
				}
				if got := refuse(tlstest.Server(), words); got != "BYE full\n" {
					t.Errorf("then another one got %q", got)
				}
			})
		})
	}
}
