package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"kaban/internal/store"
)

// applicationID is in the header of the file and marks our databases: "kabn" in ASCII.
const applicationID = 0x6b61626e

// A place, the key of the table entries, is room << seqBits | seq, in 63 bits.
const (
	seqBits = 40
	maxSeq  = 1<<seqBits - 1
	maxRoom = 1<<(63-seqBits) - 1
)

// storeID is the id of the one row of store.
const storeID = 1

//go:embed schema/*.sql
var schemaFiles embed.FS

// migrations returns the scripts of the schema: the first one creates version 1, the
// next one turns version 1 into version 2.
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
	// summedVersion is the first version with checksums.
	summedVersion = 4
	// identityVersion is the first version in which users are identities, with other
	// keys.
	identityVersion = 5
	// journalVersion is the first version with a journal of files. What was the table
	// journal before is the table unmerged.
	journalVersion = 7
	// countedVersion is the first version with counts of messages.
	countedVersion = 9
	// erasingVersion is the first version that erases texts from all files.
	erasingVersion = 11
	// runsVersion is the first version with runs of changes.
	runsVersion = 16
	// reactorsVersion is the first version in which a row of reactions has all people with an emoji.
	reactorsVersion = 17
)

// staleSums returns the tables that need new checksums after a migration from one
// version to another.
func staleSums(from, to int) []summed {
	switch {
	case from == 0, to < summedVersion:
		return nil
	case from < summedVersion && to < journalVersion:
		tables := slices.Clone(summedTables)
		tables[slices.IndexFunc(tables, func(t summed) bool { return t.table == "unmerged" })].table = "journal"
		return tables
	case from < summedVersion:
		return summedTables
	case from < identityVersion && to >= identityVersion:
		return []summed{renamedUsers}
	}
	return nil
}

// migrate updates a schema to the newest version in one transaction. It does not update a
// database that Open would then refuse. If report is not nil, it is called with the
// progress of checksums and of counts, in rows.
func migrate(ctx context.Context, c *conn, version int, scripts []string, read frames, report func(done, total int)) error {
	return c.transact(ctx, func() error {
		if version == 0 {
			if err := c.exec(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
				return err
			}
		}
		for i, script := range scripts[version:] {
			made := version + i + 1
			if err := c.exec(ctx, script); err != nil {
				return fmt.Errorf("migrate to version %d of the schema: %w", made, err)
			}
		}
		if err := sumAll(ctx, c, staleSums(version, len(scripts)), report); err != nil {
			return fmt.Errorf("update the checksums: %w", err)
		}
		if version < countedVersion && len(scripts) >= countedVersion {
			if err := fillCounts(ctx, c, report); err != nil {
				return fmt.Errorf("count the messages: %w", err)
			}
		}
		if 0 < version && version < runsVersion && len(scripts) >= runsVersion {
			// Runs only spare work: a damaged database is served without them, as before.
			if err := unlessDamaged(fillRuns(ctx, c)); err != nil {
				return fmt.Errorf("find runs of changes: %w", err)
			}
		}
		if version < reactorsVersion && len(scripts) >= reactorsVersion {
			if err := gatherReactions(ctx, c, report); err != nil {
				return fmt.Errorf("gather the reactions: %w", err)
			}
		}
		if version == 0 {
			epoch, created := rand.Text(), time.Now().UnixMilli()
			if err := c.exec(ctx, "INSERT INTO store (id, epoch, created) VALUES (?, ?, ?)", storeID, epoch, created); err != nil {
				return fmt.Errorf("write the epoch: %w", err)
			}
			if len(scripts) >= summedVersion {
				if err := setEpoch(ctx, c, epoch, created); err != nil {
					return err
				}
			}
		}
		if version < journalVersion && len(scripts) >= journalVersion {
			if err := beginProgress(ctx, c); err != nil {
				return err
			}
		}
		if version < erasingVersion && len(scripts) >= erasingVersion {
			if err := beginErasing(ctx, c, version == 0); err != nil {
				return err
			}
		} else if len(scripts) > version && len(scripts) >= erasingVersion { // tables may have moved
			if err := unsweep(ctx, c); err != nil {
				return err
			}
		}
		if 0 < version && version < len(scripts) {
			authors, err := c.newAuthors(ctx)
			if err != nil {
				return err
			}
			if _, err := load(ctx, c, authors, read, func(err error) error { return err }); err != nil {
				return err
			}
		}
		return c.exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(scripts)))
	})
}

// summedRows is the number of rows that sumAll reads at a time.
const summedRows = 10_000

// summed is a table with checksums.
type summed struct {
	table, id, columns string
	sum                func(rows *sql.Rows, sum *summer) (id, value int64, err error)
}

// summedTables are all tables with checksums.
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
		return id, sum.room(id, key, name, roomRow{head: head}), err
	}},
	{"users", "id", "id, key, name", func(rows *sql.Rows, sum *summer) (id, _ int64, err error) {
		var key, name string
		err = rows.Scan(&id, &key, &name)
		return id, sum.user(id, key, name), err
	}},
	{"unmerged", "batch", "batch, time, entries", func(rows *sql.Rows, sum *summer) (batch, _ int64, err error) {
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

// renamedUsers are the users after their keys have become ids of identities. A row that
// was damaged before keeps its checksum, so that the damage is still found.
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

// visitorPrefix is the prefix that version 5 adds to the keys of version 4.
const visitorPrefix = "visitor:"

// sumAll writes the checksums of tables, in the transaction in progress.
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

// sumSome writes the checksums of the next rows after one, and returns their number and
// the last one.
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

// logProgress returns a function that logs the progress of an update.
func (d *database) logProgress() func(done, total int) {
	logged := time.Now()
	return func(done, total int) {
		if time.Since(logged) >= logEvery {
			logged = time.Now()
			d.log.Info("updating a database of an older version", "rows", done, "of", total)
		}
	}
}
