package sqlite

import (
	"context"
	"errors"

	"kaban/internal/store"
)

const (
	// checkpointPages is how much of the WAL may be in the WAL only, in pages of
	// 4 KiB. SQLite's own default.
	checkpointPages = 1000
	// truncateFactor is how many times that the WAL may grow to before a checkpoint
	// waits for the readers and truncates it.
	truncateFactor = 16
	// lookAtWAL is the number of small appends after which its size is checked. One
	// takes a few pages.
	lookAtWAL = 16
)

// tendWAL moves pages from the WAL into the database when there are many. The
// batch is stored either way: an error that breaks the store concerns the next
// call, and after a full disk it is tried again later.
func (d *database) tendWAL(ctx context.Context) {
	var busy, pages, moved int
	if err := d.stmts.walState.QueryRowContext(ctx).Scan(&busy, &pages, &moved); err != nil {
		d.postpone(d.failed("look at the WAL", err))
		return
	}
	if pages >= d.truncateAt {
		// Readers overlap so closely that the WAL never restarts.
		done, err := d.checkpoint(ctx, "TRUNCATE")
		switch {
		case err != nil:
			d.postpone(err)
		case done:
			d.truncateAt = d.walPages * truncateFactor
		default:
			d.log.Warn("another program never stops reading the database, so its WAL grows", "path", d.path, "pages", pages)
			d.truncateAt = pages * 2
		}
		return
	}
	if pages-moved < d.checkpointAt {
		return
	}
	if _, err := d.checkpoint(ctx, "PASSIVE"); err != nil {
		d.postpone(err)
		return
	}
	d.checkpointAt = d.walPages
}

// postpone notes that a checkpoint failed. The next one comes after as much again
// has been written.
func (d *database) postpone(err error) {
	d.checkpointAt += d.walPages
	d.truncateAt += d.walPages
	if !errors.Is(err, store.ErrBroken) {
		d.log.Warn("the WAL could not be moved into the database; it keeps everything until then", "path", d.path, "error", err)
	}
}

// checkpoint reports whether the whole WAL was moved. The error is classified.
func (d *database) checkpoint(ctx context.Context, mode string) (done bool, err error) {
	if err := d.scrub(ctx); err != nil {
		return false, d.failed("overwrite what is left of former rows", err)
	}
	var busy, pages, moved int
	if err := d.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &moved); err != nil {
		return false, d.failed("checkpoint", err)
	}
	return busy == 0 && pages == moved, nil
}
