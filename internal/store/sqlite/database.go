package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// database is an open database: everything that its handles share.
type database struct {
	epoch       string
	created     int64
	path        string
	log         *slog.Logger
	now         func() time.Time
	lock        *os.File
	walPages    int
	maxUnmerged int
	mergeStep   int
	shortestRun uint64
	// largeJournal is from how many bytes on the journal is large.
	largeJournal int64
	journalDir   string
	ledger       store.Ledger // or nil

	sharing sync.Mutex // guards handles, and lets one of them close at a time
	handles int        // those that are open

	writing  sync.Mutex // guards the writer, from BEGIN until the memory is up to date
	writer   *conn
	batch    batch // the one in progress
	stmts    writerStmts
	authors  *authors // of entries that are compared with imported ones
	sum      summer
	appends  int
	progress progressRow          // as the database has it
	erasing  erasingRow           // as the database has it
	closed   bool                 // nothing is merged any more
	written  map[authorIn]written // of some authors, as the database has it
	merger   merger
	walFile  *os.File      // nil until the WAL is read
	beside   []*disk.Place // set before anything else uses the store
	eraser   eraser

	appending sync.Mutex // lets one batch at a time take its place; guards all below
	journal   *journal.Journal
	loaded    *journal.Loaded // nil once the journal is open
	fast      fast
	finder    finder
	users     map[string]user // a part of the authors, by the id of their identity
	unmerged  unmerged
	// targets are messages that entries were about lately, as all that was appended makes
	// them.
	targets targets
	// The highest ids in use. Ids are assigned here because checksums cover them.
	lastRoom, lastUser int64

	// Guarded by writing.
	// The next checkpoint happens at so many pages of the WAL.
	checkpointAt int // pages that are in the WAL only
	truncateAt   int // all pages

	cache   cache
	all     []*reader
	readers chan *reader // the idle ones
	broken  atomic.Pointer[error]
	dead    chan struct{} // closed once the store is broken
	begun   atomic.Bool   // the journal takes batches
	scarce  atomic.Bool   // it had no room for the last one
	full    fullness
	// lookForRoom returns nil if there is room: room, but in tests.
	lookForRoom func() error
	grown       atomic.Bool // the log says that the journal is large
	shown       shown

	mu        sync.RWMutex // guards all below
	published *sync.Cond   // of mu, for readers: the memory has changed, or the store broke
	rooms     map[string]*room
	reported  map[reported]struct{}
	alarms    []func(error) // nil once the store is broken
}

// clock is the source of the times of entries.
var clock = time.Now

// room is the state of a room after the last COMMIT.
type room struct {
	id   int64
	key  string // as stored
	name kaban.RoomName
	// Guarded by database.appending: the head and the unmerged entries, with those that
	// are being appended.
	next uint64
	tail []unmergedEntry
	// tailAbout are those of tail that are about a message.
	tailAbout []aboutMessage
	// tailTelling are the seqs of those of tail that may change whom a message mentions.
	tailTelling []uint64
	// Guarded by database.mu. The newest entries are in unmerged and not in the
	// table entries; the elements of the slice never change.
	head     uint64
	revision uint64
	messages uint64 // those that are merged; also guarded by database.writing
	// cut is the seq up to which entries are not kept, and cutMessages how many of them were
	// messages. Both are also guarded by database.writing, and by database.appending.
	cut, cutMessages uint64
	unmerged         []unmergedEntry
	about            []aboutMessage
	telling          []uint64
}

// publish shows readers what was appended, with database.mu held.
func (r *room) publish() {
	r.head, r.unmerged, r.about, r.telling = r.next, r.tail, r.tailAbout, r.tailTelling
}

// place returns the key of one of the room's entries in the table entries.
func (r *room) place(seq uint64) int64 { return r.id<<seqBits | int64(seq) }

func (r *room) state() store.Room {
	return store.Room{Name: r.name, Head: r.head, Oldest: r.cut + 1, Revision: r.revision}
}

// roomRow is what a row of rooms has beside its names: up to the head of what is merged.
type roomRow struct{ head, revision, messages, cut, cutMessages uint64 }

// roomColumns are those of a roomRow, with the checksum.
const roomColumns = "head, revision, messages, cut, cut_messages, sum"

// scan returns what roomColumns are scanned into.
func (r *roomRow) scan(sum *int64) []any {
	return []any{&r.head, &r.revision, &r.messages, &r.cut, &r.cutMessages, sum}
}

// rowOf returns the row of a room as this transaction sees it, with a head and a revision.
func (b *batch) rowOf(r *room, head, revision uint64) roomRow {
	return roomRow{head, revision, b.mergedMessages(r), r.cut, r.cutMessages}
}

type user struct {
	id   int64
	name string
}

type reader struct {
	*conn
	documentStmts
	authors          *authors
	page, pageBack   *sql.Stmt
	quiet, quietBack *sql.Stmt // without reactions
	countStmts
	mentions, mentioned *sql.Stmt
	begin, revision     *sql.Stmt
	// Of View, which is called most.
	beginView, progress, endView direct
	stateStmts
	historyStmts
}

func (r *reader) prepare(ctx context.Context) (err error) {
	if r.authors, err = r.newAuthors(ctx); err != nil {
		return err
	}
	err = r.prepareDirect(ctx, r.documentStmts.queries(), map[*direct]string{
		&r.beginView: "BEGIN", &r.progress: progressQuery, &r.endView: "ROLLBACK",
	})
	if err != nil {
		return err
	}
	return r.conn.prepare(ctx, map[**sql.Stmt]string{
		&r.page: pageQuery, &r.pageBack: pageQuery + " DESC", &r.begin: "BEGIN",
		&r.quiet: quietQuery, &r.quietBack: quietQuery + " DESC",
		&r.mentions: mentionsQuery, &r.mentioned: mentionedQuery,
		&r.revision: "SELECT id, key, name, " + roomColumns + " FROM rooms WHERE key = ?",
	}, r.stateStmts.queries(), r.historyStmts.queries(), r.countStmts.queries())
}

// newDatabase returns a database that is not open yet.
func newDatabase(dir string, options Options) *database {
	or := func(value, standard int) int {
		if value > 0 {
			return value
		}
		return standard
	}
	d := &database{
		path: filepath.Join(dir, databaseName), journalDir: JournalIn(dir), ledger: options.Ledger, log: options.Log, now: clock,
		walPages: or(options.walPages, checkpointPages), maxUnmerged: or(options.maxUnmerged, unmergedEntries), mergeStep: or(options.mergeStep, mergeEntries),
		shortestRun: uint64(or(options.shortestRun, shortestRun)),
		users:       make(map[string]user), rooms: make(map[string]*room), reported: make(map[reported]struct{}),
		largeJournal: int64(or(options.largeJournal, largeJournal)), readers: make(chan *reader, readers), dead: make(chan struct{}),
		eraser: eraser{wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), changed: make(chan struct{})},
	}
	d.published = sync.NewCond(d.mu.RLocker())
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.lookForRoom = options.room; d.lookForRoom == nil {
		d.lookForRoom = d.room
	}
	d.checkpointAt, d.truncateAt = d.walPages, d.walPages*truncateFactor
	return d
}

// open locks the directory and opens the database in it, which it creates if there
// is none. After an error, release closes whatever is open.
func (d *database) open(ctx context.Context, dir string, options Options) (err error) {
	scripts := options.migrations
	if scripts == nil {
		if scripts, err = migrations(); err != nil {
			return fmt.Errorf("read the schema: %w", err)
		}
	}
	if d.lock, err = lockDirectory(dir); err != nil {
		return err
	}
	if !options.Moving {
		if err := refuseMoved(dir); err != nil {
			return err
		}
	}
	warnOfMode(dir, d.log)
	found, err := exists(d.path)
	if err != nil {
		return err
	}
	if !found {
		if err := create(ctx, d.path, scripts); err != nil {
			return explain(d.path, err)
		}
		d.log.Info("created a new database", "path", d.path)
	} else if err := refuseDamagedWAL(d.path); err != nil {
		return err
	}
	version, err := inspect(ctx, d.path, len(scripts))
	if err != nil {
		return err
	}
	if options.Moving && version < len(scripts) {
		return fmt.Errorf("%w: %s has schema %d; start the server with it once to update it to %d", store.ErrOlder, d.path, version, len(scripts))
	}
	if err := tighten(d.path); err != nil {
		return err
	}
	if err := d.connect(ctx, options, version, scripts); err != nil {
		return explain(d.path, err)
	}
	d.startMerger()
	d.startEraser()
	return nil
}

// update updates the schema on a connection of its own.
func (d *database) update(ctx context.Context, version int, scripts []string) (err error) {
	c, err := connect(ctx, d.path, "rw", migrationPragmas)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := migrate(ctx, c, version, scripts, framesIn(d.journalDir), d.logProgress()); err != nil {
		return err
	}
	// The WAL may be as large as the database now, and the next start would have to
	// read it.
	if err := c.exec(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	d.log.Info("updated the schema of the database", "path", d.path, "from", version, "to", len(scripts))
	return nil
}

// connect updates the schema, opens all connections and loads the state that is kept
// in memory.
func (d *database) connect(ctx context.Context, options Options, version int, scripts []string) (err error) {
	if version < len(scripts) {
		if err := d.update(ctx, version, scripts); err != nil {
			return err
		}
	}
	if d.writer, err = connectWriter(ctx, d.path, writerPragmas); err != nil {
		return err
	}
	if options.maxPages > 0 {
		if err := d.writer.exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", options.maxPages)); err != nil {
			return err
		}
	}
	if d.authors, err = d.writer.newAuthors(ctx); err != nil {
		return err
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	if d.epoch == "" { // a backup: what follows is not what followed there
		d.epoch = rand.Text()
		if err := setEpoch(ctx, d.writer, d.epoch, d.created); err != nil {
			return err
		}
		d.log.Info("this database is a restored backup; returning clients are told to start over", "path", d.path)
	}
	if err := d.stmts.prepare(ctx, d.writer); err != nil {
		return err
	}
	if err := d.openJournal(ctx); err != nil {
		return err
	}
	if d.finder.conn, err = connect(ctx, d.path, "rw", readerPragmas); err != nil {
		return err
	}
	if err := d.finder.prepare(ctx); err != nil {
		return err
	}
	for range cap(d.readers) {
		c, err := connect(ctx, d.path, "rw", readerPragmas)
		if err != nil {
			return err
		}
		r := &reader{conn: c}
		d.all = append(d.all, r)
		if err := r.prepare(ctx); err != nil {
			return err
		}
		d.readers <- r
	}
	d.beside, err = filesBeside(d.path, disk.PlaceOf)
	return err
}

// handle returns a new handle. The caller holds sharing, or has the only reference.
func (d *database) handle() *Store {
	d.handles++
	return &Store{database: d, closing: make(chan struct{})}
}

// leave takes leave of a handle that accepts no more calls: it waits for reads in
// progress, and closes the database after the last handle.
func (d *database) leave() error {
	d.sharing.Lock()
	defer d.sharing.Unlock()
	d.handles--
	for range d.all {
		<-d.readers
	}
	if d.handles > 0 {
		for _, r := range d.all {
			d.readers <- r
		}
	}
	if d.handles == 0 {
		d.stopEraser()
		d.stopMerger()
	}
	if broken := d.broken.Load(); broken != nil {
		return *broken
	}
	if d.handles > 0 {
		return nil
	}
	err := d.endJournal(context.Background())
	if err == nil { // a backup may be restored before this database is opened again
		if failed := d.record(context.Background()); failed != nil {
			d.log.Warn("the ledger does not name all messages that were deleted yet; it does after the next start", "path", d.path, "error", failed)
		}
	}
	d.writing.Lock()
	d.closed = true
	d.writing.Unlock()
	if errors.Is(err, store.ErrBroken) {
		return err
	}
	_, failed := d.checkpoint(context.Background(), "TRUNCATE")
	if errors.Is(failed, store.ErrBroken) {
		return failed
	}
	return errors.Join(err, failed, d.release())
}

// release closes everything that is open.
func (d *database) release() error {
	var errs []error
	for _, r := range d.all {
		errs = append(errs, r.close())
	}
	if d.finder.conn != nil {
		errs = append(errs, d.finder.close())
	}
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	if d.writer != nil { // last, so that it cleans up
		errs = append(errs, d.writer.close())
	}
	if d.walFile != nil {
		errs = append(errs, d.walFile.Close())
	}
	if d.lock != nil {
		errs = append(errs, unlockDirectory(d.lock))
	}
	return errors.Join(errs...)
}

// failed classifies an error and remembers the first that breaks the store.
func (d *database) failed(operation string, err error) error {
	if err = classify(err); errors.Is(err, store.ErrBroken) {
		return d.broke(operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// broke makes the store unusable and returns the error that every call returns from
// now on.
func (d *database) broke(operation string, err error) error {
	if !errors.Is(err, store.ErrBroken) {
		err = fmt.Errorf("%w: %w", store.ErrBroken, err)
	}
	err = fmt.Errorf("%s: %w", operation, err)
	if d.broken.CompareAndSwap(nil, &err) {
		d.log.Error("the database cannot be used any more", "path", d.path, "error", err)
		close(d.dead)
		d.mu.Lock() // whoever has looked before waits by now
		d.published.Broadcast()
		d.mu.Unlock()
		d.sound(err)
	}
	return *d.broken.Load()
}

// Break implements store.Breakable.
func (s *Store) Break(reason error) { s.broke("keep messages", reason) }

// Alarm implements store.Alarming.
func (s *Store) Alarm(call func(error)) {
	s.mu.Lock()
	s.alarms = append(s.alarms, call)
	s.mu.Unlock()
	if broken := s.broken.Load(); broken != nil {
		s.sound(*broken)
	}
}

// sound calls each alarm once.
func (d *database) sound(err error) {
	d.mu.Lock()
	alarms := d.alarms
	d.alarms = nil
	d.mu.Unlock()
	for _, call := range alarms {
		call(err)
	}
}
