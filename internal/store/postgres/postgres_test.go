//go:build unix

package postgres

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// waiting is how long the stores of tests keep trying: the machine may be busy.
const waiting = time.Minute

func TestMain(m *testing.M) {
	storetest.Checks(30)
	code := m.Run()
	postgrestest.Stop()
	os.Exit(code)
}

// urls are the URLs of stores that tests have opened.
type urls map[store.Store]string

func (u urls) open(t *testing.T) store.Store {
	t.Helper()
	return u.openAt(t, postgrestest.Database(t))
}

func (u urls) openAt(t *testing.T, url string) store.Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Careless: true, Patience: waiting})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	u[s] = url
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	u := make(urls)
	storetest.Run(t, storetest.Driver{
		Open:  u.open,
		Share: func(t *testing.T, s store.Store) store.Store { return u.openAt(t, u[s]) },
	})
}

// open opens a store at a URL.
func open(t testing.TB, url string, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, options)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A server that may lose what it has acknowledged is refused, and so is another way than a protected
// one.
func TestOpenRefuses(t *testing.T) {
	url := postgrestest.Database(t)
	if s, err := Open(t.Context(), url, Options{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a server without fsync: %v, %v; want %v", s, err, ErrUnsafe)
	}
	for _, url := range []string{
		"postgres://kaban@db.example/kaban", "postgres://kaban@db.example/kaban?sslmode=require", "postgres://kaban@db.example/kaban?sslmode=disable",
		"postgres://kaban@127.0.0.1,db.example/kaban?sslmode=disable", "postgres://kaban@192.0.2.1/kaban?sslmode=prefer",
	} {
		if s, err := Open(t.Context(), url, Options{}); !errors.Is(err, ErrUnprotected) {
			t.Errorf("%s: %v, %v; want %v", url, s, err, ErrUnprotected)
		}
	}
	for _, url := range []string{"postgres://kaban@db.example/kaban?sslmode=verify-full", "postgres://kaban@127.0.0.1/kaban?sslmode=disable", "postgres:///kaban?host=/run/postgresql"} {
		if _, err := parse(url, waiting); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestCheckOfServers(t *testing.T) {
	good := server{version: 150018, fsync: "on", fullPages: "on", synchronous: "on", coding: "UTF8"}
	if err := good.check(false); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		change func(*server)
		want   error
	}{
		"an old one":              {func(v *server) { v.version = 140012 }, ErrOldServer},
		"a standby":               {func(v *server) { v.standby = true }, ErrStandby},
		"another encoding":        {func(v *server) { v.coding = "LATIN1" }, ErrUnsafe},
		"no fsync":                {func(v *server) { v.fsync = "off" }, ErrUnsafe},
		"no full pages":           {func(v *server) { v.fullPages = "off" }, ErrUnsafe},
		"no synchronous commit":   {func(v *server) { v.synchronous = "off" }, ErrUnsafe},
		"a commit that is local":  {func(v *server) { v.synchronous = "local" }, ErrUnsafe},
		"a commit in memory only": {func(v *server) { v.synchronous = "remote_write" }, ErrUnsafe},
	} {
		v := good
		c.change(&v)
		if err := v.check(false); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What a crash of the server leaves is what was acknowledged, and the store goes on by itself.
func TestCrashOfTheServer(t *testing.T) {
	server := postgrestest.Start(t)
	s := open(t, server.Database(t), Options{Patience: waiting})
	for i := range 3 {
		first := storetest.Draft(t, "lobby", "ann", string(rune('a'+i)), "hello")
		if got := storetest.Append(t, s, first)[0]; got.Seq != uint64(i+1) || got.Err != nil {
			t.Fatalf("round %d: %+v, want seq %d", i, got, i+1)
		}
		server.Crash(t)
		server.Restart(t)
		if got := storetest.Append(t, s, first)[0]; got.Seq != uint64(i+1) || !got.Duplicate {
			t.Errorf("round %d, again: %+v, want a duplicate of %d", i, got, i+1)
		}
	}
}

// Without a server calls end, and say that nothing is stored.
func TestNoServer(t *testing.T) {
	server := postgrestest.Start(t)
	s := open(t, server.Database(t), Options{Patience: 2 * time.Second})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "hello"))
	server.Crash(t)
	callAll(t, s, "b")
	server.Restart(t)
	again := open(t, server.URL(s.writers.Config().ConnConfig.Database), Options{Patience: waiting})
	if got := storetest.Append(t, again, storetest.Draft(t, "lobby", "ann", "b", "hello"))[0]; got.Seq != 2 || got.Err != nil {
		t.Errorf("afterwards: %+v, want seq 2", got)
	}
}

// The planner keeps no samples of texts, nor of names of visitors: they would outlive what was deleted. A new
// column of texts belongs to one kind or the other.
func TestSamplesOfTexts(t *testing.T) {
	url := postgrestest.Database(t)
	open(t, url, Options{Careless: true, Patience: waiting})
	c := connect(t, url)
	rows, err := c.Query(t.Context(), `SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND a.attstattarget IS DISTINCT FROM 0
		AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'bytea'::regtype) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	sampled, err := pgx.CollectRows(rows, pgx.RowTo[string])
	want := []string{
		"commits.handle", "commits.note", "entries.id", "entries.original", "mentions.account", "mentions.by", "mentions.online",
		"move.other", "move.role", "move.run", "reactions.emoji", "rooms.key", "rooms.name", "store.epoch", "store.secret",
	}
	if err != nil || !slices.Equal(sampled, want) {
		t.Errorf("there are samples of %q, %v; want %q", sampled, err, want)
	}
}

// An archive changes nothing, and opens at a URL that asks for the primary.
func TestArchiveOfAPrimary(t *testing.T) {
	url := postgrestest.Database(t)
	open(t, url, Options{Careless: true, Patience: waiting})
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	a, err := OpenArchive(t.Context(), url+separator+"target_session_attrs=read-write")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.conn.Exec(t.Context(), "CREATE TABLE other (n int)"); codeOf(err) != "25006" { // read_only_sql_transaction
		t.Errorf("a change: %v", err)
	}
}

func TestArchiveConformance(t *testing.T) {
	storetest.RunArchive(t, storetest.Archives{
		New: func(t *testing.T) string { return postgrestest.Database(t) },
		Open: func(t *testing.T, url string) store.Importer {
			return open(t, url, Options{Careless: true, Patience: waiting})
		},
		Archive: func(t *testing.T, url string) store.Archive {
			a, err := OpenArchive(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			return a
		},
	})
}
