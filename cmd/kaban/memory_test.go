package main

import (
	"runtime"
	"runtime/debug"
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
		go giveBack(t.Context())
		synctest.Wait()
		runtime.GC()
		burst := make([][]byte, 64)
		for i := range burst {
			burst[i] = make([]byte, 1<<20)
		}
		runtime.GC() // the burst counts as live
		runtime.KeepAlive(burst)
		before := readHeap()
		// The first interval had a collection. So may later ones: the runtime and other
		// tests collect too.
		time.Sleep(20 * giveBackEvery)
		if after := readHeap(); after.held > before.held-32<<20 {
			t.Errorf("%d bytes were held, and %d afterwards", before.held, after.held)
		}
	})
}
