package chat

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// An identity has written if there is anything of it in any room: a message, which is counted, or
// only a reaction.
func TestHasWritten(t *testing.T) {
	kept, ids := memory.New(0), 0
	visitor := func(name string) kaban.Identity { return kaban.Visitor(storetest.Username(t, name)) }
	say := func(room string, by kaban.Identity, times int) {
		drafts := make([]kaban.Draft, times)
		for i := range drafts {
			ids++
			drafts[i] = storetest.Draft(t, room, "x", fmt.Sprint("m", ids), "x")
			drafts[i].Author = by
		}
		storetest.Append(t, kept, drafts...)
	}
	say("lobby", visitor("bob"), writtenPage+1) // more than a page
	say("other", visitor("writer"), 1)
	reaction := storetest.Draft(t, "lobby", "x", "reaction", "+👍")
	reaction.Author, reaction.Kind, reaction.Target = visitor("reader"), kaban.KindReact, 1
	if got := storetest.Append(t, kept, reaction)[0]; got.Err != nil {
		t.Fatal(got.Err)
	}
	say("lobby", visitor("bob"), writtenPage)
	w := newTown(t, kept)
	wrote := func(what, name string, since int64, want bool) {
		t.Helper()
		if got, err := w.chat.HasWritten(t.Context(), visitor(name).ID(), since); err != nil || got != want {
			t.Errorf("%s: %t, %v", what, got, err)
		}
	}
	last := func(room string) int64 {
		entries, err := kept.Read(t.Context(), storetest.RoomName(t, room), store.Page{Last: true, Limit: 1})
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		return entries[0].Time
	}
	wrote("a message", "writer", 0, true)
	wrote("a reaction", "reader", 0, true)
	wrote("nothing", "write", 0, false)
	wrote("since its message", "writer", last("other"), true)
	wrote("later", "writer", last("other")+1, false)

	pages := 2 // of three
	if got, err := w.chat.hasWrittenIn(t.Context(), storetest.RoomName(t, "lobby"), visitor("nobody").ID(), 0, &pages); err != nil || !got {
		t.Errorf("behind the bound: %t, %v", got, err)
	}
}
