package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kaban"
	"kaban/internal/store"
)

// Snapshot reads a database beside a server that may be running: it takes no
// lock that the server needs and changes nothing. One goroutine at a time uses
// it.
type Snapshot struct {
	path string
	conn *conn
}

// OpenSnapshot opens the database of a data directory. Its errors say what to
// do.
func OpenSnapshot(ctx context.Context, dir string) (*Snapshot, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseName)
	there, err := exists(path)
	switch {
	case err != nil:
		return nil, err
	case !there:
		return nil, fmt.Errorf("there is no database %s; name the server's data directory", path)
	}
	return openSnapshot(ctx, path)
}

func openSnapshot(ctx context.Context, path string) (*Snapshot, error) {
	scripts, err := migrations()
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	version, err := inspect(ctx, path, len(scripts))
	switch {
	case err != nil:
		return nil, err
	case version < len(scripts):
		return nil, fmt.Errorf("the database %s has the schema %d of an older version of kaban; start the server with it once, which brings it to %d", path, version, len(scripts))
	}
	c, err := connect(ctx, path, "ro", []pragma{{"busy_timeout", busyMillis}, {"temp_store", "2"}})
	if err != nil {
		return nil, explain(path, err)
	}
	return &Snapshot{path: path, conn: c}, nil
}

// Close ends it.
func (s *Snapshot) Close() error { return s.conn.close() }

// begin starts to look at one moment.
func (s *Snapshot) begin(ctx context.Context) error {
	if err := s.conn.exec(ctx, "BEGIN"); err != nil {
		return explain(s.path, err)
	}
	if err := checkJournal(ctx, s.conn); err != nil {
		return errors.Join(explain(s.path, err), s.end(ctx))
	}
	for _, query := range []string{
		// The view of this name takes the journal apart each time.
		"CREATE TEMP TABLE recent AS SELECT * FROM main.recent",
		"CREATE INDEX temp.recent_places ON recent (place)",
	} {
		if err := s.conn.exec(ctx, query); err != nil {
			return errors.Join(explain(s.path, err), s.end(ctx))
		}
	}
	return nil
}

// end forgets what begin has made, too.
func (s *Snapshot) end(ctx context.Context) error { return s.conn.rollback(context.WithoutCancel(ctx)) }

// Rooms lists the rooms by name.
func (s *Snapshot) Rooms(ctx context.Context) ([]store.Room, error) {
	rooms, _, err := s.rooms(ctx)
	return rooms, err
}

func (s *Snapshot) rooms(ctx context.Context) (rooms []store.Room, ids []int64, err error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT r.id, r.name, coalesce(n.head, r.head)
		FROM rooms r LEFT JOIN (SELECT place >> 40 AS room, max(place) & 0xFFFFFFFFFF AS head FROM recent GROUP BY 1) n ON n.room = r.id
		ORDER BY r.name`)
	if err != nil {
		return nil, nil, explain(s.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		r, id, text := store.Room{Oldest: 1}, int64(0), ""
		if err := rows.Scan(&id, &text, &r.Head); err != nil {
			return nil, nil, explain(s.path, err)
		}
		if r.Name, err = kaban.ParseRoomName(text); err != nil {
			return nil, nil, fmt.Errorf("room %d has the name %q: %w", id, text, err)
		}
		rooms, ids = append(rooms, r), append(ids, id)
	}
	return rooms, ids, explainAny(s.path, rows.Err())
}

func explainAny(path string, err error) error {
	if err == nil {
		return nil
	}
	return explain(path, err)
}

// Each calls visit with every entry, room by room and in the order of each
// room, all as they were at one moment, until visit returns an error. Without
// rooms it is all of them.
func (s *Snapshot) Each(ctx context.Context, only []kaban.RoomName, visit func(room kaban.RoomName, e *store.Entry) error) (err error) {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	rooms, ids, err := s.rooms(ctx)
	if err != nil {
		return err
	}
	for i, room := range rooms {
		if len(only) > 0 && !slices.ContainsFunc(only, func(name kaban.RoomName) bool { return name.Key() == room.Name.Key() }) {
			continue
		}
		if err := s.eachOf(ctx, ids[i], room.Name, visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) eachOf(ctx context.Context, id int64, name kaban.RoomName, visit func(kaban.RoomName, *store.Entry) error) error {
	for _, query := range []string{pageQuery, recentPageQuery} { // what is recent follows the rest
		rows, err := s.conn.QueryContext(ctx, query, id<<seqBits, id<<seqBits|maxSeq)
		if err != nil {
			return explain(s.path, err)
		}
		defer rows.Close()
		for rows.Next() {
			var e store.Entry
			var place int64
			if err := rows.Scan(&place, &e.Time, &e.Kind, &e.ID, &e.Username, &e.Content); err != nil {
				return explain(s.path, err)
			}
			e.Seq = uint64(place & maxSeq)
			if err := visit(name, &e); err != nil {
				return err
			}
		}
		if err := closeRows(rows); err != nil {
			return explain(s.path, err)
		}
	}
	return nil
}

// Health is what Check found in one room.
type Health struct {
	Room    store.Room
	Entries uint64 // how many there are
	Trouble string // "" if all is well
}

// Check reads everything and looks whether it is sound: SQLite's own check of
// the file, references and indexes, and that each room has the entries 1 to
// its head without a gap. The problems it returns concern the whole file; those
// of a room stand with it.
func (s *Snapshot) Check(ctx context.Context) (rooms []Health, problems []string, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	if problems, err = s.checkFile(ctx); err != nil {
		return nil, nil, err
	}
	known, ids, err := s.rooms(ctx)
	if err != nil {
		return nil, nil, err
	}
	extents := make(map[int64]extent)
	for _, table := range []string{"entries", "recent"} {
		if err := s.measure(ctx, table, extents); err != nil {
			return nil, nil, explain(s.path, err)
		}
	}
	for i, room := range known {
		e := extents[ids[i]]
		delete(extents, ids[i])
		rooms = append(rooms, Health{Room: room, Entries: e.count, Trouble: e.trouble(room.Head)})
	}
	for id, e := range extents {
		problems = append(problems, fmt.Sprintf("%d entries are of room %d, which does not exist", e.count, id))
	}
	return rooms, problems, nil
}

// extent is what a room has.
type extent struct{ count, first, last uint64 }

// measure adds what a table has to the extents of the rooms.
func (s *Snapshot) measure(ctx context.Context, table string, extents map[int64]extent) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT place >> 40, count(*), min(place), max(place) FROM "+table+" GROUP BY place >> 40")
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
		e, seen := extents[room]
		if !seen {
			e.first = uint64(first & maxSeq)
		}
		e.count, e.first, e.last = e.count+count, min(e.first, uint64(first&maxSeq)), max(e.last, uint64(last&maxSeq))
		extents[room] = e
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

// twinsQuery finds recent entries with an id or a place that another one has, which
// no index of their own keeps out. It must not look through all entries.
const twinsQuery = `SELECT 'entry ' || (place & 0xFFFFFFFFFF) || ' of room ' || (place >> 40) || ' has an id or a place that another one has' FROM (
	SELECT r.place FROM recent r CROSS JOIN entries e ON e.place = r.place
	UNION SELECT r.place FROM recent r CROSS JOIN entries e ON e.user = r.user AND e.id = r.id
	UNION SELECT min(place) FROM recent GROUP BY user, id HAVING count(*) > 1
	UNION SELECT place FROM recent GROUP BY place HAVING count(*) > 1) LIMIT 20`

// checkFile returns what SQLite's own checks find, a few lines at most.
func (s *Snapshot) checkFile(ctx context.Context) (problems []string, err error) {
	for _, query := range []string{
		"PRAGMA integrity_check(20)",
		"SELECT 'a row of ' || \"table\" || ' refers to nothing' FROM pragma_foreign_key_check LIMIT 20",
		// As the foreign key of entries does, which what is recent has not met yet.
		`SELECT 'entry ' || (place & 0xFFFFFFFFFF) || ' of room ' || (place >> 40) || ' is of user ' || user || ', who does not exist'
			FROM recent WHERE user NOT IN (SELECT id FROM users) LIMIT 20`,
		twinsQuery,
	} {
		rows, err := s.conn.QueryContext(ctx, query)
		if err != nil {
			return nil, explain(s.path, err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return nil, errors.Join(explain(s.path, err), rows.Close())
			}
			if line != "ok" {
				problems = append(problems, strings.TrimSpace(line))
			}
		}
		if err := closeRows(rows); err != nil {
			return nil, explain(s.path, err)
		}
	}
	return problems, nil
}

// BackUp writes a copy of the database as it is at one moment to a file that
// must not exist yet, checks the copy, and makes it durable: the file is there
// entirely, or not at all. The copy has no epoch; the server that first opens
// it makes one, because what is said there is not what is said here. progress
// is called from another goroutine every now and then.
func (s *Snapshot) BackUp(ctx context.Context, file string, progress func(done, total int64)) (rooms []Health, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err == nil {
		return nil, fmt.Errorf("%s exists already; choose another name", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	draft := file + ".partial"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(draft)
		}
	}()
	// SQLite would make it readable for everybody.
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := s.copyTo(ctx, draft, progress); err != nil {
		return nil, explainBackUp(draft, err)
	}
	if rooms, err = seal(ctx, draft); err != nil {
		return nil, explainBackUp(draft, err)
	}
	// What is checked now is what is kept.
	if err := syncFile(draft); err != nil {
		return nil, err
	}
	if err := os.Link(draft, file); err != nil { // unlike a rename it never replaces one
		return nil, err
	}
	if err := os.Remove(draft); err != nil {
		return nil, err
	}
	return rooms, syncDirectory(filepath.Dir(file))
}

func explainBackUp(path string, err error) error {
	if codeOf(err)&0xff == codeFull {
		return fmt.Errorf("there is no room on the disk for %s: %w", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}

// copyTo has SQLite write a compact copy of one moment.
func (s *Snapshot) copyTo(ctx context.Context, file string, progress func(done, total int64)) error {
	pages, err := s.conn.number(ctx, "PRAGMA page_count")
	if err != nil {
		return err
	}
	size, err := s.conn.number(ctx, "PRAGMA page_size")
	if err != nil {
		return err
	}
	total := int64(pages) * int64(size)
	ended := make(chan struct{})
	var watching sync.WaitGroup
	if progress != nil {
		watching.Go(func() {
			ticker := time.NewTicker(200 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					if info, err := os.Stat(file); err == nil {
						progress(min(info.Size(), total), total)
					}
				case <-ended:
					progress(total, total)
					return
				}
			}
		})
	}
	err = s.conn.exec(ctx, "VACUUM INTO ?", file)
	close(ended)
	watching.Wait()
	return err
}

// seal brings a copy into the form of a backup, and checks it: it has the newest
// schema, no epoch, nothing that is not merged, and no other file beside it.
func seal(ctx context.Context, file string) ([]Health, error) {
	pragmas := []pragma{{"journal_mode", "delete"}, {"synchronous", "2"}}
	c, err := connect(ctx, file, "rw", pragmas)
	if err != nil {
		return nil, err
	}
	if err := c.close(); err != nil {
		return nil, err
	}
	scripts, err := migrations()
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	version, err := inspect(ctx, file, len(scripts))
	if err != nil {
		return nil, err
	}
	if c, err = connect(ctx, file, "rw", pragmas); err != nil {
		return nil, err
	}
	err = migrate(ctx, c, version, scripts)
	for _, query := range append(mergeQueries[:], "UPDATE store SET epoch = ''") {
		if err == nil {
			err = c.exec(ctx, query)
		}
	}
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	return CheckFile(ctx, file)
}

// CheckFile checks a backup. It returns an error if anything is wrong with it.
func CheckFile(ctx context.Context, file string) (rooms []Health, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	s, err := openSnapshot(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	rooms, problems, err := s.Check(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rooms {
		if r.Trouble != "" {
			problems = append(problems, fmt.Sprintf("room %s: %s", r.Room.Name, r.Trouble))
		}
	}
	if len(problems) > 0 {
		return rooms, fmt.Errorf("%s is damaged: %s", file, strings.Join(problems, "; "))
	}
	return rooms, nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Restore puts a backup in the place of the database of a data directory, which
// no server may have. What was there before is kept under another name, which
// is returned ("" if nothing was there). Until it returns without an error the
// old database is in place, or the new one.
func Restore(ctx context.Context, dir, file string) (kept string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	path := filepath.Join(dir, databaseName)
	draft := path + ".restored"
	if err := copyFile(draft, file); err != nil {
		return "", fmt.Errorf("copy the backup: %w", err)
	}
	// A backup that was opened by hand may have an epoch again.
	if _, err := seal(ctx, draft); err != nil {
		return "", errors.Join(fmt.Errorf("%s cannot be restored: %w", file, err), os.Remove(draft))
	}
	if err := syncFile(draft); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		kept = path + time.Now().UTC().Format(".before-20060102T150405.000")
		// The WAL first: without its database it is never taken for another's.
		for _, suffix := range []string{"-wal", "-shm", ""} {
			if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return kept, err
			}
		}
	}
	if err := os.Rename(draft, path); err != nil {
		return kept, err
	}
	return kept, syncDirectory(dir)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Close())
}

// Record is an entry with its room, as an export has it.
type Record struct {
	Room     kaban.RoomName
	Seq      uint64
	Time     int64 // milliseconds since 1970 UTC
	ID       kaban.MessageID
	Username kaban.Username
	Content  string
}

// ErrDiffers says that the database has something else than what is imported.
var ErrDiffers = errors.New("the database differs")

// Import adds records with their numbers and times as one transaction and
// returns how many were not there yet. A room's records must come in order. A
// record that is there already is passed over, so that an import can be
// repeated; one that differs from what is there, or that would leave a gap, is
// ErrDiffers, and nothing of the batch is stored.
func (s *Store) Import(ctx context.Context, records []Record) (added int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	b := s.newBatch(ctx)
	ctx = b.ctx
	if added, err = b.importAll(records); err != nil {
		if !errors.Is(err, ErrDiffers) {
			err = s.failed("import", err)
		}
		if errors.Is(err, store.ErrBroken) {
			return 0, err
		}
		if failed := s.writer.rollback(ctx); failed != nil {
			return 0, s.broke("import", errors.Join(err, failed))
		}
		return 0, err
	}
	b.publish()
	s.tendWAL(ctx)
	return added, nil
}

func (b *batch) importAll(records []Record) (added int, err error) {
	if _, err := b.stmts.begin.ExecContext(b.ctx); err != nil {
		return 0, err
	}
	if err := b.mergeAll(); err != nil { // all there is to compare with is in entries
		return 0, err
	}
	for i := range records {
		isNew, err := b.importOne(&records[i])
		if err != nil {
			return 0, err
		}
		if isNew {
			added++
		}
	}
	for _, r := range b.touched {
		if r.head == r.room.head { // nothing new
			continue
		}
		if _, err := b.stmts.setHead.ExecContext(b.ctx, r.head, r.id); err != nil {
			return 0, err
		}
	}
	return added, b.commit()
}

func (b *batch) importOne(r *Record) (isNew bool, err error) {
	author, err := b.user(r.Username)
	if err != nil {
		return false, err
	}
	room := b.room(r.Room)
	if room == nil {
		if room, err = b.addRoom(r.Room); err != nil {
			return false, err
		}
	}
	at := fmt.Sprintf("message %d of %s", r.Seq, r.Room)
	switch {
	case r.Seq > maxSeq:
		return false, fmt.Errorf("%w of entries in %s", errTooMany, r.Room)
	case r.Seq > room.head+1:
		return false, fmt.Errorf("%w: %s would leave a gap, the room has %d", ErrDiffers, at, room.head)
	case r.Seq <= room.head:
		return false, b.compare(r, room.place(r.Seq), author, at)
	}
	var username any
	if name := r.Username.String(); name != author.name {
		username = name
	}
	done, err := b.stmts.insertNew.ExecContext(b.ctx, room.place(r.Seq), r.Time, int64(store.KindMessage), author.id, username, r.ID.String(), r.Content)
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil {
		return false, err
	} else if n == 0 {
		return false, fmt.Errorf("%w: the id %s of %s is another message of %s there", ErrDiffers, r.ID, at, r.Username)
	}
	room.head = r.Seq
	return true, nil
}

// compare wants the entry at a place to be the record.
func (b *batch) compare(r *Record, place int64, author user, at string) error {
	var e earlier
	var userID int64
	var id string
	err := b.writer.QueryRowContext(b.ctx, "SELECT user, id, time, content FROM entries WHERE place = ?", place).Scan(&userID, &id, &e.time, &e.content)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s is missing there, and the room goes on behind it; \"kaban check\" tells more", ErrDiffers, at)
	case err != nil:
		return err
	case userID != author.id || id != r.ID.String() || e.time != r.Time || e.content != r.Content:
		return fmt.Errorf("%w: %s is another message there", ErrDiffers, at)
	}
	return nil
}
