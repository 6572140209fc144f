package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kaban"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store"
)

// moveName is the file in the data directory with the note about a move. It has a line each for the
// role, the id and the other side.
const moveName = "migration"

// readMove returns the note in a data directory.
func readMove(dir string) (m store.Move, err error) {
	path := filepath.Join(dir, moveName)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return m, fmt.Errorf("%w; it says whether the data were moved", err)
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) != 4 || len(lines[3]) > 0 {
		return m, fmt.Errorf("%s is not as it was written; it says whether the data were moved, so look for them elsewhere before you remove it", path)
	}
	m = store.Move{Role: store.Role(lines[0]), ID: string(lines[1]), Other: string(lines[2])}
	if m.ErrInUse(dir, "") == nil {
		return m, fmt.Errorf("%s names no role; it says whether the data were moved, so look for them elsewhere before you remove it", path)
	}
	return m, nil
}

// refuseMoved returns a store.ErrMoved if a data directory has a note.
func refuseMoved(dir string) error {
	m, err := readMove(dir)
	if err != nil {
		return err
	}
	return m.ErrInUse(dir, giveUp(dir))
}

// giveUp says how to go on with a data directory that was moved.
func giveUp(dir string) string { return "remove the file " + filepath.Join(dir, moveName) }

// Place implements store.Movable.
func (s *Store) Place() string { return filepath.Dir(s.path) }

// GiveUp implements store.Movable.
func (s *Store) GiveUp() string { return giveUp(s.Place()) }

// Move implements store.Movable.
func (s *Store) Move(ctx context.Context) (store.Move, error) {
	if err := s.usable(ctx); err != nil {
		return store.Move{}, err
	}
	return readMove(filepath.Dir(s.path))
}

// NoteMove implements store.Movable.
func (s *Store) NoteMove(ctx context.Context, m store.Move) (err error) {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if err := s.mergePresent(); err != nil { // which may add documents
		return err
	}
	dir := filepath.Dir(s.path)
	path := filepath.Join(dir, moveName)
	if m.Role == store.RoleNone {
		if err := disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return disk.SyncDirectory(dir)
	}
	draft := path + ".partial"
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n%s\n", m.Role, m.ID, strings.ReplaceAll(m.Other, "\n", " "))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	if err := disk.Rename(draft, path); err != nil {
		return err
	}
	return disk.SyncDirectory(dir)
}

// Identity implements store.Movable.
func (s *Store) Identity(ctx context.Context) (store.Identity, error) {
	return store.Identity{Epoch: s.epoch, Created: s.created}, s.usable(ctx)
}

// Become implements store.Movable.
func (s *Store) Become(ctx context.Context, i store.Identity) error {
	_, err := s.change(ctx, "write the epoch", func(b *batch) (int, error) {
		_, err := b.writer.ExecContext(b.ctx, "UPDATE store SET created = ?", i.Created)
		if err == nil {
			err = setEpoch(b.ctx, b.writer, i.Epoch, i.Created)
		}
		return 0, err
	})
	if err == nil {
		s.epoch, s.created = i.Epoch, i.Created
	}
	return err
}

// frontsQuery has the authors of what was cut, by room and in the order of Archive.Export.
const frontsQuery = "SELECT w.user, w.messages, w.last, w.cut_messages, w.cut, w.sum, u.key, u.name, u.sum" +
	" FROM written w JOIN users u ON u.id = w.user WHERE w.room = ? AND w.cut_messages > 0 ORDER BY u.key"

// Fronts implements store.Movable.
func (s *Store) Fronts(ctx context.Context, pass func(*store.Front) error) error {
	rooms, err := s.Rooms(ctx)
	if err != nil {
		return err
	}
	store.SortRooms(rooms)
	for i := range rooms {
		if rooms[i].Oldest == 1 {
			continue
		}
		f := &store.Front{Room: rooms[i].Name, Seq: rooms[i].Oldest - 1}
		if f.Written, err = s.writtenOf(ctx, f); err != nil {
			return err
		}
		if err := f.Parts(pass); err != nil {
			return err
		}
	}
	return nil
}

// writtenOf returns the authors of a front, and fills its count of messages.
func (s *Store) writtenOf(ctx context.Context, f *store.Front) (found []store.FrontAuthor, err error) {
	c, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.readers <- c }()
	s.mu.RLock()
	r := s.rooms[f.Room.Key()]
	f.Messages = r.cutMessages
	s.mu.RUnlock()
	rows, err := c.QueryContext(ctx, frontsQuery, r.id)
	if err != nil {
		return nil, s.failed("read the front of "+f.Room.String(), err)
	}
	defer rows.Close()
	sum := &c.authors.sum
	for rows.Next() {
		of, w, by := authorIn{room: r.id}, written{}, author{}
		var value, userValue int64
		err := rows.Scan(&of.user, &w.messages, &w.last, &w.cutMessages, &w.cut, &value, &by.key, &by.name, &userValue)
		if err == nil && (sum.written(of, w) != value || sum.user(of.user, by.key, by.name) != userValue) {
			err = errSum
		}
		one := store.FrontAuthor{Messages: w.cutMessages}
		if err == nil {
			one.Author, err = by.identity()
		}
		if err != nil {
			return nil, damaged(fmt.Sprintf("the count of user %d in %s", of.user, f.Room), err)
		}
		found = append(found, one)
	}
	return found, closeRows(rows)
}

// ReadKept implements store.Movable.
func (s *Store) ReadKept(ctx context.Context, name kaban.RoomName, after uint64, limit, bytes int) (found []store.Kept, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var first, last uint64
	if r != nil {
		first, last = max(after, r.cut)+1, min(r.head, max(after, r.cut)+uint64(limit))
	}
	s.mu.RUnlock()
	if r == nil || first > last {
		return nil, nil
	}
	c, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.readers <- c }()
	ctx = context.WithoutCancel(ctx) // a query that is interrupted would look like a failure
	k := keeping{reader: c, room: r, first: first, last: last}
	if err := k.readEntries(bytes); err != nil {
		return nil, err
	}
	for _, read := range []func(context.Context) error{k.readStates, k.readOriginals, k.readMentions, k.readNoops} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	return k.found, nil
}

// keeping reads a run of entries with what is kept of them.
type keeping struct {
	*reader
	room        *room
	first, last uint64
	found       []store.Kept // from first on
}

// at returns what was found at a place.
func (k *keeping) at(place int64) *store.Kept { return &k.found[uint64(place&maxSeq)-k.first] }

// bounds returns the places of the run.
func (k *keeping) bounds() (from, to int64) { return k.room.place(k.first), k.room.place(k.last) }

func (k *keeping) readEntries(limit int) error {
	from, to := k.bounds()
	rows, err := k.page.QueryContext(context.Background(), from, to)
	var bad error
	size := 0
	seq, damage, err := readRun(rows, err, k.authors, k.room.id, k.first, k.last, func(e *store.Entry, _ int64) bool {
		if size += e.Size(); size > limit && len(k.found) > 0 {
			return false
		}
		var record *store.Record
		if record, bad = store.RecordOf(k.room.name, e); bad != nil {
			bad = &store.DamagedError{Room: k.room.name, Seq: e.Seq, Err: bad}
			return false
		}
		k.found = append(k.found, store.Kept{Record: *record})
		return true
	})
	switch {
	case err != nil || bad != nil:
		return errors.Join(err, bad)
	case damage != nil:
		return &store.DamagedError{Room: k.room.name, Seq: seq, Err: damage}
	}
	k.last = k.first + uint64(len(k.found)) - 1
	return nil
}

func (k *keeping) readStates(ctx context.Context) error {
	from, to := k.bounds()
	states := newStates()
	rows, err := k.QueryContext(ctx, stateQuery+"BETWEEN ? AND ?", from, to)
	if err := states.readStates(rows, err, &k.authors.sum); err != nil {
		return err
	}
	rows, err = k.QueryContext(ctx, reactionsQuery+"BETWEEN ? AND ? ORDER BY place, emoji, first", from, to)
	if err := states.readReactions(ctx, rows, err, k.authors); err != nil {
		return err
	}
	for _, err := range states.bad {
		return err
	}
	for place, state := range states.of {
		k.at(place).State = state
	}
	return nil
}

func (k *keeping) readOriginals(ctx context.Context) error {
	from, to := k.bounds()
	rows, err := k.QueryContext(ctx, "SELECT place, hash, older, sum FROM originals WHERE place BETWEEN ? AND ?", from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var o original
		var place, value int64
		err := rows.Scan(&place, &o.hash, &o.older, &value)
		if err := checked(err, k.authors.sum.original(place, &o), value, "the hash of entry", uint64(place&maxSeq)); err != nil {
			return err
		}
		k.at(place).Original = bytes.Clone(o.hash)
	}
	return closeRows(rows)
}

func (k *keeping) readMentions(ctx context.Context) error {
	from, to := k.bounds()
	rows, err := k.QueryContext(ctx, allMentions+" INDEXED BY mentions_of_message WHERE place BETWEEN ? AND ? ORDER BY place, cause, account", from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scanMention(rows, &k.authors.sum)
		if err != nil {
			return err
		}
		one := k.at(m.place)
		one.Mentions = append(one.Mentions, m.Occurrence)
	}
	return closeRows(rows)
}

// keptNoopsQuery has the changes of the messages of a run that made no difference.
const keptNoopsQuery = "SELECT n.user, u.key, u.name, n.id, n.seq, n.time, n.kind, n.target, n.content, n.sum FROM noops n INDEXED BY noop_targets" +
	" JOIN users u ON u.id = n.user WHERE n.room = ? AND n.target BETWEEN ? AND ? ORDER BY n.target, u.key, n.id"

func (k *keeping) readNoops(ctx context.Context) error {
	rows, err := k.QueryContext(ctx, keptNoopsQuery, k.room.id, k.first, k.last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		in, by := authorIn{room: k.room.id}, author{}
		var e store.Entry
		var value int64
		err := rows.Scan(&in.user, &by.key, &by.name, &e.ID, &e.Seq, &e.Time, &e.Kind, &e.Target, &e.Content, &value)
		if err := checked(err, k.authors.sum.noop(in, &e), value, "the id of a change of message", e.Target); err != nil {
			return err
		}
		e.Author, e.Username = by.key, by.name
		record, err := store.RecordOf(k.room.name, &e)
		if err != nil {
			return damaged(fmt.Sprintf("the id of a change of message %d", e.Target), err)
		}
		one := k.at(k.room.place(e.Target))
		one.Noops = append(one.Noops, store.Noop{Draft: record.Draft, Answer: store.Change{Seq: record.Seq, Time: record.Time}})
	}
	return closeRows(rows)
}
