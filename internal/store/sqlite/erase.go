package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// A text that was deleted or replaced is still in the journal, in unmerged, in the WAL and in
// files of the journal that wait for their next use. The eraser, a goroutine, removes it from
// there: soon after, once for all that came in the meantime. What it has not done when the
// store is closed it does after the next start.

const (
	// erasePause is how long the eraser waits for more to erase at once.
	erasePause = 2 * time.Second
	// eraseRetry is how long it waits, at first and at most, after it could not go on.
	eraseRetry, maxEraseRetry = time.Second, 10 * time.Second
	// erasePatience is how long it waits for readers of the WAL, in milliseconds, with the
	// writer held.
	erasePatience = 100
)

// erasingRow is the row of the table of that name.
type erasingRow struct {
	due, done int64
	swept     bool
}

const (
	erasingQuery  = "SELECT due, done, swept, sum FROM erasing"
	updateErasing = "UPDATE erasing SET due = ?, done = ?, swept = ?, sum = ?"
)

// columns returns the values of the row, in the order of its columns from due on.
func (e *erasingRow) columns(sum *summer) []any {
	return []any{e.due, e.done, e.swept, sum.erasing(e)}
}

// scanErasing reads the row. If it is not as it was written, everything is due.
func scanErasing(row *sql.Row, sum *summer) (e erasingRow, err error) {
	var value int64
	err = row.Scan(&e.due, &e.done, &e.swept, &value)
	if err == nil && sum.erasing(&e) != value {
		err = errSum
	}
	if err != nil && codeOf(err) == 0 {
		err = damaged("the row of what is erased", err)
	}
	return e, err
}

// beginErasing adds the row to a database, whose file may have anything in it.
func beginErasing(ctx context.Context, c *conn, swept bool) error {
	e := erasingRow{swept: swept}
	return c.exec(ctx, "INSERT INTO erasing (id, due, done, swept, sum) VALUES (1, ?, ?, ?, ?)", e.columns(new(summer))...)
}

// unsweep notes that the file may have anything in it again.
func unsweep(ctx context.Context, c *conn) error {
	e, err := scanErasing(c.QueryRowContext(ctx, erasingQuery), new(summer))
	if err != nil {
		return err
	}
	e.swept = false
	return c.exec(ctx, updateErasing, e.columns(new(summer))...)
}

// eraser is what the goroutine and those that wait for it share.
type eraser struct {
	wake  chan struct{} // has room for one
	hurry chan struct{} // has room for one
	stop  chan struct{} // closed to end it
	group sync.WaitGroup

	due atomic.Int64 // the newest published batch that has taken a text away

	// Of the goroutine alone.
	opened  bool  // the ledger has what was deleted before
	cleaned int64 // what the batches up to this one have taken away is in no file

	mu      sync.Mutex // guards all below
	done    int64
	swept   bool
	asked   uint64        // how often somebody has asked for a pass
	passed  uint64        // the passes up to this one are done
	changed chan struct{} // closed when done, swept or passed changes
}

func (d *database) startEraser() {
	e := &d.eraser
	e.stop = make(chan struct{})
	e.group.Go(d.eraseLoop)
}

// stopEraser ends the eraser and waits for it.
func (d *database) stopEraser() {
	if e := &d.eraser; e.stop != nil {
		close(e.stop)
		e.group.Wait()
		e.stop = nil
	}
}

func (e *eraser) isStopped() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// nudge sends to a channel that has room for one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// noteErasing wakes the eraser if what was published has taken texts away. The caller holds
// appending.
func (d *database) noteErasing() {
	if taken := d.unmerged.taken; taken > d.eraser.due.Load() {
		d.eraser.due.Store(taken)
		nudge(d.eraser.wake)
	}
}

// ask asks for a pass and returns its number.
func (e *eraser) ask() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	return e.asked
}

func (e *eraser) isDone(due int64, pass uint64) (done bool, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done >= due && e.swept && e.passed >= pass, e.changed
}

// setPassed notes that the passes up to one are done.
func (e *eraser) setPassed(pass uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if pass > e.passed {
		e.passed = pass
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

func (e *eraser) setDone(done int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if done > e.done || !e.swept {
		e.done, e.swept = max(done, e.done), true
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// Erase implements store.Eraser. It takes a pass even if no entry is due: a document that was
// changed leaves what it was before in the WAL.
func (s *Store) Erase(ctx context.Context) error {
	due, pass := s.eraser.due.Load(), s.eraser.ask()
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		done, changed := s.eraser.isDone(due, pass)
		if done {
			return nil
		}
		nudge(s.eraser.hurry)
		nudge(s.eraser.wake)
		select {
		case <-changed:
		case <-s.closing:
		case <-s.dead:
		case <-ctx.Done():
		}
	}
}

// Erased implements store.Eraser.
func (s *Store) Erased() (done, due uint64) {
	s.eraser.mu.Lock()
	defer s.eraser.mu.Unlock()
	return uint64(s.eraser.done), uint64(s.eraser.due.Load())
}

func (d *database) eraseLoop() {
	e := &d.eraser
	failed, pause := false, eraseRetry
	if d.ledger != nil {
		nudge(e.wake)
	}
	for {
		if !failed {
			select {
			case <-e.wake:
			case <-e.stop:
				return
			}
		}
		wait := erasePause
		if failed {
			wait = pause
		}
		select {
		case <-time.After(wait):
		case <-e.hurry:
			if failed { // whoever waits has waited for that
				select {
				case <-time.After(eraseRetry):
				case <-e.stop:
					return
				}
			}
		case <-e.stop:
			return
		}
		err := d.erase(context.Background())
		switch {
		case errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrClosed), errors.Is(err, errStopped):
			return
		case err != nil && !failed:
			d.log.Warn("texts that were deleted or edited are not erased yet: they are still in files of the data directory, or the ledger does not name them; that is done as soon as it is possible", "path", d.path, "error", err)
		case err == nil && failed:
			d.log.Info("texts that were deleted or edited are erased from all files, and the ledger names them", "path", d.path)
		}
		if failed = err != nil; failed {
			pause = min(2*pause, maxEraseRetry)
		} else {
			pause = eraseRetry
		}
	}
}

// Reasons why the eraser must wait.
var (
	errHeld = errors.New("a backup or an export is reading the journal")
	errRead = errors.New("another program is reading the database")
)

// erase erases everything that was taken away before.
func (d *database) erase(ctx context.Context) error {
	if broken := d.broken.Load(); broken != nil {
		return *broken
	}
	clean, due, pass := d.isClean()
	if clean {
		if err := d.record(ctx); err != nil {
			return err
		}
		return d.noteErased(due)
	}
	if d.begun.Load() {
		if err := d.failedJournal("make a segment of the journal", d.journal.PrepareTurn()); err != nil {
			return err
		}
	}
	d.appending.Lock()
	newest := d.unmerged.batch
	due = min(d.unmerged.taken, newest) // that of an append that failed may be greater
	var from journal.Salt
	begun := d.begun.Load()
	var err error
	if begun {
		from, err = d.journal.Turn()
	}
	d.appending.Unlock()
	if err != nil {
		return d.failedJournal("begin a segment of the journal", err)
	}
	if err := d.mergeUntil(newest); err != nil {
		return err
	}
	// The files do not wait for a ledger that cannot be written, perhaps on another disk.
	unnamed := d.record(ctx)
	if errors.Is(unnamed, store.ErrBroken) {
		return unnamed
	}
	if err := d.sweepOnce(ctx); err != nil {
		return err
	}
	if err := d.emptyWAL(ctx); err != nil {
		return err
	}
	if begun {
		d.writing.Lock()
		mark := d.progress.Mark
		d.writing.Unlock()
		done, err := d.journal.Erase(mark, from)
		if err != nil {
			return d.failedJournal("overwrite files of the journal", err)
		}
		if !done {
			return errHeld
		}
	}
	d.letGo()
	d.eraser.setPassed(pass)
	if d.eraser.cleaned = due; unnamed != nil {
		return unnamed
	}
	return d.noteErased(due)
}

// isClean reports whether nothing of what was taken away is in any file, up to which batch
// that is, and which pass somebody has asked for at last. Then only the ledger may lack something.
func (d *database) isClean() (clean bool, due int64, asked uint64) {
	e := &d.eraser
	e.mu.Lock()
	done, swept, passed := max(e.done, e.cleaned), e.swept, e.passed >= e.asked
	asked = e.asked
	e.mu.Unlock()
	return swept && passed && e.due.Load() <= done, done, asked
}

// mergeUntil merges all batches up to one, and notes that and the current segment.
func (d *database) mergeUntil(last int64) error {
	for {
		if d.eraser.isStopped() {
			return errStopped
		}
		if d.isMerged(last) {
			break
		}
		if err := d.mergeSome(d.mergeStep); err != nil {
			return err
		}
	}
	return d.transaction("note what is merged", func(b *batch) error { return b.merge() })
}

// isMerged reports whether all entries of batches up to one are merged.
func (d *database) isMerged(last int64) bool {
	d.appending.Lock()
	defer d.appending.Unlock()
	for r := range d.unmerged.rooms {
		if r.tail[0].batch <= last {
			return false
		}
	}
	return true
}

// mergePresent merges what there is now. What is appended meanwhile does not keep it.
func (d *database) mergePresent() error {
	d.appending.Lock()
	last := d.unmerged.batch
	d.appending.Unlock()
	for !d.isMerged(last) {
		if err := d.mergeSome(mostUnmerged * d.mergeStep); err != nil {
			return err
		}
	}
	return nil
}

// transaction runs work in a transaction of the writer that appends nothing.
func (d *database) transaction(operation string, work func(*batch) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if broken := d.broken.Load(); broken != nil {
		return *broken
	}
	if d.closed {
		return store.ErrClosed
	}
	d.appending.Lock()
	b := d.newBatch(context.Background())
	defer b.end()
	b.pick(0, 0, 0)
	d.appending.Unlock()
	err := b.stmts.begin.exec(b.ctx)
	if err == nil {
		err = work(b)
	}
	if err == nil {
		err = b.stmts.commit.exec(b.ctx)
	}
	if err != nil {
		return b.abort(operation, err)
	}
	d.appending.Lock()
	b.publish()
	d.appending.Unlock()
	return nil
}

// sweepOnce sweeps the file if that was not done.
func (d *database) sweepOnce(ctx context.Context) error {
	d.writing.Lock()
	swept := d.erasing.swept
	d.writing.Unlock()
	if swept {
		return nil
	}
	if err := d.sweep(ctx); err != nil {
		if errors.Is(err, errStopped) {
			return err
		}
		return d.failed("sweep the database", err)
	}
	return d.transaction("note that the database is swept", func(b *batch) error {
		b.erasing.swept = true
		return b.saveErasing()
	})
}

// emptyWAL moves the WAL into the database and truncates it. Readers that are still in it
// are an errRead.
func (d *database) emptyWAL(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return store.ErrClosed
	}
	if _, err := d.checkpoint(ctx, "PASSIVE"); err != nil {
		return err
	}
	if err := d.writer.exec(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", erasePatience)); err != nil {
		return d.failed("set the time-out", err)
	}
	done, err := d.checkpoint(ctx, "TRUNCATE")
	if failed := d.writer.exec(ctx, "PRAGMA busy_timeout = "+busyMillis); failed != nil {
		return d.failed("set the time-out", failed)
	}
	if err == nil && !done {
		err = errRead
	}
	return err
}

// noteErased notes that what the batches up to one have taken away is erased.
func (d *database) noteErased(due int64) error {
	err := d.transaction("note what is erased", func(b *batch) error {
		if due <= b.erasing.done {
			return nil
		}
		b.erasing.done = max(b.erasing.done, due)
		b.erasing.due = max(b.erasing.due, due)
		return b.saveErasing()
	})
	if err == nil {
		d.eraser.setDone(due)
	}
	return err
}

// saveErasing writes the row as this transaction changes it.
func (b *batch) saveErasing() error {
	_, err := b.stmts.setErasing.ExecContext(b.ctx, b.erasing.columns(&b.sum)...)
	return err
}

// dueFrom notes what entries that are being merged have taken away.
func (b *batch) dueFrom(rooms []merging) error {
	due := b.erasing.due
	for _, r := range rooms {
		for i := range r.entries {
			if r.entries[i].Kind.TakesText() {
				due = max(due, r.entries[i].batch)
			}
		}
	}
	if due == b.erasing.due {
		return nil
	}
	b.erasing.due = due
	return b.saveErasing()
}

// letGo drops merged entries, which the lists of unmerged ones still have behind them.
func (d *database) letGo() {
	d.appending.Lock()
	defer d.appending.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for r := range d.unmerged.rooms {
		n := len(r.unmerged)
		r.tail = slices.Clone(r.tail)
		r.unmerged = r.tail[:n:n]
	}
	clear(d.fast.payload[:cap(d.fast.payload)])
}
