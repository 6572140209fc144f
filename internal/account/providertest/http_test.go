package providertest

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/web"
)

// site is a whole server of HTTP beside the provider, and a browser.
type site struct {
	*world
	url      string
	redirect string
	client   *http.Client
	chat     *chat.Chat
	docs     store.Store
	log      strings.Builder
}

// newSite returns a server that is known to the provider by its real address.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{world: newWorld(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.url = "http://" + l.Addr().String()
	s.redirect = s.url + web.CallbackPath
	// As kaban serve has it on loopback: the name comes first.
	named := strings.Replace(s.redirect, "127.0.0.1", "localhost", 1)
	storage.RegisterClients(storage.WebClient(client, clientSecret, named, s.redirect))
	s.restart()

	docs := memory.New(0)
	s.docs = docs
	d, err := dispatch.New(t.Context(), docs, dispatch.Options{})
	s.must(err)
	s.chat, err = chat.New(t.Context(), d, chat.Options{})
	s.must(err)
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.service = account.New(docs, account.Options{
		Log: log, OnRevoked: s.chat.Revoke, OnChanged: s.chat.AccountChanged, OnSettings: s.chat.SettingChanged,
	})
	pages, err := web.New(web.Config{
		Accounts: s.service, Provider: account.NewProvider(account.ProviderOptions{Redirects: []string{named, s.redirect}, Log: log}), Log: log,
	}, s.chat, nil)
	s.must(err)
	done := make(chan error, 1)
	go func() { done <- pages.Serve(l, peer.Loopback()) }()
	t.Cleanup(func() {
		pages.Close()
		if err := <-done; !errors.Is(err, web.ErrClosed) {
			t.Error(err)
		}
		d.Close()
		docs.Close()
	})
	jar, err := cookiejar.New(nil)
	s.must(err)
	s.client = &http.Client{Jar: jar, Timeout: 2 * time.Minute}
	return s
}

// follow goes to an address and signs in at the provider, if it leads there. It returns
// where the browser ends up.
func (s *site) follow(address string) *url.URL {
	s.t.Helper()
	s.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.url) && r.URL.Path != web.CallbackPath && !strings.HasPrefix(r.URL.Path, "/v1/oidc/") {
			return http.ErrUseLastResponse // a page
		}
		return nil
	}
	request, err := http.NewRequest(http.MethodGet, address, nil)
	s.must(err)
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	got, err := s.client.Do(request)
	s.must(err)
	got.Body.Close()
	if id := got.Request.URL.Query().Get("authRequestID"); id != "" {
		got, err = s.client.PostForm(s.issuer+"/login/username", url.Values{"id": {id}, "username": {person}, "password": {password}})
		s.must(err)
		got.Body.Close()
	}
	to, err := got.Location()
	if err != nil {
		s.t.Fatalf("%s leads to %s with %s", address, got.Request.URL, got.Status)
	}
	return to
}

// get returns the body of an answer to the browser.
func (s *site) get(path string) string {
	s.t.Helper()
	got, err := s.client.Get(s.url + path)
	s.must(err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	s.must(err)
	return got.Status + " " + string(text)
}

// setUp makes alice the owner and names the provider.
func (s *site) setUp() account.Session {
	s.t.Helper()
	ctx := s.t.Context()
	secret, err := s.service.NewClaim(ctx)
	s.must(err)
	made, err := s.service.ClaimServer(ctx, secret, account.NewAccount{Username: "alice"}, "", account.Device{})
	s.must(err)
	file := s.t.TempDir() + "/secret"
	s.must(writeSecret(file))
	s.set("oidc.client_secret_file", file)
	s.set("oidc.client_id", client)
	s.set("oidc.issuer", s.issuer)
	return made.Session
}

// A server has two names on loopback, and a browser has cookies for each. It comes back
// to the one that it began at.
func TestSignInComesBackToWhereItBegan(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost"} {
		s := newSite(t)
		s.setUp()
		s.url = strings.Replace(s.url, "127.0.0.1", host, 1)
		to := s.follow(s.url + "/v1/oidc/start?next=/x")
		if want := s.url + "/x"; to.String() != want {
			t.Fatalf("from %s the browser ends up at %s, want %s", s.url, to, want)
		}
		if got := s.get("/v1/session"); !strings.HasPrefix(got, "200 ") {
			t.Errorf("the session at %s: %s", s.url, got)
		}
	}
}

// A browser signs in at the provider and comes back with a cookie, to the place where it
// wanted to go, but never to another server.
func TestSignInOverHTTP(t *testing.T) {
	for next, want := range map[string]string{
		"/room/lobby?x=1": "/room/lobby?x=1", "": "/", "//evil.example/": "/", "///evil.example/": "/", "https://evil.example/": "/", `/\evil.example`: "/", "/\t/evil.example": "/",
	} {
		s := newSite(t)
		s.setUp()
		to := s.follow(s.url + "/v1/oidc/start?next=" + url.QueryEscape(next))
		if to.String() != s.url+want {
			t.Fatalf("the browser ends up at %s, want %s", to, want)
		}
		if got := s.get("/v1/session"); !strings.HasPrefix(got, "200") || !strings.Contains(got, person) {
			t.Errorf("the session is %s", got)
		}
	}
}

// A browser that did not begin is signed in as nobody, and is led to the page that says
// so; so is one that the provider refuses.
func TestForeignCallback(t *testing.T) {
	s := newSite(t)
	s.setUp()
	for _, query := range []string{"state=x&code=y", "", "error=access_denied&state=x", "state=" + strings.Repeat("x", 5000)} {
		to := s.follow(s.url + web.CallbackPath + "?" + query)
		if to.Path != "/sign-in" || to.Fragment != "error=auth_failed" {
			t.Errorf("%.40q leads to %s", query, to)
		}
	}
	if got := s.get("/v1/session"); !strings.HasPrefix(got, "401") {
		t.Errorf("the session is %s", got)
	}
}

// A provider that cannot be reached leads the browser to the page that says so.
func TestProviderIsDown(t *testing.T) {
	s := newSite(t)
	s.setUp()
	s.set("oidc.issuer", "http://localhost:1")
	to := s.follow(s.url + "/v1/oidc/start?next=/")
	if to.Path != "/sign-in" || to.Fragment != "error=unavailable" {
		t.Errorf("the browser is led to %s", to)
	}
}

// An identity is linked from a page of this server by somebody fresh, and signs in then.
func TestLinkOverHTTP(t *testing.T) {
	s := newSite(t)
	owner := s.setUp()
	here, err := url.Parse(s.url)
	s.must(err)
	s.client.Jar.SetCookies(here, []*http.Cookie{{Name: "kaban", Value: owner.Secret, Path: "/"}})
	if got := s.get("/v1/oidc/link?next=/"); !strings.HasPrefix(got, "403") {
		t.Fatalf("a page of another site links: %s", got)
	}
	if to := s.follow(s.url + "/v1/oidc/link?next=/settings"); to.Path != "/settings" {
		t.Fatalf("linking ends up at %s", to)
	}
	if got := s.get("/v1/identities"); !strings.Contains(got, s.issuer) {
		t.Fatalf("the identities are %s", got)
	}
	if strings.Contains(s.log.String(), owner.Secret) {
		t.Errorf("a secret is in the log:\n%s", s.log.String())
	}
}

// Groups give and take public rooms, as entries of the server, and no private ones.
func TestRoomsOfGroups(t *testing.T) {
	s := newSite(t)
	owner := s.setUp()
	id, err := owner.Principal.Account.Identity()
	s.must(err)
	u := s.chat.With(id, kaban.Peer{}.Address, &chat.Credential{ID: owner.Principal.SecretID, Device: true, Fresh: true})
	_, _, err = s.service.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: "bob"}})
	s.must(err)
	bob, err := kaban.ParseUsername("bob")
	s.must(err)
	for name, given := range map[string]string{"den": "alice", "hall": "alice bob"} {
		room, err := kaban.ParseRoomName(name)
		s.must(err)
		kind := kaban.RoomPublic
		if name == "den" {
			kind = kaban.RoomPrivate
		}
		s.must(u.Create(t.Context(), room, chat.NewRoom{Kind: kind}))
		members := func(want string) {
			t.Helper()
			m, err := u.Members(t.Context(), room, "", 0)
			s.must(err)
			if got := strings.Join(m.Usernames, " "); got != want {
				t.Errorf("the members of %s are %s, want %s", name, got, want)
			}
		}
		s.must(s.chat.Grant(t.Context(), bob, room, "dev", true))
		members(given)
		s.must(s.chat.Grant(t.Context(), bob, room, "dev", false))
		members("alice")
	}
}

func writeSecret(file string) error { return os.WriteFile(file, []byte(clientSecret+"\n"), 0o600) }

// TestProviderInEveryStatus comes back from the provider while the account is active,
// suspended, not claimed yet and removed: it is let in where package account says so, and
// led to the page that says why elsewhere.
func TestProviderInEveryStatus(t *testing.T) {
	for status, fragment := range map[people.Status]string{
		people.StatusActive: "", people.StatusUnclaimed: "",
		people.StatusSuspended: "error=suspended", people.StatusRemoved: "error=auth_failed",
	} {
		t.Run(string(status), func(t *testing.T) {
			s := newSite(t)
			s.setUp()
			if to := s.follow(s.url + "/v1/oidc/start?next=/x"); to.Path != "/x" {
				t.Fatalf("the first sign-in ends up at %s", to)
			}
			in := s.get("/v1/session")
			if !strings.HasPrefix(in, "200") || !strings.Contains(in, person) {
				t.Fatalf("the session is %s", in)
			}
			name, err := kaban.ParseUsername(person)
			s.must(err)
			s.must(s.docs.Update(t.Context(), func(tx store.Tx) error { // behind the service, which would unlink the identity
				a, err := people.Accounts.Named(tx, name)
				if err != nil {
					return err
				}
				a.Status = status
				return people.Accounts.Put(tx, &a)
			}))
			s.client.Jar, err = cookiejar.New(nil)
			s.must(err)
			to := s.follow(s.url + "/v1/oidc/start?next=/x")
			want := "/x"
			if fragment != "" {
				want = "/sign-in"
			}
			if to.Path != want || to.Fragment != fragment {
				t.Errorf("the browser is led to %s, want %s#%s", to, want, fragment)
			}
			if got := s.get("/v1/session"); strings.HasPrefix(got, "200") != (fragment == "") {
				t.Errorf("the session is %s", got)
			}
		})
	}
}
