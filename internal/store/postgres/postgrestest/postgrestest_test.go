//go:build unix

package postgrestest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// role makes the test binary the parent of a server.
const role = "POSTGRESTEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		code := m.Run()
		Stop()
		os.Exit(code)
	}
	s, err := start(usual, (*Server).initialize)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.Address, s.base)
	select {}
}

// A server ends with the process that started it, if that is killed.
func TestServerEndsWithItsTest(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), role+"=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, base, ok := strings.Cut(strings.TrimSpace(line), " ")
	if ok {
		t.Cleanup(func() { os.RemoveAll(base) })
	} else {
		t.Errorf("it says %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	for until := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(until) {
			t.Fatal("the server goes on")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What is committed is there after a crash, and databases are apart.
func TestCrash(t *testing.T) {
	s := Start(t)
	one, two := s.Database(t), s.Database(t)
	if err := s.Exec(t.Context(), Name(one), "CREATE TABLE t (n integer); INSERT INTO t VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	s.Crash(t)
	if c, err := pgx.Connect(t.Context(), one); err == nil {
		t.Errorf("a server that has crashed takes %v", c)
	}
	s.Restart(t)
	for url, want := range map[string]string{one: "7", two: ""} {
		if got := query(t, url, "SELECT coalesce((SELECT n::text FROM t), '')"); got != want {
			t.Errorf("%s has %q, want %q", url, got, want)
		}
	}
	if got := query(t, s.Via(s.Address, Name(one)), "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %q", got)
	}
	if got := query(t, Database(t), "SHOW fsync"); got != "off" {
		t.Errorf("fsync of the shared server is %q", got)
	}
}

// query returns a text, "" if there is no such table.
func query(t *testing.T, url, sql string) (text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), sql).Scan(&text); err != nil && !strings.Contains(err.Error(), "does not exist") {
		t.Fatal(err)
	}
	return text
}
