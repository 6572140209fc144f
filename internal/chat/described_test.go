package chat

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// An edit can take the text of a message with files away, and nothing else changes of it.
func TestTextsOfFilesAreTakenAway(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		hall, ann := storetest.RoomName(t, "hall"), w.user("ann")
		with, err := w.postFiles("ann", "hall", w.id(), "look, @bob", w.upload("ann", "cat.png", 10))
		if err != nil {
			t.Fatal(err)
		}
		alone, err := w.postFiles("ann", "hall", w.id(), "hi")
		if err != nil {
			t.Fatal(err)
		}
		id := w.id()
		take := Change{Kind: kaban.KindEdit, Target: with.Seq}
		first, _, err := ann.Change(t.Context(), hall, id, take)
		if err != nil || first.Duplicate {
			t.Fatalf("%+v, %v", first, err)
		}
		if again, _, err := ann.Change(t.Context(), hall, id, take); err != nil || !again.Duplicate || again.Seq != first.Seq {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		if got, _, err := ann.Change(t.Context(), hall, w.id(), Change{Kind: kaban.KindEdit, Target: alone.Seq}); !errors.Is(err, ErrNoText) {
			t.Errorf("a message without files: %+v, %v", got, err)
		}
		page, err := ann.History(t.Context(), hall, Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Seq == with.Seq && (e.Content != "" || e.Files == "" || e.Version() != first.Seq) {
				t.Errorf("the message is %+v", e)
			}
		}
		if _, _, err := ann.Change(t.Context(), hall, w.id(), Change{Kind: kaban.KindEdit, Target: with.Seq, Content: "again"}); err != nil {
			t.Errorf("another text: %v", err)
		}
	})
}

// A file can be described by whoever has uploaded it, until a message has it.
func TestDescribeFile(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		ann, cat := w.user("ann"), w.upload("ann", "cat.png", 10)
		describe := func(who User, id, alt string, want error) {
			t.Helper()
			f, err := who.DescribeFile(t.Context(), id, alt)
			if !errors.Is(err, want) || err == nil && (f.ID != id || f.Alt != alt) {
				t.Errorf("%q: %+v, %v, want %v", alt, f, err, want)
			}
		}
		describe(ann, cat, "a cat", nil)
		describe(ann, cat, "a cat", nil)
		describe(ann, cat, "", nil)
		describe(ann, cat, "a sleeping cat", nil)
		describe(w.user("bob"), cat, "a dog", ErrNoFile)
		describe(w.user("olga"), cat, "a dog", ErrNoFile) // not even an owner of the server
		describe(w.visitor("vic", netip.Addr{}), cat, "a dog", ErrAuthRequired)
		describe(ann, strings.Repeat("a", 26), "a dog", ErrNoFile)
		describe(ann, cat, "two\nlines", kaban.ErrFiles)
		describe(ann, cat, strings.Repeat("x", kaban.MaxFileAlt+1), kaban.ErrFiles)
		// What was described between the claim and the commit is what the message says.
		claim, err := ann.Claim(t.Context(), []string{cat})
		if err != nil {
			t.Fatal(err)
		}
		describe(ann, cat, "a dog", nil)
		room := storetest.RoomName(t, "hall")
		if err := w.chat.dispatcher.Update(t.Context(), func(tx store.Tx) error { return claim.decide(tx, room) }); err != nil {
			t.Fatal(err)
		}
		describe(ann, cat, "a dog", ErrFileClaimed)
		describe(ann, cat, "a sleeping cat", nil) // as the message says
	})
}
