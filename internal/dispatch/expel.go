package dispatch

import "kaban"

// Expulsion is the end of a subscription whose holder must leave the room.
type Expulsion struct {
	// Reason is what its front end says, such as "kicked".
	Reason string
}

// Reader is whom a subscription belongs to.
type Reader struct {
	Peer    *kaban.Peer // never changes; its identity is zero for an anonymous reader
	Watches bool        // the subscription is no membership
}

// Readers returns whom the subscriptions of the room belong to, one for each.
func (r *Room) Readers() []Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	readers := make([]Reader, 0, r.readers)
	for _, a := range r.audiences {
		for _, s := range a.members {
			readers = append(readers, s.Reader())
		}
	}
	return readers
}

// Expel ends the subscriptions that a function selects; it is called with the room
// locked.
// From now on Next returns no entry of theirs any more, not even those that were
// owed already: only the rest of one that is half given, the receipts of sends
// under way, and then the expulsion. They stop counting as members at once; their
// wakers still call Leave.
//
// It may be called from any goroutine. A committer that calls it before it
// publishes an entry keeps that entry from them.
func (d *Dispatcher) Expel(r *Room, reason string, selected func(Reader) bool) {
	expelled := &Expulsion{Reason: reason}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for _, a := range r.audiences {
		for _, s := range a.members {
			if !selected(s.Reader()) || !s.expelled.CompareAndSwap(nil, expelled) {
				continue
			}
			changed = r.uncountLocked(s) || changed
			a.waker.WakeOne(s)
		}
	}
	if changed {
		d.attended(r)
	}
}

// nextExpelled is Next for a subscription that was expelled.
func (s *Subscription) nextExpelled(e *Expulsion) Segment {
	if s.partial > 0 {
		segment := s.nextEntry()
		if n := len(segment.marks); n > 1 { // a page goes on after the entry
			segment.Frames = segment.Frames[:segment.marks[0].end-segment.start]
			segment.marks = segment.marks[:1]
		}
		return segment
	}
	s.Unpin()
	if _, _, ok := s.peek(); ok {
		return Segment{Receipt: s.take()}
	}
	if s.outstanding > 0 {
		return Segment{}
	}
	return Segment{Expelled: e}
}
