package web_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kaban/internal/nodetest"
	"kaban/internal/web"
)

// dialConn connects for up to patience, until the end of the test.
func (f *fixture) dialConn() net.Conn {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.host)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// raw sends bytes as they are and returns all that comes back.
func (f *fixture) raw(request string) string {
	f.t.Helper()
	return f.exchange(request, true)
}

// exchange is raw that closes its side or not. If it does, net/http gives the request up, which a database notices.
func (f *fixture) exchange(request string, closes bool) string {
	f.t.Helper()
	conn := f.dialConn()
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	if closes {
		conn.(*net.TCPConn).CloseWrite()
	}
	got, _ := io.ReadAll(conn) // a reset ends it as well
	return string(got)
}

// handshake tries to open a WebSocket and returns the status, and the connection
// if it is open.
func (f *fixture) handshake(headers ...string) (int, *websocket.Conn) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{HTTPHeader: make(http.Header)}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			options.Host = headers[i+1]
		}
		options.HTTPHeader.Add(headers[i], headers[i+1])
	}
	c, answer, err := websocket.Dial(ctx, "ws://"+f.host+"/v1/socket", options)
	if answer == nil {
		f.t.Fatal(err)
	}
	if c != nil {
		f.t.Cleanup(func() { c.CloseNow() })
	}
	return answer.StatusCode, c
}

func TestOrigins(t *testing.T) {
	f := start(t, web.Config{Origins: []string{"https://chat.example.org", "http://other.example:8080"}}, nil)
	for _, test := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"no browser", nil, 101},
		{"our own page", []string{"Origin", "http://" + f.host}, 101},
		{"a page behind a proxy", []string{"Origin", "https://chat.example.org"}, 101},
		{"a page that may", []string{"Origin", "http://other.example:8080"}, 101},
		{"a foreign page", []string{"Origin", "https://evil.example"}, 403},
		{"null", []string{"Origin", "null"}, 403},
		{"empty", []string{"Origin", ""}, 403},
		{"another port", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"the right one without its port", []string{"Origin", "http://other.example"}, 403},
		{"one that begins like ours", []string{"Origin", "https://chat.example.org.evil.example"}, 403},
		{"one that ends like ours", []string{"Origin", "https://evil-chat.example.org"}, 403},
		{"with a path", []string{"Origin", "http://" + f.host + "/"}, 403},
		{"with a user", []string{"Origin", "http://x@" + f.host}, 403},
		{"another scheme", []string{"Origin", "ftp://" + f.host}, 403},
		{"in upper case", []string{"Origin", "HTTPS://CHAT.EXAMPLE.ORG"}, 403},
		{"two", []string{"Origin", "http://" + f.host, "Origin", "https://evil.example"}, 403},
		{"a page that has been given our address", []string{"Origin", "http://evil.example", "Host", "evil.example"}, 421},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.t = t
			if got, _ := f.handshake(test.headers...); got != test.status {
				t.Errorf("got %d, want %d", got, test.status)
			}
			if test.status == 403 { // the same page must not post
				f.post("lobby", `{"id":"1","username":"bot","content":"x"}`, test.headers...).has(t, 403)
			}
		})
	}
	f.t = t
	f.post("lobby", `{"id":"1","username":"bot","content":"x"}`, "Sec-Fetch-Site", "cross-site").has(t, 403)
	f.post("lobby", `{"id":"1","username":"bot","content":"x"}`, "Sec-Fetch-Site", "same-origin", "Origin", "http://"+f.host).has(t, 201)
	// A program that does not know of origins is told what it sends instead.
	if got := f.raw("POST /v1/session HTTP/1.1\r\nHost: " + f.host + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"); !strings.Contains(got, "no Origin header; a program sends a token") {
		t.Errorf("without an origin: %q", got)
	}
	for _, bad := range []string{
		"chat.example.org", "https://chat.example.org/chat", "https://", "https:///", "https://:443", "*", "ftp://x", "null", "https://x?y", "https://x#", "https://u@x",
		"https:x", "https://x y", "https://x/ ", "",
	} {
		if _, err := web.New(web.Config{Accounts: f.accounts, Origins: []string{bad}}, f.chat, nil); err == nil {
			t.Errorf("%q passes for an origin", bad)
		}
	}
}

// A server that is reached as this machine itself only goes by names that mean
// this machine, and those that its operator has named.
func TestHosts(t *testing.T) {
	f := start(t, web.Config{Origins: []string{"https://chat.example.org"}}, nil)
	for host, status := range map[string]int{
		f.host: 200, "localhost": 200, "localhost:6480": 200, "kaban.localhost": 200, "[::1]:6480": 200, "127.0.0.2": 200,
		"LOCALHOST:6480": 200, "chat.example.org": 200, "Chat.Example.ORG": 200, "chat.example.org:443": 200, "CHAT.example.org:443": 200,
		"chat.example.org:80": 421, "chat.example.org:8443": 421, "chat.example.org:4430": 421, "evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, "": 400,
	} {
		got := f.raw("GET /v1/rooms HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if status == 400 { // HTTP/1.1 wants one, and an empty one means nothing
			status = 421
		}
		if !strings.HasPrefix(got, fmt.Sprint("HTTP/1.1 ", status)) {
			t.Errorf("%q: got %.40q, want %d", host, got, status)
		}
	}
}

// An operator may write an origin in any way that means the same.
func TestSpellingsOfOrigins(t *testing.T) {
	for _, test := range []struct{ operator, browser, host string }{
		{"https://chat.example.org", "https://chat.example.org", "chat.example.org"},
		{"https://chat.example.org/", "https://chat.example.org", "chat.example.org"},
		{"https://chat.example.org:443", "https://chat.example.org", "chat.example.org"},
		{"https://chat.example.org:443", "https://chat.example.org", "chat.example.org:443"},
		{"http://chat.example.org:80", "http://chat.example.org", "chat.example.org"},
		{"http://chat.example.org:443", "http://chat.example.org:443", "chat.example.org:443"},
		{"https://chat.example.org:8443", "https://chat.example.org:8443", "chat.example.org:8443"},
		{"HTTPS://Chat.Example.org", "https://chat.example.org", "Chat.example.org"},
		{"https://chät.example", "https://xn--cht-rla.example", "xn--cht-rla.example"},
		{"https://CHÄT.example:443", "https://xn--cht-rla.example", "xn--cht-rla.example:443"},
		{"https://xn--cht-rla.example", "https://xn--cht-rla.example", "xn--cht-rla.example"},
		{"https://例え.テスト", "https://xn--r8jz45g.xn--zckzah", "xn--r8jz45g.xn--zckzah"},
		{"http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"},
		{"http://[::1]:80", "http://[::1]", "[::1]"},
	} {
		t.Run(test.operator, func(t *testing.T) {
			f := start(t, web.Config{Origins: []string{test.operator}}, nil)
			if status, _ := f.handshake("Origin", test.browser, "Host", test.host); status != 101 {
				t.Errorf("a page of %s with the Host %s: got %d", test.browser, test.host, status)
			}
			f.post("lobby", `{"id":"1","username":"bot","content":"x"}`, "Origin", test.browser, "Host", test.host).has(t, 201)
			f.post("lobby", `{"id":"2","username":"bot","content":"x"}`, "Origin", "https://evil.example", "Host", test.host).has(t, 403)
		})
	}
}

// A page of this server is one however the request spells its host: proxies write
// ports and capitals into it.
func TestSpellingsOfHosts(t *testing.T) {
	f := serve(t)
	for _, test := range []struct {
		origin, host string
		status       int
	}{
		{"http://localhost", "localhost:80", 201},
		{"http://localhost", "LOCALHOST", 201},
		{"https://localhost", "localhost:443", 201},
		{"https://localhost", "localhost:80", 403},
		{"http://localhost", "localhost:443", 403},
		{"http://localhost:8080", "Localhost:8080", 201},
		{"http://localhost:8080", "localhost:80", 403},
	} {
		id := strings.NewReplacer("/", "-").Replace(test.origin + test.host)
		f.post("lobby", `{"id":"`+id+`","username":"bot","content":"x"}`, "Origin", test.origin, "Host", test.host).has(t, test.status)
	}
}

// In a network a server goes by every name, until it is told which are its own.
func TestHostsInANetwork(t *testing.T) {
	for _, c := range []struct {
		names []string
		host  string
		want  bool
	}{
		{nil, "chat.example.org", true},
		{[]string{"https://chat.example.org"}, "chat.example.org", true},
		{[]string{"https://chat.example.org"}, "10.0.0.7:6480", true},
		{[]string{"https://chat.example.org"}, "evil.example:6480", false},
	} {
		if got, err := web.Knows(c.names, "10.0.0.7", c.host); err != nil || got != c.want {
			t.Errorf("%v, %s: %v, %v; want %v", c.names, c.host, got, err, c.want)
		}
	}
}

// A whole conversation over WebSocket through the front door.
func TestSocket(t *testing.T) {
	f := serve(t)
	_, c := f.handshake()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	expect := func(want string) {
		t.Helper()
		_, got, err := c.Read(ctx)
		if err != nil || !strings.Contains(string(got), want) {
			t.Fatalf("got %s, %v; want %s", got, err, want)
		}
	}
	c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello","version":1,"username":"ann"}`))
	expect(`"welcome"`)
	c.Write(ctx, websocket.MessageText, []byte(`{"type":"join","room":"lobby"}`))
	expect(`"joined"`)
	f.say("lobby", "1", "bot", "hello, ann")
	expect(`"hello, ann"`)
	f.post("lobby", `{"id":"1","username":"Ann","content":"x"}`).has(t, 409, "code", "username_taken")
}

// What a client sends right behind its handshake, without waiting for the answer,
// is not lost.
func TestFramesBehindTheHandshake(t *testing.T) {
	f := serve(t)
	conn := f.dialConn()
	hello := `{"type":"hello","version":1,"username":"ann"}`
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))
	fmt.Fprintf(conn, "GET /v1/socket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n\x81%s\x00\x00\x00\x00%s", f.host, key, string([]byte{0x80 | byte(len(hello))}), hello)
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != 101 {
		t.Fatalf("got %v, %v", answer, err)
	}
	header := make([]byte, 4)
	if _, err := io.ReadFull(r, header); err != nil || header[0] != 0x81 {
		t.Fatalf("got % x, %v", header, err)
	}
	if got, err := r.Peek(17); err != nil || string(got) != `{"type":"welcome"` {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBadHandshakes(t *testing.T) {
	f := serve(t)
	good := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for name, change := range map[string]struct {
		drop   int // of good; -1: none
		add    string
		method string
		status int
	}{
		"all is well":     {-1, "", "GET", 101},
		"no upgrade":      {0, "", "GET", 426},
		"another upgrade": {0, "Upgrade: h2c", "GET", 400},
		"no connection":   {1, "", "GET", 400},
		"no version":      {2, "", "GET", 400},
		"version 8":       {2, "Sec-WebSocket-Version: 8", "GET", 426},
		"no key":          {3, "", "GET", 400},
		"a short key":     {3, "Sec-WebSocket-Key: dGhl", "GET", 400},
		"POST":            {-1, "", "POST", 405},
	} {
		var headers []string
		for i, header := range good {
			if i != change.drop {
				headers = append(headers, header)
			}
		}
		if change.add != "" {
			headers = append(headers, change.add)
		}
		got := f.raw(change.method + " /v1/socket HTTP/1.1\r\nHost: " + f.host + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprint("HTTP/1.1 ", change.status, " ")) {
			t.Errorf("%s: got %.100q, want %d", name, got, change.status)
		}
	}
}

// Other protocols, floods and tricks cost their sender an answer at most.
func TestHostileRequests(t *testing.T) {
	f := serve(t)
	for name, test := range map[string]struct{ request, answer string }{
		"kaban/1":               {`{"type":"hello","version":1,"username":"ann"}` + "\n", "HTTP/1.1 400"},
		"TLS":                   {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
		"SSH":                   {"SSH-2.0-OpenSSH_9.2p1\r\n", "HTTP/1.1 400"},
		"a flood of headers":    {"GET / HTTP/1.1\r\nHost: " + f.host + "\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 100)+"\r\n", 400) + "\r\n", "HTTP/1.1 431"},
		"a long header":         {"GET / HTTP/1.1\r\nHost: " + f.host + "\r\nX: " + strings.Repeat("x", 40_000) + "\r\n\r\n", "HTTP/1.1 431"},
		"a long path":           {"GET /" + strings.Repeat("x", 40_000) + " HTTP/1.1\r\nHost: " + f.host + "\r\n\r\n", "HTTP/1.1 431"},
		"two lengths":           {"POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: " + f.host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
		"length and chunks":     {"POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: " + f.host + "\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 4"},
		"two hosts":             {"GET / HTTP/1.1\r\nHost: " + f.host + "\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400"},
		"a path out of here":    {"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: " + f.host + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"},
		"the same in disguise":  {"GET /v1/rooms/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: " + f.host + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"},
		"a page out of here":    {"GET /assets/..%2f..%2fetc/passwd HTTP/1.1\r\nHost: " + f.host + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"},
		"NUL in a header":       {"GET / HTTP/1.1\r\nHost: " + f.host + "\r\nX: a\x00b\r\n\r\n", "HTTP/1.1 400"},
		"HTTP/0.9":              {"GET /\r\n", "HTTP/1.1 400"},
		"HTTP/2 without asking": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 4"},
		"a proxy is wanted":     {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "HTTP/1.1 4"},
	} {
		got := f.raw(test.request)
		if !strings.HasPrefix(got, test.answer) {
			t.Errorf("%s: got %.200q, want %q", name, got, test.answer)
		}
		if strings.Contains(got, "root:") {
			t.Errorf("%s: got %q", name, got)
		}
		f.get("/v1/rooms").has(t, 200)
	}
}

// A server that refuses messages is not ready, and becomes so again.
func TestReadinessOfAFullServer(t *testing.T) {
	var reason atomic.Value
	reason.Store("")
	f := start(t, web.Config{Refusing: func() string { return reason.Load().(string) }}, nil)
	f.get("/readyz").has(t, 200)
	reason.Store("the disk is full")
	if got := f.get("/readyz"); got.status != 503 || !strings.Contains(got.body, "the disk is full") {
		t.Errorf("got %d %q", got.status, got.body)
	}
	f.get("/healthz").has(t, 200)
	reason.Store("")
	f.get("/readyz").has(t, 200)
}

// A draining server refuses new clients with a reason.
func TestReadiness(t *testing.T) {
	nodetest.One(t, "it ends a server")
	f := serve(t)
	f.get("/healthz").has(t, 200)
	f.get("/readyz").has(t, 200)
	r := f.follow("", "")
	r.expect("joined")
	f.web.Drain()
	r.expect("goodbye", "reason", "draining")
	f.get("/readyz").has(t, 503)
	f.get("/healthz").has(t, 200)
	if status, _ := f.handshake(); status != 503 {
		t.Errorf("a handshake gets %d, want 503", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.web.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := net.Dial("tcp", f.host); err == nil {
		t.Error("it still accepts")
	}
}

// The request of a connection that was accepted before the end of the server is answered,
// even if it comes after.
func TestShutdownAnswersWhoHasConnected(t *testing.T) {
	nodetest.One(t, "it ends a server")
	f := serve(t)
	conn := f.dialConn()
	for count := 0; count == 0; count, _ = f.web.Connections() { // until it is accepted
		time.Sleep(time.Millisecond)
	}
	done := make(chan error, 1)
	go func() { done <- f.web.Shutdown(t.Context()) }()
	for {
		other, err := net.Dial("tcp", f.host)
		if err != nil {
			break // the listener is closed
		}
		other.Close()
	}
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", f.host)
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != 200 || !answer.Close {
		t.Errorf("got %+v, %v; want 200, and that the connection is closed", answer, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A drain that takes too long is cut off, and says why.
func TestShutdownIsCutOff(t *testing.T) {
	nodetest.One(t, "it ends a server")
	f := serve(t)
	conn := f.dialConn()
	// A request whose body does not come.
	fmt.Fprintf(conn, "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", f.host)
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != 100 {
		t.Fatalf("got %v, %v; want 100: it waits for the body", answer, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("a second signal came")
	cancel(reason)
	if err := f.web.Shutdown(ctx); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the request is not cut off")
	}
}

// A header may be as long as the documentation says, and no longer.
func TestTheLimitOfHeaders(t *testing.T) {
	f := serve(t)
	for size, status := range map[int]int{16 << 10: 200, 16<<10 + 1: 431} {
		head := "GET /healthz HTTP/1.1\r\nHost: " + f.host + "\r\nConnection: close\r\nX-Filler: "
		got := f.raw(head + strings.Repeat("x", size-len(head)-4) + "\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprint("HTTP/1.1 ", status)) {
			t.Errorf("%d bytes: got %.60q, want %d", size, got, status)
		}
	}
}
