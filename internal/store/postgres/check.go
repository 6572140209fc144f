package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kaban/internal/store"
)

// oldest is the oldest version of the server that is supported, as server_version_num has it.
const oldestVersion = 150000

// Errors of Open and of new connections.
var (
	// ErrUnsafe means that the server may lose what it has acknowledged, or keeps texts in another
	// encoding.
	ErrUnsafe = errors.New("the server is not configured to keep everything")
	// ErrOldServer means that the server is of an older version than 15.
	ErrOldServer = errors.New("PostgreSQL 15 or newer is needed")
	// ErrStandby means that the server only reads.
	ErrStandby = errors.New("the server is a standby")
	// ErrFenced means that the server was the primary once, and another one has taken over.
	ErrFenced = errors.New("the server has an older timeline than one that was seen")
	// ErrOtherServer means that the server has not the data that the store was opened with.
	ErrOtherServer = errors.New("the server is another cluster")
	// ErrEpoch means that the data were replaced by others: after a failover that may have lost
	// something, or a restore. Clients must be told so, which a restart does.
	ErrEpoch = errors.New("the database has another epoch now")
)

// ErrNoStandby means that commits wait for a standby that is away.
var ErrNoStandby = errors.New("the standby that confirms commits is away")

// server is what a connection leads to.
type server struct {
	version                               int64
	fsync, fullPages, synchronous, coding string
	standby                               bool
	system, timeline                      int64
	position                              int64 // in the WAL, up to which it is on the disk
	stuck                                 int64 // sessions of this role that have waited for the standby for long
}

// The timeline is that of the segment of the WAL that is being written, because the one of the last
// checkpoint is old for a while after a failover.
const inspectQuery = `SELECT current_setting('server_version_num'), current_setting('fsync'),
	current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('server_encoding'), pg_is_in_recovery()::integer,
	(SELECT system_identifier FROM pg_control_system()),
	CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END,
	CASE WHEN pg_is_in_recovery() THEN 0 ELSE (pg_current_wal_flush_lsn() - '0/0')::bigint END,
	(SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'SyncRep' AND query_start < now() - interval '5 s')`

// inspect returns what a connection leads to.
func inspect(ctx context.Context, c *pgconn.PgConn) (*server, error) {
	results, err := c.Exec(ctx, inspectQuery).ReadAll()
	switch {
	case err == nil:
	case codeOf(err) == "" || isPassing(err): // the connection was lost, whatever pgx calls that
		return nil, fmt.Errorf("%w: inspect the server: %w", store.ErrUnavailable, err)
	default:
		return nil, fmt.Errorf("inspect the server: %w", err)
	}
	row := results[0].Rows[0]
	v := &server{fsync: string(row[1]), fullPages: string(row[2]), synchronous: string(row[3]), coding: string(row[4])}
	standby := int64(0)
	for i, n := range map[int]*int64{0: &v.version, 5: &standby, 6: &v.system, 7: &v.timeline, 8: &v.position, 9: &v.stuck} {
		if *n, err = strconv.ParseInt(string(row[i]), 10, 64); err != nil {
			return nil, fmt.Errorf("inspect the server: %w", err)
		}
	}
	v.standby = standby != 0
	return v, nil
}

// check returns nil if the server may be used.
func (v *server) check(careless bool) error {
	switch {
	case v.version < oldestVersion:
		return fmt.Errorf("%w; this is %d.%d", ErrOldServer, v.version/10000, v.version%10000)
	case v.standby:
		return ErrStandby
	case v.coding != "UTF8":
		return fmt.Errorf("%w: the encoding of the database is %s, and must be UTF8", ErrUnsafe, v.coding)
	case careless:
		return nil
	case v.fsync != "on":
		return fmt.Errorf("%w: fsync is %s, and must be on", ErrUnsafe, v.fsync)
	case v.fullPages != "on":
		return fmt.Errorf("%w: full_page_writes is %s, and must be on", ErrUnsafe, v.fullPages)
	case v.synchronous != "on" && v.synchronous != "remote_apply":
		return fmt.Errorf("%w: synchronous_commit is %s, and must be on or remote_apply", ErrUnsafe, v.synchronous)
	}
	return nil
}

// validate decides whether a server may be used, for each host in turn until there is one.
func (s *Store) validate(ctx context.Context, c *pgconn.PgConn) error {
	seen := s.seen.get() // before the server is asked: it may go on meanwhile
	v, err := inspect(ctx, c)
	if err == nil {
		err = v.check(s.careless)
	}
	if err != nil {
		return err
	}
	if s.system != 0 && v.system != s.system {
		return ErrOtherServer
	}
	if newest := s.timeline.Load(); v.timeline < newest {
		return fmt.Errorf("%w: %d, and %d was seen; it must not serve any more: make it a standby of the new primary", ErrFenced, v.timeline, newest)
	}
	s.turn(v.timeline)
	n := notesOf(c)
	n.server, n.restored = v, v.timeline == seen.timeline && v.position < seen.position
	s.seen.raise(moment{v.timeline, v.position})
	return nil
}

// turn notes a timeline. If it is a new one, a standby has taken over, and connections to the primary
// before are not used any more.
func (s *Store) turn(timeline int64) {
	for seen := s.timeline.Load(); timeline > seen; seen = s.timeline.Load() {
		if s.timeline.CompareAndSwap(seen, timeline) {
			s.reset()
			if seen != 0 {
				s.log.Info("the database has failed over: another server is the primary now", "timeline", timeline)
			}
			return
		}
	}
}

// admit checks each new connection of the pools.
func (s *Store) admit(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for _, sql := range optionalSettings {
		if _, err := c.PgConn().Exec(ctx, sql).ReadAll(); err != nil && codeOf(err) == "" {
			return err
		}
	}
	v := notesOf(c.PgConn())
	if v.restored {
		if err := s.replace(ctx, c); err != nil {
			return err
		}
	}
	epoch, err := adopt(ctx, c, v.server)
	if err != nil {
		return err
	}
	if epoch != s.epoch {
		s.Break(ErrEpoch)
		return ErrEpoch
	}
	if s.moving {
		return nil
	}
	if err = refuseMoved(ctx, c); errors.Is(err, store.ErrMoved) {
		s.Break(err)
	}
	return err
}

// replace gives the data another epoch, because they are older than what was seen of them in the same
// timeline: a snapshot was restored. Of several nodes that notice it, one makes the change.
func (s *Store) replace(ctx context.Context, c *pgx.Conn) error {
	s.log.Error("the database was replaced by an older copy of itself")
	if _, err := c.Exec(ctx, "UPDATE store SET epoch = $1 WHERE epoch = $2", newEpoch(), s.epoch); err != nil {
		return fmt.Errorf("change the epoch: %w", err)
	}
	return nil
}

// maxStuck is how many sessions may wait for the standby for long before a store takes no more
// connections that write: they stay until the standby is back, and a server has only so many.
const maxStuck = 16

// admitWriter is admit for connections that write.
func (s *Store) admitWriter(ctx context.Context, c *pgx.Conn) error {
	if notesOf(c.PgConn()).stuck >= maxStuck {
		return ErrNoStandby
	}
	return s.admit(ctx, c)
}

// adopt returns the epoch of the data. If they have come to another timeline or another cluster
// since, they get another one, unless the operator keeps it (KeepEpoch) and it is the same
// cluster. Of several nodes one makes the change.
func adopt(ctx context.Context, c *pgx.Conn, v *server) (epoch string, err error) {
	var system, timeline int64
	if err := c.QueryRow(ctx, "SELECT epoch, system, timeline FROM store").Scan(&epoch, &system, &timeline); err != nil {
		return "", fmt.Errorf("read the epoch: %w", err)
	}
	switch {
	case system == v.system && timeline == v.timeline:
		return epoch, nil
	case system == v.system && timeline > v.timeline:
		return "", fmt.Errorf("%w: %d, and the data are of %d", ErrFenced, v.timeline, timeline)
	}
	_, err = c.Exec(ctx, `UPDATE store SET epoch = CASE WHEN keep AND kept > now() - $4::interval AND system = $1 THEN epoch ELSE $3 END, system = $1, timeline = $2, keep = false
		WHERE system <> $1 OR timeline < $2`, v.system, v.timeline, newEpoch(), KeepTime)
	if err == nil {
		err = c.QueryRow(ctx, "SELECT epoch FROM store").Scan(&epoch)
	}
	if err != nil {
		return "", fmt.Errorf("change the epoch: %w", err)
	}
	return epoch, nil
}

// KeepTime is how long after KeepEpoch a change of the timeline keeps the epoch. A failover that comes
// later is another one than the operator had in mind, and may lose something.
const KeepTime = time.Hour

// KeepEpoch has the next change of the timeline within KeepTime keep the epoch: the operator knows that the failover
// loses nothing, because the standby is synchronous. It is called before the failover, on the old
// primary, or after it on the new one before any node connects. Of several hosts in the URL it takes the first
// that is no standby. After a store.ErrUnavailable it may be called again.
func KeepEpoch(ctx context.Context, url string) error {
	config, err := parse(url, DefaultPatience)
	if err != nil {
		return err
	}
	config.ConnConfig.ValidateConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		v, err := inspect(ctx, c)
		if err == nil && v.standby {
			err = ErrStandby
		}
		return err
	}
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	limited, end := context.WithTimeout(ctx, DefaultPatience)
	defer end()
	if _, err = c.Exec(limited, "UPDATE store SET keep = true, kept = now()"); ctx.Err() == nil && mayPass(c, err) {
		err = fmt.Errorf("%w: no answer within %v: %w", store.ErrUnavailable, DefaultPatience, err)
	}
	if v := notesOf(c.PgConn()); err == nil && v != nil && v.doubtful {
		err = fmt.Errorf("%w by the standby: keep the epoch again", errDoubtful)
	}
	return errors.Join(err, c.Close(ctx))
}
