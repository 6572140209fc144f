package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

var errMuted = errors.New("muted")

// judgeOf returns a judge for rights that are one document of each identity: those
// with one may not send. It counts its decisions.
func judgeOf(s store.Store, decisions *atomic.Int64) Judge {
	return func(r *Room, member *kaban.Peer, _ *Rights, generation uint64) (*Rights, error) {
		decisions.Add(1)
		rights := &Rights{Generation: generation}
		err := s.View(context.Background(), func(tx store.Tx) (err error) {
			if rights.Revision, err = tx.Revision(r.Name()); err != nil {
				return err
			}
			value, err := tx.Get(store.Key("muted", member.ID()))
			if value != nil {
				rights.Refusal = errMuted
			}
			return err
		})
		return rights, err
	}
}

// mute is a decision that takes a right away.
func mute(room kaban.RoomName, identity string) func(store.Tx) error {
	return func(tx store.Tx) error {
		if err := tx.Put(store.Key("muted", identity), []byte("x")); err != nil {
			return err
		}
		return tx.Bump(room)
	}
}

func TestRightsAreDecidedOnceARevision(t *testing.T) {
	s := memory.New(0)
	var decisions atomic.Int64
	d := newDispatcher(t, s, Options{})
	d.SetJudge(judgeOf(s, &decisions))
	ann, bob := newReader(t), newReader(t)
	a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	for i := range 10 {
		d.Submit([]Send{send(t, a, "ann", fmt.Sprint(i), "hi")})
	}
	if got := decisions.Load(); got != 1 {
		t.Errorf("%d decisions for 10 sends", got)
	}
	deed := send(t, a, "ann", "mute", "bob is muted")
	stored := 0
	deed.Terms = &Terms{Decide: mute(a.Room().Name(), b.user.ID())}
	deed.Terms.Stored = func(r Receipt) { stored++ }
	d.Submit([]Send{deed, deed})
	if stored != 1 || a.Room().Revision() != 1 {
		t.Errorf("stored was called %d times, the revision is %d", stored, a.Room().Revision())
	}
	d.Submit([]Send{send(t, a, "ann", "10", "hi"), send(t, b, "bob", "1", "hello?")})
	ann.take(a, 1<<20)
	bob.take(b, 1<<20)
	if len(bob.refused) != 1 || !errors.Is(bob.refused[0].Err, errMuted) {
		t.Errorf("bob got %v", bob.refused)
	}
	if len(ann.refused) != 0 || a.Seq() != 12 {
		t.Errorf("ann got %v and is at %d", ann.refused, a.Seq())
	}
	before := decisions.Load()
	d.Invalidate()
	d.Submit([]Send{send(t, a, "ann", "11", "hi")})
	if got := decisions.Load(); got != before+1 {
		t.Errorf("%d decisions after rights of the server have changed", got-before)
	}
}

// A repeat of what is stored is acknowledged, whatever the rights are now.
func TestARepeatNeedsNoRight(t *testing.T) {
	s := memory.New(0)
	var decisions atomic.Int64
	d := newDispatcher(t, s, Options{})
	d.SetJudge(judgeOf(s, &decisions))
	bob := newReader(t)
	b := join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, b, "bob", "1", "hi")})
	if err := s.Update(t.Context(), mute(b.Room().Name(), b.user.ID())); err != nil {
		t.Fatal(err)
	}
	d.Submit([]Send{send(t, b, "bob", "1", "hi"), send(t, b, "bob", "2", "ho"), send(t, b, "bob", "1", "other")})
	bob.take(b, 1<<20)
	assertGiven(t, bob, "ack 1 1", "duplicate 1 1")
	if len(bob.refused) != 2 || !errors.Is(bob.refused[0].Err, errMuted) && !errors.Is(bob.refused[1].Err, errMuted) {
		t.Errorf("refused: %v", bob.refused)
	}
}

// A change by another dispatcher counts from its commit on, in whatever order the
// two writers meet.
func TestRightsThatAnotherWriterTakes(t *testing.T) {
	s := memory.New(0)
	var decisions atomic.Int64
	d := newDispatcher(t, s, Options{})
	d.SetJudge(judgeOf(s, &decisions))
	other := newDispatcher(t, s, Options{})
	bob, ann := newReader(t), newReader(t)
	b, a := join(t, d, bob, "lobby", "bob", Start{}), join(t, other, ann, "lobby", "ann", Start{})
	d.Submit([]Send{send(t, b, "bob", "1", "one")})
	other.Grown(a.Room().Name(), 1)
	deed := send(t, a, "ann", "mute", "bob is muted")
	deed.Terms = &Terms{Decide: mute(a.Room().Name(), b.user.ID())}
	other.Submit([]Send{deed})
	d.Submit([]Send{send(t, b, "bob", "2", "two"), send(t, b, "bob", "3", "three")})
	bob.take(b, 1<<20)
	if len(bob.refused) != 2 || !errors.Is(bob.refused[0].Err, errMuted) {
		t.Errorf("bob got %v", bob.refused)
	}
	if state, err := s.Room(t.Context(), b.Room().Name()); err != nil || state.Head != 2 {
		t.Errorf("the store has %+v, %v", state, err)
	}
}

// Expelling and sending have one order: whatever a member sent is before the entry
// that expels it, or refused.
func TestExpellingWhileSending(t *testing.T) {
	const rounds = 300
	s := memory.New(0)
	var decisions atomic.Int64
	d := newDispatcher(t, s, Options{})
	d.SetJudge(judgeOf(s, &decisions))
	for i := range rounds {
		room := fmt.Sprint("room", i)
		ann, bob := newReader(t), newReader(t)
		a, b := join(t, d, ann, room, "ann", Start{}), join(t, d, bob, room, "bob", Start{})
		var both sync.WaitGroup
		both.Go(func() {
			for n := range 10 {
				d.Submit([]Send{send(t, b, "bob", fmt.Sprint(i, "-", n), "hi")})
			}
		})
		both.Go(func() {
			deed := send(t, a, "ann", fmt.Sprint("kick-", i), "bob is out")
			deed.Terms = &Terms{Decide: func(tx store.Tx) error { return tx.Bump(a.Room().Name()) }}
			deed.Terms.Stored = func(Receipt) { d.Expel(a.Room(), "kicked", is(t, "bob")) }
			d.Submit([]Send{deed})
		})
		both.Wait()
		ann.until(a, 1)
		page, err := s.Read(t.Context(), storetest.RoomName(t, room), store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		kicked := len(page)
		for n, e := range page {
			if e.Username == "ann" {
				kicked = n
			} else if n > kicked {
				t.Fatalf("round %d: entry %d is of somebody who was expelled by entry %d", i, n+1, kicked+1)
			}
		}
		bob.until(b, 0)
		assertExpelled(bob, b, 1<<20)
		if len(bob.given)+len(bob.refused) != 10 {
			t.Fatalf("round %d: %q and %d refusals for 10 sends", i, bob.given, len(bob.refused))
		}
		for _, r := range bob.refused {
			if !errors.Is(r.Err, ErrExpelled) {
				t.Fatalf("round %d: refused with %v", i, r.Err)
			}
		}
		d.Leave(a)
		d.Leave(b)
	}
}

func TestAPostWithStaleRights(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{})
	lobby := storetest.RoomName(t, "lobby")
	ann := newReader(t)
	a := join(t, d, ann, "lobby", "ann", Start{})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Bump(lobby) }); err != nil {
		t.Fatal(err)
	}
	post := Send{Draft: storetest.Draft(t, "lobby", "bob", "1", "hi"), Terms: &Terms{Checked: true}}
	if _, err := d.Post(t.Context(), post, func() {}); !errors.Is(err, store.ErrStale) {
		t.Errorf("a post with old rights: %v", err)
	}
	if err := d.Refresh(t.Context(), a.Room()); err != nil || a.Room().Revision() != 1 {
		t.Errorf("the revision is %d, %v", a.Room().Revision(), err)
	}
	post.Terms.Revision = 1
	if _, err := d.Post(t.Context(), post, func() {}); err != nil {
		t.Error(err)
	}
}

// A place that was found before the rights have changed lets nobody in.
func TestAPlaceOfOldRights(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{})
	ann, bob := newReader(t), newReader(t)
	a := join(t, d, ann, "lobby", "ann", Start{})
	lobby := a.Room().Name()
	for _, start := range []Start{{}, {Resume: true}} {
		place, ok := d.Known(lobby, start)
		if !ok {
			var err error
			if place, err = d.Find(t.Context(), lobby, start); err != nil {
				t.Fatal(err)
			}
		}
		deed := send(t, a, "ann", fmt.Sprint("deed", start.Resume), "x")
		deed.Terms = &Terms{Decide: func(tx store.Tx) error { return tx.Bump(lobby) }}
		d.Submit([]Send{deed})
		if _, _, err := d.Join(bob, bob, plain, &kaban.Peer{Identity: kaban.Visitor(storetest.Username(t, "bob"))}, place); !errors.Is(err, store.ErrStale) {
			t.Errorf("%+v: %v", start, err)
		}
	}
	if _, _, err := tryJoin(d, bob, plain, storetest.Username(t, "bob"), lobby, Start{}); err != nil {
		t.Errorf("with a new place: %v", err)
	}
}

// A message that is stored anew because rights have changed stays before one of the same connection
// whose rights are looked up only when it is stored, as with files.
func TestOrderOfWhatIsStoredAnew(t *testing.T) {
	s := memory.New(0)
	var decisions atomic.Int64
	d := newDispatcher(t, s, Options{})
	d.SetJudge(judgeOf(s, &decisions))
	ann, bob := newReader(t), newReader(t)
	a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	deed := send(t, a, "ann", "mute", "carol is muted")
	deed.Terms = &Terms{Decide: mute(a.Room().Name(), "carol")}
	file := send(t, b, "bob", "2", "with files")
	file.Terms = &Terms{Decide: func(store.Tx) error { return nil }}
	d.Submit([]Send{deed, send(t, b, "bob", "1", "x"), file, send(t, b, "bob", "3", "x")})
	bob.until(b, 4)
	assertGiven(t, bob, "lobby 1 ann carol is muted", "ack 2 1", "ack 3 2", "ack 4 3")
}
