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
		live, left, held uint64
		want             bool
	}{
		{0, 0, 0, false},
		{0, 0, mib, false},
		{0, 0, mib + 1, true},
		{10 * mib, 99 * mib, 13 * mib, false},
		{10 * mib, 99 * mib, 13*mib + 1, true},
		{10 * mib, 99 * mib, mib, false},
		{99 * mib, 10 * mib, 13 * mib, false},
		{99 * mib, 10 * mib, 13*mib + 1, true},
	} {
		if got := (heap{live: c.live, held: c.held}).isWasteful(c.left); got != c.want {
			t.Errorf("%d bytes held, %d of them in use, %d left before: %t", c.held, c.live, c.left, got)
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
