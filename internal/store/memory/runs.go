package memory

import (
	"cmp"
	"slices"

	"kaban"
)

// shortestRun is how many changes of messages in a row stay a run. In a busy room fewer are between
// most messages.
const shortestRun = 64

// run are entries of a room that are changes of messages, both inclusive.
type run struct{ first, last uint64 }

// runs are the runs of changes of a room, in ascending order, with the one that its newest entry
// may go on with. History passes over each in one step. The first one may begin with entries
// that are not kept any more.
type runs []run

// add notes the next entry of the room.
func (r *runs) add(seq uint64, kind kaban.Kind) {
	n := len(*r)
	goesOn := n > 0 && (*r)[n-1].last == seq-1
	switch {
	case kind.IsChange() && goesOn:
		(*r)[n-1].last = seq
	case kind.IsChange():
		*r = append(*r, run{seq, seq})
	case goesOn && (*r)[n-1].last-(*r)[n-1].first < shortestRun-1:
		*r = (*r)[:n-1]
	}
}

// drop forgets the runs up to a seq.
func (r *runs) drop(seq uint64) {
	n := 0
	for n < len(*r) && (*r)[n].last <= seq {
		n++
	}
	if *r = (*r)[n:]; len(*r) == 0 {
		*r = nil
	}
}

// end returns the last entry of the run that a change is in, backwards the first one; the change itself
// if it is in none.
func (r runs) end(seq uint64, back bool) uint64 {
	at, _ := slices.BinarySearchFunc(r, seq, func(one run, seq uint64) int { return cmp.Compare(one.last, seq) })
	switch {
	case at == len(r) || r[at].first > seq:
		return seq
	case back:
		return r[at].first
	}
	return r[at].last
}
