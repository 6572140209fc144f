package postgres

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Keys of advisory locks. They are locks of a database, so they need to differ from nothing else
// than what others lock in the same one: "kaban" in ASCII and a number.
const (
	migrationLock = 0x6b6162616e_01
	documentsLock = 0x6b6162616e_02
	moveLock      = 0x6b6162616e_03
)

// secretSize is the size of the key of the sums of texts, in bytes.
const secretSize = 32

// ErrNewer means that a newer version of Kaban has changed the schema.
var ErrNewer = errors.New("the database was updated by a newer version of Kaban")

// migrations returns the scripts of the schema: the first one creates version 1, the next one turns
// version 1 into version 2.
func migrations() ([]string, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql") // in the order of their names
	if err != nil {
		return nil, err
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		script, err := schemaFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		scripts[i] = string(script)
	}
	return scripts, nil
}

// migrate creates the schema, or brings it to the newest version, in one transaction. Of several
// nodes one does it, and the others wait. If nothing is to be done, it needs no right to do it. The
// caller closes the connection.
func (s *Store) migrate(ctx context.Context, c *pgx.Conn, v *server) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	var version int
	err = s.soon(ctx, c, func(ctx context.Context) (err error) {
		if s.moving {
			err = refuseOlder(ctx, c)
		}
		if err == nil {
			version, err = versionOf(ctx, c)
		}
		return err
	})
	if err != nil || version == len(scripts) {
		return err
	}
	if err := s.lockSchema(ctx, c); err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	var tx pgx.Tx
	err = s.soon(ctx, c, func(ctx context.Context) (err error) {
		tx, err = c.Begin(ctx) // the transaction outlives the context
		return err
	})
	if err != nil {
		return err
	}
	if err := upgrade(ctx, tx, scripts, v); err != nil {
		return err
	}
	// It waits for the standby. If the patience ends before, another attempt finds out what has become of it.
	return s.soon(ctx, c, tx.Commit)
}

// schemaPause is how long a node waits before it looks again whether another one has changed the schema.
const schemaPause = 100 * time.Millisecond

// lockSchemaQuery tries to take a lock. It also tells whether the commit of whoever has it has waited for
// the standby for long.
const lockSchemaQuery = `SELECT pg_try_advisory_lock($1), EXISTS (
	SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
	WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND (l.classid::bigint << 32) + l.objid::bigint = $1
	AND a.wait_event = 'SyncRep' AND a.query_start < now() - interval '5 s')`

// lockSchema waits until no other node changes the schema, however long that takes, but not for one that
// waits for the standby. The lock ends with the session.
//
// It is taken before the transaction: one that began before it has the lock would not know what another
// node has created in the meantime.
func (s *Store) lockSchema(ctx context.Context, c *pgx.Conn) error {
	// The changes themselves wait for what is under way.
	err := s.soon(ctx, c, func(ctx context.Context) error {
		_, err := c.Exec(ctx, "SET lock_timeout = 0")
		return err
	})
	if err != nil {
		return err
	}
	for said := false; ; said = true {
		var taken, stuck bool
		err := s.soon(ctx, c, func(ctx context.Context) error {
			return c.QueryRow(ctx, lockSchemaQuery, int64(migrationLock)).Scan(&taken, &stuck)
		})
		switch {
		case err != nil || taken:
			return err
		case stuck:
			return fmt.Errorf("%w: %w", store.ErrUnavailable, ErrNoStandby)
		case !said:
			s.log.Info("waiting for another node, which changes the schema of the database")
		}
		select {
		case <-time.After(schemaPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// upgrade brings the schema to the newest version, unless another node has done so.
func upgrade(ctx context.Context, tx pgx.Tx, scripts []string, v *server) error {
	version, err := versionOf(ctx, tx)
	if err != nil || version == len(scripts) {
		return err
	}
	if version > len(scripts) {
		return fmt.Errorf("%w: its version is %d, and this program knows %d", ErrNewer, version, len(scripts))
	}
	for i, script := range scripts[version:] {
		if _, err := tx.Exec(ctx, script); err != nil {
			return fmt.Errorf("migrate to version %d of the schema, as a role that owns it: %w", version+i+1, err)
		}
	}
	if version == 0 {
		if err := found(ctx, tx, v); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "UPDATE kaban_schema SET version = $1", len(scripts))
	return err
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// versionOf returns the version of the schema, 0 if there is none.
func versionOf(ctx context.Context, c querier) (version int, err error) {
	var exists bool
	if err := c.QueryRow(ctx, "SELECT to_regclass('kaban_schema') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = c.QueryRow(ctx, "SELECT version FROM kaban_schema").Scan(&version)
	return version, err
}

// found writes what a new database is.
func found(ctx context.Context, tx pgx.Tx, v *server) error {
	secret := make([]byte, secretSize)
	rand.Read(secret)
	_, err := tx.Exec(ctx, "INSERT INTO store (id, epoch, created, secret, system, timeline, keep) VALUES (1, $1, $2, $3, $4, $5, false)",
		newEpoch(), time.Now().UnixMilli(), secret, v.system, v.timeline)
	if err == nil {
		_, err = tx.Exec(ctx, "INSERT INTO kaban_schema (version) VALUES (0)")
	}
	return err
}
