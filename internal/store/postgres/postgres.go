// Package postgres keeps the logs in a PostgreSQL database, which several nodes share. What one
// node has appended, every node reads: there is nothing in memory that a read must wait for.
//
// An append of new entries is one call of the function append_entries, in one round trip. It locks
// the rows of its rooms in the order of their ids, numbers the entries behind their heads, and
// inserts them. Everything that needs a decision goes the general way (transaction): it locks the
// same rows in the same order, reads what the decisions need, decides in this process, and writes
// all at once. So heads, revisions and messages change under the lock of their room only.
//
// Transactions that read and write documents come one after the other, over all nodes: they hold an
// advisory lock, which they take before any room. See docs/adr/0047-postgres.md.
//
// A connection that is lost at the wrong moment leaves open whether something is stored. The driver
// finds out by itself: an append looks for its ids under the locks of its rooms, and a transaction of
// documents for a note that it leaves, under theirs. If that cannot be found out for Options.Patience,
// the error is store.ErrUnknown. A store that cannot be reached is store.ErrUnavailable and may come
// back. No statement is ever cancelled: it may be in its commit.
//
// Lock order: the advisory lock of documents (Store.updating in the process, then the one of the
// database), rows of rooms by id, the row of counted, and any others.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kaban/internal/store"
)

// DefaultPatience is how long a call takes at most while the database is away or does not answer.
const DefaultPatience = 5 * time.Second

// movingPatience is that of a move, which looks at whole rooms, and for which nobody waits.
const movingPatience = 10 * time.Minute

// Connections of a store: writers, readers of logs and documents, and makers of rows of rooms. A
// function of Update may wait for a View, so they do not share.
const (
	writers = 6
	readers = 8
	makers  = 2
)

// clock is the source of the times of entries.
var clock = time.Now

// Options configure Open. The zero value is ready to use.
type Options struct {
	// Log receives what operators should know. Default: nothing is logged.
	Log *slog.Logger
	// Patience is how long a call takes at most while the database is away or does not answer. Locks
	// of a node that does nothing are released before. Default: DefaultPatience.
	Patience time.Duration
	// Careless accepts a server that may lose what it has acknowledged. It is for tests.
	Careless bool
	// Moving opens what nobody else may use, because it is being moved or was moved. It refuses a
	// database that somebody uses (ErrInUse), and the schema of an older version.
	Moving bool
}

// Store is a handle on a database. It implements store.Store.
type Store struct {
	gate
	log      *slog.Logger
	patience time.Duration
	careless bool
	moving   bool
	now      func() time.Time

	alone                    *pgx.Conn // with the lock of a move; nil without one
	writers, readers, makers *pgxpool.Pool
	ready                    atomic.Bool // there are pools
	epoch                    string
	handle                   string // names it among the handles on the data
	secret                   []byte // the key of the sums of texts
	system                   int64
	timeline                 atomic.Int64 // the newest one that was seen
	seen                     latest

	rooms    roomCache
	updating chan struct{} // holds one value while a transaction of documents is in progress
	counter  counter
	scout    scout
	full     fullness
	sized    sized

	closing context.Context // ended by Close
	stop    context.CancelFunc
	once    sync.Once

	broken atomic.Pointer[error]
	alarm  atomic.Pointer[func(error)]
}

// Open connects to a database and creates or updates its schema, unless that is there already; then
// the role needs no more than to read and write rows. It refuses a server that may lose what it has
// acknowledged, one that only reads, and an unprotected way to another machine. The URL is one of
// libpq. Open does not wait for a server that is away, and for an answer no longer than the patience:
// then its error is a store.ErrUnavailable. It waits for another node that changes the schema.
func Open(ctx context.Context, url string, options Options) (*Store, error) {
	s := &Store{
		log: options.Log, patience: options.Patience, careless: options.Careless, moving: options.Moving, now: clock,
		handle: rand.Text(), updating: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case s.patience > 0:
	case s.moving:
		s.patience = movingPatience
	default:
		s.patience = DefaultPatience
	}
	config, err := parse(url, s.patience)
	if err != nil {
		return nil, err
	}
	if s.moving {
		config.ConnConfig.RuntimeParams["application_name"] = movingName
	}
	config.ConnConfig.ValidateConnect = s.validate
	s.closing, s.stop = context.WithCancel(context.Background())
	if err := s.begin(ctx, config); err != nil {
		s.stop()
		s.release(ctx)
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s.counter.start(s)
	return s, nil
}

// begin brings the schema up to date, reads what the database is, and makes the pools.
func (s *Store) begin(ctx context.Context, config *pgxpool.Config) error {
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	if err = s.prepare(ctx, c); err == nil && s.moving {
		if err = takeAlone(ctx, c); err == nil {
			s.alone = c // until Close: it has a lock
		}
	}
	if s.alone == nil {
		err = errors.Join(err, c.Close(ctx))
	}
	if err != nil {
		return err
	}
	config.BeforeClose = func(c *pgx.Conn) {
		if c.IsClosed() && !notesOf(c.PgConn()).cancelled.Load() { // it was lost
			s.reset()
			s.scout.lost()
		}
	}
	for _, p := range []struct {
		pool  **pgxpool.Pool
		max   int32
		admit func(context.Context, *pgx.Conn) error
		idle  time.Duration
	}{{&s.writers, writers, s.admitWriter, s.patience * 3 / 5}, {&s.makers, makers, s.admitWriter, s.patience * 3 / 5}, {&s.readers, readers, s.admit, viewIdle}} {
		config := config.Copy()
		config.MaxConns, config.AfterConnect = p.max, p.admit
		config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = milliseconds(p.idle)
		if *p.pool, err = pgxpool.NewWithConfig(s.closing, config); err != nil {
			return err
		}
	}
	s.ready.Store(true)
	s.scout.start(s, config.ConnConfig)
	return nil
}

// reset has all connections closed, those in use once they are not. Where one was lost, the others
// may be dead, too, and nobody is to find that out one after the other.
func (s *Store) reset() {
	if !s.ready.Load() {
		return
	}
	s.writers.Reset()
	s.makers.Reset()
	s.readers.Reset()
}

// prepare is begin for its first connection. It takes longer than the patience only while somebody
// changes the schema.
func (s *Store) prepare(ctx context.Context, c *pgx.Conn) error {
	server := notesOf(c.PgConn()).server
	if err := s.migrate(ctx, c, server); err != nil {
		return err
	}
	s.system = server.system
	return s.soon(ctx, c, func(ctx context.Context) error {
		err := error(nil)
		if !s.moving {
			err = refuseMoved(ctx, c)
		}
		if err == nil {
			s.epoch, err = adopt(ctx, c, server)
		}
		if err == nil {
			err = c.QueryRow(ctx, "SELECT secret FROM store").Scan(&s.secret)
		}
		return err
	})
}

// Epoch implements store.Store.
func (s *Store) Epoch() string { return s.epoch }

// Alarm implements store.Alarming.
func (s *Store) Alarm(call func(error)) {
	s.alarm.Store(&call)
	if broken := s.broken.Load(); broken != nil {
		call(*broken)
	}
}

// Break implements store.Breakable.
func (s *Store) Break(reason error) {
	err := fmt.Errorf("%w: %w", store.ErrBroken, reason)
	if !s.broken.CompareAndSwap(nil, &err) {
		return
	}
	s.log.Error("the store is broken", "error", reason)
	if alarm := s.alarm.Load(); alarm != nil {
		(*alarm)(err)
	}
}

// begun lets a call in, which then calls leave. The error says why it cannot be served.
func (s *Store) begun(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	err := ctx.Err()
	if broken := s.broken.Load(); broken != nil {
		err = *broken
	}
	if err != nil {
		s.leave()
	}
	return err
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.close()
		s.stop()
		s.counter.done.Wait()
		s.scout.done.Wait()
		s.writers.Close()
		s.readers.Close()
		s.makers.Close()
		s.release(context.Background())
	})
	return nil
}

// gate lets calls in until it is closed.
type gate struct {
	mu     sync.Mutex
	calls  int
	closed bool
	left   chan struct{} // closed when the gate is, and the last call has left
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return store.ErrClosed
	}
	g.calls++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.closed && g.calls == 0 {
		close(g.left)
	}
}

// close closes the gate and waits for the calls that are in.
func (g *gate) close() {
	g.mu.Lock()
	g.closed, g.left = true, make(chan struct{})
	if g.calls == 0 {
		close(g.left)
	}
	g.mu.Unlock()
	<-g.left
}

// newEpoch returns the name of another incarnation of the data.
func newEpoch() string { return rand.Text() }

// waitRoutine is the function of PostgreSQL that waits for the standby.
const waitRoutine = "SyncRepWaitForLSN"

// noteDoubt notes a warning that comes with a COMMIT: the transaction is done here, and perhaps
// nowhere else. PostgreSQL then reports success all the same. The warning is in the language of the
// server, and its code, 01000 if the wait was cancelled, is that of many others.
func noteDoubt(c *pgconn.PgConn, n *pgconn.Notice) {
	if v := notesOf(c); v != nil && (n.Routine == waitRoutine || n.Code == codeQueryCanceled || n.Code == codeAdminShutdown) {
		v.doubtful = true
	}
}

// errDoubtful means that a COMMIT has succeeded, and does not count.
var errDoubtful = errors.New("the commit was not confirmed")

// confirmed returns nil if a COMMIT that has succeeded on a connection counts. If the transaction has
// written something, position is how far the WAL was before its COMMIT.
func (s *Store) confirmed(c *pgx.Conn, position int64) error {
	v := notesOf(c.PgConn())
	if v.doubtful {
		v.doubtful = false
		return fmt.Errorf("%w by the standby", errDoubtful)
	}
	if newest := s.timeline.Load(); v.timeline < newest {
		return fmt.Errorf("%w: its server has the timeline %d, and %d was seen", errDoubtful, v.timeline, newest)
	}
	if !s.careless { // then it is on the disk
		s.seen.raise(moment{v.timeline, position})
	}
	return nil
}
