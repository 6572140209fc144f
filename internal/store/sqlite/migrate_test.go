package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// version6 returns a directory with a database of version 6 and what is in its rooms: some
// entries are merged, and some are in the table that was the journal.
func version6(t *testing.T) (dir string, rooms map[string][]store.Entry) {
	t.Helper()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 1})
	for i := range 6 {
		appendSlowly(t, s, numbered(t, "lobby", "Ann", 2*i, 2)...)
		appendSlowly(t, s, append(numbered(t, "attic", "bob", i, 1), storetest.Draft(t, "lobby", "ann", fmt.Sprint("small-", i), "written otherwise"))...)
	}
	put(t, s, "a", "1")
	bump(t, s, "attic")
	merge(t, s, 4)
	if rows := count(t, s, "unmerged"); rows < 8 || count(t, s, "entries") < 4 {
		t.Fatalf("%d rows are unmerged, of %d entries", rows, unmergedIn(s))
	}
	rooms = map[string][]store.Entry{"lobby": all(t, s, "lobby"), "attic": all(t, s, "attic")}
	dir = copyFiles(t, from)
	if err := os.RemoveAll(filepath.Join(dir, journalName)); err != nil {
		t.Fatal(err)
	}
	downgrade(t, filepath.Join(dir, databaseName), toVersion6...)
	return dir, rooms
}

// has checks that a store has the rooms of version6.
func has(t *testing.T, s *Store, rooms map[string][]store.Entry) {
	t.Helper()
	for room, want := range rooms {
		if got := all(t, s, room); !slices.Equal(got, want) {
			t.Errorf("%s has %+v, want %+v", room, got, want)
		}
	}
	if got, err := get(t, s, "a"); got != "1" || err != nil {
		t.Errorf("a = %q, %v", got, err)
	}
	if got := revision(t, s, "attic"); got != 1 {
		t.Errorf("the revision of the attic is %d", got)
	}
}

// Rows of the journal of version 6 are read and merged, and what follows goes on from them,
// at any moment of which a crash may be the end.
func TestUnmergedRowsOfVersion6(t *testing.T) {
	dir, rooms := version6(t)
	for merged := range 9 {
		at := copyFiles(t, dir)
		s := still(t, at, Options{mergeStep: 1})
		has(t, s, rooms)
		if merged > 0 {
			merge(t, s, merged)
		}
		again := append(numbered(t, "lobby", "ann", 0, 13), numbered(t, "attic", "bob", 5, 2)...)
		for i, got := range storetest.Append(t, s, again...) {
			if isNew := i == 12 || i == 14; got.Err != nil || got.Duplicate == isNew {
				t.Errorf("message %d again: %+v", i, got)
			}
		}
		appendSlowly(t, s, numbered(t, "attic", "bob", 7, 1)...)
		if merged%2 == 1 {
			merge(t, s, 1)
		}
		after := map[string][]store.Entry{"lobby": all(t, s, "lobby"), "attic": all(t, s, "attic")}
		if len(after["lobby"]) != len(rooms["lobby"])+1 || len(after["attic"]) != len(rooms["attic"])+2 {
			t.Errorf("%d and %d entries", len(after["lobby"]), len(after["attic"]))
		}
		crashed := copyFiles(t, at)
		for range 2 {
			s = open(t, crashed, Options{})
			has(t, s, after)
			closeStore(t, s)
		}
		if err := check(t.Context(), crashed); err != nil {
			t.Errorf("%d merged: %v", merged, err)
		}
	}
}

// stepsTo returns the statements of the script of a version, least of them at least.
func stepsTo(t *testing.T, version, least int) (steps []string) {
	t.Helper()
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range strings.SplitAfter(comments.ReplaceAllString(scripts[version-1], ""), ";") {
		if step = strings.TrimSpace(step); step != "" {
			steps = append(steps, step)
		}
	}
	if len(steps) < least {
		t.Fatalf("only %d statements: %q", len(steps), steps)
	}
	return steps
}

// dump returns everything in a database.
func dump(t *testing.T, path string) (all []string) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, query := range []string{
		schemaQuery, "SELECT user_version FROM pragma_user_version", "SELECT format('%d %s %d %d', id, epoch, created, sum) FROM store",
		"SELECT format('%d %s %s %d %d %d', id, key, name, head, revision, sum) FROM rooms", "SELECT format('%d %d %s %d', batch, time, entries, sum) FROM journal",
		"SELECT format('%d %d %d %s %s', place, time, sum, id, content) FROM entries", "SELECT key || hex(value) || sum FROM documents",
	} {
		found, err := lines(t.Context(), c, query)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// An update that fails or is killed at any step leaves version 6 whole.
func TestUpdateFromVersion6IsWholeOrNotAtAll(t *testing.T) {
	original, rooms := version6(t)
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	before := dump(t, filepath.Join(original, databaseName))
	unchanged := func(t *testing.T, dir string) {
		t.Helper()
		if after := dump(t, filepath.Join(dir, databaseName)); !slices.Equal(before, after) {
			t.Errorf("the database has changed:\n%q\nwant\n%q", after, before)
		}
		if _, err := os.Stat(filepath.Join(dir, journalName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a journal: %v", err)
		}
	}
	steps := stepsTo(t, journalVersion, 5)
	for n := range len(steps) + 1 {
		t.Run(fmt.Sprint("failing after ", n), func(t *testing.T) {
			dir := copyFiles(t, original)
			script := strings.Join(steps[:n], "\n") + "\nSELECT nonsense;"
			_, err := Open(t.Context(), dir, Options{migrations: append(slices.Clone(scripts[:journalVersion-1]), script)})
			wantError(t, err, "nonsense", "version 7")
			unchanged(t, dir)
			has(t, open(t, dir, Options{}), rooms)
		})
		t.Run(fmt.Sprint("killed after ", n), func(t *testing.T) {
			dir := copyFiles(t, original)
			defer begin(t, dir, steps[:n]).close()
			killed := copyFiles(t, dir)
			unchanged(t, killed)
			has(t, open(t, killed, Options{}), rooms)
		})
	}
	t.Run("killed after the commit", func(t *testing.T) {
		dir := copyFiles(t, original)
		c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", migrationPragmas)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := migrate(t.Context(), c, 6, scripts, framesIn(filepath.Join(dir, journalName)), nil); err != nil {
			t.Fatal(err)
		}
		has(t, open(t, copyFiles(t, dir), Options{}), rooms)
	})
	t.Run("killed before the journal is noted", func(t *testing.T) {
		dir := copyFiles(t, original)
		c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", migrationPragmas)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(migrate(t.Context(), c, 6, scripts, framesIn(filepath.Join(dir, journalName)), nil), c.close()); err != nil {
			t.Fatal(err)
		}
		beginSegment(t, dir)
		s := open(t, dir, Options{})
		has(t, s, rooms)
		closeStore(t, s)
		if err := check(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	t.Run("damaged", func(t *testing.T) { // the server would not start with what it made
		dir := copyFiles(t, original)
		corrupt(t, filepath.Join(dir, databaseName), "UPDATE journal SET time = time + 1 WHERE batch = (SELECT max(batch) FROM journal)")
		damaged := dump(t, filepath.Join(dir, databaseName))
		_, err := Open(t.Context(), dir, Options{})
		wantError(t, err, "of unmerged", "checksum")
		if after := dump(t, filepath.Join(dir, databaseName)); !slices.Equal(damaged, after) {
			t.Errorf("the database has changed:\n%q\nwant\n%q", after, damaged)
		}
	})
}

// The journal of version 7 is read and merged by the next version.
func TestJournalOfVersion7(t *testing.T) {
	s := still(t, t.TempDir(), Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 20)...)
	merge(t, s, 8)
	storetest.Append(t, s, numbered(t, "lobby", "ann", 20, 5)...)
	want, dir := all(t, s, "lobby"), copyFiles(t, filepath.Dir(s.path))
	downgrade(t, filepath.Join(dir, databaseName), toVersion7...)
	s = still(t, dir, Options{})
	for i := range 2 {
		if got := all(t, s, "lobby"); !slices.Equal(got, want) || unmergedIn(s) == 0 {
			t.Errorf("%d are unmerged of %+v, want %+v", unmergedIn(s), got, want)
		}
		reaction := storetest.Draft(t, "lobby", "ben", fmt.Sprint("r-", len(want)), "x")
		reaction.Kind, reaction.Target, reaction.Body = kaban.KindReact, 3, kaban.Switch(i == 0, "👍")
		if got := storetest.Append(t, s, reaction)[0]; got.Err != nil || got.Seq != uint64(len(want)+1) {
			t.Errorf("a reaction to an old message: %+v", got)
		}
		want = all(t, s, "lobby")
		s = still(t, copyFiles(t, filepath.Dir(s.path)), Options{})
	}
}

// version14 returns a directory with a database of the version before files, and what is in its
// room: messages in their place, in unmerged and in the journal, some of them changed.
func version14(t *testing.T) (dir string, rooms map[string][]store.Entry) {
	t.Helper()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 1})
	for i := range 4 {
		appendSlowly(t, s, numbered(t, "lobby", "Ann", 3*i, 3)...)
		appendSlowly(t, s, numbered(t, "attic", "bob", i, 1)...)
		storetest.Append(t, s, change(t, kaban.KindEdit, "lobby", "ann", fmt.Sprint("e-", i), uint64(4*i+1), "edited"), numbered(t, "attic", "bob", 100+i, 1)[0])
	}
	storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", "d-1", 2, ""), change(t, kaban.KindReact, "lobby", "ann", "r-1", 3, "+👍"))
	put(t, s, "a", "1")
	bump(t, s, "attic")
	merge(t, s, 6)
	if count(t, s, "unmerged") == 0 || count(t, s, "entries") < 4 || unmergedIn(s) < 8 {
		t.Fatalf("%d entries are unmerged", unmergedIn(s))
	}
	rooms = map[string][]store.Entry{"lobby": all(t, s, "lobby"), "attic": all(t, s, "attic")}
	dir = copyFiles(t, from)
	toVersion16(t, filepath.Join(dir, databaseName))
	corrupt(t, filepath.Join(dir, databaseName), "DROP TABLE runs", "ALTER TABLE entries DROP COLUMN files", "PRAGMA user_version = 14")
	return dir, rooms
}

// hasFiles checks that a store has the rooms of version14, takes messages with files, and keeps
// them.
func hasFiles(t *testing.T, dir string, rooms map[string][]store.Entry) {
	t.Helper()
	s := open(t, dir, Options{mergeStep: 1, maxUnmerged: 10})
	for room, want := range rooms {
		if got := all(t, s, room); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %+v, want %+v", room, got, want)
		}
	}
	d := storetest.Draft(t, "lobby", "ann", "files", "look")
	d.Files = storetest.Files(t, "a.png")
	got := storetest.Append(t, s, d, change(t, kaban.KindEdit, "lobby", "ann", "e-9", uint64(len(rooms["lobby"])+1), "look here"))
	if got[0].Err != nil || got[1].Err != nil {
		t.Fatalf("a message with files: %+v", got)
	}
	for range 2 {
		entries := all(t, s, "lobby")
		if e := entries[len(rooms["lobby"])]; e.Files != d.Files.String() || e.Content != "look here" {
			t.Errorf("a message with files is %+v", e)
		}
		closeStore(t, s)
		if err := check(t.Context(), dir); err != nil {
			t.Error(err)
		}
		s = open(t, dir, Options{})
	}
	closeStore(t, s)
}

// stopAtEach has an update from a version fail, and be killed, after each of its steps. The directory must be as
// it was then, and the next start must update it.
func stopAtEach(t *testing.T, original string, version int, steps []string, isOld, isNew func(t *testing.T, dir string)) {
	t.Helper()
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(steps) + 1 {
		t.Run(fmt.Sprint("failing after ", n), func(t *testing.T) {
			dir := copyFiles(t, original)
			script := strings.Join(steps[:n], "\n") + "\nSELECT nonsense;"
			_, err := Open(t.Context(), dir, Options{migrations: append(slices.Clone(scripts[:version]), script)})
			wantError(t, err, "nonsense", fmt.Sprint("version ", version+1))
			isOld(t, copyFiles(t, dir))
			isNew(t, dir)
		})
		t.Run(fmt.Sprint("killed after ", n), func(t *testing.T) {
			dir := copyFiles(t, original)
			defer begin(t, dir, steps[:n]).close()
			isOld(t, copyFiles(t, dir))
			isNew(t, copyFiles(t, dir))
		})
	}
}

// An update that fails or is killed at any step leaves version 14 whole, and one that is done
// has everything.
func TestUpdateFromVersion14IsWholeOrNotAtAll(t *testing.T) {
	original, rooms := version14(t)
	hasFiles(t, copyFiles(t, original), rooms)
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	steps := stepsTo(t, 15, 1)
	isOld := func(t *testing.T, dir string) {
		t.Helper()
		c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		columns, err := c.number(t.Context(), "SELECT count(*) FROM pragma_table_info('entries') WHERE name = 'files'")
		version, failed := c.number(t.Context(), "PRAGMA user_version")
		if err != nil || failed != nil || columns != 0 || version != 14 {
			t.Errorf("it has version %d and %d columns for files, %v, %v", version, columns, err, failed)
		}
	}
	stopAtEach(t, original, 14, steps, isOld, func(t *testing.T, dir string) { hasFiles(t, dir, rooms) })
	t.Run("killed after the commit", func(t *testing.T) {
		dir := copyFiles(t, original)
		c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", migrationPragmas)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := migrate(t.Context(), c, 14, scripts, framesIn(filepath.Join(dir, journalName)), nil); err != nil {
			t.Fatal(err)
		}
		hasFiles(t, copyFiles(t, dir), rooms)
	})
	t.Run("damaged", func(t *testing.T) { // the server would not start with what it made
		dir := copyFiles(t, original)
		corrupt(t, filepath.Join(dir, databaseName), "UPDATE unmerged SET time = time + 1 WHERE batch = (SELECT max(batch) FROM unmerged)")
		_, err := Open(t.Context(), dir, Options{})
		wantError(t, err, "of unmerged", "checksum")
		isOld(t, dir)
	})
}

// begin does some steps of an update in a transaction that is not committed, and has its pages written
// meanwhile. The caller closes the connection.
func begin(t *testing.T, dir string, steps []string) *conn {
	t.Helper()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", append([]pragma{{"cache_spill", "1"}, {"cache_size", "1"}}, common...))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range append([]string{"BEGIN IMMEDIATE"}, steps...) {
		if err := c.exec(t.Context(), step); err != nil {
			c.close()
			t.Fatal(err)
		}
	}
	return c
}
