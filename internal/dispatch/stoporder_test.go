package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// heldUp is a store that a test holds up, and whose database goes away when the test says so.
type heldUp struct {
	slowStore
	begun      chan struct{} // an append has begun, and takes one of appends
	appends    chan struct{}
	reads      chan struct{} // closed once reads may go on
	failed     atomic.Int64  // reads
	full, away atomic.Bool   // for appends, and for reads
}

func newHeldUp() *heldUp {
	return &heldUp{
		slowStore: slowStore{memory.New(0)},
		begun:     make(chan struct{}, 100), appends: make(chan struct{}, 100), reads: make(chan struct{}),
	}
}

func (s *heldUp) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.begun <- struct{}{}
	<-s.appends
	if s.full.Load() {
		return errAway
	}
	return s.slowStore.Append(ctx, batch, results)
}

func (s *heldUp) Read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	<-s.reads
	if s.away.Load() {
		s.failed.Add(1)
		return nil, errAway
	}
	return s.slowStore.Read(ctx, room, page)
}

// While the committer reads what it must, it refuses messages. None is refused before those that were sent
// earlier and are being stored, or wait for that: the client sends them again in the old order.
func TestOrderOfWhatIsRefusedMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name  string
		batch int // of the first append
		early int // are behind these
		terms *Terms
	}{
		{"those of an append that fails later", 1, 1, nil},
		{"those that wait to be appended", 1, 1, &Terms{}},
		{"the rest of a large batch", maxBatch, 2, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, alice := newHeldUp(), newReader(t)
			d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
			sub := join(t, d, alice, "lobby", "alice", Start{})
			elsewhere(t, s.slowStore, "lobby", "c") // it must be read before what comes behind it is published
			message := func(id string) Send { return send(t, sub, "alice", id, "says "+id) }
			var first, early []Send
			want := []string{}
			for i := range test.batch {
				first = append(first, message(fmt.Sprint("first-", i)))
			}
			for i := range test.early {
				early = append(early, message(fmt.Sprint("early-", i)))
				early[i].Terms = test.terms
				want = append(want, early[i].Draft.ID.String())
			}
			late := message("late")
			want = append(want, "late")

			if test.batch == maxBatch {
				d.Submit(slices.Concat(first, early))
				<-s.begun
			} else {
				d.Submit(first)
				<-s.begun
				d.Submit(early)
			}
			s.appends <- struct{}{}
			for d.committers[0].inbox.queued() > 0 {
				time.Sleep(time.Millisecond)
			}
			s.away.Store(true)
			close(s.reads)
			d.Submit([]Send{late})
			for s.failed.Load() < 3 {
				time.Sleep(time.Millisecond)
			}
			s.full.Store(true)
			close(s.appends)
			s.away.Store(false)
			alice.until(sub, 0)

			s.full.Store(false)
			for range 2 { // also if it takes the client another attempt
				d.Submit(append(slices.Clone(early), late))
				alice.until(sub, 0)
			}
			entries, err := s.Read(t.Context(), sub.Room().Name(), store.Page{Limit: 2 * maxBatch, After: uint64(1 + test.batch)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("stored are %q, want %q", got, want)
			}
		})
	}
}
