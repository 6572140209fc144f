package store

// Age says which entries of a log are old, by their times, in milliseconds since 1970 UTC.
type Age struct {
	// Before is the time before which an entry is old.
	Before int64
	// Now is the present. An entry with a later time was appended while the clock was wrong,
	// so its time says nothing.
	Now int64
}

// Verdict is what the time of an entry says.
type Verdict uint8

// The verdicts.
const (
	Ageless Verdict = iota // nothing: the entry is as old as the next one that says something
	Old
	Young
)

// Of returns what a time says.
func (a Age) Of(time int64) Verdict {
	switch {
	case time < a.Before:
		return Old
	case time > a.Now:
		return Ageless
	}
	return Young
}

// Search finds out how much of the front of a log is old: everything up to the last old entry
// before the first young one. So nothing that may be younger is ever taken for old. The zero
// value has no limit.
type Search struct {
	limit, seen, old int
}

// Search returns a search for up to limit entries.
func (a Age) Search(limit int) Search { return Search{limit: limit} }

// Add adds the next entry, and reports whether to go on.
func (s *Search) Add(v Verdict) (more bool) {
	if v == Young {
		return false
	}
	if s.seen++; v == Old {
		s.old = s.seen
	}
	return s.limit == 0 || s.seen < s.limit || s.old == 0
}

// Old returns how many entries are old, up to the limit.
func (s *Search) Old() int {
	if s.limit > 0 {
		return min(s.old, s.limit)
	}
	return s.old
}
