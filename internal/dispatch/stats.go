package dispatch

import (
	"sync/atomic"
	"time"

	"kaban/internal/count"
	"kaban/internal/store"
)

// Stats are what a dispatcher has counted since its start, and how much there is now.
type Stats struct {
	Messages   uint64 // entries that were stored
	Duplicates uint64 // sends that were stored before
	Refused    uint64 // sends that were not stored
	Queued     int    // sends that wait for the next batch

	// AckSeconds is the time from the submission of a send, which is the end of the
	// round of reads that took it, until it is stored.
	AckSeconds count.Snapshot
	// CommitSeconds is how long the store takes for a batch, and CommitSends how many
	// sends a batch has.
	CommitSeconds, CommitSends count.Snapshot
	FailedCommits              uint64 // batches that the store did not take

	Rooms     int   // rooms in memory
	TailBytes int64 // of the newest entries in memory
	TailLimit int64 // what TailBytes is to stay below

	Fetches uint64 // pages that cursors behind the tails have read from the store

	Heard    uint64 // hints of other nodes
	Foreign  uint64 // those of another epoch or timeline
	Believed uint64 // entries that were published as hints had them
	Asked    uint64 // hints that the store was asked about
	Compared uint64 // times that all heads were compared with those of the store
	Behind   uint64 // rooms that a comparison has found to have grown or changed elsewhere
	Ahead    uint64 // rooms that were found to have entries here that the store has not
}

// Stats returns the present numbers. It waits for no commit.
func (d *Dispatcher) Stats() Stats {
	n := &d.counts
	s := Stats{
		Messages: n.messages.Load(), Duplicates: n.duplicates.Load(), Refused: n.refused.Load(), FailedCommits: n.failed.Load(),
		AckSeconds: n.acks.Snapshot(), CommitSeconds: n.commits.Snapshot(), CommitSends: n.sizes.Snapshot(),
		Heard: n.heard.Load(), Foreign: n.foreign.Load(), Believed: n.believed.Load(), Asked: n.asked.Load(),
		Compared: n.compared.Load(), Behind: n.behind.Load(), Ahead: n.ahead.Load(),
		TailBytes: d.budget.used.Load(), TailLimit: d.budget.limit, Fetches: d.store.fetches.Load(),
	}
	for _, c := range d.committers {
		s.Queued += c.inbox.queued()
	}
	d.mu.Lock()
	s.Rooms = len(d.rooms)
	d.mu.Unlock()
	return s
}

// counts are written by the committers, once a batch.
type counts struct {
	messages, duplicates, refused, failed                    atomic.Uint64
	heard, foreign, believed, asked, compared, behind, ahead atomic.Uint64
	acks, commits, sizes                                     count.Histogram
}

// committed counts a batch that took so long.
func (n *counts) committed(results []store.Result, took time.Duration) {
	n.commits.Observe(took.Seconds(), 1)
	n.sizes.Observe(float64(len(results)), 1)
	var stored, duplicates uint64
	for i := range results {
		switch {
		case results[i].Err != nil: // see refuse
		case results[i].Duplicate:
			duplicates++
		default:
			stored++
		}
	}
	n.messages.Add(stored)
	if duplicates > 0 {
		n.duplicates.Add(duplicates)
	}
}

// acknowledged counts a batch that is stored at a time of Dispatcher.clock. The
// sends of one submission have the same time, so they are counted at once.
func (n *counts) acknowledged(sends []Send, results []store.Result, now time.Duration) {
	for i := 0; i < len(sends); {
		at, acks := sends[i].at, 0
		for ; i < len(sends) && sends[i].at == at; i++ {
			if results[i].Err == nil {
				acks++
			}
		}
		n.acks.Observe((now - at).Seconds(), acks)
	}
}
