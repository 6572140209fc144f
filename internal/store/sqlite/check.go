package sqlite

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"kaban"
	"kaban/internal/store"
)

// Health is what Check found in one room.
type Health struct {
	Room    store.Room
	Entries uint64 // how many there are
	Trouble string // "" if all is well
}

// maxProblems bounds what one check of a file lists.
const maxProblems = 20

// Check reads everything and looks whether it is sound: the WAL, SQLite's own
// check of the file, the schema, references and indexes, the checksum of each
// row, and that each room has the entries 1 to its head without a gap. The
// problems it returns concern the whole file; those of a room stand with it. What
// it cannot read is a problem; an error says that it could not look.
func (s *Snapshot) Check(ctx context.Context) (rooms []Health, problems []string, err error) {
	if err := s.begin(ctx); err != nil {
		if isDamage(err) {
			return nil, []string{err.Error()}, nil
		}
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	extents := make(map[int64]extent)
	for _, check := range []func(context.Context) ([]string, error){
		s.checkWAL, s.checkFile, s.checkSchema, s.checkUsers, s.checkRecent,
		func(ctx context.Context) ([]string, error) { return nil, s.measure(ctx, extents) },
	} {
		found, err := check(ctx)
		if problems = append(problems, found...); err == nil {
			continue
		}
		if !isDamage(err) {
			return nil, nil, explain(s.path, err)
		}
		problems = append(problems, err.Error())
	}
	for i, problem := range s.problems {
		if i == maxProblems {
			problems = append(problems, fmt.Sprintf("there are %d more of these", len(s.problems)-i))
			break
		}
		problems = append(problems, problem.Error())
	}
	for _, r := range s.sorted() {
		e := extents[r.id]
		delete(extents, r.id)
		h := Health{Room: r.state(), Entries: e.count, Trouble: e.trouble(r.head)}
		if h.Trouble == "" {
			if h.Trouble, err = s.checkEntries(ctx, r); err != nil {
				return nil, nil, err
			}
		}
		rooms = append(rooms, h)
	}
	for id, e := range extents {
		problems = append(problems, fmt.Sprintf("%d entries are of room %d, which does not exist or is damaged", e.count, id))
	}
	return rooms, problems, nil
}

// checkEntries reads all of a room.
func (s *Snapshot) checkEntries(ctx context.Context, r *room) (trouble string, err error) {
	damaged := 0
	err = s.eachOf(ctx, r, func(kaban.RoomName, *store.Entry) error { return nil }, func(err error) error {
		if damaged++; damaged == 1 {
			trouble = err.Error()
		}
		return nil
	})
	if damaged > 1 {
		trouble += fmt.Sprintf(", and %d more are damaged", damaged-1)
	}
	return trouble, err
}

// extent is what a room has.
type extent struct{ count, first, last uint64 }

// with returns it with some entries more.
func (e extent) with(count, first, last uint64) extent {
	if e.count == 0 {
		e.first = first
	}
	return extent{e.count + count, min(e.first, first), max(e.last, last)}
}

// measure measures what the rooms have.
func (s *Snapshot) measure(ctx context.Context, extents map[int64]extent) error {
	for id, r := range s.rooms {
		if n := len(r.recent); n > 0 {
			extents[id] = extents[id].with(uint64(n), r.recent[0].Seq, r.recent[n-1].Seq)
		}
	}
	rows, err := s.conn.QueryContext(ctx, "SELECT place >> 40, count(*), min(place), max(place) FROM entries GROUP BY place >> 40")
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

func (e extent) trouble(head uint64) string {
	switch {
	case e.count == 0 && head == 0:
		return ""
	case e.last != head:
		return fmt.Sprintf("the newest entry is %d, and it should be %d", e.last, head)
	case e.first != 1:
		return fmt.Sprintf("the oldest entry is %d, and it should be 1", e.first)
	case e.count != head:
		return fmt.Sprintf("%d entries are missing between 1 and %d", head-e.count, head)
	}
	return ""
}

// checkFile returns what SQLite's own checks find, a few lines at most.
func (s *Snapshot) checkFile(ctx context.Context) (problems []string, err error) {
	for _, query := range []string{
		fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems),
		fmt.Sprintf("SELECT 'a row of ' || \"table\" || ' refers to nothing' FROM pragma_foreign_key_check LIMIT %d", maxProblems),
	} {
		lines, err := lines(ctx, s.conn, query)
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

// lines returns the texts that a query gives.
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

// schemaQuery returns what a schema consists of.
const schemaQuery = "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema"

// freshSchema returns what the migrations make, by schemaQuery.
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
	if err := migrate(ctx, c, 0, scripts, nil); err != nil {
		return nil, err
	}
	return lines(ctx, c, schemaQuery)
})

// checkSchema wants the tables and views to be what the migrations make. What
// somebody has added does not matter.
func (s *Snapshot) checkSchema(ctx context.Context) (problems []string, err error) {
	want, err := freshSchema()
	if err != nil {
		return nil, err
	}
	got, err := lines(ctx, s.conn, schemaQuery)
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

// comments are those of our schema.
var comments = regexp.MustCompile(`--[^\n]*`)

// plainSQL returns SQL without what means nothing.
func plainSQL(s string) string {
	return strings.Join(strings.Fields(comments.ReplaceAllString(s, "")), " ")
}

// checkUsers reads all users.
func (s *Snapshot) checkUsers(ctx context.Context) (problems []string, err error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT id, key, name, sum FROM users")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, value int64
		var key, name string
		err := rows.Scan(&id, &key, &name, &value)
		if err == nil && s.sum.user(id, key, name) != value {
			err = errSum
		}
		if err != nil && len(problems) < maxProblems {
			problems = append(problems, fmt.Sprintf("user %d, %q, is damaged: %v", id, name, err))
		}
	}
	return problems, closeRows(rows)
}

// twinQuery counts the entries that have a place, or a user and an id.
const twinQuery = "SELECT (SELECT count(*) FROM entries WHERE place = ?) + (SELECT count(*) FROM entries WHERE user = ? AND id = ?)"

// checkRecent finds recent entries with an id or a place that another one has,
// which no index of their own keeps out. It must not look through all entries.
func (s *Snapshot) checkRecent(ctx context.Context) (problems []string, err error) {
	twin, err := s.conn.PrepareContext(ctx, twinQuery)
	if err != nil {
		return nil, err
	}
	defer twin.Close()
	for r := range s.recent.rooms {
		for i := range r.recent {
			e, n := &r.recent[i], 0
			if err := twin.QueryRowContext(ctx, r.place(e.Seq), e.user, e.ID).Scan(&n); err != nil {
				return problems, err
			}
			if n > 0 && len(problems) < maxProblems {
				problems = append(problems, fmt.Sprintf("entry %d of room %d has an id or a place that another one has", e.Seq, r.id))
			}
		}
	}
	return problems, nil
}
