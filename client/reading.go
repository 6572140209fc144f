package client

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"kaban/wire"
)

const (
	// A reader that is further behind than this many entries or bytes of them costs
	// no more memory: later entries are dropped and read again with history once
	// the reader has caught up.
	maxBuffered      = 2048
	maxBufferedBytes = 1 << 20
)

// item is one step of a reader.
type item struct {
	entry  Entry // without a content if it is own
	own    bool
	resync *ResyncError
}

// size is the number of bytes that an item takes beyond its fixed part.
func (i *item) size() int {
	if m := i.entry.Message; m != nil {
		return len(m.ID) + len(m.Username) + len(m.Content) + len(m.Files.String())
	}
	if c := i.entry.Change; c != nil {
		return len(c.ID) + len(c.Username) + len(c.Subject) + len(c.Reason) + len(c.Topic) + len(c.Content) + len(c.Emoji)
	}
	return 0
}

// itemLocked returns the item for an entry.
func (r *Room) itemLocked(e Entry) *item {
	if r.client.ownLocked(&e) {
		return &item{entry: Entry{Seq: e.Seq}, own: true}
	}
	return &item{entry: e}
}

// receiveLocked takes an entry of the live log.
func (r *Room) receiveLocked(e Entry) {
	if e.Seq <= r.received {
		return
	}
	if e.Seq != r.received+1 { // against the protocol; history has the missing entries
		r.fallBehindLocked()
	}
	r.received = e.Seq
	r.head = max(r.head, e.Seq)
	i := r.itemLocked(e)
	if i.own {
		r.client.storedLocked(&e)
	}
	if !r.behind {
		r.putLocked(i)
	}
	r.passStoredLocked()
}

// acknowledgedLocked takes the ack that stands for an own entry in the log. It may
// come before the entries in front of it, or beside the entry itself.
func (r *Room) acknowledgedLocked(seq uint64) {
	if seq > r.received && r.joined {
		r.stored[seq] = true
		r.passStoredLocked()
	}
}

// passStoredLocked goes on past the own entries that come next.
func (r *Room) passStoredLocked() {
	for seq := r.received + 1; r.stored[seq]; seq++ {
		r.received = seq
		r.head = max(r.head, seq)
		if !r.behind {
			r.putLocked(&item{entry: Entry{Seq: seq}, own: true})
		}
	}
	maps.DeleteFunc(r.stored, func(seq uint64, _ bool) bool { return seq <= r.received })
}

func (r *Room) putLocked(i *item) {
	if i.own && len(r.buffer) == 0 {
		r.given = i.entry.Seq
		r.changedLocked()
		return
	}
	r.bytes += i.size()
	r.buffer = append(r.buffer, i)
	if len(r.buffer) > maxBuffered || r.bytes > maxBufferedBytes {
		r.fallBehindLocked()
	}
	r.changedLocked()
}

func (r *Room) fallBehindLocked() {
	r.behind = true
	r.dropLocked()
	r.changedLocked()
}

// dropLocked empties the buffer, but keeps the last resync: it is not in the
// history. Earlier ones no longer matter.
func (r *Room) dropLocked() {
	var last []*item
	for _, i := range r.buffer {
		if i.resync != nil {
			last = []*item{i}
		}
	}
	r.buffer, r.bytes = last, 0
}

// resyncLocked goes on at the head and reports the interruption to the reader.
func (r *Room) resyncLocked(e *wire.Event) {
	resync := resyncOf(e)
	if resync.Room == "" {
		resync.Room = r.name
	}
	if e.Epoch != r.epoch {
		r.endAboutLocked(resync)
	}
	r.epoch, r.received, r.head, r.behind = e.Epoch, e.Head, e.Head, false
	clear(r.stored)
	if n := len(r.buffer); n > 0 && r.buffer[n-1].resync != nil {
		r.buffer = r.buffer[:n-1] // nothing came between the two
	}
	r.putLocked(&item{entry: Entry{Seq: e.Head}, resync: resync})
}

// endAboutLocked ends what was posted about messages: their seqs may be those of others now.
func (r *Room) endAboutLocked(err error) {
	for _, q := range r.client.entries {
		if q.room == r && (q.request.Target != 0 || q.request.ReplyTo != 0) {
			r.client.answerLocked(q, nil, err)
		}
	}
}

func (r *Room) changedLocked() {
	close(r.change)
	r.change = make(chan struct{})
}

// Cursor returns the position up to which Messages has yielded everything. Own
// messages count as seen.
func (r *Room) Cursor() Cursor {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return Cursor{Epoch: r.era, Seq: r.given}
}

// Head returns the highest seq that the server is known to have. The entries
// between Cursor and Head are still on their way.
func (r *Room) Head() uint64 {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.head
}

// Messages yields the messages of others in their order, each once, until ctx
// ends, the room is left or the session is over. A *ResyncError is followed by
// the messages after the interruption; any other error is the last value. Own
// messages are left out. Only one loop over Messages or Entries may run at a time;
// another may continue where it stopped.
func (r *Room) Messages(ctx context.Context) iter.Seq2[wire.Message, error] {
	return func(yield func(wire.Message, error) bool) {
		for e, err := range r.Entries(ctx) {
			var m wire.Message
			switch {
			case e.Message != nil:
				m = *e.Message
			case err == nil:
				continue
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// Entries is Messages with the entries of all kinds: changes of messages and of the room,
// and for callers that keep the cursor themselves those that this version does not know.
//
// An entry with AsOf was read with History, because the reader started with Last or was
// too far behind for the memory of the client. Its message has been changed already, and
// changes up to AsOf are not yielded one by one. So a program that keeps messages from
// before such an entry, or own ones, asks for them again with History.
func (r *Room) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			items, err := r.next(ctx)
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, ErrParted) {
					yield(Entry{}, err)
				}
				return
			}
			for _, i := range items {
				// The cursor moves when the caller asks for more, so that a saved
				// cursor never includes an entry that was not processed.
				more := true
				switch {
				case i.resync != nil:
					more = yield(Entry{}, i.resync)
				case !i.own:
					more = yield(i.entry, nil)
				}
				r.advance(i)
				if !more || ctx.Err() != nil {
					return
				}
			}
		}
	}
}

// advance moves the cursor past an item.
func (r *Room) advance(i *item) {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.buffer) > 0 && r.buffer[0] == i {
		r.bytes -= i.size()
		r.buffer[0] = nil
		r.buffer = r.buffer[1:]
	}
	r.given = i.entry.Seq
	if i.resync != nil {
		r.era = i.resync.Epoch
	}
	r.caughtUpLocked()
	r.changedLocked()
}

// caughtUpLocked ends being behind. What arrives from now on is in the buffer.
func (r *Room) caughtUpLocked() {
	if r.given >= r.received {
		r.behind = false
	}
}

// next waits for the items that follow.
func (r *Room) next(ctx context.Context) ([]*item, error) {
	for {
		r.client.mu.Lock()
		r.caughtUpLocked()
		change, err, behind := r.change, r.err, r.behind
		items := slices.Clone(r.buffer)
		r.client.mu.Unlock()
		switch {
		case len(items) > 0:
			return items, nil
		case err != nil:
			return nil, err
		case behind:
			items, err := r.catchUp(ctx)
			if len(items) > 0 || err != nil {
				return items, err
			}
			continue
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// catchUp reads a history page of the entries that are not in the buffer.
func (r *Room) catchUp(ctx context.Context) ([]*item, error) {
	c := r.client
	c.mu.Lock()
	name, after, until, window, epoch := r.name, r.given, r.received, r.window, r.epoch
	c.mu.Unlock()
	page, err := c.History(ctx, name, HistoryQuery{After: after, HasAfter: true, Limit: wire.MaxLimit})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.epoch != epoch || r.given != after {
		return nil, nil // a resync came in between
	}
	var items []*item
	if first := page.First; first > after+1 && first <= until && !window {
		items = append(items, &item{entry: Entry{Seq: first - 1}, resync: &ResyncError{Room: name, Epoch: epoch, Head: until, Oldest: first}})
	}
	for _, e := range page.Entries {
		if e.Seq <= until { // later ones also arrive live
			items = append(items, r.itemLocked(e))
		}
	}
	r.window = false
	switch covered := min(page.Last, until); {
	case page.Last == 0 || page.First > until: // nothing of it is kept
		r.given = until
		if !window {
			return []*item{{entry: Entry{Seq: until}, resync: &ResyncError{Room: name, Epoch: epoch, Head: until, Oldest: until + 1}}}, nil
		}
	case len(items) == 0 || items[len(items)-1].entry.Seq < covered: // changes of messages are last
		items = append(items, &item{entry: Entry{Seq: covered, AsOf: page.AsOf}})
	}
	return items, nil
}

// Sync waits until the reader has been given everything that the room had when
// Sync was called. It asks the server, so it waits for a connection too.
func (r *Room) Sync(ctx context.Context) error {
	c := r.client
	newest, err := c.History(ctx, r.Name(), HistoryQuery{Limit: 1})
	if err != nil {
		return err
	}
	for {
		c.mu.Lock()
		done := r.given >= newest.Last
		change, err := r.change, r.err
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
