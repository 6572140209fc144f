//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// A node that was away while its database was moved does not go on there.
func TestANodeOfAMovedDatabase(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, url, Options{Careless: true, Patience: waiting})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "hello"))
	for _, pool := range []interface{ Reset() }{s.writers, s.readers, s.makers} {
		pool.Reset()
	}
	execute(t, url, "INSERT INTO move VALUES (1, 'left', 'x', '/var/lib/kaban')")
	err := s.Append(t.Context(), storetest.Writes(storetest.Draft(t, "lobby", "ann", "b", "lost")), make([]store.Result, 1))
	if !errors.Is(err, store.ErrBroken) || !errors.Is(err, store.ErrMoved) {
		t.Errorf("an append to what was moved: %v, want %v", err, store.ErrMoved)
	}
}

// A move waits for a node and for another move that have just ended, whose connections the server still has.
func TestAMoveAfterAStop(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	open(t, url, Options{Careless: true}).Close()
	for name, sql := range map[string]string{nodeName: "SELECT 1", "another move": fmt.Sprintf("SELECT pg_advisory_lock(%d)", moveLock)} {
		last := make(chan error, 1)
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{"SET application_name = '" + name + "'", sql} {
			if _, err := c.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(aloneWait/4, func() { last <- c.Close(context.Background()) })
		if err := open(t, url, Options{Careless: true, Moving: true}).Close(); err != nil {
			t.Error(err)
		}
		if err := <-last; err != nil {
			t.Error(err)
		}
	}
}

func TestAnArchiveMakesNoBackup(t *testing.T) {
	url := postgrestest.Database(t)
	if a, err := OpenArchive(t.Context(), url); err == nil {
		t.Errorf("an archive of nothing: %v", a)
	}
	open(t, url, Options{Careless: true})
	a, err := OpenArchive(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Backup(t.Context(), t.TempDir()+"/backup", nil); !errors.Is(err, errBackup) {
		t.Errorf("a backup: %v, want %v", err, errBackup)
	}
}

// A check keeps no view of the database from one part to the next: with an old one, each append takes longer than the one
// before.
func TestChecksAreShort(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, url, Options{Careless: true, Patience: waiting})
	results := make([]store.Result, 1)
	if err := s.Append(t.Context(), []store.Write{{Draft: storetest.Draft(t, "hall", "ann", "id", "hello")}}, results); err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
	a, err := OpenArchive(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	c := connect(t, url)
	tx, err := c.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "LOCK TABLE documents IN ACCESS EXCLUSIVE MODE") // which come last
	}
	if err != nil {
		t.Fatal(err)
	}
	var checking sync.WaitGroup
	checking.Go(func() {
		if report, err := a.Check(t.Context()); err != nil || report.Err() != nil || len(report.Rooms) != 1 {
			t.Errorf("%+v, %v", report, err)
		}
	})
	other := connect(t, url) // a transaction sees the sessions of one moment
	isNew, err := false, pgx.ErrNoRows
	for end := time.Now().Add(waiting); errors.Is(err, pgx.ErrNoRows) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err = other.QueryRow(t.Context(), `SELECT xact_start = query_start FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'kaban archive' AND wait_event_type = 'Lock'`).Scan(&isNew)
	}
	if err != nil || !isNew {
		t.Errorf("it waits for the documents in a transaction of its own: %v, %v", isNew, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	checking.Wait()
}
