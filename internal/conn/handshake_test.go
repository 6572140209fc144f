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
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
	"kaban/internal/tlstest"
)

// In a flood of handshakes, one whose peer is far away loses its place at times, and at
// times it does not: those that came first are not the ones to go.
func TestAFloodOfHandshakesLeavesSomeThatAreSlow(t *testing.T) {
	const most, tries = 100, 200
	h := conn.NewTestHandshakes(most)
	name, stayed := 0, 0
	for range most {
		name++
		h.Enter(name, true)
	}
	for range tries {
		name++
		slow, gone := name, false
		h.Enter(slow, true)
		for range most { // until its answer is here
			name++
			gone = h.Enter(name, true) == slow || gone
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

// A handshake whose peer has answered does not make room while others wait for theirs.
func TestAHandshakeWithAnAnswerStays(t *testing.T) {
	const most = 100
	h := conn.NewTestHandshakes(most)
	for i := 1; i <= most; i++ {
		h.Enter(i, i > 3)
	}
	for i := range 10_000 {
		if other := h.Enter(most+1+i, true); other == 0 || other <= 3 {
			t.Fatalf("%d makes room", other)
		}
	}
}

// A handshake waits for its peer between its answer and that of the peer.
func TestAHandshakeWaits(t *testing.T) {
	l := turnTLS(t)
	p := l.newcomer()
	p.in = append(p.in, clientHello(t)...)
	l.loop.Readable(p.h)
	if l.step(); conn.WaitsForPeer(p.h) && len(p.out) == 0 {
		t.Error("it waits before it has begun")
	}
	l.until("it waits", func() bool { return conn.WaitsForPeer(p.h) })
	defer l.manager.HoldTurns()()
	p.in = append(p.in, 22)
	l.loop.Readable(p.h)
	if l.loop.Read(); conn.WaitsForPeer(p.h) {
		t.Error("it waits though there is something to compute")
	}
}

// When all handshakes have work to do, one of them makes room.
func TestABusyHandshakeMakesRoom(t *testing.T) {
	h := conn.NewTestHandshakes(2)
	for i := 1; i <= 2; i++ {
		if other := h.Enter(i, false); other != 0 {
			t.Errorf("%d makes room while there is some", other)
		}
	}
	if other := h.Enter(3, false); other != 1 && other != 2 {
		t.Errorf("%d makes room", other)
	}
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

// Connections that are refused over TLS get the reason, and compute one at a time.
func TestRefusedHandshakesTakeTurns(t *testing.T) {
	d, err := dispatch.New(t.Context(), memory.New(0), dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := newServer(t, conn.Config{}, d)
	defer func() { m.Close(); d.Close() }()
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
			if got, _ := io.ReadAll(c); strings.Contains(string(got), "BYE full") { // a busy machine closes some first
				told.Add(1)
			}
		})
	}
	group.Wait()
	if n := most.Load(); n != 1 || told.Load() == 0 {
		t.Errorf("%d handshakes computed at a time, want 1; %d clients got the reason", n, told.Load())
	}
}
