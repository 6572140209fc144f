package session

import (
	"errors"
	"fmt"
	"testing"

	"kaban"
)

type owner struct{ replaced int }

func (o *owner) Replace() { o.replaced++ }

func named(t *testing.T, name string) kaban.Username {
	t.Helper()
	u, err := kaban.ParseUsername(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A name belongs to one, goes to who knows the secret, and is free again when the
// last holder gives it back.
func TestANameBelongsToOne(t *testing.T) {
	var r Registry
	ann, look := named(t, "ann"), named(t, "\u0430nn") // the second in Cyrillic letters
	var first, second owner
	s, err := r.Claim(&first, Identity{ann}, "")
	if err != nil || len(s.Secret) < 26 {
		t.Fatalf("got %+v, %v", s, err)
	}
	for _, resume := range []string{"", "wrong", s.Secret + "x"} {
		if _, err := r.Claim(&second, Identity{look}, resume); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: got %v, want ErrTaken", resume, err)
		}
	}
	if err := r.Check(look); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	if first.replaced > 0 {
		t.Error("the holder was told without a reason")
	}
	taken, err := r.Claim(&second, Identity{look}, s.Secret)
	if err != nil || first.replaced != 1 || taken.Secret == s.Secret {
		t.Errorf("got %+v, %v; told %d times", taken, err, first.replaced)
	}
	r.Release(s) // who has lost the name cannot give it back
	if err := r.Check(ann); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	r.Release(taken)
	if err := r.Check(ann); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
}

func TestReservedNames(t *testing.T) {
	var r Registry
	for _, name := range []string{"server", "SYSTEM", "kaban", "everyone", "all", "a11", "here", "channel"} {
		u := named(t, name)
		if _, err := r.Claim(new(owner), Identity{u}, ""); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: got %v, want ErrReserved", name, err)
		}
		if err := r.Check(u); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: got %v, want ErrReserved", name, err)
		}
	}
}

// attempt is a connection of a client that gave it up, or the one that it waits
// at.
type attempt struct {
	owner   owner
	session *Session
}

// A client that was away came back several times with the secret that it had,
// and gave up all attempts but the last. In whatever order the server takes them
// the client has the name in the end, though none that is dead was noticed yet.
func TestAClientWinsOverItsOwnAttempts(t *testing.T) {
	ann := Identity{named(t, "ann")}
	const dead = 4
	for place := range dead + 1 { // of the live one among the dead
		for _, confirms := range []bool{false, true} {
			t.Run(fmt.Sprint(place, confirms), func(t *testing.T) {
				var r Registry
				first, err := r.Claim(new(owner), ann, "")
				if err != nil {
					t.Fatal(err)
				}
				r.Confirm(first)
				var live attempt
				for k := range dead + 1 {
					a := new(attempt)
					if k == place {
						a = &live
					}
					a.session, err = r.Claim(&a.owner, ann, first.Secret)
					switch {
					case k > place && confirms:
						if !errors.Is(err, ErrTaken) {
							t.Fatalf("attempt %d after the client had spoken: got %v, want ErrTaken", k, err)
						}
					case err != nil:
						t.Fatalf("attempt %d: %v", k, err)
					}
					if k == place && confirms {
						r.Confirm(live.session)
					}
				}
				wantReplaced := 0
				if place < dead && !confirms {
					wantReplaced = 1
				}
				if live.owner.replaced != wantReplaced {
					t.Errorf("the live one was told %d times that it is replaced, want %d", live.owner.replaced, wantReplaced)
				}
				// Whatever has become of it: with the last secret that reached it, it wins.
				last, err := r.Claim(new(owner), ann, live.session.Secret)
				if err != nil {
					t.Fatalf("the client cannot have its name back: %v", err)
				}
				r.Confirm(last)
				for _, old := range []*Session{first, live.session} {
					if _, err := r.Claim(new(owner), ann, old.Secret); !errors.Is(err, ErrTaken) {
						t.Errorf("an old secret still counts after the new one has arrived: %v", err)
					}
				}
			})
		}
	}
}

// What a session remembers is bounded, and the secret that is shown again and
// again stays good.
func TestEarlierSecretsAreBounded(t *testing.T) {
	var r Registry
	ann := Identity{named(t, "ann")}
	s, err := r.Claim(new(owner), ann, "")
	if err != nil {
		t.Fatal(err)
	}
	shown := s.Secret
	for k := range 5 * maxEarlier {
		before := s
		if s, err = r.Claim(new(owner), ann, shown); err != nil {
			t.Fatalf("attempt %d: %v", k, err)
		}
		if len(s.earlier) > maxEarlier {
			t.Fatalf("%d secrets are kept, want at most %d", len(s.earlier), maxEarlier)
		}
		if s.find(before.Secret) < 0 {
			t.Fatalf("attempt %d: the secret before is lost", k)
		}
	}
	middle, err := r.Claim(new(owner), ann, s.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if middle.find(shown) >= 0 {
		t.Error("a secret from before the one that was shown still counts")
	}
}

// The end of the first connection may be seen before the attempts that follow:
// the secret that they all show goes on to count.
func TestAttemptsAfterTheNameWasFree(t *testing.T) {
	var r Registry
	ann := Identity{named(t, "ann")}
	first, err := r.Claim(new(owner), ann, "")
	if err != nil {
		t.Fatal(err)
	}
	r.Release(first)
	for k := range 3 {
		if _, err := r.Claim(new(owner), ann, first.Secret); err != nil {
			t.Fatalf("attempt %d: %v", k, err)
		}
	}
	for _, wrong := range []string{"", "wrong"} {
		if _, err := r.Claim(new(owner), ann, wrong); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: got %v, want ErrTaken", wrong, err)
		}
	}
}
