package web_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/web"
)

// gated returns a server, and its address under the rules of a listener.
func gated(t *testing.T, limits limit.Config, l peer.Listener, p peer.Policy, proxies ...string) (*fixture, string) {
	t.Helper()
	var err error
	if p.Proxies, err = peer.ParseProxies(proxies); err != nil {
		t.Fatal(err)
	}
	rules, err := peer.Decide(l, p)
	if err != nil {
		t.Fatal(err)
	}
	counted, err := limit.New(limits, func() time.Duration { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, web.Config{Limits: counted}, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go f.web.Serve(listener, rules) // ends with the fixture
	return f, "http://" + listener.Addr().String()
}

// askAt makes a request with headers, name and value in turn.
func (f *fixture) askAt(method, url, body string, headers ...string) *answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	got, err := f.client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return &answer{status: got.StatusCode, header: got.Header, body: string(text)}
}

// TestWhoMayAsk is the table of listeners, flags, peers and headers.
func TestWhoMayAsk(t *testing.T) {
	loopback, open := peer.Listener{URL: "http://127.0.0.1:6480", Loopback: true}, peer.Listener{URL: "http://0.0.0.0:6480"}
	const here, there = "127.0.0.1", "10.0.0.0/8"
	for name, c := range map[string]struct {
		listener peer.Listener
		policy   peer.Policy
		proxies  []string
		path     string
		headers  []string
		claimed  bool
		status   int
		says     string
	}{
		"local":                               {listener: loopback, path: "/v1/rooms", status: 200},
		"local, with a header":                {listener: loopback, path: "/v1/rooms", headers: []string{"X-Forwarded-For", "192.0.2.1"}, status: 403, says: "--proxy 127.0.0.1"},
		"local, X-Real-Ip":                    {listener: loopback, path: "/v1/rooms", headers: []string{"x-real-ip", "192.0.2.1"}, status: 403, says: "--proxy 127.0.0.1"},
		"the page, with a header":             {listener: loopback, path: "/", headers: []string{"Forwarded", "for=192.0.2.1"}, status: 403, says: "--proxy 127.0.0.1"},
		"health, with a header":               {listener: loopback, path: "/healthz", headers: []string{"X-Forwarded-For", "192.0.2.1"}, status: 200},
		"a proxy here, unclaimed":             {listener: loopback, proxies: []string{here}, path: "/v1/rooms", headers: []string{"X-Forwarded-For", "192.0.2.1"}, status: 401, says: "no owner"},
		"a proxy here, unclaimed, no header":  {listener: loopback, proxies: []string{here}, path: "/v1/rooms", status: 401, says: "no owner"},
		"a proxy here, claimed":               {listener: loopback, proxies: []string{here}, path: "/v1/rooms", headers: []string{"X-Forwarded-For", "192.0.2.1"}, claimed: true, status: 200},
		"a proxy here that contradicts":       {listener: loopback, proxies: []string{here}, path: "/v1/rooms", headers: []string{"X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.2"}, claimed: true, status: 400, says: "different clients"},
		"an origin, unclaimed":                {listener: loopback, policy: peer.Policy{Origin: true}, path: "/v1/rooms", status: 401, says: "no owner"},
		"an origin, unclaimed, a hook":        {listener: loopback, policy: peer.Policy{Origin: true}, path: "/hooks/x", status: 401, says: "no owner"},
		"an origin, unclaimed, a socket":      {listener: loopback, policy: peer.Policy{Origin: true}, path: "/v1/socket", status: 401, says: "no owner"},
		"an origin, unclaimed, OpenAPI":       {listener: loopback, policy: peer.Policy{Origin: true}, path: "/openapi.json", status: 401, says: "no owner"},
		"an origin, unclaimed, the claim":     {listener: loopback, policy: peer.Policy{Origin: true}, path: "/v1/claim/look", status: 404},
		"an origin, unclaimed, health":        {listener: loopback, policy: peer.Policy{Origin: true}, path: "/readyz", status: 200},
		"an origin, unclaimed, the page":      {listener: loopback, policy: peer.Policy{Origin: true}, path: "/claim", status: 404},
		"proxies only, another peer":          {listener: open, proxies: []string{there}, path: "/v1/rooms", claimed: true, status: 403, says: "--insecure"},
		"proxies only, another peer's health": {listener: open, proxies: []string{there}, path: "/healthz", status: 200},
		"insecure, unclaimed":                 {listener: open, policy: peer.Policy{Insecure: true}, path: "/v1/rooms", status: 401, says: "no owner"},
		"insecure, claimed":                   {listener: open, policy: peer.Policy{Insecure: true}, path: "/v1/rooms", claimed: true, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			f, url := gated(t, limit.Config{}, c.listener, c.policy, c.proxies...)
			if c.claimed {
				claim(t, f)
			}
			got := f.askAt("GET", url+c.path, "", c.headers...)
			if c.status == 404 && got.status == 405 { // it is there
				got.status = 404
			}
			if got.status != c.status || !strings.Contains(got.body, c.says) {
				t.Errorf("got %s, want %d %s", got, c.status, c.says)
			}
		})
	}
}

// claim gives a server an owner, and lets visitors in.
func claim(t *testing.T, f *fixture) {
	t.Helper()
	if _, err := f.accounts.MakeOwner(t.Context(), "olga", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	if err := f.accounts.Set(t.Context(), account.Operator(), "access", "open"); err != nil {
		t.Fatal(err)
	}
}

// What is beyond a limit gets 429 with the time to wait, and nobody else does.
func TestRequestsAreLimited(t *testing.T) {
	limits := limit.Config{
		AccountRequestsPerSecond: 1, AccountRequestsBurst: 3,
		AccountMessagesPerSecond: 1, AccountMessagesBurst: 1,
		CredentialMessagesPerSecond: 1, CredentialMessagesBurst: 2,
	}
	f, url := gated(t, limits, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
	claim(t, f)
	token := func(name string) string {
		_, _, err := f.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: "correct horse battery"}, Role: kaban.RoleMember})
		if err != nil {
			t.Fatal(err)
		}
		session, err := f.accounts.SignInWithPassword(t.Context(), name, "correct horse battery", account.Device{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return session.Secret
	}
	checkLimited := func(what string, got *answer) {
		t.Helper()
		if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != 429 || err != nil || seconds < 1 || !strings.Contains(got.body, "rate_limited") {
			t.Errorf("%s: got %s with %v, want 429", what, got, got.header)
		}
	}
	get := func(from, bearer string) *answer {
		headers := []string{"X-Forwarded-For", from}
		if bearer != "" {
			headers = append(headers, "Authorization", "Bearer "+bearer)
		}
		return f.askAt("GET", url+"/v1/rooms", "", headers...)
	}
	ann, bob := token("ann"), token("bob")
	for range 3 {
		if got := get("192.0.2.1", ann); got.status != 200 {
			t.Fatalf("got %s", got)
		}
	}
	checkLimited("an account", get("192.0.2.2", ann))
	for i := range 3 {
		if got := get("192.0.2.1", ""); got.status != 200 {
			t.Fatalf("visitor %d: got %s", i, got)
		}
	}
	checkLimited("a visitor", get("192.0.2.1", ""))
	for _, other := range []*answer{get("192.0.2.1", bob), get("192.0.2.9", ""), f.askAt("GET", f.url+"/v1/rooms", "", "Authorization", "Bearer "+ann)} {
		if other.status != 200 {
			t.Errorf("somebody else: got %s", other)
		}
	}
	post := func(n int) *answer {
		return f.askAt("POST", url+"/v1/rooms/lobby/messages", fmt.Sprintf(`{"id":"m%d","content":"x"}`, n),
			"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer "+bob, "Content-Type", "application/json")
	}
	if got := post(1); got.status >= 429 {
		t.Errorf("got %s", got)
	}
	checkLimited("a message", post(2))
}

// What stores something for a stranger counts by address, or one of them could have the
// server write all day. Accounts count for themselves, and this machine for nothing.
func TestStrangersStoreLittle(t *testing.T) {
	limits := limit.Config{AccountRequestsPerSecond: 1, AccountRequestsBurst: 3}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/passkeys/sign-in/begin", ""},
		{"POST", "/v1/passkeys/new/begin", `{"username":"ann"}`},
		{"GET", "/v1/oidc/start", ""},
		{"OPTIONS", "/v1/files", ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			f, url := gated(t, limits, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
			claim(t, f)
			owner, err := f.accounts.SignInWithPassword(t.Context(), "olga", "correct horse battery", account.Device{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			ask := func(url string, more ...string) int {
				headers := append([]string{"Origin", url, "Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}, more...)
				return f.askAt(c.method, url+c.path, c.body, headers...).status
			}
			for i := range 3 {
				if got := ask(url, "X-Forwarded-For", "192.0.2.1"); got == http.StatusTooManyRequests || got == http.StatusForbidden {
					t.Fatalf("request %d: got %d", i, got)
				}
			}
			for _, bearer := range []string{"", "kaban_token_of_nobody"} {
				headers := []string{"X-Forwarded-For", "192.0.2.1"}
				if bearer != "" {
					headers = append(headers, "Authorization", "Bearer "+bearer)
				}
				if got := ask(url, headers...); got != http.StatusTooManyRequests {
					t.Errorf("a request too many with %q: got %d, want 429", bearer, got)
				}
			}
			for who, got := range map[string]int{
				"another address": ask(url, "X-Forwarded-For", "192.0.2.2"),
				"an account":      ask(url, "X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer "+owner.Secret),
				"this machine":    ask(f.url),
			} {
				if got == http.StatusTooManyRequests {
					t.Errorf("%s is limited as well", who)
				}
			}
		})
	}
}

// A hook sends so many messages of its own; whoever uses it waits beyond that, with
// 429. Other hooks, and this machine, go on.
func TestHooksAreLimited(t *testing.T) {
	f, url := gated(t, limit.Config{CredentialMessagesPerSecond: 1, CredentialMessagesBurst: 2}, peer.Listener{Loopback: true}, peer.Policy{}, "127.0.0.1")
	claim(t, f)
	key := func(id string) string {
		key := "key" + id
		h := people.Hook{Hash: chat.HashHookKey(key), ID: id, Room: "builds", Username: "webhook"}
		if err := f.dispatcher.Update(t.Context(), func(tx store.Tx) error { return people.Hooks.Put(tx, &h) }); err != nil {
			t.Fatal(err)
		}
		return key
	}
	one, other := key("0123456789ab"), key("ba9876543210")
	post := func(at, key, from string) *answer {
		headers := []string{"Content-Type", "application/json"}
		if from != "" {
			headers = append(headers, "X-Forwarded-For", from)
		}
		return f.askAt("POST", at+"/hooks/"+key, `{"text":"x"}`, headers...)
	}
	post(url, one, "192.0.2.1").has(t, 200)
	post(url, one, "192.0.2.2").has(t, 200)
	limited := post(url, one, "192.0.2.3").has(t, 429)
	if seconds, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || seconds < 1 || !strings.Contains(limited.body, "rate_limited") {
		t.Errorf("got %s with %v", limited, limited.header)
	}
	post(url, other, "192.0.2.1").has(t, 200)
	post(f.url, one, "").has(t, 200)
}

// A stream of events is a connection among those that an address or an account may
// have, until it ends.
func TestStreamsTakePlaces(t *testing.T) {
	f, url := gated(t, limit.Config{AddressConnections: 1, AccountConnections: 2}, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
	claim(t, f)
	_, _, err := f.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: "ann", Password: "correct horse battery"}, Role: kaban.RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	session, err := f.accounts.SignInWithPassword(t.Context(), "ann", "correct horse battery", account.Device{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f.askAt("POST", f.url+"/v1/rooms/lobby/messages", `{"username":"vic","content":"x"}`, "Content-Type", "application/json")
	stream := func(from, bearer string) (status int, end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/rooms/lobby/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", from)
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		got, err := f.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return got.StatusCode, func() { cancel(); got.Body.Close() }
	}
	for _, c := range []struct {
		who, from, bearer string
		most              int
	}{{"a visitor", "192.0.2.1", "", 1}, {"another address", "192.0.2.2", "", 1}, {"an account", "192.0.2.1", session.Secret, 2}} {
		var ends []func()
		for i := range c.most {
			status, end := stream(c.from, c.bearer)
			if ends = append(ends, end); status != 200 {
				t.Errorf("%s: stream %d got %d", c.who, i, status)
			}
		}
		status, end := stream(c.from, c.bearer)
		end()
		if status != 429 {
			t.Errorf("%s: a stream too many got %d, want 429", c.who, status)
		}
		ends[0]()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			status, end := stream(c.from, c.bearer)
			if ends = append(ends, end); status == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the place of a stream that ended is never free", c.who)
			}
		}
		defer func() {
			for _, end := range ends {
				end()
			}
		}()
	}
}

// Strangers of one address make few accounts; others, and those with an invite, are not
// in their way.
func TestSignUpsAreLimited(t *testing.T) {
	f, url := gated(t, limit.Config{AddressSignUpsPerHour: 2}, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
	claim(t, f)
	if err := f.accounts.Set(t.Context(), account.Operator(), "access", "signup"); err != nil {
		t.Fatal(err)
	}
	up := func(from, username string) *answer {
		return f.askAt("POST", url+"/v1/accounts", `{"username":"`+username+`","password":"purple monkey dishwasher"}`,
			"X-Forwarded-For", from, "Content-Type", "application/json", "Origin", url)
	}
	for i, want := range []int{201, 201, 429, 429} {
		if got := up("192.0.2.1", fmt.Sprint("mia", i)); got.status != want {
			t.Errorf("sign-up %d: %v, want %d", i, got, want)
		}
	}
	if got := up("198.51.100.1", "ben"); got.status != 201 {
		t.Errorf("another address: %v", got)
	}
}
