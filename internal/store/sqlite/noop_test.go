package sqlite

import (
	"fmt"
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

// BenchmarkNoops appends a reaction that is there already, and then one that makes a difference to another
// message, each in a batch of its own. Both messages are merged.
func BenchmarkNoops(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	draft := func(id string, kind kaban.Kind, target uint64, body string) kaban.Draft {
		d := storetest.Draft(b, "lobby", "ann", id, "x")
		d.Kind, d.Target, d.Body = kind, target, body
		return d
	}
	const messages = 100
	for i := range messages {
		storetest.Append(b, s, draft(fmt.Sprint("a", i), kaban.KindMessage, 0, "hello"))
	}
	for i := range uint64(messages) {
		storetest.Append(b, s, draft(fmt.Sprint("b", i), kaban.KindReact, i+1, kaban.Switch(true, "👍")))
	}
	if err := s.mergePresent(); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		for i, d := range []kaban.Draft{
			draft(fmt.Sprint("c", n), kaban.KindReact, uint64(n%50)+1, kaban.Switch(true, "👍")),
			draft(fmt.Sprint("d", n), kaban.KindReact, uint64((n-1)%50)+51, kaban.Switch((n-1)/50%2 == 0, "🎉")),
		} {
			if got := storetest.Append(b, s, d)[0]; got.Err != nil || got.Duplicate != (i == 0) {
				b.Fatalf("%+v: %+v", d, got)
			}
		}
	}
}
