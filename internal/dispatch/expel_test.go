package dispatch

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// assertExpelled reads on in writes of at most max bytes and expects an expulsion.
func assertExpelled(r *reader, s *Subscription, max int) {
	r.t.Helper()
	r.expelled = ""
	r.take(s, max)
	if r.expelled != "kicked" {
		r.t.Errorf("the expulsion's reason is %q", r.expelled)
	}
}

// is selects one identity.
func is(t testing.TB, user string) func(Reader) bool {
	id := kaban.Visitor(storetest.Username(t, user)).ID()
	return func(r Reader) bool { return r.Peer.ID() == id }
}

func TestExpelledReadersAreGivenNothingMore(t *testing.T) {
	d := newDispatcher(t, nil, Options{})
	ann, bob, cat := newReader(t), newReader(t), newReader(t)
	a := join(t, d, ann, "lobby", "ann", Start{})
	b, c := join(t, d, bob, "lobby", "bob", Start{}), join(t, d, cat, "lobby", "cat", Start{})
	d.Submit([]Send{send(t, a, "ann", "1", "one")})
	bob.take(b, 1<<20)
	d.Submit([]Send{send(t, a, "ann", "2", "owed")})
	d.Expel(b.Room(), "kicked", is(t, "bob"))
	d.Submit([]Send{send(t, a, "ann", "3", "later")})
	assertExpelled(bob, b, 1<<20)
	assertGiven(t, bob, "lobby 1 ann one")
	cat.take(c, 1<<20)
	assertGiven(t, cat, "lobby 1 ann one", "lobby 2 ann owed", "lobby 3 ann later")
	if names, _ := a.Room().Visitors("", 10); strings.Join(names, " ") != "ann cat" || a.Room().Members() != 2 {
		t.Errorf("the members are %q", names)
	}
	d.Expel(b.Room(), "again", is(t, "bob"))
	assertExpelled(bob, b, 1<<20) // the first reason counts
	d.Leave(b)
	if segment := b.Next(); segment.Expelled != nil {
		t.Error("one that has left is still expelled")
	}
	if a.Room().Members() != 2 {
		t.Errorf("%d members after leaving", a.Room().Members())
	}
}

// A frame that is half given is given to its end, from the tail and from a page.
func TestExpelledInTheMiddleOfAnEntry(t *testing.T) {
	for _, behind := range []bool{false, true} {
		d := newDispatcher(t, nil, Options{TailBytes: 1})
		ann, bob := newReader(t), newReader(t)
		a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
		long := strings.Repeat("x", 1000)
		for i := range 5 {
			d.Submit([]Send{send(t, a, "ann", fmt.Sprint(i), long)})
		}
		if behind {
			d.Leave(b)
			bob = newReader(t)
			b = join(t, d, bob, "lobby", "bob", Start{Resume: true})
		}
		for !b.IsMidEntry() && bob.sip(b, 10) { // the first time it may read a page
		}
		if !b.IsMidEntry() {
			t.Fatalf("%q was given", bob.given)
		}
		d.Expel(b.Room(), "kicked", is(t, "bob"))
		assertExpelled(bob, b, 300)
		assertGiven(t, bob, "lobby 1 ann "+long)
	}
}

// Sends that were stored before are acknowledged, whatever the reader was not given.
func TestExpelledSendersGetTheirReceipts(t *testing.T) {
	store := &gated{memory.New(0), make(chan struct{})}
	d := newDispatcher(t, store, Options{})
	ann, bob := newReader(t), newReader(t)
	a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, a, "ann", "1", "one"), send(t, b, "bob", "2", "two"), send(t, b, "bob", "3", "three")})
	d.Expel(b.Room(), "kicked", is(t, "bob"))
	if bob.take(b, 1<<20); bob.expelled != "" {
		t.Error("expelled with sends under way")
	}
	close(store.open)
	ann.until(a, 3)
	bob.until(b, 0)
	assertExpelled(bob, b, 1<<20)
	assertGiven(t, bob, "ack 2 2", "ack 3 3")
	d.Leave(a)
	d.Leave(b)
}

// A reader that is expelled and does not read holds no place in the room, and the
// room goes on without it.
func TestARoomWithExpelledReadersOnly(t *testing.T) {
	d := newDispatcher(t, nil, Options{})
	bob := newReader(t)
	b := join(t, d, bob, "den", "bob", Start{})
	d.Submit([]Send{send(t, b, "bob", "1", "one")})
	d.Expel(b.Room(), "kicked", func(Reader) bool { return true })
	ann := newReader(t)
	a := join(t, d, ann, "den", "ann", Start{Resume: true})
	d.Submit([]Send{send(t, a, "ann", "2", "two")})
	ann.until(a, 2)
	assertGiven(t, ann, "den 1 bob one", "ack 2 2")
	d.Leave(b)
	d.Submit([]Send{send(t, a, "ann", "3", "three")})
	ann.until(a, 3)
	if a.Room().Members() != 1 {
		t.Errorf("%d members", a.Room().Members())
	}
	d.Leave(a)
	if _, _, err := tryJoin(d, ann, plain, storetest.Username(t, "ann"), storetest.RoomName(t, "den"), Start{Resume: true, After: 3}); err != nil {
		t.Error(err)
	}
}
