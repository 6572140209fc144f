package sqlite

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/storetest"
)

// book is a ledger in memory, which fails as often as it is told to.
type book struct {
	mu    sync.Mutex // guards all below
	whole bool
	fails int // each call up to this many
	calls int
	lines []store.Erased
}

var errBook = errors.New("the ledger cannot be written")

func (b *book) IsWhole() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.whole, nil
}

func (b *book) Record(messages []store.Erased) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls++; b.calls <= b.fails {
		return errBook
	}
	b.whole = true
	b.lines = append(b.lines, messages...)
	return nil
}

// replay returns what is in it, for a restore.
func (b *book) replay(t testing.TB) *store.Replay {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &store.Replay{Messages: sequence(slices.Clone(b.lines)), By: kaban.Hook("operator", storetest.Username(t, "server"))}
}

func sequence(lines []store.Erased) iter.Seq2[store.Erased, error] {
	return func(yield func(store.Erased, error) bool) {
		for _, line := range lines {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// named returns the messages that the ledger names, and checks that there is no other.
func (b *book) named(t testing.TB, epoch string) map[string]bool {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	found := make(map[string]bool)
	for _, line := range b.lines {
		if line.Epoch != epoch || line.Time == 0 || line.Fingerprint == 0 {
			t.Errorf("%+v; the epoch is %s", line, epoch)
		}
		found[fmt.Sprint(line.Room, " ", line.Seq)] = true
	}
	return found
}

// deleted returns the messages of a store that were deleted.
func deleted(t testing.TB, s *Store) map[string]bool {
	t.Helper()
	rooms, err := s.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, room := range rooms {
		for _, e := range all(t, s, room.Name.String()) {
			if e.IsDeleted() {
				found[fmt.Sprint(room.Name.Key(), " ", e.Seq)] = true
			}
		}
	}
	return found
}

func sameNames(t testing.TB, what string, got, want map[string]bool) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: nothing was deleted, so this proves nothing", what)
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s: %s is missing", what, name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("%s: %s is too much", what, name)
		}
	}
}

// Nothing is erased before the ledger names it, and what an older server has deleted is named
// by the next one, also if the ledger was lost.
func TestLedgerNamesWhatIsErased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 40, mergeStep: 10}) // without a ledger
	w := newTown(t, dir, 11)
	w.say(s, 300)
	w.take(s, 60)
	w.erased(s)
	closeStore(t, s)
	b := &book{fails: 2}
	s = open(t, dir, Options{maxUnmerged: 40, mergeStep: 10, Ledger: b})
	w.say(s, 300)
	w.take(s, 60)
	if err := s.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.calls <= b.fails {
		t.Errorf("it is erased after %d calls of a ledger that has failed", b.calls)
	}
	sameNames(t, "the ledger", b.named(t, s.Epoch()), deleted(t, s))
	if n := count(t, s, "unledgered"); n != 0 {
		t.Errorf("%d rows of unledgered are left", n)
	}
	closeStore(t, s)
	lost := &book{}
	s = open(t, dir, Options{Ledger: lost})
	for len(lost.named(t, s.Epoch())) == 0 { // the store does so by itself
		time.Sleep(time.Millisecond)
	}
	sameNames(t, "after a loss", lost.named(t, s.Epoch()), deleted(t, s))
}

// A ledger that cannot be written keeps nothing in the files, and nothing is reported.
func TestFilesDoNotWaitForTheLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &book{whole: true, fails: 1 << 30}
	s := still(t, dir, Options{Ledger: b})
	w := newTown(t, dir, 12)
	w.say(s, 200)
	w.take(s, 50)
	for range 3 {
		if err := s.erase(t.Context()); !errors.Is(err, errBook) {
			t.Fatalf("%v; want that of the ledger", err)
		}
		if found := w.search.Find(t, w.gone...); len(found) > 0 {
			t.Errorf("%v have some of what was taken away", found)
		}
		if done, due := s.Erased(); done >= due {
			t.Errorf("it says that it is erased up to %d of %d", done, due)
		}
	}
	b.mu.Lock()
	b.fails = 0
	b.mu.Unlock()
	if err := s.erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, due := s.Erased(); done != due {
		t.Errorf("it says that it is erased up to %d of %d", done, due)
	}
	sameNames(t, "the ledger", b.named(t, s.Epoch()), deleted(t, s))
}

// backUp makes a backup of a directory.
func backUp(t testing.TB, dir, file string) {
	t.Helper()
	a, err := OpenArchive(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
}

// A backup from before a deletion is restored without the message, and nothing of it is in any
// file, also if the backup has an older schema. Lines about other messages do nothing.
func TestRestoreReplaysTheLedger(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &book{}
	s := open(t, dir, Options{maxUnmerged: 40, mergeStep: 10, Ledger: b})
	w := newTown(t, dir, 13)
	w.plain = true // older schemas have no files
	w.say(s, 600)
	takeOnly(w, s, 50) // the backup knows these
	file := filepath.Join(t.TempDir(), "backup.db")
	backUp(t, dir, file)
	before := deleted(t, s)
	w.gone = nil
	takeOnly(w, s, 200)
	w.say(s, 100)
	takeOnly(w, s, 30) // some of these are newer than the backup
	w.erased(s)
	unaware := t.TempDir()
	if _, err := Restore(t.Context(), unaware, file, false, nil); err != nil {
		t.Fatal(err)
	}
	if found := journaltest.NewSearcher(unaware).Find(t, w.gone...); len(found) == 0 {
		t.Error("without the ledger nothing comes back, so the search proves nothing")
	}
	for _, schema := range []string{"newest", "9"} {
		t.Run(schema, func(t *testing.T) {
			old := filepath.Join(t.TempDir(), "old.db")
			if err := copyFile(old, file); err != nil {
				t.Fatal(err)
			}
			if schema != "newest" {
				toVersion16(t, old)
				corrupt(t, old, toVersion9...)
			}
			replay := b.replay(t)
			lines := slices.Clone(b.lines)
			other := lines[0]
			other.Fingerprint++
			lines = append(lines, other, store.Erased{Room: "nowhere", Seq: 1}, lines[len(lines)-1])
			replay.Messages = sequence(lines)
			to := t.TempDir()
			done, err := Restore(t.Context(), to, old, false, replay)
			if err != nil {
				t.Fatal(err)
			}
			got := done.Replayed
			if got.Lines != len(lines) || got.Deleted+got.Known+got.Newer+got.Other != got.Lines || got.Deleted < 100 || got.Known < len(before) || got.Newer < 2 || got.Other != 1 {
				t.Errorf("%+v of %d lines", got, len(lines))
			}
			search := journaltest.NewSearcher(to)
			if found := search.Find(t, w.gone...); len(found) > 0 {
				t.Errorf("%v have some of what the ledger names", found)
			}
			if err := done.Report.Err(); err != nil {
				t.Error(err)
			}
			r := open(t, to, Options{Ledger: &book{}})
			want := make(map[string]bool)
			for _, line := range b.lines {
				if isThere(t, r, line) {
					want[fmt.Sprint(line.Room, " ", line.Seq)] = true
				}
			}
			sameNames(t, "the restored store", deleted(t, r), want)
			for room, texts := range w.kept {
				for _, e := range all(t, r, room) {
					if text := texts[e.Seq]; text != "" && e.Kind == kaban.KindMessage && !strings.HasPrefix(e.Content, text) {
						t.Errorf("%s, %d: %.20q; want %s", room, e.Seq, e.Content, text)
					}
				}
			}
			storetest.Append(t, r, storetest.Draft(t, "room-1", "ann", "later", "it goes on"))
			if err := r.Erase(t.Context()); err != nil {
				t.Error(err)
			}
			closeStore(t, r)
			if report := reportOf(t, to); report.Err() != nil {
				t.Error(report.Err())
			}
		})
	}
}

// takeOnly deletes messages, and edits none.
func takeOnly(w *town, s *Store, n int) {
	for range n {
		room := w.room()
		for seq, text := range w.kept[room] {
			w.sent++
			storetest.Append(w.t, s, change(w.t, kaban.KindDelete, room, "ann", fmt.Sprint("c-", w.sent), seq, ""))
			w.heads[room]++
			delete(w.kept[room], seq)
			w.loseFiles(room, seq)
			w.gone = append(w.gone, text)
			break
		}
	}
	w.search.Look(w.t)
}

// isThere reports whether a store has the message of a line.
func isThere(t testing.TB, s *Store, line store.Erased) bool {
	t.Helper()
	entries, err := s.Read(t.Context(), storetest.RoomName(t, line.Room), store.Page{After: line.Seq - 1, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return len(entries) > 0 && entries[0].Seq == line.Seq && store.FingerprintOf(&entries[0]) == line.Fingerprint
}

// A restore has documents changed in its draft, and nothing of the former ones is left. If that
// fails, nothing is restored.
func TestRestoreChangesDocuments(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	s := open(t, dir, Options{})
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range 300 {
			if err := tx.Put(store.Key("account", fmt.Sprint(i)), []byte(strings.Repeat(fmt.Sprintf("personal-%d.", i), 20))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	file := filepath.Join(t.TempDir(), "copy.db")
	backUp(t, dir, file)
	errErase := errors.New("it cannot be erased")
	replay := (&book{}).replay(t)
	replay.Documents = func(tx store.Tx) error {
		if err := tx.Delete(store.Key("account", "1")); err != nil {
			return err
		}
		return errErase
	}
	if _, err := Restore(t.Context(), to, file, false, replay); !errors.Is(err, errErase) {
		t.Fatalf("the error is %v", err)
	}
	if there, err := Exists(to); there || err != nil {
		t.Errorf("after an error there is a database: %v, %v", there, err)
	}
	files := journaltest.NewSearcher(to)
	replay.Documents = func(tx store.Tx) error {
		for i := range 300 {
			key := store.Key("account", fmt.Sprint(i))
			var err error
			switch i % 3 {
			case 0:
				err = tx.Delete(key)
			case 1:
				err = tx.Put(key, []byte("erased"))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	done, err := Restore(t.Context(), to, file, false, replay)
	if err != nil || done.Report.Documents != 200 || done.Report.Err() != nil {
		t.Fatalf("%+v, %v", done.Report, err)
	}
	var gone []string
	for i := range 300 {
		if i%3 != 2 {
			gone = append(gone, fmt.Sprintf("personal-%d.", i))
		}
	}
	files.Look(t)
	if found := files.Find(t, gone...); len(found) > 0 {
		t.Errorf("%v have some of what is erased", found)
	}
	if found := files.Find(t, "personal-2."); len(found) == 0 {
		t.Error("nothing is found of what stays, so this proves nothing")
	}
	s = open(t, to, Options{})
	err = s.View(t.Context(), func(tx store.Tx) error {
		for i := range 300 {
			value, err := tx.Get(store.Key("account", fmt.Sprint(i)))
			if err != nil {
				return err
			}
			if want := []int{0, len("erased"), 20 * len(fmt.Sprintf("personal-%d.", i))}[i%3]; len(value) != want {
				t.Errorf("document %d is %q", i, value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A restore that changes documents, too, forgets nothing of what it has deleted: the file notes
// that texts were taken away.
func TestRestoreNotesWhatIsDue(t *testing.T) {
	t.Parallel()
	dir, b := t.TempDir(), &book{}
	s := open(t, dir, Options{Ledger: b})
	w := newTown(t, dir, 7)
	w.say(s, 20)
	file := filepath.Join(t.TempDir(), "backup.db")
	backUp(t, dir, file)
	takeOnly(w, s, 5)
	w.erased(s)
	row := func(documents func(store.Tx) error) erasingRow {
		t.Helper()
		to, replay := t.TempDir(), b.replay(t)
		replay.Documents = documents
		if done, err := Restore(t.Context(), to, file, false, replay); err != nil || done.Deleted == 0 {
			t.Fatal(done.Replayed, err)
		}
		c, err := connect(t.Context(), filepath.Join(to, databaseName), "ro", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		e, err := scanErasing(c.QueryRowContext(t.Context(), erasingQuery), new(summer))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	alone := row(nil)
	if alone.due == 0 || alone.swept {
		t.Errorf("without documents the row is %+v", alone)
	}
	for name, documents := range map[string]func(store.Tx) error{
		"nothing changes": func(store.Tx) error { return nil },
		"one changes":     func(tx store.Tx) error { return tx.Put("setting/x", []byte("x")) },
	} {
		if got := row(documents); got != alone {
			t.Errorf("%s: the row is %+v, want %+v", name, got, alone)
		}
	}
}
