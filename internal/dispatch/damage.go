package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"kaban"
	"kaban/internal/store"
)

// maxPassed bounds the damaged entries that are skipped at a time.
const maxPassed = 1000

// journal is what the dispatcher and all its rooms read.
type journal struct {
	store.Store
	fetches   atomic.Uint64 // of cursors
	kept      keptPages
	attribute func(*store.Entry) // nil: nothing; see Dispatcher.SetAttribution
}

// readPast reads a page and skips damaged entries at its beginning. damage is the
// first of these, or nil, and passed the seq of the last. There
// may be no entries beside damage.
func (j *journal) readPast(ctx context.Context, room kaban.RoomName, p store.Page) (entries []store.Entry, damage *store.DamagedError, passed uint64, err error) {
	damage, passed, err = past(p, func(p store.Page) error {
		entries, err = j.Read(ctx, room, p)
		return err
	})
	j.attributeAll(entries)
	return entries, damage, passed, err
}

// historyPast is readPast for pages of history.
func (j *journal) historyPast(ctx context.Context, room kaban.RoomName, p store.Page) (h store.History, damage *store.DamagedError, err error) {
	damage, _, err = past(p, func(p store.Page) error {
		h, err = j.History(ctx, room, p)
		return err
	})
	j.attributeAll(h.Entries)
	return h, damage, err
}

// past has a page read until it does not begin with a damaged entry, or maxPassed were
// skipped.
func past(p store.Page, read func(store.Page) error) (damage *store.DamagedError, passed uint64, err error) {
	for range maxPassed {
		err := read(p)
		bad, ok := errors.AsType[*store.DamagedError](err)
		if !ok {
			return damage, passed, err
		}
		if passed = bad.Seq; damage == nil {
			damage = bad
		}
		if p.Last {
			p.Before = bad.Seq
		} else {
			p.After = bad.Seq
		}
	}
	return damage, passed, nil
}

// attributeAll attributes entries and the reactions to them.
func (j *journal) attributeAll(entries []store.Entry) {
	if j.attribute == nil {
		return
	}
	for i := range entries {
		e := &entries[i]
		j.attribute(e)
		if e.State != nil && e.State.Reactions != nil {
			e.State = j.attributeReactions(e.State)
		}
	}
}

// attributeReactions returns a state with its reactions attributed. A State that others
// may have stays as it is.
func (j *journal) attributeReactions(s *store.State) *store.State {
	changed := false
	for i := range s.Reactions {
		for k := range s.Reactions[i].People {
			by := &s.Reactions[i].People[k]
			as := store.Entry{Seq: by.Seq, Time: by.Time, Kind: kaban.KindReact, Author: by.Author, Username: by.Username}
			if j.attribute(&as); as.Author == by.Author && as.Username == by.Username {
				continue
			}
			if !changed {
				changed, s = true, cloneReactions(s)
				by = &s.Reactions[i].People[k]
			}
			by.Author, by.Username = as.Author, as.Username
		}
	}
	return s
}

func cloneReactions(s *store.State) *store.State {
	clone := *s
	clone.Reactions = slices.Clone(s.Reactions)
	for i := range clone.Reactions {
		clone.Reactions[i].People = slices.Clone(clone.Reactions[i].People)
	}
	return &clone
}
