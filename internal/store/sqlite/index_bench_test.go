//go:build unix

package sqlite

import (
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban"
)

// BenchmarkIndexOfIDs compares indexes that keep ids unique per room and author, by what a
// merge costs: 256 messages of 6 of 100 rooms, each of ten people. It reports the processor
// time and the pages of the WAL per message, without the reads that find a place in it.
func BenchmarkIndexOfIDs(b *testing.B) {
	for _, ids := range []string{"timed", "random"} {
		for _, index := range []struct{ name, sql string }{
			{"none", ""},
			{"room-author-id", "CREATE UNIQUE INDEX ids ON entries (place >> 40, user, id)"},
			{"room-id-author", "CREATE UNIQUE INDEX ids ON entries (place >> 40, id, user)"},
			{"room-hash", "CREATE INDEX ids ON entries (place >> 40, target)"}, // the target stands for a hash
			{"room-id-author-counted", "CREATE UNIQUE INDEX ids ON entries (place >> 40, id, user); " +
				"CREATE TABLE written (block INTEGER, user INTEGER, entries INTEGER, PRIMARY KEY (block, user)) STRICT, WITHOUT ROWID"},
		} {
			b.Run("ids="+ids+"/index="+index.name, func(b *testing.B) { benchmarkIndex(b, index.name, index.sql, ids == "timed") })
		}
	}
}

func benchmarkIndex(b *testing.B, name, sql string, timed bool) {
	const rooms, people, merged, atOnce, before = 100, 10, 6, 256, 60_000
	path := filepath.Join(b.TempDir(), databaseName)
	scripts, err := migrations()
	if err != nil {
		b.Fatal(err)
	}
	if err := create(b.Context(), path, scripts); err != nil {
		b.Fatal(err)
	}
	c, err := connect(b.Context(), path, "rw", writerPragmas)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	for _, query := range []string{
		"DROP INDEX ids", "PRAGMA wal_autocheckpoint = 1000", sql,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO users SELECT i, i, i, 0 FROM n",
	} {
		if err := c.exec(b.Context(), query); err != nil {
			b.Fatal(err)
		}
	}
	insert, err := c.PrepareContext(b.Context(), insertQuery+times(insertRow, insertRows))
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	var heads [rooms]int64
	next, content := 0, strings.Repeat("hello world ", 8)
	merge := func() {
		if err := c.exec(b.Context(), "BEGIN IMMEDIATE"); err != nil {
			b.Fatal(err)
		}
		var args []any
		for i := range atOnce {
			room := (next + i*merged/atOnce) % rooms
			heads[room]++
			user, id, target := int64(room*people+i%people+1), rand.Text()+"-0123456789", int64(0)
			if timed {
				id = kaban.NewMessageID().String()
			}
			if name == "room-hash" {
				h := fnv.New64a()
				fmt.Fprint(h, user, id)
				target = int64(h.Sum64() >> 1)
			}
			args = append(args, int64(room+1)<<seqBits|heads[room], int64(1700000000000), int64(1), user, nil, id, target, content, int64(7))
			if len(args) == insertRows*insertColumns {
				if _, err := insert.ExecContext(b.Context(), args...); err != nil {
					b.Fatal(err)
				}
				args = args[:0]
			}
		}
		if strings.HasSuffix(name, "counted") {
			for r := range merged {
				room := (next + r) % rooms
				for user := range people {
					if err := c.exec(b.Context(), "INSERT INTO written VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET entries = entries + excluded.entries", int64(room+1)<<30|heads[room]>>10, room*people+user+1, 4); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		next += merged
		if err := c.exec(b.Context(), "COMMIT"); err != nil {
			b.Fatal(err)
		}
	}
	for range before / atOnce {
		merge()
	}
	rows, start := 0, processorTime(b)
	for b.Loop() {
		merge()
		rows += atOnce
	}
	b.ReportMetric(float64((processorTime(b)-start).Nanoseconds())/float64(rows), "cpu-ns/row")
}

// processorTime returns what the process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
