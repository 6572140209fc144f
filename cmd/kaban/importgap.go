package main

import (
	"context"
	"fmt"

	"kaban"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/store"
)

// maxLostEntries is how many missing entries an import stands others in for. Each takes a row.
const maxLostEntries = 1_000_000

// gapError means that an export lacks entries, such as those that were damaged where it was
// written.
type gapError struct {
	source string
	record *store.Record
	head   uint64 // of the room
}

func (e *gapError) Error() string {
	return fmt.Sprintf("%s: message %d of %s would leave a gap, the room has %d; if those between are lost for good, such as in an export of a damaged database,"+
		" --fill-gaps keeps the numbers and imports the rest", e.source, e.record.Seq, e.record.Room, e.head)
}

// filler knows how far the logs of rooms go, and stands in for what is missing in them.
type filler struct {
	fill   bool
	target store.Store
	heads  map[string]uint64 // by key of the room
	spans  map[string][]span // that it has filled, ascending
	lost   uint64            // entries that were missing
}

// span is the numbers of entries that are missing.
type span struct{ first, last uint64 }

func newFiller(ctx context.Context, target store.Store, fill bool) (*filler, error) {
	rooms, err := target.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	f := &filler{fill: fill, target: target, heads: make(map[string]uint64), spans: make(map[string][]span)}
	for _, r := range rooms {
		f.heads[r.Name.Key()] = r.Head
	}
	return f, nil
}

// front notes that a room begins behind a front, unless it goes further.
func (f *filler) front(front *store.Front) {
	f.heads[front.Room.Key()] = max(f.heads[front.Room.Key()], front.Seq)
}

// before returns a gapError if entries are missing before a record and are not to be filled,
// and otherwise how many are missing.
func (f *filler) before(source string, r *store.Record) (missing uint64, err error) {
	key := r.Room.Key()
	head := f.heads[key]
	if r.Seq > head+1 {
		missing = r.Seq - head - 1
	}
	if missing > 0 && !f.fill {
		return 0, &gapError{source, r, head}
	}
	if missing > maxLostEntries-f.lost {
		return 0, fmt.Errorf("%s: before message %d of %s %d are missing, and %d before; an import fills in for %d at most", source, r.Seq, r.Room, missing, f.lost, maxLostEntries)
	}
	if missing > 0 {
		f.spans[key] = append(f.spans[key], span{head + 1, r.Seq - 1})
	}
	f.lost += missing
	f.heads[key] = max(head, r.Seq)
	return missing, nil
}

// settle takes the text out of an edit of a message that was lost, in this import or an earlier one: a
// database keeps none of an edit of nothing.
func (f *filler) settle(ctx context.Context, r *store.Record) error {
	if !f.fill || r.Kind != kaban.KindEdit || r.Target == 0 || r.Target >= r.Seq {
		return nil
	}
	for _, s := range f.spans[r.Room.Key()] {
		if s.first <= r.Target && r.Target <= s.last {
			r.Body = ""
			return nil
		}
	}
	found, err := f.target.Read(ctx, r.Room, store.Page{After: r.Target - 1, Limit: 1})
	if err != nil {
		return fmt.Errorf("look for what message %d of %s edits: %w", r.Seq, r.Room, err)
	}
	if len(found) > 0 && found[0].Seq == r.Target && found[0].Kind == kaban.KindLost {
		r.Body = ""
	}
	return nil
}

// lostEntry stands in for an entry that is missing before another one of its room. It is the same
// each time, so that an import can be repeated.
func lostEntry(before *store.Record, seq uint64) (store.Record, error) {
	id, err := kaban.ParseMessageID(fmt.Sprint("lost-", seq))
	draft := kaban.Draft{Author: service.OperatorIdentity(), Room: before.Room, ID: id, Kind: kaban.KindLost}
	return store.Record{Draft: draft, Seq: seq, Time: before.Time}, err
}
