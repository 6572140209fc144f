package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// asked is a store that counts the pages that it is asked for, and may hold them up or fail.
type asked struct {
	store.Store
	reads atomic.Int64
	gate  atomic.Pointer[chan error] // nil: answer at once; else each answer waits for what comes or for the close
}

func (s *asked) Read(ctx context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	s.reads.Add(1)
	entries, err := s.Store.Read(ctx, name, page)
	if gate := s.gate.Load(); gate != nil {
		select {
		case failure, ok := <-*gate:
			if ok {
				return nil, failure
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return entries, err
}

// lobbyOf returns a dispatcher whose store has some messages in the lobby, all of them before its tail.
func lobbyOf(t *testing.T, messages int, content string) (*Dispatcher, *asked) {
	t.Helper()
	s := &asked{Store: memory.New(0)}
	for i := range messages {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("old-", i), fmt.Sprint(content, " ", i+1)))
	}
	d, err := New(t.Context(), s, Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

// back returns a reader that goes on after an entry.
func back(t *testing.T, d *Dispatcher, user string, after uint64) (*reader, *Subscription) {
	t.Helper()
	r := newReader(t)
	return r, join(t, d, r, "lobby", user, Start{Resume: true, After: after})
}

// Readers that come back at the same place have the store asked once, whether they come at once or one after the other.
// Later, and when a text was taken away, it is asked anew.
func TestReadersThatComeBackShareAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := lobbyOf(t, 20, "hello")
		defer d.Close()
		gate := make(chan error)
		s.gate.Store(&gate)
		var group sync.WaitGroup
		for i := range 10 {
			r, sub := back(t, d, fmt.Sprint("early-", i), 10)
			group.Go(func() {
				if r.until(sub, 20); len(r.given) != 10 || !strings.HasSuffix(r.given[0], "hello 11") || !strings.HasSuffix(r.given[9], "hello 20") {
					t.Errorf("an early reader is given %q", r.given)
				}
			})
		}
		synctest.Wait()
		close(gate)
		group.Wait()
		s.gate.Store(nil)

		ann, a := back(t, d, "ann", 20)
		give := func(who string, after, last uint64, reads int64) []string {
			t.Helper()
			before := s.reads.Load()
			r, sub := back(t, d, who, after)
			r.until(sub, last)
			if got := s.reads.Load() - before; got != reads {
				t.Errorf("for %s the store is asked for %d pages, want %d", who, got, reads)
			}
			if len(r.given) != int(last-after) {
				t.Errorf("%s is given %q", who, r.given)
			}
			return r.given
		}
		if n := s.reads.Load(); n != 1 {
			t.Errorf("for ten readers at once the store is asked for %d pages, want 1", n)
		}
		give("bob", 10, 20, 0)
		give("cat", 11, 20, 1)
		d.Submit([]Send{send(t, a, "ann", "new", "and more")}) // which is in the tail
		ann.until(a, 21)
		give("dan", 10, 21, 0)

		d.Submit([]Send{about(t, a, "ann", "gone", kaban.KindDelete, 15, "")})
		ann.until(a, 22)
		if given := give("eve", 10, 22, 1); slices.ContainsFunc(given, func(line string) bool { return strings.HasSuffix(line, "hello 15") }) {
			t.Errorf("a text that was deleted is given: %q", given)
		}
		give("fay", 10, 22, 0)
		d.Submit([]Send{about(t, a, "ann", "edit", kaban.KindEdit, 12, "secret")})
		ann.until(a, 23)
		d.budget.dropAll()
		give("hal", 22, 23, 1) // an edit has the text, too
		d.Submit([]Send{about(t, a, "ann", "gone-12", kaban.KindDelete, 12, "")})
		ann.until(a, 24)
		give("hal", 22, 24, 1)
		give("hal", 22, 24, 0)
		d.Reencode()
		give("hal", 22, 24, 1)

		time.Sleep(sharedAge + time.Second)
		synctest.Wait()
		if n := d.store.kept.bytes; n != 0 || len(d.Peek(a.Room().Name()).shared) > 0 {
			t.Errorf("after %s, %d bytes are kept", sharedAge, n)
		}
		give("ida", 10, 24, 1)
	})
}

// A page whose text is taken away while it is read is not kept.
func TestAPageIsForgottenWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := lobbyOf(t, 20, "hello")
		defer d.Close()
		ann, a := back(t, d, "ann", 20)
		gate := make(chan error)
		s.gate.Store(&gate)
		bob, b := back(t, d, "bob", 10)
		var group sync.WaitGroup
		group.Go(func() { bob.until(b, 21) })
		synctest.Wait()
		d.Submit([]Send{about(t, a, "ann", "gone", kaban.KindDelete, 15, "")})
		ann.until(a, 21)
		close(gate)
		group.Wait()
		cat, c := back(t, d, "cat", 10)
		cat.until(c, 21)
		if slices.ContainsFunc(cat.given, func(line string) bool { return strings.HasSuffix(line, "hello 15") }) {
			t.Errorf("a text that was deleted is given: %q", cat.given)
		}
	})
}

// A page that cannot be read for one reader is read for the others.
func TestAFailedPageIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := lobbyOf(t, 20, "hello")
		defer d.Close()
		gate := make(chan error, 1)
		s.gate.Store(&gate)
		_, first := back(t, d, "bob", 10)
		cat, second := back(t, d, "cat", 10)
		first.Next()
		failure := errors.New("the disk")
		var group sync.WaitGroup
		group.Go(func() {
			if err := first.Fetch(t.Context()); !errors.Is(err, failure) {
				t.Errorf("Fetch: %v", err)
			}
		})
		synctest.Wait()
		group.Go(func() { cat.until(second, 20) })
		synctest.Wait()
		gate <- failure
		synctest.Wait()
		close(gate)
		group.Wait()
		if len(cat.given) != 10 || s.reads.Load() != 2 {
			t.Errorf("the other reader is given %q after %d reads", cat.given, s.reads.Load())
		}
		ended, end := context.WithCancel(t.Context())
		end()
		gate = make(chan error)
		s.gate.Store(&gate)
		_, third := back(t, d, "dan", 12)
		_, fourth := back(t, d, "eve", 12)
		third.Next()
		fourth.Next()
		group.Go(func() { third.Fetch(t.Context()) })
		synctest.Wait()
		if err := fourth.Fetch(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Fetch of a reader that goes: %v", err)
		}
		close(gate)
		group.Wait()
	})
}

// What is kept has a bound, and goes with the last reader.
func TestSharedPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 40_000
		d, s := lobbyOf(t, messages, strings.Repeat("x", 700))
		defer d.Close()
		r, sub := back(t, d, "ann", 0)
		r.until(sub, messages)
		kept := d.store.kept.bytes
		if kept > sharedBytes || kept < sharedBytes/2 {
			t.Errorf("%d bytes are kept, of at most %d", kept, sharedBytes)
		}
		before := s.reads.Load()
		again, late := back(t, d, "bob", messages-100)
		again.until(late, messages)
		also, last := back(t, d, "cat", messages-100)
		also.until(last, messages)
		if n := s.reads.Load() - before; n == 0 || n > 4 || len(also.given) != 100 {
			t.Errorf("for two later readers the store is asked for %d pages, and the second is given %d", n, len(also.given))
		}
		if n := d.store.kept.pages.Len(); n == 0 || n > sharedBytes/(32<<10) {
			t.Errorf("%d pages are listed", n)
		}
		d.Leave(last)
		d.Leave(sub)
		d.Leave(late)
		if n := d.store.kept.bytes; n != 0 {
			t.Errorf("%d bytes are kept for nobody", n)
		}
		if n := d.store.kept.pages.Len(); n != 0 {
			t.Errorf("%d pages are listed for nobody", n)
		}
	})
}
