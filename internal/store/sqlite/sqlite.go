// Package sqlite keeps the logs in one SQLite database in a directory of its
// own, without cgo (modernc.org/sqlite).
//
// A batch is one transaction in WAL mode with synchronous=FULL: when Append
// returns, it has been through an fsync. Its entries go to the end of one table
// (journal), whatever their rooms, and are merged into the table that has them
// by room and seq (entries) later, a room at a time: what a commit costs is the
// pages that it changes. What is in the journal only is called recent; it is in
// memory, too, and read from there.
//
// One process at a time has the directory; a lock keeps others out. Everything
// is kept for ever: a room's oldest entry is 1.
//
// One connection writes and checkpoints, a few read. They are opened at the
// start and kept. The state of rooms and what is recent are in memory and change
// only after COMMIT; a bounded part of the users is, too.
//
// An I/O error makes the store ErrBroken for the rest of its life, and then it
// leaves the files as they are, even at Close. A full disk is ErrFull and may
// pass. What SQLite calls damaged is not repaired.
//
// Locks, in the order they may be taken: Store.writing, then Store.mu. A reader
// is taken from its channel with neither.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/store"
)

// Options are what Open can be told. The zero value is ready for use.
type Options struct {
	// Log gets what operators should know. Default: nothing is logged.
	Log *slog.Logger

	// For tests.
	maxPages   int      // of the database; more is as a full disk
	migrations []string // instead of the embedded ones
	walPages   int      // instead of checkpointPages
	maxRecent  int      // instead of recentEntries
	mergeStep  int      // instead of mergeEntries
}

// Store implements store.Store on SQLite.
type Store struct {
	epoch     string
	created   int64
	path      string
	log       *slog.Logger
	now       func() time.Time
	lock      *os.File
	walPages  int
	maxRecent int
	mergeStep int

	writing sync.Mutex // guards the writer, from BEGIN to the caches
	writer  *conn
	stmts   writerStmts
	users   map[string]user // by key; a part of them
	recent  recent
	sum     summer
	appends int
	// The greatest ids that are in use. Ids are given here because the sums are of
	// them, too.
	lastRoom, lastUser int64
	// Pages of the WAL at which the next thing is done to it.
	checkpointAt int // counts those that are in the WAL only
	truncateAt   int

	all     []*reader
	readers chan *reader // those that are idle
	closing chan struct{}
	once    sync.Once
	closed  error // of the first Close; set before closing is closed
	broken  atomic.Pointer[error]

	mu       sync.RWMutex // guards all below
	rooms    map[string]*room
	reported map[reported]struct{}
}

// clock is where messages get their time from.
var clock = time.Now

// room is what is known of a room after the last COMMIT.
type room struct {
	id   int64
	key  string // as it is stored
	name kaban.RoomName
	// Guarded by Store.mu. The newest entries are in recent, not in the table
	// entries; those that are in the slice never change.
	head   uint64
	recent []recentEntry
}

func (r *room) place(seq uint64) int64 { return r.id<<seqBits | int64(seq) }

func (r *room) state() store.Room { return store.Room{Name: r.name, Head: r.head, Oldest: 1} }

type user struct {
	id   int64
	name string
}

type reader struct {
	*conn
	sum            summer
	page, pageBack *sql.Stmt
}

// Open opens the database in a directory, and makes both if they are not
// there. It refuses, without changing them, a directory that another process
// has (ErrInUse), a database of another program or of a newer version, and one
// that is damaged. The errors say what to do.
func Open(ctx context.Context, dir string, options Options) (_ *Store, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	scripts := options.migrations
	if scripts == nil {
		if scripts, err = migrations(); err != nil {
			return nil, fmt.Errorf("read the schema: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; choose a directory that the user who runs the server may write to, or make this one for that user", err)
		}
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s := &Store{
		path: filepath.Join(dir, databaseName), log: options.Log, now: clock, walPages: options.walPages, maxRecent: options.maxRecent, mergeStep: options.mergeStep,
		users: make(map[string]user), rooms: make(map[string]*room), reported: make(map[reported]struct{}),
		readers: make(chan *reader, readers), closing: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.walPages <= 0 {
		s.walPages = checkpointPages
	}
	if s.maxRecent <= 0 {
		s.maxRecent = recentEntries
	}
	if s.mergeStep <= 0 {
		s.mergeStep = mergeEntries
	}
	s.checkpointAt, s.truncateAt = s.walPages, s.walPages*truncateFactor
	if s.lock, err = lockDirectory(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	warnOfMode(dir, s.log)
	there, err := exists(s.path)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := create(ctx, s.path, scripts); err != nil {
			return nil, explain(s.path, err)
		}
		s.log.Info("made a new database", "path", s.path)
	} else if err := refuseDamagedWAL(s.path); err != nil {
		return nil, err
	}
	version, err := inspect(ctx, s.path, len(scripts))
	if err != nil {
		return nil, err
	}
	if err := tighten(s.path); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, options, version, scripts); err != nil {
		return nil, explain(s.path, err)
	}
	return s, nil
}

// connect opens all connections, brings the schema up to date and reads what
// is kept in memory.
func (s *Store) connect(ctx context.Context, options Options, version int, scripts []string) (err error) {
	if s.writer, err = connect(ctx, s.path, "rw", writerPragmas); err != nil {
		return err
	}
	if version < len(scripts) {
		if err := migrate(ctx, s.writer, version, scripts, s.tellProgress()); err != nil {
			return err
		}
		// The next start has no use for what may be as large as the database.
		if err := s.writer.exec(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return err
		}
		s.log.Info("brought the schema of the database up to date", "path", s.path, "from", version, "to", len(scripts))
	}
	if options.maxPages > 0 {
		if err := s.writer.exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", options.maxPages)); err != nil {
			return err
		}
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if s.epoch == "" { // a backup: what follows is not what followed there
		s.epoch = rand.Text()
		if err := setEpoch(ctx, s.writer, s.epoch, s.created); err != nil {
			return err
		}
		s.log.Info("this database comes from a backup; clients that come back are told to start anew from it", "path", s.path)
	}
	if err := s.stmts.prepare(ctx, s.writer); err != nil {
		return err
	}
	for range cap(s.readers) {
		c, err := connect(ctx, s.path, "rw", readerPragmas)
		if err != nil {
			return err
		}
		r := &reader{conn: c}
		s.all = append(s.all, r)
		if err := c.prepare(ctx, map[**sql.Stmt]string{&r.page: pageQuery, &r.pageBack: pageQuery + " DESC"}); err != nil {
			return err
		}
		s.readers <- r
	}
	return nil
}

// Epoch implements store.Store.
func (s *Store) Epoch() string { return s.epoch }

// Rooms implements store.Store.
func (s *Store) Rooms(ctx context.Context) ([]store.Room, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make([]store.Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

// Room implements store.Store.
func (s *Store) Room(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	if err := s.usable(ctx); err != nil {
		return store.Room{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.rooms[name.Key()]; r != nil {
		return r.state(), nil
	}
	return store.Room{Name: name, Oldest: 1}, nil
}

// usable returns why a call cannot be served, or nil.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	return ctx.Err()
}

// failed classifies an error and remembers the first that breaks the store.
func (s *Store) failed(operation string, err error) error {
	if err = classify(err); errors.Is(err, store.ErrBroken) {
		return s.broke(operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// broke ends the use of the store and returns what every call returns from now
// on.
func (s *Store) broke(operation string, err error) error {
	if !errors.Is(err, store.ErrBroken) {
		err = fmt.Errorf("%w: %w", store.ErrBroken, err)
	}
	err = fmt.Errorf("%s: %w", operation, err)
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("the database cannot be used any more", "path", s.path, "error", err)
	}
	return *s.broken.Load()
}

// Close implements store.Store. It moves what is in the WAL into the database,
// unless the store is broken: then the files stay as they are, and so does the
// lock until the process ends.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.writing.Lock()
		close(s.closing)
		s.writing.Unlock()
		for range s.all { // and nobody gets one any more
			<-s.readers
		}
		if broken := s.broken.Load(); broken != nil {
			s.closed = *broken
			return
		}
		_, err := s.checkpoint(context.Background(), "TRUNCATE")
		if errors.Is(err, store.ErrBroken) {
			s.closed = err
			return
		}
		s.closed = errors.Join(err, s.release())
	})
	return s.closed
}

// release closes all that is open.
func (s *Store) release() error {
	var errs []error
	for _, r := range s.all {
		errs = append(errs, r.close())
	}
	if s.writer != nil { // last, so that it cleans up
		errs = append(errs, s.writer.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
