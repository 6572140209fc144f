package session

import (
	"errors"
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
