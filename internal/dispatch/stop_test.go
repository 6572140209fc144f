package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// failingOnce is a store that fails the next append with an error, if there is one.
type failingOnce struct {
	slowStore
	err atomic.Pointer[error]
}

func (s *failingOnce) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if err := s.err.Swap(nil); err != nil {
		return *err
	}
	return s.slowStore.Append(ctx, batch, results)
}

// stopped is a dispatcher over a failing store, with one reader that sends.
type stopped struct {
	t     *testing.T
	store *failingOnce
	d     *Dispatcher
	alice *reader
	sub   *Subscription
}

func newStopped(t *testing.T) *stopped {
	s := &stopped{t: t, store: &failingOnce{slowStore: slowStore{memory.New(0)}}, alice: newReader(t)}
	s.d = newDispatcher(t, s.store, Options{PresenceDelay: time.Hour})
	s.sub = join(t, s.d, s.alice, "lobby", "alice", Start{})
	return s
}

// say sends messages, and returns once each has a receipt.
func (s *stopped) say(ids ...string) {
	s.t.Helper()
	var sends []Send
	for _, id := range ids {
		sends = append(sends, send(s.t, s.sub, "alice", id, "says "+id))
	}
	s.submit(sends...)
}

func (s *stopped) submit(sends ...Send) {
	s.t.Helper()
	s.d.Submit(sends)
	s.alice.until(s.sub, 0)
}

// stored returns the ids of the log.
func (s *stopped) stored() (ids []string) {
	s.t.Helper()
	entries, err := s.store.Read(s.t.Context(), s.sub.Room().Name(), store.Page{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func (s *stopped) assertStored(want ...string) {
	s.t.Helper()
	if got := s.stored(); !slices.Equal(got, want) {
		s.t.Errorf("stored are %q, want %q", got, want)
	}
}

// While a client does not send again what has failed, nothing of it is stored in the room that
// was sent behind it. Others, and its other rooms, go on.
func TestAFailedSendStopsThoseBehindIt(t *testing.T) {
	for _, err := range []error{store.ErrUnavailable, store.ErrUnknown, store.ErrFull} {
		t.Run(err.Error(), func(t *testing.T) {
			s := newStopped(t)
			bob := newReader(t)
			b := join(t, s.d, bob, "lobby", "bob", Start{})
			away := newReader(t)
			other := join(t, s.d, away, "other", "alice", Start{})
			s.say("0")
			s.store.err.Store(&err)
			s.say("1", "2")
			s.say("3")
			s.d.Submit([]Send{send(t, b, "bob", "b", "of somebody else"), send(t, other, "alice", "o", "in another room")})
			bob.until(b, 2)
			away.until(other, 1)
			s.assertStored("0", "b")

			s.say("2")
			s.assertStored("0", "b")
			s.say("1", "2", "3")
			s.say("4")
			s.assertStored("0", "b", "1", "2", "3", "4")
		})
	}
}

// A send that fails again stops the others again, with what is under way behind it.
func TestAFailedSendFailsAgain(t *testing.T) {
	s := newStopped(t)
	for range 300 { // as often as the number of an attempt begins again
		err := store.ErrUnavailable
		s.store.err.Store(&err)
		s.say("1", "2")
		s.say("3")
	}
	s.assertStored()
	s.say("1", "2", "3")
	s.assertStored("1", "2", "3")
}

// Behind a send that is refused for what it is, the others are stored.
func TestARefusedSendStopsNothing(t *testing.T) {
	s := newStopped(t)
	s.say("1")
	again := send(t, s.sub, "alice", "1", "with another content")
	s.submit(again, send(t, s.sub, "alice", "2", "x"))
	refused := errors.New("damaged")
	s.store.err.Store(&refused)
	s.say("3")
	s.say("4")
	s.assertStored("1", "2", "4")
}

// A client that never sends again what has failed is heard after a while.
func TestAFailedSendIsForgotten(t *testing.T) {
	s := newStopped(t)
	now := s.d.clock()
	var late atomic.Int64
	s.d.clock = func() time.Duration { return now + time.Duration(late.Load()) }
	err := store.ErrUnavailable
	s.store.err.Store(&err)
	s.say("1")
	late.Store(int64(stopTime))
	s.say("2")
	s.assertStored()
	late.Add(1)
	s.say("3", "4")
	s.assertStored("3", "4")
}

// A send that could not even be made is refused in its turn: the order of what is sent again
// is that of before. Those of others go on.
func TestASendThatCouldNotBeMade(t *testing.T) {
	s := newStopped(t)
	failed := send(t, s.sub, "alice", "2", "with a file")
	failed.Terms = &Terms{Failed: fmt.Errorf("read: %w", store.ErrUnavailable)}
	bob := newReader(t)
	b := join(t, s.d, bob, "lobby", "bob", Start{})
	s.submit(send(t, s.sub, "alice", "1", "x"), failed, send(t, s.sub, "alice", "3", "x"), send(t, b, "bob", "b", "of somebody else"))
	bob.until(b, 0)
	s.say("4")
	s.say("1", "2", "3", "4")
	s.assertStored("1", "b", "2", "3", "4")
}
