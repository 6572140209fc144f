package chat

import (
	"net/netip"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
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
