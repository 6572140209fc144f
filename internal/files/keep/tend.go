package keep

import (
	"context"
	"errors"
	"time"

	"kaban/internal/files"
	"kaban/internal/files/upload"
)

const (
	// expireEvery is how often uploads that nobody goes on with are removed.
	expireEvery = 5 * time.Minute
	// tidyEvery is how often bytes are looked for that no file ever had. Only a crash leaves them.
	tidyEvery = 24 * time.Hour
)

// Delete is that of chat.Blobs.
func (k *Keeper) Delete(ctx context.Context, hash string, unused func(context.Context) (bool, error)) error {
	return files.Remover{Store: k.store, Locks: &k.locks}.Delete(ctx, hash, unused)
}

// DeleteUploads is that of chat.Blobs.
func (k *Keeper) DeleteUploads(account string) (failed error) {
	for _, info := range k.staging.All() {
		if info.Owner != account {
			continue
		}
		if err := k.staging.Remove(info.ID); err != nil && !errors.Is(err, upload.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
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

// Sweep removes all that interrupted calls of Keep have left among the blobs. What fails keeps
// nothing else back; the first error is returned.
func (k *Keeper) Sweep(ctx context.Context, sweep func(ctx context.Context, hash string) error) (failed error) {
	if _, err := k.store.Tidy(ctx); err != nil {
		return err
	}
	for _, kind := range files.Kinds {
		for info, err := range k.store.All(ctx, kind) {
			if err == nil {
				err = sweep(ctx, info.Key.Hash.String())
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
