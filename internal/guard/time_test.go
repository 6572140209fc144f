package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// remote is an end of a pipe with an address.
type remote struct {
	net.Conn
	address string
}

func (r remote) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(r.address))
}

const public = "9.9.9.9:80"

// piped returns a guard whose connections are pipes to a function, which plays the server.
func piped(t *testing.T, o Options, serve func(net.Conn)) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.connect = func(_ context.Context, _, _ string, control func(netip.Addr) error) (net.Conn, error) {
		if err := control(netip.MustParseAddrPort(public).Addr()); err != nil {
			return nil, err
		}
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			serve(server)
		}()
		return remote{client, public}, nil
	}
	return g
}

// answering plays a server that answers each request after a while.
func answering(d time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for b := make([]byte, 4096); ; { // a pipe passes on a request as it was written, at once
			if _, err := c.Read(b); err != nil {
				return
			}
			time.Sleep(d)
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	}
}

func request(ctx context.Context, g *Guard, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := g.Client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// after runs a request in time that does not pass by itself, and returns how long it took.
func after(t *testing.T, address string, newGuard func() *Guard) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGuard()
		defer g.Close()
		begin := time.Now()
		err = request(t.Context(), g, address)
		took = time.Since(begin)
		g.Close()
		time.Sleep(time.Minute) // the dials that go on
	})
	return took, err
}

// Each step of a request ends on time, whatever the server does not do.
func TestTimeouts(t *testing.T) {
	o := Options{
		DialTimeout: time.Second, TLSTimeout: 2 * time.Second, HeaderTimeout: 4 * time.Second, Timeout: 8 * time.Second,
	}
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	slow := func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		go silent(c)
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		for {
			time.Sleep(100 * time.Millisecond)
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name, address string
		serve         func(net.Conn) // nil: the connection is never made
		want          time.Duration
	}{
		{"dial", "http://page.test/", nil, o.DialTimeout},
		{"TLS", "https://page.test/", silent, o.TLSTimeout},
		{"header", "http://page.test/", silent, o.HeaderTimeout},
		{"body", "http://page.test/", slow, o.Timeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			took, err := after(t, test.address, func() *Guard {
				g := piped(t, o, test.serve)
				if test.serve == nil {
					g.connect = func(ctx context.Context, _, _ string, _ func(netip.Addr) error) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
				}
				return g
			})
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || took != test.want {
				t.Errorf("after %v: %v, want a timeout after %v", took, err, test.want)
			}
		})
	}
}

// Redirects do not extend the time of a request.
func TestTimeoutIsOfAllRedirects(t *testing.T) {
	o := Options{Timeout: 5 * time.Second}
	took, err := after(t, "http://page.test/", func() *Guard {
		return piped(t, o, func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		})
	})
	if err == nil || took != o.Timeout {
		t.Errorf("after %v: %v", took, err)
	}
}

// counted counts connections that are open.
type counted struct {
	net.Conn
	once sync.Once
	left func()
}

func (c *counted) Close() error {
	c.once.Do(c.left)
	return c.Conn.Close()
}

// Connections are bounded in all and for each host, and idle ones make room for others.
func TestConnections(t *testing.T) {
	for _, test := range []struct{ conns, perHost, hosts, want int }{
		{conns: 2, perHost: 1, hosts: 6, want: 2},
		{conns: 64, perHost: 2, hosts: 1, want: 2},
		{conns: 64, perHost: 2, hosts: 3, want: 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Conns: test.conns, ConnsPerHost: test.perHost, DialTimeout: time.Minute, HeaderTimeout: time.Minute, Timeout: 2 * time.Minute}
			g := piped(t, o, answering(time.Second))
			defer g.Close()
			var mu sync.Mutex
			now, most := 0, 0
			connect := g.connect
			g.connect = func(ctx context.Context, network, address string, control func(netip.Addr) error) (net.Conn, error) {
				c, err := connect(ctx, network, address, control)
				mu.Lock()
				defer mu.Unlock()
				now++
				most = max(most, now)
				return &counted{Conn: c, left: func() {
					mu.Lock()
					defer mu.Unlock()
					now--
				}}, err
			}
			var requests sync.WaitGroup
			begin := time.Now()
			for i := range 12 {
				requests.Go(func() {
					if err := request(t.Context(), g, fmt.Sprintf("http://host%d.test/", i%test.hosts)); err != nil {
						t.Errorf("%+v: %v", test, err)
					}
				})
			}
			requests.Wait()
			if most != test.want || time.Since(begin) >= DefaultIdleTimeout {
				t.Errorf("%+v: %d connections at a time, after %v", test, most, time.Since(begin))
			}
		})
	}
}

// While all connections are in use, a request waits as long as a dial may take.
func TestBusy(t *testing.T) {
	o := Options{Conns: 1, DialTimeout: time.Second, HeaderTimeout: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		g := piped(t, o, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		defer g.Close()
		var first sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		first.Go(func() { _ = request(ctx, g, "http://first.test/") })
		synctest.Wait()
		begin := time.Now()
		err := request(t.Context(), g, "http://second.test/")
		if e, ok := errors.AsType[*BusyError](err); !ok || e.Max != 1 || time.Since(begin) != o.DialTimeout {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		cancel()
		first.Wait()
		synctest.Wait()
		if n := len(g.places); n != 0 {
			t.Errorf("%d places are taken in the end", n)
		}
	})
}

// Failures of every kind come at the same time.
func TestFailAfter(t *testing.T) {
	o := Options{DialTimeout: 2 * time.Second, FailAfter: 3 * time.Second}
	fails := map[string]connectFunc{
		"blocked": func(_ context.Context, _, _ string, control func(netip.Addr) error) (net.Conn, error) {
			return nil, control(netip.MustParseAddr("10.0.0.1"))
		},
		"unknown": func(context.Context, string, string, func(netip.Addr) error) (net.Conn, error) {
			time.Sleep(30 * time.Millisecond)
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		},
		"refused": func(_ context.Context, _, _ string, control func(netip.Addr) error) (net.Conn, error) {
			time.Sleep(100 * time.Millisecond)
			return nil, errors.Join(control(netip.MustParseAddr("9.9.9.9")), errors.New("connection refused"))
		},
		"silent": func(ctx context.Context, _, _ string, _ func(netip.Addr) error) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for name, connect := range fails {
		took, err := after(t, "http://page.test/", func() *Guard {
			g := piped(t, o, nil)
			g.connect = connect
			return g
		})
		if took != o.FailAfter || err == nil || Conceal(err) != ErrUnreachable {
			t.Errorf("%s: after %v, want %v: %v", name, took, o.FailAfter, err)
		}
		if _, ok := errors.AsType[*BlockedError](err); ok != (name == "blocked") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A delayed failure ends with its request.
func TestFailAfterEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := piped(t, Options{FailAfter: 3 * time.Second}, nil)
		g.connect = func(context.Context, string, string, func(netip.Addr) error) (net.Conn, error) {
			return nil, errors.New("connection refused")
		}
		defer g.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := request(ctx, g, "http://page.test/"); err == nil || time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

// A list that changes while a connection is made applies to it.
func TestAllowDuringADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := piped(t, Options{Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}, nil)
		defer g.Close()
		server := make(chan net.Conn, 1)
		g.connect = func(_ context.Context, _, _ string, control func(netip.Addr) error) (net.Conn, error) {
			if err := control(netip.MustParseAddr("10.0.0.1")); err != nil {
				return nil, err
			}
			if err := g.Allow(nil); err != nil {
				return nil, err
			}
			a, b := net.Pipe()
			server <- b
			return remote{a, "10.0.0.1:80"}, nil
		}
		err := request(t.Context(), g, "http://inside.test/")
		if e, ok := errors.AsType[*BlockedError](err); !ok || e.Class != Private {
			t.Errorf("the request: %v", err)
		}
		if n, err := (<-server).Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the server read %d bytes, %v", n, err)
		}
		if n := len(g.places); n != 0 {
			t.Errorf("%d places are taken in the end", n)
		}
	})
}

// An idle connection is closed after a while, and its place is free.
func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := piped(t, Options{IdleTimeout: 7 * time.Second}, answering(0))
		defer g.Close()
		if err := request(t.Context(), g, "http://page.test/"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := len(g.places); n != 1 {
			t.Errorf("%d connections are open after 6 s", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(g.places); n != 0 {
			t.Errorf("%d connections are open after 8 s", n)
		}
	})
}
