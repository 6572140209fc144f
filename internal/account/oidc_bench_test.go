package account

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"kaban/internal/people"
	"kaban/internal/store"
)

const (
	testClient   = "kaban"
	testSecret   = "s3cret+of/the client"
	testRedirect = "https://chat.example.org/v1/oidc/callback"
)

// fakeProvider is an OpenID provider that can misbehave.
type fakeProvider struct {
	*httptest.Server
	t   *testing.T
	now func() time.Time

	mu       sync.Mutex
	key      *ecdsa.PrivateKey
	kid      string
	document map[string]any
	claims   map[string]any // of the person that signs in
	userinfo map[string]any
	issued   map[string]url.Values // by code
	hits     map[string]int        // by path
	// Tests replace these to misbehave.
	sign   func(claims map[string]any) string
	answer func(token map[string]any)
	on     map[string]http.HandlerFunc // by path
}

func newFakeProvider(t *testing.T, now func() time.Time) *fakeProvider {
	t.Helper()
	f := &fakeProvider{
		t: t, now: now, kid: "key1", key: newSigningKey(t),
		claims:   map[string]any{"sub": "248289761001", "preferred_username": "jane@example.org", "name": "Jane Doe"},
		userinfo: make(map[string]any),
		issued:   make(map[string]url.Values),
		hits:     make(map[string]int),
		on:       make(map[string]http.HandlerFunc),
		answer:   func(map[string]any) {},
	}
	f.sign = func(claims map[string]any) string { return signWith(f.key, f.kid, claims) }
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { send(w, f.document) })
	mux.HandleFunc("/keys", f.serveKeys)
	mux.HandleFunc("/token", f.serveToken)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" {
			t.Errorf("userinfo with %q", r.Header.Get("Authorization"))
		}
		send(w, f.userinfo)
	})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.hits[r.URL.Path]++
		if other := f.on[r.URL.Path]; other != nil {
			other(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	f.document = map[string]any{
		"issuer": f.URL, "authorization_endpoint": f.URL + "/auth", "token_endpoint": f.URL + "/token",
		"jwks_uri": f.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
	}
	return f
}

func newSigningKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signWith(key crypto.PrivateKey, kid string, claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return oidctest.SignIDToken(key, kid, "ES256", string(text))
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// A client may hang up before it has read everything.
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fakeProvider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	point, err := f.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	send(w, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": f.kid,
		"x": encode(point[1:33]), "y": encode(point[33:]),
	}}})
}

// serveToken exchanges a code, once, for its client and verifier.
func (f *fakeProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	refuse := func(reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"error_description":"the code was %s"}`, reason, r.PostFormValue("code"))
	}
	id, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	code := r.PostFormValue("code")
	asked, ok := f.issued[code]
	delete(f.issued, code)
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case id != testClient || secret != testSecret:
		refuse("invalid_client")
		return
	case !ok, r.PostFormValue("redirect_uri") != testRedirect,
		base64.RawURLEncoding.EncodeToString(challenge[:]) != asked.Get("code_challenge"):
		refuse("invalid_grant")
		return
	}
	claims := map[string]any{
		"iss": f.URL, "aud": testClient, "nonce": asked.Get("nonce"),
		"auth_time": f.now().Unix(), "iat": f.now().Unix(), "exp": f.now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, f.claims)
	token := map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": f.sign(claims)}
	f.answer(token)
	send(w, token)
}

// with runs a function while no request is served.
func (f *fakeProvider) with(run func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run()
}

func (f *fakeProvider) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[path]
}

// visit is what a browser does with an address: the person signs in at the provider.
func (f *fakeProvider) visit(address, browser string) ProviderAnswer {
	f.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		f.t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/auth" || q.Get("response_type") != "code" || q.Get("client_id") != testClient ||
		q.Get("redirect_uri") != testRedirect || q.Get("code_challenge_method") != "S256" ||
		len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 40 || len(q.Get("state")) < 40 || q.Get("scope") == "" {
		f.t.Errorf("the browser is sent to %s", address)
	}
	code := rand.Text()
	f.with(func() { f.issued[code] = q })
	return ProviderAnswer{Browser: browser, State: q.Get("state"), Code: code}
}

// signOn is a world with single sign-on at a fake provider.
type signOn struct {
	*world
	t        *testing.T
	fake     *fakeProvider
	provider *Provider
	browser  string
	owner    Actor
}

func newSignOn(t *testing.T) *signOn {
	t.Helper()
	w := newWorld(t, nil)
	s := &signOn{world: w, t: t, browser: NewBrowser(), owner: w.claim()}
	s.fake = newFakeProvider(t, w.options.Now)
	s.provider = NewProvider(ProviderOptions{Redirects: []string{testRedirect}, Now: w.options.Now, Elapsed: w.options.Elapsed, Log: w.options.Log})
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.set("oidc.issuer", s.fake.URL)
	s.set("oidc.client_id", testClient)
	s.set("oidc.client_secret_file", file)
	return s
}

func (s *signOn) set(key, value string) {
	s.t.Helper()
	if err := s.Set(s.ctx, Operator(), key, value); err != nil {
		s.t.Fatal(err)
	}
}

// begin begins a sign-in and signs in at the provider.
func (s *signOn) begin() ProviderAnswer {
	s.t.Helper()
	address, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "/room")
	if err != nil {
		s.t.Fatal(err)
	}
	return s.fake.visit(address, s.browser)
}

func (s *signOn) finish(answer ProviderAnswer) (ProviderResult, error) {
	return s.FinishProvider(s.ctx, Actor{}, s.provider, answer, Device{Name: "browser", Address: "192.0.2.9"})
}

// enter is a whole sign-in.
func (s *signOn) enter() (ProviderResult, error) {
	s.t.Helper()
	return s.finish(s.begin())
}

// entered is a whole sign-in that must work, of somebody with a subject and claims.
func (s *signOn) entered(subject string, claims map[string]any) ProviderResult {
	s.t.Helper()
	s.fake.with(func() {
		s.fake.claims = map[string]any{"sub": subject, "preferred_username": subject}
		maps.Copy(s.fake.claims, claims)
	})
	result, err := s.enter()
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// account returns an account as it is stored.
func (s *signOn) account(id string) (a people.Account) {
	s.t.Helper()
	s.change(func(tx store.Tx) (err error) {
		a, err = people.Accounts.Get(tx, id)
		return err
	})
	return a
}

func (s *signOn) change(run func(store.Tx) error) {
	s.t.Helper()
	update(s.t, s.documents, run)
}
