package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"kaban"
	"kaban/internal/store"
)

// maxProblems bounds what one check of a file lists.
const maxProblems = 20

// Check implements store.Archive: the WAL, SQLite's own check of the file, the
// schema, references and indexes, the checksum of each row, and that each room has
// the entries from the oldest that is kept to its head without a gap. Whatever cannot be read is a problem.
func (a *Archive) Check(ctx context.Context) (report *store.Report, err error) {
	report = new(store.Report)
	if err := a.begin(ctx); err != nil {
		if isDamage(err) {
			report.Problems = []string{err.Error()}
			return report, nil
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, a.end(ctx)) }()
	extents := make(map[int64]extent)
	if report.Problems, err = a.checkAll(ctx, extents, report); err != nil {
		return nil, err
	}
	for i, problem := range a.problems {
		if i == maxProblems {
			report.Problems = append(report.Problems, fmt.Sprintf("%d more like these", len(a.problems)-i))
			break
		}
		report.Problems = append(report.Problems, problem.Error())
	}
	for _, r := range a.sorted() {
		e := extents[r.id]
		delete(extents, r.id)
		h := store.Health{Room: r.state(), Entries: e.count}
		if h.Trouble, h.Lost, err = a.checkEntries(ctx, r, e); err != nil {
			return nil, err
		}
		report.Rooms = append(report.Rooms, h)
	}
	for id, e := range extents {
		report.Problems = append(report.Problems, fmt.Sprintf("%d entries are of room %d, which does not exist or is damaged", e.count, id))
	}
	return report, nil
}

// checkAll makes the checks that concern no single room, and measures the rooms.
func (a *Archive) checkAll(ctx context.Context, extents map[int64]extent, report *store.Report) (problems []string, err error) {
	for _, check := range []func(context.Context) ([]string, error){
		a.checkWAL, a.checkFile, a.checkSchema, a.checkUsers, a.checkUnmerged, a.checkStates,
		func(ctx context.Context) ([]string, error) { return nil, a.measure(ctx, extents) },
		func(ctx context.Context) ([]string, error) { return a.checkDocuments(ctx, &report.Documents) },
	} {
		found, err := check(ctx)
		if problems = append(problems, found...); err == nil {
			continue
		}
		if !isDamage(err) {
			return nil, explain(a.path, err)
		}
		problems = append(problems, err.Error())
	}
	return problems, nil
}

// checkEntries reads every entry of a room, up to its head, and counts those that stand in for lost ones. There are
// entries of an extent.
func (a *Archive) checkEntries(ctx context.Context, r *room, there extent) (trouble string, standIns uint64, err error) {
	written := make(map[string]uint64)
	var broken, lost []string
	damaged, holes := 0, 0
	err = a.eachOf(ctx, r, func(e *store.Entry) error {
		if e.Kind == kaban.KindLost {
			standIns++
		}
		if e.Kind == kaban.KindMessage && e.Seq <= a.merged[r.id] {
			written[e.Author]++
		}
		return nil
	}, func(err error) error {
		if damaged++; damaged == 1 {
			broken = append(broken, err.Error())
		}
		return nil
	}, func(first, last uint64) error {
		if holes++; holes <= maxProblems {
			lost = append(lost, seqs(first, last))
		}
		return nil
	})
	if damaged > 1 {
		broken = append(broken, fmt.Sprintf("%d more are damaged", damaged-1))
	}
	if holes > maxProblems {
		lost = append(lost, fmt.Sprintf("%d more runs", holes-maxProblems))
	}
	if holes > 0 {
		broken = append(broken, "missing: "+strings.Join(lost, ", "))
	}
	if there.last > r.head {
		broken = append(broken, fmt.Sprintf("the newest entry is %d, and it should be %d", there.last, r.head))
	}
	if there.count > 0 && there.first <= r.cut {
		broken = append(broken, fmt.Sprintf("the oldest entry is %d, and it should be %d", there.first, r.cut+1))
	}
	if r.cut > r.head {
		broken = append(broken, fmt.Sprintf("it is cut up to %d, behind its newest entry, %d", r.cut, r.head))
	}
	if err != nil || len(broken) > 0 {
		return strings.Join(broken, ", and "), standIns, err
	}
	trouble, err = a.checkCounts(ctx, r, written)
	return trouble, standIns, err
}

// seqs names entries by their seqs.
func seqs(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("entry %d", first)
	}
	return fmt.Sprintf("entries %d to %d", first, last)
}

// extent are the entries of a room.
type extent struct{ count, first, last uint64 }

// with returns the extent with more entries.
func (e extent) with(count, first, last uint64) extent {
	if e.count == 0 {
		e.first = first
	}
	return extent{e.count + count, min(e.first, first), max(e.last, last)}
}

// measure finds the extents of the rooms.
func (a *Archive) measure(ctx context.Context, extents map[int64]extent) error {
	for id, r := range a.rooms {
		if n := len(r.unmerged); n > 0 {
			extents[id] = extents[id].with(uint64(n), r.unmerged[0].Seq, r.unmerged[n-1].Seq)
		}
	}
	rows, err := a.conn.QueryContext(ctx, "SELECT place >> 40, count(*), min(place), max(place) FROM entries GROUP BY place >> 40")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var room, first, last int64
		var count uint64
		if err := rows.Scan(&room, &count, &first, &last); err != nil {
			return err
		}
		extents[room] = extents[room].with(count, uint64(first&maxSeq), uint64(last&maxSeq))
	}
	return closeRows(rows)
}

// checkFile returns the first problems that SQLite's own checks find.
func (a *Archive) checkFile(ctx context.Context) (problems []string, err error) {
	for _, query := range []string{
		fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems),
		fmt.Sprintf("SELECT 'a row of ' || \"table\" || ' refers to nothing' FROM pragma_foreign_key_check LIMIT %d", maxProblems),
	} {
		lines, err := lines(ctx, a.conn, query)
		for _, line := range lines {
			if line != "ok" {
				problems = append(problems, strings.TrimSpace(line))
			}
		}
		if err != nil {
			return problems, err
		}
	}
	return problems, nil
}

// lines returns the texts in the result of a query.
func lines(ctx context.Context, c *conn, query string) (found []string, err error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return found, err
		}
		found = append(found, line)
	}
	return found, closeRows(rows)
}

// schemaQuery returns the definitions in a schema.
const schemaQuery = "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema"

// freshSchema returns the schema that the migrations make, by schemaQuery.
var freshSchema = sync.OnceValues(func() (schema []string, err error) {
	scripts, err := migrations()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	c, err := connect(ctx, "/fresh", "memory", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := migrate(ctx, c, 0, scripts, nil, nil); err != nil {
		return nil, err
	}
	return lines(ctx, c, schemaQuery)
})

// checkSchema compares the tables and views with those that the migrations make.
// Additions do not matter.
func (a *Archive) checkSchema(ctx context.Context) (problems []string, err error) {
	want, err := freshSchema()
	if err != nil {
		return nil, err
	}
	got, err := lines(ctx, a.conn, schemaQuery)
	if err != nil {
		return nil, err
	}
	for i := range got {
		got[i] = plainSQL(got[i])
	}
	for _, line := range want {
		if line = plainSQL(line); !slices.Contains(got, line) {
			problems = append(problems, fmt.Sprintf("the schema differs at %q", line[:strings.IndexAny(line+"(", "(")]))
		}
	}
	return problems, nil
}

// comments matches the comments in our schema.
var comments = regexp.MustCompile(`--[^\n]*`)

// plainSQL returns SQL without comments and extra spaces.
func plainSQL(s string) string {
	return strings.Join(strings.Fields(comments.ReplaceAllString(s, "")), " ")
}

// checkUsers reads every user.
func (a *Archive) checkUsers(ctx context.Context) (problems []string, err error) {
	rows, err := a.conn.QueryContext(ctx, "SELECT id, key, name, sum FROM users")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, value int64
		var key, name string
		err := rows.Scan(&id, &key, &name, &value)
		if err == nil && a.sum.user(id, key, name) != value {
			err = errSum
		}
		if err != nil && len(problems) < maxProblems {
			problems = append(problems, fmt.Sprintf("user %d, %q, is damaged: %v", id, name, err))
		}
	}
	return problems, closeRows(rows)
}

// checkStates reads what has become of messages, and sees that they exist.
func (a *Archive) checkStates(ctx context.Context) (problems []string, err error) {
	found := func(err error) error {
		if err == nil {
			return nil
		}
		if codeOf(err) != 0 {
			return err
		}
		if len(problems) < maxProblems {
			problems = append(problems, err.Error())
		}
		return nil
	}
	reactors := reactorCheck{conn: a.conn}
	for query, scan := range map[string]func(*sql.Rows) (int64, error){
		strings.TrimSuffix(stateQuery, "WHERE place "): func(rows *sql.Rows) (int64, error) {
			place, _, err := scanState(rows, &a.sum)
			return place, err
		},
		strings.TrimSuffix(reactionsQuery, "WHERE place ") + "ORDER BY place, emoji, first": func(rows *sql.Rows) (int64, error) {
			r, err := scanReaction(rows, &a.sum)
			if err == nil {
				err = reactors.add(ctx, &r)
			}
			return r.place, err
		},
		allMentions: func(rows *sql.Rows) (int64, error) {
			m, err := scanMention(rows, &a.sum)
			return m.place, err
		},
		"SELECT place, last, sum FROM runs": func(rows *sql.Rows) (int64, error) {
			r, err := scanRun(rows, &a.sum)
			return r.place, err
		},
		"SELECT place, sum FROM unledgered": func(rows *sql.Rows) (place int64, err error) {
			var value int64
			err = rows.Scan(&place, &value)
			return place, checked(err, a.sum.unledgered(place), value, "what the ledger lacks:", uint64(place&maxSeq))
		},
		"SELECT place, hash, older, sum FROM originals": func(rows *sql.Rows) (place int64, err error) {
			o, value := new(original), int64(0)
			err = rows.Scan(&place, &o.hash, &o.older, &value)
			return place, checked(err, a.sum.original(place, o), value, "the hash of entry", uint64(place&maxSeq))
		},
	} {
		if err := a.eachRow(ctx, query, func(rows *sql.Rows) error {
			_, err := scan(rows)
			return found(err)
		}); err != nil {
			return problems, err
		}
	}
	if err := a.eachRow(ctx, "SELECT "+noopColumns+", room, user FROM noops", func(rows *sql.Rows) error {
		var e store.Entry
		var in authorIn
		var value int64
		err := rows.Scan(&e.ID, &e.Seq, &e.Time, &e.Kind, &e.Target, &e.Content, &value, &in.room, &in.user)
		return found(checked(err, a.sum.noop(in, &e), value, "the id of a change of message", e.Target))
	}); err != nil {
		return problems, err
	}
	if err := reactors.count(ctx); err != nil {
		return problems, err
	}
	if reactors.wrong > 0 {
		problems = append(problems, fmt.Sprintf("%d reactions are of entries that do not exist", reactors.wrong))
	}
	n, err := a.conn.number(ctx, "SELECT count(*) FROM written WHERE room NOT IN (SELECT id FROM rooms)")
	if err != nil {
		return problems, err
	}
	if n > 0 {
		problems = append(problems, fmt.Sprintf("%d counts are of rooms that do not exist", n))
	}
	for _, check := range uses {
		n, err := a.conn.number(ctx, check.query)
		if err != nil {
			return problems, err
		}
		if n > 0 {
			problems = append(problems, fmt.Sprintf(check.problem, n))
		}
	}
	return problems, nil
}

// uses count what is kept about entries although nothing has a use for it, or although the
// entries say otherwise.
var uses = []struct{ query, problem string }{
	{"SELECT count(*) FROM states s WHERE " + ofNoMessage, "%d states are of messages that do not exist"},
	{"SELECT count(*) FROM reactions s WHERE " + ofNoMessage, "%d reactions are of messages that do not exist"},
	{"SELECT count(*) FROM mentions s WHERE " + ofNoMessage, "%d mentions are of messages that do not exist"},
	{"SELECT count(*) FROM unledgered s WHERE " + ofNoMessage, "%d deletions for the ledger are of messages that do not exist"},
	{
		"SELECT count(*) FROM reactions r JOIN states s ON s.place = r.place WHERE s.deleted <> 0",
		"%d reactions are of messages that were deleted",
	},
	{
		"SELECT count(*) FROM states s JOIN entries e ON e.place = s.place WHERE s.deleted <> 0 AND e.files IS NOT NULL",
		"%d messages have files although they were deleted",
	},
	{
		"SELECT count(*) FROM states s WHERE edited <> 0 AND" + noChange("s.place", "s.edited", kaban.KindEdit) +
			" OR deleted <> 0 AND" + noChange("s.place", "s.deleted", kaban.KindDelete) +
			" OR pinned <> 0 AND" + noChange("s.place", "s.pinned", kaban.KindPin),
		"%d states are of changes that do not exist",
	},
	{
		"SELECT count(*) FROM states s WHERE replies <> (SELECT count(*) FROM entries e WHERE e.kind = 1 AND e.target <> 0 AND e.place >> 40 = s.place >> 40 AND e.target = s.place & 0xFFFFFFFFFF)",
		"%d states have a wrong number of replies",
	},
	{
		"SELECT count(*) FROM noops n WHERE NOT EXISTS (SELECT 1 FROM rooms r WHERE r.id = n.room AND r.cut < n.target)",
		"%d ids are of changes of nothing",
	},
	{
		"SELECT count(*) FROM noops n JOIN entries e ON e.place >> 40 = n.room AND e.user = n.user AND e.id = n.id",
		"%d ids of changes that made no difference are those of entries",
	},
	{ // the front of a run may be cut
		"SELECT count(*) FROM runs r LEFT JOIN rooms m ON m.id = r.place >> 40 WHERE (SELECT count(*) FROM entries e" +
			" WHERE e.place BETWEEN max(r.place, m.id << 40 | m.cut + 1) AND r.last AND e.kind BETWEEN 2 AND 5) IS NOT r.last - max(r.place, m.id << 40 | m.cut + 1) + 1" +
			" OR r.last <= m.id << 40 | m.cut OR r.last > m.id << 40 | m.head",
		"%d runs of changes are not what the entries say",
	},
	{ // the hash of a message that was edited, or of an edit, until the message is deleted
		"SELECT count(*) FROM originals o WHERE NOT EXISTS (SELECT 1 FROM entries e JOIN states s ON s.place = iif(e.kind = 1, e.place, e.place >> 40 << 40 | e.target)" +
			" WHERE e.place = o.place AND e.kind IN (1, 2) AND s.edited <> 0 AND s.deleted = 0)",
		"%d hashes are of texts that nobody edited or that were deleted",
	},
}

// ofNoMessage is true for a row s of what is kept about messages if there is no such message.
const ofNoMessage = "NOT EXISTS (SELECT 1 FROM entries e WHERE e.place = s.place AND e.kind = 1)"

// noChange returns a condition: the entry with a seq is no change of that kind of the message
// at a place.
func noChange(place, seq string, kind kaban.Kind) string {
	return fmt.Sprintf(" NOT EXISTS (SELECT 1 FROM entries e WHERE e.place = %[1]s >> 40 << 40 | %[2]s AND e.kind = %[3]d AND e.target = %[1]s & 0xFFFFFFFFFF)", place, seq, kind)
}

// reactorCheck counts the people in reactions that no entry says.
type reactorCheck struct {
	conn  *conn
	next  [][3]int64 // for each that is not counted yet: its seq and user, and the place of the message
	wrong int
	of    reactionKey        // of the last row
	users map[int64]struct{} // of its people and those of the rows before it
}

// reactorsAtOnce is how many people one query looks for.
const reactorsAtOnce = 1000

var wrongReactors = fmt.Sprintf("SELECT count(*) FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.place = (j.value ->> 2) >> 40 << 40 | (j.value ->> 0)"+
	" AND e.kind = %d AND e.user = j.value ->> 1 AND e.target = (j.value ->> 2) & 0xFFFFFFFFFF)", kaban.KindReact)

// add adds the people of a row. Rows come in the order of the table. Somebody that is there twice is
// wrong, too.
func (c *reactorCheck) add(ctx context.Context, r *reaction) error {
	if key := (reactionKey{r.place, r.emoji}); c.users == nil || key != c.of {
		c.of, c.users = key, make(map[int64]struct{})
	}
	for i := range r.people {
		p := &r.people[i]
		if _, twice := c.users[p.user]; twice {
			c.wrong++
		}
		c.users[p.user] = struct{}{}
		if c.next = append(c.next, [3]int64{int64(p.Seq), p.user, r.place}); len(c.next) == reactorsAtOnce {
			if err := c.count(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// count counts those that were added since the last time.
func (c *reactorCheck) count(ctx context.Context) error {
	if len(c.next) == 0 {
		return nil
	}
	list, err := json.Marshal(c.next)
	if err != nil {
		return err
	}
	var n int
	err = c.conn.QueryRowContext(ctx, wrongReactors, string(list)).Scan(&n)
	c.wrong, c.next = c.wrong+n, c.next[:0]
	return err
}

// eachRow calls visit with each row of a query, until it returns an error.
func (a *Archive) eachRow(ctx context.Context, query string, visit func(*sql.Rows) error) error {
	rows, err := a.conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return closeRows(rows)
}

// checkDocuments reads and counts all documents.
func (a *Archive) checkDocuments(ctx context.Context, n *uint64) (problems []string, err error) {
	err = a.eachDocument(ctx, func(*store.Document) error {
		*n++
		return nil
	}, func(err error) error {
		if *n++; len(problems) < maxProblems {
			problems = append(problems, err.Error())
		}
		return nil
	})
	return problems, err
}

// twinQuery counts the merged entries with a place, or with a room, a user and an id.
const twinQuery = "SELECT (SELECT count(*) FROM entries WHERE place = ?) + (SELECT count(*) FROM entries WHERE place >> 40 = ? AND user = ? AND id = ?)"

// checkUnmerged finds unmerged entries with the id or the place of a merged one,
// which no index prevents. It must not scan all entries.
func (a *Archive) checkUnmerged(ctx context.Context) (problems []string, err error) {
	twin, err := a.conn.PrepareContext(ctx, twinQuery)
	if err != nil {
		return nil, err
	}
	defer twin.Close()
	for r := range a.unmerged.rooms {
		for i := range r.unmerged {
			e, n := &r.unmerged[i], 0
			if err := twin.QueryRowContext(ctx, r.place(e.Seq), r.id, e.user, e.ID).Scan(&n); err != nil {
				return problems, err
			}
			if n > 0 && len(problems) < maxProblems {
				problems = append(problems, fmt.Sprintf("entry %d of room %d has the id or the place of another one", e.Seq, r.id))
			}
		}
	}
	return problems, nil
}
