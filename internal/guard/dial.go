package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// connectFunc makes a connection. It calls control with each address before it connects to
// it, and does not connect to it if that returns an error.
type connectFunc func(ctx context.Context, network, address string, control func(netip.Addr) error) (net.Conn, error)

// connectChecked is a connectFunc. The operating system resolves the names, and may try
// several addresses at once.
func (g *Guard) connectChecked(ctx context.Context, network, address string, control func(netip.Addr) error) (net.Conn, error) {
	d := g.dialer
	d.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("check the address of a connection: %w", err)
		}
		return control(to.Addr())
	}
	return d.DialContext(ctx, network, address)
}

// dial makes a connection for the transport, which does not end it with its request: another
// one may use it.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.options.DialTimeout)
	defer cancel()
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	c, err := g.dialEntered(ctx, network, address)
	if err != nil {
		<-g.places
		return nil, err
	}
	return c, nil
}

// roomEvery is how often idle connections make room while somebody waits for a place. The
// transport does not say when a connection becomes idle, and after each request for one it
// keeps idle ones again.
const roomEvery = 50 * time.Millisecond

// enter waits for a place.
func (g *Guard) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	again := time.NewTicker(roomEvery)
	defer again.Stop()
	for {
		g.transport.CloseIdleConnections()
		select {
		case g.places <- struct{}{}:
			return nil
		case <-again.C:
		case <-ctx.Done():
			return &BusyError{Max: g.options.Conns}
		}
	}
}

func (g *Guard) dialEntered(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	var (
		mu      sync.Mutex
		blocked error // of the first address that was blocked
	)
	inner, err := g.connect(ctx, network, address, func(a netip.Addr) error {
		if g.options.Proxy != nil {
			return nil // the operator's choice
		}
		err := named(g.Check(a), host)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			if blocked == nil {
				blocked = err
			}
		}
		return err
	})
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		if blocked != nil {
			return nil, blocked // also if other addresses of the name failed otherwise
		}
		return nil, err
	}
	return g.add(inner, host)
}

// named adds the name to a *BlockedError.
func named(err error, host string) error {
	if e, ok := err.(*BlockedError); ok {
		e.Host = host
	}
	return err
}

// add takes a new connection under control. Its address is checked again: the lists may have
// changed since.
func (g *Guard) add(inner net.Conn, host string) (net.Conn, error) {
	c := &conn{Conn: inner, guard: g, host: host}
	if to, err := netip.ParseAddrPort(inner.RemoteAddr().String()); err == nil {
		c.to = to.Addr()
	}
	if err := g.take(c); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return c, nil
}

func (g *Guard) take(c *conn) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	if err := g.checkConnLocked(c); err != nil {
		return err
	}
	g.conns[c] = struct{}{}
	return nil
}

// checkConnLocked returns an error if a connection would not be made any more.
func (g *Guard) checkConnLocked(c *conn) error {
	if g.options.Proxy != nil {
		return nil
	}
	return named(g.lists.check(c.to), c.host)
}

// conn is a connection of a guard.
type conn struct {
	net.Conn
	guard *Guard
	host  string
	to    netip.Addr
	cut   atomic.Bool // closed because it is not allowed any more
	once  sync.Once
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.guard.mu.Lock()
		delete(c.guard.conns, c)
		c.guard.mu.Unlock()
		<-c.guard.places
	})
	return err
}

// Read reads. The error of a connection that was cut is a *BlockedError.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.cut.Load() {
		if blocked := named(c.guard.Check(c.to), c.host); blocked != nil {
			err = blocked
		}
	}
	return n, err
}
