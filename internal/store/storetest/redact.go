package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
	"kaban/internal/store"
)

// Entries that are no messages, and reasons of deletions, say what they are told to; nothing else
// changes, whether it is merged or not.
func testRedact(t *testing.T, s store.Store) {
	lobby := RoomName(t, "lobby")
	Append(t, s, message(t, "ann", "one", "hello"), change(t, kaban.KindTopic, "ann", "two", 0, "a topic"), message(t, "ann", "three", "gone"),
		remove(t, "ann", "four", 3, "a reason"), react(t, "bob", "five", 1, true, "👍"), pin(t, "bob", "six", 1, true), edit(t, "ann", "seven", 1, "hello again"))
	Append(t, s, many(t, "attic", 0, 3)...)
	redact := func(room string, redactions ...store.Redaction) {
		t.Helper()
		if err := s.Redact(t.Context(), RoomName(t, room), redactions); err != nil {
			t.Fatal(err)
		}
	}
	redact("nowhere", store.Redaction{Seq: 1})
	redact("lobby", store.Redaction{Seq: 8, Content: "x"}, store.Redaction{Seq: 99, Content: "x"})
	var all []store.Redaction
	for seq := range uint64(8) {
		all = append(all, store.Redaction{Seq: seq, Content: map[uint64]string{2: "another topic"}[seq]})
	}
	want := []string{
		"1 ann: hello again (edited 7, pinned 6)", "2 ann kind 6 of 0: another topic", "3 ann (deleted 4)", "4 ann deletes 3", "5 bob reacts to 1: +👍", "6 bob pins 1: +",
		"7 ann edits 1: hello again",
	}
	for range 2 {
		redact("lobby", all...)
		if diff := cmp.Diff(want, describeAll(read(t, s, lobby))); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
		if got := read(t, s, lobby)[3].Content; got != "" {
			t.Errorf("the deletion has the reason %q", got)
		}
	}
	h := readHistory(t, s, lobby, store.Page{Limit: 10})
	if diff := cmp.Diff([]string{"1 ann: hello again (edited 7, pinned 6, 👍 bob 5)", want[1], want[2]}, describeAll(h.Entries)); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		draft kaban.Draft
		want  store.Result
	}{
		{change(t, kaban.KindTopic, "ann", "two", 0, "another topic"), known(2)},
		{change(t, kaban.KindTopic, "ann", "two", 0, "a topic"), refused(store.ErrIDConflict)},
		{message(t, "ann", "one", "hello"), known(1)},
		{message(t, "ann", "eight", "later"), stored(8)},
	} {
		if got := Append(t, s, c.draft)[0]; got.Seq != c.want.Seq || got.Duplicate != c.want.Duplicate || got.Err != c.want.Err {
			t.Errorf("%+v: %+v, want %+v", c.draft, got, c.want)
		}
	}
}
