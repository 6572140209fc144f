package account

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"kaban"
	"kaban/internal/account/passkeytest"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

const (
	testOrigin = "https://chat.example.org"
	testHost   = "chat.example.org"
)

// clock is a clock that a test sets.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ms.Store(time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// keyBench is a server with passkeys and a browser that has an authenticator.
type keyBench struct {
	t       *testing.T
	docs    store.Documents
	clock   *clock
	service *Service
	keys    *Passkeys
	browser string
	rp      virtualwebauthn.RelyingParty
	auth    virtualwebauthn.Authenticator
	handle  string // of the last account that was to be made with a passkey
}

func newKeyBench(t *testing.T) *keyBench {
	t.Helper()
	b := &keyBench{
		t: t, docs: memory.New(0), clock: newClock(), browser: NewBrowser(),
		rp:   virtualwebauthn.RelyingParty{ID: testHost, Name: "Kaban", Origin: testOrigin},
		auth: virtualwebauthn.NewAuthenticator(),
	}
	b.service = New(b.docs, Options{Now: b.clock.now})
	b.keys = b.at(testOrigin)
	b.account("root", kaban.RoleOwner) // without an owner nobody may do anything
	return b
}

// at returns the passkeys of the same server at other origins.
func (b *keyBench) at(origins ...string) *Passkeys {
	b.t.Helper()
	keys, err := NewPasskeys(b.docs, origins, b.clock.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return keys
}

// account adds an account and returns its id.
func (b *keyBench) account(name string, role kaban.Role) string {
	b.t.Helper()
	return addAccount(b.t, b.docs, name, role)
}

func addAccount(t *testing.T, docs store.Documents, name string, role kaban.Role) string {
	t.Helper()
	id := newID()
	update(t, docs, func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: id, Username: name, Role: role, Status: people.StatusActive})
	})
	return id
}

func update(t *testing.T, docs store.Documents, run func(store.Tx) error) {
	t.Helper()
	if err := docs.Update(context.Background(), run); err != nil {
		t.Fatal(err)
	}
}

// created returns what the authenticator answers to options for a registration, and
// keeps the new credential for the account.
func (b *keyBench) created(account string, options []byte, cred virtualwebauthn.Credential) []byte {
	b.t.Helper()
	opts, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		b.t.Fatal(err)
	}
	b.auth.Options.UserHandle = []byte(account)
	return []byte(virtualwebauthn.CreateAttestationResponse(b.rp, b.auth, cred, *opts))
}

// register adds a passkey to an account.
func (b *keyBench) register(account, name string) virtualwebauthn.Credential {
	b.t.Helper()
	cred := passkeytest.NewCredential(b.t)
	options, err := b.service.BeginPasskey(b.t.Context(), b.by(account), b.keys, b.browser)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.service.AddPasskey(b.t.Context(), b.by(account), b.keys, b.browser, name, b.created(account, options, cred)); err != nil {
		b.t.Fatal(err)
	}
	return cred
}

func (b *keyBench) begin() []byte {
	b.t.Helper()
	options, err := b.service.BeginPasskeySignIn(b.t.Context(), b.keys, b.browser)
	if err != nil {
		b.t.Fatal(err)
	}
	return options
}

// got returns what the authenticator answers to options for a sign-in.
func (b *keyBench) got(account string, options []byte, cred virtualwebauthn.Credential) []byte {
	b.t.Helper()
	opts, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		b.t.Fatal(err)
	}
	b.auth.Options.UserHandle = []byte(account)
	return []byte(virtualwebauthn.CreateAssertionResponse(b.rp, b.auth, cred, *opts))
}

// by returns an account as an actor with a fresh sign-in.
func (b *keyBench) by(account string) Actor {
	b.t.Helper()
	return freshActor(b.t, b.service, account)
}

func freshActor(t *testing.T, s *Service, account string) Actor {
	t.Helper()
	session, err := s.signIn(t.Context(), WayNew, Device{}, func(c *change) (proof, error) {
		a, err := people.Accounts.Get(c.Tx, account)
		return proof{account: a}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return session.Principal.As("")
}

// finish signs in and returns the account's id and the passkey that was used last.
func (b *keyBench) finish(response []byte) (account string, key Passkey, err error) {
	session, err := b.service.SignInWithPasskey(b.t.Context(), b.keys, b.browser, response, Device{})
	account = session.Principal.Account.ID
	for _, k := range b.list(account) {
		if k.Used >= key.Used {
			key = k
		}
	}
	return account, key, err
}

// signIn is a whole sign-in.
func (b *keyBench) signIn(account string, cred virtualwebauthn.Credential) (string, Passkey, error) {
	b.t.Helper()
	return b.finish(b.got(account, b.begin(), cred))
}

func (b *keyBench) list(account string) (keys []Passkey) {
	b.t.Helper()
	update(b.t, b.docs, func(tx store.Tx) (err error) {
		keys, err = b.keys.list(tx, account)
		return err
	})
	return keys
}

// FuzzPasskeyResponse finishes a sign-in and a registration with any response.
func FuzzPasskeyResponse(f *testing.F) {
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":"AA"}}`))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	docs := memory.New(0)
	service := New(docs, Options{})
	keys, err := NewPasskeys(docs, []string{testOrigin}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		browser := strings.Repeat("b", minBrowser)
		_, added := service.AddPasskey(t.Context(), Actor{}, keys, browser, "", response)
		_, signedIn := service.SignInWithPasskey(t.Context(), keys, browser, response, Device{})
		for _, err := range []error{added, signedIn} {
			if !errors.Is(err, ErrPasskey) && !errors.Is(err, ErrCeremony) {
				t.Errorf("%q: %v", response, err)
			}
		}
	})
}

func isValueError(err error) bool {
	_, ok := errors.AsType[*ValueError](err)
	return ok
}
