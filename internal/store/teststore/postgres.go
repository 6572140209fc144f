//go:build unix

package teststore

import (
	"flag"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
)

var overPostgres = flag.Bool("postgres", false, "keep what is said in a PostgreSQL that the tests start")

// IsDatabase reports whether the stores are databases, which take their time.
func IsDatabase() bool { return *overPostgres }

func newDatabase(t testing.TB) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgrestest.Database(t), postgres.Options{Careless: true})
	if err != nil {
		t.Fatalf("open a database: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Stop ends what New has started. It is for the end of TestMain.
func Stop() { postgrestest.Stop() }
