package sqlite

import (
	"testing"

	"kaban"
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
