package chat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/index"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/search"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// withIndex gives a town an index of its messages.
func withIndex(t *testing.T, w *town) *index.Index {
	x := index.Open(w.store, "", index.Options{Eager: true})
	t.Cleanup(func() { x.Close() })
	w.chat.dispatcher.SetOnGrown(x.Grew)
	w.chat.SetIndex(x)
	return x
}

// found returns the messages that a search finds, page by page, as ROOM/SEQ, sorted.
func (w *town) found(u User, s Search) (all []string, err error) {
	w.t.Helper()
	for {
		page, err := u.Search(w.t.Context(), s)
		if err != nil {
			return nil, err
		}
		// On a busy machine a page may end early, where the next one goes on.
		if page.Partial && !page.More || page.More != (page.Next != 0) || len(page.Hits) > s.Limit {
			w.t.Fatalf("%s: a page of %d hits: partial %t, more %t, next %d", s.Query, len(page.Hits), page.Partial, page.More, page.Next)
		}
		page.Cut(3) // as if no more fit
		for _, h := range page.Hits {
			all = append(all, fmt.Sprint(h.Room, "/", h.Entry.Seq))
		}
		if !page.More {
			slices.Sort(all)
			return all, nil
		}
		s.Before, s.HasBefore = page.Next, true
	}
}

// readable returns the messages that somebody can read in the history of some rooms, as
// found does.
func (w *town) readable(u User, rooms ...kaban.RoomName) map[string]*Entry {
	w.t.Helper()
	all := make(map[string]*Entry)
	for _, room := range rooms {
		page, err := u.History(w.t.Context(), room, Query{Limit: 500})
		if err != nil && !isRefusal(err) {
			w.t.Fatal(err)
		}
		for i := range page.Entries {
			if e := &page.Entries[i]; e.Kind == kaban.KindMessage && !e.IsDeleted() {
				all[fmt.Sprint(room, "/", e.Seq)] = e
			}
		}
	}
	return all
}

// matching returns the names of some messages that match, sorted.
func matching(readable map[string]*Entry, match func(*Entry) bool) (names []string) {
	for name, e := range readable {
		if match(e) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// put stores an entry in a room as somebody that is perhaps not in it.
func (w *town) put(u User, room kaban.RoomName, kind kaban.Kind, target uint64, body string) error {
	r, ok := w.chat.dispatcher.Peek(room), false
	if r == nil {
		return ErrNotFound
	}
	err := u.mayRead(w.t.Context(), room)
	if ok = err == nil; !ok {
		return err
	}
	results := make([]store.Result, 1)
	err = w.store.Append(w.t.Context(), []store.Write{{Draft: kaban.Draft{Author: u.Identity(), Room: room, Kind: kind, ID: w.id(), Target: target, Body: body, Files: filesIn(w.t, body)}}}, results)
	if err == nil {
		w.chat.dispatcher.Grown(room, results[0].Seq)
	}
	return errors.Join(err, results[0].Err)
}

// filesIn returns the file of a message that says so.
func filesIn(t testing.TB, body string) kaban.Files {
	t.Helper()
	if strings.HasPrefix(body, "file ") {
		return storetest.Files(t, "Jahresplan.png")
	}
	return kaban.Files{}
}

// TestSearchFindsWhatHistoryHas compares what people find with what they can read, while
// they come to rooms of all kinds, are thrown out, and change messages.
func TestSearchFindsWhatHistoryHas(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		x := withIndex(t, w)
		random := rand.New(rand.NewPCG(1, 2))
		names := []string{"olga", "adam", "ann", "bob", "cat", "gus"}
		var rooms []kaban.RoomName
		for i, kind := range []kaban.RoomKind{kaban.RoomPublic, kaban.RoomPublic, kaban.RoomPrivate, kaban.RoomPrivate, kaban.RoomPrivate} {
			name := fmt.Sprint(kind, "-", string(rune('a'+i)))
			w.create([]string{"ann", "bob", "cat"}[i%3], name, kind)
			rooms = append(rooms, storetest.RoomName(t, name))
		}
		want(t, "set", w.do("ann", rooms[3].String(), Act{Change: people.RoomChange{History: people.HistoryJoined}}), nil)
		for _, two := range [][2]string{{"ann", "bob"}, {"bob", "cat"}} {
			name, err := w.user(two[0]).Direct(t.Context(), []kaban.Username{storetest.Username(t, two[1])})
			if err != nil {
				t.Fatal(err)
			}
			rooms = append(rooms, name)
		}
		bound := w.user("bob")
		bound.credential = &Credential{ID: "token", Rooms: []string{rooms[1].Key(), rooms[2].Key()}}
		asked := map[string]User{"visitor": w.visitor("vic", netip.Addr{}), "bound": bound}
		for _, name := range names {
			asked[name] = w.user(name)
		}
		for range 3 {
			for i := range 5 {
				want(t, "a first message", w.put(w.user([]string{"ann", "bob", "cat"}[i%3]), rooms[i], kaban.KindMessage, 0, "tea and cake"), nil)
			}
		}
		// From here on bob reads what comes, and cat what is not secret.
		want(t, "invite", w.do("ann", rooms[3].String(), w.to("bob", access.Invite)), nil)
		want(t, "ban", w.do("ann", rooms[0].String(), w.to("cat", access.Ban)), nil)
		words := []string{"tea", "cake", "日本", "tea-time", "@ann", "https://x.example", "file tea"}
		hits := 0
		for step := range 200 {
			room, u := rooms[random.IntN(len(rooms))], w.user(names[random.IntN(len(names))])
			state, err := s.Room(t.Context(), room)
			if err != nil {
				t.Fatal(err)
			}
			subject := names[random.IntN(len(names))]
			switch random.IntN(12) {
			case 0:
				w.put(u, room, kaban.KindEdit, 1+random.Uint64N(max(state.Head, 1)), []string{"tea changed", "cake changed", "日本 changed", kaban.NoText}[random.IntN(4)])
			case 1:
				w.put(u, room, kaban.KindDelete, 1+random.Uint64N(max(state.Head, 1)), "")
			case 2:
				w.put(u, room, kaban.KindPin, 1+random.Uint64N(max(state.Head, 1)), kaban.Switch(true, ""))
			case 3, 4:
				w.do([]string{"ann", "bob", "cat"}[random.IntN(3)], room.String(), w.to(subject, access.Invite))
			case 5:
				if step < 60 {
					continue // the bans of the beginning have been compared by then
				}
				w.do([]string{"ann", "bob", "cat"}[random.IntN(3)], room.String(), w.to(subject, []access.Action{access.Kick, access.Ban, access.Unban}[random.IntN(3)]))
			default:
				w.put(u, room, kaban.KindMessage, 0, words[random.IntN(len(words))]+" and "+words[random.IntN(len(words))])
			}
			if step%20 != 19 {
				continue
			}
			if err := x.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			for who, u := range asked {
				reads := w.readable(u, rooms...)
				for query, match := range map[string]func(*Entry) bool{
					"tea":           func(e *Entry) bool { return strings.Contains(e.Content, "tea") },
					"本":             func(e *Entry) bool { return strings.Contains(e.Content, "日本") },
					"-cake and":     func(e *Entry) bool { return strings.Contains(e.Content, "and") && !strings.Contains(e.Content, "cake") },
					"from:bob":      func(e *Entry) bool { return e.Username == "bob" },
					"is:pinned":     func(e *Entry) bool { return e.State != nil && e.State.Pinned != (store.Change{}) },
					"has:link":      func(e *Entry) bool { return strings.Contains(e.Content, "https://") },
					"mentions:me":   func(e *Entry) bool { return who == "ann" && strings.Contains(e.Content, "@ann") },
					"has:file":      func(e *Entry) bool { return e.Files != "" },
					"jahresplan":    func(e *Entry) bool { return e.Files != "" },
					"tea -has:file": func(e *Entry) bool { return strings.Contains(e.Content, "tea") && e.Files == "" },
				} {
					got, err := w.found(u, Search{Query: query, Limit: 1 + random.IntN(5)})
					if err != nil {
						t.Fatalf("%s: %s: %v", who, query, err)
					}
					if want := matching(reads, match); !slices.Equal(got, want) {
						t.Fatalf("after %d steps %s finds for %s\n%v, and can read\n%v", step+1, who, query, got, want)
					}
					hits += len(got)
				}
				one := rooms[random.IntN(len(rooms))]
				want := matching(w.readable(u, one), func(e *Entry) bool { return strings.Contains(e.Content, "tea") })
				got, err := w.found(u, Search{Query: "tea", Room: one, Limit: 10})
				if may := u.mayRead(t.Context(), one); (err == nil) != (may == nil) || err != nil && !isRefusal(err) {
					t.Fatalf("%s searches in %s: %v, and reading it: %v", who, one, err, may)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s finds in %s\n%v, and can read\n%v", who, one, got, want)
				}
				if got, err := w.found(u, Search{Query: "tea in:" + one.String(), Limit: 10}); !one.IsDirect() && (err != nil || !slices.Equal(got, want)) {
					t.Fatalf("%s finds with in:%s\n%v, %v, and can read\n%v", who, one, got, err, want)
				}
			}
		}
		if hits < 600 {
			t.Errorf("%d hits: too few to compare", hits)
		}
	})
}

// TestSearchRefuses says what is wrong, and limits how many searches there are.
func TestSearchRefuses(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann := w.user("ann")
		_, err := ann.Search(t.Context(), Search{Query: "x"})
		want(t, "without an index", err, ErrNoSearch)
		withIndex(t, w)
		for _, bad := range []string{"", "-x", "from:", "before:soon"} {
			if _, err := ann.Search(t.Context(), Search{Query: bad}); !isQueryError(err) {
				t.Errorf("%q: %v, want a *QueryError", bad, err)
			}
		}
		for _, zone := range []string{"Nowhere/Land", "../../etc/passwd", "Local", strings.Repeat("x", 100)} {
			_, err := ann.Search(t.Context(), Search{Query: "x", Zone: zone})
			want(t, zone, err, ErrBadZone)
		}
		_, err = ann.Search(t.Context(), Search{Query: "x", Before: 12345, HasBefore: true})
		want(t, "a place", err, ErrBadPlace)
		_, err = ann.Search(t.Context(), Search{Query: "x", Room: storetest.RoomName(t, "nowhere")})
		want(t, "a room", err, ErrNotFound)
		if _, err := ann.Search(t.Context(), Search{Query: "x in:nowhere", Zone: "Europe/Berlin"}); err != nil {
			t.Errorf("in: a room that is not there: %v", err)
		}
		now := time.Duration(0)
		w.chat.searches = limit.NewLimiter("searches", limit.Rate{Count: 2, Per: time.Minute}, func() time.Duration { return now })
		away := w.chat.With(ann.Identity(), netip.MustParseAddr("192.0.2.1"), &Credential{ID: "device"})
		for i := range 3 {
			_, err := away.Search(t.Context(), Search{Query: "x"})
			if _, exceeded := errors.AsType[*limit.ExceededError](err); exceeded != (i == 2) {
				t.Errorf("search %d of 2 a minute: %v", i+1, err)
			}
			if _, err := ann.Search(t.Context(), Search{Query: "x"}); err != nil {
				t.Errorf("from this machine: %v", err)
			}
		}
	})
}

func isQueryError(err error) bool {
	_, ok := errors.AsType[*QueryError](err)
	return ok
}

// slowIndex finds nothing, once it is told to go on or the search has no time left.
type slowIndex struct {
	goOn    chan struct{}
	running atomic.Int64
}

func (x *slowIndex) Find(ctx context.Context, ask search.Ask) (search.Places, error) {
	x.running.Add(1)
	defer x.running.Add(-1)
	select {
	case <-x.goOn:
		return search.Places{}, nil
	case <-ctx.Done():
		return search.Places{Partial: true}, nil
	}
}

func (x *slowIndex) Order(number uint64) (uint64, bool) { return number, true }
func (x *slowIndex) Number(order uint64) uint64         { return order }

// listed is an index that knows nothing but a list of places.
type listed struct {
	places []search.Place
	next   uint64 // until the time is up, if it is not 0
}

func (x *listed) Find(ctx context.Context, ask search.Ask) (search.Places, error) {
	if x.next > 0 {
		<-ctx.Done()
		return search.Places{Next: x.next, More: true, Partial: true}, nil
	}
	return search.Places{List: x.places}, nil
}

func (x *listed) Order(number uint64) (uint64, bool) { return number, true }
func (x *listed) Number(order uint64) uint64         { return order }

// pageCounter counts the pages of history that are read.
type pageCounter struct {
	store.Store
	pages atomic.Int64
}

func (s *pageCounter) History(ctx context.Context, room kaban.RoomName, page store.Page) (store.History, error) {
	s.pages.Add(1)
	return s.Store.History(ctx, room, page)
}

// A search reads hardly more messages than it needs to fill its page.
func TestSearchReadsNoMoreThanItNeeds(t *testing.T) {
	s := &pageCounter{Store: memory.New(0)}
	w := newTown(t, s)
	lobby, x := storetest.RoomName(t, "hall"), &listed{}
	ann := w.user("ann")
	w.create("ann", "hall", kaban.RoomPublic)
	for i := range 300 {
		body := "tea"
		if i == 50 {
			body = "coffee"
		}
		if err := w.put(ann, lobby, kaban.KindMessage, 0, body); err != nil {
			t.Fatal(err)
		}
		x.places = append(x.places, search.Place{Room: lobby, Seq: uint64(300 - i), Order: uint64(300 - i)})
	}
	w.chat.SetIndex(x)
	for _, c := range []struct {
		query string
		most  int64
	}{
		{"tea", 6},
		{"coffee", 300},
	} {
		s.pages.Store(0)
		page, err := ann.Search(t.Context(), Search{Query: c.query, Limit: 5})
		if err != nil || len(page.Hits) == 0 || s.pages.Load() > c.most {
			t.Errorf("%s: %d hits after %d pages, %v; want at most %d pages", c.query, len(page.Hits), s.pages.Load(), err, c.most)
		}
	}
}

// If the time is up before there is a hit, the next page goes on where the index had come to.
func TestLateSearchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		w.chat.SetIndex(&listed{next: 7})
		page, err := w.user("ann").Search(t.Context(), Search{Query: "tea", Before: 9, HasBefore: true})
		if err != nil || !page.Partial || !page.More || page.Next != 7 {
			t.Errorf("got %+v, %v, want a partial page before 7", page, err)
		}
	})
}

// One search or inbox of an account runs at a time, and some of the server; the others wait, and
// those that wait have their whole time afterwards.
func TestSearchesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		x := &slowIndex{goOn: make(chan struct{})}
		w.chat.SetIndex(x)
		w.chat.seeking = limit.NewQueue(2, 2)
		type outcome struct {
			done, partial bool
			err           error
		}
		// Each returns what has become of it by now.
		begin := func(read func() outcome) func() outcome {
			var o atomic.Pointer[outcome]
			o.Store(new(outcome))
			go func() {
				done := read()
				o.Store(&done)
			}()
			synctest.Wait()
			return func() outcome { return *o.Load() }
		}
		seek := func(u User) func() outcome {
			return begin(func() outcome {
				hits, err := u.Search(t.Context(), Search{Query: "x"})
				return outcome{true, hits.Partial, err}
			})
		}
		other := func(read func() error) func() outcome {
			return begin(func() outcome { return outcome{done: true, err: read()} })
		}
		running := func(what string, want int64) {
			t.Helper()
			if n := x.running.Load(); n != want {
				t.Errorf("%s: %d run, want %d", what, n, want)
			}
		}
		bob := w.user("bob")
		first := seek(bob)
		inbox := other(func() error { _, err := bob.Inbox(t.Context(), 0, 0, 1000); return err })
		news := other(func() error { _, err := bob.News(t.Context()); return err })
		running("one account", 1)
		if inbox().done || news().done {
			t.Error("an inbox is read at the same time")
		}
		for what, o := range map[string]func() outcome{
			"a search": seek(bob),
			"an inbox": other(func() error { _, err := bob.Inbox(t.Context(), 0, 0, 1000); return err }),
			"news":     other(func() error { _, err := bob.News(t.Context()); return err }),
		} {
			if _, exceeded := errors.AsType[*limit.ExceededError](o().err); !exceeded {
				t.Errorf("%s too many: %+v", what, o())
			}
		}
		near, same := w.visitor("vic", netip.MustParseAddr("2001:db8::1")), w.visitor("val", netip.MustParseAddr("2001:db8::2"))
		visitor := seek(near)
		running("two people", 2)
		second, ann := seek(same), seek(w.user("ann"))
		running("more than two people", 2)
		if second().done || ann().done || visitor().done {
			t.Error("somebody did not wait")
		}
		time.Sleep(searchTime) // the first two have no time left
		synctest.Wait()
		running("after their time", 2) // ann's and the second one of the address; what bob reads is done
		if !first().partial || !visitor().partial {
			t.Errorf("the first two: %+v, %+v", first(), visitor())
		}
		close(x.goOn)
		synctest.Wait()
		for what, o := range map[string]func() outcome{"the second of an address": second, "ann": ann, "the inbox": inbox, "the news": news} {
			if o() != (outcome{done: true}) {
				t.Errorf("%s: %+v", what, o())
			}
		}
		w.chat.Close()
	})
}
