package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// manager plays systemd: it has the sockets of a server, and gets its notifications.
type manager struct {
	t         *testing.T
	socket    string
	names     []string
	files     []*os.File
	addresses []string
	notices   *net.UnixConn
}

// newManager opens a socket for each name.
func newManager(t *testing.T, names ...string) *manager {
	t.Helper()
	m := &manager{t: t, names: names, socket: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.notices, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.notices.Close() })
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		m.addresses = append(m.addresses, l.Addr().String())
		l.Close() // the file keeps the socket
		t.Cleanup(func() { file.Close() })
		m.files = append(m.files, file)
	}
	return m
}

// start starts a server with the sockets, and waits until it is ready.
func (m *manager) start(env []string, args ...string) *running {
	m.t.Helper()
	s := command(m.t, args...)
	s.Path, s.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary}, args...)
	s.Err = nil
	s.Env = append(os.Environ(), append(env,
		"NOTIFY_SOCKET="+m.socket, fmt.Sprint("LISTEN_FDS=", len(m.files)), "LISTEN_FDNAMES="+strings.Join(m.names, ":"))...)
	s.ExtraFiles = m.files
	s.begin()
	m.await("READY=1")
	return s
}

// await returns the next notification that begins with a text.
func (m *manager) await(beginning string) string {
	m.t.Helper()
	buffer := make([]byte, 4096)
	m.notices.SetReadDeadline(time.Now().Add(patience))
	for {
		n, err := m.notices.Read(buffer)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", beginning, err)
		}
		if text := string(buffer[:n]); strings.HasPrefix(text, beginning) {
			return text
		}
	}
}

// A server reports to systemd when it is ready, reloads and stops, and answers its
// watchdog.
func TestNotifications(t *testing.T) {
	t.Parallel()
	m := newManager(t, "tcp")
	s := m.start([]string{"WATCHDOG_USEC=300000"}, "serve", "--data", ":memory:", "--listen", "tcp://127.0.0.1:6440")
	s.await("url=tcp://" + m.addresses[0] + "\n")
	m.await("WATCHDOG=1")
	m.await("WATCHDOG=1")
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := m.await("RELOADING=1"); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
	if got := m.await("READY=1"); !strings.Contains(got, "\nSTATUS=serving 0 clients") {
		t.Errorf("got %q", got)
	}
	c, err := net.Dial("tcp", m.addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.await("STATUS=serving 1 client")
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await("STOPPING=1")
	if code := s.finish(); code != 0 {
		t.Errorf("exit code %d: %s", code, s)
	}
}

// A socket that the server does not know ends the start.
func TestAnUnknownSocket(t *testing.T) {
	t.Parallel()
	m := newManager(t, "other")
	s := command(t)
	s.Path, s.Args = "/bin/sh", []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "serve", "--data", ":memory:", "--listen", "tcp://127.0.0.1:0"}
	s.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=other")
	s.ExtraFiles = m.files
	s.begin()
	if code := s.finish(); code != 2 || !strings.Contains(s.String(), m.addresses[0]) {
		t.Errorf("exit code %d: %s", code, s)
	}
}

const (
	loaders  = 40 // goroutines that connect all the time, over each protocol
	restarts = 4
)

// arrivals counts how connections went.
type arrivals struct {
	names        atomic.Int64
	served, told atomic.Int64 // answered; told to come back
	mu           sync.Mutex
	failed       []string
}

func (a *arrivals) fail(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, fmt.Sprintf(format, args...))
}

// hello connects, says hello and waits for the answer.
func (a *arrivals) hello(address string) {
	name := fmt.Sprint("guest-", a.names.Add(1)) // the last one may not be free yet
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		a.fail("connect: %v", err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "{\"type\":\"hello\",\"version\":1,\"username\":%q}\n", name); err != nil {
		a.fail("hello: %v", err)
		return
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	switch {
	case err != nil:
		a.fail("no answer: %v %q", err, answer)
	case strings.Contains(answer, `"welcome"`):
		a.served.Add(1)
	case strings.Contains(answer, `"goodbye"`):
		a.told.Add(1)
	default:
		a.fail("answer %q", answer)
	}
}

// get makes an HTTP request over a connection of its own.
func (a *arrivals) get(address string) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/healthz")
	if err != nil {
		a.fail("get: %v", err)
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		a.fail("status %d", response.StatusCode)
		return
	}
	a.served.Add(1)
}

// Restarts of a server with sockets of systemd refuse nobody, while many connect: each of
// them is served, by the old or the new process, or is told to come back.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	m := newManager(t, "tcp", "http")
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"serve", "--data", data, "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}
	s := m.start(nil, args...)
	var all arrivals
	stop := make(chan struct{})
	var loading sync.WaitGroup
	load := func(arrive func()) {
		loading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					arrive()
				}
			}
		})
	}
	for range loaders {
		load(func() { all.hello(m.addresses[0]) })
		load(func() { all.get(m.addresses[1]) })
	}
	for range restarts {
		before := all.served.Load()
		s.until(func() bool { return all.served.Load() >= before+10*loaders })
		if err := s.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := s.finish(); code != 0 {
			t.Fatalf("exit code %d: %s", code, s)
		}
		s = m.start(nil, args...)
	}
	before := all.served.Load()
	s.until(func() bool { return all.served.Load() >= before+10*loaders })
	close(stop)
	loading.Wait()
	t.Logf("%d served, %d told to come back, %d failed", all.served.Load(), all.told.Load(), len(all.failed))
	slices.Sort(all.failed)
	for _, text := range slices.Compact(all.failed) {
		t.Error(text)
	}
}
