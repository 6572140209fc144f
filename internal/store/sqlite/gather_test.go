package sqlite

import (
	"cmp"
	"database/sql"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// toVersion16 turns a database into one of version 16, where each of the people with a reaction has a
// row.
func toVersion16(t *testing.T, path string) {
	t.Helper()
	c, err := connect(t.Context(), path, "rw", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := c.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("ALTER TABLE reactions RENAME TO gathered")
	run(`CREATE TABLE reactions (place INTEGER NOT NULL, emoji TEXT NOT NULL, user INTEGER NOT NULL REFERENCES users (id), username TEXT,
		seq INTEGER NOT NULL, time INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (place, emoji, user)) STRICT, WITHOUT ROWID`)
	authors, err := c.newAuthors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.QueryContext(t.Context(), "SELECT place, emoji, first, people, sum FROM gathered")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		r, err := scanReaction(rows, &authors.sum)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.people {
			p := &r.people[i]
			by, err := authors.author(t.Context(), p.user)
			if err != nil || by.err != nil {
				t.Fatal(err, by.err)
			}
			own := sql.NullString{String: p.Username, Valid: p.Username != ""}
			run("INSERT INTO reactions VALUES (?, ?, ?, ?, ?, ?, ?)", r.place, r.emoji, p.user, own, p.Seq, p.Time,
				authors.sum.singleReaction(r.place, r.emoji, p, cmp.Or(p.Username, by.name)))
		}
	}
	if err := closeRows(rows); err != nil {
		t.Fatal(err)
	}
	run("DROP TABLE gathered")
	run("PRAGMA user_version = 16")
}

// version16 returns a directory with a database of version 16, and what the history of its lobby has: messages
// with reactions of several people, one of them under a name of their own and some taken back. Not all are merged.
func version16(t *testing.T) (dir string, want []store.Entry) {
	t.Helper()
	from := t.TempDir()
	s := still(t, from, Options{mergeStep: 1})
	storetest.Append(t, s, numbered(t, "lobby", "Ann", 0, 4)...)
	react := func(username, id string, target uint64, on bool, emoji string) kaban.Draft {
		return change(t, kaban.KindReact, "lobby", username, id, target, kaban.Switch(on, emoji))
	}
	storetest.Append(t, s,
		react("bob", "1", 2, true, "👍"), react("Ann", "1", 2, true, "🎉"), react("Ann", "2", 2, true, "👍"), react("cy", "1", 3, true, "👍"),
		react("bob", "2", 2, false, "👍"), react("cy", "2", 2, true, "🎉"), react("Bob", "3", 2, true, "👍"))
	mergeNow(t, s)
	storetest.Append(t, s, react("ann", "3", 3, true, "👍"), react("cy", "3", 2, false, "🎉"))
	want = historyOf(t, s)
	dir = copyFiles(t, from)
	toVersion16(t, filepath.Join(dir, databaseName))
	if n := len(want[1].State.Reactions); n != 2 {
		t.Fatalf("the message has %d reactions", n)
	}
	return dir, want
}

// historyOf returns the messages of the lobby with their reactions.
func historyOf(t *testing.T, s *Store) []store.Entry {
	t.Helper()
	h, err := s.History(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return h.Entries
}

// An update that fails or is killed at any step leaves version 16 whole, and one that is done has every
// reaction.
func TestUpdateFromVersion16IsWholeOrNotAtAll(t *testing.T) {
	original, want := version16(t)
	isOld := func(t *testing.T, dir string) {
		t.Helper()
		c, err := connect(t.Context(), filepath.Join(dir, databaseName), "rw", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		rows, err := c.number(t.Context(), "SELECT count(username) + 100 * count(user) FROM reactions")
		version, failed := c.number(t.Context(), "PRAGMA user_version")
		if err != nil || failed != nil || rows != 501 || version != 16 {
			t.Errorf("it has version %d and %d rows, %v, %v", version, rows, err, failed)
		}
	}
	isNew := func(t *testing.T, dir string) {
		t.Helper()
		for range 2 {
			s := open(t, dir, Options{})
			if got := historyOf(t, s); !reflect.DeepEqual(got, want) {
				t.Errorf("the lobby has %+v, want %+v", got, want)
			}
			closeStore(t, s)
			if err := check(t.Context(), dir); err != nil {
				t.Error(err)
			}
		}
	}
	isNew(t, copyFiles(t, original))
	steps := append(stepsTo(t, 17, 2), "INSERT INTO reactions VALUES (7, '👍', 8, x'00', 0);", "DROP TABLE single_reactions;", "PRAGMA user_version = 17;")
	stopAtEach(t, original, 16, steps, isOld, isNew)
}

// Damage of one reaction, or of its author, is found after an update, too, and costs no other message anything.
func TestUpdateKeepsDamageOfReactions(t *testing.T) {
	original, want := version16(t)
	for name, damage := range map[string]string{
		"a time": "UPDATE reactions SET time = time + 1 WHERE place & 0xFFFFFFFFFF = 3",
		"a type": `ALTER TABLE reactions RENAME TO strict; CREATE TABLE reactions (place, emoji, user, username, seq, time, sum, PRIMARY KEY (place, emoji, user)) WITHOUT ROWID;
			INSERT INTO reactions SELECT * FROM strict; DROP TABLE strict; UPDATE reactions SET user = 'cy' WHERE place & 0xFFFFFFFFFF = 3`,
		"an author":       "UPDATE reactions SET user = 77 WHERE place & 0xFFFFFFFFFF = 3",
		"a negative seq":  "UPDATE reactions SET seq = seq - 128 WHERE place & 0xFFFFFFFFFF = 3",
		"a seq too small": "UPDATE reactions SET seq = 1 WHERE place & 0xFFFFFFFFFF = 3",
		"a seq too large": "UPDATE reactions SET seq = 1 << 50 WHERE place & 0xFFFFFFFFFF = 3",
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyFiles(t, original)
			corrupt(t, filepath.Join(dir, databaseName), damage)
			s := open(t, dir, Options{})
			h, err := s.History(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 100, Last: false})
			if err != nil || len(h.Entries) != 2 || !reflect.DeepEqual(h.Entries, want[:2]) {
				t.Errorf("there is %+v, %v; want the messages before the damaged one", h.Entries, err)
			}
			closeStore(t, s)
			if err := check(t.Context(), dir); err == nil {
				t.Error("a check finds nothing")
			}
		})
	}
}

// An import may have a reaction before its message, which makes no difference, as a row of an older
// version does not, or the same one twice.
func TestReactionsOfAnImport(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	records := make([]store.Record, 5)
	for i := range records {
		d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i), "text")
		if target := []uint64{3, 0, 0, 2, 2}[i]; target > 0 {
			d.Kind, d.Target, d.Body = kaban.KindReact, target, kaban.Switch(true, "👍")
		}
		records[i] = store.Record{Draft: d, Seq: uint64(i + 1), Time: 1_700_000_000_000}
	}
	if n, err := s.Import(t.Context(), records); n != len(records) || err != nil {
		t.Fatal(n, err)
	}
	want := historyOf(t, s)
	if len(want) != 2 || want[1].State != nil || len(want[0].State.Reactions) != 1 {
		t.Fatalf("there is %+v; want two messages, the first with a reaction", want)
	}
	if people := want[0].State.Reactions[0].People; len(people) != 1 || people[0].Seq != 4 {
		t.Errorf("it is of %+v; of two by one author the first counts", people)
	}
	closeStore(t, s)
	path := filepath.Join(dir, databaseName)
	toVersion16(t, path)
	var sum summer
	p := reactor{user: 1, Reactor: store.Reactor{Change: store.Change{Seq: 1, Time: 5}}}
	corrupt(t, path, fmt.Sprintf("INSERT INTO reactions VALUES (1 << 40 | 3, '👍', 1, NULL, 1, 5, %d)", sum.singleReaction(1<<seqBits|3, "👍", &p, "ann")))
	s = open(t, dir, Options{})
	if got := historyOf(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("after an update there is %+v, want %+v", got, want)
	}
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// A message that is deleted has no reactions, also if they are merged together with its deletion.
func TestReactionsOfADeletedMessage(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	storetest.Append(t, s, change(t, kaban.KindReact, "lobby", "bob", "1", 1, kaban.Switch(true, "👍")))
	mergeNow(t, s)
	storetest.Append(t, s, change(t, kaban.KindReact, "lobby", "cy", "1", 1, kaban.Switch(true, "👍")), change(t, kaban.KindReact, "lobby", "cy", "2", 1, kaban.Switch(true, "🎉")))
	storetest.Append(t, s, change(t, kaban.KindDelete, "lobby", "ann", "d", 1, ""))
	mergeNow(t, s)
	if n := count(t, s, "reactions"); n != 0 {
		t.Errorf("%d rows of reactions are left", n)
	}
}

// People in rows that are sound, but that no entry says, are counted exactly, also many.
func TestCheckCountsReactionsOfNothing(t *testing.T) {
	dir := t.TempDir()
	s := still(t, dir, Options{})
	drafts := numbered(t, "lobby", "ann", 0, 2)
	const people = reactorsAtOnce + 100
	for i := range people {
		drafts = append(drafts, change(t, kaban.KindReact, "lobby", fmt.Sprint("person-", i), "r", 1, kaban.Switch(true, "👍")))
	}
	storetest.Append(t, s, drafts...)
	mergeNow(t, s)
	closeStore(t, s)
	if err := check(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	first := func(r *reaction) *reactor { return &r.people[0] }
	for name, c := range map[string]struct {
		change func(r *reaction)
		want   int
	}{
		"a seq of another":  {func(r *reaction) { first(r).Seq++; r.people = r.people[:1] }, 1},
		"a user of another": {func(r *reaction) { first(r).user++; r.people = r.people[:1] }, 1},
		"another message":   {func(r *reaction) { r.place++; r.people = r.people[:3] }, 3},
		"twice":             {func(r *reaction) { r.first++ }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyFiles(t, dir)
			path := filepath.Join(dir, databaseName)
			conn, err := connect(t.Context(), path, "rw", nil)
			if err != nil {
				t.Fatal(err)
			}
			var sum summer
			r, err := scanReaction(conn.QueryRowContext(t.Context(), reactionsQuery+"> 0 ORDER BY first DESC LIMIT 1"), &sum)
			if err != nil {
				t.Fatal(err)
			}
			old, want := r.first, c.want
			if c.change(&r); want < 0 {
				want = len(r.people)
			} else if _, err := conn.ExecContext(t.Context(), "DELETE FROM reactions WHERE first = ?", int64(old)); err != nil {
				t.Fatal(err)
			}
			written := r.appendPeople(nil)
			if _, err := conn.ExecContext(t.Context(), setReactionQuery+setReactionRow, r.place, r.emoji, int64(r.first), written, sum.reaction(&r, written)); err != nil {
				t.Fatal(err)
			}
			if err := conn.close(); err != nil {
				t.Fatal(err)
			}
			report, err := archive(t, dir).Check(t.Context())
			text := fmt.Sprintf("%d reactions are of entries that do not exist", want)
			if err != nil || !slices.Contains(report.Problems, text) {
				t.Errorf("%q, %v; want %q", report.Problems, err, text)
			}
		})
	}
}

// However many people react, no row needs pages of its own, and taking some back and coming again keeps the
// order.
func TestManyReactors(t *testing.T) {
	s := still(t, t.TempDir(), Options{})
	storetest.Append(t, s, numbered(t, "lobby", "ann", 0, 1)...)
	react := func(from, to int, on bool, id string) {
		var drafts []kaban.Draft
		for i := from; i < to; i++ {
			name := fmt.Sprint("Person-", i)
			if i%3 == 0 && !on { // the first spelling is that of users
				name = strings.ToLower(name)
			}
			drafts = append(drafts, change(t, kaban.KindReact, "lobby", name, id, 1, kaban.Switch(on, "👍")))
		}
		storetest.Append(t, s, drafts...)
		mergeNow(t, s)
	}
	react(0, 500, true, "a")
	react(100, 300, false, "b")
	react(50, 400, true, "c")
	want := make([]string, 0, 500)
	for i := range 500 {
		if i < 100 || i >= 300 {
			want = append(want, fmt.Sprint("Person-", i))
		}
	}
	for i := 100; i < 300; i++ {
		want = append(want, fmt.Sprint("Person-", i))
	}
	got := []string{}
	for _, p := range historyOf(t, s)[0].State.Reactions[0].People {
		got = append(got, p.Username)
	}
	if !slices.Equal(got, want) {
		t.Errorf("there are %d people, %q; want %d, %q", len(got), got, len(want), want)
	}
	if n, err := s.writer.number(t.Context(), "SELECT max(length(people)) FROM reactions"); n > maxPeople || err != nil {
		t.Errorf("a row has %d bytes, %v; want %d at most", n, err, maxPeople)
	}
	if n, err := s.writer.number(t.Context(), "SELECT count(*) FROM reactions"); n < 10 || n > 40 || err != nil {
		t.Errorf("there are %d rows, %v", n, err)
	}
}
