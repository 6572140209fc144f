package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	path  string
	conn  *conn
	pause time.Duration // between two looks at the WAL

	// From begin to end.
	*contents
	problems []error // of the contents
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
	return &Snapshot{path: path, conn: c, pause: walPause}, nil
}

// Close ends it.
func (s *Snapshot) Close() error { return s.conn.close() }

// begin starts to look at one moment.
func (s *Snapshot) begin(ctx context.Context) error {
	if err := s.conn.exec(ctx, "BEGIN"); err != nil {
		return explain(s.path, err)
	}
	s.problems = nil
	var err error
	s.contents, err = load(ctx, s.conn, func(err error) error {
		s.problems = append(s.problems, err)
		return nil
	})
	if err != nil {
		return errors.Join(explain(s.path, err), s.end(ctx))
	}
	return nil
}

// end forgets what begin has read.
func (s *Snapshot) end(ctx context.Context) error {
	s.contents = nil
	return s.conn.rollback(context.WithoutCancel(ctx))
}

// Rooms lists the rooms by name, those whose name can be read.
func (s *Snapshot) Rooms(ctx context.Context) (rooms []store.Room, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	for _, r := range s.sorted() {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

func (s *Snapshot) sorted() []*room {
	return slices.SortedFunc(maps.Values(s.rooms), func(a, b *room) int { return cmp.Compare(a.name.String(), b.name.String()) })
}

// Each calls visit with every entry, room by room and in the order of each
// room, all as they were at one moment, until visit returns an error. Without
// rooms it is all of them. What is damaged it leaves out and gives to bad, which
// returns an error to end it: a *store.DamagedError for an entry.
func (s *Snapshot) Each(ctx context.Context, only []kaban.RoomName, visit func(room kaban.RoomName, e *store.Entry) error, bad func(error) error) (err error) {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	for _, problem := range s.problems {
		if err := bad(problem); err != nil {
			return err
		}
	}
	for _, r := range s.sorted() {
		if len(only) > 0 && !slices.ContainsFunc(only, func(name kaban.RoomName) bool { return name.Key() == r.name.Key() }) {
			continue
		}
		if err := s.eachOf(ctx, r, visit, bad); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) eachOf(ctx context.Context, r *room, visit func(kaban.RoomName, *store.Entry) error, bad func(error) error) error {
	last := s.merged[r.id]
	for next := uint64(1); next <= last; {
		var visited error
		rows, err := s.conn.QueryContext(ctx, pageQuery, r.place(next), r.place(last))
		damaged, damage, err := readRun(rows, err, &s.sum, r.id, next, last, func(e *store.Entry) bool {
			visited = visit(r.name, e)
			return visited == nil
		})
		switch {
		case visited != nil:
			return visited
		case err != nil:
			return explain(s.path, err)
		case damage == nil:
			next = last + 1
			continue
		}
		if err := bad(&store.DamagedError{Room: r.name, Seq: damaged, Err: damage}); err != nil {
			return err
		}
		next = damaged + 1
	}
	for i := range r.recent { // what is recent follows the rest
		e := &r.recent[i].Entry
		for last++; last < e.Seq; last++ {
			if err := bad(&store.DamagedError{Room: r.name, Seq: last, Err: errMissing}); err != nil {
				return err
			}
		}
		if err := visit(r.name, e); err != nil {
			return err
		}
	}
	return nil
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
	err = migrate(ctx, c, version, scripts, nil)
	if err == nil {
		err = c.transact(ctx, func() error { return finish(ctx, c) })
	}
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	return CheckFile(ctx, file)
}

// finish merges all of the journal and forgets the epoch, in the transaction under
// way, where no Store is at work.
func finish(ctx context.Context, c *conn) error {
	s := &Store{writer: c, now: clock}
	contents, err := load(ctx, c, func(err error) error { return err })
	if err != nil {
		return err
	}
	if s.recent = contents.recent; len(s.recent.rooms) > 0 {
		if err := s.stmts.prepare(ctx, c); err != nil {
			return err
		}
		b := s.newBatch(ctx)
		if err := b.mergeAll(); err != nil {
			return err
		}
	}
	if err := c.exec(ctx, "DELETE FROM journal"); err != nil {
		return err
	}
	return setEpoch(ctx, c, "", contents.created)
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
	if err := refuseExport(file); err != nil {
		return "", err
	}
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

// refuseExport refuses what is no database but text, above all what an export has.
func refuseExport(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var start [64]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the backup: %w", err)
	}
	text := bytes.TrimPrefix(start[:n], []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return fmt.Errorf("%s is an export and not a backup; \"kaban import\" takes it", file)
	}
	return nil
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
		if err := b.setHead(r.room, r.head); err != nil {
			return 0, err
		}
	}
	return added, b.commit()
}

func (b *batch) importOne(r *Record) (isNew bool, err error) {
	author, err := b.user(kaban.Visitor(r.Username))
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
		return false, b.compare(r, room.room, at)
	}
	e := store.Entry{Time: r.Time, Kind: kaban.KindMessage, ID: r.ID.String(), Username: r.Username.String(), Content: r.Content}
	var username any
	if e.Username != author.name {
		username = e.Username
	}
	place := room.place(r.Seq)
	done, err := b.stmts.insertNew.ExecContext(b.ctx, place, e.Time, int64(e.Kind), author.id, username, e.ID, e.Target, e.Content, b.sum.entry(place, author.id, &e))
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

// compare wants the entry that a room has to be the record.
func (b *batch) compare(r *Record, room *room, at string) error {
	same := false
	rows, err := b.writer.QueryContext(b.ctx, pageQuery, room.place(r.Seq), room.place(r.Seq))
	_, damage, err := readRun(rows, err, &b.sum, room.id, r.Seq, r.Seq, func(e *store.Entry) bool {
		author, err := kaban.ParseUsername(e.Username)
		same = err == nil && author.Key() == r.Username.Key() && e.ID == r.ID.String() && e.Time == r.Time && e.Content == r.Content
		return true
	})
	switch {
	case err != nil:
		return err
	case errors.Is(damage, errMissing):
		return fmt.Errorf("%w: %s is missing there, and the room goes on behind it; \"kaban check\" tells more", ErrDiffers, at)
	case damage != nil:
		return damaged(at, damage)
	case !same:
		return fmt.Errorf("%w: %s is another message there", ErrDiffers, at)
	}
	return nil
}
