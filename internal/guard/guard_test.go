package guard_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/guard"
)

// TestMain names a proxy in the environment that does not exist: a guard that used it would
// fail all tests with names.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		_ = os.Setenv(name, "http://proxy.invalid:9")
	}
	_ = os.Unsetenv("NO_PROXY")
	_ = os.Unsetenv("no_proxy")
	os.Exit(m.Run())
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// local is a web server on loopback that counts requests.
type local struct {
	*httptest.Server
	port uint16
	hits atomic.Int32
}

func serve(t *testing.T, handler http.HandlerFunc) *local {
	t.Helper()
	l := new(local)
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.hits.Add(1)
		handler(w, r)
	}))
	t.Cleanup(l.Close)
	l.port = portOf(t, l.URL)
	return l
}

func portOf(t *testing.T, address string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(mustParse(address).Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// get requests a URL and reads the body.
func get(t *testing.T, client *http.Client, address string) (string, *http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(client, req)
}

func do(client *http.Client, req *http.Request) (string, *http.Response, error) {
	resp, err := client.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), resp, err
}

func wantClass(t *testing.T, what string, err error, class guard.Class) {
	t.Helper()
	e, ok := errors.AsType[*guard.BlockedError](err)
	switch {
	case !ok:
		t.Errorf("%s: %v, want a blocked address", what, err)
	case e.Class != class:
		t.Errorf("%s: %v, want %s", what, err, class)
	}
}

var loopback = prefixes("127.0.0.1/32")

func TestGet(t *testing.T) {
	l := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.URL, " ", r.UserAgent())
	})
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}})
	body, resp, err := get(t, g.Client(), l.URL+"/page?a=b")
	if want := "GET /page?a=b Kaban"; err != nil || body != want || resp.StatusCode != http.StatusOK {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
	if resp.Request.URL.Path != "/page" {
		t.Errorf("the response is for %s", resp.Request.URL)
	}
}

// However an address is written, the one that is dialled decides, and nothing is dialled.
func TestSpellings(t *testing.T) {
	l := serve(t, hello)
	d := newDNS(t, nil)
	d.other = []string{"127.0.0.1"} // as resolvers that take numbers for addresses do
	g := newGuard(t, guard.Options{Ports: []uint16{l.port}, Resolver: d.resolver()})
	for host, class := range map[string]guard.Class{
		"127.0.0.1": guard.Loopback, "127.255.255.254": guard.Loopback, "localhost": guard.Loopback, "LOCALHOST": guard.Loopback,
		"localhost.": guard.Loopback, "0x7f000001": guard.Loopback,
		"0x7f.1": guard.Loopback, "a.localtest.me": guard.Loopback,
		"①②⑦.⓪.⓪.①": guard.Loopback, "１２７.０.０.１": guard.Loopback, "127。0。0。1": guard.Loopback, "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ": guard.Loopback,
		"[::1]": guard.Loopback, "[0:0:0:0:0:0:0:1]": guard.Loopback, "[::ffff:127.0.0.1]": guard.Loopback, "[::ffff:7f00:1]": guard.Loopback,
		"[::127.0.0.1]": guard.Tunnel, "[64:ff9b::127.0.0.1]": guard.Loopback, "[64:ff9b:1::127.0.0.1]": guard.Tunnel,
		"[::]": guard.Unspecified, "0.0.0.0": guard.Unspecified, "0.1.2.3": guard.Unspecified,
		"[fe80::1%25eth0]": guard.LinkLocal, "[fe80::1%251]": guard.LinkLocal, "[fe80::1]": guard.LinkLocal,
		"10.0.0.1": guard.Private, "192.168.0.1": guard.Private, "172.31.255.255": guard.Private, "[fd12::1]": guard.Private,
		"169.254.169.254": guard.Metadata, "100.64.0.1": guard.Shared, "255.255.255.255": guard.Broadcast, "224.0.0.1": guard.Multicast,
		"240.0.0.1": guard.Reserved, "[2002:7f00:1::]": guard.Tunnel, "[2001:0:7f00:1::]": guard.Tunnel,
	} {
		for _, scheme := range []string{"http", "https"} {
			_, _, err := get(t, g.Client(), fmt.Sprintf("%s://%s:%d/", scheme, host, l.port))
			wantClass(t, scheme+" "+host, err, class)
		}
	}
	// Go's resolver does not look these up. Those of operating systems take them for addresses.
	for _, host := range []string{"127.1", "127.0.0.1.", "2130706433", "017700000001", "0"} {
		_, _, err := get(t, g.Client(), fmt.Sprintf("http://%s:%d/", host, l.port))
		if unknown, ok := errors.AsType[*net.DNSError](err); !ok || !unknown.IsNotFound {
			wantClass(t, host, err, guard.Loopback)
		}
	}
	if n := l.hits.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

// second is a server on another address of loopback, which stands for one that is private.
func second(t *testing.T, port uint16) *atomic.Int32 {
	t.Helper()
	hits := new(atomic.Int32)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Logf("without a listener: %v", err) // not all systems have the address
		return hits
	}
	var accepts sync.WaitGroup
	accepts.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); accepts.Wait() })
	return hits
}

// A name server that answers with a public address at first and a private one later gets no
// connection to that: nobody asks it between the check and the dial.
func TestDNSThatChangesItsMind(t *testing.T) {
	l := serve(t, hello)
	hits := second(t, l.port)
	d := newDNS(t, map[string][][]string{"page.test": {{"127.0.0.1"}, {"127.0.0.2"}}})
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}, Resolver: d.resolver()})
	address := fmt.Sprintf("http://page.test:%d/", l.port)
	if body, _, err := get(t, g.Client(), address); err != nil || body != "hello" {
		t.Errorf("the first answer: %q, %v", body, err)
	}
	l.CloseClientConnections()
	g.Client().CloseIdleConnections()
	_, _, err := get(t, g.Client(), address)
	for range 3 {
		wantClass(t, "the second answer", err, guard.Loopback)
		_, _, err = get(t, g.Client(), address)
	}
	if e, ok := errors.AsType[*guard.BlockedError](err); ok && e.Host != "page.test" {
		t.Errorf("the error is about %q", e.Host)
	}
	if hits.Load() != 0 || l.hits.Load() != 1 {
		t.Errorf("%d connections to the private address, %d requests to the public one", hits.Load(), l.hits.Load())
	}
}

// Of several answers those are dialled that may be. If none works and one was blocked, that is
// the error, whatever the order.
func TestSeveralAnswers(t *testing.T) {
	l := serve(t, hello)
	hits := second(t, l.port)
	d := newDNS(t, map[string][][]string{
		"mixed.test": {{"127.0.0.2", "127.0.0.1"}},
		"later.test": {{"127.0.0.1", "127.0.0.2"}},
		"both.test":  {{"10.0.0.1", "127.0.0.2", "::1"}},
		"six.test":   {{"::1", "127.0.0.1"}},
		"dead.test":  {{"127.0.0.3", "10.0.0.1"}}, // allowed, but nobody listens
		"dead2.test": {{"10.0.0.1", "127.0.0.3"}},
	})
	g := newGuard(t, guard.Options{
		Allowed: prefixes("127.0.0.1/32", "127.0.0.3/32"), Ports: []uint16{l.port}, Resolver: d.resolver(),
	})
	for name, class := range map[string]guard.Class{
		"mixed": guard.Public, "later": guard.Public, "six": guard.Public,
		"both": guard.Private, "dead": guard.Private, "dead2": guard.Private,
	} {
		body, _, err := get(t, g.Client(), fmt.Sprintf("http://%s.test:%d/", name, l.port))
		switch {
		case class == guard.Public && (err != nil || body != "hello"):
			t.Errorf("%s: %q, %v", name, body, err)
		case class != guard.Public:
			if _, ok := errors.AsType[*guard.BlockedError](err); !ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d connections to the address that is blocked", n)
	}
}

// A redirect is a request like any other.
func TestRedirects(t *testing.T) {
	var to atomic.Value
	l := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to.Load().(string))
		w.WriteHeader(http.StatusFound)
	})
	d := newDNS(t, map[string][][]string{"inside.test": {{"10.0.0.1"}}})
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port, 80, 443}, Resolver: d.resolver()})
	for location, class := range map[string]guard.Class{
		"http://127.0.0.2/": guard.Loopback, "http://10.0.0.1/": guard.Private, "https://192.168.1.1/": guard.Private,
		"http://169.254.169.254/latest/meta-data/": guard.Metadata, "http://[fd00::1]/": guard.Private, "http://[::ffff:10.0.0.1]/": guard.Private,
		"//100.64.1.1/": guard.Shared, "http://0.0.0.0/": guard.Unspecified, "http://224.0.0.251/": guard.Multicast,
		"http://255.255.255.255/": guard.Broadcast, "http://192.0.2.1/": guard.Documentation, "http://198.18.0.1/": guard.Benchmarking,
		"http://[2002:a00:1::1]/": guard.Tunnel, "http://240.0.0.1/": guard.Reserved, "http://inside.test/": guard.Private,
		"http://[fe80::1%25lo]/": guard.LinkLocal,
	} {
		to.Store(location)
		_, _, err := get(t, g.Client(), l.URL)
		wantClass(t, location, err, class)
	}
	for _, location := range []string{
		"ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:70/_", "http://127.0.0.1:22/", "http://user:password@127.0.0.1/",
		"http://:80/", "http://127.0.0.1:0/", "javascript:alert(1)", "data:text/html,a",
	} {
		to.Store(location)
		_, _, err := get(t, g.Client(), l.URL)
		if _, ok := errors.AsType[*guard.URLError](err); !ok {
			t.Errorf("%s: %v, want a URLError", location, err)
		}
	}
}

func TestURLs(t *testing.T) {
	l := serve(t, hello)
	plain := newGuard(t, guard.Options{Allowed: loopback})
	secure := newGuard(t, guard.Options{Allowed: loopback, HTTPSOnly: true, Ports: []uint16{l.port}})
	for _, test := range []struct {
		guard   *guard.Guard
		address string
		want    string
	}{
		{plain, "ftp://127.0.0.1/", `must begin with https:// or http://, not with "ftp"`},
		{plain, "http://user@127.0.0.1/", "user name or password"},
		{plain, "http://user:secret@127.0.0.1/", "user name or password"},
		{plain, l.URL, fmt.Sprintf("does not connect to port %d; it does to 80, 443", l.port)},
		{plain, "http://127.0.0.1:70000/", "not a number up to 65535"},
		{secure, l.URL, "must begin with https://"},
	} {
		_, _, err := get(t, test.guard.Client(), test.address)
		e, ok := errors.AsType[*guard.URLError](err)
		if !ok || !strings.Contains(e.Error(), test.want) || strings.Contains(e.Error(), "secret") {
			t.Errorf("%s: %v, want a URLError with %q", test.address, err, test.want)
		}
	}
	if n := l.hits.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

// chain is a server that redirects /n to /n-1, and sets cookies on the way.
func chain(t *testing.T, seen *[]http.Header) *local {
	var mu sync.Mutex
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		*seen = append(*seen, r.Header.Clone())
		mu.Unlock()
		n, _ := strconv.Atoi(r.URL.Path[1:])
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		if n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/%d?secret=1", n-1), http.StatusFound)
			return
		}
		hello(w, r)
	})
}

// What can be told of a URL without a request.
func TestCheckURL(t *testing.T) {
	g, err := guard.New(guard.Options{HTTPSOnly: true, Ports: []uint16{443}, Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for address, want := range map[string]string{
		"https://push.example/x": "", "https://push.example:443/x": "", "https://192.0.1.1/": "", "https://10.1.2.3/": "", "https://[2606:4700::1]/": "",
		"http://push.example/": "https://", "https://push.example:8443/": "port 8443", "https://a:b@push.example/": "user name", "https://10.2.0.1/": "10.2.0.1",
		"https://[::1]/": "::1", "https://127.1/": "number", "https://0x7f000001/": "number", "https://[::ffff:127.0.0.1]/": "127.0.0.1", "https://127.0.0.1./": "127.0.0.1",
	} {
		err := g.CheckURL(mustParse(address))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// A name all of whose addresses are blocked is refused where it is entered. What cannot be resolved, or not in time, is left to
// the dial, which also meets a name that leads elsewhere by then.
func TestCheckHost(t *testing.T) {
	names := newDNS(t, map[string][][]string{
		"inner.example": {{"10.0.0.1"}}, "local.example": {{"127.0.0.1"}}, "mapped.example": {{"169.254.169.254"}}, "public.example": {{"192.0.1.1"}},
		"both.example": {{"10.0.0.1", "192.0.1.1"}}, "rebound.example": {{"192.0.1.1"}, {"127.0.0.1"}},
	})
	g := newGuard(t, guard.Options{HTTPSOnly: true, Ports: []uint16{443}, Resolver: names.resolver()})
	for host, blocked := range map[string]bool{
		"inner.example": true, "local.example": true, "mapped.example": true, "public.example": false, "both.example": false, "rebound.example": false, "nowhere.example": false, "10.0.0.1": true,
	} {
		err := g.CheckHost(t.Context(), mustParse("https://"+host+"/"))
		if e, ok := errors.AsType[*guard.BlockedError](err); ok != blocked || ok && e.Host != host {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, _, err := get(t, g.Client(), "https://rebound.example/"); err == nil {
		t.Error("a name that leads to this machine by now is dialled")
	} else if _, ok := errors.AsType[*guard.BlockedError](err); !ok {
		t.Errorf("a name that leads to this machine by now: %v", err)
	}
	stuck := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	slow := newGuard(t, guard.Options{Resolver: stuck, DialTimeout: time.Millisecond})
	if err := slow.CheckHost(t.Context(), mustParse("https://inner.example/")); err != nil {
		t.Errorf("without an answer: %v", err)
	}
	proxied := newGuard(t, guard.Options{Resolver: names.resolver(), Proxy: mustParse("http://192.0.1.9:3128")})
	if err := proxied.CheckHost(t.Context(), mustParse("https://inner.example/")); err != nil {
		t.Errorf("behind a proxy: %v", err)
	}
}

func TestNumberOfRedirects(t *testing.T) {
	var seen []http.Header
	l := chain(t, &seen)
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}})
	if body, _, err := get(t, g.Client(), l.URL+"/5"); err != nil || body != "hello" {
		t.Errorf("five redirects: %q, %v", body, err)
	}
	_, _, err := get(t, g.Client(), l.URL+"/6")
	if e, ok := errors.AsType[*guard.RedirectError](err); !ok || e.Max != 5 {
		t.Errorf("six redirects: %v", err)
	}
	none := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}, Redirects: -1})
	if _, resp, err := get(t, none.Client(), l.URL+"/1"); err != nil || resp.StatusCode != http.StatusFound {
		t.Errorf("no redirect: %v", err)
	}
	for _, h := range seen {
		for _, name := range []string{"Referer", "Cookie", "Authorization"} {
			if h.Get(name) != "" {
				t.Errorf("%s: %s", name, h.Get(name))
			}
		}
	}
}

// A request keeps what its caller gave it.
func TestRequestIsNotChanged(t *testing.T) {
	l := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.UserAgent(), r.Referer()) })
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Test")
	req.Header.Set("Referer", "http://secret.test/")
	body, _, err := do(g.Client(), req)
	if err != nil || body != "Test" || req.Referer() != "http://secret.test/" || len(req.Header) != 2 {
		t.Errorf("got %q, %v; the header of the request is %v", body, err, req.Header)
	}
}

func zipped(parts ...[]byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for _, p := range parts {
		_, _ = w.Write(p)
	}
	_ = w.Close()
	return b.Bytes()
}

// bombs are bodies by path; a body counts before and after decompression.
func bombs(w http.ResponseWriter, r *http.Request) {
	const limit = 1000
	kind, compressed := strings.CutSuffix(r.URL.Path, ".gz")
	var body []byte
	switch kind {
	case "/exact":
		body = bytes.Repeat([]byte("a"), limit)
	case "/more":
		body = bytes.Repeat([]byte("a"), limit+1)
	case "/bomb":
		body = make([]byte, 1<<20)
	case "/empty":
	case "/noise": // compressed, it is longer than the limit, and it decompresses to nothing
		w.Header().Set("Content-Encoding", "gzip")
		for range 100 {
			_, _ = w.Write(zipped())
		}
		return
	case "/broken":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("this is no gzip"))
		return
	}
	if compressed {
		w.Header().Set("Content-Encoding", "gzip")
		body = zipped(body)
	}
	_, _ = w.Write(body)
}

func TestBodies(t *testing.T) {
	const limit = 1000
	l := serve(t, bombs)
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}, MaxBody: limit})
	for path, want := range map[string]int{"/empty": 0, "/empty.gz": 0, "/exact": limit, "/exact.gz": limit} {
		body, resp, err := get(t, g.Client(), l.URL+path)
		if err != nil || len(body) != want || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	for _, path := range []string{"/more", "/more.gz", "/bomb", "/noise"} {
		body, _, err := get(t, g.Client(), l.URL+path)
		e, ok := errors.AsType[*guard.BodyError](err)
		if !ok || e.Max != limit || len(body) > limit {
			t.Errorf("%s: %d bytes, %v, want a BodyError", path, len(body), err)
		}
		if path != "/noise" && len(body) != limit {
			t.Errorf("%s: %d bytes before the error, want all that are allowed", path, len(body))
		}
	}
	if _, _, err := get(t, g.Client(), l.URL+"/bomb.gz"); err == nil {
		t.Error("a bomb is no error")
	} else if _, ok := errors.AsType[*guard.BodyError](err); !ok {
		t.Errorf("a bomb: %v", err)
	}
	if _, _, err := get(t, g.Client(), l.URL+"/broken"); !errors.Is(err, gzip.ErrHeader) {
		t.Errorf("no gzip: %v", err)
	}
}

// raw answers every connection with the same bytes.
func raw(t *testing.T, response string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serves sync.WaitGroup
	serves.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serves.Go(func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, response)
				}
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serves.Wait() })
	return "http://" + listener.Addr().String()
}

func TestHeaderIsBounded(t *testing.T) {
	const limit = 4 << 10
	long := strings.Repeat("a", limit)
	for name, response := range map[string]string{
		"one field":   "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n",
		"many fields": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", limit) + "\r\n",
		"status":      "HTTP/1.1 200 " + long + "\r\n\r\n",
	} {
		address := raw(t, response)
		g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{portOf(t, address)}, MaxHeader: limit})
		if _, _, err := get(t, g.Client(), address); err == nil || !strings.Contains(err.Error(), "exceeded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A connection does not outlive the permission for its address, idle or with a request.
func TestAllowCutsConnections(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	l := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(entered)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		hello(w, r)
	})
	defer close(release)
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}})
	if _, _, err := get(t, g.Client(), l.URL); err != nil {
		t.Fatal(err)
	}
	if err := g.Allow(nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := get(t, g.Client(), l.URL)
	wantClass(t, "an idle connection", err, guard.Loopback)

	if err := g.Allow(loopback); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, _, err := get(t, g.Client(), l.URL+"/wait")
		failed <- err
	}()
	<-entered
	if err := g.Allow(loopback); err != nil { // which changes nothing
		t.Fatal(err)
	}
	if err := g.Allow(prefixes("10.0.0.0/8")); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "a request", <-failed, guard.Loopback)
	if n := l.hits.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestClose(t *testing.T) {
	l := serve(t, hello)
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{l.port}})
	if _, _, err := get(t, g.Client(), l.URL); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if _, _, err := get(t, g.Client(), l.URL); err == nil {
		t.Error("a closed guard makes requests")
	}
	g.Close()
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the certificate that is not known
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	o := guard.Options{Allowed: loopback, Ports: []uint16{portOf(t, server.URL)}, HTTPSOnly: true, RootCAs: roots}
	if body, _, err := get(t, newGuard(t, o).Client(), server.URL); err != nil || body != "hello" {
		t.Errorf("a known certificate: %q, %v", body, err)
	}
	o.RootCAs = x509.NewCertPool()
	if _, _, err := get(t, newGuard(t, o).Client(), server.URL); err == nil {
		t.Error("an unknown certificate is accepted")
	}
}

// A proxy that was asked for makes the connections. Numeric addresses that are blocked do not
// get to it.
func TestProxy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String())
		hello(w, r)
	})
	g := newGuard(t, guard.Options{Proxy: mustParse(proxy.URL)})
	for _, address := range []string{"http://page.test/", "http://9.9.9.9/", "http://1password.test/"} {
		if body, _, err := get(t, g.Client(), address); err != nil || body != "hello" {
			t.Errorf("%s: %q, %v", address, body, err)
		}
	}
	for address, class := range map[string]guard.Class{
		"http://10.0.0.1/": guard.Private, "http://127.0.0.1./": guard.Loopback, "http://①②⑦.0.0.1/": guard.Loopback,
		"http://[::ffff:10.0.0.1]/": guard.Private, "https://192.168.0.1/": guard.Private, "http://[fe80::1%25eth0]/": guard.LinkLocal,
	} {
		_, _, err := get(t, g.Client(), address)
		wantClass(t, address, err, class)
	}
	for _, address := range []string{"http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/", "http://127.0.0.08/"} {
		_, _, err := get(t, g.Client(), address)
		if _, ok := errors.AsType[*guard.URLError](err); !ok {
			t.Errorf("%s: %v, want a URLError", address, err)
		}
	}
	if want := []string{"http://page.test/", "http://9.9.9.9/", "http://1password.test/"}; !slices.Equal(asked, want) {
		t.Errorf("the proxy was asked for %v", asked)
	}
}

// A person learns nothing about the operator's network from the text of a failure.
func TestConceal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(closed)
	n, _ := strconv.Atoi(port)
	d := newDNS(t, map[string][][]string{"inside.test": {{"10.0.0.1"}}, "closed.test": {{"127.0.0.1"}}})
	g := newGuard(t, guard.Options{Allowed: loopback, Ports: []uint16{uint16(n)}, Resolver: d.resolver()})
	texts := make(map[string]bool)
	for _, host := range []string{"10.0.0.1", "inside.test", "unknown.test", "closed.test", "127.0.0.2"} {
		for _, scheme := range []string{"http", "https"} {
			_, _, err := get(t, g.Client(), fmt.Sprintf("%s://%s:%d/secret", scheme, host, n))
			if err == nil {
				t.Errorf("%s is no failure", host)
				continue
			}
			texts[guard.Conceal(err).Error()] = true
		}
	}
	if len(texts) != 1 || !texts[guard.ErrUnreachable.Error()] {
		t.Errorf("the texts are %v, want one", texts)
	}
	for _, told := range []error{&guard.URLError{Reason: "a"}, &guard.RedirectError{Max: 5}, &guard.BodyError{Max: 5}} {
		wrapped := &url.Error{Op: "Get", URL: "http://secret.test/", Err: told}
		if got := guard.Conceal(wrapped); got != told {
			t.Errorf("%v becomes %v", told, got)
		}
	}
	if guard.Conceal(nil) != nil {
		t.Error("no error becomes one")
	}
}

// The reason for the log has no URL, which may be secret.
func TestReason(t *testing.T) {
	g := newGuard(t, guard.Options{})
	_, _, err := get(t, g.Client(), "http://10.0.0.1/secret?token=secret")
	if got := guard.Reason(fmt.Errorf("push: %w", err)).Error(); strings.Contains(got, "secret") || !strings.Contains(got, "10.0.0.1") {
		t.Errorf("the reason is %s", got)
	}
	if got := guard.Reason(context.Canceled); !errors.Is(got, context.Canceled) {
		t.Errorf("another error becomes %v", got)
	}
}

// A client that dials by itself can ask the guard.
func TestCheckInADialer(t *testing.T) {
	g := newGuard(t, guard.Options{})
	if err := g.Check(netip.MustParseAddr("127.0.0.1")); err == nil {
		t.Error("loopback is not blocked")
	}
}
