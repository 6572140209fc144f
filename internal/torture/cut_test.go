package torture

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy connects clients to a server and cuts their connections: after some bytes
// or some time, with a FIN or a reset, in the middle of a frame or between frames.
// It leaves some half-open and silent.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string
	seed     uint64
	cuts     atomic.Int64
	gentle   atomic.Bool // no longer cuts anything
	group    sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	closed   bool
}

func newProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: target, seed: seed, open: make(map[net.Conn]bool)}
	p.group.Go(p.accept)
	return p
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.open {
		conn.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

func (p *proxy) accept() {
	for n := uint64(0); ; n++ {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		random := rand.New(rand.NewPCG(p.seed, n))
		p.group.Go(func() { p.serve(conn, random) })
	}
}

// track records a connection, so that close can end it.
func (p *proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return false
	}
	p.open[conn] = true
	return true
}

func (p *proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
	conn.Close()
}

func (p *proxy) serve(near net.Conn, random *rand.Rand) {
	if !p.track(near) {
		return
	}
	defer p.forget(near)
	far, err := net.Dial("tcp", p.target)
	if err != nil || !p.track(far) {
		return
	}
	defer p.forget(far)
	halfOpen, reset := random.IntN(400) == 0, random.IntN(2) == 0
	budget := int64(random.IntN(1 << (6 + random.IntN(11)))) // bytes; short ones are as likely as long ones
	patience := time.Duration(10+random.IntN(400)) * time.Millisecond
	if p.gentle.Load() {
		halfOpen, budget, patience = false, 1<<60, time.Hour
	}
	ended := make(chan struct{}, 2)
	var copying sync.WaitGroup
	for _, way := range [2][2]net.Conn{{near, far}, {far, near}} {
		copying.Go(func() {
			io.CopyN(way[1], way[0], budget)
			ended <- struct{}{}
		})
	}
	select {
	case <-ended:
	case <-time.After(patience):
	}
	p.cuts.Add(1)
	if halfOpen {
		// Both sides hear nothing more until one gives up.
		<-ended
	} else if reset {
		near.(*net.TCPConn).SetLinger(0)
		far.(*net.TCPConn).SetLinger(0)
	}
	near.Close()
	far.Close()
	copying.Wait()
}

// Connections are cut all the time, even in the middle of replays and of resumed
// replays. Every reader sees every message once, and every message is stored once.
func TestCuts(t *testing.T) {
	t.Run("TCP", func(t *testing.T) { cutAll(t, false) })
	t.Run("TLS", func(t *testing.T) { cutAll(t, true) })
}

func cutAll(t *testing.T, encrypted bool) {
	random := random(t)
	h := newHost(t)
	var trusted *tls.Config
	if encrypted {
		trusted = h.encrypt()
	}
	h.start()
	p := newProxy(t, h.address, random.Uint64())
	t.Cleanup(p.close)
	c := newCrowd(t, p.listener.Addr().String())
	c.tls = trusted
	for i := range 2 {
		c.send(fmt.Sprint("sender-", i), 8)
	}
	c.watch("watcher")
	for i := range 6 { // they start over repeatedly, so most of what they read is a replay
		c.listen(fmt.Sprint("listener-", i), 1<<30)
	}
	// Enough messages for long replays, but no more than the readers can take.
	for deadline := time.Now().Add(30 * patience); p.cuts.Load() < int64(*cuts); time.Sleep(5 * time.Millisecond) {
		c.hush(c.history.Acks() > 200+int(p.cuts.Load())/2)
		if time.Now().After(deadline) {
			t.Fatalf("only %d cuts", p.cuts.Load())
		}
	}
	p.gentle.Store(true)
	c.settle("watcher")
	c.end()
	h.stop()
	h.check(c.history, "at the end")
	if problems := c.history.CheckComplete(); len(problems) > 0 {
		t.Errorf("not acknowledged: %q", problems)
	}
	t.Logf("%d cuts, %d messages acknowledged, %d readers: no fault", p.cuts.Load(), c.history.Acks(), c.history.Readers())
}

// The proxy must cut within frames, not only between them.
func TestTheProxyCuts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var group sync.WaitGroup
	defer group.Wait()
	defer l.Close()
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write(make([]byte, 1<<17))
			conn.Close()
		}
	})
	p := newProxy(t, l.Addr().String(), *seed)
	defer p.close()
	sizes := make(map[int64]bool)
	for range 50 {
		conn, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil { // reset before the first byte
			continue
		}
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, _ := io.Copy(io.Discard, conn)
		sizes[n] = true
		conn.Close()
	}
	if len(sizes) < 10 {
		t.Errorf("connections were only cut after %v bytes", sizes)
	}
}
