package e2e

import (
	"io"
	"net"
	"sync"
)

// balancer spreads connections over nodes in turn, as a load balancer in front of them does.
type balancer struct {
	at        [2]string // the addresses of kaban/1 and of HTTP
	listeners [2]net.Listener
	carrying  sync.WaitGroup

	mu    sync.Mutex // guards all below
	nodes [2][]string
	next  [2]int
	open  map[net.Conn]bool
}

// newBalancer listens at two addresses, and leads to nobody yet.
func newBalancer(tcp, web string) (b *balancer, err error) {
	b = &balancer{open: make(map[net.Conn]bool)}
	for i, address := range []string{tcp, web} {
		if b.listeners[i], err = net.Listen("tcp", address); err != nil {
			b.close()
			return nil, err
		}
		b.at[i] = b.listeners[i].Addr().String()
		b.carrying.Go(func() { b.accept(i) })
	}
	return b, nil
}

// add adds a node.
func (b *balancer) add(tcp, web string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes[0], b.nodes[1] = append(b.nodes[0], tcp), append(b.nodes[1], web)
}

func (b *balancer) accept(i int) {
	for {
		from, err := b.listeners[i].Accept()
		if err != nil {
			return
		}
		b.carrying.Go(func() { b.carry(from, i) })
	}
}

// carry carries a connection to the next node.
func (b *balancer) carry(from net.Conn, i int) {
	defer from.Close()
	b.mu.Lock()
	if len(b.nodes[i]) == 0 {
		b.mu.Unlock()
		return
	}
	address := b.nodes[i][b.next[i]%len(b.nodes[i])]
	b.next[i]++
	b.mu.Unlock()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	b.note(true, from, to)
	defer b.note(false, from, to)
	var back sync.WaitGroup
	back.Go(func() { copyAll(from, to) })
	copyAll(to, from)
	back.Wait()
}

// note notes that connections are open, or are not any more.
func (b *balancer) note(open bool, conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		if open {
			b.open[c] = true
		} else {
			delete(b.open, c)
		}
	}
}

// copyAll copies one direction, and its end. Errors end connections, and the other side sees that.
func copyAll(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite()
}

// refuse ends the way for new connections.
func (b *balancer) refuse() {
	for _, l := range b.listeners {
		if l != nil {
			l.Close()
		}
	}
}

// close also ends all connections, and waits for them.
func (b *balancer) close() {
	b.refuse()
	b.mu.Lock()
	for c := range b.open {
		c.Close()
	}
	b.mu.Unlock()
	b.carrying.Wait()
}
