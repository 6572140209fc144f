package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/storetest"
)

// secret returns a text that is nowhere else, of some length.
func secret(i, n int) string {
	text := fmt.Sprintf("secret-%06d-", i)
	return text + strings.Repeat("x", max(n-len(text), 0))
}

// change returns a draft that edits or deletes a message of a room.
func change(t testing.TB, kind kaban.Kind, room, author, id string, target uint64, body string) kaban.Draft {
	d := storetest.Draft(t, room, author, id, "x")
	d.Kind, d.Target, d.Body = kind, target, body
	return d
}

// town is a store with many messages in some rooms, as a server leaves them, and what of
// them was taken away.
type town struct {
	t      testing.TB
	random *rand.Rand
	search *journaltest.Searcher
	heads  map[string]uint64
	sent   int
	kept   map[string]map[uint64]string // by room and seq
	files  map[string]map[uint64]string // the names of files, of messages that are there
	plain  bool                         // messages have no files
	gone   []string
}

func newTown(t testing.TB, dir string, seed uint64) *town {
	return &town{t: t, random: rand.New(rand.NewPCG(seed, 1)), search: journaltest.NewSearcher(dir), heads: make(map[string]uint64), kept: make(map[string]map[uint64]string), files: make(map[string]map[uint64]string)}
}

func (w *town) room() string { return fmt.Sprint("room-", w.random.IntN(12)) }

// awaitErased waits until the eraser has done what was due, and does not hurry it.
func awaitErased(t *testing.T, s *Store) {
	t.Helper()
	for {
		done, changed := s.eraser.isDone(s.eraser.due.Load(), 0)
		if done {
			return
		}
		select {
		case <-changed:
		case <-s.dead:
			t.Fatal("the store is broken")
		}
	}
}

// say appends messages to the rooms, some of them in slow batches, some long.
func (w *town) say(s *Store, n int) {
	for range n {
		room, text := w.room(), secret(w.sent, w.random.IntN(300))
		if w.random.IntN(100) == 0 {
			text = secret(w.sent, 4900)
		}
		w.sent++
		d := storetest.Draft(w.t, room, "ann", fmt.Sprint("m-", w.sent), text)
		name := ""
		if !w.plain && w.random.IntN(3) == 0 {
			name = fmt.Sprintf("secret-file-%06d.png", w.sent)
			d.Files = storetest.Files(w.t, "other.png", name)
		}
		if w.random.IntN(20) == 0 {
			appendSlowly(w.t, s, d)
		} else {
			storetest.Append(w.t, s, d)
		}
		w.heads[room]++
		if w.kept[room] == nil {
			w.kept[room], w.files[room] = make(map[uint64]string), make(map[uint64]string)
		}
		if name != "" {
			w.files[room][w.heads[room]] = name
		}
		w.kept[room][w.heads[room]] = text[:14]
	}
	w.search.Look(w.t)
}

// take deletes or edits n messages.
func (w *town) take(s *Store, n int) {
	for range n {
		room := w.room()
		for seq, text := range w.kept[room] {
			w.sent++
			id := fmt.Sprint("c-", w.sent)
			if w.random.IntN(3) == 0 {
				storetest.Append(w.t, s, change(w.t, kaban.KindEdit, room, "ann", id, seq, "other-"+fmt.Sprint(w.sent)))
			} else {
				storetest.Append(w.t, s, change(w.t, kaban.KindDelete, room, "ann", id, seq, ""))
				w.loseFiles(room, seq)
			}
			w.heads[room]++
			delete(w.kept[room], seq)
			w.gone = append(w.gone, text)
			break
		}
	}
	w.search.Look(w.t)
}

// loseFiles notes that the files of a message are gone.
func (w *town) loseFiles(room string, seq uint64) {
	if name := w.files[room][seq]; name != "" {
		delete(w.files[room], seq)
		w.gone = append(w.gone, name)
	}
}

// erased checks that nothing is left of what was taken away, and the rest is.
func (w *town) erased(s store.Store) {
	w.t.Helper()
	if err := s.(store.Eraser).Erase(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if found := w.search.Find(w.t, w.gone...); len(found) > 0 {
		w.t.Errorf("%d texts were erased, and %v have some of them", len(w.gone), found)
	}
	for room, texts := range w.kept {
		for _, e := range all(w.t, s, room) {
			if want := texts[e.Seq]; want != "" && !strings.HasPrefix(e.Content, want) {
				w.t.Fatalf("%s, %d: %.20q; want %s", room, e.Seq, e.Content, want)
			}
			if name := w.files[room][e.Seq]; !strings.Contains(e.Files, name) || name == "" && e.Files != "" {
				w.t.Fatalf("%s, %d: the files %.200q; want %q", room, e.Seq, e.Files, name)
			}
		}
	}
	done, due := s.(store.Eraser).Erased()
	if done != due || len(w.gone) > 0 && done == 0 {
		w.t.Errorf("it says that it is erased up to %d of %d", done, due)
	}
}

// Texts that were deleted or edited away are in no file, wherever they were before: in the
// journal, in unmerged, in the WAL, in the database.
func TestErasedFromAllFiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, Options{maxUnmerged: 40, mergeStep: 10, walPages: 100})
			w := newTown(t, dir, seed)
			for i := range 6 {
				w.say(s, 300)
				if i%2 == 0 { // with the eraser beside
					w.take(s, 60)
				} else {
					s.stopEraser()
					w.take(s, 60)
					if found := w.search.Find(t, w.gone...); len(found) == 0 {
						t.Error("nothing is found before it is erased, so the search proves nothing")
					}
					s.startEraser()
				}
				w.erased(s)
			}
			closeStore(t, s)
			if report := reportOf(t, dir); report.Err() != nil {
				t.Error(report.Err())
			}
			if found := w.search.Find(t, w.gone...); len(found) > 0 {
				t.Errorf("after the end %v have some of them", found)
			}
			s = open(t, dir, Options{})
			w.erased(s)
		})
	}
}

// reportOf returns what a check of a directory finds.
func reportOf(t testing.TB, dir string) *store.Report {
	t.Helper()
	a, err := OpenArchive(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	report, err := a.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What was not erased when the server died is erased after the next start, by itself.
func TestErasedAfterAKill(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 10})
	w := newTown(t, from, 1)
	w.say(s, 400)
	merge(t, s, 100)
	w.take(s, 50)
	merge(t, s, 200)
	w.take(s, 50)
	w.erasedAfterAKill(t, from)
}

// erasedAfterAKill starts from the files of a store as a kill would leave them, and checks that
// what is gone is erased by itself.
func (w *town) erasedAfterAKill(t *testing.T, from string) {
	t.Helper()
	dir := copyFiles(t, from)
	os.Remove(filepath.Join(dir, databaseName+"-shm"))
	w.search = journaltest.NewSearcher(dir)
	w.search.Look(t)
	if found := w.search.Find(t, w.gone...); len(found) < 2 {
		t.Errorf("only %v have any of them", found)
	}
	s := open(t, dir, Options{})
	awaitErased(t, s)
	if found := w.search.Find(t, w.gone...); len(found) > 0 {
		t.Errorf("%v have some of them although nobody asked", found)
	}
	w.erased(s)
}

// A database that others have written has remains of rows in pages, which are swept once.
func TestSwept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 10})
	w := newTown(t, dir, 7)
	w.say(s, 3000)
	mergeNow(t, s)
	w.take(s, 1500)
	mergeNow(t, s)
	closeStore(t, s)
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", []pragma{{"secure_delete", "0"}})
	if err != nil {
		t.Fatal(err)
	}
	// As an older version would, without any care.
	for _, query := range []string{
		"CREATE TABLE old (place INTEGER PRIMARY KEY, content TEXT)",
		"INSERT INTO old SELECT place, 'old-' || hex(randomblob(4)) || printf('%0300d', place) FROM entries ORDER BY hex(randomblob(4))",
		"DELETE FROM old WHERE place % 3 > 0", "UPDATE old SET content = 'new'", "INSERT INTO old SELECT -place, 'old-' || hex(randomblob(400)) FROM old", "DROP TABLE old",
	} {
		if err := c.exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := unsweep(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	w.gone = append(w.gone, "old-")
	if found := w.search.Find(t, "old-"); !slices.Equal(found, []string{databaseName}) {
		t.Fatalf("%v have remains", found)
	}
	s = open(t, dir, Options{})
	w.erased(s)
	if report := reportOf(t, dir); report.Err() != nil {
		t.Error(report.Err())
	}
}

// A reader that holds the WAL or the journal does not end, and is not disturbed: it is
// erased afterwards.
func TestErasedBehindReaders(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"database", "journal"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, Options{})
			w := newTown(t, dir, 3)
			w.say(s, 200)
			var release func() error
			if what == "journal" {
				hold, err := journal.Take(filepath.Join(dir, journalName))
				if err != nil {
					t.Fatal(err)
				}
				release = hold.Release
			} else {
				c, err := connect(t.Context(), s.path, "ro", []pragma{{"query_only", "1"}})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.exec(t.Context(), "BEGIN"); err != nil {
					t.Fatal(err)
				}
				if _, err := c.number(t.Context(), "SELECT count(*) FROM entries"); err != nil {
					t.Fatal(err)
				}
				release = c.close
			}
			w.take(s, 20)
			if err := s.erase(t.Context()); err == nil {
				t.Error("it is erased although somebody reads it")
			}
			if done, due := s.Erased(); done >= due {
				t.Errorf("erased up to %d of %d", done, due)
			}
			w.say(s, 50)
			if err := release(); err != nil {
				t.Fatal(err)
			}
			w.erased(s)
		})
	}
}

// logBook is a log in memory.
type logBook struct {
	mu   sync.Mutex // guards all below
	text strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// On a full disk erasing waits, says so once, and once when it is over. Nothing is lost and
// nothing is reported that is not done, wherever there is no room: in the database or for the ledger.
func TestErasingOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"database", "ledger"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, log, b := t.TempDir(), new(logBook), &book{whole: true}
			s := open(t, dir, Options{Ledger: b, Log: slog.New(slog.NewTextHandler(log, nil))})
			w := newTown(t, dir, 21)
			w.say(s, 300)
			w.erased(s)
			full := func(limit string, fails int) {
				s.writing.Lock()
				defer s.writing.Unlock()
				b.mu.Lock()
				defer b.mu.Unlock()
				if what == "ledger" {
					b.fails = fails
				} else if err := s.writer.exec(t.Context(), "PRAGMA max_page_count = "+limit); err != nil {
					t.Fatal(err)
				}
			}
			w.say(s, 400)
			s.stopEraser()   // erasing is for one goroutine
			full("1", 1<<30) // SQLite takes the size that the file has
			takeOnly(w, s, 100)
			const begun, over = "are not erased yet", "are erased from all files"
			for range 3 {
				err := s.erase(t.Context())
				if what == "ledger" && !errors.Is(err, errBook) || what == "database" && !errors.Is(err, store.ErrFull) {
					t.Fatalf("it does not fail as it should: %v", err)
				}
				if done, due := s.Erased(); done >= due {
					t.Fatalf("it says that it is erased up to %d of %d", done, due)
				}
			}
			s.startEraser()
			waiting := make(chan error, 1)
			var group sync.WaitGroup
			group.Go(func() { waiting <- s.Erase(context.Background()) })
			for log.count(begun) == 0 {
				time.Sleep(time.Millisecond)
			}
			select {
			case err := <-waiting:
				t.Errorf("it is reported as erased: %v", err)
			default:
			}
			full("1000000", 0)
			group.Wait()
			if err := <-waiting; err != nil {
				t.Fatal(err)
			}
			w.erased(s)
			for log.count(over) == 0 { // said after those that wait go on
				time.Sleep(time.Millisecond)
			}
			if log.count(begun) != 1 || log.count(over) != 1 {
				t.Errorf("it says %d times that it waits, and %d times that this is over", log.count(begun), log.count(over))
			}
			sameNames(t, "the ledger", b.named(t, s.Epoch()), deleted(t, s))
			closeStore(t, s)
			if report := reportOf(t, dir); report.Err() != nil {
				t.Error(report.Err())
			}
		})
	}
}

// What a document was before is in no file after Erase, also if no text of an entry was taken
// away.
func TestErasedDocuments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	search := journaltest.NewSearcher(dir)
	put := func(value string) {
		t.Helper()
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return tx.Put("note/a", []byte(value))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"secret-first", "secret-second"} {
		put(text)
		search.Look(t)
		if found := search.Find(t, text); len(found) == 0 {
			t.Errorf("%s is nowhere before", text)
		}
		put("-")
		if err := s.Erase(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found := search.Find(t, text); len(found) > 0 {
			t.Errorf("%s is in %v after it was erased", text, found)
		}
	}
}
