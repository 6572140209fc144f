//go:build unix

package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// What a round of a benchmark appends: batches of the senders of a committer, which are each in one
// of its rooms.
const (
	benchSenders    = 4096
	benchCommitters = 4
	benchBatches    = 8 // of each committer in a round
	benchRows       = benchBatches * benchSenders
)

// side is one of two ways to store the same rows.
type side struct {
	cpu, took time.Duration
	batch     func(committer, round, batch int) (store func() error)
}

// measure has all committers store a round.
func (s *side) measure(b *testing.B, server *postgrestest.Server, round int) {
	var batches [benchCommitters][benchBatches]func() error
	for committer := range batches {
		for batch := range batches[committer] {
			batches[committer][batch] = s.batch(committer, round, batch)
		}
	}
	before, err := server.CPU()
	if err != nil {
		b.Skip(err)
	}
	began := time.Now()
	var committing sync.WaitGroup
	for committer := range batches {
		committing.Go(func() {
			for _, store := range batches[committer] {
				if err := store(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	committing.Wait()
	s.took += time.Since(began)
	after, err := server.CPU()
	if err != nil {
		b.Fatal(err)
	}
	s.cpu += after - before
}

// BenchmarkAppend compares appends with plain inserts of the same rows into a table with one index,
// which is the least that a database takes for them. Both are measured in turn. The times are those of
// the processors in all processes of the server, for a row.
func BenchmarkAppend(b *testing.B) {
	for _, rooms := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d rooms", rooms), func(b *testing.B) { compare(b, rooms) })
	}
}

func compare(b *testing.B, rooms int) {
	server := postgrestest.Start(b, "shared_buffers=128MB", "max_wal_size=1GB")
	s := open(b, server.Database(b), Options{Patience: waiting})
	plain, appends := &side{batch: plainly(b, s, rooms)}, &side{batch: entries(b, s, rooms)}
	for i := range rooms {
		storetest.Append(b, s, storetest.Draft(b, fmt.Sprint("room-", i), "ann", "first", "hello"))
	}
	rows := 0
	for round := 0; b.Loop(); round++ {
		plain.measure(b, server, round)
		appends.measure(b, server, round)
		rows += benchRows
	}
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(rows) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each(plain.cpu), "plain-cpu-µs/row")
	b.ReportMetric(each(appends.cpu), "append-cpu-µs/row")
	b.ReportMetric(float64(appends.cpu)/float64(plain.cpu), "cpu-ratio")
	b.ReportMetric(float64(rows)/appends.took.Seconds(), "acks/s")
	b.ReportMetric(float64(plain.took)/float64(appends.took), "acks-ratio")
}

var benchText = strings.Repeat("a message of the usual length, ", 2)

// plainly stores rows in a table with one index.
func plainly(b *testing.B, s *Store, rooms int) func(committer, round, batch int) func() error {
	execute(b, s.writers.Config().ConnString(), `CREATE TABLE plain (room bigint NOT NULL, seq bigint NOT NULL, time bigint NOT NULL, target bigint NOT NULL, kind smallint NOT NULL,
		author text COLLATE "C" NOT NULL, username text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, content text COLLATE "C" NOT NULL, files text COLLATE "C" NOT NULL, PRIMARY KEY (room, seq))`)
	heads := make([]int64, rooms)
	return func(committer, round, batch int) func() error {
		var ids, seqs []int64
		var authors, texts, keys []string
		for i := range benchSenders / benchCommitters {
			room := roomOfSender(i, committer, batch, rooms)
			heads[room]++
			ids, seqs = append(ids, int64(room)), append(seqs, heads[room])
			authors, texts, keys = append(authors, fmt.Sprint("sender-", i)), append(texts, benchText), append(keys, kaban.NewMessageID().String())
		}
		return func() error {
			_, err := s.writers.Exec(context.Background(), `INSERT INTO plain (room, seq, time, target, kind, author, username, id, content, files)
			SELECT room, seq, 0, 0, 1, author, author, id, content, '' FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[]) AS u (room, seq, author, id, content)`,
				ids, seqs, authors, keys, texts)
			return err
		}
	}
}

// entries stores them as entries.
func entries(b *testing.B, s *Store, rooms int) func(committer, round, batch int) func() error {
	return func(committer, round, batch int) func() error {
		writes := make([]store.Write, 0, benchSenders/benchCommitters)
		for i := range benchSenders / benchCommitters {
			room := fmt.Sprint("room-", roomOfSender(i, committer, batch, rooms))
			writes = append(writes, storetest.Writes(storetest.Draft(b, room, fmt.Sprint("sender-", i), kaban.NewMessageID().String(), benchText))...)
		}
		return func() error { return s.Append(context.Background(), writes, make([]store.Result, len(writes))) }
	}
}

// roomOfSender spreads senders over the rooms of their committer.
func roomOfSender(i, committer, batch, rooms int) int {
	own := rooms / benchCommitters
	return committer*own + (i*7919+batch)%own
}
