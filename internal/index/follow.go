package index

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// burst is how many entries are read into the index without a rest, a few
	// milliseconds of work, and step how many at most with one transaction.
	burst = 64
	step  = 1024
	// stretch is how long entries are read ahead without a rest.
	stretch = 2 * time.Millisecond
	// eagerStep is the same without rests: the larger the transaction, the less there is to merge.
	eagerStep = 8192
	// gathering is how long there is at least between the beginnings of two rounds: a transaction
	// for each message would cost more than the message itself. A round that takes longer has
	// let enough come meanwhile.
	gathering = 250 * time.Millisecond
	// buffered is how many entries are read ahead, over all rooms, and bufferedBytes how
	// much text.
	buffered      = 1 << 16
	bufferedBytes = 32 << 20
	// The pauses after a failure.
	minPause = time.Second
	maxPause = time.Minute
)

// run follows the logs until the context ends.
func (x *Index) run(ctx context.Context) {
	pause, failing := minPause, false
	for ctx.Err() == nil {
		began := time.Now()
		err := x.open(ctx)
		if err == nil {
			err = x.round(ctx)
		}
		var next <-chan time.Time
		if err == nil {
			next, err = x.tidy()
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBroken):
			return // the server ends
		case err != nil && isDamage(err):
			x.log.Warn("the search index is damaged and is made anew; searches find only a part until then", "err", err)
			x.Rebuild()
			continue
		case err != nil:
			x.failed(err)
			if !failing {
				x.log.Error("the search index does not work; searches find nothing until it does", "err", err)
			}
			failing = true
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, maxPause)
			continue
		}
		if failing {
			x.log.Info("the search index works again")
		}
		pause, failing = minPause, false
		x.release()
		select {
		case <-x.wake:
			x.gather(ctx, began)
		case <-next:
		case <-ctx.Done():
		}
	}
}

// gather waits for more to read, if the last round has just begun.
func (x *Index) gather(ctx context.Context, began time.Time) {
	if x.options.Eager {
		return
	}
	select {
	case <-time.After(gathering - time.Since(began)):
	case <-ctx.Done():
	}
}

// failed notes a failure, and has the index read what it has stored before it goes on.
func (x *Index) failed(err error) {
	x.using.Lock()
	if x.db != nil {
		x.db.close()
		x.db = nil
	}
	x.using.Unlock()
	x.mu.Lock()
	x.problem = err
	x.mu.Unlock()
	x.release()
}

// round reads everything that was noted before it began.
func (x *Index) round(ctx context.Context) error {
	began := time.Now()
	var feeds feeds
	x.mu.Lock()
	for _, r := range x.pending {
		r.queued = false
		feeds = append(feeds, &feed{room: r, read: r.cursor, head: r.head})
	}
	x.pending, x.working = nil, true
	x.mu.Unlock()
	if err := x.readAll(ctx, feeds); err != nil {
		x.requeue(feeds)
		return err
	}
	x.mu.Lock()
	x.asOf, x.working = began, false
	done := x.building && !x.asked.Load()
	x.mu.Unlock()
	if !done {
		return nil
	}
	x.writing.Lock()
	_, err := x.db.write.Exec("UPDATE meta SET built = 1")
	x.writing.Unlock()
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.building = x.asked.Load()
	x.mu.Unlock()
	return nil
}

// requeue puts rooms that were not read to their end back into the queue.
func (x *Index) requeue(all feeds) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.working = false
	for _, f := range all {
		x.noteLocked(f.room.name, f.head)
	}
}

// readAll reads rooms up to the heads of their feeds, the entries of all in the order of
// their times.
func (x *Index) readAll(ctx context.Context, all feeds) error {
	if len(all) == 0 {
		return nil
	}
	page := store.Page{NoReactions: true, Limit: max(buffered/len(all), 4), Bytes: max(bufferedBytes/len(all), 1<<12)}
	waiting, err := x.readAhead(ctx, all, page)
	if err != nil {
		return err
	}
	heap.Init(&waiting)
	for volume := x.volume(); len(waiting) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.asked.Load() {
			return nil // what is read here is read again
		}
		worked, err := x.step(ctx, &waiting, page)
		if err != nil {
			return err
		}
		x.steps.Add(1)
		if err := x.rest(ctx, worked); err != nil {
			return err
		}
		if now := x.volume(); now != volume { // what tidying frees, the next volumes take
			volume = now
			if _, err := x.tidy(); err != nil {
				return err
			}
		}
	}
	return nil
}

// readAhead reads the first entries of each feed. Of many entries that takes about as long as to
// index some of them, so it rests as well.
func (x *Index) readAhead(ctx context.Context, all feeds, page store.Page) (feeds, error) {
	waiting := make(feeds, 0, len(all))
	var worked time.Duration
	for _, f := range all {
		if x.asked.Load() {
			return nil, nil // what is read here is read again
		}
		end := work()
		err := f.fill(ctx, x.store, page)
		worked += end()
		if err != nil {
			return nil, err
		}
		waiting = append(waiting, f)
		if worked < stretch {
			continue
		}
		if err := x.rest(ctx, worked); err != nil {
			return nil, err
		}
		worked = 0
	}
	return waiting, nil
}

// volume returns the volume of the next message.
func (x *Index) volume() uint64 { return x.tail.published.Load() / x.options.shape.volume }

// step reads some entries in one transaction, fewer if somebody else wants to change the
// database. It returns how long it has worked since it rested.
func (x *Index) step(ctx context.Context, waiting *feeds, page store.Page) (worked time.Duration, err error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	if err := waiting.renew(ctx, x, page); err != nil {
		return 0, err
	}
	most := step
	switch {
	case x.path == "": // searches wait for a transaction
		most = burst
	case x.options.Eager:
		most = eagerStep
	}
	moved := make(map[*room]uint64)
	end := work()
	err = x.db.transact(func(tx *sql.Tx) error {
		w := writer{x: x, tx: tx}
		defer w.close()
		for n := 0; ; {
			for i := 0; i < burst && len(*waiting) > 0; i++ {
				if err := w.next(ctx, waiting, page, moved); err != nil {
					return err
				}
				n++
			}
			if n >= most || len(*waiting) == 0 || x.wanted.Load() > 0 {
				break
			}
			err := x.rest(ctx, end())
			end = work()
			if err != nil {
				break
			}
		}
		return w.finish(moved)
	})
	worked = end() // with the commit, which is a large part of it
	if err != nil {
		return 0, err
	}
	failpoint.Point("index.committed")
	x.tail.published.Store(x.tail.next())
	x.advance(moved)
	return worked, nil
}

// advance notes what was committed.
func (x *Index) advance(moved map[*room]uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r, cursor := range moved {
		r.cursor = cursor
		x.byID[r.id] = r
	}
}

// rest leaves the processor to the server after some work, until somebody else wants to change
// the database.
func (x *Index) rest(ctx context.Context, worked time.Duration) error {
	if x.options.Eager {
		return ctx.Err()
	}
	for unnoted, rested := worked, time.Duration(0); ; unnoted = 0 {
		length := time.Duration(float64(worked) * (1/x.share(unnoted) - 1))
		if x.options.rest != nil {
			length = x.options.rest()
		}
		length -= rested
		if length <= 0 {
			return nil
		}
		length = min(length, sampled) // it may be longer or shorter by then
		select {
		case <-time.After(length):
			rested += length
		case <-x.nudge:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// share notes work of the index, and returns what share of a processor it may take.
func (x *Index) share(worked time.Duration) float64 {
	most := maxShare
	x.mu.Lock()
	if len(x.pending) > 0 { // something has come meanwhile
		most = busyShare
	}
	grown, lag := x.grown, x.lagLocked()
	x.mu.Unlock()
	return min(x.load.left(worked, grown, lag), most)
}

// feed is what is to be read of a room.
type feed struct {
	room    *room
	read    uint64 // the seq up to which entries were taken
	head    uint64
	entries []store.Entry
}

// fill reads the next entries, if there are any.
func (f *feed) fill(ctx context.Context, s store.Store, page store.Page) error {
	for f.read < f.head && len(f.entries) == 0 {
		end := min(f.read+uint64(page.Limit), f.head)
		page.After, page.Before = f.read, end+1
		var err error
		f.entries, err = s.Read(ctx, f.room.name, page)
		if damaged, ok := errors.AsType[*store.DamagedError](err); ok {
			f.read = max(damaged.Seq, f.read+1) // it cannot be found, as it cannot be read
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.room.name, err)
		}
		if len(f.entries) == 0 { // they are reactions, or not kept any more
			f.read = end
		}
	}
	return nil
}

// renew reads again what was read ahead if some of it was erased since.
func (f *feeds) renew(ctx context.Context, x *Index, page store.Page) error {
	if !x.erased {
		return nil
	}
	x.erased = false
	for _, one := range *f {
		one.entries = nil
		if err := one.fill(ctx, x.store, page); err != nil {
			x.erased = true
			return err
		}
	}
	heap.Init(f)
	return nil
}

// feeds are ordered by the time of their next entry. Those without one are first.
type feeds []*feed

func (f feeds) Len() int      { return len(f) }
func (f feeds) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f feeds) Less(i, j int) bool {
	if len(f[i].entries) == 0 || len(f[j].entries) == 0 {
		return len(f[i].entries) < len(f[j].entries)
	}
	a, b := &f[i].entries[0], &f[j].entries[0]
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(f[i].room.name.Key(), f[j].room.name.Key())) < 0
}
func (f *feeds) Push(one any) { *f = append(*f, one.(*feed)) }
func (f *feeds) Pop() any {
	last := len(*f) - 1
	p := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return p
}

// next takes the oldest of all next entries.
func (w *writer) next(ctx context.Context, waiting *feeds, page store.Page, moved map[*room]uint64) error {
	f := (*waiting)[0]
	if len(f.entries) == 0 {
		moved[f.room] = f.read
		heap.Pop(waiting)
		return nil
	}
	e := &f.entries[0]
	if err := w.apply(ctx, f.room, e); err != nil {
		return fmt.Errorf("index message %d of %s: %w", e.Seq, f.room.name, err)
	}
	f.read = e.Seq
	moved[f.room] = e.Seq
	f.entries[0] = store.Entry{}
	f.entries = f.entries[1:]
	if err := f.fill(ctx, w.x.store, page); err != nil {
		return err
	}
	heap.Fix(waiting, 0)
	return nil
}

// apply makes of the index what an entry says. It may be told again what it knows.
func (w *writer) apply(ctx context.Context, r *room, e *store.Entry) error {
	if r.id == 0 {
		if err := w.register(r); err != nil {
			return err
		}
	}
	switch e.Kind {
	case kaban.KindMessage:
		if e.IsDeleted() {
			return nil
		}
		return w.add(r, e)
	case kaban.KindEdit:
		if e.Content == "" { // a later one has the text, or a deletion follows
			return nil
		}
		return w.refresh(ctx, r, e.Target)
	case kaban.KindDelete:
		return w.remove(r, e.Target)
	case kaban.KindPin:
		on, _ := kaban.ParseSwitch(e.Content)
		return w.pin(r, e.Target, on)
	}
	return nil
}
