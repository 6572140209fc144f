package postgres

import "sync"

// moment is how far the data of a database have come: a place in the WAL of a timeline.
type moment struct{ timeline, position int64 }

// latest is the latest moment that a node knows to be on the disk of the database. Data that are older
// in the same timeline are a copy from before.
type latest struct {
	mu sync.Mutex
	moment
}

func (l *latest) get() moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moment
}

// raise notes a moment, unless a later one is known.
func (l *latest) raise(m moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.timeline > l.timeline || m.timeline == l.timeline && m.position > l.position {
		l.moment = m
	}
}
