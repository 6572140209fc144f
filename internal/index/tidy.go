package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// dirtyAge is how long hidden terms may stay in the file if nobody asks for more.
	dirtyAge = 5 * time.Minute
	// settleAgain is how long to wait if searches keep the write-ahead log from being emptied.
	settleAgain = 10 * time.Second
	// tidyRest is how long the index rests after tidying, as a multiple of the work.
	tidyRest = 20
)

// isUnreadable reports whether an error means that one message cannot be read.
func isUnreadable(err error) bool {
	_, damaged := errors.AsType[*store.DamagedError](err)
	return damaged
}

// tidy puts the terms of a full volume together, or purges one with hidden terms, and drops
// the oldest volumes if none of their messages are kept. It returns when to come again, or
// nil if there is nothing to do before something is read.
func (x *Index) tidy() (again <-chan time.Time, err error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	now := time.Now()
	if wait := x.tidied.Sub(now); wait > 0 {
		return time.After(wait), nil
	}
	current := x.tail.next() / x.options.shape.volume
	var volume uint64
	var whole, dirty bool
	err = x.db.write.QueryRow("SELECT id, whole, dirty > 0 FROM volumes WHERE dirty > 0 OR whole = 0 AND id < ? ORDER BY whole, dirty DESC LIMIT 1", current).
		Scan(&volume, &whole, &dirty)
	if errors.Is(err, sql.ErrNoRows) {
		return x.settle()
	}
	if err != nil {
		return nil, err
	}
	if whole || volume >= current { // only because of hidden terms
		if x.dirtySince.IsZero() {
			x.dirtySince = now
		}
		if wait := dirtyAge - now.Sub(x.dirtySince); wait > 0 {
			return time.After(wait), nil
		}
	}
	if err := x.purge(volume, volume < current); err != nil {
		return nil, err
	}
	var left bool // other volumes have waited as long
	if err := x.db.write.QueryRow("SELECT count(*) > 0 FROM volumes WHERE dirty > 0").Scan(&left); err != nil {
		return nil, err
	}
	if !left {
		x.dirtySince = time.Time{}
	}
	if err := x.dropOldest(current); err != nil {
		return nil, err
	}
	x.spilled = x.spilled || dirty
	if _, err := x.settle(); err != nil {
		return nil, err
	}
	x.tidied = time.Now()
	if !x.options.Eager {
		x.tidied = x.tidied.Add(tidyRest * time.Since(now))
	}
	return time.After(time.Until(x.tidied)), nil
}

// purge writes the terms of a volume anew, without those that are hidden.
func (x *Index) purge(volume uint64, whole bool) error {
	err := x.db.transact(func(tx *sql.Tx) error {
		if _, err := tx.Exec(fmt.Sprintf("INSERT INTO %[1]s(%[1]s) VALUES ('optimize')", table(volume))); err != nil {
			return err
		}
		failpoint.Point("index.purge")
		_, err := tx.Exec("UPDATE volumes SET dirty = 0, whole = ? WHERE id = ?", whole, volume)
		return err
	})
	if err != nil {
		return fmt.Errorf("purge the search index: %w", err)
	}
	return nil
}

// settle empties the write-ahead log if it may have terms that were purged. It returns when
// to come again if something is reading it.
func (x *Index) settle() (again <-chan time.Time, err error) {
	if !x.spilled {
		return nil, nil
	}
	done, err := x.checkpointOnce()
	if err != nil {
		return nil, err
	}
	if !done {
		return time.After(settleAgain), nil
	}
	x.spilled = false
	return nil, nil
}

// checkpointOnce reports whether nothing is left in the write-ahead log.
func (x *Index) checkpointOnce() (done bool, err error) {
	if x.path == "" {
		return true, nil
	}
	var busy, frames, moved int
	err = x.db.write.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	return err == nil && busy == 0, err
}

// checkpoint leaves nothing in the write-ahead log.
func (x *Index) checkpoint(ctx context.Context) error {
	for {
		done, err := x.checkpointOnce()
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond): // a search is at work
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dropOldest drops the oldest full volumes of which the store keeps no message.
func (x *Index) dropOldest(current uint64) error {
	for {
		var volume uint64
		err := x.db.write.QueryRow("SELECT min(id) FROM volumes HAVING min(id) IS NOT NULL").Scan(&volume)
		if errors.Is(err, sql.ErrNoRows) || err == nil && volume >= current {
			return nil
		}
		if err != nil {
			return err
		}
		if kept, err := x.isKept(volume); kept || err != nil {
			return err
		}
		s := &x.options.shape
		first, last := volume*s.volume, (volume+1)*s.volume-1
		err = x.db.transact(func(tx *sql.Tx) error {
			if _, err := tx.Exec("DROP TABLE " + table(volume)); err != nil {
				return err
			}
			for _, query := range []string{"DELETE FROM marks WHERE place BETWEEN ? AND ?", "DELETE FROM pins WHERE place BETWEEN ? AND ?"} {
				if _, err := tx.Exec(query, first, last); err != nil {
					return err
				}
			}
			if _, err := tx.Exec("DELETE FROM chunks WHERE id BETWEEN ? AND ?", first/s.chunk, last/s.chunk); err != nil {
				return err
			}
			_, err := tx.Exec("DELETE FROM volumes WHERE id = ?", volume)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop a volume of the search index: %w", err)
		}
		x.db.unprepare(volume)
	}
}

// isKept reports whether the store keeps a message of a volume.
func (x *Index) isKept(volume uint64) (bool, error) {
	ctx := context.Background()
	newest := make(map[uint32]uint64)
	s := &x.options.shape
	for id := volume * s.volume / s.chunk; id < (volume+1)*s.volume/s.chunk; id++ {
		items, err := x.db.readChunk(ctx, x.db.write, id, int(s.chunk))
		if err != nil {
			return false, err
		}
		for _, i := range items {
			newest[i.room] = max(newest[i.room], i.seq)
		}
	}
	for id, seq := range newest {
		x.mu.Lock()
		r := x.byID[id]
		x.mu.Unlock()
		if r == nil {
			continue
		}
		state, err := x.store.Room(ctx, r.name)
		if err != nil {
			return false, err
		}
		if seq >= state.Oldest {
			return true, nil
		}
	}
	return false, nil
}

// Range is a run of entries of a room, both ends included.
type Range struct {
	Room        kaban.RoomName
	First, Last uint64
}

// Forget removes messages that the store has no text of any more, and returns once nothing
// of them is left in the index and its files. What it has not come to it will not find in
// the store. It takes about half a second for each 100,000 messages around those that are
// removed, so it is to be called for many at once. The front of a room that was removed before takes no
// time. After an error something may be left, and it is to be called again.
func (x *Index) Forget(ctx context.Context, ranges ...Range) error {
	x.lockNow()
	defer x.writing.Unlock()
	x.using.RLock()
	defer x.using.RUnlock()
	if x.db == nil {
		return errors.New("the search index does not work")
	}
	x.erased = true
	var fronts map[*room]uint64
	err := x.db.transact(func(tx *sql.Tx) (err error) {
		w := writer{x: x, tx: tx}
		defer w.close()
		fronts, err = w.removeRanges(ranges)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget messages: %w", err)
	}
	for r, seq := range fronts {
		r.forgotten = seq
	}
	current := x.tail.next() / x.options.shape.volume
	for {
		var volume uint64
		err := x.db.write.QueryRow("SELECT id FROM volumes WHERE dirty > 0 LIMIT 1").Scan(&volume)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = x.purge(volume, volume < current)
		}
		if err != nil {
			return err
		}
	}
	return x.checkpoint(ctx)
}

// Erase returns once nothing of what was deleted or edited in the store before the call is
// left in the index and its files. It waits until the index has read that. After an error
// something may be left, and it is to be called again.
func (x *Index) Erase(ctx context.Context) error {
	if err := x.Wait(ctx); err != nil {
		return fmt.Errorf("erase in the search index: %w", err)
	}
	err := x.Forget(ctx)
	if isDamage(err) {
		x.Rebuild()
	}
	return err
}

// Erase is Index.Erase for a data directory that no server uses. Without an index in it
// there is nothing to do.
func Erase(ctx context.Context, s store.Store, dir string, options Options) (err error) {
	if _, err := os.Stat(filepath.Join(dir, FileName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	x := Open(s, dir, options)
	defer func() { err = errors.Join(err, x.Close()) }()
	return x.Erase(ctx)
}

// span is where the messages of a range are.
type span struct {
	room             uint32
	first, last      uint64
	chunk, nextChunk uint64
}

// removeRanges hides the messages within some ranges, and returns how far the fronts of rooms are forgotten then. It
// reads each chunk once, whatever the number of ranges.
func (w *writer) removeRanges(ranges []Range) (fronts map[*room]uint64, err error) {
	var spans []span
	fronts = make(map[*room]uint64)
	for _, of := range ranges {
		w.x.mu.Lock()
		r := w.x.rooms[of.Room.Key()]
		w.x.mu.Unlock()
		if r == nil || r.id == 0 {
			continue
		}
		front := max(r.forgotten, fronts[r])
		if of.First = max(of.First, front+1); of.First > of.Last {
			continue
		}
		s, err := w.spanOf(r, of.First, of.Last)
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
		if of.First > front+1 {
			continue
		}
		fronts[r] = of.Last
		if _, err := w.tx.Exec("UPDATE rooms SET forgotten = ? WHERE id = ?", of.Last, r.id); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.chunk, b.chunk) })
	within := make(map[uint32][]span)
	for id, end := uint64(0), uint64(0); id < end || len(spans) > 0; id++ {
		if id >= end {
			id = spans[0].chunk
		}
		for len(spans) > 0 && spans[0].chunk <= id {
			within[spans[0].room] = append(within[spans[0].room], spans[0])
			end, spans = max(end, spans[0].nextChunk), spans[1:]
		}
		if id >= end {
			continue // it has no chunks
		}
		if err := w.removeIn(id, within); err != nil {
			return nil, err
		}
	}
	return fronts, nil
}

// spanOf returns where the messages of a room within a range may be.
func (w *writer) spanOf(r *room, first, last uint64) (span, error) {
	ctx, t := context.Background(), &w.x.tail
	from, to := uint64(0), t.next()
	err := w.tx.QueryRowContext(ctx, "SELECT place FROM marks WHERE room = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", r.id, first).Scan(&from)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		err = w.tx.QueryRowContext(ctx, "SELECT place FROM marks WHERE room = ? AND seq > ? ORDER BY seq LIMIT 1", r.id, last).Scan(&to)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return span{}, err
	}
	return span{r.id, first, last, from / t.shape.chunk, (to + t.shape.chunk - 1) / t.shape.chunk}, nil
}

// removeIn hides the messages of a chunk that are within some spans, by room.
func (w *writer) removeIn(id uint64, within map[uint32][]span) (err error) {
	t := &w.x.tail
	items := t.items
	if id != t.id {
		if items, err = w.x.db.readChunk(context.Background(), w.tx, id, int(t.shape.chunk)); err != nil {
			return err
		}
	}
	for i, at := range items {
		if !slices.ContainsFunc(within[at.room], func(s span) bool { return at.seq >= s.first && at.seq <= s.last }) {
			continue
		}
		order := id*t.shape.chunk + uint64(i)
		if _, err := w.tx.Exec("DELETE FROM pins WHERE place = ?", order); err != nil {
			return err
		}
		if err := w.hide(order); err != nil {
			return err
		}
	}
	return nil
}
