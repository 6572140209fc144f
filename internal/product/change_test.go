package product

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// changes are what is done to a message, in an order in which each can be done.
var changes = []struct {
	what   string
	action access.Action
	more   frame
}{
	{"react", access.React, frame{"emoji": "👍", "on": true}},
	{"react", access.React, frame{"emoji": "👍", "on": false}},
	{"pin", access.Pin, frame{"on": true}},
	{"pin", access.Pin, frame{"on": false}},
	{"edit", access.Edit, frame{"content": "x"}},
	{"delete", access.Delete, frame{"reason": "x"}},
}

// checkChanges changes messages of one's own and of somebody else, each a new one.
func (w *world) checkChanges(s *scenario, room, ask string) {
	w.t.Helper()
	if _, ok := w.front.offers("edit", access.Edit); !ok {
		return
	}
	for _, own := range []bool{true, false} {
		author, f := "opal", s.facts()
		if f.Target.Author = own; own {
			author = s.name()
		}
		target := w.write(room, author)
		for _, c := range changes {
			request := w.act(c.what, room, "", c.more)
			request["target"] = target
			w.compare(s, ask, request, c.action, f)
		}
	}
}

// write adds a message of somebody to a room, whatever the author may do there. It returns
// its seq.
func (w *world) write(room, author string) uint64 {
	w.t.Helper()
	draft := w.draft(room, author, "hello")
	results := make([]store.Result, 1)
	if err := w.store.Append(w.t.Context(), []store.Write{{Draft: draft}}, results); err != nil || results[0].Err != nil {
		w.t.Fatal(err, results[0].Err)
	}
	return results[0].Seq
}

// say is write by way of the dispatcher, so that others can read it at once.
func (w *world) say(room, author, text string) uint64 {
	w.t.Helper()
	r, err := w.dispatcher.Post(w.t.Context(), dispatch.Send{Draft: w.draft(room, author, text)}, func() {})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Seq
}

func (w *world) draft(room, author, text string) kaban.Draft {
	w.t.Helper()
	w.ids++
	draft := kaban.Draft{Author: w.identity(author), Kind: kaban.KindMessage, Body: text}
	var err error
	if draft.Room, err = kaban.ParseAnyRoom(room); err != nil {
		w.t.Fatal(err)
	}
	if draft.ID, err = kaban.ParseMessageID(fmt.Sprint("written.", w.ids)); err != nil {
		w.t.Fatal(err)
	}
	return draft
}

// identity returns that of an account, or of a visitor.
func (w *world) identity(username string) (id kaban.Identity) {
	w.t.Helper()
	name, err := kaban.ParseUsername(username)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.store.View(w.t.Context(), func(tx store.Tx) error {
		alike, err := people.Accounts.Like(tx, name, 1)
		if err != nil || len(alike) == 0 {
			id = kaban.Visitor(name)
			return err
		}
		id, err = alike[0].Identity()
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestIdentities has the helpers of this package write as those that they name.
func TestIdentities(t *testing.T) {
	w := newWorld(t, lines{})
	room := w.newRoom()
	mia := w.as("mia")
	mia.must(frame{"type": "create", "room": room, "kind": "public"})
	for author, want := range map[string]string{"mia": "", "vic": "forbidden", "mia-bot": "forbidden"} {
		if got := mia.ask(w.act("edit", room, "", frame{"target": w.write(room, author), "content": "x"})); got != want {
			t.Errorf("mia edits what %s has written: %q, want %q", author, got, want)
		}
	}
}
