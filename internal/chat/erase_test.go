package chat

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// giveErasure has everything erased that ann has written.
func (w *town) giveErasure(authors ...string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Erasures.Put(tx, &people.Erasure{Account: "id-ann", Authors: authors})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.AccountChanged("id-ann")
}

// erasure returns how far it is, once it is done if that is asked for.
func (w *town) erasure(done bool) (e people.Erasure) {
	w.t.Helper()
	for {
		err := w.store.View(context.Background(), func(tx store.Tx) (err error) {
			e, err = people.Erasures.Get(tx, "id-ann")
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if !done || e.Done != 0 {
			return e
		}
		time.Sleep(time.Millisecond)
	}
}

// What an erased account has written is deleted in all rooms, whoever may read them, and then
// it is in no file; what others have written stays, and so do numbers.
func TestErased(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := newTown(t, s)
	ann := kaban.Account("id-ann", storetest.Username(t, "ann"))
	bob := kaban.Account("id-bob", storetest.Username(t, "bob"))
	was := kaban.Visitor(storetest.Username(t, "annie"))
	n, search := 0, journaltest.NewSearcher(dir)
	say := func(room string, by kaban.Identity, kind kaban.Kind, target uint64, body string) {
		n++
		d := storetest.Draft(t, room, "x", fmt.Sprint("s", n), "x")
		d.Author, d.Kind, d.Target, d.Body = by, kind, target, body
		if got := storetest.Append(t, s, d)[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
		search.Look(t)
	}
	w.create("bob", "attic", kaban.RoomPrivate)
	rooms := []string{"lobby", "attic", "empty"}
	first := make(map[string]uint64)
	for _, room := range rooms[:2] {
		state, err := s.Room(t.Context(), storetest.RoomName(t, room))
		if err != nil {
			t.Fatal(err)
		}
		first[room] = state.Head + 1
		for range 600 {
			say(room, ann, kaban.KindMessage, 0, fmt.Sprint("secret-", n))
		}
		say(room, bob, kaban.KindMessage, 0, fmt.Sprint("public-", n))
		say(room, was, kaban.KindMessage, 0, fmt.Sprint("secret-", n))
		say(room, ann, kaban.KindReact, first[room]+600, "+👍")
		say(room, bob, kaban.KindReact, first[room]+600, "+👍")
		say(room, bob, kaban.KindDelete, first[room], "")
		say(room, ann, kaban.KindEdit, first[room]+1, "secret-edited")
	}
	if found := search.Find(t, "secret-"); len(found) == 0 {
		t.Error("nothing is found before")
	}
	w.restart() // the dispatcher knows the heads
	w.giveErasure(ann.ID(), was.ID())
	if e := w.erasure(true); e.Messages != 2*600 || e.Reactions != 2 || e.Rooms != 2 {
		t.Errorf("%d messages, %d reactions, %d rooms", e.Messages, e.Reactions, e.Rooms)
	}
	if found := search.Find(t, "secret-"); len(found) > 0 {
		t.Errorf("it is done, and %v have some of it", found)
	}
	for _, room := range rooms[:2] {
		found, err := s.History(t.Context(), storetest.RoomName(t, room), store.Page{Limit: 5000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found.Entries {
			mine := e.Author == ann.ID() || e.Author == was.ID()
			switch {
			case e.Kind != kaban.KindMessage:
			case mine && (!e.IsDeleted() || e.Content != ""):
				t.Errorf("%s, %d: %+v", room, e.Seq, e)
			case !mine && (e.IsDeleted() || !strings.HasPrefix(e.Content, "public-")):
				t.Errorf("%s, %d, of somebody else: %+v", room, e.Seq, e)
			case !mine && (e.State == nil || len(e.State.Reactions) != 1 || len(e.State.Reactions[0].People) != 1 || e.State.Reactions[0].People[0].Author != bob.ID()):
				t.Errorf("%s, %d: reactions %+v", room, e.Seq, e.State)
			}
		}
	}
	w.giveErasure(ann.ID(), was.ID())
	if e := w.erasure(true); e.Messages != 2*600 || e.Reactions != 0 {
		t.Errorf("again: %d messages, %d reactions", e.Messages, e.Reactions)
	}
}

// Erasing that a store refuses, or that a server ends with, goes on.
func TestErasingGoesOn(t *testing.T) {
	s := &failing{}
	drivers(t, func(t *testing.T, driver store.Store) {
		s = &failing{Store: driver}
		s.left.Store(-1)
		w := newTown(t, s)
		for i := range 200 {
			d := storetest.Draft(t, "lobby", "x", fmt.Sprint("s", i), "secret")
			d.Author = kaban.Account("id-ann", storetest.Username(t, "ann"))
			storetest.Append(t, s, d)
		}
		w.restart()
		s.left.Store(2)
		if err := w.store.(*failing).Store.Update(t.Context(), func(tx store.Tx) error {
			return people.Erasures.Put(tx, &people.Erasure{Account: "id-ann", Authors: []string{kaban.Account("id-ann", storetest.Username(t, "ann")).ID()}})
		}); err != nil {
			t.Fatal(err)
		}
		w.chat.AccountChanged("id-ann")
		for s.left.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		if e := w.erasure(false); e.Done != 0 || e.Deleted {
			t.Errorf("it says that it is done: %+v", e)
		}
		w.chat.Close()
		s.left.Store(-1)
		w.restart()
		if e := w.erasure(true); e.Messages != 200 || e.Rooms != 1 {
			t.Errorf("%+v", e)
		}
	})
}
