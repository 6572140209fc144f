package sqlite

import (
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// The id of a change that made no difference is known after a restart and after a crash.
func TestNoopsAreKnownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	react := func(id string, on bool) kaban.Draft {
		d := storetest.Draft(t, "lobby", "ann", id, "x")
		d.Kind, d.Target, d.Body = kaban.KindReact, 1, kaban.Switch(on, "👍")
		return d
	}
	for _, d := range []kaban.Draft{storetest.Draft(t, "lobby", "ann", "a", "hello"), react("b", true), react("d", true), react("c", false)} {
		storetest.Append(t, s, d)
	}
	crashed := copyFiles(t, dir)
	closeStore(t, s)
	for _, dir := range []string{dir, crashed} {
		s := still(t, dir, Options{})
		if got := storetest.Append(t, s, react("d", true))[0]; !got.Duplicate || got.Seq != 2 {
			t.Errorf("the same reaction again: %+v, want a duplicate of 2", got)
		}
		if got := storetest.Append(t, s, react("e", true))[0]; got.Duplicate || got.Seq != 4 {
			t.Errorf("another one: %+v, want 4", got)
		}
	}
}

// An entry that is imported takes the place of a change with its id that made no difference.
func TestImportOverANoop(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	react := storetest.Draft(t, "lobby", "ann", "b", "x")
	react.Kind, react.Target, react.Body = kaban.KindReact, 1, kaban.Switch(true, "👍")
	again, other := react, react
	again.ID, other.ID = storetest.Draft(t, "lobby", "ann", "c", "x").ID, storetest.Draft(t, "lobby", "ann", "d", "x").ID
	for _, d := range []kaban.Draft{storetest.Draft(t, "lobby", "ann", "a", "hello"), react, again, other} {
		storetest.Append(t, s, d)
	}
	took := again
	took.Body = kaban.Switch(false, "👍")
	if n, err := s.Import(t.Context(), []store.Record{{Draft: took, Seq: 3, Time: 5}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := storetest.Append(t, s, took)[0]; !got.Duplicate || got.Seq != 3 {
		t.Errorf("the entry again: %+v, want a duplicate of 3", got)
	}
	if got := storetest.Append(t, s, other)[0]; !got.Duplicate || got.Seq != 2 {
		t.Errorf("another change that made no difference: %+v, want a duplicate of 2", got)
	}
	closeStore(t, s)
	archive, err := OpenArchive(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	report, err := archive.Check(t.Context())
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		t.Error(err)
	}
}
