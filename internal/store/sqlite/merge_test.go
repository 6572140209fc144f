package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// mergeNow merges everything.
func mergeNow(t testing.TB, s *Store) {
	t.Helper()
	b := s.newBatch(t.Context())
	if _, err := b.stmts.begin.ExecContext(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.mergeAll(); err != nil {
		t.Fatal(err)
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	b.publish()
}

// count returns the number of rows in a table or view. The view recent has the unmerged
// entries.
func count(t testing.TB, s *Store, table string) int {
	t.Helper()
	n, err := s.writer.number(t.Context(), "SELECT count(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The suite again with merges in nearly every append.
func TestConformanceWithSmallMerges(t *testing.T) {
	t.Parallel()
	storetest.Run(t, driver(Options{maxUnmerged: 3, mergeStep: 1}))
}

func TestEntriesAreMerged(t *testing.T) {
	s := open(t, t.TempDir(), Options{maxUnmerged: 11, mergeStep: 4})
	expect := func(what string, merged, unmerged, batches int) {
		t.Helper()
		if e, r, b := count(t, s, "entries"), count(t, s, "recent"), count(t, s, "journal"); e != merged || r != unmerged || b != batches {
			t.Errorf("%s: %d merged, %d unmerged in %d batches; want %d, %d, %d", what, e, r, b, merged, unmerged, batches)
		}
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 6)...)
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 2)...)
	storetest.Append(t, s, append(numbered(t, "kitchen", "bob", 2, 1), numbered(t, "lobby", "ann", 6, 2)...)...)
	expect("nothing is too much", 0, 11, 3)
	storetest.Append(t, s, numbered(t, "attic", "ann", 8, 1)...)
	expect("the oldest of the lobby is merged, a step at most", 4, 8, 4)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 9, 4)...)
	expect("then the rest of it, with the only batch where nothing else is left", 8, 8, 4)
	storetest.Append(t, s, numbered(t, "attic", "ann", 13, 7)...)
	expect("more than a step where more comes", 12, 11, 2)

	// Large entries are merged earlier.
	s.maxUnmerged, s.mergeStep = unmergedEntries, 1
	long := storetest.Draft(t, "lobby", "ann", "long", strings.Repeat("x", 4000))
	for i := range unmergedBytes/4000 + 10 {
		long.ID = storetest.Draft(t, "lobby", "ann", fmt.Sprint("long-", i), "x").ID
		storetest.Append(t, s, long)
	}
	if n := count(t, s, "recent"); n < unmergedBytes/4000-1 || n > unmergedBytes/4000 || s.unmerged.bytes > unmergedBytes {
		t.Errorf("%d unmerged entries of 4,000 bytes are %d bytes, want as many as fit %d", n, s.unmerged.bytes, unmergedBytes)
	}

	// The view for people has everything.
	if n := count(t, s, "log"); n != 23+unmergedBytes/4000+10 {
		t.Errorf("the view log has %d rows", n)
	}
}

// After a crash all entries are there, merged or not.
func TestUnmergedEntriesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 10, mergeStep: 3})
	storetest.Append(t, s, numbered(t, "lobby", "Ann", 0, 12)...)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "small", "written \"otherwise\" \\n\n\t<&> \u2028 \U0001f408 \ufffd"))
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 3)...)
	if n, batches := count(t, s, "recent"), count(t, s, "journal"); n != 10 || batches != 3 {
		t.Fatalf("%d unmerged in %d batches, want 10 in 3", n, batches)
	}
	again := open(t, copyFiles(t, dir), Options{})
	for _, room := range []string{"lobby", "kitchen"} {
		if want, got := all(t, s, room), all(t, again, room); !slices.Equal(want, got) {
			t.Errorf("%s: %v, want %v", room, got, want)
		}
	}
	results := storetest.Append(t, again, storetest.Draft(t, "lobby", "ann", "small", all(t, s, "lobby")[12].Content),
		storetest.Draft(t, "lobby", "ann", "id-3", "message 3"), storetest.Draft(t, "kitchen", "bob", "id-2", "other"),
		storetest.Draft(t, "nowhere", "bob", "id-2", "message 2"), storetest.Draft(t, "kitchen", "bob", "new", "new"))
	for i, want := range []store.Result{{Seq: 13, Duplicate: true}, {Seq: 4, Duplicate: true}, {Err: store.ErrIDConflict}, {Seq: 1}, {Seq: 4}} {
		results[i].Time = 0
		if results[i] != want {
			t.Errorf("result %d: %+v, want %+v", i, results[i], want)
		}
	}
}

// Pages of merged and unmerged entries, and of both.
func TestPagesOfUnmergedEntries(t *testing.T) {
	s := open(t, t.TempDir(), Options{maxUnmerged: 10})
	for i := range 15 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint(i), strings.Repeat("x", 1+i%4)))
	}
	entries := all(t, s, "lobby")
	if n := count(t, s, "recent"); n != 5 || len(entries) != 15 {
		t.Fatalf("%d unmerged of %d, want 5 of 15", n, len(entries))
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

// pageOf returns the page that the contract requires of entries 1 to n.
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

func TestArchivesHaveUnmergedEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 10})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 3)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 15, 2)...)
	exported := records(t, dir)
	if len(exported) != 17 || exported[0].Room.String() != "attic" || exported[16].Seq != 15 {
		t.Errorf("an export has %d records, the last %+v", len(exported), exported[len(exported)-1])
	}
	report, err := archive(t, dir).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rooms := report.Rooms; report.Err() != nil || len(rooms) != 2 || rooms[1].Entries != 15 || rooms[1].Room.Head != 15 || rooms[0].Entries != 2 {
		t.Errorf("check: %+v", report)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := archive(t, dir).Backup(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), file, "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if n, err := c.number(t.Context(), "SELECT count(*) FROM entries"); err != nil || n != 17 {
		t.Errorf("the backup has %d merged entries, %v; want 17", n, err)
	}
}

func TestDamagedUnmergedEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 10})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 6)...)
	without := func(seq int) string {
		return fmt.Sprintf("UPDATE journal SET entries = (SELECT json_group_array(json(value)) FROM json_each(entries) WHERE value ->> 'place' & 0xFF <> %d)", seq)
	}
	with := func(seq int, field, value string) string {
		return fmt.Sprintf("UPDATE journal SET entries = (SELECT json_group_array(json(iif(value ->> 'place' & 0xFF = %d, json_set(value, '$.%s', %s), value))) FROM json_each(entries))", seq, field, value)
	}
	for name, c := range map[string]struct{ damage, check, open string }{
		"a gap":              {without(15), "1 entries are missing between 1 and 18", "message 16 of lobby: it does not follow"},
		"a lost start":       {without(13), "1 entries are missing between 1 and 18", "message 14 of lobby: it does not follow"},
		"a lost room":        {"DELETE FROM rooms", "of room 1, which does not exist", "of room 1, which does not exist"},
		"a lost author":      {with(15, "user", "7"), "message 15 of lobby is of user 7: it is missing", "message 15 of lobby is of user 7: it is missing"},
		"an id that is old":  {with(15, "id", "'id-3'"), "entry 15 of room 1 has the id", ""},
		"an id that is twin": {with(15, "id", "'id-16'"), "message 17 of lobby: it does not follow", "message 17 of lobby: it does not follow"},
		"a place taken":      {with(15, "place", "(1 << 40) + 14"), "message 14 of lobby: it does not follow", "message 14 of lobby: it does not follow"},
		"a place of an old":  {with(18, "place", "(1 << 40) + 17"), "message 17 of lobby: it does not follow", "message 17 of lobby: it does not follow"},
		"no JSON":            {"UPDATE journal SET entries = substr(entries, 1, 100)", "batch 2 of the journal", "batch 2 of the journal"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := copyFiles(t, dir)
			corrupt(t, filepath.Join(damaged, databaseName), c.damage)
			_, err := checkBackup(t.Context(), filepath.Join(damaged, databaseName))
			if err == nil {
				t.Error("the checksums find nothing")
			}
			sumAgain(t, filepath.Join(damaged, databaseName)) // so that other checks have to find it
			_, err = checkBackup(t.Context(), filepath.Join(damaged, databaseName))
			wantError(t, err, c.check)
			if c.open != "" {
				_, err := Open(t.Context(), damaged, Options{})
				wantError(t, err, c.open)
			}
		})
	}
}

// sumAgain makes all checksums valid.
func sumAgain(t *testing.T, path string) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.transact(t.Context(), func() error { return sumAll(t.Context(), c, summedTables, nil) })
	if err := errors.Join(err, c.close()); err != nil {
		t.Fatal(err)
	}
}

// A check of a large database uses an index to look for twins of unmerged entries.
func TestTwinsAreLookedUp(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	rows, err := s.writer.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+twinQuery, 1, 1, 1, "x")
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
		if strings.HasPrefix(step, "SCAN entries") {
			t.Errorf("the query plan has %q", step)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}

// Entries in the table recent of version 2 of the schema are migrated.
func TestRecentEntriesOfVersion2(t *testing.T) {
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, databaseName)
	if err := create(t.Context(), path, scripts[:2]); err != nil {
		t.Fatal(err)
	}
	corrupt(t, path, `INSERT INTO rooms VALUES (1, 'lobby', 'lobby', 1), (2, 'attic', 'attic', 0);
		INSERT INTO users VALUES (1, 'ann', 'ann');
		INSERT INTO entries VALUES ((1 << 40) + 1, 5, 1, 1, NULL, 'a', 'first');
		INSERT INTO recent VALUES (1, (2 << 40) + 1, 6, 1, 1, NULL, 'b', 'other'), (2, (1 << 40) + 2, 7, 1, 1, 'Ann', 'c', 'second')`)
	s := open(t, dir, Options{})
	want := []store.Entry{
		{Seq: 1, Time: 5, Kind: 1, ID: "a", Author: "visitor:ann", Username: "ann", Content: "first"}, {Seq: 2, Time: 7, Kind: 1, ID: "c", Author: "visitor:ann", Username: "Ann", Content: "second"},
	}
	if got := all(t, s, "lobby"); !slices.Equal(got, want) {
		t.Errorf("lobby has %+v", got)
	}
	results := storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "c", "second"), storetest.Draft(t, "attic", "ann", "d", "new"))
	if results[0].Seq != 2 || !results[0].Duplicate || results[1].Seq != 2 || results[1].Duplicate {
		t.Errorf("got %+v", results)
	}
	closeStore(t, s)
	if _, err := checkBackup(t.Context(), path); err != nil {
		t.Error(err)
	}
}

// Ids are looked up in the index, whatever SQLite's statistics of the tables are.
func TestIDsAreLookedUp(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	rows, err := s.writer.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+findQuery(lookedUp), make([]any, 3*lookedUp)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		found = found || strings.HasPrefix(step, "SEARCH e USING INDEX ids (<expr>=? AND user=? AND id=?)")
	}
	if err := rows.Err(); err != nil || !found {
		t.Errorf("no index of entries is used (%v)", err)
	}
}

// The number of a merged row of the journal is not used again while an older row is
// unmerged.
func TestTheNewestBatchIsMergedAlready(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{maxUnmerged: 3, mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 2, 1)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 1)...)
	s.mergeStep = 2
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 1)...) // a duplicate, so it adds nothing
	if unmerged, batches := count(t, s, "recent"), count(t, s, "journal"); unmerged != 1 || batches != 2 {
		t.Fatalf("%d unmerged in %d batches, want 1 in 2", unmerged, batches)
	}
	again := open(t, copyFiles(t, dir), Options{})
	if got := storetest.Append(t, again, numbered(t, "attic", "ann", 4, 1)...); got[0].Seq != 2 {
		t.Errorf("got %+v", got[0])
	}
}
