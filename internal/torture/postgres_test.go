package torture

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/sqlite"
)

var overPostgres = flag.Bool("postgres", false, "keep the messages in a PostgreSQL that the tests start, in the tests of what every store promises")

// onlyDirectory skips a test that is about a data directory, and says why.
func onlyDirectory(t *testing.T, why string) {
	t.Helper()
	if *overPostgres {
		t.Skip(why)
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

// places returns failpoints: those of every server, and those of its store.
func (h *host) places(all, directory, database []place) []place {
	if h.database == nil {
		return slices.Concat(all, directory)
	}
	return slices.Concat(all, database)
}

// crash has the server die. A database ends in every other call, as in a failure of the machine of both,
// and starts again once the server has died, too.
func (h *host) crash(random *rand.Rand, die func()) {
	h.t.Helper()
	if h.database == nil || random.IntN(2) == 0 {
		die()
		return
	}
	h.database.Crash(h.t)
	die()
	h.database.Restart(h.t)
}

// forgets has the database answer before what it has done is on the disk. A node asks for that when it
// connects, and not again.
func (d *database) forgets(t *testing.T) {
	t.Helper()
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()"} {
		if err := d.Exec(context.Background(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
}

// The control of the crashes of a database: if it answers before what it has done is on the disk, there must
// be a loss.
func TestLossesOfADatabaseAreFound(t *testing.T) {
	if !*overPostgres {
		t.Skip("there is no database")
	}
	for range 20 {
		h := newHost(t)
		h.start()
		c := everybody(t, h.address)
		h.database.forgets(t)
		h.wait("nothing can be lost", func() bool { return c.history.Acks() >= 500 })
		h.database.Crash(t)
		h.kill()
		h.database.Restart(t)
		c.end()
		stored, err := h.stored()
		if err != nil {
			t.Fatal(err)
		}
		if problems := c.history.Check(stored); len(problems) > 0 {
			t.Logf("found %d faults, the first is: %s", len(problems), problems[0])
			return
		}
	}
	t.Error("nothing was lost by a database that answers before what it has done is on the disk")
}

// openStore opens the store of a server that does not run.
func (h *host) openStore(ctx context.Context) (store.Store, error) {
	if h.database == nil {
		return sqlite.Open(ctx, h.data, sqlite.Options{})
	}
	return postgres.Open(ctx, h.database.url, postgres.Options{})
}

// archive opens what is stored.
func (h *host) archive(ctx context.Context) (store.Archive, error) {
	if h.database == nil {
		return sqlite.OpenArchive(ctx, h.data)
	}
	if h.process == nil || h.ended(0) {
		h.database.awaitEnd(h.t)
	}
	return postgres.OpenArchive(ctx, h.database.url)
}

// awaitEnd waits until nothing is left of what servers have asked the database for that do not run: it
// completes a statement whose server has died.
func (d *database) awaitEnd(t *testing.T) {
	t.Helper()
	c := d.connect(t)
	defer c.Close(context.Background())
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var left []string
		err := c.QueryRow(context.Background(), `SELECT coalesce(array_agg(state || ' ' || query), '{}') FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&left)
		switch {
		case err != nil:
			t.Fatal(err)
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			t.Fatalf("the server has ended, and the database still executes %q", left)
		}
	}
}

func (d *database) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// analyze has the database look at samples of all columns, as it does by itself from time to time.
func (d *database) analyze(t *testing.T) {
	t.Helper()
	if err := d.Exec(context.Background(), postgrestest.Name(d.url), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// find returns the tables with rows that have a text, also in a bytea, and what the planner keeps of samples.
// Rows that were removed or replaced stay in the files of the database until it needs their place, and in its
// WAL. No query finds them.
func (d *database) find(t *testing.T, text string) (found []string) {
	t.Helper()
	ctx := context.Background()
	c := d.connect(t)
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND (n.nspname !~ '^pg_|^information_schema$' OR c.relname = 'pg_statistic')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var n int
		err := c.QueryRow(ctx, "SELECT count(*) FROM "+table+" t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0", text, hex.EncodeToString([]byte(text))).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d rows of %s", n, table))
		}
	}
	return found
}

// What a node keeps beside a database is of no account for messages: with a full disk, and with one whose syncs
// fail, none is refused. The search index, which has most of it, says that it does not work.
func TestFaultsBesideADatabase(t *testing.T) {
	if !*overPostgres {
		t.Skip("there is no database")
	}
	for name, faults := range map[string]string{"a full disk": "later,full=1", "a failed sync": "later,failsync=1"} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.start("KABAN_FAULT_DISK=" + faults)
			c := everybody(t, h.address)
			h.wait("nothing is acknowledged", func() bool { return c.history.Acks() >= 500 })
			h.change()
			h.wait("the disk does not fail", func() bool { return strings.Contains(h.log.String(), "the search index does not work") })
			acked := c.history.Acks()
			h.wait("it acknowledges nothing beside the fault", func() bool { return c.history.Acks() >= acked+500 })
			h.change()
			c.settle("watcher")
			h.stop()
			c.end()
			if strings.Contains(h.log.String(), "the store failed") {
				t.Errorf("messages were refused:\n%s", h.log)
			}
			h.check(c.history, "at the end")
		})
	}
}
