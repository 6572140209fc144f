//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// execute executes a statement in a database, past all stores.
func execute(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	ctx := context.Background() // also in a cleanup
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql, args...); err != nil {
		t.Fatal(err)
	}
}

// The epoch changes with the timeline and the cluster, unless the operator keeps it.
func TestEpochs(t *testing.T) {
	url := postgrestest.Database(t)
	now := func() string {
		t.Helper()
		s, err := Open(t.Context(), url, Options{Careless: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Epoch()
	}
	first := now()
	if got := now(); got != first {
		t.Errorf("opened again: %s, want %s", got, first)
	}
	execute(t, url, "UPDATE store SET timeline = 0") // as if a standby had taken over since
	second := now()
	if second == first {
		t.Error("after a failover the epoch is the same")
	}
	if got := now(); got != second {
		t.Errorf("opened again: %s, want %s", got, second)
	}
	if err := KeepEpoch(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	execute(t, url, "UPDATE store SET timeline = 0")
	if got := now(); got != second {
		t.Errorf("after a failover that loses nothing: %s, want %s", got, second)
	}
	execute(t, url, "UPDATE store SET timeline = 0") // it is kept once
	third := now()
	if third == second {
		t.Error("after another failover the epoch is the same")
	}
	if err := KeepEpoch(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	execute(t, url, "UPDATE store SET system = 7") // a dump that was restored elsewhere
	fourth := now()
	if fourth == third {
		t.Error("in another cluster the epoch is the same")
	}
	for minutes, kept := range map[int]bool{58: true, 61: false} {
		if err := KeepEpoch(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		execute(t, url, fmt.Sprintf("UPDATE store SET timeline = 0, kept = now() - interval '%d minutes'", minutes))
		before := fourth
		if fourth = now(); (fourth == before) != kept {
			t.Errorf("%d minutes later the epoch is kept: %t", minutes, !kept)
		}
	}
	execute(t, url, "UPDATE store SET timeline = timeline + 1")
	if s, err := Open(t.Context(), url, Options{Careless: true}); !errors.Is(err, ErrFenced) {
		t.Errorf("a server that was the primary before: %v, %v; want %v", s, err, ErrFenced)
	}
}

// Of stores that open at once, all have the epoch that one of them has made, and a new database one
// schema.
func TestEpochsAtOnce(t *testing.T) {
	url := postgrestest.Database(t)
	for _, before := range []string{"", "UPDATE store SET timeline = 0"} {
		if before != "" {
			execute(t, url, before)
		}
		var epochs [8]string
		var opening sync.WaitGroup
		for i := range epochs {
			opening.Go(func() {
				s, err := Open(context.Background(), url, Options{Careless: true})
				if err != nil {
					t.Error(err)
					return
				}
				epochs[i] = s.Epoch()
				s.Close()
			})
		}
		opening.Wait()
		for _, epoch := range epochs {
			if epoch != epochs[0] || epoch == "" {
				t.Fatalf("the epochs are %q", epochs)
			}
		}
	}
}

// A store that finds another epoch on a new connection is broken: its owner must start again.
func TestEpochOfAnOpenStore(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, url, Options{Careless: true, Patience: waiting})
	alarmed := make(chan error, 1)
	s.Alarm(func(err error) { alarmed <- err })
	draft := storetest.Draft(t, "lobby", "ann", "a", "hello")
	storetest.Append(t, s, draft)
	execute(t, url, "UPDATE store SET epoch = 'another'")
	execute(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if _, err := s.Read(t.Context(), draft.Room, store.Page{Limit: 1}); !errors.Is(err, store.ErrBroken) || !errors.Is(err, ErrEpoch) {
		t.Errorf("Read: %v, want %v", err, store.ErrBroken)
	}
	if err := <-alarmed; !errors.Is(err, ErrEpoch) {
		t.Errorf("the alarm is %v, want %v", err, ErrEpoch)
	}
	if err := s.Append(t.Context(), storetest.Writes(draft), make([]store.Result, 1)); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Append: %v, want %v", err, store.ErrBroken)
	}
}

// A role that may only read and write rows can use a schema that is there, and cannot make one.
func TestRoleWithoutSchema(t *testing.T) {
	url := postgrestest.Database(t)
	name := postgrestest.Name(url)
	execute(t, url, "CREATE ROLE writer_"+name+" LOGIN")
	t.Cleanup(func() { execute(t, url, "DROP OWNED BY writer_"+name+"; DROP ROLE writer_"+name) })
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	as := "postgres:///" + name + "?host=" + config.Host + "&port=" + strconv.Itoa(int(config.Port)) + "&user=writer_" + name
	if s, err := Open(t.Context(), as, Options{Careless: true}); err == nil {
		s.Close()
		t.Error("a role without rights has made a schema")
	}
	owner := open(t, url, Options{Careless: true, Patience: waiting})
	execute(t, url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer_"+name)
	s := open(t, as, Options{Careless: true, Patience: waiting})
	draft := storetest.Draft(t, "lobby", "ann", "a", "hello")
	for i, store := range []store.Store{s, owner} {
		if got := storetest.Append(t, store, draft)[0]; got.Seq != 1 || got.Duplicate != (i == 1) {
			t.Errorf("append %d: %+v", i, got)
		}
	}
	err = s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("a", []byte("b")) })
	if n, cut := s.Cut(t.Context(), draft.Room, store.Age{Before: 1 << 60, Now: 1 << 61}, 10); err != nil || n != 1 || cut != nil {
		t.Errorf("Update: %v; Cut: %d, %v", err, n, cut)
	}
}

// What others have written, and is perhaps not on the disk yet, does not count as seen: a restart of the
// server without it is no restore.
func TestSeenIsOnTheDisk(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.Database(t)
	s := open(t, url, Options{Patience: waiting})
	refused := storetest.Writes(storetest.Draft(t, "nowhere", "ann", "a", "hello"))
	refused[0].Refusal = errors.New("no") // so the transaction writes nothing
	refuse := func() {
		t.Helper()
		if err := s.Append(t.Context(), refused, make([]store.Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	refuse() // so that there is a connection
	before := s.seen.get()
	execute(t, url, "CREATE TABLE others (n bigint)")
	refuse()
	if got := s.seen.get(); got != before {
		t.Errorf("seen is %+v, want %+v as before", got, before)
	}
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "hello"))
	if got := s.seen.get(); got.position <= before.position {
		t.Errorf("after an append, seen is %+v, as before", got)
	}
}
