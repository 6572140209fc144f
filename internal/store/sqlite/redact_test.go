package sqlite

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/storetest"
)

// What is taken out of entries is erased from all files like texts of messages, whether the
// entries were merged or not, and also if the server is killed after it.
func TestRedactedTextsAreErased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 10})
	search := journaltest.NewSearcher(dir)
	lobby := storetest.RoomName(t, "lobby")
	var redactions []store.Redaction
	say := func(n int) {
		t.Helper()
		for range n {
			seq := uint64(len(redactions) + 1)
			d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("t", seq), fmt.Sprint("secret-", seq))
			d.Kind = kaban.KindTopic
			storetest.Append(t, s, d)
			redactions = append(redactions, store.Redaction{Seq: seq})
		}
		search.Look(t)
	}
	redact := func() {
		t.Helper()
		_, before := s.Erased()
		if err := s.Redact(t.Context(), lobby, redactions); err != nil {
			t.Fatal(err)
		}
		if done, due := s.Erased(); due <= before || done >= due {
			t.Errorf("erased is up to %d of %d, which was %d before", done, due, before)
		}
		if found := search.Find(t, "secret-"); len(found) == 0 {
			t.Error("nothing is found before it is erased, so the search proves nothing")
		}
	}
	say(200)
	redact()
	crashed := copyFiles(t, dir)
	for _, dir := range []string{dir, crashed} {
		closeStore(t, s)
		s = open(t, dir, Options{})
		if err := s.Erase(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found := journaltest.NewSearcher(dir).Find(t, "secret-"); len(found) > 0 {
			t.Errorf("it is erased, and %v have some of it", found)
		}
		page, err := s.Read(t.Context(), lobby, store.Page{Limit: 1000})
		if err != nil || len(page) != 200 || page[199].Content != "" || page[199].ID != "t200" {
			t.Errorf("%d entries, %v", len(page), err)
		}
	}
	closeStore(t, s)
	if report := reportOf(t, dir); report.Err() != nil {
		t.Error(report.Err())
	}
}
