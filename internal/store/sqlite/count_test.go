package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// counted returns a directory with a database with counts: messages of two authors and entries
// of another kind in two rooms, of which some are merged.
func countedStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	for i := range 40 {
		d := storetest.Draft(t, []string{"lobby", "attic"}[i%2], []string{"ann", "bob", "bob"}[i%3], fmt.Sprint("id-", i), "x")
		if i%5 == 0 {
			d.Kind = kaban.KindTopic
		}
		storetest.Append(t, s, d)
		if i == 25 {
			merge(t, s, 20)
		}
	}
	bump(t, s, "attic")
	return crash(t, s)
}

// tally returns the counts of a room for an author.
func tally(t *testing.T, s *Store, room, author string) store.Tally {
	t.Helper()
	tallies, err := s.Tallies(t.Context(), kaban.Visitor(storetest.Username(t, author)).ID(), []kaban.RoomName{storetest.RoomName(t, room)})
	if err != nil {
		t.Fatal(err)
	}
	return tallies[0]
}

// hasCounts checks the counts of a store of countedStore.
func hasCounts(t *testing.T, s *Store) {
	t.Helper()
	for _, room := range []string{"lobby", "attic"} {
		for _, name := range []string{"ann", "bob", "cat"} {
			var want store.Counts
			for _, e := range all(t, s, room) {
				if e.Kind == kaban.KindMessage {
					want.Add(e.Username == name)
				}
			}
			if got := tally(t, s, room, name); got.Counts != want || got.Head != 20 {
				t.Errorf("%s for %s: %+v, want %+v", room, name, got, want)
			}
		}
	}
}

// A database of version 8 gets counts, or stays as it is.
func TestCountsAreAddedToVersion8(t *testing.T) {
	t.Parallel()
	original := countedStore(t)
	hasCounts(t, still(t, copyFiles(t, original), Options{}))
	toVersion8(t, filepath.Join(original, databaseName))
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	version := func(dir string) int {
		t.Helper()
		v, err := inspect(t.Context(), filepath.Join(dir, databaseName), len(scripts))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	t.Run("whole", func(t *testing.T) {
		dir := copyFiles(t, original)
		s := still(t, dir, Options{})
		hasCounts(t, s)
		mergeNow(t, s)
		hasCounts(t, s)
		closeStore(t, s)
		if err := check(t.Context(), dir); err != nil {
			t.Error(err)
		}
		hasCounts(t, open(t, dir, Options{}))
	})
	t.Run("progress", func(t *testing.T) {
		c, err := connect(t.Context(), filepath.Join(copyFiles(t, original), databaseName), "rw", migrationPragmas)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		last, total := 0, 0
		report := func(done, of int) {
			if done <= last || done > of {
				t.Errorf("%d of %d after %d", done, of, last)
			}
			last, total = done, of
		}
		if err := migrate(t.Context(), c, countedVersion-1, scripts[:countedVersion], framesIn("/nowhere"), report); err == nil || total == 0 || last != total {
			// It fails after the counts, because there is no journal.
			t.Errorf("%d of %d are counted, %v", last, total, err)
		}
	})
	for _, moment := range []string{"killed", "failing"} {
		t.Run(moment, func(t *testing.T) {
			dir := copyFiles(t, original)
			c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", append([]pragma{{"cache_spill", "1"}, {"cache_size", "1"}}, common...))
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			failed := errors.New("it ends here")
			err = c.transact(t.Context(), func() error {
				if err := c.exec(t.Context(), scripts[countedVersion-1]); err != nil {
					return err
				}
				if err := fillCounts(t.Context(), c, nil); err != nil {
					return err
				}
				if moment == "killed" {
					dir = copyFiles(t, dir)
				}
				return failed
			})
			if !errors.Is(err, failed) || version(dir) != countedVersion-1 {
				t.Errorf("version %d, %v", version(dir), err)
			}
			if moment == "failing" {
				if err := c.close(); err != nil {
					t.Fatal(err)
				}
			}
			hasCounts(t, open(t, dir, Options{}))
		})
	}
	t.Run("damaged", func(t *testing.T) {
		dir := copyFiles(t, original)
		corrupt(t, filepath.Join(dir, databaseName), "UPDATE rooms SET head = head + 1 WHERE key = 'attic'")
		_, err := Open(t.Context(), dir, Options{})
		wantError(t, err, "attic", "checksum")
		if v := version(dir); v != countedVersion-1 {
			t.Errorf("it has version %d", v)
		}
	})
}

// sumWritten makes the checksums of the table written valid.
func sumWritten(t *testing.T, path string) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	rows, err := c.QueryContext(t.Context(), "SELECT room, user, messages, last FROM written")
	if err != nil {
		t.Fatal(err)
	}
	var updates []string
	for rows.Next() {
		var of authorIn
		var w written
		if err := rows.Scan(&of.room, &of.user, &w.messages, &w.last); err != nil {
			t.Fatal(err)
		}
		updates = append(updates, fmt.Sprintf("UPDATE written SET sum = %d WHERE room = %d AND user = %d", new(summer).written(of, w), of.room, of.user))
	}
	if err := closeRows(rows); err != nil {
		t.Fatal(err)
	}
	corrupt(t, path, updates...)
}

// A check compares the counts with the entries, whatever the checksums say.
func TestCheckOfCounts(t *testing.T) {
	t.Parallel()
	original := countedStore(t)
	if err := check(t.Context(), original); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, damage, want string }{
		{"a room has more", "UPDATE rooms SET messages = messages + 1 WHERE key = 'lobby'", "messages, and"},
		{"an author has more", "UPDATE written SET messages = messages + 1 WHERE rowid_of = 1", "has written"},
		{"an author has less", "UPDATE written SET messages = messages - 1 WHERE rowid_of = 2", "has written"},
		{"counted too far", "UPDATE written SET last = 1 << 30 WHERE rowid_of = 1", "up to 1073741824"},
		{"a lost author", "DELETE FROM written WHERE rowid_of = 1", "of 1 authors are not counted"},
		{"an author of nothing", "INSERT INTO written SELECT room, 99, 1, 1, 1, 0, 0 FROM written WHERE rowid_of = 1", "user 99"},
		{"a room that does not exist", "INSERT INTO written VALUES (99, 1, 1, 1, 1, 0, 0)", "1 counts are of rooms that do not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyFiles(t, original)
			path := filepath.Join(dir, databaseName)
			statement := c.damage
			for i, name := range []string{"ann", "bob"} {
				statement = strings.ReplaceAll(statement, fmt.Sprint("rowid_of = ", i+1), "room = (SELECT id FROM rooms WHERE key = 'lobby') AND user = (SELECT id FROM users WHERE key = 'visitor:"+name+"')")
			}
			corrupt(t, path, statement)
			if err := check(t.Context(), dir); err == nil {
				t.Error("the checksums find nothing")
			}
			sumAgain(t, path)
			sumWritten(t, path)
			err := check(t.Context(), dir)
			wantError(t, err, c.want)
		})
	}
}

// A row of counts that cannot be read is counted anew, and written again by the next merge.
func TestADamagedCount(t *testing.T) {
	t.Parallel()
	dir := countedStore(t)
	corrupt(t, filepath.Join(dir, databaseName), "UPDATE written SET messages = messages + 100")
	s := still(t, dir, Options{mergeStep: 1})
	hasCounts(t, s)
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		got, err := tx.Counts(storetest.RoomName(t, "lobby"), kaban.Visitor(storetest.Username(t, "ann")).ID())
		if want := tally(t, s, "lobby", "ann").Counts; got != want {
			t.Errorf("within a transaction %+v are counted, want %+v", got, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	mergeNow(t, s)
	hasCounts(t, s)
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Errorf("after the merge: %v", err)
	}
}

// Whatever is appended and merged meanwhile, both counts are of one moment.
func TestCountsWhileMerging(t *testing.T) {
	t.Parallel()
	const rounds, size = 150, 8
	s := open(t, t.TempDir(), Options{maxUnmerged: 6, mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range rounds {
			results := make([]store.Result, size)
			if err := s.Append(t.Context(), storetest.Writes(numbered(t, "lobby", "ann", 1+size*i, size)...), results); err != nil {
				t.Errorf("append: %v", err)
			}
		}
	})
	ann, lobby := kaban.Visitor(storetest.Username(t, "ann")).ID(), storetest.RoomName(t, "lobby")
	for last := uint64(0); last < rounds*size+1; {
		got := tally(t, s, "lobby", "ann")
		if got.Messages != got.Head || got.Own != got.Head || got.Head < last {
			t.Fatalf("%+v after head %d", got, last)
		}
		last = got.Head
		mark, err := s.CountTo(t.Context(), lobby, ann, last/2, store.Mark{})
		if err != nil || mark != (store.Mark{Seq: last / 2, Counts: store.Counts{Messages: last / 2, Own: last / 2}}) {
			t.Fatalf("CountTo(%d) = %+v, %v", last/2, mark, err)
		}
	}
	group.Wait()
}
