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
			if isDamage(err) && !errors.Is(err, store.ErrDamaged) {
				err = damaged(part.name, err)
			}
			if errors.Is(err, store.ErrDamaged) {
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
	keys := make(map[string]*room)
	err := l.readRooms(keys)
	if isDamage(err) && l.saved != nil {
		return l.saveRooms(err, keys)
	}
	return err
}

// readRooms adds the rooms that SQLite can read.
func (l *loader) readRooms(keys map[string]*room) error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT id, key, name, "+roomColumns+" FROM rooms")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var one savedRoom
		var value int64
		err := rows.Scan(append([]any{&one.id, &one.key, &one.name}, one.row.scan(&value)...)...)
		if err == nil && l.contents.sum.room(one.id, one.key, one.name, one.row) != value {
			err = errSum
		}
		if err := l.addRoom(&one, err, keys); err != nil {
			return err
		}
	}
	return closeRows(rows)
}

// addRoom adds a room, unless it is damaged.
func (l *loader) addRoom(one *savedRoom, err error, keys map[string]*room) error {
	r := &room{id: one.id, key: one.key}
	r.head, r.revision, r.messages, r.cut, r.cutMessages = one.row.head, one.row.revision, one.row.messages, one.row.cut, one.row.cutMessages
	if err == nil {
		r.name, err = kaban.ParseAnyRoom(one.name)
	}
	if err != nil {
		return l.bad(damaged(fmt.Sprintf("room %d, %q", one.id, one.name), err))
	}
	if other := keys[r.name.Key()]; other != nil {
		if err := l.bad(fmt.Errorf("rooms %d and %d have the same name, %s and %s", other.id, r.id, other.name, r.name)); err != nil {
			return err
		}
	}
	r.next = r.head
	keys[r.name.Key()], l.rooms[r.id], l.merged[r.id] = r, r, r.head
	return nil
}

// saveRooms adds the rooms that SQLite cannot read, and names those that cannot be added because too little is left.
func (l *loader) saveRooms(damage error, keys map[string]*room) error {
	if err := l.bad(damaged("the table of rooms", damage)); err != nil {
		return err
	}
	found, nameless, err := l.saved.rooms(l.ctx, l.rooms, l.bad)
	if err != nil {
		return err
	}
	for i := range found {
		one := &found[i]
		if one.guessed {
			if err := l.bad(damaged(fmt.Sprintf("the row of room %d is lost, and is taken from its entries: it is called %s, and has them up to %d", one.id, one.name, one.row.head), errMissing)); err != nil {
				return err
			}
		}
		if err := l.addRoom(one, nil, keys); err != nil {
			return err
		}
	}
	for _, id := range nameless {
		n, err := l.conn.number(l.ctx, fmt.Sprintf("SELECT count(*) FROM entries WHERE place BETWEEN %d AND %d", id<<seqBits, id<<seqBits|maxSeq))
		if err != nil && !isDamage(err) {
			return err
		}
		its := fmt.Sprintf("its %d entries", n)
		if err != nil { // nor how many there are
			its = "its entries"
		}
		if err := l.bad(damaged(fmt.Sprintf("the name of room %d is lost, so %s cannot be read", id, its), errMissing)); err != nil {
			return err
		}
	}
	return nil
}

// author is a row of users.
type author struct {
	key, name string
	err       error    // if not nil, the row cannot be read, and key and name are ""
	guesses   []string // of a row that is lost: what the name may have been
}

// maxAuthors bounds the rows of users that a connection remembers.
const maxAuthors = 1 << 14

// authors reads rows of users and remembers some. A row never changes.
type authors struct {
	stmt  *sql.Stmt
	known map[int64]author
	sum   summer
	// saved reads what SQLite cannot, for an archive.
	saved *salvage
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

// matches reports whether an entry, whose author is that, has a checksum. One without a name of its own gets the
// name that fits, if that is a guess.
func (a *authors) matches(e *store.Entry, place, user, value int64, by *author, ownName bool) bool {
	if a.sum.entry(place, user, e) == value {
		return true
	}
	if ownName {
		return false
	}
	for i, name := range by.guesses {
		if e.Username = name; a.sum.entry(place, user, e) == value {
			by.guesses[0], by.guesses[i] = name, by.guesses[0] // the first one to try next time
			return true
		}
	}
	return false
}

// author returns the row with an id. The error is not about the row.
func (a *authors) author(ctx context.Context, id int64) (author, error) {
	found, ok := a.known[id]
	if ok {
		if len(found.guesses) > 0 {
			found.name = found.guesses[0] // the one that matched last, see matches
		}
		return found, nil
	}
	var value int64
	err := a.stmt.QueryRowContext(ctx, id).Scan(&found.key, &found.name, &value)
	switch {
	case isDamage(err) && a.saved != nil:
		if found, err = a.saved.author(ctx, id); err != nil {
			return author{}, err
		}
		err = found.err
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
