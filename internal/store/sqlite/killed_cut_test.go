//go:build unix

package sqlite

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/storetest"
)

const (
	// killedCutVariable makes TestKilledCutChild cut the directory that it names.
	killedCutVariable = "KABAN_TEST_KILLED_CUT"
	// maxKilledCuts is how often it cuts. Every failpoint comes before.
	maxKilledCuts = 200
	// killedCut is how many entries are cut at once, killedRound how many are appended before.
	killedCut, killedRound = 13, 20
)

// Of each 10 entries, the first 7 are messages, one of them by bob, and then the sixth is edited,
// the fifth gets a reaction, and the seventh is deleted.
func killedEntry(t testing.TB, seq uint64) kaban.Draft {
	id := fmt.Sprint("id-", seq)
	switch seq % 10 {
	case 2:
		return storetest.Draft(t, "lobby", "bob", id, killedText(seq))
	case 8:
		return change(t, kaban.KindEdit, "lobby", "ann", id, seq-2, killedText(seq))
	case 9:
		return change(t, kaban.KindReact, "lobby", "bob", id, seq-4, "+👍")
	case 0:
		return change(t, kaban.KindDelete, "lobby", "ann", id, seq-3, "")
	}
	d := storetest.Draft(t, "lobby", "ann", id, killedText(seq))
	if name := killedFile(seq); name != "" {
		d.Files = storetest.Files(t, name)
	}
	return d
}

// killedFile returns the name of the file of a message, "" if it has none.
func killedFile(seq uint64) string {
	if seq%10 == 3 || seq%10 == 7 { // the second is deleted
		return fmt.Sprintf("secret-file-%d.png", seq)
	}
	return ""
}

func killedText(seq uint64) string { return fmt.Sprintf("secret-%d.", seq) }

// killedCounts counts the messages up to a seq, and those of an author.
func killedCounts(name string, last uint64) (n store.Counts) {
	for seq := uint64(1); seq <= last; seq++ {
		if at := seq % 10; at >= 1 && at <= 7 {
			n.Add((at == 2) == (name == "bob"))
		}
	}
	return n
}

// TestKilledCutChild appends and cuts, and prints where the log begins.
func TestKilledCutChild(t *testing.T) {
	dir := os.Getenv(killedCutVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	s := open(t, dir, Options{maxUnmerged: 50, mergeStep: 10, walPages: 50})
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	lobby := storetest.RoomName(t, "lobby")
	for range maxKilledCuts {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		state, err := s.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		for range killedRound / 10 {
			drafts := make([]kaban.Draft, 10)
			for i := range drafts {
				state.Head++
				drafts[i] = killedEntry(t, state.Head)
			}
			storetest.Append(t, s, drafts...)
		}
		if n := cut(t, s, "lobby", ever, killedCut); n != killedCut {
			t.Fatalf("%d are cut", n)
		}
		if state, err = s.Room(t.Context(), lobby); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acknowledged: oldest", state.Oldest)
	}
}

// A process that is killed while it cuts leaves the log as it was or cut, with its counts, and
// the next one erases what is gone.
func TestKilledWhileItCuts(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	dir := childtest.DiskDir(t)
	oldest := uint64(1)
	for _, point := range []string{
		"cut.deleted:1", "cut.before-commit:1", "cut.after-commit:1", "cut.after-commit:4", "cut.deleted:5", "cut.before-commit:6", "cut.before-commit:1", "cut.after-commit:2",
	} {
		output := binary.Killed(t, "TestKilledCutChild", killedCutVariable+"="+dir, point)
		if n := acknowledged(output, "oldest"); n > 0 {
			oldest = uint64(n)
		}
		if strings.HasPrefix(point, "cut.after-commit") {
			oldest += killedCut
		}
		checkKilledCut(t, point, dir, oldest)
	}
}

// checkKilledCut checks what a child has left of a log that begins with an entry.
func checkKilledCut(t *testing.T, point, dir string, oldest uint64) {
	t.Helper()
	if err := check(t.Context(), dir); err != nil {
		t.Errorf("%s: check of what is left: %v", point, err)
	}
	files := journaltest.NewSearcher(dir)
	files.Look(t)
	s := open(t, dir, Options{})
	lobby := storetest.RoomName(t, "lobby")
	state, err := s.Room(t.Context(), lobby)
	if err != nil || state.Oldest != oldest || state.Head%10 != 0 {
		t.Errorf("%s: it has %d to %d, %v; want %d and more", point, state.Oldest, state.Head, err, oldest)
	}
	next := state.Oldest
	for _, e := range all(t, s, "lobby") {
		if want := killedEntry(t, next); e.Seq != next || e.Kind != want.Kind || e.ID != want.ID.String() || e.Target != want.Target {
			t.Errorf("%s: entry %d is %+v", point, next, e)
		}
		if text, want := e.Content, killedText(next); next%10 < 6 && next%10 > 0 && text != want {
			t.Errorf("%s: entry %d has %q, want %q", point, next, text, want)
		}
		if want := killedFile(next); next%10 == 3 && !strings.Contains(e.Files, want) || next%10 != 3 && e.Files != "" {
			t.Errorf("%s: entry %d has the files %q, want %q", point, next, e.Files, want)
		}
		next++
	}
	if next != state.Head+1 {
		t.Errorf("%s: it ends before %d, and the head is %d", point, next, state.Head)
	}
	for _, name := range []string{"ann", "bob", "nobody"} {
		tallies, err := s.Tallies(t.Context(), killedAuthor(t, name), []kaban.RoomName{lobby})
		if err != nil {
			t.Fatal(err)
		}
		want := store.Tally{Head: state.Head, Oldest: state.Oldest, Counts: killedCounts(name, state.Head), Front: killedCounts(name, state.Oldest-1)}
		if name == "nobody" {
			want.Own, want.Front.Own = 0, 0
		}
		if tallies[0] != want {
			t.Errorf("%s: for %s it counts %+v, want %+v", point, name, tallies[0], want)
		}
	}
	if err := s.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Each message that had a file and is cut or deleted has released it, once.
	var want []string
	for seq := uint64(1); seq <= state.Head; seq++ {
		if killedFile(seq) != "" && (seq < state.Oldest || seq%10 == 7) {
			want = append(want, store.ReleasedKey(lobby, seq))
		}
	}
	slices.Sort(want)
	if released := releasedKeys(t, s); !slices.Equal(released, want) {
		t.Errorf("%s: %d messages have released their files, want %d", point, len(released), len(want))
	}
	var gone []string
	for seq := max(1, state.Oldest-2*killedCut); seq < state.Oldest; seq++ {
		if gone = append(gone, killedText(seq)); killedFile(seq) != "" {
			gone = append(gone, killedFile(seq))
		}
	}
	if found := files.Find(t, append(gone, "secret-none")...); len(found) > 0 {
		t.Errorf("%s: %v have some of %d texts that were cut", point, found, len(gone))
	}
	closeStore(t, s)
	if report := reportOf(t, dir); report.Err() != nil {
		t.Errorf("%s: %v", point, report.Err())
	}
}

// releasedKeys returns the keys of the documents of messages whose files are released.
func releasedKeys(t testing.TB, s *Store) (keys []string) {
	t.Helper()
	from, to := store.ReleasedKeys()
	err := s.View(t.Context(), func(tx store.Tx) error {
		found, err := tx.Scan(from, to, 1<<20)
		for _, d := range found {
			keys = append(keys, d.Key)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func killedAuthor(t testing.TB, name string) string {
	return storetest.Draft(t, "lobby", name, "x", "x").Author.ID()
}
