package web

import (
	"sync/atomic"

	"kaban/wire"
)

// Stats are what a server has counted since its start, and how much there is now.
type Stats struct {
	Connections int                  // of HTTP, streams among them
	Streams     int                  // of events
	Deliveries  uint64               // entries that streams were given
	Hooks       uint64               // messages of webhooks that were stored
	HookRefused uint64               // and that were not
	Errors      map[wire.Code]uint64 // that were sent
}

type counts struct {
	deliveries         atomic.Uint64
	hooks, hookRefused atomic.Uint64
}

// Stats returns the present numbers.
func (s *Server) Stats() Stats {
	stats := Stats{
		Deliveries: s.counts.deliveries.Load(), Hooks: s.counts.hooks.Load(), HookRefused: s.counts.hookRefused.Load(),
		Errors: s.errors.Counts(),
	}
	s.connections.mu.Lock()
	stats.Connections = s.connections.count
	s.connections.mu.Unlock()
	s.streams.mu.Lock()
	stats.Streams = len(s.streams.open)
	s.streams.mu.Unlock()
	return stats
}
