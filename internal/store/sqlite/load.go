package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// contents are all of a database but the users and the merged entries.
type contents struct {
	epoch    string
	created  int64
	rooms    map[int64]*room
	merged   map[int64]uint64 // the heads of the merged entries
	unmerged unmerged
	progress progressRow
	erasing  erasingRow
	sum      summer
}

// loader reads contents. It passes damage to bad and stops if that returns an
// error.
type loader struct {
	ctx  context.Context
	conn *conn
	read frames
	bad  func(error) error
	*authors
	*contents
}

// load reads the contents of a database and its journal.
func load(ctx context.Context, c *conn, authors *authors, read frames, bad func(error) error) (*contents, error) {
	l := loader{ctx, c, read, bad, authors, &contents{
		rooms: make(map[int64]*room), merged: make(map[int64]uint64),
		unmerged: unmerged{keys: make(map[key]uint64), rooms: make(map[*room]struct{})},
	}}
	for _, part := range []struct {
		name string
		load func() error
	}{{"the epoch", l.loadEpoch}, {"the rooms", l.loadRooms}, {"the progress", l.loadProgress}, {"what is erased", l.loadErasing}, {"what is not merged", l.loadUnmerged}} {
		if err := part.load(); err != nil {
			if isDamage(err) || errors.Is(err, store.ErrDamaged) {
				err = l.bad(err)
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", part.name, err)
			}
		}
	}
	return l.contents, nil
}

// damaged returns the error for a row that differs from what was written.
func damaged(name string, err error) error {
	return fmt.Errorf("%w: %s: %w; \"kaban check\" reports more, and \"kaban restore\" replaces the database with a backup", store.ErrDamaged, name, err)
}

func (l *loader) loadEpoch() error {
	var id, value int64
	err := l.conn.QueryRowContext(l.ctx, "SELECT id, epoch, created, sum FROM store").Scan(&id, &l.epoch, &l.created, &value)
	switch {
	case codeOf(err) != 0:
		return err
	case err == nil && l.contents.sum.store(id, l.epoch, l.created) != value:
		err = errSum
	}
	if err != nil {
		return l.bad(damaged("the row of the epoch", err))
	}
	return nil
}

func (l *loader) loadProgress() (err error) {
	l.progress, err = scanProgress(l.conn.QueryRowContext(l.ctx, progressQuery), &l.contents.sum)
	return err
}

func (l *loader) loadErasing() (err error) {
	l.erasing, err = scanErasing(l.conn.QueryRowContext(l.ctx, erasingQuery), &l.contents.sum)
	l.unmerged.taken = max(l.unmerged.taken, l.erasing.due)
	return err
}

func (l *loader) loadRooms() error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT id, key, name, "+roomColumns+" FROM rooms")
	if err != nil {
		return err
	}
	defer rows.Close()
	keys := make(map[string]*room)
	for rows.Next() {
		r := &room{}
		var name string
		var row roomRow
		var value int64
		err := rows.Scan(append([]any{&r.id, &r.key, &name}, row.scan(&value)...)...)
		if err == nil && l.contents.sum.room(r.id, r.key, name, row) != value {
			err = errSum
		}
		r.head, r.revision, r.messages, r.cut, r.cutMessages = row.head, row.revision, row.messages, row.cut, row.cutMessages
		if err == nil {
			r.name, err = kaban.ParseAnyRoom(name)
		}
		if err != nil {
			if err = l.bad(damaged(fmt.Sprintf("room %d, %q", r.id, name), err)); err != nil {
				return err
			}
			continue
		}
		if other := keys[r.name.Key()]; other != nil {
			if err := l.bad(fmt.Errorf("rooms %d and %d have the same name, %s and %s", other.id, r.id, other.name, r.name)); err != nil {
				return err
			}
		}
		r.next = r.head
		keys[r.name.Key()], l.rooms[r.id], l.merged[r.id] = r, r, r.head
	}
	return closeRows(rows)
}

// author is a row of users.
type author struct {
	key, name string
	err       error // if not nil, the row cannot be read, and key and name are ""
}

// maxAuthors bounds the rows of users that a connection remembers.
const maxAuthors = 1 << 14

// authors reads rows of users and remembers some. A row never changes.
type authors struct {
	stmt  *sql.Stmt
	known map[int64]author
	sum   summer
}

func (c *conn) newAuthors(ctx context.Context) (*authors, error) {
	a := &authors{known: make(map[int64]author)}
	return a, c.prepare(ctx, map[**sql.Stmt]string{&a.stmt: "SELECT key, name, sum FROM users WHERE id = ?"})
}

// readAll reads the rows with some ids at once, where there are that many: one by one, each
// is a transaction. Rows that cannot be read are left to author.
func (a *authors) readAll(ctx context.Context, c *conn, ids []int64) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := c.QueryContext(ctx, "SELECT id, key, name, sum FROM users WHERE id IN (SELECT value FROM json_each(?))", string(list))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() && len(a.known) < maxAuthors {
		var id, value int64
		var found author
		if rows.Scan(&id, &found.key, &found.name, &value) == nil && a.sum.user(id, found.key, found.name) == value {
			a.known[id] = found
		}
	}
	return closeRows(rows)
}

// author returns the row with an id. The error is not about the row.
func (a *authors) author(ctx context.Context, id int64) (author, error) {
	found, ok := a.known[id]
	if ok {
		return found, nil
	}
	var value int64
	err := a.stmt.QueryRowContext(ctx, id).Scan(&found.key, &found.name, &value)
	switch {
	case codeOf(err) != 0:
		return author{}, err
	case errors.Is(err, sql.ErrNoRows):
		err = errMissing
	case err == nil && a.sum.user(id, found.key, found.name) != value:
		err = errSum
	}
	if err != nil {
		found = author{err: err}
	}
	if len(a.known) >= maxAuthors {
		clear(a.known)
	}
	a.known[id] = found
	return found, nil
}

// load reads the state that is kept in memory.
func (d *database) load(ctx context.Context) error {
	c, err := load(ctx, d.writer, d.authors, d.readJournal, func(err error) error { return err })
	if err != nil {
		return err
	}
	d.epoch, d.created, d.unmerged, d.progress, d.erasing = c.epoch, c.created, c.unmerged, c.progress, c.erasing
	d.eraser.done, d.eraser.swept = d.erasing.done, d.erasing.swept
	d.noteErasing()
	if !d.erasing.swept || d.erasing.due > d.erasing.done {
		nudge(d.eraser.wake)
	}
	d.show()
	for id, r := range c.rooms {
		d.rooms[r.name.Key()] = r
		d.lastRoom = max(d.lastRoom, id)
	}
	if err := d.writer.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM users").Scan(&d.lastUser); err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	return nil
}

// setEpoch writes the row of the epoch.
func setEpoch(ctx context.Context, c *conn, epoch string, created int64) error {
	if err := c.exec(ctx, "UPDATE store SET epoch = ?, sum = ?", epoch, new(summer).store(storeID, epoch, created)); err != nil {
		return fmt.Errorf("write the epoch: %w", err)
	}
	return nil
}
