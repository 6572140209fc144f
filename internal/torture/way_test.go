package torture

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// What becomes of what is sent over a way.
type condition uint8

const (
	open    condition = iota
	stalled           // it waits, as for packets that are sent again
	cut               // connections are reset, and refused
)

// way is an address that leads to another one, with faults.
type way struct {
	address, target string
	listener        net.Listener
	serving         sync.WaitGroup
	losing          *losing // nil: no answers get lost

	mu        sync.Mutex // guards all below
	condition condition
	changed   chan struct{} // closed when the condition changes
	conns     map[net.Conn]struct{}
}

// losing loses requests that commit, and the answers to them.
type losing struct {
	left atomic.Int64 // how many more
	lost atomic.Int64
}

// marker is in each message of a campaign, and so in each request that stores one.
const marker = "needle"

// oneInCommits is how often a request that commits gets lost, or its answer.
const oneInCommits = 20

// strikes reports whether a request gets lost, or the answer to it.
func (l *losing) strikes(request []byte) bool {
	if l == nil || l.left.Load() <= 0 || !bytes.Contains(request, []byte(marker)) && !bytes.Contains(request, []byte("commit\x00")) {
		return false
	}
	if rand.IntN(oneInCommits) > 0 || l.left.Add(-1) < 0 {
		return false
	}
	l.lost.Add(1)
	return true
}

func newWay(t *testing.T, target string, losing *losing) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{
		address: l.Addr().String(), target: target, listener: l, losing: losing,
		changed: make(chan struct{}), conns: make(map[net.Conn]struct{}),
	}
	w.serving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.serving.Go(func() { w.serve(near) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.set(cut)
		w.serving.Wait()
	})
	return w
}

// set changes what becomes of what is sent.
func (w *way) set(to condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.condition = to
	close(w.changed)
	w.changed = make(chan struct{})
	if to == cut {
		for conn := range w.conns {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}
}

// passes waits until something may pass. It returns false if that is lost.
func (w *way) passes() bool {
	for {
		w.mu.Lock()
		is, changed := w.condition, w.changed
		w.mu.Unlock()
		if is != stalled {
			return is == open
		}
		<-changed
	}
}

// track records a connection, so that set can end it.
func (w *way) track(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.condition == cut {
		return false
	}
	w.conns[conn] = struct{}{}
	return true
}

func (w *way) forget(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
	conn.Close()
}

func (w *way) serve(near net.Conn) {
	defer w.forget(near)
	if !w.track(near) || !w.passes() {
		return
	}
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer w.forget(far)
	if !w.track(far) {
		return
	}
	var deaf atomic.Bool // the next answer is lost
	var answering sync.WaitGroup
	answering.Go(func() {
		w.carry(near, far, func([]byte) bool { return !deaf.Load() })
		w.forget(near)
	})
	w.carry(far, near, func(request []byte) bool {
		if !w.losing.strikes(request) {
			return true
		}
		deaf.Store(true)
		return rand.IntN(3) > 0 // or the request is lost
	})
	w.forget(far)
	answering.Wait()
}

// carry copies what a function lets pass, and ends with the first that it does not.
func (w *way) carry(to, from net.Conn, lets func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !w.passes() || !lets(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
