package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A server that was stopped for more than three heartbeats disconnects neither
// active clients nor those with a hello in its backlog.
func TestAStoppedServerLosesNobody(t *testing.T) {
	t.Parallel()
	const crowd, newcomers, stop = 600, 100, 7 * time.Second
	server := command(t, "serve", "--listen", "tcp://127.0.0.1:0", "--data", ":memory:", "--heartbeat", "2s")
	server.begin()
	server.await("msg=ready")
	_, rest, _ := strings.Cut(server.String(), "url=tcp://")
	addr, _, _ := strings.Cut(rest, "\n")
	var ending atomic.Bool // set at the end of the test
	var group sync.WaitGroup
	defer group.Wait()
	var lost atomic.Int64
	defer ending.Store(true)
	talk := func(conn net.Conn) { // reads, and pings every quarter of a second
		group.Go(func() {
			defer conn.Close()
			for !ending.Load() {
				if _, err := fmt.Fprintln(conn, `{"type":"ping"}`); err != nil {
					break
				}
				time.Sleep(250 * time.Millisecond)
			}
		})
		group.Go(func() {
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if line := lines.Text(); strings.Contains(line, `"goodbye"`) || strings.Contains(line, `"error"`) {
					t.Errorf("got %s", line)
				}
			}
			if !ending.Load() {
				lost.Add(1)
			}
		})
	}
	connect := func(name string) net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, `{"type":"hello","version":1,"username":%q}`+"\n", name)
		return conn
	}
	for i := range crowd {
		conn := connect(fmt.Sprint("talker-", i))
		if _, err := bufio.NewReaderSize(conn, 16).ReadByte(); err != nil { // the welcome arrives
			t.Fatal(err)
		}
		talk(conn)
	}
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range newcomers {
		talk(connect(fmt.Sprint("newcomer-", i)))
	}
	time.Sleep(stop)
	if err := server.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of %d active clients were disconnected", n, crowd+newcomers)
	}
}
