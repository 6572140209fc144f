// Package teststore gives tests an empty store: one in memory, or with the flag -postgres a database
// of a PostgreSQL server that they start. So the tests of everything above a store can be run over both.
package teststore

import (
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// New returns an empty store, which is closed at the end of the test, at the latest.
func New(t testing.TB) store.Store {
	t.Helper()
	if IsDatabase() {
		return newDatabase(t)
	}
	return memory.New(0)
}

// Main is the tests of a package, at the end of which what New has started is ended: before somebody looks
// whether goroutines are left.
type Main struct{ *testing.M }

// Run runs the tests.
func (m Main) Run() int {
	defer Stop()
	return m.M.Run()
}

// Another returns another handle on a store of New, as another process has it, which is closed at the end of the
// test, at the latest. ok is false if the store is not one of these.
func Another(t testing.TB, s store.Store) (other store.Store, ok bool) {
	t.Helper()
	if IsDatabase() {
		return anotherDatabase(t, s)
	}
	_, ok = s.(*memory.Store)
	return s, ok
}
