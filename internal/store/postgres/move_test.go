//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
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
