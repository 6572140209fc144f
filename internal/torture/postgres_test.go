package torture

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/sqlite"
)

var overPostgres = flag.Bool("postgres", false, "keep the messages in a PostgreSQL that the tests start, in the tests of what every store promises")

// onlyDirectory skips a test that is about the files of a data directory.
func onlyDirectory(t *testing.T) {
	t.Helper()
	if *overPostgres {
		t.Skip("it is about the files of a data directory, or of its faults")
	}
}

// database is a PostgreSQL that a server keeps messages in.
type database struct {
	*postgrestest.Server
	url string
}

// newDatabase starts one with the flag -postgres. Otherwise there is none.
func newDatabase(t *testing.T) *database {
	t.Helper()
	if !*overPostgres {
		return nil
	}
	s := postgrestest.Start(t)
	return &database{s, s.Database(t)}
}

// place returns the flags that say where the server keeps messages.
func (h *host) place() []string {
	if h.database == nil {
		return []string{"--data", h.data}
	}
	return []string{"--data", h.database.url, "--state", h.data}
}

// crash ends the database in every other call, as a failure of the machine of both does, and starts it
// again once the server has died, too.
func (d *database) crash(t *testing.T, random *rand.Rand, die func()) {
	if random.IntN(2) == 0 {
		die()
		return
	}
	d.Crash(t)
	die()
	d.Restart(t)
}

// archive opens what is stored.
func (h *host) archive(ctx context.Context) (store.Archive, error) {
	if h.database == nil {
		return sqlite.OpenArchive(ctx, h.data)
	}
	return postgres.OpenArchive(ctx, h.database.url)
}
