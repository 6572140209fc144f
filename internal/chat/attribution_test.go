package chat

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// authored shows the authors of entries.
type authored struct{ plain }

func (authored) AppendEntry(dst []byte, _ string, e *store.Entry) []byte {
	account, _ := kaban.AuthorOf(e.Author)
	return append(dst, e.Username+"="+account+"\n"...)
}

// authors returns who the entries of a room are shown as written by.
func (w *town) authors(room string) (all []string) {
	w.t.Helper()
	entries, err := w.history(w.user("ann"), room)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range entries {
		account, _ := kaban.AuthorOf(entries[i].Author)
		all = append(all, entries[i].Username+"="+account)
	}
	return all
}

// link stores, or without an account deletes, the link of a visitor, and has the chat
// notice.
func (w *town) link(visitor, account string, since int64) {
	w.t.Helper()
	id := kaban.Visitor(storetest.Username(w.t, visitor)).ID()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		if account == "" {
			return people.Links.Delete(tx, id)
		}
		return people.Links.Put(tx, &people.Link{Visitor: id, Account: account, Since: since})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.chat.AccountChanged("id-bob")
}

// Frames that are in memory when an owner gives a name to an account are encoded anew.
func TestALinkReachesFramesInMemory(t *testing.T) {
	w := newTown(t, memory.New(0))
	reads := func(name string) *Subscription {
		place, err := w.user(name).Find(t.Context(), storetest.RoomName(t, "lobby"), Start{Resume: true})
		want(t, name+" finds the lobby", err, nil)
		s, _, err := w.user(name).Join(reader{}, nil, authored{}, place)
		want(t, name+" joins", err, nil)
		return s
	}
	old := w.visitor("OldBob", netip.Addr{})
	sub, err := w.follow(old, "lobby", 0)
	want(t, "the visitor joins", err, nil)
	cat := reads("cat")
	want(t, "the visitor speaks", w.say(old, sub, "before"), nil)
	frames, _ := w.drain(cat)
	w.equal("what a reader gets at once", frames, "OldBob=")
	entries, err := w.history(old, "lobby")
	want(t, "history", err, nil)
	w.link("oldbob", "id-bob", entries[0].Time+1)
	frames, _ = w.drain(reads("ann"))
	w.equal("what a reader gets from the beginning", frames, "OldBob=id-bob")
	if frames, _ = w.drain(cat); len(strings.Join(frames, "")) > 0 {
		t.Errorf("the reader that had it gets %q", frames)
	}
	want(t, "the visitor speaks again", w.say(old, sub, "after"), nil)
	frames, _ = w.drain(cat)
	w.equal("what a reader gets later", frames, "OldBob=")
}

// What a visitor wrote before an owner gave its name to an account is shown as the
// account's, in pages and to readers that catch up; what somebody of the name writes
// later is not. The ids of its messages stay the visitor's.
func TestEntriesOfALinkedVisitorAreTheAccounts(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		old := w.visitor("OldBob", netip.Addr{})
		sub, err := w.follow(old, "lobby", 0)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "the visitor speaks", w.say(old, sub, "before"), nil)
		w.equal("authors before the link", w.authors("lobby"), "OldBob=")
		entries, err := w.history(old, "lobby")
		if err != nil {
			t.Fatal(err)
		}
		w.link("oldbob", "id-bob", entries[0].Time)
		w.equal("authors of what is as late as the link", w.authors("lobby"), "OldBob=")

		w.link("oldbob", "id-bob", entries[0].Time+1)
		w.equal("authors after the link", w.authors("lobby"), "OldBob=id-bob")
		place, err := old.Find(t.Context(), storetest.RoomName(t, "lobby"), Start{Resume: true})
		if err != nil {
			t.Fatal(err)
		}
		late, _, err := w.user("cat").Join(reader{}, nil, authored{}, place)
		if err != nil {
			t.Fatal(err)
		}
		frames, _ := w.drain(late)
		w.equal("what a reader gets that catches up", frames, "OldBob=id-bob")
		change := Change{Kind: kaban.KindDelete, Target: entries[0].Seq}
		_, err = w.alter(old, "lobby", change)
		want(t, "somebody of the name deletes what is the account's", err, ErrForbidden)
		want(t, "and from the room", w.submit(old, sub, change), ErrForbidden)
		time.Sleep(2 * time.Millisecond) // entries have the time of the machine
		want(t, "somebody of the name speaks later", w.say(old, sub, "after"), nil)
		w.equal("authors after both", w.authors("lobby"), "OldBob=id-bob", "OldBob=")

		w.restart()
		w.equal("authors after a restart", w.authors("lobby"), "OldBob=id-bob", "OldBob=")
		w.link("oldbob", "", 0)
		w.equal("authors without the link", w.authors("lobby"), "OldBob=", "OldBob=")
		w.link("oldbob", "id-nobody", entries[0].Time+1)
		w.equal("authors with a link to nobody", w.authors("lobby"), "OldBob=", "OldBob=")
	})
}
