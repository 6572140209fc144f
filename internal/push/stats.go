package push

import "time"

// Stats are what a Service has counted since its start, and how much there is now. Every
// notice that was pushed is in exactly one of Delivered, Replaced, Withdrawn, Expired,
// Displaced, Gone, Refused, Lost, Queued and InFlight.
type Stats struct {
	Queued   int // notices that wait
	InFlight int // attempts that are being made
	Resting  int // push services that do not answer, or ask to be left alone

	Counts
}

// Counts are the counters of Stats.
type Counts struct {
	Pushed    uint64 // calls of Push that were taken
	Delivered uint64 // taken by a push service
	Replaced  uint64 // by a later notice of the same room
	Withdrawn uint64 // read elsewhere, or not wanted any more
	Expired   uint64 // could not be delivered for timeToLive
	Displaced uint64 // had no room in the queue
	Gone      uint64 // for a subscription that is of no use any more
	Refused   uint64 // refused by a push service for good
	Lost      uint64 // could not be sent when the Service was closed

	Attempts uint64 // requests to push services
	Retries  uint64 // attempts that have failed and are made again
	Bare     uint64 // pushes that were too long and are sent without their text
	Dropped  uint64 // subscriptions that were dropped
}

// Stats returns the present numbers.
func (s *Service) Stats() Stats {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Queued: s.queue.size, InFlight: s.queue.flying, Counts: s.counts}
	for _, h := range s.queue.hosts {
		if h.rest.After(now) {
			stats.Resting++
		}
	}
	return stats
}
