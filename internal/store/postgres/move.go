package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// movingName is the application_name of connections that move a database, so that they are told from
// those of nodes.
const movingName = "kaban migrate"

// ErrInUse means that somebody else uses a database that is to be moved.
var ErrInUse = errors.New("the database is in use")

// giveUp says how to go on with a database that was moved.
const giveUp = `run "DELETE FROM move" in the database`

// placeOf names a database for people, without what is secret.
func placeOf(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", Host: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), Path: "/" + c.Database}
	if filepath.IsAbs(c.Host) { // a socket
		u.Host, u.RawQuery = "", url.Values{"host": {c.Host}, "port": {strconv.Itoa(int(c.Port))}}.Encode()
	}
	return u.String()
}

// Place implements store.Movable.
func (s *Store) Place() string { return placeOf(s.readers.Config().ConnConfig) }

// GiveUp implements store.Movable.
func (s *Store) GiveUp() string { return giveUp }

// refuseOlder returns a store.ErrOlder for the schema of an older version.
func refuseOlder(ctx context.Context, c *pgx.Conn) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	version, err := versionOf(ctx, c)
	if err == nil && version > 0 && version < len(scripts) {
		err = fmt.Errorf("%w: %s has schema %d; start a node with it once to update it to %d", store.ErrOlder, placeOf(c.Config()), version, len(scripts))
	}
	return err
}

// readMoveNote returns the note about a move.
func readMoveNote(ctx context.Context, c querier) (m store.Move, err error) {
	err = c.QueryRow(ctx, "SELECT role, run, other FROM move").Scan(&m.Role, &m.ID, &m.Other)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return m, err
}

// refuseMoved returns a store.ErrMoved if a database has a note.
func refuseMoved(ctx context.Context, c *pgx.Conn) error {
	m, err := readMoveNote(ctx, c)
	if err != nil {
		return fmt.Errorf("read whether the data were moved: %w", err)
	}
	return m.ErrInUse(placeOf(c.Config()), giveUp)
}

// How long a move waits for those that have just stopped, because a server takes a moment to notice that
// a process is gone, and how often it looks.
const (
	aloneWait  = 3 * time.Second
	alonePause = 50 * time.Millisecond
)

// within calls a function until it reports true, for at most aloneWait, and reports whether it did.
func within(ctx context.Context, done func() (bool, error)) (bool, error) {
	for until := time.Now().Add(aloneWait); ; {
		if ok, err := done(); ok || err != nil || time.Now().After(until) {
			return ok, err
		}
		select {
		case <-time.After(alonePause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// takeAlone takes the lock of a move and makes sure that nobody else is connected. A node that
// connects later sees the note of the move.
func takeAlone(ctx context.Context, c *pgx.Conn) error {
	taken, err := within(ctx, func() (taken bool, err error) {
		err = c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", moveLock).Scan(&taken)
		return taken, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("lock the database: %w", err)
	case !taken:
		return fmt.Errorf("%w: another \"kaban migrate\" is moving %s", ErrInUse, placeOf(c.Config()))
	}
	return refuseNodes(ctx, c)
}

// refuseNodes returns an ErrInUse if a node is connected, and remains so.
func refuseNodes(ctx context.Context, c *pgx.Conn) error {
	var connections int
	none, err := within(ctx, func() (bool, error) {
		err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", nodeName).Scan(&connections)
		return connections == 0, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("look for nodes: %w", err)
	case !none:
		return fmt.Errorf("%w: nodes have %d connections to %s; stop them all", ErrInUse, connections, placeOf(c.Config()))
	}
	return nil
}

// release gives up the lock of a move.
func (s *Store) release(ctx context.Context) {
	if s.alone != nil {
		_ = s.alone.Close(ctx) // the server drops the lock with the connection, whatever becomes of that
	}
}

// Move implements store.Movable.
func (s *Store) Move(ctx context.Context) (m store.Move, err error) {
	err = s.reading(ctx, "read the note of a move", func(ctx context.Context, c querier) error {
		m, err = readMoveNote(ctx, c)
		return err
	})
	return m, err
}

// NoteMove implements store.Movable.
func (s *Store) NoteMove(ctx context.Context, m store.Move) error {
	sql, args := "DELETE FROM move", []any{}
	if m.Role != store.RoleNone {
		sql, args = `INSERT INTO move (id, role, run, other) VALUES (1, $1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET role = excluded.role, run = excluded.run, other = excluded.other`, []any{m.Role, m.ID, m.Other}
	}
	if err := s.execute(ctx, "write the note of a move", sql, args...); err != nil || s.alone == nil || m.Role == store.RoleNone {
		return err
	}
	return refuseNodes(ctx, s.alone) // one may have started before it could see the note
}

// execute executes a statement that may be repeated.
func (s *Store) execute(ctx context.Context, operation, sql string, args ...any) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.try(ctx, operation, func(ctx context.Context) error {
		c, err := s.writers.Acquire(ctx)
		if err != nil {
			return unsent{err}
		}
		defer c.Release()
		if _, err = c.Exec(ctx, sql, args...); err == nil {
			err = s.confirmed(c.Conn(), 0)
		}
		return kept(c.Conn(), err)
	})
}

// Identity implements store.Movable.
func (s *Store) Identity(ctx context.Context) (i store.Identity, err error) {
	err = s.reading(ctx, "read the epoch", func(ctx context.Context, c querier) error {
		return c.QueryRow(ctx, "SELECT epoch, created FROM store").Scan(&i.Epoch, &i.Created)
	})
	return i, err
}

// Become implements store.Movable.
func (s *Store) Become(ctx context.Context, i store.Identity) error {
	err := s.execute(ctx, "write the epoch", "UPDATE store SET epoch = $1, created = $2", i.Epoch, i.Created)
	if err == nil {
		s.epoch = i.Epoch
	}
	return err
}

// frontsQuery has all fronts, by room and author. Somebody has one name in all of them.
const frontsQuery = `WITH names AS (
		SELECT DISTINCT ON (author) author, username FROM counts WHERE front > 0 ORDER BY author, room
	) SELECT r.name, r.oldest - 1, r.front, c.author, n.username, c.front FROM rooms r
	LEFT JOIN counts c ON c.room = r.id AND c.front > 0 LEFT JOIN names n ON n.author = c.author
	WHERE r.oldest > 1 AND ($1::text[] IS NULL OR r.key = ANY ($1)) ORDER BY r.name, c.author`

// fronts passes on the fronts of some rooms, or of all.
func fronts(ctx context.Context, c querier, keys []string, pass func(*store.Front) error) error {
	rows, err := c.Query(ctx, frontsQuery, keys)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []*store.Front
	for rows.Next() {
		var name string
		var f store.Front
		var author, username *string
		var messages *uint64
		if err := rows.Scan(&name, &f.Seq, &f.Messages, &author, &username, &messages); err != nil {
			return err
		}
		if f.Room, err = parseRoom(name); err != nil {
			return err
		}
		if n := len(all); n == 0 || all[n-1].Room != f.Room {
			all = append(all, &f)
		}
		if author == nil {
			continue
		}
		one, err := frontAuthor(*author, username, *messages)
		if err != nil {
			return fmt.Errorf("%w: the front of %s: %w", store.ErrDamaged, f.Room, err)
		}
		last := all[len(all)-1]
		last.Written = append(last.Written, one)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, f := range all {
		if err := f.Parts(pass); err != nil {
			return err
		}
	}
	return nil
}

func frontAuthor(author string, username *string, messages uint64) (one store.FrontAuthor, err error) {
	if username == nil {
		return one, fmt.Errorf("%s has no name", author)
	}
	name, err := kaban.ParseUsername(*username)
	if err == nil {
		one.Author, err = kaban.ParseIdentity(author, name)
	}
	one.Messages = messages
	return one, err
}

// Fronts implements store.Movable.
func (s *Store) Fronts(ctx context.Context, pass func(*store.Front) error) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	return fronts(ctx, s.readers, nil, pass)
}

// Queries that read what is kept of the entries in a run of a room. The sum of a text counts for
// nothing once the message is deleted or not kept.
const (
	keptQuery = "SELECT " + entryColumns + `, CASE WHEN e.kind = 2 THEN
			(SELECT e.original FROM states t WHERE t.room = e.room AND t.seq = e.target AND t.deleted = 0)
		ELSE e.original END, ` + stateColumns + " FROM entries e" + statesJoin + " WHERE e.room = $1 AND e.seq BETWEEN $2 AND $3 ORDER BY e.seq"
	keptReactionsQuery = "SELECT seq, emoji, author, username, since, time FROM reactions WHERE room = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, since"
	keptMentionsQuery  = "SELECT seq, account, cause, time, online FROM mentions WHERE room = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, cause, account"
	keptNoopsQuery     = "SELECT author, username, id, answer, time, kind, target, content FROM entries WHERE room = $1 AND seq < 0 AND target BETWEEN $2 AND $3 ORDER BY target, author, id"
)

// ReadKept implements store.Movable.
func (s *Store) ReadKept(ctx context.Context, name kaban.RoomName, after uint64, limit, bytes int) (found []store.Kept, err error) {
	err = s.reading(ctx, "read entries", func(ctx context.Context, c querier) error {
		found, err = readKept(ctx, c, s.secret, name, after, limit, bytes)
		return err
	})
	return found, err
}

func readKept(ctx context.Context, c querier, secret []byte, name kaban.RoomName, after uint64, limit, bytes int) ([]store.Kept, error) {
	var id int64
	var head, oldest uint64
	err := c.QueryRow(ctx, "SELECT id, head, oldest FROM rooms WHERE key = $1", name.Key()).Scan(&id, &head, &oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	k := keeping{c: c, name: name, secret: secret, id: id, first: max(after+1, oldest)}
	k.last = min(head, k.first+uint64(limit)-1)
	if err != nil || k.first > k.last {
		return nil, err
	}
	for _, read := range []func(context.Context) error{
		func(ctx context.Context) error { return k.readEntries(ctx, bytes) }, k.readReactions, k.readMentions, k.readNoops,
	} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	return k.found, nil
}

// keeping reads a run of entries with what is kept of them.
type keeping struct {
	c           querier
	secret      []byte // of sums
	name        kaban.RoomName
	id          int64
	first, last uint64
	found       []store.Kept // from first on
}

// each calls add with the rows of a query about the run, which are scanned into values.
func (k *keeping) each(ctx context.Context, query string, values []any, add func() error) error {
	rows, err := k.c.Query(ctx, query, k.id, int64(k.first), int64(k.last))
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, values, add)
	return err
}

// at returns what was found with a seq. Only a row about a message that is not there has none.
func (k *keeping) at(seq uint64) (*store.Kept, error) {
	if seq < k.first || seq-k.first >= uint64(len(k.found)) {
		return nil, &store.DamagedError{Room: k.name, Seq: seq, Err: errMissing}
	}
	return &k.found[seq-k.first], nil
}

// portable returns a sum with the secret that it needs.
func (k *keeping) portable(sum []byte) []byte {
	if len(sum) > sumSize {
		return slices.Clone(sum)
	}
	return slices.Concat(k.secret, sum)
}

// errEnough ends a query.
var errEnough = errors.New("that is enough")

func (k *keeping) readEntries(ctx context.Context, limit int) error {
	next, size := k.first, 0
	var f entryRow
	var original []byte
	err := k.each(ctx, keptQuery, append(append(f.entry(), &original), f.states()...), func() error {
		e := f.get()
		if e.Seq != next {
			return &store.DamagedError{Room: k.name, Seq: next, Err: errMissing}
		}
		if size += e.Size(); size > limit && len(k.found) > 0 {
			return errEnough
		}
		record, err := store.RecordOf(k.name, &e)
		if err != nil {
			return &store.DamagedError{Room: k.name, Seq: e.Seq, Err: err}
		}
		one := store.Kept{Record: *record, State: e.State}
		if len(original) > 0 && !e.IsDeleted() {
			one.Original = k.portable(original)
		}
		k.found = append(k.found, one)
		next++
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if len(k.found) == 0 || err == nil && next <= k.last {
		return &store.DamagedError{Room: k.name, Seq: next, Err: errMissing}
	}
	k.last = next - 1
	return nil
}

func (k *keeping) readReactions(ctx context.Context) error {
	var seq uint64
	var emoji string
	var p store.Reactor
	return k.each(ctx, keptReactionsQuery, []any{&seq, &emoji, &p.Author, &p.Username, &p.Seq, &p.Time}, func() error {
		one, err := k.at(seq)
		if err != nil {
			return err
		}
		if one.State == nil {
			one.State = new(store.State)
		}
		at := slices.IndexFunc(one.State.Reactions, func(r store.Reaction) bool { return r.Emoji == emoji })
		if at < 0 {
			at = len(one.State.Reactions)
			one.State.Reactions = append(one.State.Reactions, store.Reaction{Emoji: emoji})
		}
		one.State.Reactions[at].People = append(one.State.Reactions[at].People, p)
		return nil
	})
}

func (k *keeping) readMentions(ctx context.Context) error {
	var seq uint64
	var o store.Occurrence
	return k.each(ctx, keptMentionsQuery, []any{&seq, &o.Account, &o.Cause, &o.Time, &o.Online}, func() error {
		one, err := k.at(seq)
		if err == nil {
			o.Online = slices.Clone(o.Online)
			one.Mentions = append(one.Mentions, o)
		}
		return err
	})
}

func (k *keeping) readNoops(ctx context.Context) error {
	var e store.Entry
	return k.each(ctx, keptNoopsQuery, []any{&e.Author, &e.Username, &e.ID, &e.Seq, &e.Time, &e.Kind, &e.Target, &e.Content}, func() error {
		one, err := k.at(e.Target)
		if err != nil {
			return err
		}
		record, err := store.RecordOf(k.name, &e)
		if err != nil {
			return &store.DamagedError{Room: k.name, Seq: e.Target, Err: err}
		}
		one.Noops = append(one.Noops, store.Noop{Draft: record.Draft, Answer: store.Change{Seq: record.Seq, Time: record.Time}})
		return nil
	})
}
