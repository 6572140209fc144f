package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// badConnections are what peers do that keep a server waiting.
var badConnections = map[string]string{
	"says nothing":                 "",
	"half a header":                "GET /v1/rooms HTTP/1.1\r\nHost: HOST\r\nX-Half:",
	"half a body":                  "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":",
	"half a body that is refused":  "POST /v1/nothing HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1000\r\n\r\n{\"id\":",
	"half a body that was invited": "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n{",
	"half a hook":                  "POST /hooks/secret HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{",
	"never reads":                  strings.Repeat("GET /v1/rooms/lobby/messages?limit=500 HTTP/1.1\r\nHost: HOST\r\n\r\n", 30),
	"stays":                        "GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n",
}

// However many connections keep the server waiting, a good request is answered,
// and the server holds no more than it is to hold.
func TestGoodRequestsBesideBadConnections(t *testing.T) {
	const most = 40
	f := start(t, web.Config{MaxRequests: most}, withHook(t, nil))
	for i := range 20 {
		f.say("lobby", fmt.Sprint(i), "bot", strings.Repeat("x", 5000))
	}
	round := 0
	good := func() {
		round++
		f.client.CloseIdleConnections()
		// Requests that wait for the store are no bad ones; a database takes its time for thousands.
		rooms := f.get("/v1/rooms")
		for deadline := time.Now().Add(patience); rooms.status == 503 && time.Now().Before(deadline); rooms = f.get("/v1/rooms") {
			time.Sleep(10 * time.Millisecond)
		}
		rooms.has(t, 200)
		f.get("/healthz").has(t, 200)
		f.client.CloseIdleConnections()
		f.say("lobby", fmt.Sprint("good-", round), "bot", "hello")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "ws://"+f.host+"/v1/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.CloseNow()
		r := f.follow("", "")
		r.expect("joined")
		r.close()
	}
	for name, bad := range badConnections {
		bad = strings.ReplaceAll(bad, "HOST", f.host)
		var group sync.WaitGroup
		for range 3 * most {
			conn, err := net.Dial("tcp", f.host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			group.Go(func() { // it may block, or have been closed already
				conn.SetWriteDeadline(time.Now().Add(time.Second))
				io.WriteString(conn, bad)
			})
		}
		group.Wait()
		good()
		if n, _ := f.web.Connections(); n > most+web.Reserve {
			t.Errorf("%s: the server has %d connections, want at most %d", name, n, most+web.Reserve)
		}
	}
	if n := strings.Count(f.log.String(), "HTTP has as many connections as it takes"); n != len(f.nodes) {
		t.Errorf("the log has it %d times that HTTP is full:\n%s", n, f.log)
	}
}

// Answers that nobody reads take a bounded amount of memory, and whoever reads is
// served beside them.
func TestAnswersThatNobodyReads(t *testing.T) {
	inBubble(t, web.Config{}, func(t *testing.T, p *pipes, server *web.Server, d *dispatch.Dispatcher) {
		for i := range 60 {
			if _, err := d.Post(t.Context(), dispatch.Send{Draft: storetest.Draft(t, "lobby", "bot", fmt.Sprint(i), strings.Repeat("x", 5000))}, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		const request = "GET /v1/rooms/lobby/messages?limit=500 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		for range 160 {
			conn := p.dial()
			defer conn.Close()
			io.WriteString(conn, request)
		}
		synctest.Wait()
		if held := server.Held(); held > web.MaxHeld || held < web.MaxHeld*3/4 {
			t.Errorf("answers of %d bytes wait to be read, want nearly %d", held, web.MaxHeld)
		}
		conn := p.dial()
		defer conn.Close()
		io.WriteString(conn, request)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if n, err := io.Copy(io.Discard, answer.Body); err != nil || n < 200_000 {
			t.Errorf("got %d bytes, %v", n, err)
		}
		time.Sleep(web.StallTime + time.Second)
		synctest.Wait()
		if held := server.Held(); held != 0 {
			t.Errorf("answers of %d bytes are still held", held)
		}
	})
}

// While the server is busy with as many requests as it takes, a load balancer is
// answered and all others are told.
func TestTheReserve(t *testing.T) {
	const most = 3
	s := &slowStore{teststore.New(t), make(chan struct{}), make(chan struct{})}
	f := start(t, web.Config{MaxRequests: most}, s)
	var group sync.WaitGroup
	for i := range most {
		group.Go(func() {
			answer, err := f.client.Post(f.url+"/v1/rooms/lobby/messages", "application/json", strings.NewReader(fmt.Sprintf(`{"id":"%d","username":"bot%d","content":"x"}`, i, i)))
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
		})
	}
	<-s.begun
	f.until("all posts wait for the store", func() bool { n, waiting := f.web.Connections(); return n == most && waiting == 0 })
	for range 2 * web.Reserve { // more than it has, one after the other
		f.get("/healthz").has(t, 200)
		f.get("/readyz").has(t, 200)
		f.get("/v1/rooms").has(t, 503, "code", "server_full")
	}
	served := make(chan struct{})
	go func() {
		for {
			select {
			case s.goOn <- struct{}{}:
			case <-s.begun:
			case <-served:
				return
			}
		}
	}()
	group.Wait()
	close(served)
	f.until("there is room again", func() bool { return f.get("/v1/rooms").status == 200 })
}

// pipes is a listener whose connections have no buffers, and whose time is that of
// the test.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial() net.Conn {
	mine, theirs := net.Pipe()
	p.conns <- theirs
	return mine
}

// from is a connection that seems to come from somewhere.
type from struct {
	net.Conn
	remote *net.TCPAddr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

// One address has a part of the connections only, and within it makes room for
// itself. The machine itself may have all.
func TestOneAddressCannotHaveAll(t *testing.T) {
	const most = 40
	for _, test := range []struct {
		name      string
		addresses []string
		want      int
	}{
		{"IPv4", []string{"203.0.113.7"}, most / 4},
		{"IPv4 within IPv6", []string{"::ffff:203.0.113.7", "203.0.113.7"}, most / 4},
		{"IPv6, a /64", []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"}, most / 4},
		{"two of IPv4", []string{"203.0.113.7", "203.0.113.8"}, most / 2},
		{"two of IPv6", []string{"2001:db8:0:1::1", "2001:db8:0:2::1"}, most / 2},
		{"loopback", []string{"127.0.0.1", "::1", "127.9.9.9"}, most},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, web.Config{MaxRequests: most}, func(t *testing.T, p *pipes, server *web.Server, _ *dispatch.Dispatcher) {
				var conns []net.Conn
				for i := range 2 * most {
					mine, theirs := net.Pipe()
					defer mine.Close()
					conns = append(conns, mine)
					p.conns <- from{theirs, &net.TCPAddr{IP: net.ParseIP(test.addresses[i%len(test.addresses)]), Port: i + 1}}
				}
				synctest.Wait()
				if got, _ := server.Connections(); got != test.want {
					t.Errorf("%d connections are open, want %d", got, test.want)
				}
				// The newest are those that are served.
				newest := conns[len(conns)-1]
				go io.WriteString(newest, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				if answer, err := http.ReadResponse(bufio.NewReader(newest), nil); err != nil || answer.StatusCode != 200 {
					t.Errorf("got %v, %v", answer, err)
				}
				if n, err := conns[0].Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the first is open: %d, %v", n, err)
				}
			})
		})
	}
}

// inBubble runs a test with a server in fake time.
func inBubble(t *testing.T, config web.Config, test func(t *testing.T, p *pipes, server *web.Server, d *dispatch.Dispatcher)) {
	synctest.Test(t, func(t *testing.T) { serveBubble(t, config, test) })
}

// serveBubble does what inBubble does, in a bubble that there is.
func serveBubble(t *testing.T, config web.Config, test func(t *testing.T, p *pipes, server *web.Server, d *dispatch.Dispatcher)) {
	s := withHook(t, nil)
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config.Accounts = account.New(s, account.Options{})
	server, err := web.New(config, rooms, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	var group sync.WaitGroup
	group.Go(func() { server.Serve(p, peer.Loopback()) })
	test(t, p, server, d)
	server.Close()
	group.Wait()
	d.Close()
	s.Close()
}

// A slow reader is served until it has everything. A stopped one is not.
func TestSlowReaders(t *testing.T) {
	content := strings.Repeat("x", 4000)
	for _, path := range []string{"/v1/rooms/lobby/events?after=0", "/v1/rooms/lobby/messages", "/openapi.json"} {
		t.Run(path, func(t *testing.T) {
			inBubble(t, web.Config{}, func(t *testing.T, p *pipes, _ *web.Server, d *dispatch.Dispatcher) {
				post := func(name string, n int) {
					for i := range n {
						if _, err := d.Post(t.Context(), dispatch.Send{Draft: storetest.Draft(t, "lobby", name, fmt.Sprint(name, i), content)}, func() {}); err != nil {
							t.Fatal(err)
						}
					}
				}
				post("bot", 10)
				conn := p.dial()
				defer conn.Close()
				request := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
				if _, err := io.WriteString(conn, request); err != nil {
					t.Fatal(err)
				}
				begin, got, buffer := time.Now(), 0, make([]byte, 700)
				for got < 20_000 {
					time.Sleep(20 * time.Second)
					n, err := conn.Read(buffer)
					if got += n; err != nil {
						t.Fatalf("after %d bytes and %s: %v", got, time.Since(begin), err)
					}
				}
				// It stops.
				post("late", 10) // so that a stream has something to say
				time.Sleep(web.StallTime + time.Second)
				synctest.Wait()
				rest, err := io.Copy(io.Discard, conn)
				if rest > 8<<10 { // what had been given to the connection is lost with it
					t.Errorf("there were %d more bytes, %v; want the end: nothing had been taken for %s", rest, err, web.StallTime)
				}
			})
		})
	}
}

// A body may take its time, but not stop.
func TestSlowBodies(t *testing.T) {
	const content = "a slow line"
	for _, test := range []struct{ path, room, body string }{
		{"/v1/rooms/lobby/messages", "lobby", `{"id":"1","username":"bot","content":"` + content + `"}`},
		{"/hooks/secret", "builds", `{"text":"` + content + `"}`},
	} {
		t.Run(test.path, func(t *testing.T) {
			inBubble(t, web.Config{}, func(t *testing.T, p *pipes, _ *web.Server, d *dispatch.Dispatcher) {
				room, err := kaban.ParseRoomName(test.room)
				if err != nil {
					t.Fatal(err)
				}
				send := func(body string, pause time.Duration) (int, error) {
					conn := p.dial()
					defer conn.Close()
					fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", test.path, len(test.body))
					for _, c := range []byte(body) {
						time.Sleep(pause)
						if _, err := conn.Write([]byte{c}); err != nil {
							return 0, err
						}
					}
					answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						return 0, err
					}
					defer answer.Body.Close()
					return answer.StatusCode, nil
				}
				if status, err := send(test.body, 4*time.Second); err != nil || status/100 != 2 {
					t.Errorf("got %d, %v", status, err)
				}
				found, err := d.History(t.Context(), room, store.Page{Last: true, Limit: 10, Bytes: 1 << 20})
				if err != nil || len(found.Entries) != 1 || found.Entries[0].Content != content {
					t.Errorf("got %v, %v", found.Entries, err)
				}
				begin := time.Now()
				if status, err := send(test.body[:10], 0); err == nil && status/100 == 2 {
					t.Errorf("half a body: got %d", status)
				}
				if waited := time.Since(begin); waited < 30*time.Second || waited > 35*time.Second {
					t.Errorf("half a body was waited for %s", waited)
				}
			})
		})
	}
}

// A body that ends early or is no body is the sender's fault.
func TestBrokenBodies(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
	for _, path := range []string{"/v1/rooms/lobby/messages", "/hooks/secret"} {
		for name, rest := range map[string]string{
			"ends early":              "Content-Length: 100\r\n\r\n{",
			"chunks without a size":   "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
			"a chunk that is shorter": "Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n0\r\n\r\n",
			"chunks that end early":   "Transfer-Encoding: chunked\r\n\r\n100\r\n{",
			"a negative size":         "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
			"an endless size":         "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f", 100) + "\r\n{}\r\n0\r\n\r\n",
		} {
			conn, err := net.Dial("tcp", f.host)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+f.host+"\r\nContent-Type: application/json\r\n"+rest)
			conn.(*net.TCPConn).CloseWrite()
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s, %s: %v", path, name, err)
			} else if answer.StatusCode != 400 {
				t.Errorf("%s, %s: got %s, want 400", path, name, answer.Status)
			}
			conn.Close()
		}
	}
	if text := f.log.String(); strings.Contains(text, "a request failed") {
		t.Errorf("the log has it:\n%s", text)
	}
}
