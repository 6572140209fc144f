package chat

import (
	"cmp"
	"context"
	"errors"
	"time"

	"kaban/internal/people"
	"kaban/internal/store"
)

// This file lets go of files: those of messages that are gone, at once; those that no message has
// claimed, after a day; and then the bytes that no file has any more.

const (
	// sweepEvery is how often the server looks for files to let go of.
	sweepEvery = time.Minute
	// sweepSoon is how long after a message with files has gone it looks, once for all that go until then: the
	// store has noted by then that it is gone.
	sweepSoon = 10 * time.Second
	// keepLoose is for how long a file waits for a message, in milliseconds.
	keepLoose = day
	// sweepStep is how many files or blobs are let go of in one transaction, and releaseStep of how many
	// messages: each may have ten files, each of which takes a millisecond or so. Sends wait for the transaction, and
	// have the store for themselves before the next one, see rest.
	sweepStep, releaseStep = 32, 8
	// maxRest is how long that is at most.
	maxRest = time.Second
	// clockOfFiles is the name of the clock that loose files grow old by.
	clockOfFiles = "files"
)

// Blobs are the bytes of files, and of those that are on their way. All methods may be called at
// once.
type Blobs interface {
	// Delete removes the bytes with a hash durably, if unused returns true while nobody is adding
	// them: whoever adds bytes keeps others from removing them until AddFile has returned. Bytes
	// that are not there are no error.
	Delete(ctx context.Context, hash string, unused func(context.Context) (bool, error)) error
	// DeleteUploads removes the uploads of an account durably, with their names. The error is
	// ErrUploading if all that is left is growing or being finished.
	DeleteUploads(account string) error
}

// SweepFiles lets go of files until the context ends: each minute, and ten seconds after messages with
// files were deleted or cut. Errors go to a function; then it goes on. Without Options.Blobs it does nothing.
func (c *Chat) SweepFiles(ctx context.Context, report func(error)) {
	if c.blobs == nil {
		return
	}
	last, passed := c.elapsed(), int64(0)
	for ctx.Err() == nil {
		if err := c.sweepFiles(ctx, c.blobs, passed); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-time.After(sweepEvery):
		case <-c.releases:
			select {
			case <-time.After(sweepSoon):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		now := c.elapsed()
		passed, last = (now - last).Milliseconds(), now
	}
}

// releasing has SweepFiles look soon. It does not block.
func (c *Chat) releasing() {
	select {
	case c.releases <- struct{}{}:
	default: // it will anyway
	}
}

// sweepFiles lets go of what there is now. passed are the milliseconds since the last call, 0 for
// the first one.
func (c *Chat) sweepFiles(ctx context.Context, blobs Blobs, passed int64) error {
	clock, err := c.believe(ctx, clockOfFiles, passed)
	if err != nil {
		return err
	}
	// What fails in one of them keeps nothing back in the others.
	failed := c.sweepReleased(ctx)
	failed = cmp.Or(failed, c.sweepLoose(ctx, clock.Time-keepLoose))
	return cmp.Or(failed, c.sweepBlobs(ctx, blobs))
}

// sweepReleased removes the files of messages that are gone. Those that cannot be removed are left
// for the next time, and the first error is returned.
func (c *Chat) sweepReleased(ctx context.Context) (failed error) {
	from, to := store.ReleasedKeys()
	err := c.inSteps(ctx, func() (more bool, err error) {
		var found []store.Document
		err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			found, err = tx.Scan(from, to, releaseStep)
			return err
		})
		if err != nil || len(found) == 0 {
			return false, err
		}
		start := time.Now()
		failed = cmp.Or(failed, c.updateEach(ctx, len(found), func(tx store.Tx, i int) error { return removeReleased(tx, found[i].Key) }))
		if len(found) < releaseStep {
			return false, nil
		}
		rest(ctx, start)
		from = found[len(found)-1].Key + "\x00"
		return true, nil
	})
	return cmp.Or(failed, err)
}

// inSteps calls a function until it returns false or an error. Each call holds c.sweeping, and rests before it lets go: an
// erasure does the same work as the sweeper, and both at once would leave sends no rest. They take turns, so an
// erasure waits for a step, and not for a sweep, which may take hours.
func (c *Chat) inSteps(ctx context.Context, step func() (more bool, err error)) error {
	for more := true; more; {
		select {
		case c.sweeping <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		more, err = step()
		<-c.sweeping
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rest waits for retainRest times as long as something took that keeps others waiting, maxRest at most, so that they
// do not wait all the time while there is much to delete.
func rest(ctx context.Context, start time.Time) {
	select {
	case <-time.After(min(retainRest*time.Since(start), maxRest)):
	case <-ctx.Done():
	}
}

// updateEach makes n changes of documents in one transaction. If that fails, each is made in its
// own, and the first error is returned.
func (c *Chat) updateEach(ctx context.Context, n int, change func(store.Tx, int) error) (failed error) {
	if n == 0 {
		return nil
	}
	err := c.dispatcher.Update(ctx, func(tx store.Tx) error {
		for i := range n {
			if err := change(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		failed = cmp.Or(failed, c.dispatcher.Update(ctx, func(tx store.Tx) error { return change(tx, i) }))
	}
	return failed
}

func removeReleased(tx store.Tx, key string) error {
	room, seq, err := store.ParseReleased(key)
	if err != nil {
		return err
	}
	files, err := people.Files.OfMessage(tx, room, seq)
	if err != nil {
		return err
	}
	for i := range files {
		if err := people.Files.Remove(tx, files[i].ID); err != nil {
			return err
		}
	}
	return tx.Delete(key)
}

// sweepLoose removes the files that are loose since before a time. Those that cannot be removed are
// left for the next time, and the first error is returned.
func (c *Chat) sweepLoose(ctx context.Context, before int64) error {
	return c.inSteps(ctx, func() (more bool, err error) {
		var found []people.File
		err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			found, more, err = people.Files.Loose(tx, before, sweepStep)
			return err
		})
		if err != nil {
			return false, err
		}
		return more, c.removeAllLoose(ctx, found, more)
	})
}

// removeAllLoose removes some files, and rests if there are more.
func (c *Chat) removeAllLoose(ctx context.Context, found []people.File, more bool) error {
	start := time.Now()
	err := c.updateEach(ctx, len(found), func(tx store.Tx, i int) error { return removeLoose(tx, found[i].ID) })
	if err == nil && more {
		rest(ctx, start)
	}
	return err
}

// removeLoose removes a file, unless a message has claimed it meanwhile.
func removeLoose(tx store.Tx, id string) error {
	f, err := people.Files.Get(tx, id)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !f.IsLoose():
		return nil
	}
	return people.Files.Remove(tx, f.ID)
}

// sweepBlobs removes the bytes that no file has. Those that cannot be removed are left for the next
// time, and the first error is returned.
func (c *Chat) sweepBlobs(ctx context.Context, blobs Blobs) (failed error) {
	after := ""
	err := c.inSteps(ctx, func() (more bool, err error) {
		var found []people.Blob
		err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			found, more, err = people.Blobs.Unused(tx, after, sweepStep)
			return err
		})
		if err != nil {
			return false, err
		}
		var gone []string
		for i := range found {
			after = found[i].Hash
			is, err := c.deleteBlob(ctx, blobs, after)
			if failed = cmp.Or(failed, err); is {
				gone = append(gone, after)
			}
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
		}
		start := time.Now() // to remove bytes takes seconds at some services, and holds up nobody
		if failed = cmp.Or(failed, c.forgetBlobs(ctx, gone)); more {
			rest(ctx, start)
		}
		return more, nil
	})
	return cmp.Or(failed, err)
}

// SweepBlob removes the bytes with a hash if no file has them, also if no file ever had. A server
// that was killed while it kept a file leaves such bytes.
func (c *Chat) SweepBlob(ctx context.Context, hash string) error {
	if c.blobs == nil {
		return nil
	}
	used := false // most are, and then nobody has to wait
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		b, err := people.Blobs.Get(tx, hash)
		used = b.References > 0
		if errors.Is(err, people.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil || used {
		return err
	}
	return c.sweepBlob(ctx, c.blobs, hash)
}

// SweepBlob is that of Chat, beside AddFile.
func (u User) SweepBlob(ctx context.Context, hash string) error { return u.chat.SweepBlob(ctx, hash) }

// eraseFiles lets go of all that an account has uploaded and no message has, and of the files of
// messages that are gone. An upload that is in use keeps none of that back; then the error is ErrUploading.
func (c *Chat) eraseFiles(ctx context.Context, account string) error {
	if c.blobs == nil {
		return nil
	}
	busy := c.blobs.DeleteUploads(account)
	if busy != nil && !errors.Is(busy, ErrUploading) {
		return busy
	}
	if err := c.sweepReleased(ctx); err != nil {
		return err
	}
	after := ""
	err := c.inSteps(ctx, func() (more bool, err error) {
		var found []people.File
		err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			found, more, err = people.Files.Of(tx, account, after, sweepStep)
			return err
		})
		if err != nil {
			return false, err
		}
		if len(found) > 0 {
			after = found[len(found)-1].ID
		}
		return more, c.removeAllLoose(ctx, found, more)
	})
	if err != nil {
		return err
	}
	return cmp.Or(c.sweepBlobs(ctx, c.blobs), busy)
}

// sweepBlob removes bytes, and then the document about them.
func (c *Chat) sweepBlob(ctx context.Context, blobs Blobs, hash string) error {
	gone, err := c.deleteBlob(ctx, blobs, hash)
	if err != nil || !gone {
		return err
	}
	return c.forgetBlobs(ctx, []string{hash})
}

// deleteBlob removes bytes, and reports whether it has: they stay if a file has them.
func (c *Chat) deleteBlob(ctx context.Context, blobs Blobs, hash string) (gone bool, err error) {
	err = blobs.Delete(ctx, hash, func(ctx context.Context) (bool, error) {
		err := c.dispatcher.View(ctx, func(tx store.Tx) error {
			b, err := people.Blobs.Get(tx, hash)
			gone = errors.Is(err, people.ErrNotFound) || err == nil && b.References == 0
			if errors.Is(err, people.ErrNotFound) {
				err = nil
			}
			return err
		})
		return gone, err
	})
	return gone && err == nil, err
}

// forgetBlobs removes the documents about bytes that were removed. Since then there may be a new file with the same
// bytes, which has added them again.
func (c *Chat) forgetBlobs(ctx context.Context, hashes []string) error {
	return c.updateEach(ctx, len(hashes), func(tx store.Tx, i int) error {
		if err := people.Blobs.Forget(tx, hashes[i]); !errors.Is(err, people.ErrExists) {
			return err
		}
		return nil
	})
}
