//go:build unix

package postgres

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// What a round of a benchmark appends: batches of the senders of a committer, which are each in one
// of its rooms.
const (
	benchSenders    = 4096
	benchCommitters = 4
	benchRows       = 40 * benchSenders // of a round: with fewer, some committers end long before others
	mostBatches     = 640               // of each committer in a round
)

// batchesOf returns how many batches of each committer are a round.
func batchesOf(senders int) int { return min(benchRows/senders, mostBatches) }

// side is one of two ways to store the same rows.
type side struct {
	cpu, took  time.Duration
	committers int
	batches    int // of each committer in a round
	stores     []*Store
	batch      func(committer, batch int) (store func() error)
}

// measure has all committers store a round.
func (s *side) measure(b *testing.B, server *postgrestest.Server) {
	batches := make([][]func() error, s.committers)
	for committer := range batches {
		for batch := range s.batches {
			batches[committer] = append(batches[committer], s.batch(committer, batch))
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
	s.settle(b)
	after, err := server.CPU()
	if err != nil {
		b.Fatal(err)
	}
	s.cpu += after - before
}

// settle waits until the messages of authors are counted, which is part of what appends cost, and would else be a part of
// what the other side costs.
func (s *side) settle(b *testing.B) {
	const behind = `SELECT count(*) FROM rooms r JOIN counted c ON c.room = r.id WHERE r.head / $1 > c.seq / $1`
	for deadline := time.Now().Add(time.Minute); len(s.stores) > 0; time.Sleep(10 * time.Millisecond) {
		var rooms int
		if err := s.stores[0].readers.QueryRow(b.Context(), behind, countEvery).Scan(&rooms); err != nil {
			b.Fatal(err)
		}
		if rooms == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d rooms are not counted", rooms)
		}
	}
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
	server := benchServer(b)
	s := open(b, server.Database(b), Options{Patience: waiting})
	plain := plainly(b, rooms, benchSenders, benchCommitters, s)
	appends := entries(b, "room", rooms, benchSenders, benchCommitters, s)
	rows := 0
	for b.Loop() {
		plain.measure(b, server)
		appends.measure(b, server)
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

func benchServer(b *testing.B) *postgrestest.Server {
	return postgrestest.Start(b, "shared_buffers=512MB", "max_wal_size=1GB", "wal_buffers=64MB")
}

// BenchmarkNodes compares what two set-ups store of the same senders, each of which waits for its ack.
func BenchmarkNodes(b *testing.B) {
	for _, c := range []struct {
		name                     string
		rooms, senders           int
		nodes, committers        int // of one set-up
		otherNodes, ofEachOfThem int // of the other
	}{
		{"4 committers to 1, 100 rooms, 256 senders", 100, 256, 1, 1, 1, 4},
		{"4 committers to 1, 100 rooms, 4096 senders", 100, 4096, 1, 1, 1, 4},
		{"3 nodes to 1, one room, 256 senders", 1, 256, 1, 1, 3, 1},
		{"3 nodes to 1, one room, 4096 senders", 1, 4096, 1, 1, 3, 1},
		{"3 nodes to 1, 100 rooms, 256 senders", 100, 256, 1, benchCommitters, 3, benchCommitters},
		{"3 nodes to 1, 100 rooms, 4096 senders", 100, 4096, 1, benchCommitters, 3, benchCommitters},
	} {
		b.Run(c.name, func(b *testing.B) {
			server := benchServer(b)
			database := server.Database(b)
			nodes := make([]*Store, c.nodes+c.otherNodes)
			for i := range nodes {
				nodes[i] = open(b, database, Options{Patience: waiting})
			}
			one := entries(b, "one", c.rooms, c.senders, c.committers, nodes[:c.nodes]...)
			other := entries(b, "other", c.rooms, c.senders, c.ofEachOfThem, nodes[c.nodes:]...)
			race(b, c.senders, one, other, server, server)
			var deadlocks int
			if err := nodes[0].readers.QueryRow(b.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks); err != nil || deadlocks > 0 {
				b.Errorf("%d deadlocks: %v", deadlocks, err)
			}
		})
	}
}

// BenchmarkStandby compares appends that a synchronous standby has to confirm with those that none has, both
// on one disk. Plain inserts show how much of it is the standby's. First all share the processors, and then the standby has one
// of its own, and everything else has another one, as it is with a standby on its own machine.
func BenchmarkStandby(b *testing.B) {
	b.Run("shared processors", func(b *testing.B) { standby(b, func(*testing.B, *postgrestest.Server) {}) })
	b.Run("a processor of its own", func(b *testing.B) {
		if runtime.NumCPU() < 2 {
			b.Skip("there is one processor")
		}
		childtest.PinSelf(b, 0)
		standby(b, func(b *testing.B, standby *postgrestest.Server) { standby.Pin(b, 1) })
	})
}

func standby(b *testing.B, place func(b *testing.B, standby *postgrestest.Server)) {
	for _, senders := range []int{1, 256, 4096} {
		for _, kind := range []struct {
			name  string
			store func(b *testing.B, rooms, senders, committers int, s *Store) *side
		}{
			{"appends", func(b *testing.B, rooms, senders, committers int, s *Store) *side {
				return entries(b, "room", rooms, senders, committers, s)
			}},
			{"plain inserts", plainly},
		} {
			b.Run(fmt.Sprintf("%d senders, %s", senders, kind.name), func(b *testing.B) {
				alone, primary := benchServer(b), benchServer(b)
				committers := min(senders, benchCommitters)
				one := kind.store(b, 16, senders, committers, open(b, alone.Database(b), Options{Patience: waiting}))
				database := primary.Database(b)
				place(b, postgrestest.StartStandby(b, primary))
				primary.Confirm(b)
				b.Cleanup(func() { primary.ConfirmAlone(b) }) // before the standby ends
				other := kind.store(b, 16, senders, committers, open(b, database, Options{Patience: waiting}))
				race(b, senders, one, other, alone, primary)
			})
		}
	}
}

// race measures two sides in turn.
func race(b *testing.B, senders int, one, other *side, server, otherServer *postgrestest.Server) {
	one.measure(b, server) // makes what is made once
	other.measure(b, otherServer)
	one.took, other.took, one.cpu, other.cpu = 0, 0, 0, 0
	rows := 0
	for b.Loop() {
		one.measure(b, server)
		other.measure(b, otherServer)
		rows += batchesOf(senders) * senders
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(rows)/one.took.Seconds(), "acks/s")
	b.ReportMetric(float64(rows)/other.took.Seconds(), "other-acks/s")
	b.ReportMetric(one.cpu.Seconds()*1e6/float64(rows), "cpu-µs/row")
	b.ReportMetric(other.cpu.Seconds()*1e6/float64(rows), "other-cpu-µs/row")
	b.ReportMetric(float64(one.took)/float64(other.took), "acks-ratio")
}

var benchText = strings.Repeat("a message of the usual length, ", 2)

// plainly stores rows in a table with one index, as a program would that uses the driver as it is.
func plainly(b *testing.B, rooms, senders, committers int, s *Store) *side {
	execute(b, s.writers.Config().ConnString(), `CREATE TABLE plain (room bigint NOT NULL, seq bigint NOT NULL, time bigint NOT NULL, target bigint NOT NULL, kind smallint NOT NULL,
		author text COLLATE "C" NOT NULL, username text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, content text COLLATE "C" NOT NULL, files text COLLATE "C" NOT NULL, PRIMARY KEY (room, seq))`)
	heads := make([]int64, rooms)
	return &side{committers: committers, batches: batchesOf(senders), batch: func(committer, batch int) func() error {
		var ids, seqs []int64
		var authors, texts, keys []string
		for i := range senders / committers {
			room := roomOfSender(i, committer, committers, rooms)
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
	}}
}

// entries stores them as entries, with some committers of each of some nodes. Each node has a share of the senders of
// every room.
func entries(b *testing.B, name string, rooms, senders, committers int, nodes ...*Store) *side {
	for i := range rooms {
		storetest.Append(b, nodes[0], storetest.Draft(b, fmt.Sprint(name, "-", i), "ann", "first", "hello"))
	}
	all := committers * len(nodes)
	return &side{committers: all, batches: batchesOf(senders), stores: nodes, batch: func(committer, batch int) func() error {
		first, end := committer*senders/all, (committer+1)*senders/all
		node := nodes[committer/committers]
		writes := make([]store.Write, 0, end-first)
		for i := range end - first {
			room := fmt.Sprint(name, "-", roomOfSender(first+i, committer%committers, committers, rooms))
			writes = append(writes, storetest.Writes(storetest.Draft(b, room, fmt.Sprint("sender-", first+i), kaban.NewMessageID().String(), benchText))...)
		}
		return func() error { return node.Append(context.Background(), writes, make([]store.Result, len(writes))) }
	}}
}

// roomOfSender spreads senders over the rooms of their committer. Each stays in its room.
func roomOfSender(i, committer, committers, rooms int) int {
	own := max(1, rooms/committers)
	return (committer*own + i%own) % rooms
}
