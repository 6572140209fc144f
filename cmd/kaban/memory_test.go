package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestIsWasteful(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		left, now heap
		want      bool
	}{
		{heap{}, heap{}, false},
		{heap{}, heap{held: mib}, false},
		{heap{}, heap{held: mib + 1}, true}, // the first return
		{heap{live: 8 * mib, held: 10 * mib}, heap{live: 8 * mib, held: 13 * mib}, false},
		{heap{live: 8 * mib, held: 10 * mib}, heap{live: 8 * mib, held: 13*mib + 1}, true},
		{heap{live: 8 * mib, held: 10 * mib}, heap{live: 99 * mib, held: 13*mib + 1}, true}, // which was in use meanwhile
		// The last return could not give more back.
		{heap{live: 10 * mib, held: 99 * mib}, heap{live: 10 * mib, held: 99 * mib}, false},
		{heap{live: 10 * mib, held: 99 * mib}, heap{live: 9 * mib, held: 99 * mib}, false},
		// It could now, since less is in use.
		{heap{live: 90 * mib, held: 99 * mib}, heap{live: 10 * mib, held: 99 * mib}, true},
		{heap{live: 90 * mib, held: 99 * mib}, heap{live: 10 * mib, held: 13 * mib}, false},
	} {
		if got := c.now.isWasteful(c.left); got != c.want {
			t.Errorf("%+v, %+v before: %t", c.now, c.left, got)
		}
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	debug.FreeOSMemory() // what other tests have left
	synctest.Test(t, func(t *testing.T) {
		go giveBack(t.Context(), func() {})
		synctest.Wait()
		runtime.GC()
		burst := make([][]byte, 64)
		for i := range burst {
			burst[i] = make([]byte, 1<<20)
		}
		runtime.GC() // the burst counts as live
		before := readHeap()
		var pool sync.Pool // what it has outlives a collection
		for i := range burst {
			pool.Put(&burst[i])
		}
		burst = nil
		// The first interval had a collection. So may later ones: the runtime and other
		// tests collect too.
		time.Sleep(20 * giveBackEvery)
		if after := readHeap(); after.held > before.held-32<<20 {
			t.Errorf("%d bytes were held, and %d afterwards", before.held, after.held)
		}
		runtime.KeepAlive(&pool)
	})
}

// A start collects less, unless somebody wants even less, and that ends with it.
func TestCollectLess(t *testing.T) {
	percent := func() int {
		old := debug.SetGCPercent(100)
		debug.SetGCPercent(old)
		return old
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for usual, during := range map[int]int{100: startPercent, 50: startPercent, 401: 401, -1: -1} {
		debug.SetGCPercent(usual)
		restore := collectLess()
		if got := percent(); got != during {
			t.Errorf("from %d: %d during a start, want %d", usual, got, during)
		}
		restore()
		if got := percent(); got != usual {
			t.Errorf("from %d: %d after a start", usual, got)
		}
		debug.SetGCPercent(70)
		restore() // again
		if got := percent(); got != 70 {
			t.Errorf("from %d: %d after another end", usual, got)
		}
	}
}
