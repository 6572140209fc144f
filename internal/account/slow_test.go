package account

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kaban/internal/limit"
)

// slowWorld is a world in which guessing is slowed down, on its own clock.
func slowWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.options.SignIns = limit.NewSignIns(10, w.options.Elapsed)
	w.claim()
	return w
}

// Guessing at an account grows slow, for passwords and recovery codes alike, whether
// there is such an account or not. The right person gets in from another address, and
// at once from one that is known.
func TestGuessingGrowsSlow(t *testing.T) {
	for name, guess := range map[string]func(w *world, username string) error{
		"password": func(w *world, username string) error {
			_, err := w.SignInWithPassword(w.ctx, username, "wrong horse battery", Device{Address: "192.0.2.1"})
			return err
		},
		"recovery code": func(w *world, username string) error {
			_, err := w.SignInWithRecoveryCode(w.ctx, username, "aaaa-bbbb-cccc-dddd", Device{Address: "192.0.2.1"})
			return err
		},
	} {
		for _, username := range []string{"alice", "ALICE", "nobody", "no name\x00"} {
			t.Run(fmt.Sprintf("%s %q", name, username), func(t *testing.T) {
				w := slowWorld(t)
				home := Device{Address: "192.0.2.7"}
				if _, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, home); err != nil {
					t.Fatal(err)
				}
				var waits []time.Duration
				for tries := 0; len(waits) < 5; tries++ {
					err := guess(w, username)
					if wait, ok := errors.AsType[*WaitError](err); ok {
						waits = append(waits, wait.After)
						w.pass(wait.After)
					} else if !errors.Is(err, ErrAuthFailed) {
						t.Fatal(err)
					}
					if tries > 100 {
						t.Fatal("guessing never grows slow")
					}
				}
				for i := 1; i < len(waits); i++ {
					if waits[i] <= waits[i-1] {
						t.Errorf("the delays %v do not grow", waits)
					}
				}
				for _, device := range []Device{home, {Address: "192.0.2.9"}} {
					if _, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, device); err != nil {
						t.Errorf("the right person from %s: %v", device.Address, err)
					}
				}
			})
		}
	}
}

// A secret that nobody can guess is taken whatever the delays, and makes an address
// known. A wrong one counts for its address, and is refused as ever.
func TestSecretsAndDelays(t *testing.T) {
	w := slowWorld(t)
	session, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := w.Authenticate(w.ctx, newSecret(devicePrefix), "192.0.2.1"); !errors.Is(err, ErrAuthFailed) {
			t.Fatalf("a wrong secret: %v", err)
		}
	}
	if _, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: "192.0.2.1"}); err == nil {
		t.Error("wrong secrets do not count for the address")
	}
	if _, err := w.Authenticate(w.ctx, session.Secret, "192.0.2.1"); err != nil {
		t.Errorf("the right secret: %v", err)
	}
	if _, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: "192.0.2.1"}); err != nil {
		t.Errorf("a password where a secret was right: %v", err)
	}
}

// A stranger behind the same address keeps nobody out that has a browser or a terminal in
// which they have signed in before, or that is signed in.
func TestStrangersAtTheSameAddress(t *testing.T) {
	w := slowWorld(t)
	const address = "192.0.2.7"
	home := Device{Address: address, Place: NewBrowser()}
	session, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, home)
	if err != nil {
		t.Fatal(err)
	}
	guess := func(browser string) error {
		_, err := w.SignInWithPassword(w.ctx, "alice", "wrong horse battery", Device{Address: address, Place: browser})
		return err
	}
	stranger := NewBrowser()
	for range 10 {
		err = guess(stranger)
	}
	if !is[*WaitError](err) {
		t.Fatalf("a stranger goes on guessing: %v", err)
	}
	if _, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, home); err != nil {
		t.Errorf("the right person in a known browser: %v", err)
	}
	if err := w.Confirm(w.ctx, session.Principal.As(address), alicePassword); err != nil {
		t.Errorf("the right person at a device that is signed in: %v", err)
	}
	// Neither is a place to guess from.
	for range 10 {
		err = guess(home.Place)
	}
	if !is[*WaitError](err) {
		t.Errorf("a known browser goes on guessing: %v", err)
	}
	for range 10 {
		err = w.Confirm(w.ctx, session.Principal.As(address), "wrong horse battery")
	}
	if !is[*WaitError](err) {
		t.Errorf("a device that is signed in goes on guessing: %v", err)
	}
}

// A terminal that signs in with a device's secret is a place, whatever secret it keeps. A
// program's token makes none.
func TestRememberPlace(t *testing.T) {
	w := slowWorld(t)
	const address = "192.0.2.7"
	session, err := w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := w.MakeToken(w.ctx, session.Principal.As(address), NewToken{Name: "program"})
	if err != nil {
		t.Fatal(err)
	}
	for secret, known := range map[string]bool{session.Secret: true, token: false} {
		place := NewBrowser()
		p, err := w.Authenticate(w.ctx, secret, address)
		if err != nil {
			t.Fatal(err)
		}
		w.RememberPlace(&p, place)
		for err = nil; !is[*WaitError](err); {
			_, err = w.SignInWithPassword(w.ctx, "alice", "wrong horse battery", Device{Address: address})
		}
		_, err = w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: address, Place: place})
		if known && err != nil || !known && !is[*WaitError](err) {
			t.Errorf("with a %s: %v", p.Kind, err)
		}
	}
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// Who is exempt guesses as fast as passwords are checked.
func TestExemptGuesses(t *testing.T) {
	w := slowWorld(t)
	for range 50 {
		if _, err := w.SignInWithPassword(w.ctx, "alice", "wrong horse battery", Device{}); !errors.Is(err, ErrAuthFailed) {
			t.Fatal(err)
		}
	}
}
