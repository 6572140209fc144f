package dispatch

import (
	"context"
	"errors"
	"sync/atomic"

	"kaban"
	"kaban/internal/store"
)

// maxPassed bounds the damaged entries that are skipped at a time.
const maxPassed = 1000

// journal is what the dispatcher and all its rooms read.
type journal struct {
	store.Store
	fetches   atomic.Uint64      // of cursors
	attribute func(*store.Entry) // nil: nothing; see Dispatcher.SetAttribution
}

// readPast reads a page and skips damaged entries at its beginning. damage is the
// first of these, or nil, and passed the seq of the last. There
// may be no entries beside damage.
func (j *journal) readPast(ctx context.Context, room kaban.RoomName, p store.Page) (entries []store.Entry, damage *store.DamagedError, passed uint64, err error) {
	for range maxPassed {
		entries, err = j.Read(ctx, room, p)
		bad, ok := errors.AsType[*store.DamagedError](err)
		if !ok {
			if j.attribute != nil {
				for i := range entries {
					j.attribute(&entries[i])
				}
			}
			return entries, damage, passed, err
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
	return nil, damage, passed, nil
}
