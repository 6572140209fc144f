package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/web"
)

// A connection of HTTP/2 holds a bounded amount of bodies. What is beyond it is refused,
// and what it holds is given back once the requests are served.
func TestBodiesOfOneConnection(t *testing.T) {
	const bodies, size = 16, 300 << 10
	inEncryptedBubble(t, web.Config{}, func(t *testing.T, client *http.Client, server *web.Server, _ *dispatch.Dispatcher) {
		var refused, ended atomic.Int64
		var group sync.WaitGroup
		defer group.Wait()
		for i := range bodies {
			body, rest := io.Pipe()
			path := []string{"/hooks/secret", "/v1/rooms/lobby/messages"}[i%2]
			group.Go(func() {
				got, err := client.Post("https://localhost"+path, "application/json", body)
				if err == nil {
					text, _ := io.ReadAll(got.Body)
					got.Body.Close()
					if got.StatusCode == http.StatusTooManyRequests && got.Header.Get("Retry-After") == "1" && strings.Contains(string(text), "fewer of them at a time") {
						refused.Add(1)
					}
				}
				rest.Close()
				ended.Add(1)
			})
			group.Go(func() { // it stops before the end
				for range map[string]int{"/hooks/secret": size >> 10, "/v1/rooms/lobby/messages": 100}[path] {
					if _, err := rest.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
						return
					}
				}
			})
			// One after the other: at the bound, bodies that come together are refused
			// together.
			synctest.Wait()
		}
		if held := server.Held(); held > web.MaxBodies || held < web.MaxBodies*3/4 {
			t.Errorf("%d bytes of bodies are held, want nearly %d", held, web.MaxBodies)
		}
		if refused.Load() == 0 {
			t.Error("no request beyond the bound was refused")
		}
		time.Sleep(time.Minute) // nothing comes any more
		synctest.Wait()
		if n := ended.Load(); n != bodies {
			t.Errorf("%d of %d requests have ended", n, bodies)
		}
		if held := server.Held(); held != 0 {
			t.Errorf("%d bytes of bodies are held after all requests", held)
		}
		got, err := client.Post("https://localhost/hooks/secret", "application/json", strings.NewReader(`{"text":"hello"}`))
		if err != nil || got.StatusCode != http.StatusOK {
			t.Fatalf("a good request afterwards: %v, %v", got, err)
		}
		got.Body.Close()
	})
}

// Bodies that do not end take a bounded amount of memory, whatever number of connections
// they come over, and a good one is taken beside them.
func TestBodiesOfAllConnections(t *testing.T) {
	const size = 500 << 10
	inBubble(t, web.Config{}, func(t *testing.T, p *pipes, server *web.Server, _ *dispatch.Dispatcher) {
		post := func(conn net.Conn, length int, body string) {
			fmt.Fprintf(conn, "POST /hooks/secret HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body)
		}
		var group sync.WaitGroup
		defer group.Wait()
		for range 2 * web.MaxHeld / size {
			conn := p.dial()
			defer conn.Close()
			group.Go(func() { post(conn, size+1, strings.Repeat(" ", size)) })
		}
		synctest.Wait()
		if held := server.Held(); held > web.MaxHeld || held < web.MaxHeld*3/4 {
			t.Errorf("%d bytes of bodies are held, want nearly %d", held, web.MaxHeld)
		}
		conn := p.dial()
		defer conn.Close()
		text := `{"text":"hello"}` + strings.Repeat(" ", 100<<10)
		group.Go(func() { post(conn, len(text), text) })
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("a good request beside them: %v, %v", answer, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if held := server.Held(); held != 0 {
			t.Errorf("%d bytes of bodies are still held", held)
		}
	})
}

// behindProxy returns the rules of a listener whose peers on this machine are a proxy.
func behindProxy(t *testing.T) peer.Rules {
	t.Helper()
	proxies, err := peer.ParseProxies([]string{"::1"})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := peer.Decide(peer.Listener{URL: "https://127.0.0.1:1", TLS: true, Loopback: true}, peer.Policy{Proxies: proxies, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// All clients of a proxy may share a connection of HTTP/2. One of them takes what bodies
// may have for its own address only, and does not end what the others do.
func TestBodiesThroughOneConnectionOfAProxy(t *testing.T) {
	const size = 120 << 10
	inEncryptedBubbleWith(t, web.Config{}, behindProxy(t), func(t *testing.T, client *http.Client, server *web.Server, _ *dispatch.Dispatcher) {
		post := func(from string, body io.Reader) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://localhost/v1/claim/look", body)
			if err != nil {
				return nil, err
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Forwarded-For", from)
			r.Header.Set("X-Forwarded-Proto", "https")
			return client.Do(r)
		}
		drip := func(group *sync.WaitGroup, from string) {
			body, rest := io.Pipe()
			group.Go(func() {
				if got, err := post(from, body); err == nil {
					got.Body.Close()
				}
				rest.Close()
			})
			group.Go(func() {
				for range size >> 10 {
					if _, err := rest.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
						return
					}
				}
			})
		}
		var group sync.WaitGroup
		defer group.Wait()
		for range 12 {
			drip(&group, "192.0.2.1")
		}
		synctest.Wait()
		if held := server.Held(); held > web.MaxBodies || held < web.MaxBodies/2 {
			t.Errorf("%d bytes of bodies are held, want nearly %d", held, web.MaxBodies)
		}
		text := `{"claim":"none"}` + strings.Repeat(" ", 100<<10)
		got, err := post("192.0.2.2", strings.NewReader(text))
		if err != nil || got.StatusCode != http.StatusNotFound {
			t.Fatalf("the request of somebody else: %v, %v", got, err)
		}
		got.Body.Close()
		synctest.Wait() // a connection makes room while it writes
		if connections, waiting := server.Connections(); connections != 1 || waiting != 0 {
			t.Errorf("%d of %d connections make room", waiting, connections)
		}
		// What is too much in all ends bodies, not connections.
		most := 0
		for i := range 40 {
			for range 8 {
				drip(&group, fmt.Sprintf("198.51.100.%d", i+1))
			}
			synctest.Wait()
			if connections, _ := server.Connections(); connections < most {
				t.Errorf("%d connections are left of %d", connections, most)
			} else {
				most = connections
			}
		}
		if held := server.Held(); held > web.MaxHeld || held < web.MaxHeld/2 {
			t.Errorf("%d bytes of bodies are held, want nearly %d", held, web.MaxHeld)
		}
		got, err = post("192.0.2.3", strings.NewReader(text))
		if err != nil || got.StatusCode != http.StatusNotFound {
			t.Fatalf("a request beside too many: %v, %v", got, err)
		}
		got.Body.Close()
		if connections, _ := server.Connections(); connections < most {
			t.Errorf("%d connections are left of %d", connections, most)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if held := server.Held(); held != 0 {
			t.Errorf("%d bytes of bodies are held after all requests", held)
		}
	})
}

// A body that signs in cannot be long, because many of them may wait for a hash.
func TestLongBodyOfASignIn(t *testing.T) {
	f := start(t, web.Config{}, nil)
	text := `{"username":"bob","password":"x"}` + strings.Repeat(" ", 8<<10)
	for _, path := range []string{"/v1/session", "/v1/invite/accept"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", f.url)
		got, err := f.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if got.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(answer), `"max":8192`) {
			t.Errorf("%s: %s: %s", path, got.Status, answer)
		}
	}
}
