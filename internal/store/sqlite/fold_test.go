package sqlite

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// twins are a store and one in memory that gets the same writes.
type twins struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	store  *Store
	memory *memory.Store
	sent   []kaban.Draft
	heads  map[string]uint64
}

// write draws a write: a message, an answer, or a change of a message that may not exist.
func (w *twins) write() store.Write {
	r := w.random
	if len(w.sent) > 0 && r.IntN(12) == 0 { // a repeat, perhaps with another text
		draft := w.sent[r.IntN(len(w.sent))]
		if r.IntN(4) == 0 && (draft.Kind == kaban.KindMessage || draft.Kind == kaban.KindEdit) {
			draft.Body += "!"
		}
		return store.Write{Draft: draft}
	}
	room := []string{"lobby", "attic"}[r.IntN(2)]
	draft := storetest.Draft(w.t, room, []string{"ann", "Ann", "ben", "cleo"}[r.IntN(4)], fmt.Sprint("id-", r.Uint64()), fmt.Sprint("text ", r.IntN(1000)))
	if head := w.heads[room]; head > 0 {
		draft.Target = head - min(head, uint64(r.IntN(12))) // 0 is none
	}
	switch draft.Kind = []kaban.Kind{1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 5, 6}[r.IntN(12)]; draft.Kind {
	case kaban.KindMessage:
		if r.IntN(2) == 0 {
			draft.Target = 0
		}
	case kaban.KindEdit:
		draft.Base = []uint64{0, 0, draft.Target, draft.Target + 1}[r.IntN(4)]
	case kaban.KindReact:
		draft.Body = kaban.Switch(r.IntN(3) > 0, []string{"👍", "❤️", "🎉"}[r.IntN(3)])
	case kaban.KindPin:
		draft.Body = kaban.Switch(r.IntN(2) == 0, "")
	case kaban.KindTopic:
		draft.Target = 0
	}
	write := store.Write{Draft: draft}
	if r.IntN(3) == 0 {
		write.Mentions = [...]*store.Mentions{
			{Accounts: []string{"dan"}}, {Accounts: []string{"eve", "dan"}, Everyone: true}, {Here: true, Online: []string{"eve"}}, {Everyone: true},
		}[r.IntN(4)]
	}
	if r.IntN(6) == 0 { // then it is a slow batch
		write.Decide = func(tx store.Tx) error { return tx.Put("key", []byte(draft.ID.String())) }
	}
	return write
}

// step appends a batch to both, and does something else to the store.
func (w *twins) step() {
	w.t.Helper()
	batch := make([]store.Write, 1+w.random.IntN(4))
	for i := range batch {
		batch[i] = w.write()
	}
	got, want := make([]store.Result, len(batch)), make([]store.Result, len(batch))
	if err := errors.Join(w.store.Append(w.t.Context(), batch, got), w.memory.Append(w.t.Context(), batch, want)); err != nil {
		w.t.Fatal(err)
	}
	for i := range batch {
		if got[i].Seq != want[i].Seq || got[i].Duplicate != want[i].Duplicate || !errors.Is(got[i].Err, want[i].Err) {
			w.t.Fatalf("%+v: %+v, want %+v", batch[i].Draft, got[i], want[i])
		}
		if got[i].Err == nil && !got[i].Duplicate {
			w.sent = append(w.sent, batch[i].Draft)
			w.heads[batch[i].Room.Key()] = got[i].Seq
		}
	}
	switch w.random.IntN(12) {
	case 0, 1, 2:
		merge(w.t, w.store, 1+w.random.IntN(20))
	case 3: // a crash
		w.dir = copyFiles(w.t, w.dir)
		closeStore(w.t, w.store)
		w.store = still(w.t, w.dir, Options{mergeStep: 1, shortestRun: 3})
	case 4:
		closeStore(w.t, w.store)
		w.store = still(w.t, w.dir, Options{mergeStep: 1, shortestRun: 3})
	}
}

// anyTime ignores times, which the stores give by themselves.
var anyTime = cmp.Options{
	cmpopts.IgnoreFields(store.Mention{}, "Time"), cmpopts.IgnoreFields(store.Entry{}, "Time"), cmpopts.IgnoreFields(store.Change{}, "Time"), cmpopts.EquateEmpty(),
}

// compare compares pages of both.
func (w *twins) compare() {
	w.t.Helper()
	ctx, r := context.Background(), w.random
	for _, room := range []string{"lobby", "attic"} {
		name := storetest.RoomName(w.t, room)
		for n := range 4 {
			page := store.Page{Limit: 1 << 20}
			if n > 0 {
				page = store.Page{After: r.Uint64N(w.heads[room] + 2), Last: r.IntN(2) == 0, Limit: 1 + r.IntN(40)}
				page.Before = []uint64{0, page.After + r.Uint64N(30)}[r.IntN(2)]
			}
			got, err := w.store.Read(ctx, name, page)
			want, err2 := w.memory.Read(ctx, name, page)
			if diff := cmp.Diff(want, got, anyTime); diff != "" || err != nil || err2 != nil {
				w.t.Fatalf("Read of %+v: %v, %v (-want +got):\n%s", page, err, err2, diff)
			}
			if n == 3 {
				page.RepliesTo = r.Uint64N(w.heads[room] + 1)
			}
			for _, account := range []string{"dan", "eve", "fay"} {
				got, err := w.store.Mentions(ctx, name, account, page.After, w.heads[room])
				want, err2 := w.memory.Mentions(ctx, name, account, page.After, w.heads[room])
				if diff := cmp.Diff(want, got, anyTime); diff != "" || err != nil || err2 != nil {
					w.t.Fatalf("Mentions of %s in %s after %d: %v, %v (-want +got):\n%s", account, room, page.After, err, err2, diff)
				}
			}
			folded, err := w.store.History(ctx, name, page)
			expected, err2 := w.memory.History(ctx, name, page)
			if diff := cmp.Diff(expected, folded, anyTime); diff != "" || err != nil || err2 != nil {
				w.t.Fatalf("History of %+v: %v, %v (-want +got):\n%s", page, err, err2, diff)
			}
		}
	}
}

// folds is how many random runs TestChangesAreFolded has.
var folds = flag.Int("folds", 3, "compare the store with one in memory in so many random runs")

// Whatever is merged, whenever the store is closed or dies, and however its batches are
// stored: it has what a store in memory has.
func TestChangesAreFolded(t *testing.T) {
	t.Parallel()
	for range *folds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := &twins{
				t: t, random: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(),
				memory: memory.New(0), heads: map[string]uint64{"lobby": 0, "attic": 0},
			}
			w.store = still(t, w.dir, Options{mergeStep: 1, shortestRun: 3})
			for n := range 120 {
				if w.step(); n%4 == 0 {
					w.compare()
				}
			}
			mergeNow(t, w.store)
			w.compare()
			closeStore(t, w.store)
			archive, err := OpenArchive(t.Context(), w.dir)
			if err != nil {
				t.Fatal(err)
			}
			defer archive.Close()
			if report, err := archive.Check(t.Context()); err != nil || report.Err() != nil {
				t.Errorf("check: %v, %v", err, report)
			}
		})
	}
}

// Damage to a whole page of what has become of messages, or of the index of changes, is
// damage to messages: it does not end the store.
func TestDamagedPagesOfStates(t *testing.T) {
	for _, table := range []string{"states", "reactions", "no_messages", "runs", "originals", "replies", "mentions", "mentions_of_message"} {
		t.Run(table, func(t *testing.T) {
			dir := copyFiles(t, varied(t))
			closeStore(t, open(t, dir, Options{}))
			c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
			if err != nil {
				t.Fatal(err)
			}
			page, err := c.number(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name = '"+table+"'")
			size, err2 := c.number(t.Context(), "PRAGMA page_size")
			if err := errors.Join(err, err2, c.close()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, databaseName)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[(page-1)*size] ^= 0xff
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir, Options{})
			lobby := storetest.RoomName(t, "lobby")
			for _, page := range []store.Page{{Limit: 100}, {Limit: 100, Last: true}, {After: 20, Limit: 1}, {Limit: 10, RepliesTo: 3}} {
				if _, err := s.Read(t.Context(), lobby, page); err != nil && !errors.Is(err, store.ErrDamaged) {
					t.Errorf("Read of %+v: %v", page, err)
				}
				if _, err := s.History(t.Context(), lobby, page); err != nil && !errors.Is(err, store.ErrDamaged) {
					t.Errorf("History of %+v: %v", page, err)
				}
			}
			if _, err := s.Mentions(t.Context(), lobby, "dan", 0, 100); err != nil {
				t.Errorf("Mentions: %v", err)
			}
			draft := storetest.Draft(t, "lobby", "bob", "late", "x")
			draft.Kind, draft.Target, draft.Body = kaban.KindReact, 1, kaban.Switch(true, "🐟")
			if got := storetest.Append(t, s, draft)[0]; got.Err != nil && !errors.Is(got.Err, store.ErrDamaged) {
				t.Errorf("a reaction: %v", got.Err)
			}
			for _, got := range storetest.Append(t, s, draftsOf(aboutAll(t, 4, "bob", true, "🐠"))...) { // read together
				if got.Err != nil && !errors.Is(got.Err, store.ErrDamaged) && !errors.Is(got.Err, store.ErrGone) && !errors.Is(got.Err, store.ErrNoTarget) {
					t.Errorf("a reaction in a batch: %v", got.Err)
				}
			}
			if got := storetest.Append(t, s, storetest.Draft(t, "lobby", "bob", "later", "still here"))[0]; got.Err != nil {
				t.Errorf("a message: %v", got.Err)
			}
			if broken := s.broken.Load(); broken != nil {
				t.Errorf("the store is broken: %v", *broken)
			}
		})
	}
}
