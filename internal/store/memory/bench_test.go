package memory

import (
	"fmt"
	"runtime"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// BenchmarkAppend appends short messages by 200 authors in 100 rooms, in batches of
// 16, to a window that is full. B/entry is the heap for each entry in the window.
func BenchmarkAppend(b *testing.B) {
	const window, size = 64 << 20, 16
	batches := make([][]store.Write, 1<<15)
	for i := range batches {
		for j := range size {
			n := i*size + j
			batches[i] = append(batches[i], storetest.Writes(storetest.Draft(b, fmt.Sprint("room-", n%100), fmt.Sprint("user-", n%200), fmt.Sprintf("h3k5n2p7q9r4s6t8-%d", n), "hello world"))...)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	s := New(window)
	results := make([]store.Result, size)
	n := 0
	turn := func() {
		if err := s.Append(b.Context(), batches[n%len(batches)], results); err != nil || results[0].Duplicate {
			b.Fatal(err, results[0])
		}
		n++
	}
	for range batches {
		turn()
	}
	used := heap() - before
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64(used)/float64(s.log.len()), "B/entry")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/entry")
}

func BenchmarkDocuments(b *testing.B) { storetest.BenchmarkDocuments(b, New(0)) }

func BenchmarkStates(b *testing.B) { storetest.BenchmarkStates(b, New(1<<30)) }
