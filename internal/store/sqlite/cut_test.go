package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// ever is an age of which all entries are old.
var ever = store.Age{Before: math.MaxInt64, Now: math.MaxInt64}

// cut cuts up to n entries of a room.
func cut(t testing.TB, s *Store, room string, age store.Age, n int) int {
	t.Helper()
	n, err := s.Cut(t.Context(), storetest.RoomName(t, room), age, n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cut cuts the front of some rooms.
func (w *town) cut(s *Store, rooms int) {
	w.t.Helper()
	for range rooms {
		room := w.room()
		cut(w.t, s, room, ever, 1+w.random.IntN(100))
		state, err := s.Room(w.t.Context(), storetest.RoomName(w.t, room))
		if err != nil {
			w.t.Fatal(err)
		}
		for seq, text := range w.kept[room] {
			if seq < state.Oldest {
				delete(w.kept[room], seq)
				w.gone = append(w.gone, text)
			}
		}
		for seq := range w.files[room] { // also of those that were edited
			if seq < state.Oldest {
				w.loseFiles(room, seq)
			}
		}
	}
	w.search.Look(w.t)
}

// Texts that were cut are in no file, and those behind them are.
func TestCutTextsAreErased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 40, mergeStep: 10, walPages: 100})
	w := newTown(t, dir, 11)
	for i := range 4 {
		w.say(s, 300)
		if i%2 == 0 { // with the eraser beside
			w.take(s, 30)
			w.cut(s, 6)
		} else {
			s.stopEraser()
			w.take(s, 30)
			w.cut(s, 6)
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
}

// What was cut when the server died is erased after the next start, by itself.
func TestCutTextsAreErasedAfterAKill(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 10})
	w := newTown(t, from, 1)
	w.say(s, 400)
	w.cut(s, 8)
	w.erasedAfterAKill(t, from)
}

// Changes that are not merged yet, of messages that are cut meanwhile, leave nothing behind.
func TestChangesOfCutMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := still(t, dir, Options{})
	now := time.UnixMilli(1000)
	s.now = func() time.Time { return now }
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	storetest.Append(t, s, change(t, kaban.KindEdit, "lobby", "ann", "e0", 1, "before"), change(t, kaban.KindReact, "lobby", "ann", "r0", 1, "+👍"))
	mergeNow(t, s)
	now = time.UnixMilli(2000)
	reply := storetest.Draft(t, "lobby", "ann", "a", "a reply")
	reply.Target = 1
	batch := storetest.Writes(change(t, kaban.KindEdit, "lobby", "ann", "e1", 1, "x"), change(t, kaban.KindReact, "lobby", "bob", "r1", 1, "+👍"),
		change(t, kaban.KindPin, "lobby", "ann", "p1", 2, "+"), change(t, kaban.KindEdit, "lobby", "ann", "e2", 3, "kept"), reply)
	batch[0].Mentions = &store.Mentions{Everyone: true}
	batch[3].Mentions = &store.Mentions{Everyone: true}
	if err := s.Append(t.Context(), batch, make([]store.Result, len(batch))); err != nil {
		t.Fatal(err)
	}
	age := store.Age{Before: 1500, Now: 3000}
	if n := cut(t, s, "lobby", age, 2); n != 2 || s.shown.entries.Load() == 0 {
		t.Fatalf("%d are cut, and %d are unmerged", n, s.shown.entries.Load())
	}
	texts := func() (all string) {
		entries, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all += fmt.Sprintf("%d %s, ", e.Seq, e.Content)
		}
		found, err := s.Mentions(t.Context(), storetest.RoomName(t, "lobby"), "17", 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			all += fmt.Sprintf("%d rings, ", m.Seq)
		}
		return all
	}
	before := texts()
	if want := "3 kept, 4 , 5 +👍, 6 , 7 +👍, 8 +, 9 kept, 10 a reply, 3 rings, "; before != want {
		t.Errorf("the room has %q, want %q", before, want)
	}
	mergeNow(t, s)
	if after := texts(); after != before {
		t.Errorf("merged, the room has %q, and before %q", after, before)
	}
	if n := cut(t, s, "lobby", age, 100); n != 3 {
		t.Errorf("then %d are cut, want 3", n)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Error(err)
	}
	s = open(t, dir, Options{})
	s.now = func() time.Time { return now }
	if n := cut(t, s, "lobby", store.Age{Before: 2001, Now: 3000}, 100); n != 5 {
		t.Errorf("after a start %d are cut, want 5", n)
	}
	if got := texts(); got != "" {
		t.Errorf("then the room has %q", got)
	}
	if n, err := s.writer.number(t.Context(), "SELECT (SELECT count(*) FROM originals) + (SELECT count(*) FROM states) + (SELECT count(*) FROM reactions) + (SELECT count(*) FROM mentions)"); n != 0 || err != nil {
		t.Errorf("%d rows are left of what is gone, %v", n, err)
	}
}

// Damage at the front goes with what is behind it, and does not stop the rest.
func TestCutDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"content": "UPDATE entries SET content = 'other' WHERE place & 0xffff IN (1, 2, 7)",
		"time":    "UPDATE entries SET time = 9000000000000 WHERE place & 0xffff IN (1, 2, 7)",
		"author":  "UPDATE users SET name = 'other' WHERE key = 'visitor:bob'",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			storetest.Append(t, s, append(numbered(t, "lobby", "bob", 0, 7), numbered(t, "lobby", "ann", 0, 7)...)...)
			closeStore(t, s)
			corrupt(t, filepath.Join(dir, databaseName), damage)
			s = open(t, dir, Options{})
			n := 0
			for {
				one := cut(t, s, "lobby", ever, 3)
				if n += one; one == 0 {
					break
				}
			}
			if n != 14 {
				t.Errorf("%d are cut, want 14", n)
			}
			closeStore(t, s)
			if err := check(t.Context(), dir); err != nil && name != "author" {
				t.Errorf("check of what is left: %v", err)
			}
		})
	}
}

// A check finds entries that are missing, and more than there should be, behind a cut.
func TestCheckOfCuts(t *testing.T) {
	t.Parallel()
	original := t.TempDir()
	s := open(t, original, Options{})
	storetest.Append(t, s, append(numbered(t, "lobby", "bob", 0, 30), numbered(t, "lobby", "ann", 0, 30)...)...)
	cut(t, s, "lobby", ever, 40)
	closeStore(t, s)
	if err := check(t.Context(), original); err != nil {
		t.Fatalf("a sound log that was cut: %v", err)
	}
	for _, c := range []struct{ damage, want string }{
		{"UPDATE rooms SET cut = 41", "checksum"},
		{"UPDATE rooms SET cut_messages = 41", "checksum"},
		{"UPDATE written SET cut_messages = 9", "checksum"},
		{"UPDATE written SET cut = 0", "checksum"},
		{"DELETE FROM entries WHERE place & 0xffff = 41", "missing: entry 41"},
		{"DELETE FROM entries WHERE place & 0xffff = 50", "missing: entry 50"},
		{"DELETE FROM entries WHERE place & 0xffff = 60", "missing: entry 60"},
		{"INSERT INTO entries SELECT place - 1, time, kind, user, username, 'x', content, target, sum, files FROM entries WHERE place & 0xffff = 41", "the oldest entry is 40, and it should be 41"},
	} {
		dir := copyFiles(t, original)
		corrupt(t, filepath.Join(dir, databaseName), c.damage)
		if err := check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.damage, err, c.want)
		}
	}
}

// While a room grows and is cut, whoever reads or counts sees one state of it.
func TestCutWhileOthersReadAndWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 60, mergeStep: 20, walPages: 200})
	lobby := storetest.RoomName(t, "lobby")
	ann := storetest.Draft(t, "lobby", "ann", "x", "x").Author.ID()
	const batches, size = 150, 7
	var group sync.WaitGroup
	done := make(chan struct{})
	group.Go(func() {
		defer close(done)
		for i := range batches {
			results := make([]store.Result, size)
			if err := s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "ann", i*size, size)...), results); err != nil {
				t.Error(err)
				return
			}
		}
	})
	until := func(work func() error) {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := work(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	until(func() error {
		_, err := s.Cut(t.Context(), lobby, ever, 5)
		return err
	})
	until(func() error {
		tallies, err := s.Tallies(t.Context(), ann, []kaban.RoomName{lobby})
		if err != nil {
			return err
		}
		if y := tallies[0]; y.Messages != y.Head || y.Own != y.Head || y.Front.Messages != y.Oldest-1 || y.Front.Own != y.Oldest-1 {
			return fmt.Errorf("the counts are %+v", y)
		}
		seq := (tallies[0].Head + tallies[0].Oldest) / 2
		mark, err := s.CountTo(t.Context(), lobby, ann, seq, store.Mark{})
		if err == nil && (mark.Messages != mark.Seq || mark.Own != mark.Seq) {
			err = fmt.Errorf("up to %d it counts %+v", seq, mark)
		}
		return err
	})
	until(func() error {
		entries, err := s.Read(t.Context(), lobby, store.Page{Limit: 20})
		if err != nil {
			return err
		}
		for i := range entries {
			if entries[i].Seq != entries[0].Seq+uint64(i) {
				return fmt.Errorf("entry %d follows %d", entries[i].Seq, entries[i-1].Seq)
			}
		}
		h, err := s.History(t.Context(), lobby, store.Page{Limit: 20, Last: true})
		if err == nil && len(h.Entries) > 0 && (h.Entries[0].Seq != h.First || h.Last != h.AsOf || uint64(len(h.Entries)) != h.Last+1-h.First) {
			err = fmt.Errorf("the history is %+v", h)
		}
		return err
	})
	group.Wait()
	closeStore(t, s)
	report := reportOf(t, dir)
	if report.Err() != nil || report.Rooms[0].Room.Head != batches*size || report.Rooms[0].Room.Oldest == 1 {
		t.Errorf("a check finds %+v", report)
	}
}

// What is due to be erased grows with each cut, and no number is used twice.
func TestCutsAreNumbered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := still(t, dir, Options{})
	last := uint64(0)
	for i := range 5 {
		storetest.Append(t, s, numbered(t, "lobby", "ann", 3*i, 3)...)
		if n := cut(t, s, "lobby", ever, 3); n != 3 {
			t.Fatalf("%d are cut", n)
		}
		_, due := s.Erased()
		if due <= last || due != uint64(s.unmerged.batch) {
			t.Errorf("after cut %d, %d is due, and the newest batch is %d", i, due, s.unmerged.batch)
		}
		last = due
	}
	s = open(t, copyFiles(t, dir), Options{}) // as after a kill
	if _, due := s.Erased(); due != last {
		t.Errorf("after a start %d is due, want %d", due, last)
	}
}

// A message that is deleted, and cut before the eraser has noted that, is in the ledger all the
// same: a backup from before both is restored without it, and with the rest.
func TestCutsAreLedgered(t *testing.T) {
	t.Parallel()
	const n, deletedOnes = 2100, 1050 // more than the ledger gets at once
	for name, merged := range map[string]bool{"merged": true, "unmerged": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := t.TempDir(), filepath.Join(t.TempDir(), "before.db")
			b := &book{}
			s := still(t, dir, Options{Ledger: b})
			now := time.UnixMilli(1000)
			s.now = func() time.Time { return now }
			storetest.Append(t, s, numbered(t, "lobby", "ann", 0, n)...)
			if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
				t.Fatal(err)
			}
			mergeNow(t, s)
			now = time.UnixMilli(2000)
			for i := range deletedOnes {
				storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", fmt.Sprint("d", i), uint64(2*i+1), ""))
			}
			if merged {
				mergeNow(t, s)
			}
			if cut := cut(t, s, "lobby", store.Age{Before: 1500, Now: 3000}, n+1); cut != n {
				t.Errorf("%d are cut", cut)
			}
			if named := b.named(t, s.Epoch()); len(named) != deletedOnes || !named["lobby 1"] || named["lobby 2"] {
				t.Errorf("the ledger names %d messages, want %d", len(named), deletedOnes)
			}
			closeStore(t, s)
			to := t.TempDir()
			done, err := Restore(t.Context(), to, file, false, b.replay(t))
			if err != nil || done.Deleted != deletedOnes {
				t.Errorf("%+v, %v; want %d deleted", done, err, deletedOnes)
			}
			texts := 0
			for _, e := range all(t, open(t, to, Options{}), "lobby") {
				if e.Content != "" {
					texts++
				}
			}
			if texts != n-deletedOnes {
				t.Errorf("%d texts are restored, want %d", texts, n-deletedOnes)
			}
			// A backup of what is left is restored as it is.
			again := filepath.Join(t.TempDir(), "after.db")
			if _, err := archive(t, dir).Backup(t.Context(), again, nil); err != nil {
				t.Fatal(err)
			}
			want, to := exportOf(t, dir), t.TempDir()
			if done, err := Restore(t.Context(), to, again, false, b.replay(t)); err != nil || done.Deleted != 0 || done.Known != done.Lines {
				t.Errorf("of the cut log: %+v, %v", done, err)
			}
			if got := exportOf(t, to); !reflect.DeepEqual(got, want) || len(want.fronts) == 0 {
				t.Error("a backup of the cut log is restored as something else")
			}
		})
	}
}

// While the ledger cannot be written, nothing is cut that it lacks, and what is before it is.
func TestCutWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	b := &book{fails: math.MaxInt}
	s := still(t, t.TempDir(), Options{Ledger: b})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 9)...)
	storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", "d", 4, ""))
	if n := cut(t, s, "lobby", ever, 100); n != 3 {
		t.Errorf("%d are cut, want 3", n)
	}
	lobby := storetest.RoomName(t, "lobby")
	if n, err := s.Cut(t.Context(), lobby, ever, 100); n != 0 || !errors.Is(err, errBook) {
		t.Errorf("then %d are cut, %v", n, err)
	}
	b.mu.Lock()
	b.fails = 0
	b.mu.Unlock()
	if n := cut(t, s, "lobby", ever, 100); n != 7 {
		t.Errorf("then %d are cut, want 7", n)
	}
	if named := b.named(t, s.Epoch()); len(named) != 1 || !named["lobby 4"] {
		t.Errorf("the ledger names %v", named)
	}
}

// slowBook is a ledger that lets a test do something during its first call.
type slowBook struct {
	book
	called   atomic.Bool
	came, on chan struct{}
}

func (b *slowBook) Record(messages []store.Erased) error {
	if !b.called.Swap(true) {
		close(b.came)
		<-b.on
	}
	return b.book.Record(messages)
}

// A cut that ends while the ledger names what was deleted has cut nothing, and the next one goes on.
func TestCutEndsWhileTheLedgerNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(t *testing.T, s *Store, cancel func())
		want error
	}{
		"the server stops": {func(_ *testing.T, _ *Store, cancel func()) { cancel() }, context.Canceled},
		"the store closes": {func(t *testing.T, s *Store, _ func()) { closeStore(t, s) }, store.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := &slowBook{came: make(chan struct{}), on: make(chan struct{})}
			s := still(t, dir, Options{Ledger: b})
			storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 9)...)
			storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", "d", 4, ""))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cutting := make(chan error)
			go func() {
				_, err := s.Cut(ctx, storetest.RoomName(t, "lobby"), ever, 100)
				cutting <- err
			}()
			select {
			case <-b.came:
			case err := <-cutting:
				t.Fatalf("the ledger is not asked, and the cut ends with %v", err)
			}
			c.end(t, s, cancel)
			close(b.on)
			if err := <-cutting; !errors.Is(err, c.want) {
				t.Errorf("the cut ends with %v, want %v", err, c.want)
			}
			if c.want == store.ErrClosed {
				s = still(t, dir, Options{Ledger: b})
			}
			if got := all(t, s, "lobby"); len(got) != 10 || got[0].Seq != 1 {
				t.Errorf("%d entries are left, want 10", len(got))
			}
			if n := cut(t, s, "lobby", ever, 100); n != 10 {
				t.Errorf("then %d are cut, want 10", n)
			}
			if named := b.named(t, s.Epoch()); !named["lobby 4"] {
				t.Errorf("the ledger names %v", named)
			}
		})
	}
}

// What is cut, and still in a reader's memory as unmerged, has no text for it: an edit behind the
// cut does not show the message.
func TestAMomentHidesWhatIsCut(t *testing.T) {
	t.Parallel()
	s := still(t, t.TempDir(), Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 2)...)
	storetest.Append(t, s, change(t, kaban.KindEdit, "lobby", "ann", "e", 1, "gone"), change(t, kaban.KindEdit, "lobby", "ann", "e2", 2, "kept"))
	err := s.at(t.Context(), s.rooms["lobby"], func(m *moment) error {
		if len(m.unmerged) != 4 {
			t.Errorf("%d entries are unmerged", len(m.unmerged))
		}
		m.front = 1 // as if it was merged and cut since
		for at, want := range map[int]string{2: "", 3: "kept"} {
			if e, err := m.withText(m.unmerged[at].Entry); err != nil || e.Content != want {
				t.Errorf("entry %d has %q, %v; want %q", e.Seq, e.Content, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkCut writes batches of 16 messages while 100,000 others are cut as package chat does it,
// and as often without that. It reports the acks per second, and their ratio. It takes minutes.
func BenchmarkCut(b *testing.B) {
	const size, batch, step, rest = 100_000, 16, 256, 3
	for b.Loop() {
		s := open(b, b.TempDir(), Options{})
		for i := 0; i < size; i += 1000 {
			storetest.Append(b, s, numbered(b, "old", "ann", i, 1000)...)
		}
		lobby, next := storetest.RoomName(b, "old"), 0
		write := func(until func(written int) bool) float64 {
			start, written, results := time.Now(), 0, make([]store.Result, batch)
			for ; !until(written); written += batch {
				writes := storetest.Writes(numbered(b, "new", "bob", next, batch)...)
				if next += batch; s.Append(b.Context(), writes, results) != nil {
					b.Fatal("a batch is not stored")
				}
			}
			return float64(written) / time.Since(start).Seconds()
		}
		done, during := make(chan struct{}), 0
		var group sync.WaitGroup
		group.Go(func() {
			defer close(done)
			for n := step; n == step; {
				start, err := time.Now(), error(nil)
				if n, err = s.Cut(b.Context(), lobby, ever, step); err != nil {
					b.Error(err)
					return
				}
				time.Sleep(rest * time.Since(start))
			}
		})
		start := time.Now()
		with := write(func(written int) bool {
			during = written
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		b.ReportMetric(size/time.Since(start).Seconds(), "cut/s")
		group.Wait()
		without := write(func(written int) bool { return written >= during })
		b.ReportMetric(with, "acks/s-with")
		b.ReportMetric(without, "acks/s-without")
		b.ReportMetric(with/without, "ratio")
		if state, err := s.Room(b.Context(), lobby); err != nil || state.Oldest != size+1 {
			b.Fatalf("it begins with %d, %v", state.Oldest, err)
		}
		closeStore(b, s)
	}
}

// endingContext ends at one of the looks at it.
type endingContext struct {
	context.Context
	end   context.CancelFunc
	looks int // before it ends
}

func (c *endingContext) Err() error {
	if c.looks--; c.looks < 0 {
		c.end()
	}
	return c.Context.Err()
}

func (c *endingContext) Done() <-chan struct{} {
	c.Err()
	return c.Context.Done()
}

// Nobody that stops waiting for a count of what is old breaks the store.
func TestOldThatNobodyWaitsFor(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for n := range 5 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", n), "x"))
	}
	if err := s.mergePresent(); err != nil {
		t.Fatal(err)
	}
	lobby := storetest.RoomName(t, "lobby")
	ended := 0
	for looks := range 20 {
		ctx, end := context.WithCancel(t.Context())
		entries, _, err := s.Old(&endingContext{ctx, end, looks}, lobby, ever)
		switch end(); {
		case errors.Is(err, context.Canceled):
			ended++
		case err != nil || entries != 5:
			t.Errorf("after %d looks: %d entries, %v", looks, entries, err)
		}
	}
	if ended == 0 {
		t.Error("it did not look whether anybody waits")
	}
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "after", "the store works"))
}
