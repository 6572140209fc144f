package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// giveBackEvery is the interval between looks at the memory in use.
	giveBackEvery = 5 * time.Second
	// giveBackShare is how many times as long as the last return of memory took the
	// next interval is at least, so that it costs at most a four-hundredth of a core.
	giveBackShare = 400
	// startPercent is by how much the heap may grow between collections at the start,
	// in percent of what is in use, and 16 MiB at first.
	startPercent = 400
)

// collectLess has the runtime collect less garbage until restore is called, unless
// somebody has asked for even less. A start keeps most of what it allocates, so that
// collections took a fifth of its time.
func collectLess() (restore func()) {
	usual := debug.SetGCPercent(startPercent)
	restore = sync.OnceFunc(func() { debug.SetGCPercent(usual) })
	if usual < 0 || usual > startPercent {
		restore()
	}
	return restore
}

// giveBack returns memory to the system while the server is quiet, until ctx ends. The
// garbage of a burst stays until the next collection, which may be minutes away on a
// quiet server, and the runtime keeps the memory after it. Before a return, shrink gives
// up what the store caches.
//
// For example 9,000 clients join one room and leave. A minute later the server holds 12 MB
// (RssAnon) instead of 21, and before they come 6.0 MB instead of 6.7. A memory limit does
// not do this: with a limit of 20 or of 100 MiB the server holds as much as without one,
// since a limit takes effect only when memory in use comes near to it.
func giveBack(ctx context.Context, shrink func()) {
	every := giveBackEvery
	last := readHeap()
	var left heap // after the last return; nothing before the first
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		now := readHeap()
		every = giveBackEvery
		if now.collections == last.collections && now.isWasteful(left) {
			start := time.Now()
			shrink()
			runtime.GC() // a pool gives up what it has in the second collection
			debug.FreeOSMemory()
			every = max(every, giveBackShare*time.Since(start))
			now = readHeap()
			left = now
		}
		last = now
	}
}

// heap is the state of the runtime's memory, in bytes.
type heap struct {
	collections uint64 // since the start
	live        uint64 // in use at the last collection
	held        uint64 // from the system
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return heap{collections: value(0), live: value(1), held: value(2) + value(3) + value(4)}
}

// isWasteful reports whether a return of memory may be worth it: the process holds much more
// than the last return left, or less is in use than then and the process holds much more than
// that. What the last return could not give back does not count: the next one could not either,
// and a return costs two collections.
func (h heap) isWasteful(left heap) bool {
	return h.held > little(left.held) || h.held > little(h.live) && left.live > little(h.live)
}

// little returns a size with a fifth and a megabyte more. Every program holds a little more
// than it uses.
func little(size uint64) uint64 { return size + size/5 + 1<<20 }
