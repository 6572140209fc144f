package telemetry_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/peer"
	"kaban/internal/telemetry"
)

// TestAThousandConnections: those without a request make room, and a scraper that keeps
// its connection is served beside them.
func TestAThousandConnections(t *testing.T) {
	const crowd, maxConnections = 1000, 64
	at := start(t).scrape(false)
	var reading sync.WaitGroup
	defer reading.Wait()
	var ended atomic.Int64
	for i := range crowd {
		c, err := net.Dial("tcp", at)
		must(t, err)
		defer c.Close()
		reading.Go(func() {
			c.Read(make([]byte, 1))
			ended.Add(1)
		})
		if i%100 == 0 {
			if answer, _ := ask(t, "http://"+at+"/metrics"); answer.StatusCode != http.StatusOK {
				t.Fatalf("a scrape beside %d connections: status %d", i, answer.StatusCode)
			}
		}
	}
	eventually(t, "the end of those beyond the bound", func() bool { return ended.Load() >= crowd-maxConnections })
	if answer, _ := ask(t, "http://"+at+"/metrics"); answer.StatusCode != http.StatusOK {
		t.Errorf("a scrape in the end: status %d", answer.StatusCode)
	}
	if n := ended.Load(); n > crowd-maxConnections+2 {
		t.Errorf("%d of %d connections ended; those within the bound may stay", n, crowd)
	}
}

// pipes is a listener in memory: whoever writes waits until the other side reads.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6490} }

// local is a connection from this machine.
type local struct{ net.Conn }

func (local) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }

// request connects and sends a request; the answer waits to be read.
func (p pipes) request(t *testing.T, head string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	p <- local{theirs}
	_, err := io.WriteString(ours, head+"\r\nHost: localhost\r\n\r\n")
	must(t, err)
	return ours
}

// servePipes serves metrics within a bubble of synctest, until stop.
func servePipes(t *testing.T, profiles bool) (p pipes, stop func()) {
	t.Helper()
	s, err := telemetry.New(telemetry.Config{Profiles: profiles})
	must(t, err)
	p = make(pipes)
	var serving sync.WaitGroup
	serving.Go(func() { s.ServeUnder(p, peer.Loopback()) })
	return p, func() {
		close(p)
		s.Close()
		serving.Wait()
	}
}

func statusOf(t *testing.T, c net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	must(t, err)
	must(t, response.Body.Close())
	return response.StatusCode
}

// TestScrapersThatNeverRead hold the place of a scrape for a time only.
func TestScrapersThatNeverRead(t *testing.T) {
	const maxScrapes, writeTimeout = 8, 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, false)
		defer stop()
		for range maxScrapes {
			defer p.request(t, "GET /metrics HTTP/1.1").Close()
		}
		synctest.Wait()
		c := p.request(t, "GET /metrics HTTP/1.1")
		defer c.Close()
		if got := statusOf(t, c); got != http.StatusServiceUnavailable {
			t.Errorf("a scrape beside %d others: status %d, want 503", maxScrapes, got)
		}
		time.Sleep(writeTimeout + time.Second)
		again := p.request(t, "GET /metrics HTTP/1.1")
		defer again.Close()
		if got := statusOf(t, again); got != http.StatusOK {
			t.Errorf("a scrape after the time for an answer: status %d, want 200", got)
		}
	})
}

// TestABodyThatNeverComes ends the connection: nobody asked for it.
func TestABodyThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, false)
		defer stop()
		c := p.request(t, "GET /metrics HTTP/1.1\r\nContent-Length: 10")
		defer c.Close()
		begun := time.Now()
		io.Copy(io.Discard, c)
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
	})
}

// TestManyBodiesThatNeverCome keep no scraper out: connections with answers make room.
func TestManyBodiesThatNeverCome(t *testing.T) {
	const maxConnections = 64
	for name, head := range map[string]string{
		"a length": "/metrics HTTP/1.1\r\nContent-Length: 10", "a large length": "/metrics HTTP/1.1\r\nContent-Length: 1000000",
		"chunks": "/metrics HTTP/1.1\r\nTransfer-Encoding: chunked", "nothing is there": "/ HTTP/1.1\r\nContent-Length: 10",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stop := servePipes(t, false)
				defer func() {
					stop()
					time.Sleep(time.Second) // net/http lets a connection with input linger
				}()
				for range maxConnections {
					c := p.request(t, "GET "+head)
					defer c.Close()
					go io.Copy(io.Discard, c)
				}
				synctest.Wait()
				c := p.request(t, "GET /metrics HTTP/1.1")
				defer c.Close()
				if got := statusOf(t, c); got != http.StatusOK {
					t.Errorf("a scrape beside them: status %d, want 200", got)
				}
			})
		})
	}
}

// TestALongProfile takes longer than an answer may.
func TestALongProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := servePipes(t, true)
		defer stop()
		c := p.request(t, "GET /debug/pprof/block?seconds=45 HTTP/1.1")
		defer c.Close()
		if got := statusOf(t, c); got != http.StatusOK {
			t.Errorf("status %d, want 200", got)
		}
	})
}
