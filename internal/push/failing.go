package push

import (
	"context"
	"time"
)

const (
	// failsAfter is how many attempts in a row must fail until a subscription counts as failing,
	// if its push service does not refuse it: about five minutes. So what is over soon
	// writes nothing to the database.
	failsAfter = 5
	// dropAfter is how long a subscription must have failed until it is dropped.
	dropAfter = 7 * 24 * time.Hour
	// dropFailures is how often it must have failed since the start of the server, over at
	// least dropWithin, so that a clock that was set forward does not drop it.
	dropFailures = 3
	dropWithin   = time.Hour
	// worksWithin is how long ago some push must have been delivered until one that gets no
	// answer counts: otherwise it is this server that reaches nobody.
	worksWithin = 24 * time.Hour
	// maxFailing is how many failing subscriptions are watched, of about 200 bytes each.
	// More are not dropped until there is room.
	maxFailing = 65_536
)

// failing is a subscription that fails.
type failing struct {
	since time.Time // by the time of day, as Mark keeps it
	first time.Time // failure since the start of the server
	count int       // of them
}

// failsLocked notes that a subscription has failed, and returns what to do. refused means that its push
// service has said no, rather than nothing.
func (s *Service) failsLocked(j *job, refused bool) []call {
	key := j.recipient()
	now, today := time.Now(), s.config.Now().Round(0)
	f := s.failing[key]
	if f == nil {
		if len(s.failing) >= maxFailing {
			return nil
		}
		f = &failing{since: j.to.FailingSince, first: now}
		s.failing[key] = f
	}
	f.count++
	if f.since.IsZero() || f.since.After(today) { // a clock that was set back begins anew
		f.since = today
		return []call{func(ctx context.Context) { s.config.Mark(ctx, key.account, key.id, today) }}
	}
	if today.Sub(f.since) < dropAfter || f.count < dropFailures || now.Sub(f.first) < dropWithin {
		return nil
	}
	if !refused && (s.delivered.IsZero() || now.Sub(s.delivered) >= worksWithin) {
		return nil
	}
	return s.dropLocked(j, ReasonFailed)
}

// worksLocked notes that a subscription works, and returns what to do.
func (s *Service) worksLocked(j *job) []call {
	key := j.recipient()
	if f := s.failing[key]; f == nil && j.to.FailingSince.IsZero() {
		return nil
	}
	delete(s.failing, key)
	return []call{func(ctx context.Context) { s.config.Mark(ctx, key.account, key.id, time.Time{}) }}
}

// dropLocked forgets a subscription and everything that waits for it, and returns what to do.
func (s *Service) dropLocked(j *job, why Reason) []call {
	key := j.recipient()
	delete(s.failing, key)
	delete(s.queue.held, key)
	s.counts.Dropped++
	s.counts.Gone += uint64(s.queue.removeAll(key.account, func(other *job) bool { return other.to.id == key.id }))
	return []call{func(ctx context.Context) { s.config.Drop(ctx, key.account, key.id, why) }}
}
