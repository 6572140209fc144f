//go:build unix

// Package postgrestest runs a real PostgreSQL for tests: Debian's, as a process of the test in a
// directory of its own, which ends with the test binary even if that is killed.
//
// Most tests share one server that does not care for its disk, and have a database each
// (Database), or one that does (LastingDatabase). Tests of what survives a crash start a server of their own (Start).
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/childtest"
)

// superuser is the role that owns everything on the servers. It has no password.
const superuser = "kaban"

// sigquit ends a server at once, without a checkpoint and without waiting for transactions.
const sigquit = syscall.SIGQUIT

// patience is how long a server may take to start or to end.
const patience = 2 * time.Minute

// careless are the settings of the shared server: what it has is lost in a crash.
var careless = []string{"fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off"}

// usual are the settings of every server: small, and quiet.
var usual = []string{
	"shared_buffers=32MB", "max_connections=200", "jit=off", "min_wal_size=8MB", "max_wal_size=64MB",
	"logging_collector=off", "log_min_messages=warning", "log_error_verbosity=verbose",
}

// Server is a PostgreSQL server on a socket and on the loopback interface.
type Server struct {
	// Socket is the directory of the socket, and Address the address of TCP.
	Socket, Address string

	programs, base string
	settings       []string
	as             *syscall.SysProcAttr
	release        func() // the address
	process        *exec.Cmd
	watching       sync.WaitGroup
	ended          chan struct{} // closed when the process has ended
}

// shared is a server that all tests of the binary share. It starts when the first of them needs it.
type shared struct {
	settings []string

	sync.Mutex
	server *Server
	err    error
}

// quick serves tests of what is above the store, and lasting those of whole programs, which refuse a
// server that may lose something. Each of those has many connections.
var (
	quick   = shared{settings: careless}
	lasting = shared{settings: []string{"max_connections=600"}}
)

// Database returns the URL of a new database of the server that all tests of the binary share.
// It is dropped at the end of the test. Stop stops the server.
func Database(t testing.TB) string { t.Helper(); return quick.database(t) }

// LastingDatabase is Database of another such server, which keeps what it has acknowledged.
func LastingDatabase(t testing.TB) string { t.Helper(); return lasting.database(t) }

func (s *shared) database(t testing.TB) string {
	t.Helper()
	s.Lock()
	if s.server == nil && s.err == nil {
		s.server, s.err = start(slices.Concat(usual, s.settings), (*Server).initialize)
	}
	server, err := s.server, s.err
	s.Unlock()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	return server.Database(t)
}

func (s *shared) stop() {
	s.Lock()
	defer s.Unlock()
	if s.server != nil {
		_ = s.server.remove() // the tests have ended, so nobody is left to care
		s.server = nil
	}
}

// Stop stops the shared servers that run, and removes what servers have in common. It is for the end
// of TestMain.
func Stop() {
	quick.stop()
	lasting.stop()
	template.Lock()
	defer template.Unlock()
	if template.base != "" {
		_ = os.RemoveAll(template.base)
		template.base = ""
	}
}

// Start starts a server that keeps what it has acknowledged, for one test. Settings such as
// "max_connections=10" override the usual ones.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(slices.Concat(usual, settings), (*Server).initialize)
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	s.removeAfter(t)
	return s
}

// removeAfter removes the server at the end of a test.
func (s *Server) removeAfter(t testing.TB) {
	t.Cleanup(func() {
		if err := s.remove(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
}

// start starts a server whose files a function makes.
func start(settings []string, files func(*Server) error) (s *Server, err error) {
	s = &Server{settings: settings}
	if s.programs, err = programs(); err != nil {
		return nil, err
	}
	if s.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.base, err = s.directory(); err != nil {
		return nil, err
	}
	s.Socket = filepath.Join(s.base, "socket")
	if s.Address, s.release, err = childtest.Reserve(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.base))
	}
	if err = files(s); err == nil {
		err = s.run()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// programs returns the directory with the newest programs of PostgreSQL, which Debian has in no
// PATH.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	newest := 0
	for _, program := range found {
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(program)))); err == nil {
			newest = max(newest, version)
		}
	}
	if newest > 0 {
		return fmt.Sprintf("/usr/lib/postgresql/%d/bin", newest), nil
	}
	program, err := exec.LookPath("postgres")
	return filepath.Dir(program), err
}

// unprivileged returns how to run PostgreSQL as another user, because it refuses root.
func unprivileged() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return new(syscall.SysProcAttr), nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		who, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(who.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(who.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("there is no user postgres or nobody to run it as")
}

// directory makes the directory of the server, where its user may reach it and the path of its
// socket is short enough.
func (s *Server) directory() (string, error) {
	in := os.TempDir()
	if s.as.Credential != nil && !isOpen(in) || len(in) > 60 {
		in = "/tmp"
	}
	base, err := os.MkdirTemp(in, "kp-")
	if err != nil {
		return "", err
	}
	for _, dir := range []string{base, filepath.Join(base, "socket")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		if who := s.as.Credential; who != nil {
			if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
				return "", err
			}
		}
	}
	return base, nil
}

// isOpen reports whether everybody may reach what is in a directory.
func isOpen(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// command returns a command that ends with this process.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.programs, program), args...)
	as := *s.as
	c.SysProcAttr = &as
	c.Dir = s.base
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.base}
	childtest.Bind(c, sigquit) // to the server: end at once, with all its processes
	return c
}

func (s *Server) data() string { return filepath.Join(s.base, "data") }

// template are the files of a new server, which takes long to make. All servers of the binary begin
// with a copy of them, so they have the same system identifier.
var template struct {
	sync.Mutex
	base string
}

// initialize gives the server the files of a new one.
func (s *Server) initialize() error {
	template.Lock()
	defer template.Unlock()
	if template.base == "" {
		base, err := s.directory()
		if err == nil {
			err = s.initdb(filepath.Join(base, "data"))
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(base))
		}
		template.base = base
	}
	return copyFiles(filepath.Join(template.base, "data"), s.data())
}

func (s *Server) initdb(data string) error {
	c := s.command("initdb", "--pgdata", data, "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--wal-segsize", "4")
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return nil
}

// run starts the process and waits until it takes connections.
func (s *Server) run() error {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-k", s.Socket, "-p", port, "-h", host}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := s.command("postgres", args...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.process, s.ended = c, ended
	s.watching.Go(func() {
		_ = c.Wait()
		close(ended)
	})
	return s.ready()
}

// ready waits until the server takes connections.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it has ended: %w\n%s", err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w\n%s", err, s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Log returns the end of what the server has logged.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// LogFile returns the file with all that the server has logged.
func (s *Server) LogFile() string { return filepath.Join(s.base, "log") }

// URL returns the URL of a database over the socket.
func (s *Server) URL(database string) string {
	_, port, _ := net.SplitHostPort(s.Address)
	q := url.Values{"host": {s.Socket}, "port": {port}, "user": {superuser}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Via returns the URL of a database of a URL over TCP, at an address that leads to the server.
func (s *Server) Via(address, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Host: address, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// databases counts the databases of this process, for their names.
var databases atomic.Int64

// Database returns the URL of a new database, which is dropped at the end of the test.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprint("test_", databases.Add(1))
	if err := s.Exec(context.Background(), "postgres", "CREATE DATABASE "+name+" STRATEGY FILE_COPY"); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Exec(context.Background(), "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil && s.runs() {
			t.Errorf("drop a database: %v", err)
		}
	})
	return s.URL(name)
}

// Exec executes statements in a database, as the superuser.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql)
	return errors.Join(err, c.Close(ctx))
}

func (s *Server) runs() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Crash ends the server as a failure of its machine does, but for what the system has not written
// to the disk yet: no transaction is completed.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	if err := s.end(sigquit); err != nil {
		t.Fatalf("crash PostgreSQL: %v", err)
	}
}

// Restart starts the server again, at the same addresses. One that runs is shut down before.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	err := s.end(syscall.SIGINT)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		t.Fatalf("restart PostgreSQL: %v", err)
	}
}

// end sends the process a signal and waits for its end.
func (s *Server) end(with syscall.Signal) error {
	if s.process == nil || !s.runs() {
		return nil
	}
	if err := s.process.Process.Signal(with); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("it does not end\n%s", s.Log())
	}
}

// remove ends the server and removes its files.
func (s *Server) remove() error {
	err := s.end(sigquit)
	if s.release != nil {
		s.release()
	}
	return errors.Join(err, os.RemoveAll(s.base))
}

// Name returns the name of the database of a URL that Database returned.
func Name(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

// Pin keeps the server on one processor (childtest.Pin).
func (s *Server) Pin(t testing.TB, processor int) {
	t.Helper()
	childtest.Pin(t, s.process.Process.Pid, processor)
}
