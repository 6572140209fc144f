package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The people of the benchmarks of indexes: 100 rooms of ten, in which everybody talks.
const (
	indexRooms   = 100
	indexMembers = 10
	indexBase    = 200_000 // rows before the measurement
	indexRows    = 32_768  // rows that are measured
)

// indexLayout is a way to find a message by room, author and id.
type indexLayout struct {
	name, column, index, find string
	more                      string                 // another index, which counts an author's messages
	key                       func(m *indexed) int64 // of the column
}

var indexLayouts = []indexLayout{
	{name: "none"},
	{name: "room,author,id", index: "place >> 40, user, id", find: "place >> 40 = ? AND user = ? AND id = ?"},
	{name: "room,id,author", index: "place >> 40, id, user", find: "place >> 40 = ? AND user = ? AND id = ?"},
	{
		name: "room,id,author+room,author", index: "place >> 40, id, user", find: "place >> 40 = ? AND user = ? AND id = ?",
		more: "place >> 40, user",
	},
	{
		name: "room,hash", column: "key INTEGER NOT NULL DEFAULT 0", index: "key", find: "key = ?",
		key: func(m *indexed) int64 { return m.room<<40 | m.hash()>>24 },
	},
	{
		name: "hash", column: "key INTEGER NOT NULL DEFAULT 0", index: "key", find: "key = ?",
		key: (*indexed).hash,
	},
}

// indexed is a message.
type indexed struct {
	room, user, seq int64
	id              string
}

// hash is one of author and id with 63 bits.
func (m *indexed) hash() int64 {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(m.user)))
	h.Write([]byte(m.id))
	x := (h.Sum64() ^ h.Sum64()>>32) * 0x9e3779b97f4a7c15 // mixed once more
	return int64(x >> 1)
}

// talk makes the messages of people in rooms, a hundred a second.
type talk struct {
	ids    string // time, counted or random
	random *rand.Rand
	count  int64
	heads  [indexRooms + 1]int64
	tails  map[int64]uint64
}

func (t *talk) next() indexed {
	m := indexed{room: 1 + t.random.Int64N(indexRooms)}
	m.user = (m.room-1)*indexMembers + 1 + t.random.Int64N(indexMembers)
	t.heads[m.room]++
	m.seq = t.heads[m.room]
	tail, ok := t.tails[m.user]
	if !ok {
		tail = t.random.Uint64()
		t.tails[m.user] = tail
	}
	t.count++
	switch t.ids {
	case "time": // the clocks of people differ by up to a second
		ms := 1_700_000_000_000 + t.count*10 + int64(tail%1000)
		m.id = fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", ms>>16, ms&0xffff, t.random.IntN(1<<12), 0x8000|tail>>50, tail&(1<<48-1))
	case "counted":
		m.id = fmt.Sprintf("%016x-%x", tail, t.count)
	case "random":
		m.id = fmt.Sprintf("%016x%016x", t.random.Uint64(), t.random.Uint64())
	}
	return m
}

// merges splits the messages that are unmerged at a time into those of each merge: all of
// some rooms, in the order of their rows.
func (t *talk) merges(unmerged int) [][]indexed {
	all := make([]indexed, unmerged)
	for i := range all {
		all[i] = t.next()
	}
	slices.SortFunc(all, func(a, b indexed) int { return int(a.room<<40 | a.seq - (b.room<<40 | b.seq)) })
	var merges [][]indexed
	for first, i := 0, 0; i < len(all); i++ {
		if i+1 == len(all) || i+1-first >= mergeEntries && all[i+1].room != all[i].room {
			merges = append(merges, all[first:i+1])
			first = i + 1
		}
	}
	return merges
}

// BenchmarkIndex compares indexes of ids by what a merge costs: the time of the processor
// and the pages of the file for each row, of 100 bytes, and the time to find out that an
// id is new. "none" finds nothing. Only an index that has the author behind the room counts
// somebody's messages in a room.
func BenchmarkIndex(b *testing.B) {
	for _, unmerged := range []int{4096, 16_384} {
		for _, ids := range []string{"random", "counted", "time"} {
			for i := range indexLayouts {
				layout := &indexLayouts[i]
				b.Run(fmt.Sprintf("unmerged=%d/ids=%s/index=%s", unmerged, ids, layout.name), func(b *testing.B) {
					for b.Loop() {
						layout.measure(b, &talk{ids: ids, random: rand.New(rand.NewPCG(1, 2)), tails: make(map[int64]uint64)}, unmerged)
					}
				})
			}
		}
	}
}

func (l *indexLayout) measure(b *testing.B, t *talk, unmerged int) {
	runtime.LockOSThread() // SQLite runs where it is called
	defer runtime.UnlockOSThread()
	path := filepath.Join(b.TempDir(), databaseName)
	c := l.open(b, path)
	defer c.close()
	insert := l.inserter(b, c)
	for done := 0; done < indexBase; done += unmerged {
		insert(slices.Concat(t.merges(unmerged)...))
	}
	if _, err := c.ExecContext(b.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		b.Fatal(err)
	}
	var spent, looked time.Duration
	merges := 0
	for done := 0; done < indexRows; done += unmerged {
		for _, merge := range t.merges(unmerged) {
			begin := threadTime(b)
			l.find32(b, c, merge)
			middle := threadTime(b)
			insert(merge)
			looked, spent = looked+middle-begin, spent+threadTime(b)-middle
			merges++
		}
	}
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		b.Fatal(err)
	}
	perRow := func(d time.Duration) float64 { return d.Seconds() * 1e6 / indexRows }
	b.ReportMetric(perRow(spent), "µs/row")
	b.ReportMetric(perRow(looked), "µs/lookup")
	b.ReportMetric(float64(wal.Size())/(walFrameHeader+pageSize)/float64(merges), "pages/merge")
	b.ReportMetric(indexRows/float64(merges), "rows/merge")
	b.ReportMetric(0, "ns/op")
}

// open makes a database of today's schema with the index.
func (l *indexLayout) open(b *testing.B, path string) *conn {
	scripts, err := migrations()
	if err != nil {
		b.Fatal(err)
	}
	if err := create(b.Context(), path, scripts); err != nil {
		b.Fatal(err)
	}
	pragmas := slices.Clone(writerPragmas)
	for i := range pragmas {
		if pragmas[i].name == "synchronous" || pragmas[i].name == "foreign_keys" {
			pragmas[i].value = "0" // the disk is not measured, and there are no users
		}
	}
	c, err := connect(b.Context(), path, "rw", pragmas)
	if err != nil {
		b.Fatal(err)
	}
	queries := []string{"DROP INDEX ids"}
	if l.column != "" {
		queries = append(queries, "ALTER TABLE entries ADD COLUMN "+l.column)
	}
	if l.index != "" {
		queries = append(queries, "CREATE UNIQUE INDEX ids ON entries ("+l.index+")")
	}
	if l.more != "" {
		queries = append(queries, "CREATE INDEX authors ON entries ("+l.more+")")
	}
	for _, query := range queries {
		if err := c.exec(b.Context(), query); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// inserter returns a function that inserts messages in a transaction, as a merge does.
func (l *indexLayout) inserter(b *testing.B, c *conn) func([]indexed) {
	columns, width := "place, time, kind, user, username, id, target, content, sum", insertColumns
	if l.column != "" {
		columns, width = columns+", key", width+1
	}
	prepare := func(rows int) func(args []any) {
		stmt, err := c.PrepareContext(b.Context(), "INSERT INTO entries ("+columns+") VALUES "+times("("+times("?", width)+")", rows))
		if err != nil {
			b.Fatal(err)
		}
		c.stmts = append(c.stmts, stmt)
		return func(args []any) {
			if _, err := stmt.ExecContext(context.Background(), args...); err != nil {
				b.Fatal(err)
			}
		}
	}
	many, one := prepare(insertRows), prepare(1)
	content := strings.Repeat("abcdefghi ", 10)
	return func(messages []indexed) {
		err := c.transact(b.Context(), func() error {
			args := make([]any, 0, insertRows*width)
			for i := range messages {
				m := &messages[i]
				args = append(args, m.room<<seqBits|m.seq, int64(1_700_000_000_000), int64(1), m.user, nil, m.id, int64(0), content, int64(0))
				if l.column != "" {
					args = append(args, l.key(m))
				}
				if len(args) == cap(args) {
					many(args)
					args = args[:0]
				}
			}
			for row := range slices.Chunk(args, width) {
				one(row)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// find32 looks all messages up, 32 at a time, as an append does, and finds none.
func (l *indexLayout) find32(b *testing.B, c *conn, messages []indexed) {
	if l.find == "" {
		return
	}
	width := strings.Count(l.find, "?")
	on := strings.NewReplacer("?", "k.column1").Replace(l.find)
	if width == 3 {
		on = "e.place >> 40 = k.column1 AND e.user = k.column2 AND e.id = k.column3"
	}
	stmt, err := c.PrepareContext(b.Context(), "SELECT e.place FROM (VALUES "+times("("+times("?", width)+")", lookedUp)+") k CROSS JOIN entries e ON "+on)
	if err != nil {
		b.Fatal(err)
	}
	defer stmt.Close()
	args := make([]any, width*lookedUp)
	for some := range slices.Chunk(messages, lookedUp) {
		clear(args)
		for i := range some {
			if width == 1 {
				args[i] = l.key(&some[i])
			} else {
				args[3*i], args[3*i+1], args[3*i+2] = some[i].room, some[i].user, some[i].id
			}
		}
		rows, err := stmt.QueryContext(b.Context(), args...)
		if err != nil {
			b.Fatal(err)
		}
		if rows.Next() {
			b.Fatal("a new id was found")
		}
		if err := closeRows(rows); err != nil {
			b.Fatal(err)
		}
	}
}

// threadTime returns what this thread has used of the processor.
func threadTime(b *testing.B) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
