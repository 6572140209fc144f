package keep

import (
	"cmp"
	"context"
	"errors"
	"time"

	"kaban/internal/chat"
	"kaban/internal/files"
	"kaban/internal/files/upload"
)

const (
	// expireEvery is how often uploads that nobody goes on with are removed.
	expireEvery = 5 * time.Minute
	// tidyEvery is how often bytes are looked for that no file ever had. Only a crash leaves them.
	tidyEvery = 24 * time.Hour
	// keptWithin is how long bytes without a file are left to other processes, which may be about to make one.
	// It takes seconds; the rest is for clocks that differ.
	keptWithin = time.Hour
	// sweepStep is how many blobs are looked at between two pauses, and sweepPause how long one is: a
	// server with 100,000 files that starts has a minute or two of that beside its first
	// conversations, and not ten seconds of nothing else.
	sweepStep  = 16
	sweepPause = 10 * time.Millisecond
)

// Delete is that of chat.Blobs.
func (k *Keeper) Delete(ctx context.Context, hash string, unused func(context.Context) (bool, error)) error {
	return files.Remover{Store: k.store, Locks: &k.locks}.Delete(ctx, hash, unused)
}

// DeleteUploads is that of chat.Blobs.
func (k *Keeper) DeleteUploads(account string) error {
	var failed, busy error
	for _, info := range k.staging.All() {
		if info.Owner != account {
			continue
		}
		switch err := k.staging.Remove(info.ID); {
		case err == nil, errors.Is(err, upload.ErrNotFound):
		case errors.Is(err, upload.ErrBusy):
			busy = chat.ErrUploading
		default:
			failed = errors.Join(failed, err)
		}
	}
	return cmp.Or(failed, busy)
}

// Tend removes uploads that have expired, and what crashes have left of blobs, until the context
// ends. sweep removes the bytes with a hash if no file has them; chat.Chat.SweepBlob does.
func (k *Keeper) Tend(ctx context.Context, sweep func(ctx context.Context, hash string) error) {
	expire, tidy := time.NewTicker(expireEvery), time.NewTimer(0)
	defer expire.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-expire.C:
			if _, err := k.staging.Expire(); err != nil {
				k.log.Warn("uploads that have expired could not be removed; they are tried again", "error", err)
			}
		case <-tidy.C:
			if err := k.Sweep(ctx, sweep); err != nil && ctx.Err() == nil {
				k.log.Warn("bytes without a file could not be removed; they are tried again", "error", err)
			}
			tidy.Reset(tidyEvery)
		}
	}
}

// Sweep removes all that interrupted calls of Keep have left among the blobs, with many pauses, but of a store
// that is shared nothing that is younger than an hour. What
// fails keeps nothing else back; the first error is returned.
func (k *Keeper) Sweep(ctx context.Context, sweep func(ctx context.Context, hash string) error) (failed error) {
	if _, err := k.store.Tidy(ctx); err != nil {
		return err
	}
	seen := 0
	for _, kind := range files.Kinds {
		for info, err := range k.store.All(ctx, kind) {
			if err == nil && !k.mayBeKept(info) {
				err = sweep(ctx, info.Key.Hash.String())
			}
			if seen++; seen%sweepStep == 0 {
				pause(ctx, sweepPause)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil && failed == nil {
				failed = err
			}
		}
	}
	return failed
}

// mayBeKept reports whether another process may be about to register a file with some bytes.
func (k *Keeper) mayBeKept(info files.Info) bool {
	return k.shared && time.Since(info.Time) < keptWithin
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
