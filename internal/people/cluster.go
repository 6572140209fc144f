package people

import (
	"context"
	"fmt"

	"kaban/internal/store"
)

// cluster begins the keys of documents that the nodes on one database have in common.
const cluster = "cluster"

// Common returns a secret that all nodes on one database have in common, by its name. The node that is
// first makes it, with a function that may run more than once.
func Common(ctx context.Context, documents store.Documents, name string, first func() ([]byte, error)) (value []byte, err error) {
	key := store.Key(cluster, name)
	err = documents.View(ctx, func(tx store.Tx) (err error) {
		value, err = tx.Get(key)
		return err
	})
	if err == nil && value == nil {
		err = documents.Update(ctx, func(tx store.Tx) (err error) {
			if value, err = tx.Get(key); err != nil || value != nil {
				return err
			}
			if value, err = first(); err != nil {
				return err
			}
			return tx.Put(key, value)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("what nodes have in common, %s: %w", name, err)
	}
	return value, nil
}
