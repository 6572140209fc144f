package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// slowStore counts as one that blocks, so that the dispatcher has a committer
// goroutine.
type slowStore struct{ store.Store }

// Once Post has returned, every reader finds the message in the log. Posting it
// again is a duplicate.
func TestPost(t *testing.T) {
	for name, s := range map[string]store.Store{"a store that does not block": memory.New(0), "one that does": slowStore{memory.New(0)}} {
		t.Run(name, func(t *testing.T) {
			d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
			alice := newReader(t)
			a := join(t, d, alice, "lobby", "alice", Start{})
			var group sync.WaitGroup
			const n = 100
			for i := range n {
				group.Go(func() {
					message := storetest.Draft(t, "lobby", "bot", fmt.Sprint("id-", i), "x")
					first, err := d.Post(t.Context(), Send{Draft: message}, func() {})
					if err != nil || first.Duplicate || first.Seq > a.Room().Head() {
						t.Errorf("got %+v, %v; the head is %d", first, err, a.Room().Head())
					}
					again, err := d.Post(t.Context(), Send{Draft: message}, func() {})
					if err != nil || !again.Duplicate || again.Seq != first.Seq || again.Time != first.Time {
						t.Errorf("again: got %+v, %v, want %+v", again, err, first)
					}
				})
			}
			group.Wait()
			alice.until(a, n)
			if len(alice.given) != n || a.Room().Members() != 1 {
				t.Errorf("alice was given %d of %d, the room has %d members", len(alice.given), n, a.Room().Members())
			}
			if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "lobby", "bot", "id-1", "other")}, func() {}); !errors.Is(err, store.ErrIDConflict) {
				t.Errorf("got %v, want ErrIDConflict", err)
			}
			if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "new", "bot", "1", "x")}, func() {}); err != nil {
				t.Errorf("a new room: %v", err)
			}
			if r, err := d.Room(t.Context(), storetest.RoomName(t, "new")); err != nil || r.Head != 1 {
				t.Errorf("got %v, %v", r, err)
			}
			d.Close()
			if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "lobby", "bot", "late", "x")}, func() {}); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		})
	}
}

// If the context ends first Post returns its cause, and the message is stored all
// the same.
func TestPostIsNotWaitedFor(t *testing.T) {
	s := &gated{Store: memory.New(0), open: make(chan struct{})}
	d := newDispatcher(t, s, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the client has gone")
	cancel(reason)
	message := storetest.Draft(t, "lobby", "bot", "1", "x")
	if _, err := d.Post(ctx, Send{Draft: message}, func() {}); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	close(s.open)
	if again, err := d.Post(t.Context(), Send{Draft: message}, func() {}); err != nil || again.Seq != 1 {
		t.Errorf("got %+v, %v", again, err)
	}
}

// A watcher gets everything and is not a member.
func TestWatch(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Millisecond})
	watcher := newReader(t)
	lobby := storetest.RoomName(t, "lobby")
	place, err := d.Find(t.Context(), lobby, Start{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "lobby", "bot", "1", "before")}, func() {}); err != nil {
		t.Fatal(err)
	}
	w, joined, err := d.Watch(watcher, watcher, plain, new(kaban.Peer), place)
	if err != nil || joined.Members != 0 || joined.Head != 1 {
		t.Fatalf("got %+v, %v", joined, err)
	}
	watcher.until(w, 1) // a cursor behind the tail misses presence
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	if _, names, _, err := d.Members(t.Context(), lobby, "", 10); err != nil || len(names) != 1 || a.Room().Members() != 1 {
		t.Errorf("the members are %v, %v", names, err)
	}
	for watcher.take(w, 1<<20); len(watcher.given) < 2; watcher.take(w, 1<<20) {
		watcher.mu.Lock()
		for !watcher.woken {
			watcher.more.Wait()
		}
		watcher.mu.Unlock()
	}
	d.Submit([]Send{send(t, a, "alice", "1", "hello")})
	watcher.until(w, 2)
	assertGiven(t, watcher, "lobby 1 bot before", "lobby presence 1 +alice -", "lobby 2 alice hello")
	// The last member leaves: the watcher goes on.
	alice.until(a, 2)
	d.Leave(a)
	if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "lobby", "bot", "2", "after")}, func() {}); err != nil {
		t.Fatal(err)
	}
	watcher.until(w, 3)
	d.Leave(w)
	if _, _, err := d.Watch(watcher, watcher, plain, new(kaban.Peer), Place{state: store.Room{Name: storetest.RoomName(t, "nowhere")}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	// A room without entries exists as long as it has a watcher.
	b := join(t, d, newReader(t), "empty", "bob", Start{})
	watched, _, err := d.Watch(watcher, watcher, plain, new(kaban.Peer), Place{state: store.Room{Name: storetest.RoomName(t, "empty"), Oldest: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d.Leave(b)
	if _, err := d.Room(t.Context(), watched.Room().Name()); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	d.Leave(watched)
	if _, err := d.Room(t.Context(), watched.Room().Name()); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestPostMakesNoRoomTooMany(t *testing.T) {
	d := newDispatcher(t, memory.New(0), Options{MaxRooms: 2})
	for room, want := range map[string]error{"lobby": nil, "one": nil} {
		if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, room, "bot", room, "x")}, func() {}); !errors.Is(err, want) {
			t.Errorf("%s: %v", room, err)
		}
	}
	if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "two", "bot", "two", "x")}, func() {}); !errors.Is(err, ErrTooManyRooms) {
		t.Errorf("a third room: %v, want ErrTooManyRooms", err)
	}
	if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "one", "bot", "again", "x")}, func() {}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

// A post makes no room that looks like another one, as a join makes none.
func TestPostMakesNoLookalike(t *testing.T) {
	for name, s := range map[string]store.Store{"a store that does not block": memory.New(0), "one that does": slowStore{memory.New(0)}} {
		t.Run(name, func(t *testing.T) {
			d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
			done := 0
			_, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "Iobby", "bot", "1", "x")}, func() { done++ })
			if other, ok := errors.AsType[*LookalikeError](err); !ok || other.Room.String() != kaban.Lobby || done != 1 {
				t.Errorf("got %v, want a *LookalikeError with the lobby; done was called %d times", err, done)
			}
			if infos, _ := d.Rooms("", 5); len(infos) != 1 {
				t.Errorf("then the rooms are %v, want the lobby", infos)
			}
		})
	}
}

// A room that was made for a post which is then refused does not stay.
func TestARefusedPostLeavesNoRoom(t *testing.T) {
	s := &failing{Store: memory.New(0), err: store.ErrFull}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	post := func() error {
		_, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "den", "bot", "1", "x")}, func() {})
		return err
	}
	den := storetest.RoomName(t, "den")
	if err := post(); !errors.Is(err, store.ErrFull) || d.Peek(den) != nil {
		t.Errorf("got %v, want ErrFull and no room", err)
	}
	a := join(t, d, newReader(t), "den", "alice", Start{})
	if err := post(); !errors.Is(err, store.ErrFull) || d.Peek(den) == nil {
		t.Errorf("got %v, want ErrFull and the room of its member", err)
	}
	d.Leave(a)
	s.fail(nil)
	if err := post(); err != nil || d.Peek(den) == nil {
		t.Errorf("got %v and no room", err)
	}
	d.Close()
	if _, err := d.Post(t.Context(), Send{Draft: storetest.Draft(t, "attic", "bot", "2", "x")}, func() {}); !errors.Is(err, ErrClosed) || d.Peek(storetest.RoomName(t, "attic")) != nil {
		t.Errorf("got %v, want ErrClosed and no room", err)
	}
}
