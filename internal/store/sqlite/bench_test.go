package sqlite

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// benchmarkBatch makes a batch of n by 50 users in 10 rooms, with contents of
// 120 bytes. Ids are counted per user behind a random start, as our clients
// do it, or wholly random, as others may.
func benchmarkBatch(b testing.TB, first, n int, random bool) []kaban.Dispatch {
	content := strings.Repeat("hello world ", 10)
	batch := make([]kaban.Dispatch, n)
	for i := range batch {
		k := first + i
		id := fmt.Sprintf("h3k5n2p7q9r4s6t8-%d", k)
		if random {
			id = rand.Text()
		}
		batch[i] = storetest.Dispatch(b, fmt.Sprint("room-", k%10), fmt.Sprint("user-", k%50), id, content)
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

// BenchmarkRead reads pages of 500 at changing places of a log of a million.
func BenchmarkRead(b *testing.B) {
	const size, page = 1_000_000, 500
	s := open(b, b.TempDir(), Options{})
	content := strings.Repeat("hello world ", 10)
	results := make([]store.Result, 10_000)
	for i := 0; i < size; i += len(results) {
		batch := make([]kaban.Dispatch, len(results))
		for j := range batch {
			batch[j] = storetest.Dispatch(b, "lobby", fmt.Sprint("user-", j%50), fmt.Sprintf("h3k5n2p7q9r4s6t8-%d", i+j), content)
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
