// Package dialtest has a TLS front and an HTTP proxy for the tests of clients.
package dialtest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Front forwards connections to another address until the test ends. Safe for
// concurrent use.
type Front struct {
	listener net.Listener
	group    sync.WaitGroup

	mu     sync.Mutex // guards all below
	conns  map[net.Conn]bool
	closed bool
}

// NewFront starts a front for an address, over TLS unless there is no configuration.
func NewFront(t testing.TB, config *tls.Config, backend string) *Front {
	t.Helper()
	f := newFront(t)
	f.serve(func(conn net.Conn) {
		if config != nil {
			over := tls.Server(conn, config)
			defer over.Close()
			if over.Handshake() != nil {
				return
			}
			conn = over
		}
		f.forward(conn, conn, backend)
	})
	return f
}

func newFront(t testing.TB) *Front {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{listener: l, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.Cut()
		f.group.Wait()
	})
	return f
}

// Addr returns the host and port of the front.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// Port returns the port of the front.
func (f *Front) Port() string {
	_, port, _ := net.SplitHostPort(f.Addr())
	return port
}

// Cut ends all connections.
func (f *Front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// serve calls take for each connection.
func (f *Front) serve(take func(net.Conn)) {
	f.group.Go(func() {
		for {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.group.Go(func() {
				if f.keep(conn) {
					defer f.drop(conn)
					take(conn)
				}
			})
		}
	})
}

func (f *Front) keep(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		conn.Close()
		return false
	}
	f.conns[conn] = true
	return true
}

func (f *Front) drop(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	conn.Close()
	delete(f.conns, conn)
}

// forward copies both ways. from reads what comes from conn.
func (f *Front) forward(conn net.Conn, from io.Reader, backend string) {
	there, err := net.Dial("tcp", backend)
	if err != nil || !f.keep(there) {
		return
	}
	defer f.drop(there)
	var copying sync.WaitGroup
	copying.Go(func() {
		io.Copy(there, from)
		there.Close()
	})
	io.Copy(conn, there)
	conn.Close()
	copying.Wait()
}

// Proxy is an HTTP proxy for CONNECT. Safe for concurrent use.
type Proxy struct {
	*Front
	// Authorization is what Proxy-Authorization must be; "" for anything.
	authorization string
	places        map[string]string

	mu    sync.Mutex // guards asked
	asked []string
}

// NewProxy starts a proxy that leads to places: to each host and port an address of a
// test. It refuses others with 403, and with 407 without the right authorization unless
// that is "".
func NewProxy(t testing.TB, config *tls.Config, authorization string, places map[string]string) *Proxy {
	t.Helper()
	p := &Proxy{Front: newFront(t), authorization: authorization, places: places}
	p.serve(func(conn net.Conn) {
		if config != nil {
			over := tls.Server(conn, config)
			defer over.Close()
			conn = over
		}
		p.take(conn)
	})
	return p
}

// Asked returns the hosts and ports that it was asked for.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *Proxy) take(conn net.Conn) {
	reader := bufio.NewReader(conn)
	r, err := http.ReadRequest(reader)
	if err != nil || r.Method != http.MethodConnect {
		io.WriteString(conn, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	backend, ok := p.places[r.Host]
	switch {
	case p.authorization != "" && r.Header.Get("Proxy-Authorization") != p.authorization:
		io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
	case !ok:
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	default:
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		p.forward(conn, reader, backend)
	}
}
