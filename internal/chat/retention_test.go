package chat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/index"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// retain sets the retention of a room; "" is that of the server.
func (w *town) retain(room, value string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		if value == "" {
			return people.Retentions.Delete(tx, room)
		}
		return people.Retentions.Put(tx, &people.Retention{Room: room, Value: value})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.SettingChanged(people.SettingRetention)
}

// kept returns what is kept of some rooms, such as "3-10 1-10".
func (w *town) kept(rooms ...string) string {
	w.t.Helper()
	var all []string
	for _, room := range rooms {
		state, err := w.store.Room(w.t.Context(), storetest.RoomName(w.t, room))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d-%d", state.Oldest, state.Head))
	}
	return strings.Join(all, " ")
}

// retaining has what is too old deleted until the end of the test.
func (w *town) retaining() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group sync.WaitGroup
	group.Go(func() { w.chat.Retain(ctx, func(err error) { w.t.Error(err) }) })
	return func() {
		cancel()
		group.Wait()
	}
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		defer w.chat.Close()
		direct := kaban.NewDirectRoom().String()
		say := func(n int) {
			for range n {
				w.ids++
				for _, room := range []string{"lobby", "attic", "cellar", direct} {
					storetest.Append(t, w.store, storetest.Draft(t, room, "ann", fmt.Sprint("m", w.ids), "x"))
				}
			}
		}
		say(600)
		w.restart() // the dispatcher knows the rooms
		defer w.chat.Close()
		w.retain("attic", people.Forever)
		w.retain("cellar", "1d")
		stop := w.retaining()
		check := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := w.kept("lobby", "attic", "cellar", direct); got != want {
				t.Errorf("%s: %s is kept, want %s", when, got, want)
			}
		}
		check("at first", "1-600 1-600 1-600 1-600")
		time.Sleep(12 * time.Hour)
		say(2)
		time.Sleep(14 * time.Hour)
		check("after a day", "1-602 1-602 601-602 1-602")
		messages, rooms, err := w.chat.TooOld(t.Context(), kaban.RoomName{}, 1)
		if messages != 2*600 || rooms != 2 || err != nil { // of the lobby and the direct room: the others have their own
			t.Errorf("of the server %d messages in %d rooms are too old, %v", messages, rooms, err)
		}
		if messages, rooms, err = w.chat.TooOld(t.Context(), storetest.RoomName(t, "attic"), 1); messages != 600 || rooms != 1 || err != nil {
			t.Errorf("of the attic %d messages in %d rooms are too old, %v", messages, rooms, err)
		}
		w.setting(people.SettingRetention, "1d")
		check("at once", "601-602 1-602 601-602 601-602")
		w.retain("attic", "")
		check("without its own", "601-602 601-602 601-602 601-602")
		w.setting(people.SettingRetention, "30d")
		time.Sleep(20 * 24 * time.Hour)
		check("longer", "601-602 601-602 603-602 601-602")
		stop()
		time.Sleep(20 * 24 * time.Hour)
		w.restart()
		defer w.chat.Close()
		stop = w.retaining()
		check("after a start, the clock may be wrong", "601-602 601-602 603-602 601-602")
		time.Sleep(25 * time.Hour)
		check("a day later", "603-602 603-602 603-602 603-602")
		stop()
		say(1)
		check("a room that is empty goes on", "603-603 603-603 603-603 603-603")
	})
}

// What is too old leaves the tails, the store and the index, and their files.
// The search index forgets what was cut also if it could not at first and the room has no
// retention any more.
func TestWhatWasCutIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		for n := range 10 {
			storetest.Append(t, w.store, storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", n), "x"))
		}
		w.restart()
		defer w.chat.Close()
		var forgotten []store.Run
		failure := errors.New("the index does not work")
		w.chat.forgetIndex = func(_ context.Context, runs []store.Run) error {
			if failure == nil {
				forgotten = append(forgotten, runs...)
			}
			return failure
		}
		w.retain("lobby", "1d")
		time.Sleep(48 * time.Hour)
		if err := w.chat.retainAll(t.Context(), 0); !errors.Is(err, failure) || w.kept("lobby") != "11-10" {
			t.Fatalf("%s is kept, %v", w.kept("lobby"), err)
		}
		w.retain("lobby", "")
		failure = nil
		for range 2 { // the second time there is nothing left
			want(t, "again", w.chat.retainAll(t.Context(), 0), nil)
		}
		if len(forgotten) != 1 || forgotten[0].Last != 10 {
			t.Errorf("the index has forgotten %v", forgotten)
		}
		// Nothing goes by the clock now, so it is believed when something does again.
		time.Sleep(30 * 24 * time.Hour)
		storetest.Append(t, w.store, storetest.Draft(t, "lobby", "ann", "new", "x"))
		time.Sleep(48 * time.Hour)
		w.retain("lobby", "1d")
		want(t, "a month later", w.chat.retainAll(t.Context(), 0), nil)
		if got := w.kept("lobby"); got != "12-11" {
			t.Errorf("a month later %s is kept", got)
		}
	})
}

func TestRetentionErases(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var records []store.Record
	const n = 2000
	now := time.Now().UnixMilli()
	for i := range n {
		text, age := fmt.Sprintf("mystery%d old", i), int64(100)
		if i >= n/2 {
			text, age = fmt.Sprintf("shared%d young", i), 10
		}
		d := storetest.Draft(t, "lobby", "bob", fmt.Sprint("m", i), text)
		records = append(records, store.Record{Draft: d, Seq: uint64(i + 1), Time: now - age*day})
	}
	if _, err := s.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	w := newTown(t, s)
	search := journaltest.NewSearcher(dir)
	search.Look(t)
	x := index.Open(s, dir, index.Options{Eager: true})
	t.Cleanup(func() { x.Close() })
	if err := x.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	inIndex := func(text string) (names []string) {
		files, err := filepath.Glob(filepath.Join(dir, index.FileName+"*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if content, err := os.ReadFile(name); err == nil && bytes.Contains(content, []byte(text)) {
				names = append(names, name)
			}
		}
		return names
	}
	if len(inIndex("mystery")) == 0 || len(search.Find(t, "mystery")) == 0 {
		t.Error("nothing is found before: the test sees nothing")
	}
	d, err := dispatch.New(t.Context(), s, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	done := make(chan struct{}, 10)
	w.chat = chatOver(t, d, Options{ForgetIndex: func(ctx context.Context, runs []store.Run) error {
		if len(runs) != 1 || runs[0].After != 0 || runs[0].Last != n/2 {
			t.Errorf("the index is to forget %+v", runs)
		}
		err := x.Forget(ctx, index.Range{Room: runs[0].Room, First: runs[0].After + 1, Last: runs[0].Last})
		done <- struct{}{}
		return err
	}})
	w.setting(people.SettingRetention, "90d")
	stop := w.retaining()
	<-done
	stop()
	if got := w.kept("lobby"); got != fmt.Sprintf("%d-%d", n/2+1, n) {
		t.Errorf("%s is kept", got)
	}
	if err := d.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := search.Find(t, "mystery"); len(found) > 0 {
		t.Errorf("%v have some of it", found)
	}
	if found := inIndex("mystery"); len(found) > 0 {
		t.Errorf("%v of the index have some of it", found)
	}
	if len(inIndex("shared")) == 0 {
		t.Error("what is kept is gone from the index")
	}
}
