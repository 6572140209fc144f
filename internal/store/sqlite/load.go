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

// contents is what is read of a database before anything else: all but the users
// and the entries that are in their place.
type contents struct {
	epoch   string
	created int64
	rooms   map[int64]*room
	merged  map[int64]uint64 // the heads of what is in its place
	recent  recent
	sum     summer
}

// loader reads contents. What is damaged it gives to bad, and ends with the error
// that bad returns, or goes on without it.
type loader struct {
	ctx  context.Context
	conn *conn
	bad  func(error) error
	*contents
}

// load reads the contents of a database.
func load(ctx context.Context, c *conn, bad func(error) error) (*contents, error) {
	l := loader{ctx, c, bad, &contents{
		rooms: make(map[int64]*room), merged: make(map[int64]uint64),
		recent: recent{keys: make(map[key]earlier), rooms: make(map[*room]struct{})},
	}}
	for _, part := range []struct {
		what string
		load func() error
	}{{"the epoch", l.loadEpoch}, {"the rooms", l.loadRooms}, {"the journal", l.loadJournal}} {
		if err := part.load(); err != nil {
			if isDamage(err) {
				err = l.bad(err)
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", part.what, err)
			}
		}
	}
	return l.contents, nil
}

// damaged is the error for a row that is not as it was written.
func damaged(what string, err error) error {
	return fmt.Errorf("%w: %s: %w; \"kaban check\" tells more, and \"kaban restore\" puts a backup in the place of the database", store.ErrDamaged, what, err)
}

func (l *loader) loadEpoch() error {
	var id, value int64
	err := l.conn.QueryRowContext(l.ctx, "SELECT id, epoch, created, sum FROM store").Scan(&id, &l.epoch, &l.created, &value)
	switch {
	case codeOf(err) != 0:
		return err
	case err == nil && l.sum.store(id, l.epoch, l.created) != value:
		err = errSum
	}
	if err != nil {
		return l.bad(damaged("the row of the epoch", err))
	}
	return nil
}

func (l *loader) loadRooms() error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT id, key, name, head, sum FROM rooms")
	if err != nil {
		return err
	}
	defer rows.Close()
	keys := make(map[string]*room)
	for rows.Next() {
		r := &room{}
		var name string
		var value int64
		err := rows.Scan(&r.id, &r.key, &name, &r.head, &value)
		if err == nil && l.sum.room(r.id, r.key, name, r.head) != value {
			err = errSum
		}
		if err == nil {
			r.name, err = kaban.ParseRoomName(name)
		}
		if err != nil {
			if err = l.bad(damaged(fmt.Sprintf("room %d, %q", r.id, name), err)); err != nil {
				return err
			}
			continue
		}
		if other := keys[r.name.Key()]; other != nil {
			if err := l.bad(fmt.Errorf("rooms %d and %d have names that are the same, %s and %s", other.id, r.id, other.name, r.name)); err != nil {
				return err
			}
		}
		keys[r.name.Key()], l.rooms[r.id], l.merged[r.id] = r, r, r.head
	}
	return closeRows(rows)
}

// loadJournal reads what is in the journal only, after the rooms. It takes the
// journal apart itself, which is ten times as fast as the view.
func (l *loader) loadJournal() error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT batch, time, entries, sum FROM journal ORDER BY batch")
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []recentEntry
	var rooms []int64
	for rows.Next() {
		var batch, time, value int64
		var text []byte
		var entries []journaled
		err := rows.Scan(&batch, &time, &text, &value)
		if err == nil && l.sum.batch(batch, time, text) != value {
			err = errSum
		}
		if err == nil {
			err = json.Unmarshal(text, &entries)
		}
		if err != nil {
			if err = l.bad(damaged(fmt.Sprintf("batch %d of the journal", batch), err)); err != nil {
				return err
			}
			continue
		}
		l.recent.batch = batch // also if all of it is merged
		for _, j := range entries {
			room, seq := j.Place>>seqBits, uint64(j.Place&maxSeq)
			if seq <= l.merged[room] {
				continue
			}
			rooms = append(rooms, room)
			all = append(all, recentEntry{
				Entry: store.Entry{Seq: seq, Time: time, Kind: j.Kind, ID: j.ID, Username: j.Username, Target: j.Target, Content: j.Content},
				batch: batch, user: j.User, ownName: j.Username != "",
			})
		}
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	return l.addRecent(all, rooms)
}

// addRecent adds entries of the journal to their rooms.
func (l *loader) addRecent(entries []recentEntry, rooms []int64) error {
	names, err := l.namesOf(entries)
	if err != nil {
		return err
	}
	for i := range entries {
		e, r := &entries[i], l.rooms[rooms[i]]
		author := names[e.user]
		if e.Username == "" {
			e.Username = author.name
		}
		_, twice := l.recent.keys[key{e.user, e.ID}]
		switch {
		case r == nil:
			err = l.bad(fmt.Errorf("entry %d of the journal is of room %d, which does not exist", e.Seq, rooms[i]))
		case author.err != nil:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s is of user %d", e.Seq, r.name, e.user), author.err))
		case twice || e.Seq != r.head+1:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s", e.Seq, r.name), errors.New("it does not follow what is there")))
		}
		if err != nil {
			return err
		}
		if r != nil && e.Seq > r.head && e.Username != "" {
			r.head = e.Seq
			l.recent.add(r, entries[i:i+1])
		}
	}
	return nil
}

// author is the name of a user, or why it cannot be read.
type author struct {
	name string
	err  error
}

// namesOf returns the names of the authors, as users has them.
func (l *loader) namesOf(entries []recentEntry) (names map[int64]author, err error) {
	stmt, err := l.conn.PrepareContext(l.ctx, "SELECT key, name, sum FROM users WHERE id = ?")
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	names = make(map[int64]author)
	for i := range entries {
		id := entries[i].user
		if _, ok := names[id]; ok {
			continue
		}
		var key, name string
		var value int64
		err := stmt.QueryRowContext(l.ctx, id).Scan(&key, &name, &value)
		switch {
		case codeOf(err) != 0:
			return nil, err
		case errors.Is(err, sql.ErrNoRows):
			err = errMissing
		case err == nil && l.sum.user(id, key, name) != value:
			err = errSum
		}
		if err != nil {
			name = ""
		}
		names[id] = author{name, err}
	}
	return names, nil
}

// load reads what is kept in memory.
func (s *Store) load(ctx context.Context) error {
	c, err := load(ctx, s.writer, func(err error) error { return err })
	if err != nil {
		return err
	}
	s.epoch, s.created, s.recent = c.epoch, c.created, c.recent
	for id, r := range c.rooms {
		s.rooms[r.name.Key()] = r
		s.lastRoom = max(s.lastRoom, id)
	}
	if err := s.writer.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM users").Scan(&s.lastUser); err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	return nil
}

// setEpoch writes the row of the epoch.
func setEpoch(ctx context.Context, c *conn, epoch string, created int64) error {
	if err := c.exec(ctx, "UPDATE store SET epoch = ?, sum = ?", epoch, new(summer).store(storeID, epoch, created)); err != nil {
		return fmt.Errorf("make the epoch: %w", err)
	}
	return nil
}
