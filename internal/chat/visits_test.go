package chat

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// come has a visitor come in with the secret of an earlier session, or "".
func (w *town) come(name, resume string) (*Session, *caller, error) {
	w.t.Helper()
	s, v := new(Session), new(caller)
	err := w.chat.Claim(s, v, kaban.Visitor(storetest.Username(w.t, name)), netip.MustParseAddr("192.0.2.7"), resume)
	if err == nil {
		if err = w.chat.Hold(w.t.Context(), s); errors.Is(err, ErrTaken) {
			err = w.chat.HoldAgain(w.t.Context(), s)
		}
		if err != nil {
			w.chat.Release(s)
		}
	}
	return s, v, err
}

// caller is a connection that notes how it ends.
type caller struct {
	guest
	replaced, dropped signal
}

func (v *caller) Replace() { v.replaced.set() }
func (v *caller) Drop()    { v.dropped.set() }

// signal is given once.
type signal chan struct{}

func (f *signal) set() {
	if *f != nil {
		close(*f)
	}
}

// A visitor's name belongs to one node, until it is given back there or resumed elsewhere.
func TestNamesOverNodes(t *testing.T) {
	one, two := twoNodes(t, true)
	comes := func(what string, w *town, name, resume string, want error) (*Session, *caller) {
		t.Helper()
		s, v, err := w.come(name, resume)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
		return s, v
	}
	mia, _ := comes("mia comes", one, "mia", "", nil)
	comes("another mia", two, "mia", "", ErrTaken)
	comes("somebody who looks like her", two, "rnia", "", nil)
	comes("somebody with a wrong secret", two, "mia", "AAAA", ErrTaken)
	if _, err := two.post(two.visitor("mia", netip.Addr{}), "lobby", "x", 0); !errors.Is(err, ErrTaken) {
		t.Errorf("somebody speaks with her name: %v", err)
	}
	one.chat.Release(mia)
	eventually(t, "the name is free", func() bool {
		s, _, err := two.come("mia", "")
		if err == nil {
			two.chat.Release(s)
		}
		return err == nil
	})
}

// A client goes on at another node before the first one has given its name back.
func TestANameThatIsGivenBackInAMoment(t *testing.T) {
	defer func(pauses []time.Duration) { holdPauses = pauses }(holdPauses)
	holdPauses = slices.Repeat(holdPauses, 50) // a busy machine gives it back late
	one, two := twoNodes(t, true)
	mia, _, err := one.come("mia", "")
	want(t, "mia comes", err, nil)
	var leaving sync.WaitGroup
	leaving.Go(func() {
		time.Sleep(50 * time.Millisecond)
		one.chat.Release(mia)
	})
	_, _, err = two.come("mia", "")
	want(t, "mia goes on", err, nil)
	leaving.Wait()
}

// A visitor resumes its session on another node, and the first one ends, also where the bus is cut.
func TestResumingOnAnotherNode(t *testing.T) {
	for _, cut := range []bool{false, true} {
		one, two := twoNodes(t, cut)
		first, v, err := one.come("mia", "")
		if err != nil {
			t.Fatal(err)
		}
		v.replaced = make(signal)
		second, _, err := two.come("mia", first.Secret())
		if err != nil {
			t.Fatal(err)
		}
		<-v.replaced
		one.chat.Release(first)
		// The answer was lost: the client knows the first secret only.
		if _, _, err := one.come("mia", first.Secret()); err != nil {
			t.Fatal(err)
		}
		two.chat.Release(second)
		// It was not the second answer that was lost, but the third: the client knows what the other node gave it.
		third, _, err := one.come("mia", second.Secret())
		if err != nil {
			t.Fatalf("with the secret of another node: %v", err)
		}
		one.chat.Confirm(third)
		eventually(t, "the first secret is not kept any more", func() bool {
			var kept people.Visit
			two.update(func(tx store.Tx) (err error) {
				kept, err = people.Visits.Get(tx, "mia")
				return err
			})
			return len(kept.Earlier) == 0
		})
		if _, _, err := two.come("mia", first.Secret()); !errors.Is(err, ErrTaken) {
			t.Errorf("with the first secret: %v", err)
		}
		if _, _, err := two.come("mia", third.Secret()); err != nil {
			t.Error(err)
		}
	}
}

// The names of a node are free once its lease is over, and it drops its visitors when it cannot
// renew it.
func TestTheNamesOfADeadNode(t *testing.T) {
	one, two := twoNodes(t, true)
	_, v, err := one.come("mia", "")
	if err != nil {
		t.Fatal(err)
	}
	v.dropped = make(signal)
	one.chat.LeaseLost()
	<-v.dropped
	if _, _, err := two.come("mia", ""); !errors.Is(err, ErrTaken) {
		t.Errorf("before its lease is over: %v", err)
	}
	node, _ := one.chat.visits.lease.Node()
	two.update(func(tx store.Tx) error { return people.Nodes.Delete(tx, node) })
	if _, _, err := two.come("mia", ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A node whose lease is over holds no name, also before it has noticed.
func TestNoNamesWithoutALease(t *testing.T) {
	one, two := twoNodes(t, true)
	node, _ := one.chat.visits.lease.Node()
	one.update(func(tx store.Tx) error { return people.Nodes.Delete(tx, node) })
	if _, _, err := one.come("mia", ""); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("it takes a visitor: %v", err)
	}
	one.update(func(tx store.Tx) error {
		return people.Visits.All(tx, func(v *people.Visit) bool {
			if v.Node == node {
				t.Errorf("%s is held under it", v.Name)
			}
			return true
		})
	})
	if _, _, err := two.come("mia", ""); err != nil {
		t.Error(err)
	}
}

// A ban of a visitor on another node is for its network, too.
func TestTheNetworkOfAVisitorElsewhere(t *testing.T) {
	one, two := twoNodes(t, true)
	if _, _, err := one.come("mia", ""); err != nil {
		t.Fatal(err)
	}
	var at netip.Addr
	err := two.store.View(t.Context(), func(tx store.Tx) (err error) {
		at, _, err = two.chat.visiting(tx, storetest.Username(t, "Mia"))
		return err
	})
	if err != nil || at != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("%v, %v", at, err)
	}
}
