// Package index is the full-text index of all messages: a SQLite database with contentless
// FTS5 tables of the terms of package search, beside the store or in memory.
//
// The index is a reader of the logs like any other. It has a cursor in each room, which it
// stores together with what it has read, so after a crash it goes on where it was. It is off
// the path of messages: Grew takes a note, and a goroutine reads in small steps with rests
// between them. Nothing in it is the only copy: if it is missing, damaged, of another
// version or of another epoch, it is made anew in the background.
//
// Every message has an order, a number that increases with time over all rooms. The orders
// are divided into volumes, each a table of its own, so that the newest are searched first
// and merging is bounded. A message that is edited keeps its order. The terms of a deleted
// message, and of the earlier text of an edited one, are hidden at once, by a tombstone with
// the number of the message, so that no text is needed to forget it; they are gone from the
// file after the volume was purged, see Forget.
//
// What the index finds is a proposal. The caller compares it with the message as it is now,
// and decides who may see it.
package index

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/search"
	"kaban/internal/store"
)

// FileName is the name of the index in the data directory.
const FileName = "search.db"

// shape is how orders are divided. A volume has a whole number of chunks.
type shape struct {
	volume  uint64 // orders of a volume
	chunk   uint64 // orders of a chunk
	spacing uint64 // messages of a room, and stretch orders, between two marks of it
	stretch uint64
}

var usual = shape{volume: 1 << 17, chunk: 1 << 12, spacing: 64, stretch: 1 << 16}

// Options configure an Index. The zero value is ready to use.
type Options struct {
	// Log receives what operators should know. Default: nothing is logged.
	Log *slog.Logger
	// Eager leaves out the rests between steps.
	Eager bool

	// For tests: how orders are divided, and how long a rest is.
	shape shape
	rest  func() time.Duration
}

// Index is an open index. All methods are safe for concurrent use.
type Index struct {
	options Options
	store   store.Store
	path    string // "" in memory
	log     *slog.Logger

	end    context.CancelFunc
	group  sync.WaitGroup
	ended  chan struct{} // closed at the end of the goroutine
	wake   chan struct{}
	load   load          // of the goroutine
	steps  atomic.Uint64 // that have read something
	asked  atomic.Bool   // to be made anew
	closed atomic.Bool

	// using is held for reading while the database is in use, and for writing while it is
	// replaced.
	using sync.RWMutex
	db    *database // nil if it cannot be opened

	// writing is held by whoever changes the database. The goroutine rests while it holds it, so
	// others wait for it with lockNow.
	writing sync.Mutex
	wanted  atomic.Int32  // how many wait in lockNow
	nudge   chan struct{} // ends a rest

	tail   tail
	erased bool      // something was erased that may have been read ahead; guarded by writing
	tidied time.Time // when it may be tidied again; as dirtySince, guarded by writing
	// spilled is set if terms that were purged may be in the write-ahead log; guarded by
	// writing. It is also set at the start.
	spilled bool
	// dirtySince is when hidden terms were seen first.
	dirtySince time.Time

	mu      sync.Mutex // guards all below
	rooms   map[string]*room
	byID    map[uint32]*room
	pending []*room
	working bool // entries of rooms that were pending are being read
	// grown is how many entries Grew was told of in rooms that were known.
	grown uint64
	// asOf is when everything was read that was there then.
	asOf time.Time
	// building is set until the index has once come to the end of all logs.
	building bool
	waiting  []chan struct{} // of Wait
	problem  error           // why the index is not served, or nil
}

// room is the index's place in the log of a room.
type room struct {
	name kaban.RoomName
	id   uint32 // 0 until something of it was read

	// Guarded by Index.mu.
	head    uint64 // as far as the index knows
	cursor  uint64 // what was read and committed
	queued  bool   // in Index.pending
	indexed uint64 // messages since the last mark; guarded by Index.writing
	marked  uint64 // the order of the last mark + 1, 0 if there is none; guarded by Index.writing

	forgotten uint64 // up to this seq, nothing is left; guarded by Index.writing
}

// Open opens the index in a data directory, or in memory if dir is empty, and starts to
// read the logs of a store. It never fails: an index that cannot be opened says so in its
// log and in its status, and finds nothing. Close ends it; the caller closes the store
// after it.
func Open(s store.Store, dir string, options Options) *Index {
	x := newIndex(s, dir, options)
	ctx, end := context.WithCancel(context.Background())
	x.end = end
	x.group.Go(func() {
		defer close(x.ended)
		if !options.Eager { // somebody waits for an eager one
			lowerPriority()
		}
		x.run(ctx)
	})
	return x
}

func newIndex(s store.Store, dir string, options Options) *Index {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.shape == (shape{}) {
		options.shape = usual
	}
	x := &Index{
		options: options, store: s, log: options.Log, ended: make(chan struct{}), wake: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
		rooms: make(map[string]*room), byID: make(map[uint32]*room), building: true, asOf: time.Now(),
	}
	if dir != "" {
		x.path = filepath.Join(dir, FileName)
		if whole, err := filepath.Abs(x.path); err == nil { // SQLite is given a URL
			x.path = whole
		}
	}
	return x
}

// Close ends the index. It waits for the step in progress.
func (x *Index) Close() error {
	if x.closed.Swap(true) {
		return nil
	}
	x.end()
	x.group.Wait()
	x.using.Lock()
	defer x.using.Unlock()
	if x.db == nil {
		return nil
	}
	err := x.db.close()
	x.db = nil
	return err
}

// lockNow locks writing. A transaction of the goroutine ends after what it is just doing.
func (x *Index) lockNow() {
	x.wanted.Add(1)
	defer x.wanted.Add(-1)
	select {
	case x.nudge <- struct{}{}:
	default:
	}
	x.writing.Lock()
}

// Grew notes that a room has entries up to a seq. It never blocks for long.
func (x *Index) Grew(name kaban.RoomName, seq uint64) {
	x.mu.Lock()
	if r := x.rooms[name.Key()]; r != nil && seq > r.head {
		x.grown += seq - r.head
	}
	x.noteLocked(name, seq)
	due := len(x.pending) > 0
	x.mu.Unlock()
	if due {
		x.rouse()
	}
}

// noteLocked queues a room if it has something to read.
func (x *Index) noteLocked(name kaban.RoomName, head uint64) {
	r := x.rooms[name.Key()]
	if r == nil {
		r = &room{name: name}
		x.rooms[name.Key()] = r
	}
	r.head = max(r.head, head)
	if r.head > r.cursor && !r.queued {
		x.lagsLocked()
		r.queued = true
		x.pending = append(x.pending, r)
	}
}

// rouse has the goroutine look around.
func (x *Index) rouse() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Rebuild has the index made anew in the background. Until then it finds what it has come
// to again, and says that it is partial.
func (x *Index) Rebuild() {
	x.asked.Store(true)
	x.mu.Lock()
	x.rebuildLocked()
	x.mu.Unlock()
	x.rouse()
}

func (x *Index) rebuildLocked() {
	x.lagsLocked()
	x.building = true
}

// Status is how far the index is.
type Status struct {
	// Behind is how many entries the index has not read, Lag for how long the oldest of
	// them has been there at most.
	Behind uint64
	Lag    time.Duration
	// Building is set until the index has come to the end of all logs for the first time
	// since it was made.
	Building bool
	// Indexed is how many orders it has given to messages, Bytes how large its files are.
	Indexed uint64
	Bytes   int64
	// Problem says why nothing is found; nil usually.
	Problem error
}

// Status returns the present status.
func (x *Index) Status() Status {
	x.mu.Lock()
	s := Status{Building: x.building, Problem: x.problem}
	for _, r := range x.rooms {
		s.Behind += r.head - min(r.cursor, r.head)
	}
	s.Lag = x.lagLocked()
	x.mu.Unlock()
	s.Indexed = x.tail.published.Load()
	if x.path != "" {
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(x.path + suffix); err == nil {
				s.Bytes += info.Size()
			}
		}
	}
	return s
}

// isCompleteLocked reports whether everything was read that the index knows of.
func (x *Index) isCompleteLocked() bool {
	return !x.working && len(x.pending) == 0 && !x.building && x.problem == nil
}

// lagsLocked notes that there will be something to read: if there was nothing, since now.
func (x *Index) lagsLocked() {
	if x.isCompleteLocked() {
		x.asOf = time.Now()
	}
}

// lagLocked returns for how long there may have been something that was not read.
func (x *Index) lagLocked() time.Duration {
	if x.isCompleteLocked() {
		return 0
	}
	return time.Since(x.asOf)
}

// Wait returns once the index has read everything that was in the store when it was
// called, or with an error if its context has ended or the index does not work.
func (x *Index) Wait(ctx context.Context) error {
	all, err := x.store.Rooms(ctx)
	if err != nil {
		return err
	}
	for {
		x.mu.Lock()
		if err := x.problem; err != nil {
			x.mu.Unlock()
			return err
		}
		behind := x.asked.Load() || x.building
		for i := range all {
			r := x.rooms[all[i].Name.Key()]
			if (r == nil || r.cursor < all[i].Head) && all[i].Head > 0 {
				x.noteLocked(all[i].Name, all[i].Head)
				behind = true
			}
		}
		if !behind {
			x.mu.Unlock()
			return nil
		}
		done := make(chan struct{})
		x.waiting = append(x.waiting, done)
		x.mu.Unlock()
		x.rouse()
		select {
		case <-done:
		case <-x.ended:
			return errors.New("the index was closed")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release ends all waits, which look again.
func (x *Index) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, done := range x.waiting {
		close(done)
	}
	x.waiting = nil
}

// open opens the database, or makes it anew if it is not usable or that is asked for. It
// reads where the index is.
func (x *Index) open(ctx context.Context) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.using.Lock()
	defer x.using.Unlock()
	anew := x.asked.Swap(false)
	if x.db != nil && !anew {
		return nil
	}
	if x.db != nil {
		x.db.close() // it is removed
		x.db = nil
	}
	if !anew {
		why := x.openLocked(ctx)
		if why == nil {
			return nil
		}
		if !errors.Is(why, errUnusable) {
			return why
		}
		if !errors.Is(why, errMissing) {
			x.log.Warn("the search index is made anew; searches find only a part until then", "reason", why)
		}
	}
	if err := x.remove(); err != nil {
		return err
	}
	db, err := create(ctx, x.path, x.store.Epoch(), rand.Text())
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.building = true
	x.mu.Unlock()
	return x.use(ctx, db)
}

// openLocked opens the database that is there. The error is an errUnusable if it must be
// made anew.
func (x *Index) openLocked(ctx context.Context) error {
	if x.path == "" {
		return errMissing
	}
	if _, err := os.Stat(x.path); errors.Is(err, os.ErrNotExist) {
		return errMissing
	}
	db, err := openFile(ctx, x.path, false)
	if err == nil {
		if err = db.readMeta(ctx, x.store.Epoch()); err == nil {
			err = x.use(ctx, db)
		}
		if err == nil {
			return nil
		}
		db.close()
	}
	return unusable(err)
}

// unusable makes damage an errUnusable, and leaves other errors as they are.
func unusable(err error) error {
	if isDamage(err) && !errors.Is(err, errUnusable) {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return err
}

// use reads where an opened database is and serves it.
func (x *Index) use(ctx context.Context, db *database) error {
	kept, err := db.readRooms(ctx)
	if err != nil {
		return err
	}
	heads, err := x.store.Rooms(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]uint64, len(heads))
	for i := range heads {
		known[heads[i].Name.Key()] = heads[i].Head
	}
	for _, r := range kept {
		if r.cursor > known[r.name.Key()] {
			return fmt.Errorf("%w: it is ahead of room %s", errUnusable, r.name)
		}
	}
	if err := x.tail.load(ctx, db, x.options.shape); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := x.rooms
	x.rooms, x.byID, x.pending = make(map[string]*room), make(map[uint32]*room), nil
	for _, r := range kept {
		x.rooms[r.name.Key()], x.byID[r.id] = r, r
	}
	for i := range heads {
		x.noteLocked(heads[i].Name, heads[i].Head)
	}
	for _, r := range seen { // what was told since then
		x.noteLocked(r.name, r.head)
	}
	if db.built {
		x.building = false
	}
	x.db, x.problem, x.spilled = db, nil, true
	return nil
}

// remove removes the files of the index.
func (x *Index) remove() error {
	if x.path == "" {
		return nil
	}
	return Remove(filepath.Dir(x.path))
}

// Remove removes the index from a data directory that no server uses.
func Remove(dir string) error {
	path := filepath.Join(dir, FileName)
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the search index: %w", err)
		}
	}
	return nil
}

var _ search.Index = (*Index)(nil)
