package push

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// maxDoubling bounds the exponents of pauses, so that they stay in range.
const maxDoubling = 20

// pause returns a pause before the nth attempt: it doubles from the first one to the last, and is
// shortened at random by up to a half, so that what fails together is not tried again together.
func pause(first, last time.Duration, n int) time.Duration {
	whole := min(first<<min(n-1, maxDoubling), last)
	return whole/2 + rand.N(whole/2+1)
}

// signal wakes the scheduler.
func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// wakeLocked wakes the scheduler if it sleeps longer than it should.
func (s *Service) wakeLocked() {
	switch {
	case s.closing:
	default:
		h := s.queue.soonest()
		if h == nil || !s.sleeping.IsZero() && !h.next.Before(s.sleeping) {
			return
		}
	}
	s.signal()
}

// schedule starts attempts when they are due, until the service is closed and has nothing left.
func (s *Service) schedule() {
	defer close(s.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, ended := s.start()
		if ended {
			return
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.run.Done():
			s.giveUp()
			return
		}
	}
}

// start starts what is due, and returns when something will be: the zero time if that depends on
// others.
func (s *Service) start() (next time.Time, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for {
		j, expired, next := s.queue.take(now)
		switch {
		case j == nil:
			s.sleeping = next
			return next, s.closing && s.queue.size == 0 && s.queue.flying == 0
		case expired:
			s.counts.Expired++
		default:
			s.counts.Attempts++
			s.group.Go(func() { s.attempt(j, j.deadline.Sub(now)) })
		}
	}
}

// giveUp drops everything that waits.
func (s *Service) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Lost += uint64(s.queue.drain())
}

// call is something to do without the lock.
type call func(ctx context.Context)

// attempt makes one attempt. Only afterwards the job lands, so that there are never more goroutines
// than attempts may be made at once.
func (s *Service) attempt(j *job, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(s.run, attemptTimeout)
	r := s.sender.attempt(ctx, j.to, &j.notice, j.bare, ttl)
	cancel()
	s.mu.Lock()
	h, doubtful := j.host, j.doubtful
	calls := s.judgeLocked(j, r)
	if j.flying { // it does not wait for another attempt
		s.queue.unlist(j)
	}
	if now := time.Now(); s.closing && h.rest.After(now) {
		s.counts.Lost += uint64(s.queue.hurryHost(h, now))
	}
	s.mu.Unlock()
	ctx, cancel = context.WithTimeout(s.run, callbackTimeout)
	for _, do := range calls {
		do(ctx)
	}
	cancel()
	s.mu.Lock()
	s.queue.land(h, doubtful)
	s.mu.Unlock()
	s.signal()
}

// judgeLocked says what follows from an attempt, and returns what to do without the lock.
func (s *Service) judgeLocked(j *job, r result) []call {
	now := time.Now()
	return append(s.judgeHostLocked(j.host, j.notice.Account, r, now), s.judgeJobLocked(j, r, now)...)
}

// judgeHostLocked says what an attempt means for its push service.
func (s *Service) judgeHostLocked(h *host, account string, r result, now time.Time) []call {
	switch r.outcome {
	case busy, unreachable:
		if s.run.Err() != nil { // Close has ended it
			return nil
		}
		s.queue.trust(h, false)
		if h.fail(account, r.wait, now) {
			return s.tellLocked(told{h.name, "rest"}, slog.LevelWarn, "a push service does not take pushes; they wait", "host", h.name, "answer", r.answer())
		}
	case delivered, gone, tooLong, refused:
		s.queue.trust(h, r.took <= promptly)
		if h.answer() {
			return s.tellLocked(told{h.name, "work"}, slog.LevelInfo, "a push service takes pushes again", "host", h.name)
		}
	}
	return nil
}

// judgeJobLocked says what an attempt means for its notice and its subscription.
func (s *Service) judgeJobLocked(j *job, r result, now time.Time) (calls []call) {
	switch r.outcome {
	case delivered:
		s.counts.Delivered++
		s.delivered = now
		delete(s.queue.held, j.recipient())
		return s.worksLocked(j)
	case unwanted:
		s.counts.Withdrawn++
	case gone:
		s.counts.Gone++
		return s.dropLocked(j, ReasonGone)
	case tooLong:
		if !j.bare {
			s.againLocked(j, now, true)
			return nil
		}
		fallthrough
	case refused:
		s.counts.Refused++
		calls = s.tellLocked(told{j.host.name, r.answer()}, slog.LevelWarn, "a push service refuses pushes", "host", j.host.name, "answer", r.answer(), "meaning", meaning(r.status))
		return append(calls, s.failsLocked(j, true)...)
	case broken:
		s.counts.Refused++
		return s.tellLocked(told{"", "encode"}, slog.LevelError, "a push cannot be sent; please report this", "error", r.err)
	case unready:
		s.againLocked(j, now.Add(pause(firstRetry, lastRetry, j.attempts+1)), false)
		return s.tellLocked(told{"", "compose"}, slog.LevelError, "a push cannot be composed; it is tried again", "error", r.err)
	case busy, unreachable:
		s.againLocked(j, later(now.Add(pause(firstRetry, lastRetry, j.attempts+1)), now.Add(r.wait)), false)
		if j.attempts >= failsAfter && !s.closing {
			return s.failsLocked(j, false)
		}
	}
	return calls
}

// againLocked makes a job wait for another attempt, unless there is a reason not to.
func (s *Service) againLocked(j *job, due time.Time, bare bool) {
	switch {
	case j.removed:
		s.counts.Withdrawn++
	case s.closing && !(bare && s.run.Err() == nil):
		s.counts.Lost++
	case !due.Before(j.deadline):
		s.counts.Expired++
	case j.superseded: // a later notice of the same room has come meanwhile
		s.counts.Replaced++
		if other := s.queue.waiting(j.to, &j.notice); other != nil && !bare {
			other.attempts = max(other.attempts, j.attempts+1)
		}
		if !bare {
			s.queue.hold(j.recipient(), due, time.Now())
		}
	default:
		s.counts.Retries++
		j.due = due
		if bare {
			j.bare = true
			s.counts.Bare++
		} else {
			j.attempts++
			s.queue.hold(j.recipient(), due, time.Now())
			j.due = later(due, s.queue.held[j.recipient()])
		}
		s.queue.enqueue(j)
	}
}

// told is something that the log is told once a day, of a push service or, if the host is "", of
// this server.
type told struct{ host, what string }

const (
	// tellEvery is how often the log is told the same.
	tellEvery = 24 * time.Hour
	// maxTold is how much it is told in that time. Clients choose the hosts.
	maxTold = 256
)

// tellLocked returns a call that writes to the log, unless that was done lately.
func (s *Service) tellLocked(what told, level slog.Level, message string, args ...any) []call {
	now := time.Now()
	if at, ok := s.told[what]; ok && now.Sub(at) < tellEvery {
		return nil
	}
	if len(s.told) >= maxTold {
		for old, at := range s.told {
			if now.Sub(at) >= tellEvery {
				delete(s.told, old)
			}
		}
		if len(s.told) >= maxTold {
			return nil
		}
	}
	s.told[what] = now
	return []call{func(ctx context.Context) { s.config.Log.Log(ctx, level, message, args...) }}
}
