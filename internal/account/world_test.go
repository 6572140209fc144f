package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// cheap are parameters for tests that hash a lot.
var cheap = parameters{memory: 64, passes: 1, lanes: 1}

// fatal is what tests and property tests have in common.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

// world is a Service with a clock that tests set. It remembers the secrets that were
// handed out.
type world struct {
	*Service
	t   fatal
	ctx context.Context

	mu      sync.Mutex
	time    time.Time
	elapsed time.Duration
	log     bytes.Buffer
	secrets []string
	revoked []string // account and, after a slash, the id of the secret
	changed []string // accounts
}

const (
	alicePassword = "correct horse battery"
	bobPassword   = "purple monkey dishwasher"
)

// newWorld returns a world on a store; nil is one in memory.
func newWorld(t fatal, documents store.Documents) *world {
	t.Helper()
	if documents == nil {
		documents = memory.New(0)
	}
	w := &world{t: t, ctx: context.Background(), time: time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC)}
	w.Service = New(documents, Options{
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.time },
		Elapsed: func() time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.elapsed
		},
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		OnRevoked: func(account, id string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.revoked = append(w.revoked, account+"/"+id)
		},
		OnChanged: func(account string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed = append(w.changed, account)
		},
	})
	w.hasher.current = cheap
	return w
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time, w.elapsed = w.time.Add(d), w.elapsed+d
}

// wait lets time pass that only limits within the process measure.
func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.elapsed += d
}

// setClock sets the time of day.
func (w *world) setClock(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(by)
}

func (w *world) takeRevoked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.revoked
	w.revoked = nil
	return taken
}

func (w *world) takeChanged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.changed
	w.changed = nil
	return taken
}

// kept remembers secrets.
func (w *world) kept(secrets ...string) { w.secrets = append(w.secrets, secrets...) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

// claim makes alice the owner and returns her as an actor.
func (w *world) claim() Actor {
	w.t.Helper()
	secret, err := w.NewClaim(w.ctx)
	w.must(err)
	made, err := w.ClaimServer(w.ctx, secret, NewAccount{Username: "alice", Password: alicePassword}, "", Device{Name: "laptop", Address: "192.0.2.1"})
	w.must(err)
	w.kept(secret, made.Session.Secret, alicePassword)
	w.kept(made.RecoveryCodes...)
	return made.Session.Principal.As("192.0.2.1")
}

// add makes an account with a password, and signs in.
func (w *world) add(by Actor, name string, role kaban.Role) Actor {
	w.t.Helper()
	_, _, err := w.AddAccount(w.ctx, by, NewPerson{NewAccount{Username: name, Password: bobPassword}, role})
	w.must(err)
	return w.signInAs(name, bobPassword)
}

func (w *world) signInAs(name, password string) Actor {
	w.t.Helper()
	session, err := w.SignInWithPassword(w.ctx, name, password, Device{Name: "phone", Address: "192.0.2.2"})
	w.must(err)
	w.kept(session.Secret, password)
	return session.Principal.As("192.0.2.2")
}

// signIn returns the secret of a new device.
func (w *world) device(name, password string) string {
	w.t.Helper()
	session, err := w.SignInWithPassword(w.ctx, name, password, Device{Name: "phone", Address: "192.0.2.2"})
	w.must(err)
	w.kept(session.Secret)
	return session.Secret
}

// bot makes a bot of the actor and returns the secret of a token for it.
func (w *world) bot(by Actor, name string) string {
	w.t.Helper()
	_, err := w.MakeBot(w.ctx, by, NewBot{Username: name})
	w.must(err)
	_, secret, err := w.MakeToken(w.ctx, by, NewToken{Username: name, Name: "ci"})
	w.must(err)
	w.kept(secret)
	return secret
}

func (w *world) setAccess(by Actor, value string) {
	w.t.Helper()
	w.must(w.Set(w.ctx, by, SettingAccess, value))
}

// everything returns all documents, as one text.
func (w *world) everything() string {
	w.t.Helper()
	var all strings.Builder
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		documents, err := tx.Scan("", "\U0010ffff", 1<<20)
		for _, d := range documents {
			all.WriteString(d.Key + "=" + string(d.Value) + "\n")
		}
		return err
	}))
	return all.String()
}

// put changes an account behind the back of the Service.
func (w *world) put(name string, change func(*people.Account)) {
	w.t.Helper()
	username, err := kaban.ParseUsername(name)
	w.must(err)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		a, err := people.Accounts.Named(tx, username)
		if err != nil {
			return err
		}
		change(&a)
		return people.Accounts.Put(tx, &a)
	}))
}

// rows returns the actions of the audit, in order.
func (w *world) rows(by Actor) (actions []string) {
	w.t.Helper()
	page, err := w.Audit(w.ctx, by, AuditQuery{Limit: 500})
	w.must(err)
	for _, r := range page.Rows {
		actions = append(actions, r.Action)
	}
	return actions
}

// wantRow demands that the audit has a row of an action about a subject; "" is any.
func wantRow(t testing.TB, s *Service, action people.AuditAction, subject string) {
	t.Helper()
	page, err := s.Audit(t.Context(), Operator(), AuditQuery{Action: action.String(), Subject: subject, Limit: 500})
	if err != nil || len(page.Rows) == 0 {
		t.Errorf("the audit has no %s of %q: %v", action, subject, err)
	}
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// hasCode reports whether an action was refused with a code of the protocol, or with ""
// was not.
func hasCode(got error, code string) bool {
	refused, ok := errors.AsType[*RefusedError](got)
	switch {
	case code == "":
		return got == nil
	case ok:
		return refused.Verdict.String() == code
	}
	return code == "not_found" && errors.Is(got, ErrNotFound)
}

// wantCode checks the code of an action.
func wantCode(t testing.TB, what string, got error, code string) {
	t.Helper()
	if !hasCode(got, code) {
		t.Errorf("%s: %v, want %q", what, got, code)
	}
}

// pendingRooms returns the rooms that a new account is still to join.
func (w *world) pendingRooms(ctx context.Context, account string) (rooms []string, err error) {
	err = w.documents.View(ctx, func(tx store.Tx) error {
		task, _, err := people.Tasks.Find(tx, account, people.TaskJoin)
		rooms = append(task.Rooms, task.Invited...)
		return err
	})
	return rooms, err
}

// roomsJoined ends that task.
func (w *world) roomsJoined(ctx context.Context, account string) error {
	return w.documents.Update(ctx, func(tx store.Tx) error {
		return people.Tasks.Delete(tx, account, string(people.TaskJoin))
	})
}
