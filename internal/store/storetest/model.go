package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

// model is what a store must have: maps instead of a database. Its names start with a
// prefix, so that one store serves many runs.
type model struct {
	prefix    string
	documents map[string]string
	revisions map[string]uint64 // of the rooms that exist
	logs      map[string][]modelEntry
	ids       map[modelID]uint64 // the seqs
}

type modelEntry struct{ author, id, content, files string }

type modelID struct{ room, author, id string }

// copy returns a copy that can change alone, except for the logs.
func (m *model) copy() model {
	c := *m
	c.documents, c.revisions = maps.Clone(m.documents), maps.Clone(m.revisions)
	return c
}

// step is one thing that a transaction does.
type step struct {
	do        int // 0 put, 1 delete, 2 bump, 3 get, 4 scan, 5 revision, 6 get all
	key, to   string
	value     string
	room      string
	limit     int
	failAfter bool
}

var errStep = errors.New("the function fails")

// namespace draws the parts of transactions.
type namespace struct {
	t      *testing.T
	prefix string
}

func (n namespace) steps() *rapid.Generator[[]step] {
	keys := rapid.Map(rapid.SampledFrom([]string{"", "a", "a/b", "a/c", "a0", "b", "é", "\U0010ffff"}), func(k string) string { return n.prefix + k })
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			do: rapid.IntRange(0, 7).Draw(t, "do"), key: keys.Draw(t, "key"), to: keys.Draw(t, "to"),
			value: rapid.StringN(0, 3, -1).Draw(t, "value"), room: n.room().Draw(t, "room"),
			limit: rapid.IntRange(1, 5).Draw(t, "limit"), failAfter: rapid.IntRange(0, 14).Draw(t, "fails") == 0,
		}
	}), 0, 6)
}

func (n namespace) room() *rapid.Generator[string] {
	return rapid.Map(rapid.SampledFrom([]string{"r1", "r2", "r3"}), func(r string) string { return n.prefix + r })
}

// run does the steps in a transaction and in the model, and compares what both read.
func (m *model) run(t *testing.T, tx store.Tx, steps []step, fail func(format string, args ...any)) error {
	for _, s := range steps {
		room := RoomName(t, s.room)
		var err error
		switch s.do {
		case 0:
			err = tx.Put(s.key, []byte(s.value))
			m.documents[s.key] = s.value
		case 1:
			err = tx.Delete(s.key)
			delete(m.documents, s.key)
		case 2:
			err = tx.Bump(room)
			m.revisions[s.room]++
		case 3:
			var got []byte
			got, err = tx.Get(s.key)
			if want, ok := m.documents[s.key]; string(got) != want || (got != nil) != ok {
				fail("Get(%q) = %q, want %q, %t", s.key, got, want, ok)
			}
		case 6:
			keys := []string{s.key, s.to, m.prefix + "nothing", s.key}
			var got [][]byte
			got, err = tx.GetAll(keys)
			for i, key := range keys[:len(got)] {
				if want, ok := m.documents[key]; string(got[i]) != want || (got[i] != nil) != ok {
					fail("GetAll(%q) = %q, want %q, %t for %q", keys, got, want, ok, key)
				}
			}
			if err == nil && len(got) != len(keys) {
				fail("GetAll(%q) = %q", keys, got)
			}
		case 4:
			var got []store.Document
			got, err = tx.Scan(s.key, s.to, s.limit)
			if want := m.scan(s.key, s.to, s.limit); !slices.Equal(pairs(got), want) {
				fail("Scan(%q, %q, %d) = %q, want %q", s.key, s.to, s.limit, pairs(got), want)
			}
		case 7:
			var got []store.Document
			got, err = tx.ScanBack(s.key, s.to, s.limit)
			want := m.scan(s.key, s.to, math.MaxInt)
			slices.Reverse(want)
			if want = want[:min(s.limit, len(want))]; !slices.Equal(pairs(got), want) {
				fail("ScanBack(%q, %q, %d) = %q, want %q", s.key, s.to, s.limit, pairs(got), want)
			}
		case 5:
			var got uint64
			if got, err = tx.Revision(room); got != m.revisions[s.room] {
				fail("Revision(%s) = %d, want %d", s.room, got, m.revisions[s.room])
			}
		}
		if err != nil {
			fail("step %+v: %v", s, err)
		}
		if s.failAfter {
			return errStep
		}
	}
	return nil
}

func (m *model) scan(from, to string, limit int) (found []string) {
	for _, key := range slices.Sorted(maps.Keys(m.documents)) {
		if from <= key && key < to && len(found) < limit {
			found = append(found, key+"="+m.documents[key])
		}
	}
	return found
}

func pairs(list []store.Document) (found []string) {
	for _, d := range list {
		found = append(found, d.Key+"="+string(d.Value))
	}
	return found
}

// modelWrite is a write that was drawn.
type modelWrite struct {
	room, author, id, content string
	files                     kaban.Files
	checked                   bool
	revision                  uint64
	decided                   bool
	steps                     []step
}

func (n namespace) writes() *rapid.Generator[[]modelWrite] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) modelWrite {
		return modelWrite{
			room: n.room().Draw(t, "room"), author: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "author"),
			id: n.prefix + rapid.StringMatching("[a-p]").Draw(t, "id"), content: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "content"),
			files:   rapid.SampledFrom([]kaban.Files{{}, {}, Files(n.t, "a.png"), Files(n.t, "b", "a.png")}).Draw(t, "files"),
			checked: rapid.Bool().Draw(t, "checked"), revision: rapid.Uint64Range(0, 3).Draw(t, "revision"),
			decided: rapid.Bool().Draw(t, "decided"), steps: n.steps().Draw(t, "steps"),
		}
	}), 1, 6)
}

// want returns what a write must result in before it is decided, and whether that is
// the end.
func (m *model) want(w *modelWrite) (store.Result, bool) {
	seq, used := m.ids[modelID{w.room, w.author, w.id}]
	switch {
	case used && m.logs[w.room][seq-1].content == w.content && m.logs[w.room][seq-1].files == w.files.String():
		return store.Result{Seq: seq, Duplicate: true}, true
	case used:
		return store.Result{Err: store.ErrIDConflict}, true
	case w.checked && w.revision != m.revisions[w.room]:
		return store.Result{Err: store.ErrStale}, true
	}
	return store.Result{}, false
}

func (m *model) add(w *modelWrite) store.Result {
	if _, ok := m.revisions[w.room]; !ok {
		m.revisions[w.room] = 0
	}
	m.logs[w.room] = append(m.logs[w.room], modelEntry{kaban.Visitor(usernameOf(w.author)).ID(), w.id, w.content, w.files.String()})
	seq := uint64(len(m.logs[w.room]))
	m.ids[modelID{w.room, w.author, w.id}] = seq
	return store.Result{Seq: seq}
}

func usernameOf(name string) kaban.Username {
	u, _ := kaban.ParseUsername(name)
	return u
}

// appendBatch appends the writes to the store and to the model.
func (m *model) appendBatch(t *testing.T, rt *rapid.T, s store.Store, writes []modelWrite) {
	batch, results := make([]store.Write, len(writes)), make([]store.Result, len(writes))
	refused := make(map[int]error)  // what the functions have returned
	whole := func(m *model) model { // with what a batch that begins again must not have
		c := m.copy()
		c.logs, c.ids = maps.Clone(m.logs), maps.Clone(m.ids)
		return c
	}
	base := whole(m)
	now, next, last := whole(&base), 0, -1 // next is the first write that the model does not have yet, and last was decided last
	var wants []store.Result
	settle := func(upTo int) {
		for ; next < upTo; next++ {
			want, ended := store.Result{}, false
			refusal, ran := refused[next]
			if !ran {
				want, ended = now.want(&writes[next])
			}
			switch {
			case ended:
			case refusal != nil:
				want.Err = refusal
			default:
				want = now.add(&writes[next])
			}
			wants = append(wants, want)
		}
	}
	for i := range writes {
		w := &writes[i]
		batch[i] = store.Write{Draft: Draft(t, w.room, w.author, w.id, w.content), Checked: w.checked, Revision: w.revision}
		batch[i].Files = w.files
		if !w.decided {
			continue
		}
		batch[i].Decide = func(tx store.Tx) error {
			if i <= last { // the driver begins again
				now, next, wants = whole(&base), 0, nil
				clear(refused)
			}
			last = i
			settle(i)
			if want, ended := now.want(w); ended {
				rt.Errorf("write %d is decided, want %+v", i, want)
			}
			changed := now.copy()
			if refused[i] = changed.run(t, tx, w.steps, rt.Errorf); refused[i] == nil {
				now = changed
			}
			return refused[i]
		}
	}
	if err := s.Append(t.Context(), batch, results); err != nil {
		rt.Fatalf("Append: %v", err)
	}
	settle(len(writes))
	for i, want := range wants {
		if got := results[i]; got.Seq != want.Seq || got.Duplicate != want.Duplicate || !errors.Is(got.Err, want.Err) {
			rt.Errorf("write %d: %+v, want %+v", i, got, want)
		}
	}
	*m = now
}

// update does steps in the store and in the model.
func (m *model) update(t *testing.T, rt *rapid.T, s store.Store, steps []step) {
	var changed model
	var want error
	err := s.Update(t.Context(), func(tx store.Tx) error {
		changed = m.copy()
		want = changed.run(t, tx, steps, rt.Errorf)
		return want
	})
	if err != want {
		rt.Errorf("Update = %v, want %v", err, want)
	}
	if want == nil {
		*m = changed
	}
}

// compare compares everything.
func (m *model) compare(t *testing.T, rt *rapid.T, s store.Store) {
	err := s.View(t.Context(), func(tx store.Tx) error {
		list, err := tx.Scan(m.prefix, m.prefix+"\U0010ffff\U0010ffff", 100)
		if want := m.scan(m.prefix, m.prefix+"\U0010ffff\U0010ffff", 100); !slices.Equal(pairs(list), want) {
			rt.Errorf("the documents are %q, want %q", pairs(list), want)
		}
		return err
	})
	if err != nil {
		rt.Fatalf("View: %v", err)
	}
	for _, room := range []string{"r1", "r2", "r3"} {
		room = m.prefix + room
		state, err := s.Room(t.Context(), RoomName(t, room))
		if err != nil || state.Head != uint64(len(m.logs[room])) || state.Revision != m.revisions[room] {
			rt.Errorf("Room(%s) = %+v, %v; want head %d and revision %d", room, state, err, len(m.logs[room]), m.revisions[room])
		}
		var got []modelEntry
		for _, e := range read(t, s, RoomName(t, room)) {
			got = append(got, modelEntry{e.Author, e.ID, e.Content, e.Files})
		}
		if !slices.Equal(got, m.logs[room]) {
			rt.Errorf("%s has %v, want %v", room, got, m.logs[room])
		}
	}
}

// testRandom does random transactions on handles of one store, and on a model.
func (d *Driver) testRandom(t *testing.T, s store.Store) {
	handles := []store.Store{s}
	if d.Share != nil {
		other := d.Share(t, s)
		t.Cleanup(func() { other.Close() })
		handles = append(handles, other)
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		n := namespace{t, fmt.Sprintf("p%d-", run)}
		m := model{n.prefix, make(map[string]string), make(map[string]uint64), make(map[string][]modelEntry), make(map[modelID]uint64)}
		handle := rapid.SampledFrom(handles)
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			s := handle.Draw(rt, "handle")
			if rapid.Bool().Draw(rt, "append") {
				m.appendBatch(t, rt, s, n.writes().Draw(rt, "writes"))
			} else {
				m.update(t, rt, s, n.steps().Draw(rt, "steps"))
			}
			m.compare(t, rt, handle.Draw(rt, "reader"))
		}
		rooms, err := s.Rooms(t.Context())
		found := 0
		for _, room := range rooms {
			if _, ok := m.revisions[room.Name.String()]; ok {
				found++
			}
		}
		if err != nil || found != len(m.revisions) {
			rt.Errorf("%d rooms exist, want %d, %v", found, len(m.revisions), err)
		}
	})
}
