//go:build !unix

package teststore

import (
	"testing"

	"kaban/internal/store"
)

// IsDatabase reports whether the stores are databases, which take their time.
func IsDatabase() bool { return false }

func newDatabase(testing.TB) store.Store { return nil }

func anotherDatabase(testing.TB, store.Store) (store.Store, bool) { return nil, false }

// Stop ends what New has started. It is for the end of TestMain.
func Stop() {}
