package files

import (
	"context"
	"errors"
)

// Remover removes blobs that nothing refers to. The zero value is not ready.
type Remover struct {
	Store Store
	Locks *Locks // those of whoever adds blobs
}

// Delete removes a content and its thumbnail, if unused returns true while nobody else has the lock of the blob.
// Blobs that are not there are no error. The hash is one that Hash.String returned.
func (r Remover) Delete(ctx context.Context, hash string, unused func(context.Context) (bool, error)) error {
	h, err := ParseHash(hash)
	if err != nil {
		return err
	}
	unlock, err := r.Locks.Lock(ctx, h)
	if err != nil {
		return err
	}
	defer unlock()
	is, err := unused(ctx)
	if err != nil || !is {
		return err
	}
	return errors.Join(r.Store.Remove(ctx, Key{Thumbnail, h}), r.Store.Remove(ctx, Key{Content, h}))
}
