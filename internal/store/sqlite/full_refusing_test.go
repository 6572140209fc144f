package sqlite

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/store"
)

// A store refuses messages until one is stored or there is room, however long that takes and
// whether or not anybody tries.
func TestRefusing(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	s := &Store{database: &database{}}
	full := fmt.Errorf("append: %w", store.ErrFull)
	want := func(what string, since time.Time) {
		t.Helper()
		got, err := s.Refusing()
		if !got.Equal(since) || errors.Is(err, store.ErrFull) == since.IsZero() {
			t.Errorf("%s: since %v, %v", what, got, err)
		}
	}
	room := func(err error) func() error {
		s.full.looked = time.Time{}
		return func() error { return err }
	}
	want("at first", time.Time{})
	s.full.look(func() error { t.Error("it looks for room although nothing failed"); return nil })
	s.full.note(full, began)
	want("once full", began)
	s.full.note(full, began.Add(-time.Hour)) // the clock was set
	s.full.note(store.ErrClosed, began)      // says nothing about it
	want("with other failures", began)
	s.full.look(room(full))
	want("without room", began)
	s.full.looked = time.Time{}
	s.full.look(func() error { s.full.note(full, began.Add(time.Hour)); return nil })
	want("with room that was gone again", began)
	s.full.look(room(nil))
	want("with room", time.Time{})
	s.full.note(full, began.Add(2*time.Hour))
	want("full again", began.Add(2*time.Hour))
	s.full.note(nil, began)
	want("when a message was stored", time.Time{})
}

// The merger looks for room by itself, soon at first and then from time to time.
func TestTheMergerLooksForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{path: "nowhere"}
		looks := make(chan error)
		d.lookForRoom = func() error { return <-looks }
		d.merger.wake, d.merger.stop = make(chan struct{}, 1), make(chan struct{})
		idle := func() error { return nil }
		d.merger.group.Go(func() { d.mergeLoop(idle) })
		time.Sleep(time.Hour) // nothing is full

		d.noteAppend(store.ErrFull, time.Now())
		began := time.Now()
		looks <- store.ErrFull
		if took := time.Since(began); took != 0 {
			t.Errorf("it looks after %v", took)
		}
		for range 3 {
			began = time.Now()
			d.noteAppend(store.ErrFull, time.Now()) // tries in vain do not hurry it
			d.merger.wake <- struct{}{}
			looks <- store.ErrFull
			if took := time.Since(began); took != roomEvery {
				t.Errorf("it looks again after %v", took)
			}
		}
		looks <- nil
		synctest.Wait()
		if d.full.state.Load() != nil {
			t.Error("there is room, and it counts as full")
		}
		time.Sleep(time.Hour) // it does not look any more: the channel would hold it up
		close(d.merger.stop)
		d.merger.group.Wait()
	})
}

// Looking for room finds some, and leaves nothing behind.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.room(); err != nil {
		t.Errorf("there is room, but %v", err)
	}
	after, err := os.ReadDir(dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("%v becomes %v, %v", before, after, err)
	}
	if err := os.Mkdir(s.path+roomSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.room(); err == nil {
		t.Error("what cannot be written counts as room")
	}
}
