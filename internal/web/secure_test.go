package web_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/store/storetest"
	"kaban/internal/tlstest"
	"kaban/internal/web"
)

// secureHost is the name of servers with TLS in tests.
const secureHost = "chat.example.org"

// certificate returns one for a server, and the configuration of its clients.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	authority := tlstest.NewAuthority(t)
	pair, err := tls.X509KeyPair(authority.Issue(24*time.Hour, secureHost, "localhost", "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: authority.Pool()}
}

// encrypted returns a server with a listener for https. The fixture uses that, with
// HTTP/2 or with HTTP/1.1.
func encrypted(t *testing.T, config web.Config, version int) *fixture {
	t.Helper()
	f := start(t, config, nil)
	serverTLS, clientTLS := certificate(t)
	rules, err := peer.Decide(peer.Listener{URL: "https://127.0.0.1:0", Loopback: true, TLS: true}, peer.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.web.ServeTLS(l, rules, serverTLS) }()
	address := l.Addr().String()
	f.host = net.JoinHostPort(secureHost, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	f.url = "https://" + f.host
	transport := &http.Transport{
		TLSClientConfig: clientTLS, ForceAttemptHTTP2: version == 2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	f.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		f.web.Close()
		if err := <-done; !errors.Is(err, web.ErrClosed) {
			t.Error(err)
		}
	})
	return f
}

// Everything that the front end serves works over TLS, with both versions of HTTP.
func TestOverTLS(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			f := encrypted(t, web.Config{}, version)
			got, err := f.client.Get(f.url + "/healthz")
			f.must(err)
			got.Body.Close()
			if got.ProtoMajor != version || got.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
				t.Errorf("got %s with %v", got.Proto, got.Header)
			}
			owner := f.claim("open")
			in := []string{"Cookie", "__Host-kaban=" + owner.Secret}
			f.do("GET", "/v1/session", "", in...).has(t, 200)
			f.do("GET", "/v1/session", "", cookie(owner)...).has(t, 401) // anybody in the network can set that one
			message := `{"id":"1","content":"` + strings.Repeat("x", 4000) + `"}`
			post := func(headers ...string) *answer {
				return f.do("POST", "/v1/rooms/lobby/messages", message, append(headers, "Content-Type", "application/json")...)
			}
			post(with(in, origin(f.url))...).has(t, 201)
			post(with(in, origin("http://"+f.host))...).has(t, 403)
			post(in...).has(t, 403)
			post("Origin", "http://"+f.host, "X-Kaban-Visitor", "ann").has(t, 403)

			r := f.followIn("lobby", "?after=0", "Cookie", in[1])
			r.expect("joined")
			r.expect("member")
			r.expect("message")
			r.close()
			if large := f.do("POST", "/v1/rooms/lobby/messages", strings.Repeat(" ", 200<<10), with(in, origin(f.url), asJSON())...); large.status != 413 {
				t.Errorf("a body that is too large: %s", large)
			}
		})
	}
}

// A WebSocket opens over TLS, of a page of the server, and not of one that came in the
// clear.
func TestWebSocketOverTLS(t *testing.T) {
	f := encrypted(t, web.Config{}, 1)
	owner := f.claim("open")
	dial := func(origin string) (*websocket.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		header := http.Header{"Cookie": {"__Host-kaban=" + owner.Secret}, "Origin": {origin}}
		c, _, err := websocket.Dial(ctx, f.url+"/v1/socket", &websocket.DialOptions{HTTPClient: f.client, HTTPHeader: header})
		return c, err
	}
	if c, err := dial("http://" + f.host); err == nil {
		c.CloseNow()
		t.Error("a page that came in the clear opens a WebSocket")
	}
	c, err := dial(f.url)
	f.must(err)
	defer c.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f.must(c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello","version":1}`)))
	if got := f.frame(c); got["type"] != "welcome" || got["username"] != "olga" {
		t.Errorf("got %v", got)
	}
	for i := range 50 { // in both directions, more than a record at a time
		text := strings.Repeat("x", 4900)
		f.must(c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"send","id":"%d","room":"lobby","content":"%s"}`, i, text)))
	}
	if got, _ := f.web.Connections(); got > 1 {
		t.Errorf("%d connections are counted as those of HTTP", got)
	}
}

// Browsers keep to https for the names of a server, but not for localhost, where other
// servers are.
func TestStayEncrypted(t *testing.T) {
	f := encrypted(t, web.Config{}, 1)
	for host, want := range map[string]string{f.host: "max-age=31536000", "localhost:1": "", "LocalHost": "", "chat.localhost": "", "localhost.example.org": "max-age=31536000"} {
		if got := f.do("GET", "/readyz", "", "Host", host).header.Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	if got := serve(t).get("/healthz").header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("in the clear: %q", got)
	}
}

// TestRedirects is the table of plain requests beside https.
func TestRedirects(t *testing.T) {
	challenge := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/.well-known/acme-challenge/token" {
				io.WriteString(w, "token.key")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	const here = "127.0.0.1"
	for name, c := range map[string]struct {
		secure, origin string
		proxies        []string
		method, path   string
		headers        []string
		status         int
		to             string
	}{
		"the page":                 {secure: "https://chat.example.org", path: "/", headers: []string{"Host", "chat.example.org"}, status: 308, to: "https://chat.example.org/"},
		"path and query":           {secure: "https://x:443", path: "/room/a%2Fb?x=1&y=%20", headers: []string{"Host", "chat.example.org:80"}, status: 308, to: "https://chat.example.org/room/a%2Fb?x=1&y=%20"},
		"another port":             {secure: "https://x:8443", path: "/", headers: []string{"Host", "Chat.Example.org:8080"}, status: 308, to: "https://chat.example.org:8443/"},
		"IPv6":                     {secure: "https://x", path: "/", headers: []string{"Host", "[2001:db8::1]:80"}, status: 308, to: "https://[2001:db8::1]/"},
		"IPv6 and port":            {secure: "https://x:8443", path: "/", headers: []string{"Host", "[2001:db8::1]"}, status: 308, to: "https://[2001:db8::1]:8443/"},
		"an origin":                {secure: "https://x:8443", origin: "https://chat.example.org", path: "/", headers: []string{"Host", "chat.example.org"}, status: 308, to: "https://chat.example.org/"},
		"another host":             {secure: "https://x:8443", origin: "https://chat.example.org", path: "/a", headers: []string{"Host", "evil.example"}, status: 308, to: "https://chat.example.org/a"},
		"the second origin":        {secure: "https://x:8443", origin: "https://chat.example.org https://talk.example.org:444", path: "/a", headers: []string{"Host", "talk.example.org"}, status: 308, to: "https://talk.example.org:444/a"},
		"an origin in the clear":   {secure: "https://x:8443", origin: "http://chat.example.org", path: "/a", headers: []string{"Host", "chat.example.org"}, status: 308, to: "https://chat.example.org:8443/a"},
		"the API":                  {secure: "https://x", method: "POST", path: "/v1/rooms/lobby/messages", headers: []string{"Host", "a.example"}, status: 308, to: "https://a.example/v1/rooms/lobby/messages"},
		"two slashes":              {secure: "https://x", path: "//evil.example/", headers: []string{"Host", "a.example"}, status: 308, to: "https://a.example//evil.example/"},
		"health":                   {secure: "https://x", path: "/healthz", status: 200},
		"readiness":                {secure: "https://x", path: "/readyz", status: 200},
		"a challenge":              {secure: "https://x", path: "/.well-known/acme-challenge/token", headers: []string{"Host", "a.example"}, status: 200},
		"no challenge":             {secure: "https://x", path: "/.well-known/acme-challenge", headers: []string{"Host", "a.example"}, status: 308, to: "https://a.example/.well-known/acme-challenge"},
		"a proxy":                  {secure: "https://x", proxies: []string{here}, path: "/v1/server", status: 200},
		"a client through it":      {secure: "https://x", proxies: []string{here}, path: "/v1/server", headers: []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https"}, status: 200},
		"a proxy, and a challenge": {secure: "https://x", proxies: []string{here}, path: "/.well-known/acme-challenge/token", status: 200},
		"made-up headers":          {secure: "https://x", path: "/v1/server", headers: []string{"Host", "a.example", "X-Forwarded-Proto", "https"}, status: 308, to: "https://a.example/v1/server"},
	} {
		t.Run(name, func(t *testing.T) {
			proxies, err := peer.ParseProxies(c.proxies)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := peer.Decide(peer.Listener{URL: "http://0.0.0.0:80", Redirects: true}, peer.Policy{Proxies: proxies})
			if err != nil {
				t.Fatal(err)
			}
			config := web.Config{Secure: c.secure, Challenges: challenge}
			config.Origins = strings.Fields(c.origin)
			f := start(t, config, nil)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go f.web.Serve(l, rules) // ends with the fixture
			if c.method == "" {
				c.method = "GET"
			}
			request := c.method + " " + c.path + " HTTP/1.1\r\nConnection: close\r\n"
			if c.method == "POST" {
				request += "Content-Length: 0\r\n"
			}
			if len(c.headers) == 0 || c.headers[0] != "Host" {
				request += "Host: " + l.Addr().String() + "\r\n"
			}
			for i := 0; i < len(c.headers); i += 2 {
				request += c.headers[i] + ": " + c.headers[i+1] + "\r\n"
			}
			f.host = l.Addr().String()
			got, err := http.ReadResponse(bufio.NewReader(strings.NewReader(f.exchange(request+"\r\n", false))), nil)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != c.status || got.Header.Get("Location") != c.to {
				t.Errorf("got %s to %q, want %d to %q", got.Status, got.Header.Get("Location"), c.status, c.to)
			}
		})
	}
}

// What has no host, or no path, leads nowhere else.
func TestRedirectOfOddRequests(t *testing.T) {
	rules, err := peer.Decide(peer.Listener{URL: "http://0.0.0.0:80", Redirects: true}, peer.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, web.Config{Secure: "https://x"}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go f.web.Serve(l, rules) // ends with the fixture
	f.host = l.Addr().String()
	for request, want := range map[string]string{
		"GET / HTTP/1.0\r\n\r\n":                                                      "400 ",
		"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n":                        "400 ",
		"OPTIONS * HTTP/1.1\r\nHost: a.b\r\nConnection: close\r\n\r\n":                "200 ", // net/http answers it
		"GET http://e.example/x?y HTTP/1.1\r\nConnection: close\r\n\r\n":              "400 ", // there must be a Host
		"GET http://e.example/x?y HTTP/1.1\r\nHost: a.b\r\nConnection: close\r\n\r\n": "308 https://e.example/x?y",
		"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\nConnection: close\r\n\r\n":      "308 https://a.b/",
		"GET / HTTP/1.1\r\nHost: a.b/c\r\nConnection: close\r\n\r\n":                  "400 ",
		"GET / HTTP/1.1\r\nHost: a.b@c\r\nConnection: close\r\n\r\n":                  "400 ",
	} {
		got, err := http.ReadResponse(bufio.NewReader(strings.NewReader(f.raw(request))), nil)
		if err != nil {
			t.Errorf("%q: %v", request, err)
			continue
		}
		got.Body.Close()
		if have := fmt.Sprint(got.StatusCode, " ", got.Header.Get("Location")); have != want {
			t.Errorf("%q: got %q, want %q", request, have, want)
		}
	}
}

// Links lead to where the server has TLS, unless its operator has named its origins.
func TestLinksWithTLS(t *testing.T) {
	for want, config := range map[string]web.Config{
		"https://chat.example.org:8443/sign-in#x": {Secure: "https://chat.example.org:8443"},
		"https://public.example.org/sign-in#x":    {Secure: "https://chat.example.org:8443", Origins: []string{"https://public.example.org"}},
	} {
		if got := start(t, config, nil).web.SignInLink("x"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// inEncryptedBubble is inBubble with a client of HTTP/2.
func inEncryptedBubble(t *testing.T, config web.Config, test func(t *testing.T, client *http.Client, server *web.Server, d *dispatch.Dispatcher)) {
	inEncryptedBubbleWith(t, config, peer.Loopback(), test)
}

func inEncryptedBubbleWith(t *testing.T, config web.Config, rules peer.Rules, test func(t *testing.T, client *http.Client, server *web.Server, d *dispatch.Dispatcher)) {
	serverTLS, clientTLS := certificate(t)
	now := time.Now() // the certificate is of the real time
	serverTLS.Time = func() time.Time { return now }
	clientTLS.Time = serverTLS.Time
	inBubble(t, config, func(t *testing.T, _ *pipes, server *web.Server, d *dispatch.Dispatcher) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- server.ServeTLS(p, rules, serverTLS) }()
		transport := &http.Transport{
			TLSClientConfig: clientTLS, ForceAttemptHTTP2: true,
			HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}, // by default it takes megabytes of what nobody reads
			DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
		}
		test(t, &http.Client{Transport: transport}, server, d)
		transport.CloseIdleConnections()
		server.Close()
		if err := <-ended; !errors.Is(err, web.ErrClosed) {
			t.Error(err)
		}
	})
}

// A body that does not come ends its own request. Others on the same connection go on.
func TestSlowBodyBesideOthers(t *testing.T) {
	inEncryptedBubble(t, web.Config{Heartbeat: time.Minute}, func(t *testing.T, client *http.Client, server *web.Server, d *dispatch.Dispatcher) {
		stream, err := client.Get("https://localhost/v1/rooms/lobby/events")
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()
		events := bufio.NewReader(stream.Body)
		body, never := io.Pipe()
		defer never.Close()
		answered := make(chan error, 1)
		go func() {
			got, err := client.Post("https://localhost/v1/rooms/lobby/messages", "application/json", body)
			if err == nil {
				got.Body.Close()
				err = fmt.Errorf("status %d", got.StatusCode)
			}
			answered <- err
		}()
		begin := time.Now()
		io.WriteString(never, `{"id":`)
		synctest.Wait()
		if _, waiting := server.Connections(); waiting != 1 {
			t.Error("the connection does not make room while its body is waited for")
		}
		if err := <-answered; err == nil || !strings.Contains(err.Error(), "408") {
			t.Errorf("the request ends with %v", err)
		}
		synctest.Wait()
		if _, waiting := server.Connections(); waiting != 0 {
			t.Error("the connection is waited for when the body is over")
		}
		if took := time.Since(begin); took < 29*time.Second || took > 40*time.Second {
			t.Errorf("it ends after %s", took)
		}
		for range 20 { // signs of life, over ten minutes
			if _, err := events.ReadString('\n'); err != nil {
				t.Fatalf("after %s the stream ends: %v", time.Since(begin), err)
			}
		}
		if count, _ := server.Connections(); count != 1 {
			t.Errorf("%d connections", count)
		}
	})
}

// Answers over HTTP/2 that nobody takes end, each by itself. What they hold is counted
// until then, and their connection makes room.
func TestAnswersOfOneConnectionThatNobodyReads(t *testing.T) {
	inEncryptedBubble(t, web.Config{}, func(t *testing.T, client *http.Client, server *web.Server, d *dispatch.Dispatcher) {
		for i := range 300 {
			if _, err := d.Post(t.Context(), dispatch.Send{Draft: storetest.Draft(t, "lobby", "bot", fmt.Sprint(i), strings.Repeat("x", 5000))}, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		const address = "https://localhost/v1/rooms/lobby/messages?limit=500"
		stream, err := client.Get("https://localhost/v1/rooms/lobby/events")
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()
		var bodies []io.ReadCloser
		const unread = 3 // more would fill the window of the whole connection
		for range unread {
			got, err := client.Get(address)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			bodies = append(bodies, got.Body)
		}
		synctest.Wait()
		one := server.Held() / unread
		if one < 200_000 {
			t.Fatalf("answers hold %d bytes", server.Held())
		}
		got, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, got.Body); err != nil || n < 200_000 {
			t.Fatalf("an answer beside them has %d bytes, %v", n, err)
		}
		got.Body.Close()
		synctest.Wait()
		if held := server.Held(); held != unread*one {
			t.Errorf("%d bytes are held, want %d", held, unread*one)
		}
		if count, waiting := server.Connections(); count != 1 || waiting != 1 {
			t.Errorf("%d connections, %d of them wait", count, waiting)
		}
		time.Sleep(web.StallTime + time.Second)
		synctest.Wait()
		if held := server.Held(); held != 0 {
			t.Errorf("%d bytes are still held", held)
		}
		if count, waiting := server.Connections(); count != 1 || waiting != 0 {
			t.Errorf("%d connections, %d of them wait", count, waiting)
		}
		if _, err := io.Copy(io.Discard, bodies[0]); err == nil {
			t.Error("an answer that was not taken has come to its end")
		}
		events := bufio.NewReader(stream.Body)
		for range 20 {
			if _, err := events.ReadString('\n'); err != nil {
				t.Fatalf("the stream beside them ends: %v", err)
			}
		}
	})
}

// Whoever takes an answer slowly gets all of it, however long it takes.
func TestSlowReaderBesideOthers(t *testing.T) {
	inEncryptedBubble(t, web.Config{}, func(t *testing.T, client *http.Client, _ *web.Server, d *dispatch.Dispatcher) {
		for i := range 100 {
			if _, err := d.Post(t.Context(), dispatch.Send{Draft: storetest.Draft(t, "lobby", "bot", fmt.Sprint(i), strings.Repeat("x", 5000))}, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := client.Get((&url.URL{Scheme: "https", Host: "localhost", Path: "/v1/rooms/lobby/messages", RawQuery: "limit=500"}).String())
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		begin, all := time.Now(), 0
		for buffer := make([]byte, 16<<10); ; time.Sleep(20 * time.Second) {
			n, err := io.ReadFull(got.Body, buffer)
			all += n
			if err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Errorf("after %d bytes and %s: %v", all, time.Since(begin), err)
				}
				break
			}
		}
		if all < 200_000 {
			t.Errorf("got %d bytes", all)
		}
	})
}
