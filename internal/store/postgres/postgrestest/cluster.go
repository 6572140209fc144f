//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/childtest"
)

// StartStandby starts a server that follows another one, for one test.
func StartStandby(t testing.TB, primary *Server, settings ...string) *Server {
	t.Helper()
	s, err := start(slices.Concat(usual, settings), func(s *Server) error { return s.copyOf(primary) })
	if err != nil {
		t.Fatalf("start a standby: %v", err)
	}
	s.removeAfter(t)
	return s
}

// Follow ends the server, and starts it again with a copy of another one, which it follows.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	err := s.end(sigquit)
	if err == nil {
		err = os.RemoveAll(s.data())
	}
	if err == nil {
		err = s.copyOf(primary)
	}
	if err == nil {
		err = s.run()
	}
	if err != nil {
		t.Fatalf("follow another server: %v", err)
	}
}

// copyOf makes a copy of a server that runs, as one that follows it.
func (s *Server) copyOf(primary *Server) error {
	_, port, err := net.SplitHostPort(primary.Address)
	if err != nil {
		return err
	}
	c := s.command("pg_basebackup", "--host", primary.Socket, "--port", port, "--username", superuser, "--pgdata", s.data(),
		"--wal-method", "stream", "--checkpoint", "fast", "--no-sync", "--write-recovery-conf")
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	return nil
}

// Promote makes a primary of a standby.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if err := s.Exec(context.Background(), "postgres", "SELECT pg_promote(true, 60)"); err != nil {
		t.Fatalf("promote a standby: %v", err)
	}
}

// Confirm has each COMMIT wait for a standby from now on, and waits until there is one.
func (s *Server) Confirm(t testing.TB) {
	t.Helper()
	s.confirmedBy(t, "*")
	s.AwaitStandby(t)
}

// ConfirmAlone has no COMMIT wait for a standby any more.
func (s *Server) ConfirmAlone(t testing.TB) {
	t.Helper()
	s.confirmedBy(t, "")
}

// ConfirmByNobody has each COMMIT wait for a standby that is away.
func (s *Server) ConfirmByNobody(t testing.TB) {
	t.Helper()
	s.confirmedBy(t, "away")
}

func (s *Server) confirmedBy(t testing.TB, standbys string) {
	t.Helper()
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + standbys + "'", "SELECT pg_reload_conf()"} {
		if err := s.Exec(context.Background(), "postgres", sql); err != nil {
			t.Fatalf("set whether a standby confirms commits: %v", err)
		}
	}
}

// AwaitStandby waits until a standby confirms commits.
func (s *Server) AwaitStandby(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for {
		var n int
		err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n)
		if err != nil {
			t.Fatalf("no standby confirms commits: %v\n%s", err, s.Log())
		}
		if n > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Snapshot crashes the server, and keeps a copy of its files.
func (s *Server) Snapshot(t testing.TB) {
	t.Helper()
	s.Crash(t)
	if err := copyFiles(s.data(), s.snapshot()); err != nil {
		t.Fatal(err)
	}
}

// Restore crashes the server, and gives it its files back as they were.
func (s *Server) Restore(t testing.TB) {
	t.Helper()
	s.Crash(t)
	err := os.RemoveAll(s.data())
	if err == nil {
		err = copyFiles(s.snapshot(), s.data())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Server) snapshot() string { return filepath.Join(s.base, "snapshot") }

// copyFiles copies a directory with its owners.
func copyFiles(from, to string) error {
	if output, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(output)))
	}
	return nil
}

// CPU returns what the processes of the server have used of processors.
func (s *Server) CPU() (time.Duration, error) { return childtest.CPU(s.process.Process.Pid) }
