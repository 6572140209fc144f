package account

import (
	"errors"
	"sync/atomic"
)

// Stats are what a Service has counted since its start, and how much there is now.
type Stats struct {
	SignIns map[Outcome]uint64
	Hashes  uint64 // of passwords that were computed
	Hashing int    // requests that wait for their turn to hash
	Busy    uint64 // requests that were refused because too many wait
}

// Outcome is how an attempt to sign in ended.
type Outcome string

// The outcomes. Requests with the secret of a device or a token are counted only if
// nobody has the secret.
const (
	SignedIn        Outcome = "ok"
	SignInFailed    Outcome = "failed"    // the secret is wrong
	SignInSuspended Outcome = "suspended" // the account may not be used
	SignInDelayed   Outcome = "delayed"   // there were too many failures
	SignInError     Outcome = "error"     // the server could not find out, or the caller has left
)

// outcomes are in the order of signIns.
var outcomes = [...]Outcome{SignedIn, SignInFailed, SignInSuspended, SignInDelayed, SignInError}

// signIns counts attempts by their outcome.
type signIns [len(outcomes)]atomic.Uint64

// count counts an attempt by the error that it ended with.
func (n *signIns) count(err error) {
	outcome := SignInError
	_, delayed := errors.AsType[*WaitError](err)
	switch {
	case err == nil:
		outcome = SignedIn
	case delayed:
		outcome = SignInDelayed
	case errors.Is(err, ErrAuthFailed):
		outcome = SignInFailed
	case errors.Is(err, ErrSuspended):
		outcome = SignInSuspended
	}
	for i := range outcomes {
		if outcomes[i] == outcome {
			n[i].Add(1)
		}
	}
}

// Stats returns the present numbers.
func (s *Service) Stats() Stats {
	stats := Stats{SignIns: make(map[Outcome]uint64, len(outcomes)), Hashes: uint64(s.hasher.count.Load()), Busy: s.hasher.refused.Load()}
	for i, outcome := range outcomes {
		stats.SignIns[outcome] = s.signIns[i].Load()
	}
	s.hasher.mu.Lock()
	stats.Hashing = s.hasher.waiting
	s.hasher.mu.Unlock()
	return stats
}

// refusal returns the error of a request that got no turn, and counts it.
func (h *hasher) refusal(err error) error {
	if errors.Is(err, ErrBusy) {
		h.refused.Add(1)
	}
	return err
}
