package dispatch

import (
	"context"
	"errors"

	"kaban"
	"kaban/internal/store"
)

// maxPassed bounds the damaged entries that are skipped at a time.
const maxPassed = 1000

// readPast reads a page and skips damaged entries at its beginning. damage is the
// first of these, or nil, and passed the seq of the last. There
// may be no entries beside damage.
func readPast(ctx context.Context, s store.Store, room kaban.RoomName, p store.Page) (entries []store.Entry, damage *store.DamagedError, passed uint64, err error) {
	for range maxPassed {
		entries, err = s.Read(ctx, room, p)
		bad, ok := errors.AsType[*store.DamagedError](err)
		if !ok {
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
