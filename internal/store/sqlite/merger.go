package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// merger moves entries from the journal into the database, in a goroutine of its own.
type merger struct {
	wake  chan struct{} // has room for one
	stop  chan struct{} // closed to end it
	group sync.WaitGroup
}

// mergePause is how long the merger waits after a merge that failed, and while the journal
// is larger than it should be.
const mergePause = time.Second

// largeJournal is from how many bytes on the files of the journal are worth a line in the
// log. Usually they are a tenth of it. While an archive holds them, they only grow.
const largeJournal = 64 << 20

func (d *database) startMerger() {
	d.merger.wake, d.merger.stop = make(chan struct{}, 1), make(chan struct{})
	d.merger.group.Go(func() { d.mergeLoop(d.mergeExcess) })
}

// stopMerger ends the merger and waits for it.
func (d *database) stopMerger() {
	if d.merger.stop != nil {
		close(d.merger.stop)
		d.merger.group.Wait()
		d.merger.stop = nil
	}
}

// wakeMerger wakes the merger if there is enough to merge. The caller holds appending.
func (d *database) wakeMerger() {
	if d.excess(1) || d.scarce.Load() || !d.begun.Load() {
		select {
		case d.merger.wake <- struct{}{}:
		default:
		}
	}
}

// noteAppend takes the outcome of an append. The merger looks for room once there is none.
func (d *database) noteAppend(err error, now time.Time) {
	if d.full.note(err, now) {
		select {
		case d.merger.wake <- struct{}{}:
		default:
		}
	}
}

// excess reports whether there are more unmerged entries than there should be, by their weight, or so many
// times as many.
func (d *database) excess(times int) bool {
	return d.shown.weight.Load() > int64(times*d.maxUnmerged*entryWeight) || d.shown.bytes.Load() > int64(times*unmergedBytes)
}

// mergeLoop calls merge whenever there may be something to do, until the merger is stopped
// or the store is broken.
func (d *database) mergeLoop(merge func() error) {
	failing := false
	for {
		if !failing {
			var later <-chan time.Time
			switch {
			case d.grown.Load():
				later = time.After(mergePause)
			case d.full.state.Load() != nil:
				later = time.After(roomEvery)
			}
			select {
			case <-d.merger.wake:
			case <-later:
			case <-d.merger.stop:
				return
			}
		} else if d.merger.isStopped(mergePause) {
			return
		}
		err := merge()
		if errors.Is(err, store.ErrBroken) {
			return
		}
		if err != nil && !failing {
			d.log.Warn("messages could not be moved from the journal into the database, or the journal has no room; what is there is safe, and it is tried again", "path", d.path, "error", err)
		}
		if failing = err != nil; !failing {
			d.full.look(d.lookForRoom)
		}
	}
}

// isStopped waits, and reports whether the merger is to end.
func (m *merger) isStopped(wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return false
	case <-m.stop:
		return true
	}
}

// mergeExcess merges until there are no more unmerged entries than there should be, and
// sees to it that the journal has room.
func (d *database) mergeExcess() error {
	for d.excess(1) || d.scarce.Load() && d.shown.entries.Load() > 0 {
		select {
		case <-d.merger.stop:
			return nil
		default:
		}
		if err := d.mergeSome(d.mergeStep); err != nil {
			return err
		}
	}
	if !d.begun.Load() {
		return d.begin()
	}
	if d.grown.Load() {
		if err := d.trimLater(); err != nil {
			return err
		}
	}
	err := d.journal.Prepare()
	if err == nil {
		d.scarce.Store(false)
	}
	return d.failedJournal("make a segment of the journal", err)
}

// begin begins the journal, which had no room at the start.
func (d *database) begin() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.appending.Lock()
	defer d.appending.Unlock()
	if d.closed {
		return store.ErrClosed
	}
	return d.beginJournal(context.Background())
}

// relieve merges some entries before an append if the merger does not keep up.
func (s *Store) relieve(ctx context.Context) error {
	for s.excess(mostUnmerged) {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if err := s.mergeSome(s.mergeStep); err != nil {
			return err
		}
	}
	return nil
}

// mergeSome merges at least so many entries in one transaction, if there are that many.
func (d *database) mergeSome(entries int) error {
	const operation = "merge"
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
	bytes := 0
	if d.unmerged.bytes > unmergedBytes {
		bytes = d.unmerged.bytes - unmergedBytes
	}
	b.pick(entries, min(bytes, unmergedBytes/mostUnmerged), d.mergeStep)
	d.appending.Unlock()
	if len(b.merged) == 0 {
		return nil
	}
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return b.abort(operation, err)
	}
	err := b.merge()
	if err == nil {
		failpoint.Point("merge.before-commit")
		err = b.commitMerged()
		failpoint.Point("merge.after-commit")
	}
	if err != nil {
		return b.abort(operation, err)
	}
	b.tend(entries)
	return d.trim()
}

// trim gives segments back that are merged. If that fails, they stay until the next time.
func (d *database) trim() error {
	if broken := d.broken.Load(); broken != nil {
		return *broken
	}
	err := d.failedJournal("give segments of the journal back", d.journal.Trim(d.progress.Mark))
	if err != nil && !errors.Is(err, store.ErrBroken) {
		d.log.Warn("files of the journal stay although they are merged", "path", d.path, "error", err)
		return nil
	}
	if err == nil {
		d.noteSize()
	}
	return err
}

// trimLater is trim for the merger while there is nothing to merge.
func (d *database) trimLater() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return nil
	}
	return d.trim()
}

// noteSize logs that an archive keeps the journal from becoming smaller, and the end of that.
func (d *database) noteSize() {
	size, was := d.journal.Size(), d.grown.Load()
	switch large := size >= d.largeJournal; {
	case large && !was && d.journal.IsHeld():
		d.grown.Store(true)
		d.log.Warn("the journal keeps growing while a backup, an export or a check reads it: its files stay until that ends", "path", d.journalDir, "bytes", size)
	case was && !large:
		d.grown.Store(false)
		d.log.Info("the journal does not grow any more", "path", d.journalDir, "bytes", size)
	}
}

// readJournal returns what is not merged of the journal.
func (d *database) readJournal(p progressRow) ([]journal.Frame, error) {
	return whole(d.path, func(m journal.Mark) (_ []journal.Frame, err error) {
		if d.loaded, err = journal.Load(d.journalDir, m); err != nil {
			return nil, err
		}
		return d.loaded.Frames, nil
	})(p)
}

// startSegments is how many segments there may be after a start. Each start makes one, and
// a server that is killed again and again must not fill the disk with them.
const startSegments = 8

// openJournal opens the journal, which was read, for what is appended.
func (d *database) openJournal(ctx context.Context) (err error) {
	if d.journal, err = d.loaded.Open(); err != nil {
		return err
	}
	d.loaded = nil
	if err := d.beginJournal(ctx); errors.Is(err, store.ErrFull) {
		d.log.Warn("there is no room for the journal; free some on the disk: until then messages are slow, or refused", "path", d.journalDir, "error", err)
	} else if err != nil {
		return err
	}
	if err := d.trim(); err != nil {
		return err
	}
	if d.journal.Size() > startSegments*journal.SegmentSize {
		return d.mergeRest()
	}
	return nil
}

// beginJournal begins a segment and notes it. If there is no room for that, batches go into
// the database until there is.
func (d *database) beginJournal(ctx context.Context) error {
	if err := d.journal.Begin(); err != nil {
		return d.failedJournal("open the journal", err)
	}
	p := d.progress
	p.Closed, p.batch = false, uint64(d.unmerged.batch)
	p.Salt, p.Last = d.journal.Salt()
	if err := setProgress(ctx, d.writer, p); err != nil {
		return d.failed("open the journal", err)
	}
	d.progress = p
	d.begun.Store(true)
	return nil
}

// endJournal merges everything and removes the journal. If that fails, the next start
// reads it.
func (d *database) endJournal(ctx context.Context) error {
	if err := d.mergeRest(); err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	p := d.progress
	p.Closed, p.Merged, p.batch = true, uint64(d.unmerged.batch), uint64(d.unmerged.batch)
	if err := setProgress(ctx, d.writer, p); err != nil {
		return d.failed("close the journal", err)
	}
	d.progress = p
	if err := d.journal.Close(); err != nil {
		return err
	}
	return journal.Remove(d.journalDir)
}

// mergeRest merges everything.
func (d *database) mergeRest() error {
	for d.shown.entries.Load() > 0 {
		if err := d.mergeSome(mostUnmerged * d.mergeStep); err != nil {
			return err
		}
	}
	return nil
}
