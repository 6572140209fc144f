// Package providertest signs in at a real OpenID provider, the example of zitadel/oidc,
// which serves HTTP on loopback within the test. It is a separate module, so that the
// provider's dependencies are not the server's. It uses what the package account
// exports, as a front end does.
package providertest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/store/memory"
)

const (
	client       = "kaban"
	clientSecret = "the secret of the client"
	redirect     = "https://chat.example.org/v1/oidc/callback"
	person       = "test-user2"
	password     = "verysecure" // of the example's users
)

// world is a server with an owner and a provider beside it.
type world struct {
	t        *testing.T
	issuer   string
	handler  atomic.Pointer[http.Handler] // of the provider
	service  *account.Service
	provider *account.Provider
	owner    account.Actor
	aged     bool // the provider, after restart
}

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the example logs every request
	os.Exit(m.Run())
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, service: account.New(memory.New(0), account.Options{})}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(*w.handler.Load()).ServeHTTP(rw, r)
	}))
	server.Start()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w.issuer = "http://localhost:" + port
	storage.RegisterClients(storage.WebClient(client, clientSecret, redirect))
	w.restart()

	secret, err := w.service.NewClaim(t.Context())
	w.must(err)
	made, err := w.service.ClaimServer(t.Context(), secret, account.NewAccount{Username: "alice", Password: "correct horse battery"}, "", account.Device{})
	w.must(err)
	w.owner = made.Session.Principal.As("")
	file := filepath.Join(t.TempDir(), "secret")
	w.must(os.WriteFile(file, []byte(clientSecret+"\n"), 0o600))
	w.set("oidc.client_secret_file", file)
	w.set("oidc.client_id", client)
	w.set("oidc.issuer", w.issuer)
	w.provider = account.NewProvider(account.ProviderOptions{Redirects: []string{redirect}})
	return w
}

// restart gives the provider a new key and an empty memory.
func (w *world) restart() {
	kept := storage.NewStorage(storage.NewUserStore(w.issuer))
	var all exampleop.Storage = kept
	if w.aged {
		all = aged{kept}
	}
	var handler http.Handler = exampleop.SetupServer(w.issuer, all, nil, false)
	w.handler.Store(&handler)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) set(key, value string) {
	w.t.Helper()
	w.must(w.service.Set(w.t.Context(), account.Operator(), key, value))
}

// browser is a browser with a cookie of the server and a jar for the provider.
type browser struct {
	w      *world
	secret string
	http   *http.Client
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	w.must(err)
	stop := func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirect) {
			return http.ErrUseLastResponse // the server is no real one
		}
		return nil
	}
	return &browser{w, account.NewBrowser(), &http.Client{Jar: jar, CheckRedirect: stop, Timeout: 2 * time.Minute}}
}

// visit goes to the provider, signs in there, and returns what comes back.
func (b *browser) visit(address, name, pass string) account.ProviderAnswer {
	t := b.w.t
	t.Helper()
	page, err := b.http.Get(address)
	b.w.must(err)
	text, err := io.ReadAll(page.Body)
	page.Body.Close()
	b.w.must(err)
	id := page.Request.URL.Query().Get("authRequestID")
	if page.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("the provider answered %s at %s: %.300s", page.Status, page.Request.URL, text)
	}
	form := url.Values{"id": {id}, "username": {name}, "password": {pass}}
	back, err := b.http.PostForm(b.w.issuer+"/login/username", form)
	b.w.must(err)
	back.Body.Close()
	to, err := back.Location()
	if err != nil {
		t.Fatalf("the provider let nobody in: %s", back.Status)
	}
	q := to.Query()
	return account.ProviderAnswer{Browser: b.secret, State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")}
}

func (b *browser) begin() account.ProviderAnswer {
	b.w.t.Helper()
	address, err := b.w.service.SignInAddress(b.w.t.Context(), b.w.provider, b.secret, "", "/")
	b.w.must(err)
	return b.visit(address, person, password)
}

func (w *world) finish(answer account.ProviderAnswer) (account.ProviderResult, error) {
	return w.service.FinishProvider(w.t.Context(), account.Actor{}, w.provider, answer, account.Device{Name: "browser"})
}

func TestWholeFlow(t *testing.T) {
	w := newWorld(t)
	w.set("oidc.scopes", "openid profile email")
	b := w.browser()
	result, err := w.finish(b.begin())
	w.must(err)
	p := result.Session.Principal
	if p.Account.Username != person || p.Account.Name != "Test User2" || p.Role != kaban.RoleMember {
		t.Errorf("signed in as %+v", p.Account)
	}
	if _, err := w.service.Authenticate(t.Context(), result.Session.Secret, ""); err != nil {
		t.Error(err)
	}
	again, err := w.finish(w.browser().begin())
	if err != nil || again.Session.Principal.Account.ID != p.Account.ID {
		t.Errorf("in another browser: %v", err)
	}
	list, err := w.service.Identities(t.Context(), p.As(""))
	if err != nil || len(list) != 1 || list[0].Issuer != w.issuer || list[0].Subject != "id2" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestLinkedIdentity(t *testing.T) {
	w := newWorld(t)
	w.must(w.service.LinkIdentity(t.Context(), account.Operator(), "alice", w.issuer, "id2"))
	result, err := w.finish(w.browser().begin())
	if err != nil || result.Session.Principal.Account.Username != "alice" {
		t.Errorf("%+v, %v", result, err)
	}
}

// The provider shows that the person has signed in again. One whose session is enough,
// whatever it is asked, makes nothing fresh.
func TestConfirmation(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	result, err := w.finish(b.begin())
	w.must(err)
	by := result.Session.Principal.As("")
	if !w.service.Fresh(by.Principal) {
		t.Error("a new sign-in is not fresh: the provider does not say when it was")
	}
	confirm := func() (account.ProviderResult, error) {
		address, err := w.service.BeginConfirmation(t.Context(), by, w.provider, b.secret, "", "/")
		w.must(err)
		return w.service.FinishProvider(t.Context(), by, w.provider, b.visit(address, person, password), account.Device{})
	}
	if got, err := confirm(); err != nil || !got.Confirmed {
		t.Errorf("a new sign-in: %+v, %v", got, err)
	}
	w.aged = true
	w.restart()
	if got, err := confirm(); !errors.Is(err, account.ErrAuthFailed) || !strings.Contains(err.Error(), "prompt=login") {
		t.Errorf("a sign-in of yesterday: %+v, %v", got, err)
	}
	got, err := w.finish(b.begin())
	w.must(err) // a sign-in of yesterday is enough to sign in
	if w.service.Fresh(got.Session.Principal) {
		t.Error("a sign-in of yesterday is fresh")
	}
}

// aged is the storage of a provider that takes everybody's sign-in of yesterday.
type aged struct{ *storage.Storage }

// agedRequest is a request of somebody that signed in yesterday.
type agedRequest struct{ op.AuthRequest }

func (a agedRequest) GetAuthTime() time.Time { return time.Now().Add(-24 * time.Hour) }

func age(r op.AuthRequest, err error) (op.AuthRequest, error) {
	if err != nil {
		return nil, err
	}
	return agedRequest{r}, nil
}

func (s aged) AuthRequestByID(ctx context.Context, id string) (op.AuthRequest, error) {
	return age(s.Storage.AuthRequestByID(ctx, id))
}

func (s aged) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	return age(s.Storage.AuthRequestByCode(ctx, code))
}

func TestStateAndCodeWorkOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	answer := b.begin()
	_, err := w.finish(answer)
	w.must(err)
	if _, err := w.finish(answer); !errors.Is(err, account.ErrCeremony) {
		t.Errorf("the same state: %v", err)
	}
	again := b.begin()
	again.Code = answer.Code
	if _, err := w.finish(again); !errors.Is(err, account.ErrAuthFailed) {
		t.Errorf("the same code: %v", err)
	}
	other := w.browser()
	stolen := other.begin()
	mine := b.begin()
	mine.Code = stolen.Code // PKCE: the code belongs to another verifier
	if _, err := w.finish(mine); !errors.Is(err, account.ErrAuthFailed) {
		t.Errorf("the code of another browser: %v", err)
	}
	stolen.Browser = b.secret
	if _, err := w.finish(stolen); !errors.Is(err, account.ErrCeremony) {
		t.Errorf("the state of another browser: %v", err)
	}
}

func TestKeyRotation(t *testing.T) {
	w := newWorld(t)
	first, err := w.finish(w.browser().begin())
	w.must(err)
	w.restart()
	second, err := w.finish(w.browser().begin())
	if err != nil || second.Session.Principal.Account.ID != first.Session.Principal.Account.ID {
		t.Errorf("after the provider has a new key: %v", err)
	}
}

func TestProviderGoesAway(t *testing.T) {
	w := newWorld(t)
	result, err := w.finish(w.browser().begin())
	w.must(err)
	answer := w.browser().begin()
	var gone http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	w.handler.Store(&gone)
	if _, err := w.finish(answer); !errors.Is(err, account.ErrProviderDown) {
		t.Errorf("a sign-in: %v", err)
	}
	if _, err := w.service.Authenticate(context.Background(), result.Session.Secret, ""); err != nil {
		t.Errorf("a session: %v", err)
	}
}

func TestWrongClient(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "wrong")
	w.must(os.WriteFile(file, []byte("wrong"), 0o600))
	answer := w.browser().begin()
	w.set("oidc.client_secret_file", file)
	_, err := w.finish(answer)
	if !errors.Is(err, account.ErrAuthFailed) || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("a wrong secret of the client: %v", err)
	}
}
