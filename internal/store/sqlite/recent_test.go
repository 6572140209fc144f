package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// mergeNow merges as the next append would.
func mergeNow(t testing.TB, s *Store) {
	t.Helper()
	b := s.newBatch(t.Context())
	if _, err := b.stmts.begin.ExecContext(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.merge(); err != nil {
		t.Fatal(err)
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	b.publish()
}

// count returns how many rows a table has.
func count(t testing.TB, s *Store, table string) int {
	t.Helper()
	n, err := s.writer.number(t.Context(), "SELECT count(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The suite again, where nearly every append merges what the one before has
// brought.
func TestConformanceWithSmallMerges(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir(), Options{mergeAt: 2}) })
}

func TestRecentEntriesAreMerged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{mergeAt: 10})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 9)...)
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 2)...)
	if entries, recent := count(t, s, "entries"), count(t, s, "recent"); entries != 0 || recent != 11 {
		t.Fatalf("%d entries, %d recent; want 0, 11", entries, recent)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 9, 1)...)
	if entries, recent := count(t, s, "entries"), count(t, s, "recent"); entries != 11 || recent != 1 {
		t.Fatalf("after one more: %d entries, %d recent; want 11, 1", entries, recent)
	}
	// Large contents are merged sooner.
	long := storetest.Dispatch(t, "lobby", "ann", "long", strings.Repeat("x", 4000))
	s.mergeAt = mergeEntries
	for i := range mergeBytes/4000 + 1 {
		long.ID = storetest.Dispatch(t, "lobby", "ann", fmt.Sprint("long-", i), "x").ID
		storetest.Append(t, s, long)
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 10, 1)...)
	if recent := count(t, s, "recent"); recent != 1 {
		t.Errorf("after %d bytes: %d recent, want 1", mergeBytes, recent)
	}

	// It is all the same to those who look into the file.
	if n := count(t, s, "log"); n != 11+1+mergeBytes/4000+1+1 {
		t.Errorf("the view log has %d rows", n)
	}
}

// What a crash leaves is there, wherever it is.
func TestRecentEntriesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{mergeAt: 10})
	storetest.Append(t, s, numbered(t, "lobby", "Ann", 0, 12)...)
	storetest.Append(t, s, storetest.Dispatch(t, "lobby", "ann", "small", "written otherwise"))
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 3)...)
	if n := count(t, s, "recent"); n != 4 {
		t.Fatalf("%d are recent, want 4", n)
	}
	again := open(t, copyFiles(t, dir), Options{})
	for _, room := range []string{"lobby", "kitchen"} {
		if want, got := all(t, s, room), all(t, again, room); !slices.Equal(want, got) {
			t.Errorf("%s: %v, want %v", room, got, want)
		}
	}
	results := storetest.Append(t, again, storetest.Dispatch(t, "lobby", "ann", "small", "written otherwise"),
		storetest.Dispatch(t, "lobby", "ann", "id-3", "message 3"), storetest.Dispatch(t, "kitchen", "bob", "id-2", "other"),
		storetest.Dispatch(t, "nowhere", "bob", "id-2", "message 2"), storetest.Dispatch(t, "kitchen", "bob", "new", "new"))
	for i, want := range []store.Result{{Seq: 13, Duplicate: true}, {Seq: 4, Duplicate: true}, {Err: store.ErrIDConflict}, {Err: store.ErrIDConflict}, {Seq: 4}} {
		results[i].Time = 0
		if results[i] != want {
			t.Errorf("result %d: %+v, want %+v", i, results[i], want)
		}
	}
}

// Pages are the same on both sides of the border and across it.
func TestPagesOfRecentEntries(t *testing.T) {
	s := open(t, t.TempDir(), Options{mergeAt: 10})
	for i := range 15 {
		storetest.Append(t, s, storetest.Dispatch(t, "lobby", "ann", fmt.Sprint(i), strings.Repeat("x", 1+i%4)))
	}
	entries := all(t, s, "lobby")
	if n := count(t, s, "recent"); n != 5 || len(entries) != 15 {
		t.Fatalf("%d recent of %d, want 5 of 15", n, len(entries))
	}
	for after := range uint64(16) {
		for before := range uint64(17) {
			for _, limit := range []int{1, 3, 7, 100} {
				for _, bytes := range []int{0, 1, 5, 12, 1000} {
					for _, last := range []bool{false, true} {
						page := store.Page{After: after, Before: before, Limit: limit, Bytes: bytes, Last: last}
						got, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), page)
						if want := pageOf(entries, page); err != nil || !slices.Equal(got, want) {
							t.Fatalf("%+v: %v, %v; want %v", page, got, err, want)
						}
					}
				}
			}
		}
	}
}

// pageOf is what the contract says of a page of entries 1 to n.
func pageOf(entries []store.Entry, page store.Page) []store.Entry {
	var found []store.Entry
	for _, e := range entries {
		if e.Seq > page.After && (page.Before == 0 || e.Seq < page.Before) {
			found = append(found, e)
		}
	}
	if page.Last {
		slices.Reverse(found)
	}
	bytes, n := 0, 0
	for n < len(found) && n < page.Limit {
		if bytes += len(found[n].Content); page.Bytes > 0 && bytes > page.Bytes && n > 0 {
			break
		}
		n++
	}
	if found = found[:n]; page.Last {
		slices.Reverse(found)
	}
	return found
}

func TestSnapshotsHaveRecentEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{mergeAt: 10})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 3)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 15, 2)...)
	exported := records(t, dir)
	if len(exported) != 17 || exported[0].Room.String() != "attic" || exported[16].Seq != 15 {
		t.Errorf("an export has %d records, the last %+v", len(exported), exported[len(exported)-1])
	}
	rooms, problems, err := snapshot(t, dir).Check(t.Context())
	if err != nil || len(problems) > 0 || len(rooms) != 2 || rooms[1].Entries != 15 || rooms[1].Room.Head != 15 || rooms[0].Entries != 2 {
		t.Errorf("check: %+v, %q, %v", rooms, problems, err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := snapshot(t, dir).BackUp(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), file, "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if n, err := c.number(t.Context(), "SELECT count(*) FROM entries"); err != nil || n != 17 {
		t.Errorf("the backup has %d entries in their place, %v; want 17", n, err)
	}
}

func TestDamagedRecentEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{mergeAt: 10})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 6)...)
	for name, c := range map[string]struct{ damage, check, open string }{
		"a gap":              {"DELETE FROM recent WHERE place & 0xFF = 15", "1 entries are missing between 1 and 18", "entry 16 of room 1 does not follow"},
		"a lost start":       {"DELETE FROM recent WHERE place & 0xFF = 13", "1 entries are missing between 1 and 18", "entry 14 of room 1 does not follow"},
		"a lost room":        {"DELETE FROM rooms", "18 entries are of room 1, which does not exist", "entry 13 of room 1 does not follow"},
		"an id that is old":  {"UPDATE recent SET id = 'id-3' WHERE place & 0xFF = 15", "entry 15 of room 1 has an id", ""},
		"an id that is twin": {"UPDATE recent SET id = 'id-16' WHERE place & 0xFF = 15", "entry 15 of room 1 has an id", ""},
		"a place taken":      {"UPDATE recent SET place = place - 1 WHERE place & 0xFF = 15", "entry 14 of room 1 has an id or a place", "entry 14 of room 1 does not follow"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := copyFiles(t, dir)
			corrupt(t, filepath.Join(damaged, databaseName), c.damage)
			_, err := CheckFile(t.Context(), filepath.Join(damaged, databaseName))
			wantError(t, err, c.check)
			if c.open != "" {
				_, err := Open(t.Context(), damaged, Options{})
				wantError(t, err, c.open, "kaban check")
			}
		})
	}
}

// A check of a large database looks up what is recent, not the other way round.
func TestTwinsAreLookedUp(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	rows, err := s.writer.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+twinsQuery)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(step, "SCAN e") {
			t.Errorf("it says %q", step)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}
