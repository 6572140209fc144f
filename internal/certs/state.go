package certs

import (
	"sync"
	"time"
)

// State is how one certificate is: that of a host by ACME, or the one from the files.
type State struct {
	// Host is the host it is for by ACME; "" for files.
	Host string
	// NotAfter is when the certificate in use ends; the zero Time if there is none.
	NotAfter time.Time
	// Asking means that an attempt by ACME is under way.
	Asking bool
	// Next is when the next attempt by ACME is made: a renewal, or the repetition of an
	// attempt that failed. It is the zero Time while Asking, before Start, and for files,
	// which are looked at all the time.
	Next time.Time
	// Failures is how many attempts by ACME in a row gave no certificate that can stay.
	Failures int
	// Err is what was wrong with the last attempt, or with the files as they are now; nil
	// if nothing was.
	Err error
}

// report is the part of a host's state that its attempts write. All methods are safe for
// concurrent use.
type report struct {
	mu       sync.Mutex
	asking   bool
	next     time.Time
	failures int
	err      error
}

// begin notes that an attempt is under way. What the last one said stays until its end.
func (r *report) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking, r.next = true, time.Time{}
}

// end notes how an attempt ended.
func (r *report) end(failures int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking, r.failures, r.err = false, failures, err
}

// wait notes when the next attempt is due.
func (r *report) wait(due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = due
}

func (m *managed) states() []State {
	all := make([]State, 0, len(m.hosts))
	for _, h := range m.hosts {
		h.report.mu.Lock()
		s := State{Host: h.name, Asking: h.report.asking, Next: h.report.next, Failures: h.report.failures, Err: h.report.err}
		h.report.mu.Unlock()
		if pair := h.current.Load(); pair != nil {
			s.NotAfter = pair.Leaf.NotAfter
		}
		all = append(all, s)
	}
	return all
}

func (f *files) states() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []State{{NotAfter: f.notAfter(), Err: f.problem}}
}
