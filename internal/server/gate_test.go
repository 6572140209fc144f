package server_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/limit"
	"kaban/internal/logs/logstest"
	"kaban/internal/nodetest"
	peers "kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/tlstest"
)

// gated is a server behind a proxy on this machine, so that a test comes from any
// address. The test sets the clock of its limits and of its connections.
type gated struct {
	*fixture
	accounts *account.Service
	chat     *chat.Chat
	clock    atomic.Int64
	stop     func() // also runs at the end of the test
}

// gate starts one. The policy's proxies are those of this machine, unless it has some.
func gate(t *testing.T, limits limit.Config, policy peers.Policy, proxies ...string) *gated {
	t.Helper()
	return gateOver(t, teststore.New(t), limits, policy, proxies...)
}

func gateOver(t *testing.T, s store.Store, limits limit.Config, policy peers.Policy, proxies ...string) *gated {
	t.Helper()
	sameOverWebSocket(t) // a preamble comes over TCP
	nodetest.One(t, "it makes a server of its own")
	var err error
	if len(proxies) == 0 {
		proxies = []string{"127.0.0.1"}
	}
	if policy.Proxies, err = peers.ParseProxies(proxies); err != nil {
		t.Fatal(err)
	}
	rules, err := peers.Decide(peers.Listener{URL: "tcp://127.0.0.1:1", Loopback: true, TLS: *overTLS}, policy)
	if err != nil {
		t.Fatal(err)
	}
	g := new(gated)
	counted, err := limit.New(limits, func() time.Duration { return time.Duration(g.clock.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if g.chat, err = chat.New(t.Context(), d, chat.Options{}); err != nil {
		t.Fatal(err)
	}
	log := new(logstest.Buffer)
	m, err := conn.New(conn.Config{Submit: g.chat.Submit, Clock: func() time.Duration { return time.Duration(g.clock.Load()) }, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g.accounts = account.New(s, account.Options{
		Hashes: 1, OnRevoked: g.chat.Revoke, OnChanged: g.chat.AccountChanged, OnSettings: g.chat.SettingChanged, SignIns: counted.SignIns,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.fixture = &fixture{t: t, addr: l.Addr().String(), manager: m, log: log, served: make(chan error, 1)}
	g.server = server.New(server.Config{Accounts: g.accounts, Limits: counted}, g.chat, m)
	go func() { g.served <- serveUnder(g.server, l, rules) }()
	g.stop = sync.OnceFunc(func() {
		m.Close()
		if err := <-g.served; !errors.Is(err, conn.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		g.chat.Close()
		d.Close()
		if n := m.Panics(); n != 0 {
			t.Errorf("%d handlers panicked:\n%s", n, log)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// open has a server that visitors may use from everywhere, with accounts, whose tokens
// it returns.
func (g *gated) open(names ...string) map[string]string {
	g.t.Helper()
	ctx, operator := g.t.Context(), account.Operator()
	if _, err := g.accounts.MakeOwner(ctx, "olga", password); err != nil {
		g.t.Fatal(err)
	}
	if err := g.accounts.Set(ctx, operator, "access", "open"); err != nil {
		g.t.Fatal(err)
	}
	tokens := make(map[string]string)
	for _, name := range names {
		if _, _, err := g.accounts.AddAccount(ctx, operator, account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: kaban.RoleMember}); err != nil {
			g.t.Fatal(err)
		}
		tokens[name] = g.signIn(name)
	}
	return tokens
}

func (g *gated) signIn(name string) (token string) {
	g.t.Helper()
	session, err := g.accounts.SignInWithPassword(g.t.Context(), name, password, account.Device{Name: "test"})
	if err != nil {
		g.t.Fatal(err)
	}
	return session.Secret
}

// belowTLS serves a listener with TLS, and connects to it without TLS. Both
// end with the test.
func (g *gated) belowTLS(l net.Listener, rules peers.Rules) net.Conn {
	g.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- g.server.ServeTLS(l, rules, tlstest.Server()) }()
	g.t.Cleanup(func() { g.stop(); <-ended })
	below, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { below.Close() })
	below.SetDeadline(time.Now().Add(patience))
	return below
}

// from connects as a client with an address does through the proxy.
func (g *gated) from(address string) *peer {
	g.t.Helper()
	family := "TCP4"
	if netip.MustParseAddr(address).Is6() {
		family = "TCP6"
	}
	c, err := dialTo(g.addr, fmt.Sprintf("PROXY %s %s %[2]s 1000 6440\r\n", family, address))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return &peer{t: g.t, conn: c, decoder: json.NewDecoder(c)}
}

func (g *gated) visit(address, name string) *peer {
	g.t.Helper()
	p := g.from(address)
	p.say(`{"type":"hello","version":1,"username":%q}`, name)
	return p
}

func (g *gated) enter(address, token string) *peer {
	g.t.Helper()
	p := g.from(address)
	p.say(`{"type":"hello","version":1,"token":%q}`, token)
	return p
}

// limited reads that somebody should come back later.
func (p *peer) limited() {
	p.t.Helper()
	f := p.expect("error", "code", "rate_limited")
	after, _ := f["retry_after_ms"].(float64)
	if after <= 0 {
		p.t.Errorf("no time in %s", f)
	}
	if f := p.expectEnd("internal"); fmt.Sprint(f["reconnect_after_ms"]) < "1" {
		p.t.Errorf("no time in %s", f)
	}
}

// A preamble says where a connection comes from, in pieces or whole, and only from a
// proxy.
func TestPreamble(t *testing.T) {
	onlyPlain(t)
	const hello = `{"type":"hello","version":1,"username":"ann"}` + "\n"
	for name, c := range map[string]struct {
		proxies, sent, want string
	}{
		"from a proxy":        {"127.0.0.1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + hello, "welcome"},
		"none from a proxy":   {"127.0.0.1", hello, "welcome"},
		"malformed":           {"127.0.0.1", "PROXY TCP4 nonsense\r\n" + hello, "malformed"},
		"from somebody":       {"10.0.0.0/8", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + hello, "--proxy 127.0.0.1"},
		"binary, somebody's":  {"10.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + strings.Repeat("\x01", 12) + hello, "--proxy 127.0.0.1"},
		"none from somebody":  {"10.0.0.0/8", hello, "welcome"},
		"binary from a proxy": {"127.0.0.1", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + strings.Repeat("\x01", 12) + hello, "welcome"},
		"one letter of one":   {"127.0.0.1", "P\n", "bad_json"},
	} {
		for _, piece := range []int{1, 7, len(c.sent)} {
			t.Run(fmt.Sprint(name, " ", piece), func(t *testing.T) {
				g := gate(t, limit.Config{}, peers.Policy{}, c.proxies)
				g.open()
				p := g.dialTCP()
				in(p.conn, []byte(c.sent), piece) // an error: it is refused already
				f, err := p.next()
				if err != nil || !strings.Contains(f.String(), c.want) {
					t.Errorf("got %v %v, want %s", f, err, c.want)
				}
			})
		}
	}
}

// in writes bytes a piece at a time.
func in(c net.Conn, data []byte, piece int) error {
	for part := range slices.Chunk(data, piece) {
		if _, err := c.Write(part); err != nil {
			return err
		}
		time.Sleep(50 * time.Microsecond) // likely another read
	}
	return nil
}

// inPieces is a connection that writes so.
type inPieces struct {
	net.Conn
	piece int
}

func (c inPieces) Write(p []byte) (int, error) {
	if err := in(c.Conn, p, c.piece); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Behind a preamble comes TLS, in pieces or whole, also in one piece with the preamble.
func TestPreambleBeforeTLS(t *testing.T) {
	const preamble = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
	const binary = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02"
	for name, c := range map[string]struct{ sent, from string }{
		"text": {preamble, "192.0.2.1"}, "binary": {binary, "192.0.2.1"}, "none": {"", "127.0.0.1"},
	} {
		for _, piece := range []int{1, 7, 40, 1 << 20} {
			t.Run(fmt.Sprint(name, " ", piece), func(t *testing.T) {
				g := gate(t, limit.Config{}, peers.Policy{})
				proxies, err := peers.ParseProxies([]string{"127.0.0.1"})
				if err != nil {
					t.Fatal(err)
				}
				rules, err := peers.Decide(peers.Listener{URL: "tls://127.0.0.1:1", Loopback: true, TLS: true}, peers.Policy{Proxies: proxies})
				if err != nil {
					t.Fatal(err)
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				below := g.belowTLS(l, rules)
				config := tlstest.Client()
				config.CurvePreferences = []tls.CurveID{tls.X25519} // a short hello
				conn := tls.Client(&behind{inPieces{below, piece}, []byte(c.sent)}, config)
				p := &peer{t: t, conn: conn, decoder: json.NewDecoder(conn)}
				p.say(`{"type":"hello","version":1,"username":"ann"}`)
				p.expect("error", "code", "auth_required") // there is no owner
				p.expectEnd("auth")
				if from := "remote=" + c.from; !strings.Contains(g.log.String(), from) {
					t.Errorf("the log lacks %s: %s", from, g.log)
				}
			})
		}
	}
}

// behind puts something before what is written first.
type behind struct {
	inPieces
	before []byte
}

func (c *behind) Write(p []byte) (int, error) {
	before := c.before
	c.before = nil
	if _, err := c.inPieces.Write(append(before, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// dialTCP connects without a preamble.
func (g *gated) dialTCP() *peer {
	g.t.Helper()
	c, err := dialTo(g.addr, "")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return &peer{t: g.t, conn: c, decoder: json.NewDecoder(c)}
}

// A server without an owner serves nobody that may come from elsewhere.
func TestAServerWithoutAnOwnerIsLocked(t *testing.T) {
	for name, p := range map[string]func(g *gated) *peer{
		"through a proxy":       func(g *gated) *peer { return g.from("192.0.2.1") },
		"beside a proxy":        func(g *gated) *peer { return g.dialTCP() },
		"this machine, --proxy": func(g *gated) *peer { return g.from("127.0.0.1") },
	} {
		t.Run(name, func(t *testing.T) {
			g := gate(t, limit.Config{}, peers.Policy{})
			stranger := p(g)
			stranger.say(`{"type":"hello","version":1,"username":"ann"}`)
			if f := stranger.expect("error", "code", "auth_required"); !strings.Contains(f.String(), "no owner") {
				t.Errorf("got %s", f)
			}
			stranger.expectEnd("auth")
			g.open()
			again := p(g)
			again.say(`{"type":"hello","version":1,"username":"ann"}`)
			again.expect("welcome")
		})
	}
}

// Secrets need encryption: PROXY v2 can say so. With --insecure they need not, nor from a
// program on the machine of the proxy.
func TestSecretsThroughAProxy(t *testing.T) {
	onlyPlain(t)
	tls := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x14\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02\x20\x00\x05\x01\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		preamble string
		insecure bool
		want     string
	}{
		"in the clear": {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", false, "tls_required"},
		"encrypted":    {tls, false, "auth_failed"},
		"beside it":    {"", false, "auth_failed"},
		"--insecure":   {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", true, "auth_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gate(t, limit.Config{}, peers.Policy{Insecure: c.insecure})
			g.open()
			p := g.dialTCP()
			p.send(c.preamble)
			p.say(`{"type":"hello","version":1,"token":"kaban_wrong"}`)
			p.expect("error", "code", c.want)
		})
	}
}

// A plain listener beyond this machine with --proxy alone refuses all others, and says
// what to do.
func TestOnlyProxiesMayConnect(t *testing.T) {
	sameOverWebSocket(t)
	onlyPlain(t) // a listener with TLS refuses nobody before the handshake
	proxies, err := peers.ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := peers.Decide(peers.Listener{URL: "tcp://0.0.0.0:6440"}, peers.Policy{Proxies: proxies})
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveUnder(f.server, l, rules) }()
	c, err := dialTo(l.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := &peer{t: t, conn: c, decoder: json.NewDecoder(c)}
	if f := p.expect("error", "code", "forbidden"); !strings.Contains(f.String(), "--insecure") || !strings.Contains(f.String(), "--proxy 127.0.0.1") {
		t.Errorf("got %s", f)
	}
	p.expectEnd("auth")
	f.manager.Close()
	<-done
}

// Guesses at one address slow down a password that comes from there, but not where the
// account has signed in before with the same place, be it with a password or a token.
func TestPlaces(t *testing.T) {
	const address = "192.0.2.7"
	g := gate(t, limit.Config{}, peers.Policy{Insecure: true})
	tokens := g.open("ann")
	hello := func(secret, place string) *peer {
		p := g.from(address)
		if place != "" {
			secret += fmt.Sprintf(`,"place":"%s of this terminal"`, strings.Repeat(place, 32))
		}
		p.say(`{"type":"hello","version":1,%s}`, secret)
		return p
	}
	right := fmt.Sprintf(`"username":"ann","password":%q`, password)
	hello(right, "p").expect("welcome")
	hello(fmt.Sprintf(`"token":%q`, tokens["ann"]), "t").expect("welcome")
	for guesses := 0; ; guesses++ {
		if f := hello(`"username":"ann","password":"wrong horse battery"`, "").expect("error"); f["code"] == "rate_limited" {
			break
		} else if f["code"] != "auth_failed" || guesses > 20 {
			t.Fatalf("guess %d: %s", guesses, f)
		}
	}
	hello(right, "").limited()
	hello(right, "x").limited()
	hello(right, "p").expect("welcome")
	hello(right, "t").expect("welcome")
}
