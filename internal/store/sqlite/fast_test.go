package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// databaseFiles returns the contents of a database and its WAL.
func databaseFiles(t *testing.T, s *Store) (contents [][]byte) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, content)
	}
	return contents
}

// The buffers that an append uses again have nothing of a text once it is stored, and
// neither have those of reading it: what is erased later must not stay there.
func TestBuffersForgetTexts(t *testing.T) {
	s := still(t, t.TempDir(), Options{})
	const text = "a secret that is erased later"
	for i := range 3 { // the second and the third batch are in the journal only
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", i), text))
	}
	if len(framesOf(t, s)) == 0 {
		t.Fatal("no batch is in the journal only")
	}
	merge(t, s, 2)
	again := storetest.Draft(t, "lobby", "ann", "m0", text)
	if err := s.Append(t.Context(), storetest.Writes(again), make([]store.Result, 1)); err != nil { // it is looked up
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 10}); err != nil {
		t.Fatal(err)
	}
	buffers := map[string][]byte{"payload": s.fast.payload, "checksums of the writer": s.sum.buffer, "checksums of lookups": s.finder.sum.buffer}
	for name, buffer := range buffers {
		if buffer = buffer[:cap(buffer)]; len(buffer) == 0 || bytes.Contains(buffer, []byte(text)) {
			t.Errorf("the buffer of the %s has %q", name, buffer)
		}
	}
}

// A batch of known authors for known rooms is in the journal only. One that changes
// something else is not.
func TestAFastBatchWritesNothingToTheDatabase(t *testing.T) {
	s := still(t, t.TempDir(), Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 2)...)
	storetest.Append(t, s, numbered(t, "attic", "bob", 0, 2)...)
	same := func(before, after [][]byte) bool { return slices.EqualFunc(before, after, bytes.Equal) }
	before := databaseFiles(t, s)
	fast := [][]kaban.Draft{
		numbered(t, "lobby", "ann", 2, 1),
		numbered(t, "Attic", "ANN", 2, 20), // another spelling, and new to the room
		append(numbered(t, "lobby", "bob", 30, 2), numbered(t, "attic", "bob", 30, 2)...),
		numbered(t, "lobby", "ann", 0, 3), // nothing is new
		nil,
	}
	for _, drafts := range fast {
		storetest.Append(t, s, drafts...)
	}
	if frames := framesOf(t, s); !slices.Equal(frames, []uint64{3, 4, 5}) {
		t.Errorf("the journal has the batches %d, want 3 to 5", frames)
	}
	stale := storetest.Writes(numbered(t, "lobby", "ann", 40, 1)...)
	stale[0].Checked, stale[0].Revision = true, 7
	results := make([]store.Result, 1)
	if err := s.Append(t.Context(), stale, results); err != nil || results[0].Err != store.ErrStale {
		t.Errorf("a stale write: %+v, %v", results[0], err)
	}
	if !same(before, databaseFiles(t, s)) {
		t.Error("fast batches changed the database or its WAL")
	}
	for name, slow := range map[string]func(){
		"a new room":   func() { storetest.Append(t, s, numbered(t, "new-room", "ann", 0, 1)...) },
		"a new author": func() { storetest.Append(t, s, numbered(t, "lobby", "newcomer", 0, 1)...) },
		"a decision": func() {
			batch := storetest.Writes(numbered(t, "lobby", "ann", 50, 1)...)
			batch[0].Decide = func(tx store.Tx) error { return tx.Put("a", []byte("b")) }
			if err := s.Append(t.Context(), batch, results); err != nil || results[0].Err != nil {
				t.Errorf("a decision: %+v, %v", results[0], err)
			}
		},
		"a bump": func() { bump(t, s, "lobby") },
	} {
		before, frames := databaseFiles(t, s), len(framesOf(t, s))
		slow()
		if same(before, databaseFiles(t, s)) || len(framesOf(t, s)) != frames {
			t.Errorf("%s is not stored in the database only", name)
		}
	}
}

// A batch that changes nothing writes nothing, although it needs a transaction to find out.
func TestABatchThatChangesNothingWritesNothing(t *testing.T) {
	s := still(t, t.TempDir(), Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 2)...)
	no := errors.New("no")
	refused := func(room, author string, edit func(*store.Write)) func() error {
		return func() error {
			writes, results := storetest.Writes(numbered(t, room, author, 10, 1)...), make([]store.Result, 1)
			edit(&writes[0])
			if err := s.Append(t.Context(), writes, results); err != nil {
				return err
			}
			if !errors.Is(results[0].Err, no) {
				return fmt.Errorf("the result is %+v, want an error", results[0])
			}
			return nil
		}
	}
	for name, do := range map[string]func() error{
		"a refused decision": refused("lobby", "ann", func(w *store.Write) { w.Decide = func(store.Tx) error { return no } }),
		"a decision that is undone": refused("lobby", "ann", func(w *store.Write) {
			w.Decide = func(tx store.Tx) error { return errors.Join(tx.Put("a", []byte("b")), tx.Bump(w.Room), no) }
		}),
		"a refused decision in a new room": refused("new-room", "newcomer", func(w *store.Write) { w.Decide = func(store.Tx) error { return no } }),
		"a refusal in a new room":          refused("new-room", "ann", func(w *store.Write) { w.Refusal = no }),
		"a refusal of a new author":        refused("new-room", "newcomer", func(w *store.Write) { w.Refusal = no }),
		"a repeated decision": func() error {
			writes, results := storetest.Writes(numbered(t, "lobby", "ann", 0, 1)...), make([]store.Result, 1)
			writes[0].Decide = func(tx store.Tx) error { return tx.Put("a", []byte("b")) }
			err := s.Append(t.Context(), writes, results)
			if err == nil && !results[0].Duplicate {
				err = fmt.Errorf("the result is %+v, want a duplicate", results[0])
			}
			return err
		},
		"an update that reads": func() error {
			return s.Update(t.Context(), func(tx store.Tx) error { _, err := tx.Get("a"); return err })
		},
		"an update that fails": func() error {
			err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(tx.Put("a", []byte("b")), no) })
			if !errors.Is(err, no) {
				return fmt.Errorf("the update returns %w, want its own error", err)
			}
			return nil
		},
	} {
		before, batch := databaseFiles(t, s), s.batchNow()
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.EqualFunc(before, databaseFiles(t, s), bytes.Equal) {
			t.Errorf("%s changed the database or its WAL", name)
		}
		if now := s.batchNow(); now != batch {
			t.Errorf("after %s the newest batch is %d, want %d", name, now, batch)
		}
	}
	if got := storetest.Append(t, s, numbered(t, "lobby", "ann", 10, 1)...)[0]; got.Duplicate || got.Seq != 3 {
		t.Errorf("an id that was refused: %+v, want message 3", got)
	}
}

// Batches of both kinds, in turn, survive a crash in the order in which they came, merged
// or not.
func TestBatchesOfBothKindsSurviveACrashInOrder(t *testing.T) {
	for _, merged := range []int{0, 1, 5, 9, 14} {
		dir := t.TempDir()
		s := still(t, dir, Options{mergeStep: 1})
		storetest.Append(t, s, numbered(t, "attic", "ann", 0, 1)...)
		for i := range 20 {
			drafts := append(numbered(t, "lobby", "ann", 2*i, 2), numbered(t, "attic", "ann", i+1, 1)...)
			if i%2 == 1 {
				appendSlowly(t, s, drafts...)
			} else {
				storetest.Append(t, s, drafts...)
			}
			if i == 10 && merged > 0 {
				merge(t, s, merged)
			}
		}
		if rows, frames := count(t, s, "unmerged"), len(framesOf(t, s)); rows < 5 || frames < 5 {
			t.Fatalf("%d rows and %d frames are unmerged: the test proves nothing", rows, frames)
		}
		copied := still(t, copyFiles(t, dir), Options{mergeStep: 1})
		compare := func(when string) {
			t.Helper()
			for _, room := range []string{"lobby", "attic"} {
				if got := all(t, copied, room); !slices.Equal(got, all(t, s, room)) {
					t.Errorf("%d merged, %s: %s is %v, want %v", merged, when, room, got, all(t, s, room))
				}
			}
		}
		compare("after a crash")
		if copied.unmerged.batch != 21 {
			t.Errorf("the newest batch is %d, want 21", copied.unmerged.batch)
		}
		mergeNow(t, copied)
		compare("all merged")
		closeStore(t, copied)
		copied = open(t, filepath.Dir(copied.path), Options{})
		compare("closed and opened")
	}
}

// An id above the newest merged one of its author in the room is not looked up. One below
// it is.
func TestOnlyIDsThatMayBeUsedAreLookedUp(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	draft := func(room, author, id string) kaban.Draft {
		return storetest.Draft(t, room, author, id, "content of "+id)
	}
	storetest.Append(t, s, draft("lobby", "ann", "m1"), draft("lobby", "bob", "x"), draft("attic", "ann", "a"))
	storetest.Append(t, s, draft("lobby", "ann", "m5"), draft("lobby", "ann", "m3"))
	lookedUp := func(s *Store, drafts ...kaban.Draft) (ids []string) {
		t.Helper()
		s.appending.Lock()
		defer s.appending.Unlock()
		defer s.fast.reset()
		if possible, err := s.plan(storetest.Writes(drafts...), make([]store.Result, len(drafts))); !possible || err != nil {
			t.Fatalf("plan: %v, %v", possible, err)
		}
		for _, k := range s.fast.keys {
			ids = append(ids, k.id)
		}
		return ids
	}
	ids := func(room, author string, ids ...string) (drafts []kaban.Draft) {
		for _, id := range ids {
			drafts = append(drafts, draft(room, author, id))
		}
		return drafts
	}
	every := []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "z"}
	check := func(s *Store, when string, want int) {
		t.Helper()
		if got := lookedUp(s, ids("lobby", "ann", every...)...); !slices.Equal(got, every[:want]) {
			t.Errorf("%s: %q are looked up, want %q", when, got, every[:want])
		}
	}
	check(s, "nothing is merged", 0)
	merge(t, s, 1)
	check(s, "m1 is merged", 2)
	crashed := copyFiles(t, dir)
	check(still(t, crashed, Options{}), "m1 is merged, after a crash", 2)
	mergeNow(t, s)
	check(s, "m5 is merged, and then m3", 6)
	if got := lookedUp(s, slices.Concat(ids("lobby", "bob", "m6", "x", "y"), ids("attic", "ann", "a", "b"), ids("attic", "bob", "a"))...); !slices.Equal(got, []string{"m6", "x", "a"}) {
		t.Errorf("%q are looked up, want those of each author in each room", got)
	}
	s.finder.newest = make(map[authorIn]string)
	check(s, "forgotten", 6)
	closeStore(t, s)
	s = still(t, dir, Options{})
	check(s, "after a restart", 6)
	again := append(ids("lobby", "ann", "m6", "m5", "m3", "m1", "m2", "m6"), ids("lobby", "bob", "x")...)
	for i, want := range []store.Result{{Seq: 5}, {Seq: 3, Duplicate: true}, {Seq: 4, Duplicate: true}, {Seq: 1, Duplicate: true}, {Seq: 6}, {Seq: 5, Duplicate: true}, {Seq: 2, Duplicate: true}} {
		got := storetest.Append(t, s, again[i])[0]
		if got.Time = 0; got != want {
			t.Errorf("%s again: %+v, want %+v", again[i].ID, got, want)
		}
	}
}

// What is imported is merged, too.
func TestAnImportedIDIsLookedUp(t *testing.T) {
	from := open(t, t.TempDir(), Options{})
	storetest.Append(t, from, numbered(t, "lobby", "ann", 0, 3)...)
	last := storetest.Draft(t, "lobby", "ann", "z", "imported")
	storetest.Append(t, from, last)
	s := still(t, t.TempDir(), Options{})
	exported := records(t, filepath.Dir(from.path))
	if n, err := s.Import(t.Context(), exported[:2]); n != 2 || err != nil {
		t.Fatalf("import: %d, %v", n, err)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...) // which looks at the newest id
	if n, err := s.Import(t.Context(), exported); n != 2 || err != nil {
		t.Fatalf("import: %d, %v", n, err)
	}
	if got := storetest.Append(t, s, last)[0]; !got.Duplicate || got.Seq != 4 {
		t.Errorf("an imported message again: %+v, want a duplicate of 4", got)
	}
	mergeNow(t, s)
}

// Every message is stored once, whatever the order of its ids and whenever it is merged,
// and after a crash or a restart. A map is the model.
func TestEveryMessageIsStoredOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		options := Options{maxUnmerged: 1 + random.IntN(20), mergeStep: 1 + random.IntN(8), walPages: 20}
		s := open(t, dir, options)
		type message struct{ room, author, id string }
		seqs := make(map[message]uint64)
		contents := make(map[message]string)
		heads := make(map[string]uint64)
		var sent []message
		for range 150 {
			n := 1 + random.IntN(8)
			drafts, messages := make([]kaban.Draft, n), make([]message, n)
			for i := range drafts {
				m := message{fmt.Sprint("room-", random.IntN(3)), fmt.Sprint("user-", random.IntN(4)), fmt.Sprint("id-", random.IntN(200))}
				if len(sent) > 0 && random.IntN(3) == 0 {
					m = sent[random.IntN(len(sent))]
				}
				content := "one"
				if random.IntN(10) == 0 {
					content = "two"
				}
				drafts[i], messages[i] = storetest.Draft(t, m.room, m.author, m.id, content), m
			}
			var results []store.Result
			if random.IntN(5) == 0 {
				results = appendSlowly(t, s, drafts...)
			} else {
				results = storetest.Append(t, s, drafts...)
			}
			for i, m := range messages {
				want := store.Result{Seq: seqs[m], Duplicate: true}
				switch {
				case seqs[m] == 0:
					heads[m.room]++
					seqs[m], contents[m] = heads[m.room], drafts[i].Body
					sent = append(sent, m)
					want = store.Result{Seq: seqs[m]}
				case contents[m] != drafts[i].Body:
					want = store.Result{Err: store.ErrIDConflict}
				}
				if results[i].Time = 0; results[i] != want {
					t.Fatalf("seed %d: %+v is %+v, want %+v", seed, m, results[i], want)
				}
			}
			switch random.IntN(12) {
			case 0:
				if err := s.mergeSome(1 + random.IntN(30)); err != nil {
					t.Fatal(err)
				}
			case 1:
				s.appending.Lock()
				clear(s.finder.newest)
				clear(s.users)
				s.appending.Unlock()
			case 2:
				closeStore(t, s)
				s = open(t, dir, options)
			case 3:
				dir = crash(t, s)
				s = open(t, dir, options)
			}
		}
		got := make(map[message]uint64)
		for room := range heads {
			for _, e := range all(t, s, room) {
				got[message{room, e.Username, e.ID}] = e.Seq
			}
		}
		if !maps.Equal(got, seqs) {
			t.Errorf("seed %d: %d messages are there, want %d", seed, len(got), len(seqs))
		}
		closeStore(t, s)
		if err := check(t.Context(), dir); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// Senders at once, of the same messages in different orders and through different handles,
// while the store merges: each message is stored once, and all of them get the same answer.
func TestSendersAtOnceStoreEveryMessageOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 15, mergeStep: 4, walPages: 20})
	const messages, senders = 400, 4
	var drafts []kaban.Draft
	for i := range messages {
		drafts = append(drafts, storetest.Draft(t, fmt.Sprint("room-", i%3), fmt.Sprint("user-", i%5), fmt.Sprint("id-", i), fmt.Sprint("message ", i)))
	}
	type answer struct {
		seq       uint64
		time      int64
		duplicate bool
	}
	var answers [senders][messages]answer
	var group sync.WaitGroup
	for sender := range senders {
		handle, err := s.Share()
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(sender), 2))
			order := random.Perm(messages)
			for len(order) > 0 {
				n := min(1+random.IntN(6), len(order))
				var batch []kaban.Draft
				for _, i := range order[:n] {
					batch = append(batch, drafts[i])
				}
				results := make([]store.Result, n)
				if err := handle.Append(context.Background(), storetest.Writes(batch...), results); err != nil {
					t.Error(err)
					return
				}
				for k, i := range order[:n] {
					if results[k].Err != nil {
						t.Errorf("message %d: %v", i, results[k].Err)
					}
					answers[sender][i] = answer{results[k].Seq, results[k].Time, results[k].Duplicate}
				}
				order = order[n:]
			}
			if err := handle.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range messages {
		firsts := 0
		for sender := range senders {
			a, b := answers[0][i], answers[sender][i]
			if a.seq != b.seq || a.time != b.time {
				t.Errorf("message %d: %+v and %+v", i, a, b)
			}
			if !b.duplicate {
				firsts++
			}
		}
		if firsts != 1 {
			t.Errorf("message %d was stored %d times", i, firsts)
		}
	}
	stored := 0
	for room := range 3 {
		stored += len(all(t, s, fmt.Sprint("room-", room)))
	}
	if stored != messages {
		t.Errorf("%d messages are there, want %d", stored, messages)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// crash returns a copy of a store's files at one moment, and closes the store.
func crash(t *testing.T, s *Store) (dir string) {
	t.Helper()
	s.writing.Lock()
	s.appending.Lock()
	dir = copyFiles(t, filepath.Dir(s.path))
	s.appending.Unlock()
	s.writing.Unlock()
	closeStore(t, s)
	return dir
}
