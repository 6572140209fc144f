package systemd

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/systemd/systemdtest"
)

func TestNotify(t *testing.T) {
	m := systemdtest.NewManager(t)
	n := NewNotifier(slog.New(slog.DiscardHandler))
	n.Ready("serving 5\nclients")
	n.Reloading()
	n.Status("a line")
	n.Stopping("draining")
	n.ping()
	want := []string{
		`^READY=1\nSTATUS=serving 5 clients$`, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`,
		`^STATUS=a line$`, `^STOPPING=1\nSTATUS=draining$`, `^WATCHDOG=1$`,
	}
	got := m.Take()
	for i := range want {
		if len(got) != len(want) || !regexp.MustCompile(want[i]).MatchString(got[i]) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// Without a manager nothing is sent, and one that is gone is logged once.
func TestNotifyWithoutManager(t *testing.T) {
	var log strings.Builder
	n := NewNotifier(slog.New(slog.NewTextHandler(&log, nil)))
	t.Setenv("NOTIFY_SOCKET", "")
	n.Ready("")
	if log.String() != "" {
		t.Errorf("logged %q", log.String())
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	n.Ready("")
	n.Status("")
	if got := strings.Count(log.String(), "cannot be reached"); got != 1 {
		t.Errorf("logged %q", log.String())
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		fails     bool
	}{{"", "", 0, false}, {"30000000", "", 30 * time.Second, false}, {"30000000", "1", 0, false}, {"soon", "", 0, true}, {"-1", "", 0, true}} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got, err := WatchdogInterval(); got != c.want || (err != nil) != c.fails {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}

// There is a ping three times an interval, while there is progress.
func TestWatch(t *testing.T) {
	m := systemdtest.NewManager(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var progress atomic.Bool
		var stuckFor atomic.Int64
		progress.Store(true)
		go NewNotifier(slog.New(slog.DiscardHandler)).Watch(ctx, 30*time.Second, progress.Load, func(since time.Duration) { stuckFor.Store(int64(since)) })
		for _, c := range []struct {
			progress bool
			pings    int
		}{{true, 7}, {false, 0}, {true, 6}} {
			progress.Store(c.progress)
			time.Sleep(time.Minute + time.Second)
			synctest.Wait()
			if got := m.Take(); len(got) != c.pings {
				t.Errorf("progress %t: got %q, want %d", c.progress, got, c.pings)
			}
		}
		if got := time.Duration(stuckFor.Load()); got != time.Minute {
			t.Errorf("stuck for %v", got)
		}
	})
}

// The sockets that are passed have their names. The test runs itself for it, because
// they are those of a process that was started with them.
func TestListeners(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		all, err := Listeners()
		if err != nil || len(all) != 2 {
			t.Fatalf("got %v, %v", all, err)
		}
		for _, l := range all {
			t.Logf("%s at %s;", l.Name, l.Addr())
		}
		if os.Getenv("LISTEN_FDS") != "" {
			t.Error("a child would take them for its own")
		}
		return
	}
	first, second := listenTCP(t), listenTCP(t)
	output, err := child(t, "a:b", first, second)
	for _, want := range []string{"a at " + first.Addr().String() + ";", "b at " + second.Addr().String() + ";"} {
		if err != nil || !strings.Contains(output, want) {
			t.Errorf("got %v %s, want %s", err, output, want)
		}
	}
}

// Something else than a listener is an error.
func TestListenersOfFiles(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		if all, err := Listeners(); err == nil || len(all) != 0 || !strings.Contains(err.Error(), "the socket b") {
			t.Errorf("got %v, %v", all, err)
		}
		return
	}
	if output, err := child(t, "a:b", listenTCP(t), nil); err != nil {
		t.Errorf("got %v %s", err, output)
	}
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// child runs the test again with sockets, as sd_listen_fds(3) has it. A nil one is a file.
func child(t *testing.T, names string, sockets ...*net.TCPListener) (output string, err error) {
	t.Helper()
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES="+names)
	for _, l := range sockets {
		file, err := os.Open(os.DevNull)
		if l != nil {
			file, err = l.File()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		c.ExtraFiles = append(c.ExtraFiles, file)
	}
	text, err := c.CombinedOutput()
	return string(text), err
}
