package web_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/turns"
	"kaban/internal/web"
)

// serveEncrypted has the server of a bubble listen with TLS, until stop.
func serveEncrypted(t *testing.T, server *web.Server, config *tls.Config) (p *pipes, stop func()) {
	p = &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(p, peer.Loopback(), config) }()
	return p, func() {
		server.Close()
		if err := <-ended; !errors.Is(err, web.ErrClosed) {
			t.Error(err)
		}
	}
}

// get makes a request on a connection that stays open.
func get(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", answer, err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

// firstWrite is a connection that keeps the first thing that is written and has no answer.
type firstWrite struct {
	net.Conn
	first []byte
}

func (c *firstWrite) Write(p []byte) (int, error) {
	c.first = append(c.first, p...)
	return 0, io.ErrClosedPipe
}

// clientHello returns the first record of a handshake.
func clientHello(config *tls.Config) []byte {
	c := &firstWrite{}
	tls.Client(c, config).Handshake()
	return c.first
}

// Handshakes that stall, in whatever state, keep nobody out, end in time, and push out no
// connection that has done its own.
func TestHandshakesThatStall(t *testing.T) {
	const maxRequests = 2000
	stalled := 10_000
	if raceEnabled {
		stalled = 1500
	}
	serverTLS, clientTLS := named(t)
	now := time.Now() // the certificate is of the real time
	serverTLS.Time = func() time.Time { return now }
	clientTLS.Time = serverTLS.Time
	hello := clientHello(clientTLS)
	for name, bytes := range map[string][]byte{
		"nothing comes": nil, "half a hello": hello[:len(hello)/2], "the answer is not read": hello,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, web.Config{MaxRequests: maxRequests}, func(t *testing.T, _ *pipes, server *web.Server, _ *dispatch.Dispatcher) {
				p, stop := serveEncrypted(t, server, serverTLS)
				defer stop()
				dial := func() net.Conn { return tls.Client(p.dial(), clientTLS) }
				early := dial()
				defer early.Close()
				get(t, early)
				for range stalled {
					c := p.dial()
					defer c.Close()
					c.SetWriteDeadline(time.Now().Add(time.Second)) // it may have been pushed out
					c.Write(bytes)
				}
				synctest.Wait()
				if n, _ := server.Connections(); n > maxRequests/2+1 {
					t.Errorf("%d connections are open, want at most %d in a handshake", n, maxRequests/2)
				}
				begun := time.Now()
				late := dial()
				defer late.Close()
				get(t, late)
				get(t, early)
				if took := time.Since(begun); took > 0 {
					t.Errorf("a handshake beside them waited %v for them", took)
				}
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if n, _ := server.Connections(); n != 2 {
					t.Errorf("%d connections are open after the time for a handshake, want 2", n)
				}
			})
		})
	}
}

// slow is a connection to a server that is a round trip away: the answer to what comes
// first takes that time.
type slow struct {
	net.Conn
	roundTrip time.Duration
	writes    int
}

func (c *slow) Write(p []byte) (int, error) {
	if c.writes++; c.writes == 2 {
		time.Sleep(c.roundTrip)
	}
	return c.Conn.Write(p)
}

// In a flood that takes all places in less than a round trip, a client gets in after some
// tries.
func TestASlowHandshakeInAFlood(t *testing.T) {
	const maxRequests, tries = 200, 100 // and 100 places for handshakes
	serverTLS, clientTLS := named(t)
	now := time.Now()
	serverTLS.Time = func() time.Time { return now }
	clientTLS.Time = serverTLS.Time
	inBubble(t, web.Config{MaxRequests: maxRequests}, func(t *testing.T, _ *pipes, server *web.Server, _ *dispatch.Dispatcher) {
		p, stop := serveEncrypted(t, server, serverTLS)
		defer stop()
		var flood sync.WaitGroup
		defer flood.Wait()
		ended := make(chan struct{})
		defer close(ended)
		flood.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
					defer p.dial().Close()
				}
			}
		})
		time.Sleep(time.Second)
		for range tries {
			c := tls.Client(&slow{Conn: p.dial(), roundTrip: 150 * time.Millisecond}, clientTLS)
			_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if err == nil {
				if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
					answer.Body.Close()
					c.Close()
					return
				}
			}
			c.Close()
		}
		t.Errorf("none of %d tries succeeds; one in five should", tries) // (1-1/100)^150 is 0.22; all fail in one run of 10^10
	})
}

// Only some handshakes compute at a time, and all get their turn. Later reads need none.
func TestHandshakesTakeTurns(t *testing.T) {
	const crowd, atWork = 50, 4
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * atWork))
	serverTLS, clientTLS := named(t)
	now := time.Now()
	var working, most atomic.Int64
	certificates := serverTLS.Certificates
	serverTLS.Certificates = nil
	serverTLS.Time = func() time.Time { return now }
	serverTLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		most.Store(max(most.Load(), working.Add(1)))
		defer working.Add(-1)
		time.Sleep(100 * time.Millisecond)
		return &certificates[0], nil
	}
	clientTLS.Time = serverTLS.Time
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		clientTLS := clientTLS.Clone()
		clientTLS.MaxVersion = version
		t.Run(fmt.Sprintf("TLS %x", version), func(t *testing.T) {
			inBubble(t, web.Config{}, func(t *testing.T, _ *pipes, server *web.Server, _ *dispatch.Dispatcher) {
				most.Store(0)
				p, stop := serveEncrypted(t, server, serverTLS)
				defer stop()
				var group sync.WaitGroup
				for range crowd {
					c := tls.Client(p.dial(), clientTLS)
					defer c.Close()
					group.Go(func() {
						if err := c.Handshake(); err != nil {
							t.Error(err)
							return
						}
						for range 3 {
							if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
								t.Error(err)
							}
							answer, err := http.ReadResponse(bufio.NewReader(c), nil)
							if err != nil || answer.StatusCode != http.StatusOK {
								t.Errorf("got %v, %v", answer, err)
								return
							}
							io.Copy(io.Discard, answer.Body)
							answer.Body.Close()
						}
					})
				}
				group.Wait()
				if n := most.Load(); n != atWork {
					t.Errorf("%d handshakes computed at a time, want %d", n, atWork)
				}
			})
		})
	}
}

// Handshakes of other listeners take turns with those here.
func TestHandshakesShareTurns(t *testing.T) {
	serverTLS, clientTLS := named(t)
	now := time.Now()
	serverTLS.Time = func() time.Time { return now }
	clientTLS.Time = serverTLS.Time
	synctest.Test(t, func(t *testing.T) {
		shared := turns.New(1)
		serveBubble(t, web.Config{Turns: shared}, func(t *testing.T, _ *pipes, server *web.Server, _ *dispatch.Dispatcher) {
			p, stop := serveEncrypted(t, server, serverTLS)
			defer stop()
			var other turns.Turn
			other.Enter(shared)
			other.Work()
			c := tls.Client(p.dial(), clientTLS)
			defer c.Close()
			var done atomic.Bool
			go func() {
				c.Handshake()
				done.Store(true)
			}()
			synctest.Wait()
			if done.Load() {
				t.Error("a handshake computes beside another listener's")
			}
			other.End()
			synctest.Wait()
			if !done.Load() {
				t.Error("a handshake does not get its turn")
			}
		})
	})
}

// named is certificate for a client that names the server itself.
func named(t *testing.T) (server, client *tls.Config) {
	server, client = certificate(t)
	client.ServerName = "localhost"
	return server, client
}
