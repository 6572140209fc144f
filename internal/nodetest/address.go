package nodetest

import (
	"net"
	"sync"
)

// Share has several nodes accept the connections of one listener in turn, as those behind a load balancer do. It
// returns a listener for each; the one that they share is closed with the last of them.
func Share(l net.Listener, nodes int) []net.Listener {
	if nodes == 1 {
		return []net.Listener{l}
	}
	a := &address{Listener: l, open: nodes}
	listeners := make([]net.Listener, nodes)
	for i := range listeners {
		p := &place{address: a, taken: make(chan net.Conn), closed: make(chan struct{})}
		a.places = append(a.places, p)
		listeners[i] = p
	}
	a.accepting.Go(a.accept)
	return listeners
}

// address is where several nodes listen.
type address struct {
	net.Listener
	places    []*place
	accepting sync.WaitGroup

	mu   sync.Mutex // guards all below
	open int        // places
}

// place is the listener of one node.
type place struct {
	address *address
	taken   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// accept gives each connection to the next node that still listens.
func (a *address) accept() {
	for turn := 0; ; {
		conn, err := a.Listener.Accept()
		if err != nil {
			return
		}
		for range a.places {
			p := a.places[turn%len(a.places)]
			turn++
			if p.give(conn) {
				conn = nil
				break
			}
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// give gives a connection to a node, unless that is closed.
func (p *place) give(conn net.Conn) bool {
	select {
	case <-p.closed:
		return false
	default:
	}
	select {
	case p.taken <- conn:
		return true
	case <-p.closed:
		return false
	}
}

func (p *place) Accept() (net.Conn, error) {
	select {
	case conn := <-p.taken:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *place) Addr() net.Addr { return p.address.Addr() }

func (p *place) Close() (err error) {
	p.once.Do(func() {
		close(p.closed)
		a := p.address
		a.mu.Lock()
		a.open--
		last := a.open == 0
		a.mu.Unlock()
		if last {
			err = a.Listener.Close()
			a.accepting.Wait()
		}
	})
	return err
}
