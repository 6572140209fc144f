package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How often a server looks whether it holds memory for nothing, and how much
// longer than the last giving back took it waits at least, so that giving back
// takes a hundredth of a core at most.
const (
	giveBackEvery = 5 * time.Second
	giveBackShare = 100
)

// giveBack gives memory back to the system while little happens, until ctx
// ends. The garbage of a burst stays until the next collection, and where little
// is allocated that is minutes away: a server that thousands have just joined,
// or left, would look as if they were busy.
func giveBack(ctx context.Context) {
	every := giveBackEvery
	last := readHeap()
	left := last.held // by the last giving back
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
			debug.FreeOSMemory()
			every = max(every, giveBackShare*time.Since(start))
			now = readHeap()
			left = now.held
		}
		last = now
	}
}

// heap is what the runtime says of its memory, in bytes.
type heap struct {
	collections uint64 // of garbage, since the start
	live        uint64 // what the last one found in use
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

// isWasteful reports whether a fifth and a megabyte more is held than was in use
// at the last collection, or than was left when memory was last given back: less
// is what any program has.
func (h heap) isWasteful(left uint64) bool {
	used := min(h.live, left)
	return h.held > used+used/5+1<<20
}
