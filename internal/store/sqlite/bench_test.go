package sqlite

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// benchmarkBatch returns n drafts of 120 bytes by 50 users in 10 rooms. Ids are a random
// prefix and a counter, as in our clients, or completely random.
func benchmarkBatch(b testing.TB, first, n int, random bool) []store.Write {
	content := strings.Repeat("hello world ", 10)
	batch := make([]store.Write, n)
	for i := range batch {
		k := first + i
		id := fmt.Sprintf("h3k5n2p7q9r4s6t8-%d", k)
		if random {
			id = rand.Text()
		}
		batch[i].Draft = storetest.Draft(b, fmt.Sprint("room-", k%10), fmt.Sprint("user-", k%50), id, content)
	}
	return batch
}

func BenchmarkAppend(b *testing.B) {
	for _, ids := range []string{"counted", "random"} {
		for _, n := range []int{1, 16, 256, 1024} {
			b.Run(fmt.Sprintf("ids=%s/batch=%d", ids, n), func(b *testing.B) {
				s := open(b, b.TempDir(), Options{})
				results := make([]store.Result, n)
				b.ReportAllocs()
				rows := 0
				for b.Loop() {
					b.StopTimer()
					batch := benchmarkBatch(b, rows, n, ids == "random")
					b.StartTimer()
					if err := s.Append(b.Context(), batch, results); err != nil {
						b.Fatal(err)
					}
					rows += n
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// BenchmarkRead reads pages of 500 from all over a log of a million entries.
func BenchmarkRead(b *testing.B) {
	const size, page = 1_000_000, 500
	s := open(b, b.TempDir(), Options{})
	content := strings.Repeat("hello world ", 10)
	results := make([]store.Result, 10_000)
	for i := 0; i < size; i += len(results) {
		batch := make([]store.Write, len(results))
		for j := range batch {
			batch[j].Draft = storetest.Draft(b, "lobby", fmt.Sprint("user-", j%50), fmt.Sprintf("h3k5n2p7q9r4s6t8-%d", i+j), content)
		}
		if err := s.Append(b.Context(), batch, results); err != nil {
			b.Fatal(err)
		}
	}
	lobby := storetest.RoomName(b, "lobby")
	for _, p := range []store.Page{{Limit: page}, {Limit: page, Bytes: 1 << 20}, {Limit: page, Bytes: 1 << 20, Last: true}} {
		b.Run(fmt.Sprintf("bytes=%d/last=%t", p.Bytes, p.Last), func(b *testing.B) {
			b.ReportAllocs()
			at := uint64(0)
			for b.Loop() {
				at = (at + 7_654_321) % (size - 2*page)
				if p.After = at; p.Last {
					p.Before = at + page + 1
				}
				if entries, err := s.Read(b.Context(), lobby, p); err != nil || len(entries) != page || entries[0].Seq != at+1 {
					b.Fatalf("%d entries, %v", len(entries), err)
				}
			}
			b.ReportMetric(float64(b.N*page)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkMigration opens a database of version 3 with a million messages and checks it.
// It reports the sizes before and after.
func BenchmarkMigration(b *testing.B) {
	scripts, err := migrations()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		path := filepath.Join(dir, databaseName)
		if err := create(b.Context(), path, scripts[:summedVersion-1]); err != nil {
			b.Fatal(err)
		}
		c, err := connect(b.Context(), path, "rw", nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, query := range []string{
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO users SELECT i, 'user-' || i, 'user-' || i FROM n",
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) INSERT INTO rooms SELECT i, 'room-' || i, 'room-' || i, 100000 FROM n",
			`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) INSERT INTO entries
				SELECT ((i / 100000 + 1) << 40) + i % 100000 + 1, 1700000000000 + i, 1, 1 + i % 50, NULL, 'h3k5n2p7q9r4s6t8-' || i, substr('` + strings.Repeat("hello world ", 10) + `', 1, 20 + i % 100) FROM n`,
		} {
			if err := c.exec(b.Context(), query); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.close(); err != nil {
			b.Fatal(err)
		}
		before, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		s := open(b, dir, Options{})
		b.StopTimer()
		after, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		closeStore(b, s)
		start := time.Now()
		if _, err := checkBackup(b.Context(), path); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/check")
		b.ReportMetric(float64(before.Size()), "bytes-before")
		b.ReportMetric(float64(after.Size()), "bytes-after")
		b.StartTimer()
	}
}

// BenchmarkSum computes the checksum of an entry.
func BenchmarkSum(b *testing.B) {
	var sum summer
	e := store.Entry{Seq: 1, Time: 1700000000000, Kind: 1, ID: "h3k5n2p7q9r4s6t8-1", Username: "user-1", Content: strings.Repeat("hello world ", 10)}
	b.ReportAllocs()
	for b.Loop() {
		sum.entry(1<<40|1, 1, &e)
	}
}

func BenchmarkDocuments(b *testing.B) {
	storetest.BenchmarkDocuments(b, open(b, b.TempDir(), Options{}))
}

func BenchmarkStates(b *testing.B) {
	storetest.BenchmarkStates(b, open(b, b.TempDir(), Options{}))
}
