package dispatch

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// inTails reports whether the tails of a room have a text.
func inTails(r *Room, text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tails {
		for c := t.first.Load(); c != nil; c = c.next.Load() {
			if bytes.Contains(c.bytes, []byte(text)) {
				return true
			}
		}
	}
	return false
}

// A text that is deleted or replaced leaves the tail after some seconds. Readers that keep up
// are given all of it from the tail, and those that come later read on from the store.
func TestDeletedTextsLeaveTheTail(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []struct {
			kind kaban.Kind
			body string
		}
		final string
	}{
		{"deleted", []struct {
			kind kaban.Kind
			body string
		}{{kaban.KindDelete, ""}}, ""},
		{"edited", []struct {
			kind kaban.Kind
			body string
		}{{kaban.KindEdit, "secret-2"}, {kaban.KindEdit, "public"}}, "public"},
		{"edited and deleted", []struct {
			kind kaban.Kind
			body string
		}{{kaban.KindEdit, "secret-2"}, {kaban.KindDelete, ""}}, ""},
	} {
		for _, between := range []int{0, 3, 200} {
			t.Run(fmt.Sprintf("%s, %d between", c.name, between), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := memory.New(0)
					d, err := New(t.Context(), s, Options{PresenceDelay: time.Hour})
					if err != nil {
						t.Fatal(err)
					}
					ann, bob, cat := newReader(t), newReader(t), newReader(t)
					a, b, late := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{}), join(t, d, cat, "lobby", "cat", Start{})
					late.Rest()
					n := 0
					say := func(sends ...Send) {
						n += len(sends)
						d.Submit(sends)
						bob.take(b, 1<<20)
					}
					fill := func() {
						for i := range between {
							say(send(t, a, "ann", fmt.Sprint("f", n, "-", i), strings.Repeat("x", 300)))
						}
					}
					say(send(t, a, "ann", "1", "secret-1"))
					for i, change := range c.changes {
						fill()
						say(about(t, a, "ann", fmt.Sprint("c", i), change.kind, 1, change.body))
					}
					fill()
					room := a.Room()
					if !inTails(room, "secret-1") {
						t.Error("the tail does not have the text before")
					}
					time.Sleep(forgetAfter + time.Millisecond)
					synctest.Wait()
					if inTails(room, "secret") {
						t.Error("the tail has the text still")
					}
					say(send(t, a, "ann", "last", "last"))
					if got := d.Stats().Fetches; got != 0 {
						t.Errorf("those that keep up read %d pages from the store", got)
					}
					if got := strings.Join(bob.given, "\n"); len(bob.given) != n || !strings.Contains(got, "secret-1") {
						t.Errorf("given were %d of %d entries", len(bob.given), n)
					}
					late.Rise()
					cat.take(late, 1<<20)
					if got := strings.Join(cat.given, "\n"); strings.Contains(got, "secret") || len(cat.given) != n || c.final != "" && !strings.Contains(got, c.final) {
						t.Errorf("later %d of %d entries were given, and secrets: %t", len(cat.given), n, strings.Contains(got, "secret"))
					}
					for _, x := range []*Subscription{a, b, late} {
						d.Leave(x)
					}
					d.Close()
				})
			})
		}
	}
}

// A tail whose texts stay, stays, whatever else happens to messages.
func TestOtherChangesKeepTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(0)
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "old", "secret"))
		d, err := New(t.Context(), s, Options{PresenceDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ann := newReader(t)
		a := join(t, d, ann, "lobby", "ann", Start{})
		d.Submit([]Send{send(t, a, "ann", "1", "public"), about(t, a, "ann", "2", kaban.KindPin, 2, "+"), about(t, a, "ann", "3", kaban.KindEdit, 1, "other")})
		time.Sleep(forgetAfter + time.Millisecond)
		synctest.Wait()
		if !inTails(a.Room(), "public") {
			t.Error("the tail was dropped for a text that it does not have")
		}
		d.Submit([]Send{about(t, a, "ann", "4", kaban.KindDelete, 2, "")})
		d.Forget()
		if inTails(a.Room(), "public") {
			t.Error("the tail has a text although it was to forget it at once")
		}
		d.Leave(a)
		d.Close()
	})
}

// A text that is taken out of an entry leaves the tail, and who comes later gets what the store has.
func TestRedactedTextsLeaveTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(0)
		d, err := New(t.Context(), s, Options{PresenceDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		enter := func(name string) (*reader, *Subscription) {
			place, err := d.Find(t.Context(), storetest.RoomName(t, "lobby"), Start{})
			if err != nil {
				t.Fatal(err)
			}
			r := newReader(t)
			sub, _, err := d.Join(r, r, full[0], &kaban.Peer{Identity: kaban.Visitor(storetest.Username(t, name))}, place)
			if err != nil {
				t.Fatal(err)
			}
			return r, sub
		}
		_, a := enter("ann")
		bob, late := enter("bob")
		late.Rest()
		topic := send(t, a, "ann", "1", "secret")
		topic.Draft.Kind = kaban.KindTopic
		d.Submit([]Send{topic, send(t, a, "ann", "2", "public")})
		if !inTails(a.Room(), "secret") {
			t.Error("the tail does not have the text before")
		}
		if err := d.Redact(t.Context(), a.Room().Name(), []store.Redaction{{Seq: 1}}); err != nil {
			t.Fatal(err)
		}
		d.Forget()
		if inTails(a.Room(), "secret") {
			t.Error("the tail has the text still")
		}
		late.Rise()
		bob.take(late, 1<<20)
		if got := strings.Join(bob.given, "\n"); len(bob.given) != 2 || strings.Contains(got, "secret") || !strings.Contains(got, "public") {
			t.Errorf("later %q is given", got)
		}
		for _, x := range []*Subscription{a, late} {
			d.Leave(x)
		}
		d.Close()
	})
}

// What is cut off the front of a log leaves the tail; what is not cut can still be read.
func TestCutTextsLeaveTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
		ann := newReader(t)
		a := join(t, d, ann, "lobby", "ann", Start{})
		d.Submit([]Send{send(t, a, "ann", "1", "secret")})
		between := time.Now().Add(time.Millisecond)
		time.Sleep(2 * time.Millisecond)
		d.Submit([]Send{send(t, a, "ann", "2", "public")})
		if !inTails(a.Room(), "secret") {
			t.Error("the tail does not have the text before")
		}
		n, err := d.Cut(t.Context(), a.Room().Name(), store.Age{Before: between.UnixMilli(), Now: time.Now().UnixMilli()}, 100)
		if err != nil || n != 1 {
			t.Fatalf("%d entries are cut (error: %v), want 1", n, err)
		}
		d.Forget()
		if inTails(a.Room(), "secret") {
			t.Error("the tail has the text still")
		}
		bob := newReader(t)
		b := join(t, d, bob, "lobby", "bob", Start{Resume: true, After: 1})
		bob.take(b, 1<<20)
		if len(bob.given) != 1 || !strings.Contains(bob.given[0], "public") {
			t.Errorf("given is %q, want what is left", bob.given)
		}
		d.Leave(a)
		d.Leave(b)
		d.Close()
	})
}
