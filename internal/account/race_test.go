package account

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
)

// crowd is how many do the same at once.
const crowd = 100

// atOnce runs a function in many goroutines and counts how often it succeeded.
func atOnce(t *testing.T, want error, run func(i int) error) (succeeded int) {
	t.Helper()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		start = make(chan struct{})
	)
	for i := range crowd {
		wg.Go(func() {
			<-start
			err := run(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				succeeded++
			} else if !errors.Is(err, want) {
				t.Errorf("number %d: %v, want %v", i, err, want)
			}
		})
	}
	close(start)
	wg.Wait()
	return succeeded
}

// eachStore runs a test on every driver.
func eachStore(t *testing.T, run func(*testing.T, *world)) {
	t.Run("memory", func(t *testing.T) { run(t, newWorld(t, memory.New(0))) })
	t.Run("sqlite", func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kaban.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		run(t, newWorld(t, s))
	})
}

func TestHundredClaimsMakeOneOwner(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		secret, err := w.NewClaim(w.ctx)
		w.must(err)
		n := atOnce(t, ErrClaimed, func(i int) error {
			_, err := w.ClaimServer(w.ctx, secret, NewAccount{Username: fmt.Sprint("owner", i), Password: alicePassword}, "", Device{})
			return err
		})
		if n != 1 {
			t.Errorf("%d claims succeeded", n)
		}
		w.checkAccounts(t, 1)
	})
}

func TestHundredUsesOfOneInvite(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		alice := w.claim()
		for uses := 1; uses <= 3; uses++ {
			_, link, err := w.Invite(w.ctx, alice, NewInvite{Uses: uses})
			w.must(err)
			n := atOnce(t, ErrExpired, func(i int) error {
				_, err := w.AcceptInvite(w.ctx, link, NewAccount{Username: fmt.Sprintf("guest%d-%d", uses, i), Password: bobPassword}, Device{})
				return err
			})
			if n != uses {
				t.Errorf("an invite for %d made %d accounts", uses, n)
			}
		}
		w.checkAccounts(t, 1+1+2+3)
	})
}

func TestHundredSignUpsWithOneName(t *testing.T) {
	w := newWorld(t, nil)
	w.setAccess(w.claim(), "signup")
	names := []string{"bob", "Bob", "BOB"}
	n := atOnce(t, ErrNameTaken, func(i int) error {
		_, err := w.SignUp(w.ctx, NewAccount{Username: names[i%3], Password: bobPassword + "!"}, Device{})
		return err
	})
	if n != 1 {
		t.Errorf("%d accounts with one name", n)
	}
	w.checkAccounts(t, 2)
}

func TestHundredPollsAndCodes(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	grant, err := w.BeginGrant(w.ctx, Device{})
	w.must(err)
	w.must(w.DecideGrant(w.ctx, alice, grant.Code, true))
	w.polls.devices = nil // as after a restart: only the transaction decides
	if n := atOnce(t, ErrExpired, func(int) error {
		_, err := w.PollGrant(w.ctx, grant.Secret)
		return err
	}); n != 1 {
		t.Errorf("one grant made %d devices", n)
	}
	codes, err := w.NewRecoveryCodes(w.ctx, alice)
	w.must(err)
	if n := atOnce(t, ErrAuthFailed, func(i int) error {
		_, err := w.SignInWithRecoveryCode(w.ctx, "alice", codes[i%2], Device{})
		return err
	}); n != 2 {
		t.Errorf("two codes made %d devices", n)
	}
}

// Of two owners that demote or remove each other at once, one stays.
func TestLastOwnersRace(t *testing.T) {
	for range 20 {
		w := newWorld(t, nil)
		alice := w.claim()
		made, err := w.MakeOwner(w.ctx, "bob", bobPassword)
		w.must(err)
		bob := w.signInAs(made.Account.Username, bobPassword)
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.SetRole(w.ctx, alice, "alice", kaban.RoleMember) })
		wg.Go(func() { _ = w.Remove(w.ctx, alice, "bob") })
		wg.Go(func() { _ = w.Suspend(w.ctx, bob, "alice", "") })
		wg.Go(func() { _ = w.SetRole(w.ctx, bob, "bob", kaban.RoleGuest) })
		wg.Wait()
		w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
			other, err := otherOwner(tx, "")
			if err == nil && !other {
				t.Error("no owner is left")
			}
			return err
		}))
	}
}

// checkAccounts checks that the numbers of accounts and of rows about them agree.
func (w *world) checkAccounts(t *testing.T, want int) {
	t.Helper()
	page, err := w.People(w.ctx, Operator(), PeopleQuery{Limit: 500})
	w.must(err)
	added := 0
	for _, row := range w.rows(Operator()) {
		if row == "account.add" || row == "server.claim" || row == "account.owner" {
			added++
		}
	}
	if len(page.People) != want || added != want {
		t.Errorf("%d accounts and %d rows of the audit, want %d", len(page.People), added, want)
	}
	if devices := strings.Count(w.everything(), "\nsecret/"); devices != want {
		t.Errorf("%d devices, want %d", devices, want)
	}
}
