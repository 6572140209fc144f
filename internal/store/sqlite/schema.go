package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"kaban/internal/store"
)

// applicationID stands in the header of the file and tells our database from
// others: "kabn" in ASCII.
const applicationID = 0x6b61626e

// A place is room << seqBits | seq, in 63 bits.
const (
	seqBits = 40
	maxSeq  = 1<<seqBits - 1
	maxRoom = 1<<(63-seqBits) - 1
)

// storeID is the id of the one row of store.
const storeID = 1

//go:embed schema/*.sql
var schemaFiles embed.FS

// migrations returns the scripts that make the schema: the first makes version
// 1 of nothing, the next version 2 of version 1.
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

const (
	// summedVersion is the first version of the schema whose rows have checksums.
	summedVersion = 4
	// identityVersion is the first whose users are identities, which have other keys.
	identityVersion = 5
)

// staleSums returns the tables whose rows need new checksums after the scripts
// from one version of the schema to another have run.
func staleSums(from, to int) []summed {
	switch {
	case from == 0, to < summedVersion:
		return nil
	case from < summedVersion:
		return summedTables
	case from < identityVersion && to >= identityVersion:
		return []summed{renamedUsers}
	}
	return nil
}

// migrate brings a schema to the newest version in one transaction: all of it,
// or nothing. report, if not nil, is told how many rows of all have got their sum.
func migrate(ctx context.Context, c *conn, version int, scripts []string, report func(done, total int)) error {
	return c.transact(ctx, func() error {
		if version == 0 {
			if err := c.exec(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
				return err
			}
		}
		for i, script := range scripts[version:] {
			made := version + i + 1
			if err := c.exec(ctx, script); err != nil {
				return fmt.Errorf("make version %d of the schema: %w", made, err)
			}
		}
		if err := sumAll(ctx, c, staleSums(version, len(scripts)), report); err != nil {
			return fmt.Errorf("bring the checksums up to date: %w", err)
		}
		if version == 0 {
			epoch, created := rand.Text(), time.Now().UnixMilli()
			if err := c.exec(ctx, "INSERT INTO store (id, epoch, created) VALUES (?, ?, ?)", storeID, epoch, created); err != nil {
				return fmt.Errorf("make the epoch: %w", err)
			}
			if len(scripts) >= summedVersion {
				if err := setEpoch(ctx, c, epoch, created); err != nil {
					return err
				}
			}
		}
		return c.exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(scripts)))
	})
}

// summedRows is how many rows sumAll reads at a time.
const summedRows = 10_000

// summed is a table with checksums.
type summed struct {
	table, id, columns string
	sum                func(rows *sql.Rows, sum *summer) (id, value int64, err error)
}

// summedTables are all of them.
var summedTables = []summed{
	{"store", "id", "id, epoch, created", func(rows *sql.Rows, sum *summer) (id, _ int64, err error) {
		var epoch string
		var created int64
		err = rows.Scan(&id, &epoch, &created)
		return id, sum.store(id, epoch, created), err
	}},
	{"rooms", "id", "id, key, name, head", func(rows *sql.Rows, sum *summer) (id, _ int64, err error) {
		var key, name string
		var head uint64
		err = rows.Scan(&id, &key, &name, &head)
		return id, sum.room(id, key, name, head), err
	}},
	{"users", "id", "id, key, name", func(rows *sql.Rows, sum *summer) (id, _ int64, err error) {
		var key, name string
		err = rows.Scan(&id, &key, &name)
		return id, sum.user(id, key, name), err
	}},
	{"journal", "batch", "batch, time, entries", func(rows *sql.Rows, sum *summer) (batch, _ int64, err error) {
		var at int64
		var entries []byte
		err = rows.Scan(&batch, &at, &entries)
		return batch, sum.batch(batch, at, entries), err
	}},
	{
		"entries", "place", "place, time, kind, user, coalesce(username, (SELECT name FROM users WHERE users.id = entries.user)), id, target, content",
		func(rows *sql.Rows, sum *summer) (place, _ int64, err error) {
			var e store.Entry
			var user int64
			err = rows.Scan(&place, &e.Time, &e.Kind, &user, &e.Username, &e.ID, &e.Target, &e.Content)
			return place, sum.entry(place, user, &e), err
		},
	},
}

// renamedUsers are the users whose keys have just become ids of identities. One
// that was damaged before keeps its sum, so that it is still found to be.
var renamedUsers = summed{"users", "id", "id, key, name, sum", func(rows *sql.Rows, sum *summer) (id, value int64, err error) {
	var key, name string
	if err := rows.Scan(&id, &key, &name, &value); err != nil {
		return 0, 0, err
	}
	if sum.user(id, strings.TrimPrefix(key, visitorPrefix), name) == value {
		value = sum.user(id, key, name)
	}
	return id, value, nil
}}

// visitorPrefix is what version 5 has put before the keys of version 4.
const visitorPrefix = "visitor:"

// sumAll gives the rows of tables their checksum, in the transaction under way.
func sumAll(ctx context.Context, c *conn, tables []summed, report func(done, total int)) error {
	done, total := 0, 0
	for _, t := range tables {
		n, err := c.number(ctx, "SELECT count(*) FROM "+t.table)
		if err != nil {
			return err
		}
		total += n
	}
	for _, t := range tables {
		last := int64(math.MinInt64)
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, newest, err := t.sumSome(ctx, c, last)
			if err != nil {
				return fmt.Errorf("add checksums to %s: %w", t.table, err)
			}
			if n == 0 {
				break
			}
			last = newest
			if done += n; report != nil {
				report(done, total)
			}
		}
	}
	return nil
}

// sumSome gives rows behind one their checksum, and returns how many and the last.
func (t *summed) sumSome(ctx context.Context, c *conn, after int64) (n int, last int64, err error) {
	rows, err := c.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s > ? ORDER BY %[3]s LIMIT %d", t.columns, t.table, t.id, summedRows), after)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var ids, values []int64
	var sum summer
	for rows.Next() {
		id, value, err := t.sum(rows, &sum)
		if err != nil {
			return 0, 0, err
		}
		ids, values = append(ids, id), append(values, value)
	}
	if err := closeRows(rows); err != nil || len(ids) == 0 {
		return 0, 0, err
	}
	update, err := c.PrepareContext(ctx, fmt.Sprintf("UPDATE %s SET sum = ? WHERE %s = ?", t.table, t.id))
	if err != nil {
		return 0, 0, err
	}
	defer update.Close()
	for i, id := range ids {
		if _, err := update.ExecContext(ctx, values[i], id); err != nil {
			return 0, 0, err
		}
	}
	return len(ids), ids[len(ids)-1], nil
}

// logEvery is how often long work logs its progress.
const logEvery = 2 * time.Second

// logProgress returns a function that logs the progress of the checksums.
func (d *database) logProgress() func(done, total int) {
	logged := time.Now()
	return func(done, total int) {
		if time.Since(logged) >= logEvery {
			logged = time.Now()
			d.log.Info("adding checksums to a database of an older version", "rows", done, "of", total)
		}
	}
}
