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
