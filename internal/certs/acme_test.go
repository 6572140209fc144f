package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"kaban/internal/tlstest"
)

// asked is a source by ACME whose server is a function.
type asked struct {
	*Source
	t         *testing.T
	authority *tlstest.Authority
	log       logbook
	cache     string
	managed   *managed
	life      time.Duration

	mu      sync.Mutex
	times   []time.Time // of attempts
	refusal error       // nil: there are certificates
}

func newAsked(t *testing.T, hosts ...string) *asked {
	t.Helper()
	a := &asked{t: t, authority: tlstest.NewAuthority(t), cache: t.TempDir(), life: 90 * 24 * time.Hour}
	a.open(hosts...)
	t.Cleanup(func() { a.Close() })
	return a
}

func (a *asked) open(hosts ...string) {
	a.t.Helper()
	var err error
	a.Source, err = Open(Settings{ACME: &ACME{Hosts: hosts, Cache: a.cache}}, a.log.options())
	if err != nil {
		a.t.Fatal(err)
	}
	a.managed = a.provider.(*managed)
	a.managed.ask = a.answer
}

// answer takes the place of the ACME server.
func (a *asked) answer(_ context.Context, h *host) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Now())
	if a.refusal != nil {
		return nil, a.refusal
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return a.managed.pairOf(h.name, key, [][]byte{a.authority.Sign(key.Public(), a.life, h.name)})
}

// attempts returns when the attempts were.
func (a *asked) attempts() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.times)
}

func (a *asked) refuse(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = err
}

// since returns when the attempts were, in minutes after a time.
func (a *asked) since(begin time.Time) (minutes []float64) {
	for _, at := range a.attempts() {
		minutes = append(minutes, at.Sub(begin).Minutes())
	}
	return minutes
}

// A certificate is renewed when a third of its life is left, at most 30 days. The
// server keeps asking for a year without being told anything.
func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	for life, want := range map[time.Duration]time.Duration{90 * day: 60 * day, 6 * day: 4 * day, 398 * day: 368 * day, time.Hour: 40 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsked(t, "chat.example.org")
			a.life = life
			begin := time.Now()
			a.Start()
			time.Sleep(want - 2*time.Minute)
			if len(a.attempts()) != 1 || !a.attempts()[0].Equal(begin) {
				t.Fatalf("life %s: attempts after %v minutes", life, a.since(begin))
			}
			if !a.NotAfter().Equal(begin.Add(life)) {
				t.Errorf("it ends at %s", a.NotAfter())
			}
			time.Sleep(maxSpread + 4*time.Minute) // the jitter is a tenth of a third at most
			if len(a.attempts()) < 2 {
				t.Fatalf("life %s: attempts after %v minutes", life, a.since(begin))
			}
			if got := a.attempts()[1].Sub(begin); got < want-2*time.Minute || got > want+min(life/30, maxSpread)+time.Minute {
				t.Errorf("life %s: renewed after %s, want %s", life, got, want)
			}
		})
	}
}

// Refusals are repeated less and less often, for as long as it takes, and within what
// Let's Encrypt permits. The certificate in use stays and is replaced at last.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(t, "chat.example.org")
		a.Start()
		synctest.Wait()
		old, err := a.Config().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		a.refuse(errors.New("the server is away for lunch"))
		time.Sleep(60*24*time.Hour + maxSpread)
		begin := a.attempts()[1]
		time.Sleep(48*time.Hour - time.Since(begin))
		var pauses []time.Duration
		times := a.attempts()[1:]
		for i := 1; i < len(times); i++ {
			pauses = append(pauses, times[i].Sub(times[i-1]))
		}
		least := []time.Duration{5, 10, 20, 40, 80, 160, 320, 360, 360, 360} // minutes
		if len(pauses) < len(least) {
			t.Fatalf("attempts after %v minutes", a.since(begin))
		}
		for i, pause := range pauses {
			want := least[min(i, len(least)-1)] * time.Minute
			if pause < want || pause > want+want/10 {
				t.Errorf("the pause before attempt %d is %s, want %s and a tenth", i+2, pause, want)
			}
		}
		if n := len(times); n > 14 {
			t.Errorf("%d attempts in two days", n)
		}
		if now, err := a.Config().GetCertificate(&tls.ClientHelloInfo{}); err != nil || now != old {
			t.Errorf("another certificate is in use: %v", err)
		}
		if got := a.Stats(); got.Refused != uint64(len(times)) || a.log.count("the old one stays in use") != len(times) || a.log.count("away for lunch") != len(times) {
			t.Errorf("%+v for %d attempts\n%s", got, len(times), &a.log)
		}

		a.refuse(nil)
		time.Sleep(lastRetry + lastRetry/10)
		if now, err := a.Config().GetCertificate(&tls.ClientHelloInfo{}); err != nil || now == old {
			t.Errorf("the old certificate is in use: %v", err)
		}
		attempts := len(a.attempts())
		a.refuse(errors.New("again"))
		time.Sleep(60*24*time.Hour + maxSpread)
		if all := a.attempts(); all[attempts+1].Sub(all[attempts]) > firstRetry+firstRetry/10 {
			t.Error("after a success, the back-off does not begin anew")
		}
	})
}

// The state of a host has what the log has: the last refusal, and when the next attempt is.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(t, "one.example.org", "two.example.org")
		answer, slow := a.managed.ask, atomic.Bool{}
		a.managed.ask = func(ctx context.Context, h *host) (*tls.Certificate, error) {
			if slow.Load() {
				time.Sleep(time.Second)
			}
			return answer(ctx, h)
		}
		is := func(when string, want State) {
			t.Helper()
			synctest.Wait()
			got := a.States()
			got[0].NotAfter, want.NotAfter = got[0].NotAfter.UTC(), want.NotAfter.UTC() // == looks at the zone, too
			if len(got) != 2 || got[0] != want || got[1].Host != "two.example.org" {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		is("before the start", State{Host: "one.example.org"})
		refusal := errors.New("the DNS has no such name")
		a.refuse(refusal)
		a.Start()
		synctest.Wait()
		next := a.States()[0].Next
		is("refused", State{Host: "one.example.org", Next: next, Failures: 1, Err: refusal})
		time.Sleep(time.Until(next) - 1)
		is("before the next attempt", State{Host: "one.example.org", Next: next, Failures: 1, Err: refusal})
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		next = a.States()[0].Next
		is("refused again", State{Host: "one.example.org", Next: next, Failures: 2, Err: refusal})
		a.refuse(nil)
		time.Sleep(time.Until(next))
		end := time.Now().Add(a.life).Truncate(time.Second)
		synctest.Wait()
		next = a.States()[0].Next
		is("there", State{Host: "one.example.org", NotAfter: end, Next: next})
		if left := end.Sub(next); left < maxRenewBefore-maxSpread || left > maxRenewBefore {
			t.Errorf("it is renewed %v before its end", left)
		}
		slow.Store(true)
		time.Sleep(time.Until(next))
		is("under way", State{Host: "one.example.org", NotAfter: end, Asking: true})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := a.States()[0]; got.Asking || !got.NotAfter.After(end) || got.Err != nil {
			t.Errorf("after the renewal: %+v", got)
		}
		if err := os.RemoveAll(a.cache); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(a.cache, nil, 0o600); err != nil { // no directory
			t.Fatal(err)
		}
		time.Sleep(a.life)
		synctest.Wait()
		if got := a.States()[0]; got.Failures != 0 || got.Err == nil || !strings.Contains(got.Err.Error(), "cannot be stored") || got.NotAfter.Before(time.Now()) {
			t.Errorf("a certificate that cannot be stored: %+v", got)
		}
	})
}

// With a clock that differs from the ACME server's, certificates are due for renewal
// when they come, or not good yet. The server is not asked again and again for it.
func TestClockOff(t *testing.T) {
	const day = 24 * time.Hour
	least := []time.Duration{5, 10, 20, 40, 80, 160, 320, 360, 360} // minutes
	for name, test := range map[string]struct {
		ahead, life time.Duration
		least       []time.Duration // between attempts, in minutes
		log         string
	}{
		"ahead, but not past the end": {80 * day, 90 * day, least, "due for renewal already"},
		"ahead, nearly at the end":    {90*day - time.Minute, 90 * day, []time.Duration{5, 5, 5, 5}, "due for renewal already"},
		"ahead, past the end":         {365 * day, 90 * day, least, "check its clock"},
		"behind":                      {-365 * day, 90 * day, least, "check its clock"},
		"ahead by less than renewal":  {50 * day, 90 * day, nil, ""},
		"begins before it is made":    {time.Hour, 70 * time.Minute, []time.Duration{5, 5, 5, 5}, "due for renewal already"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsked(t, "chat.example.org")
			a.life = test.life
			a.authority.Now = func() time.Time { return time.Now().Add(-test.ahead) }
			a.Start()
			passing := time.Minute
			for _, pause := range test.least {
				passing += pause * time.Minute * 11 / 10
			}
			time.Sleep(max(passing, 20*time.Minute+time.Second))
			times := a.attempts()
			if len(times) < len(test.least)+1 || test.least == nil && len(times) != 1 {
				t.Fatalf("%s: attempts after %v minutes", name, a.since(times[0]))
			}
			for i, want := range test.least {
				pause, want := times[i+1].Sub(times[i]), want*time.Minute
				if pause < want || pause > want+want/10 {
					t.Errorf("%s: the pause after attempt %d is %s, want %s and a tenth", name, i+1, pause, want)
				}
			}
			if test.log != "" && a.log.count(test.log) != len(times) {
				t.Errorf("%s: %d attempts\n%s", name, len(times), &a.log)
			}
			if test.log == "" && a.log.count("level=INFO") != strings.Count(a.log.String(), "\n") {
				t.Errorf("%s:\n%s", name, &a.log)
			}

			a.mu.Lock()
			a.authority.Now, a.life = time.Now, 90*day // the clock is set
			a.mu.Unlock()
			attempts := len(times)
			time.Sleep(lastRetry + lastRetry/10)
			if test.least != nil && len(a.attempts()) != attempts+1 || a.NotAfter().Before(time.Now()) && test.log != "" {
				t.Errorf("%s: with the right clock, attempts after %v minutes, the certificate ends at %s", name, a.since(times[0]), a.NotAfter())
			}
		})
	}
}

// Reload makes an attempt at once, but does not ask for what is not due.
func TestReloadAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(t, "chat.example.org")
		a.refuse(errors.New("no"))
		a.Start()
		time.Sleep(time.Minute)
		for range 3 {
			if err := a.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(a.attempts()) < 2 || len(a.attempts()) > 3 { // one is under way, one is waiting
			t.Fatalf("%d attempts", len(a.attempts()))
		}
		a.refuse(nil)
		if err := a.Reload(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		attempts := len(a.attempts())
		for range 3 {
			if err := a.Reload(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := a.Stats(); got.Loaded != 1 || len(a.attempts()) != attempts {
			t.Errorf("%+v after %d attempts", got, len(a.attempts()))
		}
	})
}

// Each host has its own certificate, and its own refusals.
func TestHostsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(t, "one.example.org", "two.example.org")
		answer := a.managed.ask
		turns := make(chan struct{}, 1) // answer is for one at a time
		a.managed.ask = func(ctx context.Context, h *host) (*tls.Certificate, error) {
			if h.name == "one.example.org" {
				<-ctx.Done() // hangs
				return nil, ctx.Err()
			}
			turns <- struct{}{}
			defer func() { <-turns }()
			return answer(ctx, h)
		}
		a.Start()
		time.Sleep(time.Second)
		if _, err := a.Config().GetCertificate(&tls.ClientHelloInfo{ServerName: "two.example.org"}); err != nil {
			t.Error(err)
		}
		if _, err := a.Config().GetCertificate(&tls.ClientHelloInfo{ServerName: "one.example.org"}); !errors.Is(err, ErrNone) {
			t.Errorf("the host without a certificate has %v", err)
		}
		time.Sleep(attemptTimeout)
		if a.log.count("attempts=1") != 1 || a.log.count("host=one.example.org") != 1 {
			t.Errorf("an attempt that hangs is not reported\n%s", &a.log)
		}
		a.Close() // while the next attempt waits
	})
}

// Close ends an attempt that is under way, without a line in the log.
func TestCloseDuringAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(t, "chat.example.org")
		a.managed.ask = func(ctx context.Context, _ *host) (*tls.Certificate, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a.Start()
		synctest.Wait()
		if err := a.Close(); err != nil || a.Stats().Refused != 0 {
			t.Errorf("%v, %+v\n%s", err, a.Stats(), &a.log)
		}
		a.Start() // does nothing any more
	})
}

func TestRetryPause(t *testing.T) {
	limited := func(after string) error {
		return errors.Join(errors.New("x"), &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {after}}})
	}
	for _, test := range []struct {
		failures int
		err      error
		least    time.Duration
	}{
		{1, errors.New("x"), firstRetry},
		{2, errors.New("x"), 2 * firstRetry},
		{7, errors.New("x"), 320 * time.Minute},
		{8, errors.New("x"), lastRetry},
		{40, errors.New("x"), lastRetry},
		{70, errors.New("x"), lastRetry},
		{1 << 40, errors.New("x"), lastRetry},
		{1, limited("1"), firstRetry},
		{1, limited("86400"), 24 * time.Hour},
		{1, limited("-5"), firstRetry},
		{1, limited("nonsense"), firstRetry},
		{1, limited("999999999"), maxRetryAfter},
	} {
		for range 50 {
			if got := retryPause(test.failures, test.err); got < test.least || got > test.least+test.least/10 {
				t.Fatalf("%d failures, %v: %s, want %s", test.failures, test.err, got, test.least)
			}
		}
	}
}

func TestHandshakeNames(t *testing.T) {
	m := &managed{hosts: []*host{{name: "chat.example.org"}, {name: "xn--bcher-kva.example"}}}
	for name, want := range map[string]string{
		"": "chat.example.org", "chat.example.org": "chat.example.org", "CHAT.Example.org.": "chat.example.org", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"example.org": "", "a.chat.example.org": "", "chat.example.org.evil": "", "127.0.0.1": "", ".": "chat.example.org",
	} {
		got := ""
		if h := m.find(&tls.ClientHelloInfo{ServerName: name}); h != nil {
			got = h.name
		}
		if got != want {
			t.Errorf("%q gets the certificate of %q, want %q", name, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	good := ACME{Hosts: []string{"Chat.Example.org.", "bücher.example"}, Cache: "x"}
	checked, err := good.check()
	if err != nil || strings.Join(checked.Hosts, " ") != "chat.example.org xn--bcher-kva.example" || checked.Directory != LetsEncrypt ||
		checked.Cache != filepath.Join("x", "acme-v02.api.letsencrypt.org-directory") {
		t.Errorf("%+v, %v", checked, err)
	}
	with := func(change func(*ACME)) Settings {
		a := good
		change(&a)
		return Settings{ACME: &a}
	}
	for want, s := range map[string]Settings{
		"there is no certificate":      {},
		"without its certificate":      {Key: "x"},
		"without its key":              {Cert: "x"},
		"but not both":                 {Cert: "x", Key: "x", ACME: &good},
		"name the hosts":               with(func(a *ACME) { a.Hosts = nil }),
		"the limit is 100":             with(func(a *ACME) { a.Hosts = make([]string, maxHosts+1) }),
		"no email address":             with(func(a *ACME) { a.Email = "admin" }),
		"start with a data directory":  with(func(a *ACME) { a.Cache = "" }),
		"name each host":               with(func(a *ACME) { a.Hosts = []string{"*.example.org"} }),
		`"localhost" is no public`:     with(func(a *ACME) { a.Hosts = []string{"localhost"} }),
		`"192.0.2.1" is no public`:     with(func(a *ACME) { a.Hosts = []string{"192.0.2.1"} }),
		`"2001:db8::1" is no public`:   with(func(a *ACME) { a.Hosts = []string{"2001:db8::1"} }),
		`"" is no public`:              with(func(a *ACME) { a.Hosts = []string{""} }),
		`"a b.example" is no public`:   with(func(a *ACME) { a.Hosts = []string{"a b.example"} }),
		`"../x.example" is no public`:  with(func(a *ACME) { a.Hosts = []string{"../x.example"} }),
		"is there twice":               with(func(a *ACME) { a.Hosts = []string{"a.example", "A.example."} }),
		"must begin with https://":     with(func(a *ACME) { a.Directory = "http://ca.example/dir" }),
		`directory "ca.example" is no`: with(func(a *ACME) { a.Directory = "ca.example" }),
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
		if _, err := Open(s, Options{}); err == nil {
			t.Errorf("%+v opens", s)
		}
	}
}

// The next start has the certificate, unless what is stored is not good any more. Then
// it asks for a new one.
func TestStoredCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const name = "chat.example.org"
		a := newAsked(t, name)
		a.Start()
		synctest.Wait()
		a.Close()
		file := filepath.Join(a.managed.settings.Cache, name)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a.open(name)
		if a.Stats().Loaded != 1 {
			t.Fatalf("the stored certificate is not used\n%s", &a.log)
		}
		a.open("other.example.org")
		if a.Stats().Loaded != 0 {
			t.Fatal("another host has its certificate")
		}
		for _, damaged := range [][]byte{nil, whole[:len(whole)/3], []byte("x")} {
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			a.open(name)
			if a.Stats().Loaded != 0 {
				t.Errorf("damaged: %+v", a.Stats())
			}
			a.Start()
			synctest.Wait()
			if a.Stats().Loaded != 1 {
				t.Errorf("damaged: %+v\n%s", a.Stats(), &a.log)
			}
			a.Close()
		}
		if a.log.count("cannot be read") != 3 {
			t.Errorf("the log is\n%s", &a.log)
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(91 * 24 * time.Hour)
		a.open(name)
		if a.Stats().Loaded != 0 {
			t.Error("a certificate that has ended is used")
		}
	})
}

// The certificate of an ACME server must be for what was asked for.
func TestPairOf(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	m := &managed{options: Options{}.withDefaults()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(public crypto.PublicKey, life time.Duration, name string) [][]byte {
		return [][]byte{authority.Sign(public, life, name)}
	}
	if _, err := m.pairOf("a.example", key, sign(key.Public(), time.Hour, "a.example")); err != nil {
		t.Error(err)
	}
	for want, chain := range map[string][][]byte{
		"empty":         nil,
		"another key":   sign(other.Public(), time.Hour, "a.example"),
		"good from":     sign(key.Public(), -time.Hour, "a.example"),
		"b.example":     sign(key.Public(), time.Hour, "b.example"),
		"malformed":     {[]byte("x")},
		"read the cert": {nil},
	} {
		if _, err := m.pairOf("a.example", key, chain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// The key of the account stays. One that is damaged is replaced.
func TestAccountKey(t *testing.T) {
	a := newAsked(t, "chat.example.org")
	key := func() crypto.Signer {
		t.Helper()
		k, err := a.managed.accountKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key()
	if !first.Public().(*ecdsa.PublicKey).Equal(key().Public()) {
		t.Error("the key changes")
	}
	if err := os.WriteFile(filepath.Join(a.managed.settings.Cache, accountName), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if first.Public().(*ecdsa.PublicKey).Equal(key().Public()) || a.log.count("cannot be read") != 1 {
		t.Errorf("a damaged key: the log is\n%s", &a.log)
	}
	a.managed.cache = autocert.DirCache(filepath.Join(a.managed.settings.Cache, accountName, "no", "directory"))
	if _, err := a.managed.accountKey(t.Context()); err == nil {
		t.Error("a key that cannot be stored is used")
	}
}

// Challenges over HTTP are answered while they are under way, and nothing else is.
func TestChallengesOverHTTP(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var c challenges
	client := &acme.Client{Key: key}
	handler := c.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	get := func(path string) (status int, body string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	undo, err := c.meet(client, &acme.Challenge{Type: overHTTP, Token: "token"}, "chat.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(challengePath + "token"); status != http.StatusOK || !strings.HasPrefix(body, "token.") {
		t.Errorf("%d %s", status, body)
	}
	for path, want := range map[string]int{challengePath + "other": 404, challengePath: 404, "/": http.StatusTeapot, "/x" + challengePath + "token": http.StatusTeapot} {
		if status, _ := get(path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	undo()
	if status, _ := get(challengePath + "token"); status != http.StatusNotFound {
		t.Errorf("a challenge that is over: %d", status)
	}
}

// Only a handshake that asks for a challenge gets its certificate, only under way.
func TestChallengesOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var c challenges
	undo, err := c.meet(&acme.Client{Key: key}, &acme.Challenge{Type: overTLS, Token: "token"}, "chat.example.org")
	if err != nil {
		t.Fatal(err)
	}
	hello := func(name string, protocols ...string) *tls.ClientHelloInfo {
		return &tls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols}
	}
	config, err := c.config(hello("Chat.example.org", acme.ALPNProto))
	if err != nil || len(config.Certificates) != 1 {
		t.Fatalf("%+v, %v", config, err)
	}
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil || leaf.VerifyHostname("chat.example.org") != nil {
		t.Errorf("%v, %v", leaf.DNSNames, err)
	}
	for _, other := range []*tls.ClientHelloInfo{hello("chat.example.org"), hello("chat.example.org", "h2"), hello("chat.example.org", "h2", acme.ALPNProto)} {
		if config, err := c.config(other); config != nil || err != nil {
			t.Errorf("%v gets a challenge: %v", other.SupportedProtos, err)
		}
	}
	if _, err := c.config(hello("other.example.org", acme.ALPNProto)); err == nil {
		t.Error("another host gets a challenge")
	}
	undo()
	if _, err := c.config(hello("chat.example.org", acme.ALPNProto)); err == nil {
		t.Error("a challenge that is over is answered")
	}
}
