package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// still opens a store without a merger: it merges only when the test does, or an append
// must.
func still(t testing.TB, dir string, options Options) *Store {
	t.Helper()
	s := open(t, dir, options)
	s.stopMerger()
	s.stopEraser()
	return s
}

// merge merges some entries, at least so many in one transaction.
func merge(t testing.TB, s *Store, entries int) {
	t.Helper()
	if err := s.mergeSome(entries); err != nil {
		t.Fatal(err)
	}
}

// mergeNow merges everything.
func mergeNow(t testing.TB, s *Store) {
	t.Helper()
	for s.shown.entries.Load() > 0 {
		merge(t, s, 1<<20)
	}
}

// appendSlowly appends drafts in a transaction of the database.
func appendSlowly(t testing.TB, s *Store, drafts ...kaban.Draft) []store.Result {
	t.Helper()
	results := make([]store.Result, len(drafts))
	if err := s.appendSlowly(t.Context(), storetest.Writes(drafts...), results); err != nil {
		t.Fatal(err)
	}
	return results
}

// count returns the number of rows in a table or view.
func count(t testing.TB, s *Store, table string) int {
	t.Helper()
	s.writing.Lock()
	defer s.writing.Unlock()
	n, err := s.writer.number(t.Context(), "SELECT count(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unmergedIn returns the number of unmerged entries.
func unmergedIn(s *Store) int {
	s.appending.Lock()
	defer s.appending.Unlock()
	return len(s.unmerged.keys)
}

// framesOf returns the batches of the journal that are not merged.
func framesOf(t testing.TB, s *Store) (batches []uint64) {
	t.Helper()
	s.writing.Lock()
	defer s.writing.Unlock()
	found, err := journal.Read(s.journalDir, s.progress.Mark)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		batches = append(batches, f.Batch)
	}
	return batches
}

// The suite again with merges in nearly every append.
func TestConformanceWithSmallMerges(t *testing.T) {
	t.Parallel()
	d := driver(Options{maxUnmerged: 3, mergeStep: 1})
	d.OpenLarge = driver(Options{maxUnmerged: 3, mergeStep: 1000}).Open
	storetest.Run(t, d)
}

func TestEntriesAreMerged(t *testing.T) {
	s := still(t, t.TempDir(), Options{mergeStep: 4})
	expect := func(what string, merged, unmerged, rows, batch int, frames ...uint64) {
		t.Helper()
		if e, u, r := count(t, s, "entries"), unmergedIn(s), count(t, s, "unmerged"); e != merged || u != unmerged || r != rows {
			t.Errorf("%s: %d merged, %d unmerged, %d rows; want %d, %d, %d", what, e, u, r, merged, unmerged, rows)
		}
		stored, err := scanProgress(s.writer.QueryRowContext(t.Context(), progressQuery), &s.sum)
		if err != nil || stored.Merged != uint64(batch) {
			t.Errorf("%s: all batches up to %d are merged (%v), want %d", what, stored.Merged, err, batch)
		}
		if got := framesOf(t, s); !slices.Equal(got, frames) {
			t.Errorf("%s: the journal has the batches %d, want %d", what, got, frames)
		}
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 6)...)   // batch 1, with a new room
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 2)...) // batch 2, too
	storetest.Append(t, s, append(numbered(t, "kitchen", "bob", 2, 1), numbered(t, "lobby", "ann", 6, 2)...)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 8, 1)...) // batch 4, with a new room
	expect("nothing is merged", 0, 12, 3, 0, 3)
	merge(t, s, 4)
	expect("the oldest of the lobby is merged", 4, 8, 3, 0, 3)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 9, 4)...)
	merge(t, s, 1)
	expect("then the rest of it, a step, with the only batch where nothing else is left", 8, 8, 2, 1, 3, 5)
	merge(t, s, 4)
	expect("then the rooms that have waited longest", 12, 4, 0, 4, 5)
	storetest.Append(t, s, append(numbered(t, "lobby", "ann", 13, 7), numbered(t, "attic", "ann", 20, 1)...)...)
	merge(t, s, 9)
	expect("more than a step where more is asked for", 21, 3, 0, 5, 6)
	mergeNow(t, s)
	expect("everything", 24, 0, 0, 6)
	merge(t, s, 1)
	expect("there is nothing to merge", 24, 0, 0, 6)

	// The view for people has what is merged.
	if n := count(t, s, "log"); n != 24 {
		t.Errorf("the view log has %d rows", n)
	}
}

// The merger merges as much as is too much, large entries earlier.
func TestTheMergerKeepsUp(t *testing.T) {
	s := still(t, t.TempDir(), Options{maxUnmerged: 11, mergeStep: 4})
	for i := range 30 {
		storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)
	}
	if err := s.mergeExcess(); err != nil {
		t.Fatal(err)
	}
	if n := unmergedIn(s); n > 11 || n <= 11-4 || count(t, s, "entries") != 30-n {
		t.Errorf("%d entries are unmerged and %d merged, want 11 or a step less of 30", n, count(t, s, "entries"))
	}

	s = still(t, t.TempDir(), Options{mergeStep: 1})
	const size = 4000
	for i := range unmergedBytes/size + 10 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint("long-", i), strings.Repeat("x", size)))
	}
	if err := s.mergeExcess(); err != nil {
		t.Fatal(err)
	}
	if n := unmergedIn(s); n != unmergedBytes/size || s.unmerged.bytes != n*size {
		t.Errorf("%d unmerged entries of %d bytes are %d bytes, want as many as fit %d", n, size, s.unmerged.bytes, unmergedBytes)
	}

	// The merger is woken by appends.
	s = open(t, t.TempDir(), Options{maxUnmerged: 3, mergeStep: 2})
	for i := range 50 {
		storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)
	}
	eventually(t, "at most 3 entries are unmerged", func() bool { return unmergedIn(s) <= 3 })
}

// Twice as many reactions wait, and twice as many of them are merged in a transaction.
func TestReactionsWaitLonger(t *testing.T) {
	s := still(t, t.TempDir(), Options{maxUnmerged: 10, mergeStep: 4})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	for i := range 18 {
		storetest.Append(t, s, change(t, kaban.KindReact, "lobby", fmt.Sprint("person-", i), fmt.Sprint("r", i), 1, "+👍"))
	}
	if s.excess(1) {
		t.Error("a message and 18 reactions are too many to wait")
	}
	storetest.Append(t, s, change(t, kaban.KindReact, "lobby", "ann", "last", 1, "+👍"))
	if !s.excess(1) {
		t.Error("a message and 19 reactions are not too many")
	}
	merge(t, s, 4)
	if n := count(t, s, "entries"); n != 7 {
		t.Errorf("%d entries are merged, want a message and six reactions", n)
	}
	mergeNow(t, s)
	people := 0
	for _, r := range historyOf(t, s)[0].State.Reactions {
		people += len(r.People)
	}
	if n := count(t, s, "reactions"); n != 1 || people != 19 || s.unmerged.weight != 0 {
		t.Errorf("%d people are in %d rows of the table, and what waits weighs %d", people, n, s.unmerged.weight)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 60_000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("it never happens that %s", what)
}

// Without a merger that keeps up, appends merge: there is a hard bound.
func TestUnmergedEntriesAreBounded(t *testing.T) {
	s := still(t, t.TempDir(), Options{maxUnmerged: 10, mergeStep: 3})
	most := 0
	for i := range 100 {
		if i%3 == 0 {
			appendSlowly(t, s, numbered(t, "lobby", "ann", i, 1)...)
		} else {
			storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)
		}
		most = max(most, unmergedIn(s))
	}
	if want := mostUnmerged * 10; most != want+1 && most != want+2 { // the last one was not slow, so it looked
		t.Errorf("up to %d entries were unmerged, want %d and what an append adds", most, want)
	}
	if got := all(t, s, "lobby"); len(got) != 100 {
		t.Errorf("%d entries are there", len(got))
	}

	s = still(t, t.TempDir(), Options{})
	const size = 4000
	mostBytes := 0
	for i := range 5 * unmergedBytes / (20 * size) {
		drafts := numbered(t, "lobby", "ann", 20*i, 20)
		for j := range drafts {
			drafts[j].Body = strings.Repeat("x", size)
		}
		storetest.Append(t, s, drafts...)
		mostBytes = max(mostBytes, s.unmerged.bytes)
	}
	if want := mostUnmerged * unmergedBytes; mostBytes <= want || mostBytes > want+20*size {
		t.Errorf("up to %d bytes were unmerged, want %d and what an append adds", mostBytes, want)
	}
}

// After a crash all entries are there, merged or not.
func TestUnmergedEntriesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 3})
	storetest.Append(t, s, numbered(t, "lobby", "Ann", 0, 12)...)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "small", "written \"otherwise\" \\n\n\t<&> \u2028 \U0001f408 \ufffd"))
	storetest.Append(t, s, numbered(t, "kitchen", "bob", 0, 3)...)
	merge(t, s, 6)
	if n, rows, frames := unmergedIn(s), count(t, s, "unmerged"), framesOf(t, s); n != 10 || rows != 2 || !slices.Equal(frames, []uint64{2}) {
		t.Fatalf("%d unmerged in %d rows and the batches %d of the journal, want 10, 2 and 2", n, rows, frames)
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
	s := still(t, t.TempDir(), Options{mergeStep: 1})
	for i := range 15 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", fmt.Sprint(i), strings.Repeat("x", 1+i%4)))
	}
	entries := all(t, s, "lobby")
	merge(t, s, 10)
	if n := unmergedIn(s); n != 5 || len(entries) != 15 {
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
	s := still(t, dir, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 12, 3)...)
	storetest.Append(t, s, numbered(t, "attic", "ann", 15, 2)...)
	merge(t, s, 7)
	if rows, frames := count(t, s, "unmerged"), framesOf(t, s); count(t, s, "entries") != 7 || rows != 2 || len(frames) != 1 {
		t.Fatalf("%d rows and the batches %d of the journal are unmerged", rows, frames)
	}
	for name, dir := range map[string]string{"a running store": dir, "a crash copy": copyFiles(t, dir)} {
		t.Run(name, func(t *testing.T) { archiveOfUnmergedEntries(t, dir) })
	}
}

// archiveOfUnmergedEntries tests the archive of a directory with the rooms lobby, of 15
// entries, and attic, of two.
func archiveOfUnmergedEntries(t *testing.T, dir string) {
	rooms, err := archive(t, dir).Rooms(t.Context())
	if err != nil || len(rooms) != 2 || rooms[0].Head != 2 || rooms[1].Head != 15 {
		t.Errorf("the rooms are %+v, %v", rooms, err)
	}
	if err := archive(t, dir).Lost(t.Context()); err != nil {
		t.Errorf("lost: %v", err)
	}
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

// Unmerged entries of a row of the table unmerged, or a frame of the journal, that do not
// fit what is there.
func TestDamagedUnmergedEntries(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 12)...)
	merge(t, s, 12)
	merged := copyFiles(t, dir)
	appendSlowly(t, s, numbered(t, "lobby", "ann", 12, 6)...)
	const lobby, ann = 1, 1
	without := func(seq int) string {
		return fmt.Sprintf("UPDATE unmerged SET entries = (SELECT json_group_array(json(value)) FROM json_each(entries) WHERE value ->> 'place' & 0xFF <> %d)", seq)
	}
	with := func(seq int, field, value string) string {
		return fmt.Sprintf("UPDATE unmerged SET entries = (SELECT json_group_array(json(iif(value ->> 'place' & 0xFF = %d, json_set(value, '$.%s', %s), value))) FROM json_each(entries))", seq, field, value)
	}
	type change = func(e *unmergedEntry, room *int64) (kept bool)
	drop := func(seq uint64) change { return func(e *unmergedEntry, _ *int64) bool { return e.Seq != seq } }
	edit := func(seq uint64, f func(e *unmergedEntry)) change {
		return func(e *unmergedEntry, _ *int64) bool {
			if e.Seq == seq {
				f(e)
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		row         string
		frame       change
		check, open string
	}{
		"a gap":              {without(15), drop(15), "missing: entry 15", "message 16 of lobby: it does not follow"},
		"a lost start":       {without(13), drop(13), "missing: entry 13", "message 14 of lobby: it does not follow"},
		"a lost room":        {"DELETE FROM rooms", func(_ *unmergedEntry, room *int64) bool { *room = 7; return true }, ", which does not exist", ", which does not exist"},
		"a lost author":      {with(15, "user", "7"), edit(15, func(e *unmergedEntry) { e.user = 7 }), "message 15 of lobby is of user 7: it is missing", "message 15 of lobby is of user 7: it is missing"},
		"an id that is old":  {with(15, "id", "'id-3'"), edit(15, func(e *unmergedEntry) { e.ID = "id-3" }), "entry 15 of room 1 has the id", ""},
		"an id that is twin": {with(15, "id", "'id-16'"), edit(15, func(e *unmergedEntry) { e.ID = "id-16" }), "message 17 of lobby: it does not follow", "message 17 of lobby: it does not follow"},
		"a place taken":      {with(15, "place", "(1 << 40) + 14"), edit(15, func(e *unmergedEntry) { e.Seq = 14 }), "message 14 of lobby: it does not follow", "message 14 of lobby: it does not follow"},
		"a place of an old":  {with(18, "place", "(1 << 40) + 17"), edit(18, func(e *unmergedEntry) { e.Seq = 17 }), "message 17 of lobby: it does not follow", "message 17 of lobby: it does not follow"},
		"unreadable":         {"UPDATE unmerged SET entries = substr(entries, 1, 100)", nil, "batch 2 of ", "batch 2 of "},
	} {
		test := func(name, damaged string, sums bool) {
			t.Run(name, func(t *testing.T) {
				_, err := checkBackup(t.Context(), filepath.Join(damaged, databaseName))
				if sums {
					if err == nil {
						t.Error("the checksums find nothing")
					}
					sumAgain(t, filepath.Join(damaged, databaseName)) // so that other checks have to find it
					_, err = checkBackup(t.Context(), filepath.Join(damaged, databaseName))
				}
				wantError(t, err, c.check)
				if c.open != "" {
					_, err := Open(t.Context(), damaged, Options{})
					wantError(t, err, c.open)
				}
			})
		}
		row := copyFiles(t, dir)
		corrupt(t, filepath.Join(row, databaseName), c.row)
		test(name+" in a row", row, true)

		frame := copyFiles(t, merged)
		payload := appendFrameHead(nil, 1)
		for seq := uint64(13); seq <= 18; seq++ {
			room := int64(lobby)
			e := unmergedEntry{Entry: store.Entry{Seq: seq, Kind: 1, ID: fmt.Sprint("id-", seq-1), Content: "x"}, user: ann}
			if c.frame == nil || c.frame(&e, &room) {
				payload = appendFrameEntry(payload, room, &e)
			}
		}
		if c.frame == nil {
			payload = payload[:len(payload)-2]
		}
		appendFrame(t, frame, 2, payload)
		test(name+" in a frame", frame, false)
	}

	// The frame that nobody has changed is accepted.
	sound := copyFiles(t, merged)
	e := unmergedEntry{Entry: store.Entry{Seq: 13, Kind: 1, ID: "id-12", Content: "message 12"}, user: ann}
	appendFrame(t, sound, 2, appendFrameEntry(appendFrameHead(nil, 1), lobby, &e))
	if got := all(t, open(t, sound, Options{}), "lobby"); len(got) != 13 || got[12].Content != "message 12" {
		t.Errorf("%d entries are there", len(got))
	}
}

// appendFrame appends a frame to the journal of a crash copy.
func appendFrame(t *testing.T, dir string, batch uint64, payload []byte) {
	t.Helper()
	j := openJournal(t, dir)
	if err := errors.Join(j.Append(batch, payload), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// progressIn returns the progress of a crash copy.
func progressIn(t *testing.T, dir string) progressRow {
	t.Helper()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := scanProgress(c.QueryRowContext(t.Context(), progressQuery), new(summer))
	if err := errors.Join(err, c.close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// sumAgain makes all checksums valid.
func sumAgain(t *testing.T, path string) {
	t.Helper()
	resum(t, path, append(slices.Clone(summedTables), roomsWithCounts("messages"))...)
}

// resum makes the checksums of some tables valid.
func resum(t *testing.T, path string, tables ...summed) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.transact(t.Context(), func() error { return sumAll(t.Context(), c, tables, nil) })
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

// The number of a merged batch is not used again while an older batch is unmerged.
func TestTheNewestBatchIsMergedAlready(t *testing.T) {
	for name, appendTo := range map[string]func(testing.TB, *Store, ...kaban.Draft) []store.Result{
		"a row": appendSlowly,
		"a frame": func(t testing.TB, s *Store, drafts ...kaban.Draft) []store.Result {
			return storetest.Append(t, s, drafts...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := still(t, dir, Options{mergeStep: 2})
			storetest.Append(t, s, numbered(t, "lobby", "ann", 1, 1)...)
			storetest.Append(t, s, numbered(t, "attic", "ann", 2, 1)...)
			appendTo(t, s, numbered(t, "lobby", "ann", 3, 1)...)
			merge(t, s, 2)
			if n, merged := unmergedIn(s), s.progress.Merged; n != 1 || merged != 1 || s.unmerged.batch != 3 {
				t.Fatalf("%d entries are unmerged, all batches up to %d are merged, and the newest is %d; want 1, 1, 3", n, merged, s.unmerged.batch)
			}
			again := still(t, copyFiles(t, dir), Options{})
			if again.unmerged.batch != 3 {
				t.Errorf("the newest batch is %d", again.unmerged.batch)
			}
			if got := appendTo(t, again, numbered(t, "attic", "ann", 4, 1)...); got[0].Seq != 2 {
				t.Errorf("got %+v", got[0])
			}
			if got := again.unmerged.rooms; len(got) != 1 || again.rooms["attic"].tail[1].batch != 4 {
				t.Errorf("the new entry is of batch %d, want 4", again.rooms["attic"].tail[1].batch)
			}
		})
	}
}

// A flipped bit in the newest id of the index, which has no checksum, breaks nothing, and no
// other message is stored twice: that id counts only if the row says the same.
func TestAFlippedBitInTheNewestIDOfTheIndex(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	for i := range 6 {
		storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)
	}
	closeStore(t, s)
	content, err := os.ReadFile(filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	// In the index the types of four columns come first, which say that room and user are 1
	// (https://www.sqlite.org/fileformat2.html, 2.1).
	const id = "id-5"
	types := string([]byte{9, 9, 13 + 2*byte(len(id)), 5})
	if n := bytes.Count(content, []byte(types+id)); n != 1 {
		t.Fatalf("the index has %s %d times", id, n)
	}
	for _, damaged := range []string{"ad-5", "yd-5", "id-4", "id-1", "id-7"} {
		t.Run(damaged, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, databaseName), bytes.ReplaceAll(content, []byte(types+id), []byte(types+damaged)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := still(t, dir, Options{})
			for i := range 5 {
				got := storetest.Append(t, s, numbered(t, "lobby", "ann", i, 1)...)[0]
				if !errors.Is(got.Err, store.ErrDamaged) && (!got.Duplicate || got.Seq != uint64(i+1)) {
					t.Errorf("message %d again: %+v, want a duplicate or ErrDamaged", i+1, got)
				}
			}
			if got := storetest.Append(t, s, numbered(t, "lobby", "ann", 6, 1)...)[0]; got.Duplicate || got.Seq != 7 {
				t.Errorf("a new message: %+v, want number 7", got)
			}
			if err := s.mergeRest(); err != nil {
				t.Errorf("merge: %v", err)
			}
			if got := all(t, s, "lobby"); len(got) != 7 {
				t.Errorf("%d messages are there, want 7", len(got))
			}
		})
	}
}

// An id that the index has, although it was taken for new, is damage: the merge says what to
// do, and what is there stays readable.
func TestAMergeOfAnIDThatIsThere(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 3)...)
	mergeNow(t, s)
	s.finder.newest[authorIn{room: 1, user: 1}] = "id-1" // as if the index had said so
	storetest.Append(t, s, numbered(t, "lobby", "ann", 2, 1)...)
	for range 2 {
		err := s.mergeExcess()
		if err == nil {
			err = s.mergeRest()
		}
		if !errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrBroken) {
			t.Fatalf("merge: %v, want ErrDamaged", err)
		}
		wantError(t, err, "the index of ids", "kaban check", "kaban restore")
	}
	storetest.Append(t, s, numbered(t, "lobby", "ann", 3, 1)...)
	if got := all(t, s, "lobby"); len(got) != 5 {
		t.Errorf("%d messages are there, want 5", len(got))
	}
	if err := s.Close(); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Close: %v, want ErrDamaged", err)
	}
	if got := all(t, still(t, dir, Options{}), "lobby"); len(got) != 5 {
		t.Errorf("after a start %d messages are there, want 5", len(got))
	}
}

// Slow batches wake the merger, too.
func TestSlowBatchesWakeTheMerger(t *testing.T) {
	s := open(t, t.TempDir(), Options{maxUnmerged: 4, mergeStep: 1})
	for i := range 7 { // fewer than would make an append merge
		appendSlowly(t, s, numbered(t, "lobby", "ann", i, 1)...)
	}
	eventually(t, "at most 4 entries are unmerged", func() bool { return unmergedIn(s) <= 4 })
}
