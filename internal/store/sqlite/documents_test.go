package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// put stores documents, given as keys and values in turn.
func put(t testing.TB, s store.Store, pairs ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// get returns a document.
func get(t testing.TB, s store.Store, key string) (value string, err error) {
	t.Helper()
	err = s.View(t.Context(), func(tx store.Tx) error {
		got, err := tx.Get(key)
		value = string(got)
		return err
	})
	return value, err
}

func bump(t testing.TB, s store.Store, room string) {
	t.Helper()
	name := storetest.RoomName(t, room)
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Bump(name) }); err != nil {
		t.Fatal(err)
	}
}

func revision(t testing.TB, s store.Store, room string) uint64 {
	t.Helper()
	state, err := s.Room(t.Context(), storetest.RoomName(t, room))
	if err != nil {
		t.Fatal(err)
	}
	return state.Revision
}

func TestReopenKeepsDocuments(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	put(t, s, "a", "1", "b", "")
	bump(t, s, "lobby")
	bump(t, s, "lobby")
	bump(t, s, "empty-room")
	for range 2 { // after a crash, and after Close
		crashed := copyFiles(t, dir)
		copied := open(t, crashed, Options{})
		if a, err := get(t, copied, "a"); a != "1" || err != nil {
			t.Errorf("a = %q, %v", a, err)
		}
		if revision(t, copied, "lobby") != 2 || revision(t, copied, "empty-room") != 1 {
			t.Errorf("the revisions are %d and %d, want 2 and 1", revision(t, copied, "lobby"), revision(t, copied, "empty-room"))
		}
		bump(t, copied, "lobby") // the journal goes on
		storetest.Append(t, copied, numbered(t, "empty-room", "ann", 3, 1)...)
		if got := storetest.Append(t, copied, numbered(t, "lobby", "ann", 0, 4)...); !got[2].Duplicate || got[3].Seq != 4 || got[3].Duplicate {
			t.Errorf("Append: %+v", got)
		}
		closeStore(t, copied)
		report, err := archive(t, crashed).Check(t.Context())
		if err != nil || report.Err() != nil || report.Documents != 2 || len(report.Rooms) != 2 {
			t.Errorf("check: %+v, %v", report, err)
		}
		if s != nil {
			closeStore(t, s)
			s = nil
		}
	}
}

// Batches without entries leave no rows.
func TestManyBumpsLeaveNoRow(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	for range 50 {
		bump(t, s, "lobby")
	}
	if rows, batch := count(t, s, "unmerged"), count(t, s, "progress WHERE batch = 51"); rows != 1 || batch != 1 {
		t.Errorf("there are %d rows of unmerged, and %d of the progress; want one", rows, batch)
	}
}

// A refused write of somebody new leaves nothing, not even the author.
func TestRefusedAuthorsAreNotKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	ann, bob, carol := numbered(t, "lobby", "ann", 0, 2), numbered(t, "lobby", "bob", 0, 2), numbered(t, "lobby", "carol", 0, 1)
	failure := errors.New("no")
	results := make([]store.Result, 4)
	batch := []store.Write{
		{Draft: ann[0], Checked: true, Revision: 1},
		{Draft: bob[0], Decide: func(store.Tx) error { return failure }},
		{Draft: bob[1]},
		{Draft: carol[0]},
	}
	if err := s.Append(t.Context(), batch, results); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(results[0].Err, store.ErrStale) || !errors.Is(results[1].Err, failure) || results[2].Seq != 1 || results[3].Seq != 2 {
		t.Errorf("Append: %+v", results)
	}
	names := func() (names []string) {
		s.writing.Lock()
		defer s.writing.Unlock()
		names, err := lines(t.Context(), s.writer, "SELECT key FROM users ORDER BY key")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"visitor:bob", "visitor:carol"}) {
		t.Errorf("the users are %q", got)
	}
	storetest.Append(t, s, ann...)
	if got := names(); len(got) != 3 {
		t.Errorf("the users are %q", got)
	}
	closeStore(t, s)
	if report, err := archive(t, dir).Check(t.Context()); err != nil || report.Err() != nil {
		t.Errorf("check: %+v, %v", report, err)
	}
}

// Damage in a document concerns only the calls that read it.
func TestADamagedDocument(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	put(t, s, "a", "1", "b", "2", "c", "3")
	bump(t, s, "attic")
	closeStore(t, s)
	corrupt(t, filepath.Join(dir, databaseName), "UPDATE documents SET value = x'33' WHERE key = 'b'")
	report, err := archive(t, dir).Check(t.Context())
	if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], `"b"`) || report.Documents != 3 {
		t.Errorf("check: %+v, %v", report, err)
	}
	s = open(t, dir, Options{})
	isDamaged := func(what string, err error) {
		t.Helper()
		found, ok := errors.AsType[*store.DocumentError](err)
		if !ok || found.Key != "b" || !errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrBroken) {
			t.Errorf("%s: %v, want the damage of b", what, err)
		}
	}
	_, err = get(t, s, "b")
	isDamaged("Get", err)
	isDamaged("Scan", s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Scan("", "z", 10); return err }))
	isDamaged("an error that is dropped", s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put("d", []byte("4")); err != nil {
			return err
		}
		_, _ = tx.Get("b")
		return nil
	}))
	batch := storetest.Writes(numbered(t, "lobby", "ann", 0, 3)...)
	for i, key := range []string{"a", "b", "c"} {
		batch[i].Decide = func(tx store.Tx) error {
			if err := tx.Put("decided-"+key, []byte("x")); err != nil {
				return err
			}
			_, _ = tx.Get(key)
			return nil
		}
	}
	results := make([]store.Result, 3)
	if err := s.Append(t.Context(), batch, results); err != nil || results[0].Seq != 1 || results[2].Seq != 2 {
		t.Errorf("Append: %+v, %v", results, err)
	}
	isDamaged("Decide", results[1].Err)
	for key, want := range map[string]string{"a": "1", "c": "3", "d": "", "decided-a": "x", "decided-b": "", "decided-c": "x"} {
		if got, err := get(t, s, key); got != want || err != nil {
			t.Errorf("%s = %q, %v; want %q", key, got, err, want)
		}
	}
	put(t, s, "b", "new") // which repairs it
	if got, err := get(t, s, "b"); got != "new" || err != nil {
		t.Errorf("b = %q, %v", got, err)
	}
}

// A revision that differs from what was written is damage, as any other column.
func TestADamagedRevision(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	bump(t, s, "lobby")
	bump(t, s, "attic")
	for _, change := range []string{"revision = 0", "revision = 2", "revision = 1 << 62"} {
		damaged := copyFiles(t, dir)
		corrupt(t, filepath.Join(damaged, databaseName), "UPDATE rooms SET "+change+" WHERE key = 'lobby'")
		_, err := Open(t.Context(), damaged, Options{})
		wantError(t, err, "lobby", "checksum")
	}
	// While the store is open, Views find it.
	s.writing.Lock()
	err := s.writer.exec(t.Context(), "UPDATE rooms SET revision = 7 WHERE key = 'lobby'")
	s.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx store.Tx) error {
		_, err := tx.Revision(storetest.RoomName(t, "lobby"))
		return err
	})
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Revision: %v, want ErrDamaged", err)
	}
	err = s.View(t.Context(), func(tx store.Tx) error {
		if got, err := tx.Revision(storetest.RoomName(t, "attic")); got != 1 || err != nil {
			t.Errorf("the revision of the attic is %d, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A disk that becomes full in a transaction is ErrFull, and nothing of it is stored.
func TestFullInATransaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxPages: 400})
	put(t, s, "a", "1")
	large := bytes.Repeat([]byte("x"), store.MaxValue)
	fill := func(tx store.Tx) error {
		for i := range 20 {
			if err := tx.Put(fmt.Sprint("large-", i), large); err != nil {
				return nil // the transaction fails all the same
			}
		}
		return nil
	}
	if err := s.Update(t.Context(), fill); !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) {
		t.Errorf("Update: %v, want ErrFull", err)
	}
	batch := storetest.Writes(numbered(t, "lobby", "ann", 0, 3)...)
	batch[1].Decide = fill
	if err := s.Append(t.Context(), batch, make([]store.Result, 3)); !errors.Is(err, store.ErrFull) {
		t.Errorf("Append: %v, want ErrFull", err)
	}
	if entries := all(t, s, "lobby"); len(entries) != 0 {
		t.Errorf("the lobby has %d entries", len(entries))
	}
	for key, want := range map[string]string{"a": "1", "large-0": ""} {
		if got, err := get(t, s, key); got != want || err != nil {
			t.Errorf("%s = %d bytes, %v", key, len(got), err)
		}
	}
	put(t, s, "b", "2")
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
}

// toVersion9 turns a database of version 16 into one of version 9.
var toVersion9 = []string{
	"DROP TABLE runs",
	// Dropping a column moves all rows, and must not leave copies that no version would.
	"PRAGMA secure_delete = 1", "ALTER TABLE entries DROP COLUMN files",
	"DROP TABLE noops",
	"ALTER TABLE rooms DROP COLUMN cut", "ALTER TABLE rooms DROP COLUMN cut_messages", "ALTER TABLE written DROP COLUMN cut_messages", "ALTER TABLE written DROP COLUMN cut",
	"DROP TABLE unledgered", "DROP TABLE erasing", "DROP TABLE mentions", "PRAGMA user_version = 9",
}

// toVersion8 turns a database into one of version 8, whose rooms have no counts.
func toVersion8(t *testing.T, path string) {
	t.Helper()
	resum(t, path, roomsWithCounts("0"))
	toVersion16(t, path)
	corrupt(t, path, toVersion9...)
	corrupt(t, path, "DROP TABLE written", "ALTER TABLE rooms DROP COLUMN messages", "PRAGMA user_version = 8")
}

// downgrade turns a database into one of version 8, and then runs statements.
func downgrade(t *testing.T, path string, statements ...string) {
	t.Helper()
	toVersion8(t, path)
	corrupt(t, path, statements...)
}

// roomsWithCounts is the table rooms, whose checksums are of an expression for the counts.
func roomsWithCounts(messages string) summed {
	return summed{"rooms", "id", "id, key, name, head, revision, " + messages, func(rows *sql.Rows, sum *summer) (id, value int64, err error) {
		var key, name string
		var row roomRow
		err = rows.Scan(&id, &key, &name, &row.head, &row.revision, &row.messages)
		return id, sum.room(id, key, name, row), err
	}}
}

// toVersion7 turns a database without changes of messages of version 8 into one of version 7.
var toVersion7 = []string{
	"DROP TABLE states", "DROP TABLE reactions", "DROP TABLE originals", "DROP INDEX replies", "DROP INDEX no_messages",
	"CREATE INDEX no_messages ON entries (place, user) WHERE kind <> 1", "PRAGMA user_version = 7",
}

// toVersion6 turns it, if it needs no journal, into one of version 6.
var toVersion6 = append(slices.Clone(toVersion7),
	"DROP TABLE progress", "DROP VIEW log", "ALTER TABLE unmerged RENAME TO journal",
	"CREATE VIEW recent AS SELECT * FROM journal", "CREATE VIEW log AS SELECT * FROM recent", "PRAGMA user_version = 6",
)

// toVersion5 turns it into one of version 5, without unmerged entries.
var toVersion5 = append(slices.Clone(toVersion6),
	"DROP TABLE documents", "ALTER TABLE rooms DROP COLUMN revision", "DROP VIEW log", "DROP INDEX ids", "ALTER TABLE entries RENAME TO newer",
	`CREATE TABLE entries (place INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL, user INTEGER NOT NULL REFERENCES users (id),
		username TEXT, id TEXT NOT NULL, content TEXT NOT NULL, sum INTEGER NOT NULL DEFAULT 0, target INTEGER NOT NULL DEFAULT 0, UNIQUE (user, id)) STRICT`,
	"INSERT INTO entries (place, time, kind, user, username, id, content, sum, target) SELECT place, time, kind, user, username, id, content, sum, target FROM newer",
	"DROP TABLE newer", "CREATE VIEW log AS SELECT * FROM entries", "PRAGMA user_version = 5",
)

// The schema before documents gets them, and damage from before is still found.
func TestDocumentsAreAddedToVersion5(t *testing.T) {
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := open(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 3, 1)...)
	mergeNow(t, s)
	before := all(t, s, "lobby")
	closeStore(t, s)
	path := filepath.Join(dir, databaseName)
	downgrade(t, path, toVersion5...)
	damaged := copyFiles(t, dir)
	corrupt(t, filepath.Join(damaged, databaseName), "UPDATE rooms SET head = 7 WHERE key = 'attic'")
	_, err = Open(t.Context(), damaged, Options{})
	wantError(t, err, "attic", "checksum")
	c, err := connect(t.Context(), filepath.Join(damaged, databaseName), "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	if version, err := c.number(t.Context(), "PRAGMA user_version"); err != nil || version != 5 {
		t.Errorf("a damaged database has version %d, %v; want 5, as before", version, err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}

	// Damage that concerns single entries stays what it was.
	orphaned := copyFiles(t, dir)
	corrupt(t, filepath.Join(orphaned, databaseName), "DELETE FROM users")
	s = open(t, orphaned, Options{})
	if _, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 1}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Read of an entry without an author: %v, want ErrDamaged", err)
	}
	closeStore(t, s)

	s = open(t, dir, Options{})
	if got, err := s.writer.number(t.Context(), "PRAGMA user_version"); err != nil || got != len(scripts) {
		t.Errorf("the schema has version %d, %v; want %d", got, err, len(scripts))
	}
	if after := all(t, s, "lobby"); !slices.Equal(after, before) {
		t.Errorf("the lobby has %+v, want %+v", after, before)
	}
	put(t, s, "a", "1")
	bump(t, s, "lobby")
	mergeNow(t, s)
	closeStore(t, s)
	report, err := archive(t, dir).Check(t.Context())
	if err != nil || report.Err() != nil || report.Documents != 1 || len(report.Rooms) != 2 {
		t.Errorf("check: %+v, %v", report, err)
	}
}

// A View that begins between a commit and the change of the memory waits for the latter,
// also if the transaction has no entry.
func TestAViewWaitsForTheMemory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	lobby := storetest.RoomName(t, "lobby")
	stored, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stored.close()
	for i, write := range []func(){
		func() { bump(t, s, "lobby") },
		func() {
			batch := storetest.Writes(numbered(t, "lobby", "ann", 0, 1)...)
			batch[0].Decide = func(tx store.Tx) error { return tx.Bump(lobby) }
			if err := s.Append(t.Context(), batch, make([]store.Result, 1)); err != nil {
				t.Error(err)
			}
		},
	} {
		var group sync.WaitGroup
		s.mu.RLock() // so that the writer cannot publish
		group.Go(write)
		for revision := 0; revision <= i; {
			if revision, err = stored.number(t.Context(), "SELECT coalesce(max(revision), 0) FROM rooms"); err != nil {
				t.Fatal(err)
			}
		}
		viewed := make(chan struct{})
		group.Go(func() {
			defer close(viewed)
			if err := s.View(t.Context(), func(store.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		select {
		case <-viewed:
			t.Errorf("write %d: a View did not wait for the memory", i)
		case <-time.After(20 * time.Millisecond): // less would only find less
		}
		s.mu.RUnlock()
		group.Wait()
	}
}

// A store that breaks leaves no View waiting.
func TestABrokenStoreEndsViews(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.await(1); !errors.Is(err, store.ErrBroken) {
			t.Errorf("await: %v, want ErrBroken", err)
		}
	})
	time.Sleep(time.Millisecond)
	if err := s.broke("a test", errors.New("the disk is gone")); !errors.Is(err, store.ErrBroken) {
		t.Error(err)
	}
	group.Wait()
	if err := s.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrBroken) {
		t.Errorf("View: %v, want ErrBroken", err)
	}
	if err := s.Update(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Update: %v, want ErrBroken", err)
	}
}

// An entry of an author that cannot be read is damaged, even if it has a username of its
// own: nobody gets an entry without its author, or with another one.
func TestADamagedAuthor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	draft := storetest.Draft(t, "lobby", "Ann", "one", "hello")
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "zero", "hello"), draft)
	mergeNow(t, s)
	closeStore(t, s)
	corrupt(t, filepath.Join(dir, databaseName), "UPDATE users SET key = 'visitor:eve'")
	s = open(t, dir, Options{})
	for seq := range uint64(2) {
		entries, err := s.Read(t.Context(), draft.Room, store.Page{After: seq, Limit: 1})
		if damage, ok := errors.AsType[*store.DamagedError](err); !ok || damage.Seq != seq+1 {
			t.Errorf("entry %d: %+v, %v; want a DamagedError", seq+1, entries, err)
		}
	}
}

// A View of a database whose row of the progress is damaged reports it and does not wait for
// batches that nobody has written.
func TestAViewOfDamagedProgress(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	corrupt(t, filepath.Join(dir, databaseName), "UPDATE progress SET batch = batch | 1 << 30")
	ended := make(chan error, 1)
	go func() { ended <- s.View(context.Background(), func(store.Tx) error { return nil }) }()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrBroken) {
			t.Errorf("View: %v, want ErrDamaged", err)
		}
	case <-time.After(time.Minute):
		s.broke("test", errors.New("to end what waits"))
		t.Fatal("View hangs")
	}
	if got := all(t, s, "lobby"); len(got) != 1 {
		t.Errorf("%d messages are there, want 1", len(got))
	}
}
