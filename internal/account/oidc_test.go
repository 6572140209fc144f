package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
)

func TestSingleSignOn(t *testing.T) {
	s := newSignOn(t)
	s.set(SettingAccess, "closed")
	if s.fake.count("/.well-known/openid-configuration") != 0 {
		t.Error("the provider was asked before anybody signed in")
	}
	first, err := s.enter()
	if err != nil {
		t.Fatal(err)
	}
	p := first.Session.Principal
	if p.Account.Username != "jane" || p.Account.Name != "Jane Doe" || p.Role != kaban.RoleMember || first.Next != "/room" || first.Linked {
		t.Errorf("signed in: %+v", first)
	}
	if want := s.options.Now().Add(7 * 24 * time.Hour).UnixMilli(); p.Expires != want {
		t.Errorf("the device expires at %d, want %d", p.Expires, want)
	}
	if got, err := s.Authenticate(s.ctx, first.Session.Secret, ""); err != nil || got.Account.ID != p.Account.ID {
		t.Errorf("the new device: %v", err)
	}
	again, err := s.enter()
	if err != nil || again.Session.Principal.Account.ID != p.Account.ID {
		t.Errorf("the second sign-in: %+v, %v", again, err)
	}
	if n := s.fake.count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("the provider was discovered %d times", n)
	}
	other := s.entered("other", nil)
	if other.Session.Principal.Account.ID == p.Account.ID {
		t.Error("two subjects share an account")
	}
}

// TestSingleSignOnRefusals signs in with one thing wrong each time.
func TestSingleSignOnRefusals(t *testing.T) {
	claim := func(name string, value any) func(*signOn, *ProviderAnswer) {
		return func(s *signOn, _ *ProviderAnswer) { s.fake.claims[name] = value }
	}
	for _, c := range []struct {
		name string
		want error // nil if it works
		do   func(s *signOn, answer *ProviderAnswer)
	}{
		{"nothing", nil, func(*signOn, *ProviderAnswer) {}},
		{"wrong nonce", ErrAuthFailed, claim("nonce", "AAAA")},
		{"no nonce", ErrAuthFailed, claim("nonce", nil)},
		{"other issuer", ErrAuthFailed, claim("iss", "https://evil.example")},
		{"other audience", ErrAuthFailed, claim("aud", "another")},
		{"several audiences", ErrAuthFailed, claim("aud", []string{testClient, "another"})},
		{"other party", ErrAuthFailed, claim("azp", "another")},
		{"several audiences for us", nil, func(s *signOn, _ *ProviderAnswer) {
			s.fake.claims["aud"], s.fake.claims["azp"] = []string{"another", testClient}, testClient
		}},
		{"expired", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			s.fake.claims["exp"] = s.options.Now().Add(-maxSkew - 2*time.Second).Unix()
		}},
		{"expired within the skew", nil, func(s *signOn, _ *ProviderAnswer) {
			s.fake.claims["exp"] = s.options.Now().Add(-maxSkew + 2*time.Second).Unix()
		}},
		{"from the future", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			s.fake.claims["iat"] = s.options.Now().Add(maxSkew + 2*time.Second).Unix()
		}},
		{"from the future within the skew", nil, func(s *signOn, _ *ProviderAnswer) {
			s.fake.claims["iat"] = s.options.Now().Add(maxSkew - 2*time.Second).Unix()
		}},
		{"no subject", ErrAuthFailed, claim("sub", "")},
		{"long subject", ErrAuthFailed, claim("sub", strings.Repeat("x", maxSubject+1))},
		{"wrong hash of the access token", ErrAuthFailed, claim("at_hash", "AAAA")},
		{"alg none", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) { s.fake.sign = unsigned }},
		{"alg HS256", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) { s.fake.sign = symmetric }},
		{"other key", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			key := newSigningKey(s.t)
			s.fake.sign = func(claims map[string]any) string { return signWith(key, "key1", claims) }
		}},
		{"not a token", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			s.fake.sign = func(map[string]any) string { return "x.y.z" }
		}},
		{"no token", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			s.fake.answer = func(token map[string]any) { delete(token, "id_token") }
		}},
		{"denied", ErrAuthFailed, func(_ *signOn, a *ProviderAnswer) { a.Error = "access_denied" }},
		{"no code", ErrAuthFailed, func(_ *signOn, a *ProviderAnswer) { a.Code = "" }},
		{"other code", ErrAuthFailed, func(_ *signOn, a *ProviderAnswer) { a.Code = "other" }},
		{"code of another browser", ErrAuthFailed, func(s *signOn, a *ProviderAnswer) {
			s.fake.issued[a.Code].Set("code_challenge", "other")
		}},
		{"another provider answers", ErrAuthFailed, func(_ *signOn, a *ProviderAnswer) { a.Issuer = "https://evil.example" }},
		{"the provider is named", nil, func(s *signOn, a *ProviderAnswer) { a.Issuer = s.fake.URL }},
		{"wrong secret of the client", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			s.fake.on["/token"] = func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Authorization", "Basic AAAA")
				s.fake.serveToken(w, r)
			}
		}},
		{"wrong state", ErrCeremony, func(_ *signOn, a *ProviderAnswer) { a.State = newSecret("") }},
		{"no state", ErrCeremony, func(_ *signOn, a *ProviderAnswer) { a.State = "" }},
		{"other browser", ErrCeremony, func(_ *signOn, a *ProviderAnswer) { a.Browser = NewBrowser() }},
		{"expired state", ErrCeremony, func(s *signOn, _ *ProviderAnswer) { s.setClock(ceremonyLife) }},
		{"userinfo about somebody else", ErrAuthFailed, func(s *signOn, _ *ProviderAnswer) {
			delete(s.fake.claims, "preferred_username")
			s.fake.userinfo = map[string]any{"sub": "other", "preferred_username": "jane"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSignOn(t)
			s.fake.document["userinfo_endpoint"] = s.fake.URL + "/userinfo"
			answer := s.begin()
			s.fake.with(func() { c.do(s, &answer) })
			result, err := s.finish(answer)
			if !errors.Is(err, c.want) || (err == nil) != (result.Session.Secret != "") {
				t.Errorf("%+v, %v; want %v", result, err, c.want)
			}
			if _, err := s.Find(s.ctx, "jane"); (err == nil) != (c.want == nil) {
				t.Errorf("the account after it: %v", err)
			}
			noSecrets(t, err, answer)
		})
	}
}

// noSecrets checks that an error has nothing that gives access.
func noSecrets(t *testing.T, err error, answer ProviderAnswer) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{testSecret, "s3cret", answer.Browser, answer.State, derive("nonce", answer.Browser, answer.State), derive("verifier", answer.Browser, answer.State)} {
		if len(secret) > 5 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error %q contains %q", err, secret)
		}
	}
	if len(answer.Code) > 10 && strings.Contains(err.Error(), answer.Code) {
		t.Errorf("the error %q contains the code", err)
	}
}

func unsigned(claims map[string]any) string { return joinToken(`{"alg":"none"}`, claims, nil) }

func symmetric(claims map[string]any) string {
	return joinToken(`{"alg":"HS256","kid":"key1"}`, claims, func(s string) []byte {
		mac := hmac.New(sha256.New, []byte(testSecret))
		mac.Write([]byte(s))
		return mac.Sum(nil)
	})
}

func joinToken(header string, claims map[string]any, sign func(string) []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	token := encode([]byte(header)) + "." + encode(text)
	if sign == nil {
		return token + "."
	}
	return token + "." + encode(sign(token))
}

func TestSingleSignOnWorksOnce(t *testing.T) {
	s := newSignOn(t)
	answer := s.begin()
	if _, err := s.finish(answer); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finish(answer); !errors.Is(err, ErrCeremony) {
		t.Errorf("a state used twice: %v", err)
	}
	second := s.begin()
	second.Code = answer.Code
	if _, err := s.finish(second); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("a code used twice: %v", err)
	}
	third := s.begin()
	fourth := s.begin()
	third.Code = fourth.Code
	if _, err := s.finish(third); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("the code of another state: %v", err)
	}
}

func TestIssuerMustBeNamedIfAnnounced(t *testing.T) {
	s := newSignOn(t)
	s.fake.document["authorization_response_iss_parameter_supported"] = true
	if _, err := s.enter(); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("an answer without iss: %v", err)
	}
	answer := s.begin()
	answer.Issuer = s.fake.URL
	if _, err := s.finish(answer); err != nil {
		t.Error(err)
	}
}

func TestProviderRotatesItsKeys(t *testing.T) {
	s := newSignOn(t)
	s.entered("jane", nil)
	s.fake.with(func() { s.fake.key, s.fake.kid = newSigningKey(t), "key2" })
	s.entered("jane", nil)
	s.entered("jane", nil)
	if n := s.fake.count("/keys"); n != 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestProviderIsDown(t *testing.T) {
	down := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, testSecret, http.StatusBadGateway)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/token", "/keys"} {
		t.Run(path, func(t *testing.T) {
			s := newSignOn(t)
			s.fake.on[path] = down
			var answer ProviderAnswer
			address, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "")
			if err == nil {
				answer = s.fake.visit(address, s.browser)
				_, err = s.finish(answer)
			}
			failure, ok := errors.AsType[*ProviderError](err)
			if !ok || !failure.Down || !errors.Is(err, ErrProviderDown) || errors.Is(err, ErrAuthFailed) {
				t.Fatalf("%v", err)
			}
			noSecrets(t, err, answer)
			s.fake.with(func() { delete(s.fake.on, path) })
			s.pass(maxBackoff)
			// The answer of before may still be taken for the one of now, for the moment until it is forgotten.
			for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				if _, err := s.enter(); err == nil {
					break
				} else if time.Now().After(end) {
					t.Fatalf("after it came back: %v", err)
				}
				s.pass(maxBackoff)
			}
		})
	}
}

func TestProviderThatIsDownEndsNothing(t *testing.T) {
	s := newSignOn(t)
	secret := s.entered("jane", nil).Session.Secret
	s.fake.Close()
	s.pass(48 * time.Hour)
	if _, err := s.Authenticate(s.ctx, secret, ""); err != nil {
		t.Errorf("a session of before: %v", err)
	}
	// The configuration is old, and cannot be renewed. It is used all the same.
	address, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.finish(s.fake.visit(address, s.browser)); !errors.Is(err, ErrProviderDown) {
		t.Errorf("a sign-in: %v", err)
	}
	if _, err := s.Authenticate(s.ctx, secret, ""); err != nil {
		t.Errorf("a session after a failed sign-in: %v", err)
	}
}

func TestDiscoveryIsRetriedWithBackoff(t *testing.T) {
	s := newSignOn(t)
	const path = "/.well-known/openid-configuration"
	s.fake.on[path] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	ask := func() error {
		_, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "")
		return err
	}
	want := 0
	for _, backoff := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want++
		for range 3 {
			if err := ask(); !errors.Is(err, ErrProviderDown) {
				t.Fatal(err)
			}
		}
		s.pass(backoff*time.Second - time.Millisecond)
		_ = ask()
		if got := s.fake.count(path); got != want {
			t.Fatalf("asked %d times before the backoff of %d s was over, want %d", got, backoff, want)
		}
		s.pass(time.Millisecond)
	}
	s.fake.with(func() { delete(s.fake.on, path) })
	if err := ask(); err != nil {
		t.Error(err)
	}
	s.pass(discoveryAge)
	if err := ask(); err != nil || s.fake.count(path) != want+2 {
		t.Errorf("an old configuration: asked %d times, %v", s.fake.count(path), err)
	}
	want = s.fake.count(path) + 2
	s.fake.with(func() { s.fake.on[path] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) } })
	s.pass(discoveryAge)
	for range 2 { // the first failure after a success waits for the least time again
		if err := ask(); err != nil {
			t.Errorf("an old configuration is not used: %v", err)
		}
		s.pass(minBackoff)
	}
	if got := s.fake.count(path); got != want {
		t.Errorf("asked %d times, want %d", got, want)
	}
}

func TestProviderAnswersAreBounded(t *testing.T) {
	s := newSignOn(t)
	const path = "/.well-known/openid-configuration"
	other := newFakeProvider(t, s.options.Now)
	for name, handler := range map[string]http.HandlerFunc{
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			long := maps.Clone(s.fake.document) // valid but for its length
			long["x"] = strings.Repeat("x", maxAnswer)
			send(w, long)
		},
		"redirect to another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+path, http.StatusFound)
		},
		"redirects without end": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, path, http.StatusFound) },
		"another issuer": func(w http.ResponseWriter, _ *http.Request) {
			send(w, map[string]any{"issuer": "https://evil.example", "token_endpoint": s.fake.URL + "/token"})
		},
		"plain endpoint": func(w http.ResponseWriter, _ *http.Request) {
			send(w, map[string]any{
				"issuer": s.fake.URL, "authorization_endpoint": s.fake.URL + "/auth",
				"token_endpoint": "http://192.0.2.1/token", "jwks_uri": s.fake.URL + "/keys",
			})
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
	} {
		s.fake.with(func() { s.fake.on[path] = handler })
		s.pass(maxBackoff)
		before := s.fake.count(path)
		if _, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", ""); !errors.Is(err, ErrProviderDown) || len(err.Error()) > 500 {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.fake.count(path) - before; n > 1+maxRedirects {
			t.Errorf("%s: %d requests", name, n)
		}
	}
	if other.count(path) != 0 {
		t.Error("another host was asked")
	}
}

func TestSecretIsNotRedirected(t *testing.T) {
	s := newSignOn(t)
	other := newFakeProvider(t, s.options.Now)
	for _, target := range []string{other.URL + "/token", s.fake.URL + "/elsewhere"} {
		s.fake.with(func() {
			s.fake.on["/token"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, target, http.StatusTemporaryRedirect)
			}
		})
		if _, err := s.enter(); err == nil {
			t.Errorf("signed in by a redirect to %s", target)
		}
	}
	if other.count("/token") != 0 || s.fake.count("/elsewhere") != 0 {
		t.Error("the secret of the client went elsewhere")
	}
}

func TestSlowProvider(t *testing.T) {
	s := newSignOn(t)
	if s.provider.client.Timeout != providerTimeout {
		t.Errorf("the timeout of requests is %s", s.provider.client.Timeout)
	}
	arrived := make(chan struct{}, 8)
	slow := func(_ http.ResponseWriter, r *http.Request) {
		r.ParseForm() // the server notices that a client is gone once the body is read
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	s.fake.on["/token"] = slow
	answer := s.begin()
	ctx, cancel := context.WithCancel(s.ctx)
	go func() { <-arrived; cancel() }()
	_, err := s.FinishProvider(ctx, Actor{}, s.provider, answer, Device{})
	if !errors.Is(err, ErrProviderDown) {
		t.Errorf("a request that was given up: %v", err)
	}
}

func TestGuardDecidesAddresses(t *testing.T) {
	s := newSignOn(t)
	var asked []netip.AddrPort
	s.provider = NewProvider(ProviderOptions{
		Redirects: []string{testRedirect}, Now: s.options.Now,
		Guard: func(a netip.AddrPort) error {
			asked = append(asked, a)
			return errors.New("no connections to loopback")
		},
	})
	if _, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", ""); !errors.Is(err, ErrProviderDown) {
		t.Errorf("a forbidden address: %v", err)
	}
	if len(asked) == 0 || !asked[0].Addr().IsLoopback() || s.fake.count("/.well-known/openid-configuration") != 0 {
		t.Errorf("the guard was asked about %v", asked)
	}
}

func TestSafeEndpoints(t *testing.T) {
	for address, want := range map[string]bool{
		"https://id.example.org/token": true, "http://localhost:8080/": true, "http://127.0.0.1/": true, "http://[::1]:1/": true,
		"http://id.example.org/": false, "http://localhost.evil.example/": false, "ftp://localhost/": false, "": false,
		"https://user:pw@id.example.org/": false, "https:///x": false, "//id.example.org": false,
	} {
		if got := safeEndpoint(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
	if slices.Contains(algorithms, "none") || slices.Contains(algorithms, "HS256") {
		t.Error("an algorithm without a private key is allowed")
	}
}

func TestSingleSignOnIsNotSetUp(t *testing.T) {
	s := newSignOn(t)
	answer := s.begin()
	s.set("oidc.issuer", "https://new.example.org")
	if _, err := s.finish(answer); !errors.Is(err, ErrCeremony) {
		t.Errorf("an answer of the provider before: %v", err)
	}
	s.set("oidc.issuer", "")
	for _, err := range []error{
		func() error { _, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", ""); return err }(),
		func() error { _, err := s.ProviderName(s.ctx); return err }(),
	} {
		if !errors.Is(err, ErrNoProvider) {
			t.Error(err)
		}
	}
}
