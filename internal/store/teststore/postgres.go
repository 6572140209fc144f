//go:build unix

package teststore

import (
	"flag"
	"sync"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
)

var overPostgres = flag.Bool("postgres", false, "keep what is said in a PostgreSQL that the tests start")

// IsDatabase reports whether the stores are databases, which take their time.
func IsDatabase() bool { return *overPostgres }

// urls has the URLs of databases that are open, by store.
var urls sync.Map

func newDatabase(t testing.TB) store.Store {
	t.Helper()
	return openDatabase(t, postgrestest.Database(t))
}

func anotherDatabase(t testing.TB, s store.Store) (other store.Store, ok bool) {
	t.Helper()
	url, ok := urls.Load(s)
	if !ok {
		return nil, false
	}
	return openDatabase(t, url.(string)), true
}

func openDatabase(t testing.TB, url string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Careless: true})
	if err != nil {
		t.Fatalf("open a database: %v", err)
	}
	urls.Store(s, url)
	t.Cleanup(func() {
		urls.Delete(s)
		_ = s.Close()
	})
	return s
}

// Stop ends what New has started. It is for the end of TestMain.
func Stop() { postgrestest.Stop() }
