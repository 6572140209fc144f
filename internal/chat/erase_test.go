package chat

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/index"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/memory"
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

// erasing is a town in files, where ann, who was annie, and bob write.
type erasing struct {
	*town
	dir           string
	sqlite        *sqlite.Store
	ann, was, bob kaban.Identity
}

func newErasing(t *testing.T) *erasing {
	t.Helper()
	w := &erasing{dir: filepath.Join(t.TempDir(), "data"), ann: kaban.Account("id-ann", storetest.Username(t, "ann")), bob: kaban.Account("id-bob", storetest.Username(t, "bob")), was: kaban.Visitor(storetest.Username(t, "annie"))}
	var err error
	if w.sqlite, err = sqlite.Open(t.Context(), w.dir, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.sqlite.Close() })
	w.town = newTown(t, w.sqlite)
	return w
}

// say appends an entry, with an id that no other one has.
func (w *erasing) say(room string, by kaban.Identity, kind kaban.Kind, target uint64, body string) {
	w.t.Helper()
	w.ids++
	d := storetest.Draft(w.t, room, "x", fmt.Sprint("s", w.ids), "x")
	d.Author, d.Kind, d.Target, d.Body = by, kind, target, body
	if got := storetest.Append(w.t, w.sqlite, d)[0]; got.Err != nil {
		w.t.Fatal(got.Err)
	}
}

// erasable counts what erasing would delete, in parts.
func (w *erasing) erasable(authors ...string) (all Erasable, parts int) {
	w.t.Helper()
	for {
		some, err := w.chat.Erasable(w.t.Context(), &people.Erasure{Authors: authors}, all.Next)
		if err != nil {
			w.t.Fatal(err)
		}
		parts++
		all = Erasable{all.Messages + some.Messages, all.Reactions + some.Reactions, all.Texts + some.Texts, all.Rooms + some.Rooms, some.Next}
		if all.Next == nil {
			return all, parts
		}
	}
}

// What an erased account has written is deleted in all rooms, whoever may read them, and then
// it is in no file; what others have written stays, and so do numbers.
func TestErased(t *testing.T) {
	w := newErasing(t)
	s, ann, was, bob := w.sqlite, w.ann, w.was, w.bob
	search := journaltest.NewSearcher(w.dir)
	say := func(room string, by kaban.Identity, kind kaban.Kind, target uint64, body string) {
		w.say(room, by, kind, target, body)
		search.Look(t)
	}
	w.create("bob", "attic", kaban.RoomPrivate)
	direct, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
	want(t, "direct", err, nil)
	rooms := []string{"lobby", "attic", direct.String(), "empty"}
	first := make(map[string]uint64)
	for _, room := range rooms[:3] {
		state, err := s.Room(t.Context(), storetest.RoomName(t, room))
		if err != nil {
			t.Fatal(err)
		}
		first[room] = state.Head + 1
		for range 600 {
			say(room, ann, kaban.KindMessage, 0, fmt.Sprint("secret-", w.ids))
		}
		say(room, bob, kaban.KindMessage, 0, fmt.Sprint("public-", w.ids))
		say(room, was, kaban.KindMessage, 0, fmt.Sprint("secret-", w.ids))
		say(room, ann, kaban.KindReact, first[room]+600, "+👍")
		say(room, bob, kaban.KindReact, first[room]+600, "+👍")
		say(room, bob, kaban.KindDelete, first[room], "")
		say(room, ann, kaban.KindEdit, first[room]+1, "secret-edited")
	}
	if found := search.Find(t, "secret-"); len(found) == 0 {
		t.Error("nothing is found before")
	}
	w.restart() // the dispatcher knows the heads
	if got, _ := w.erasable(ann.ID(), was.ID()); got != (Erasable{3 * 600, 3, 0, 3, nil}) {
		t.Errorf("before, %+v can be erased", got)
	}
	if found := search.Find(t, "secret-"); len(found) == 0 {
		t.Error("looking deletes")
	}
	w.giveErasure(ann.ID(), was.ID())
	if e := w.erasure(true); e.Messages != 3*600 || e.Reactions != 3 || e.Rooms != 3 {
		t.Errorf("%d messages, %d reactions, %d rooms", e.Messages, e.Reactions, e.Rooms)
	}
	if found := search.Find(t, "secret-"); len(found) > 0 {
		t.Errorf("it is done, and %v have some of it", found)
	}
	for _, room := range rooms[:3] {
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
	if e := w.erasure(true); e.Messages != 0 || e.Reactions != 0 || e.Rooms != 0 {
		t.Errorf("again: %d messages, %d reactions", e.Messages, e.Reactions)
	}
}

// Whoever uses the name of a visitor after it was linked to the account is somebody else.
func TestErasedUntilTheLink(t *testing.T) {
	w := newErasing(t)
	w.say("lobby", w.bob, kaban.KindMessage, 0, "public-1")
	w.say("lobby", w.was, kaban.KindMessage, 0, "secret-2")
	w.say("lobby", w.was, kaban.KindReact, 1, "+👍")
	w.say("lobby", w.was, kaban.KindTopic, 0, `{"topic":"secret-4"}`)
	read := func() []store.Entry {
		t.Helper()
		entries, err := w.sqlite.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	linked := read()[3].Time
	for time.Now().UnixMilli() <= linked {
		time.Sleep(time.Millisecond)
	}
	w.say("lobby", w.was, kaban.KindMessage, 0, "public-5")
	w.say("lobby", w.was, kaban.KindReact, 1, "+🎉")
	w.say("lobby", w.was, kaban.KindTopic, 0, `{"topic":"public-7"}`)
	w.restart()
	erasure := people.Erasure{Account: "id-ann", Authors: []string{w.ann.ID(), w.was.ID()}, Until: map[string]int64{w.was.ID(): linked}}
	if got, err := w.chat.Erasable(t.Context(), &erasure, nil); err != nil || got != (Erasable{1, 1, 1, 1, nil}) {
		t.Errorf("%+v can be erased, %v", got, err)
	}
	err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Erasures.Put(tx, &erasure) })
	want(t, "put", err, nil)
	w.chat.AccountChanged("id-ann")
	if e := w.erasure(true); e.Messages != 1 || e.Reactions != 1 || e.Texts != 1 || e.Until != nil {
		t.Errorf("the report is %+v", e)
	}
	texts := ""
	for _, e := range read() {
		texts += e.Content + "\n"
	}
	if strings.Contains(texts, "secret-") || !strings.Contains(texts, "public-5") || !strings.Contains(texts, "public-7") {
		t.Errorf("the room has %q", texts)
	}
	history, err := w.sqlite.History(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 100})
	if err != nil || len(history.Entries[0].State.Reactions) != 1 || history.Entries[0].State.Reactions[0].Emoji != "🎉" {
		t.Errorf("of the reactions there are %+v, %v", history.Entries[0].State, err)
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

// broken is a store that fails for good behind some changes, the last of them perhaps done and not
// acknowledged.
type broken struct {
	store.Store
	after   int64
	isDone  bool // the change that fails first is done
	changes atomic.Int64
}

func (b *broken) change(do func() error) error {
	switch n := b.changes.Add(1); {
	case n <= b.after:
		return do()
	case n == b.after+1 && b.isDone:
		if err := do(); err != nil {
			return err
		}
	}
	return errFull
}

func (b *broken) Update(ctx context.Context, run func(store.Tx) error) error {
	return b.change(func() error { return b.Store.Update(ctx, run) })
}

func (b *broken) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	return b.change(func() error { return b.Store.Append(ctx, writes, results) })
}

func (b *broken) Redact(ctx context.Context, room kaban.RoomName, redactions []store.Redaction) error {
	return b.change(func() error { return b.Store.Redact(ctx, room, redactions) })
}

// Whatever a server that ended in the middle has done, the report counts all of it, once, and as much
// as the preview.
func TestErasingIsCountedOnce(t *testing.T) {
	t.Parallel()
	ended := 0
	for n := int64(0); ; n++ {
		s := memory.New(0)
		w := newTown(t, s)
		ann, bob := kaban.Account("id-ann", storetest.Username(t, "ann")), kaban.Account("id-bob", storetest.Username(t, "bob"))
		say := func(room string, by kaban.Identity, kind kaban.Kind, target uint64, body string) {
			t.Helper()
			w.ids++
			d := storetest.Draft(t, room, "x", fmt.Sprint("s", w.ids), "x")
			d.Author, d.Kind, d.Target, d.Body = by, kind, target, body
			if got := storetest.Append(t, s, d)[0]; got.Err != nil {
				t.Fatal(got.Err)
			}
		}
		for _, room := range []string{"attic", "lobby"} {
			say(room, bob, kaban.KindMessage, 0, "public")
			say(room, bob, kaban.KindMessage, 0, "public")
			say(room, ann, kaban.KindReact, 1, "+👍")
			say(room, ann, kaban.KindReact, 1, "-👍")
			say(room, ann, kaban.KindReact, 1, "+👍")
			say(room, ann, kaban.KindMessage, 0, "secret")
			say(room, ann, kaban.KindMessage, 0, "secret")
			say(room, ann, kaban.KindReact, 6, "+👍") // her own
			say(room, ann, kaban.KindTopic, 0, `{"topic":"secret"}`)
			say(room, ann, kaban.KindDelete, 2, "secret")
		}
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return people.Erasures.Put(tx, &people.Erasure{Account: "id-ann", Authors: []string{ann.ID()}})
		})
		want(t, "begin", err, nil)
		b := &broken{Store: s, after: n / 2, isDone: n%2 == 1}
		w.store = b
		w.restart() // the dispatcher knows the heads, and the server goes on with the erasing
		for b.changes.Load() <= b.after && w.erasure(false).Done == 0 {
			time.Sleep(time.Millisecond)
		}
		w.chat.Close()
		if w.erasure(false).Done != 0 && b.changes.Load() <= b.after {
			break
		}
		ended++
		w.store = s // the ended server keeps the broken one: what it still writes gets lost
		w.restart()
		if e := w.erasure(true); e.Messages != 4 || e.Reactions != 2 || e.Texts != 4 || e.Rooms != 2 {
			t.Errorf("after %d changes, the next one done: %t: %+v; want 4 messages, 2 reactions and 4 texts in 2 rooms", n/2, n%2 == 1, e)
		}
	}
	if ended < 10 {
		t.Errorf("it ended in the middle %d times", ended)
	}
}

// An erasing that an older server has begun, and that may have passed over rooms, begins anew. What it has
// counted stays.
func TestErasingOfAnOlderServer(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	direct, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
	want(t, "direct", err, nil)
	w.say(direct.String(), w.ann, kaban.KindMessage, 0, "secret-direct")
	w.restart()
	err = w.store.Update(t.Context(), func(tx store.Tx) error {
		return people.Erasures.Put(tx, &people.Erasure{Account: "id-ann", Authors: []string{w.ann.ID()}, Room: "~", Deleted: true, Messages: 7, Rooms: 1})
	})
	want(t, "begin", err, nil)
	w.chat.AccountChanged("id-ann")
	if e := w.erasure(true); e.Messages != 8 || e.Rooms != 2 {
		t.Errorf("%+v, want 8 messages in 2 rooms", e)
	}
	if found := journaltest.NewSearcher(w.dir).Find(t, "secret-direct"); len(found) > 0 {
		t.Errorf("%v have the direct message", found)
	}
}

// jammed is a store that refuses the entries of one room while it is set.
type jammed struct {
	store.Store
	room  kaban.RoomName
	isSet atomic.Bool
	tries atomic.Int64
}

func (j *jammed) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	for i := range writes {
		if j.isSet.Load() && writes[i].Room.Key() == j.room.Key() {
			j.tries.Add(1)
			return errFull
		}
	}
	return j.Store.Append(ctx, writes, results)
}

// An erasure that fails keeps no other one waiting. It is logged once, tried less and less often,
// and logged once more when it works.
func TestErasingGoesOnWithOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &jammed{Store: memory.New(0), room: storetest.RoomName(t, "bad")}
		w := newTown(t, j)
		say := func(name, room string) {
			t.Helper()
			w.ids++
			d := storetest.Draft(t, room, "x", fmt.Sprint("s", w.ids), "secret")
			d.Author = kaban.Account("id-"+name, storetest.Username(t, name))
			storetest.Append(t, j, d)
		}
		say("ann", "bad")
		say("bob", "good")
		say("cat", "good")
		var log bytes.Buffer
		w.restartWith(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		j.isSet.Store(true)
		erase := func(names ...string) {
			t.Helper()
			if err := j.Update(t.Context(), func(tx store.Tx) error {
				for _, name := range names {
					author := kaban.Account("id-"+name, storetest.Username(t, name)).ID()
					if err := people.Erasures.Put(tx, &people.Erasure{Account: "id-" + name, Authors: []string{author}}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			w.chat.AccountChanged("id-" + names[0])
			synctest.Wait()
		}
		done := func(name string) bool {
			t.Helper()
			var e people.Erasure
			if err := j.View(t.Context(), func(tx store.Tx) (err error) {
				e, err = people.Erasures.Get(tx, "id-"+name)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return e.Done != 0
		}
		erase("ann", "bob")
		if done("ann") || !done("bob") {
			t.Errorf("with a room that fails: ann %t, bob %t", done("ann"), done("bob"))
		}
		time.Sleep(24 * time.Hour)
		if n := j.tries.Load(); n < 100 || n > 200 {
			t.Errorf("%d tries in a day", n)
		}
		before := j.tries.Load()
		erase("cat")
		if !done("cat") || j.tries.Load() != before {
			t.Errorf("one that comes later: done %t; the one that fails was tried %d times more", done("cat"), j.tries.Load()-before)
		}
		if text := log.String(); strings.Count(text, "could not be erased") != 1 || strings.Contains(text, "works again") {
			t.Errorf("the log:\n%s", text)
		}
		j.isSet.Store(false)
		time.Sleep(eraseRarely)
		synctest.Wait()
		if text := log.String(); !done("ann") || strings.Count(text, "could not be erased") != 1 || strings.Count(text, "works again") != 1 {
			t.Errorf("done %t, the log:\n%s", done("ann"), text)
		}
		w.chat.Close()
	})
}

// Nobody keeps the server from erasing by the ids that they have used.
func TestErasedWhateverTheIDs(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann := kaban.Account("id-ann", storetest.Username(t, "ann"))
		said := storetest.Draft(t, "lobby", "x", "s1", "secret")
		said.Author = ann
		storetest.Append(t, s, said)
		for seq := range uint64(8) { // of whatever comes next
			d := storetest.Draft(t, "lobby", "x", fmt.Sprint("erased-", seq), "secret")
			d.Author = ann
			storetest.Append(t, s, d)
		}
		react := storetest.Draft(t, "lobby", "x", "r1", kaban.Switch(true, "👍"))
		react.Author, react.Kind = ann, kaban.KindReact
		for react.Target = 1; react.Target < 8; react.Target++ {
			react.ID = w.id()
			if got := storetest.Append(t, s, react)[0]; got.Err != nil {
				t.Fatal(got.Err)
			}
		}
		for seq := range uint64(20) {
			d := storetest.Draft(t, "lobby", "x", fmt.Sprint("erased-", 8+seq), "secret")
			d.Author = ann
			storetest.Append(t, s, d)
		}
		w.restart()
		w.giveErasure(ann.ID())
		if e := w.erasure(true); e.Messages != 29 {
			t.Errorf("%+v", e)
		}
	})
}

// Erasing is done when nothing is left in the files of the search index either.
func TestErasedFromIndex(t *testing.T) {
	w := newErasing(t)
	s, dir, ann := w.sqlite, w.dir, w.ann
	for i := range 2000 {
		w.say("lobby", ann, kaban.KindMessage, 0, fmt.Sprint("x zzmystery", i))
		w.say("lobby", w.bob, kaban.KindMessage, 0, fmt.Sprint("x yyshared", i))
	}
	files := journaltest.NewSearcher(dir)
	inIndex := func(text string) (names []string) {
		for _, name := range files.Find(t, text) {
			if strings.HasPrefix(name, index.FileName) {
				names = append(names, name)
			}
		}
		return names
	}
	x := index.Open(s, dir, index.Options{Eager: true})
	t.Cleanup(func() { x.Close() })
	if err := x.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(inIndex("mystery")) == 0 {
		t.Error("nothing is found before: the test sees nothing")
	}
	d, err := dispatch.New(t.Context(), s, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.SetOnGrown(x.Grew)
	w.chat = chatOver(t, d, Options{EraseIndex: x.Erase})
	w.giveErasure(ann.ID())
	if e := w.erasure(true); e.Messages != 2000 {
		t.Errorf("%d messages", e.Messages)
	}
	if found := inIndex("mystery"); len(found) > 0 {
		t.Errorf("it is done, and %v have some of it", found)
	}
	if len(inIndex("shared")) == 0 {
		t.Error("what others have written is gone from the index")
	}
}

// Counting goes on where it ended, and counts each room once.
func TestErasableInParts(t *testing.T) {
	w := newErasing(t)
	for i := range 4 {
		room := fmt.Sprint("room-", i)
		for range 2 * erasePage * erasablePages / 4 {
			w.say(room, w.bob, kaban.KindMessage, 0, "x")
		}
		w.say(room, w.ann, kaban.KindMessage, 0, "x")
		w.say(room, w.ann, kaban.KindReact, 1, "+👍")
		w.say(room, w.ann, kaban.KindReact, 2, "+👍")
		w.say(room, w.ann, kaban.KindReact, 2, "-👍")
	}
	w.say("room-0", w.ann, kaban.KindMessage, 0, "x") // on another page than the first
	w.say("room-0", w.ann, kaban.KindTopic, 0, `{"topic":"x"}`)
	w.say("room-1", w.ann, kaban.KindDelete, 1, "a reason")
	w.restart()
	if got, parts := w.erasable(w.ann.ID()); got != (Erasable{5, 3, 2, 4, nil}) || parts < 5 {
		t.Errorf("%+v in %d parts", got, parts)
	}
}

// Whom an erased account has mentioned is kept no longer; mentions by others stay.
func TestErasedMentions(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann := kaban.Account("id-ann", storetest.Username(t, "ann"))
		cat := kaban.Account("id-cat", storetest.Username(t, "cat"))
		say := func(by kaban.Identity, kind kaban.Kind, target uint64, m *store.Mentions) store.Result {
			w.ids++
			d := storetest.Draft(t, "lobby", "x", fmt.Sprint("s", w.ids), "x")
			d.Author, d.Kind, d.Target = by, kind, target
			results := make([]store.Result, 1)
			if err := s.Append(t.Context(), []store.Write{{Draft: d, Mentions: m}}, results); err != nil || results[0].Err != nil {
				t.Fatal(err, results[0].Err)
			}
			return results[0]
		}
		say(ann, kaban.KindMessage, 0, &store.Mentions{Accounts: []string{"id-bob"}})
		say(ann, kaban.KindMessage, 0, &store.Mentions{Everyone: true})
		say(ann, kaban.KindMessage, 0, &store.Mentions{Here: true, Online: []string{"id-bob"}})
		edited := say(ann, kaban.KindMessage, 0, nil)
		say(ann, kaban.KindEdit, edited.Seq, &store.Mentions{Accounts: []string{"id-bob"}})
		other := say(cat, kaban.KindMessage, 0, &store.Mentions{Accounts: []string{"id-gus"}})
		lobby := storetest.RoomName(t, "lobby")
		mentioned := func(account string) (seqs []uint64, may bool) {
			t.Helper()
			found, err := s.Mentions(t.Context(), lobby, account, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for i := range found {
				seqs = append(seqs, found[i].Seq)
			}
			some, err := s.MayMention(t.Context(), account, []store.Run{{Room: lobby, Last: 1000}})
			if err != nil {
				t.Fatal(err)
			}
			return seqs, some[0]
		}
		if seqs, may := mentioned("id-bob"); len(seqs) != 4 || !may {
			t.Errorf("before: bob is mentioned in %d, %t", seqs, may)
		}
		w.restart()
		w.giveErasure(ann.ID())
		if e := w.erasure(true); e.Messages != 4 {
			t.Errorf("%d messages", e.Messages)
		}
		if seqs, may := mentioned("id-bob"); len(seqs) != 0 || may { // may: there are rows
			t.Errorf("bob is mentioned in %d, %t", seqs, may)
		}
		if seqs, may := mentioned("id-gus"); !slices.Equal(seqs, []uint64{other.Seq}) || !may {
			t.Errorf("gus is mentioned in %d, %t; want %d", seqs, may, other.Seq)
		}
	})
}

// An account is not reported as erased before the audit has nothing of it and that is noted elsewhere, and each start has it noted
// again, also when nothing is left to be erased.
func TestErasedIsRecorded(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	var mu sync.Mutex
	var calls []string
	options := Options{EraseAudit: func(_ context.Context, account string) error {
		e := w.erasure(false)
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprint("audit of ", account, " done: ", e.Done != 0))
		return nil
	}, RecordErased: func(ctx context.Context, accounts []store.ErasedAccount) error {
		e := w.erasure(false)
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprint(accounts, " done: ", e.Done != 0))
		return nil
	}}
	for _, bot := range []people.Account{
		{ID: "id-erased", Username: "erased", Role: kaban.RoleGuest, Status: people.StatusRemoved, Bot: true, Owner: "id-ann"},
		{ID: "id-spared", Username: "spared", Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-ann"}, // by a restore
	} {
		if err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Accounts.Put(tx, &bot) }); err != nil {
			t.Fatal(err)
		}
	}
	w.restartWith(options)
	w.say("lobby", w.ann, kaban.KindMessage, 0, "secret")
	w.giveErasure(w.ann.ID())
	w.erasure(true)
	w.chat.Close()
	if want := []string{"audit of id-ann done: false", "[{id-ann 0} {id-erased 0}] done: false"}; !slices.Equal(calls, want) {
		t.Errorf("it is noted: %q, want %q", calls, want)
	}
	w.restartWith(options)
	for n := 0; n < 3; time.Sleep(time.Millisecond) {
		mu.Lock()
		n = len(calls)
		mu.Unlock()
	}
	w.chat.Close()
	if want := "[{id-ann 0} {id-erased 0}] done: true"; len(calls) != 3 || calls[2] != want {
		t.Errorf("at the next start it is noted: %q, want %q", calls, want)
	}
}

// Topics and reasons that an erased account has written are in no file, and no reader gets them;
// those of others stay. The topic of a room goes if nobody has set another one since.
func TestErasedTexts(t *testing.T) {
	w := newErasing(t)
	search := journaltest.NewSearcher(w.dir)
	w.create("bob", "den", kaban.RoomPrivate)
	want(t, "invite", w.do("bob", "den", w.to("ann", access.Invite)), nil)
	want(t, "op", w.do("bob", "den", Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "ann"), Role: kaban.RoomRoleOp}), nil)
	w.create("ann", "attic", kaban.RoomPrivate)
	want(t, "invite", w.do("ann", "attic", w.to("bob", access.Invite)), nil)
	want(t, "op", w.do("ann", "attic", Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "bob"), Role: kaban.RoomRoleOp}), nil)
	want(t, "topic", w.do("ann", "den", Act{Action: access.SetTopic, Topic: "secret-first"}), nil)
	want(t, "topic", w.do("bob", "den", Act{Action: access.SetTopic, Topic: "public-topic"}), nil)
	want(t, "topic", w.do("bob", "attic", Act{Action: access.SetTopic, Topic: "public-first"}), nil)
	want(t, "topic", w.do("ann", "attic", Act{Action: access.SetTopic, Topic: "secret-topic"}), nil)
	for _, by := range []string{"ann", "bob"} { // nothing in the log says so
		room, topic := storetest.RoomName(t, by+"-loft"), map[string]string{"ann": "secret-loft", "bob": "public-loft"}[by]
		want(t, "create", w.user(by).Create(t.Context(), room, NewRoom{Kind: kaban.RoomPublic, Topic: topic}), nil)
	}
	restrict := func(by, whom, reason string) {
		t.Helper()
		act := w.to(whom, access.Mute)
		act.Reason = reason
		want(t, "mute", w.do(by, "den", act), nil)
	}
	want(t, "invite", w.do("bob", "den", w.to("cat", access.Invite)), nil)
	want(t, "invite", w.do("bob", "den", w.to("gus", access.Invite)), nil)
	restrict("ann", "cat", "secret-reason")
	restrict("bob", "gus", "public-reason")
	said, err := w.post(w.user("bob"), "den", "public-message", 0)
	want(t, "post", err, nil)
	_, err = w.alter(w.user("ann"), "den", Change{Kind: kaban.KindDelete, Target: said, Reason: "secret-excuse"})
	want(t, "delete", err, nil)
	search.Look(t)
	if found := search.Find(t, "secret-"); len(found) == 0 {
		t.Error("nothing is found before")
	}
	if got, _ := w.erasable(w.ann.ID()); got != (Erasable{Texts: 5, Rooms: 3}) {
		t.Errorf("before, %+v can be erased", got)
	}
	w.giveErasure(w.ann.ID())
	if e := w.erasure(true); e.Texts != 5 || e.Messages != 0 || e.Rooms != 3 { // one of them the topic that a room was made with
		t.Errorf("%+v, want 5 texts in 3 rooms", e)
	}
	if found := search.Find(t, "secret-"); len(found) > 0 {
		t.Errorf("it is done, and %v have some of it", found)
	}
	var texts []string
	for _, room := range []string{"attic", "den"} {
		entries, err := w.sqlite.Read(t.Context(), storetest.RoomName(t, room), store.Page{Limit: 100})
		want(t, "read", err, nil)
		for i := range entries {
			if e := &entries[i]; e.Kind == kaban.KindTopic || e.Kind == kaban.KindDelete || strings.Contains(e.Content, people.ChangeMuted) {
				texts = append(texts, fmt.Sprintf("%s: %s", e.Username, e.Content))
			}
		}
	}
	if diff := cmp.Diff([]string{
		`bob: {"topic":"public-first"}`, "ann: ", `server: {"topic":""}`, "ann: ", `bob: {"topic":"public-topic"}`,
		`ann: {"subject":"cat","change":"muted"}`, `bob: {"subject":"gus","change":"muted","reason":"public-reason"}`, "ann: ",
	}, texts); diff != "" {
		t.Errorf("the entries (-want +got):\n%s", diff)
	}
	for room, topic := range map[string]string{"attic": "", "den": "public-topic", "ann-loft": "", "bob-loft": "public-loft"} {
		state, _, err := w.user("bob").State(t.Context(), storetest.RoomName(t, room))
		if err != nil || state.Topic != topic {
			t.Errorf("the topic of %s is %q, %v; want %q", room, state.Topic, err, topic)
		}
	}
	// Somebody may set another topic while the room is read.
	den := storetest.RoomName(t, "den")
	want(t, "clear", w.chat.clearTopic(t.Context(), den, &store.Entry{Seq: 99, Kind: kaban.KindTopic, Content: `{"topic":"secret-older"}`}), nil)
	if state, _, err := w.user("bob").State(t.Context(), den); err != nil || state.Topic != "public-topic" {
		t.Errorf("another topic is taken away: %q, %v", state.Topic, err)
	}
	w.giveErasure(w.ann.ID())
	if e := w.erasure(true); e.Texts != 0 || e.Rooms != 0 {
		t.Errorf("again: %+v", e)
	}
}
