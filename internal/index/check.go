package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kaban/internal/store"
)

// Check reads the index in a data directory, which a server may be using, and returns what
// is wrong with it, in sentences. The rooms are those of the store. It finds nothing wrong
// with an index that is missing or of another version, or that lacks what came last: a server
// makes it, or goes on with it. While a server runs the index may be ahead of the rooms, so
// they are listed after the index was read.
func Check(ctx context.Context, dir string, rooms func() ([]store.Room, error)) (problems []string, err error) {
	path, err := filepath.Abs(filepath.Join(dir, FileName))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	d, err := openFile(ctx, path, false)
	if err != nil {
		if isDamage(err) {
			return []string{err.Error()}, nil
		}
		return nil, err
	}
	defer d.close()
	if err := d.readMeta(ctx, ""); errors.Is(err, errUnusable) {
		return nil, nil // it is made anew
	}
	c := checker{db: d, ctx: ctx}
	if err := c.check(rooms); err != nil && !isDamage(err) {
		return nil, fmt.Errorf("check the search index: %w", err)
	} else if err != nil {
		c.problems = append(c.problems, err.Error())
	}
	return c.problems, nil
}

type checker struct {
	db       *database
	ctx      context.Context
	problems []string
}

func (c *checker) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) check(list func() ([]store.Room, error)) error {
	// SQLite asks FTS5 about its tables, too.
	rows, err := c.db.read.QueryContext(c.ctx, "PRAGMA integrity_check")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			c.report("%s", text)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	// The index may go on meanwhile, so what is behind is read first.
	last, err := c.places()
	if err != nil {
		return err
	}
	kept, err := c.db.readRooms(c.ctx)
	if err != nil {
		return err
	}
	rooms, err := list()
	if err != nil {
		return err
	}
	heads := make(map[string]uint64)
	for i := range rooms {
		heads[rooms[i].Name.Key()] = rooms[i].Head
	}
	for _, r := range kept {
		if place := last[r.id]; place.seq > r.cursor {
			c.report("chunk %d has message %d of %s, which was read up to %d", place.chunk, place.seq, r.name, r.cursor)
		}
		delete(last, r.id)
		if head := heads[r.name.Key()]; r.cursor > head {
			c.report("it has read %s up to %d, and the database has it up to %d", r.name, r.cursor, head)
		}
	}
	for _, place := range last {
		c.report("chunk %d has a message of a room that is not there", place.chunk)
	}
	return nil
}

// place is where the last message of a room is.
type place struct{ chunk, seq uint64 }

// places reads all chunks, and returns the last message that they have of each room.
func (c *checker) places() (last map[uint32]place, err error) {
	last = make(map[uint32]place)
	rows, err := c.db.read.QueryContext(c.ctx, "SELECT id, items FROM chunks ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id uint64
		var data sql.RawBytes
		if err := rows.Scan(&id, &data); err != nil {
			return nil, err
		}
		items, err := decodeItems(data)
		if err != nil {
			c.report("chunk %d: %v", id, err)
			continue
		}
		for _, i := range items {
			if was := last[i.room].seq; i.seq <= was {
				c.report("chunk %d has message %d of a room behind %d", id, i.seq, was)
			}
			if len(c.problems) > maxProblems {
				return last, nil
			}
			last[i.room] = place{id, i.seq}
		}
	}
	return last, rows.Err()
}

// maxProblems is how many problems are worth a line.
const maxProblems = 20
