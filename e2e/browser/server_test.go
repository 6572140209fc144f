package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban/client"
	"kaban/internal/childtest"
	"kaban/wire"
)

// server runs the real binary. It can be killed, and started again at the same addresses
// with the same data.
type server struct {
	t      testing.TB
	data   string
	log    strings.Builder // while the server runs, logged writes it
	logged sync.WaitGroup
	url    string // http://127.0.0.1:PORT
	tcp    string // 127.0.0.1:PORT
	flags  []string
	cmd    *exec.Cmd
}

// startServer starts a server on ports of its own for the duration of the test. With
// data "" it gets a directory of its own.
func startServer(t testing.TB, data string, flags ...string) *server {
	t.Helper()
	if data == "" {
		data = t.TempDir()
	}
	s := &server{t: t, data: data, url: "http://" + childtest.Address(t), tcp: childtest.Address(t), flags: flags}
	s.start()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.stop()
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log.String())
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(binary, append([]string{"serve", "--listen", "tcp://" + s.tcp, "--listen", s.url, "--data", s.data}, s.flags...)...)
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	childtest.Bind(s.cmd, syscall.SIGKILL)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	// Killing the server ends its log, and so the loop.
	defer time.AfterFunc(patience, func() { s.cmd.Process.Kill() }).Stop()
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(&s.log, line)
		if strings.Contains(line, "msg=ready") {
			s.logged.Go(func() { io.Copy(&s.log, log) })
			return
		}
	}
	s.t.Fatalf("the server did not start:\n%s", s.log.String())
}

// kill ends the server without a graceful shutdown.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.logged.Wait()
	s.cmd.Wait()
	s.cmd = nil
}

// stop ends the server gracefully; start starts it again.
func (s *server) stop() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	defer time.AfterFunc(patience, func() { s.cmd.Process.Kill() }).Stop()
	s.logged.Wait()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server ended with %v", err)
	}
	s.cmd = nil
}

// say stores messages in a room, in order, and returns when all are stored.
func (s *server) say(username, room string, contents ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c := s.dial(ctx, username)
	defer c.Close()
	r, err := c.Join(ctx, room, client.From{})
	if err != nil {
		s.t.Fatal(err)
	}
	var last []*client.Pending
	for _, content := range contents {
		p, err := r.Post(ctx, content)
		if err != nil {
			s.t.Fatal(err)
		}
		last = append(last, p)
	}
	for _, p := range last {
		if _, err := p.Wait(ctx); err != nil {
			s.t.Fatal(err)
		}
	}
}

// dial connects under a name.
func (s *server) dial(ctx context.Context, username string) *client.Client {
	s.t.Helper()
	c, err := client.Dial(ctx, s.tcp, client.Options{Username: username})
	// The name may still be held by a connection that has just been closed.
	for ; isTaken(err); c, err = client.Dial(ctx, s.tcp, client.Options{Username: username}) {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// hold keeps a connection under a name until the test ends.
func (s *server) hold(username string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c := s.dial(ctx, username)
	s.t.Cleanup(func() { c.Close() })
}

func isTaken(err error) bool {
	refusal, ok := errors.AsType[*client.Error](err)
	return ok && refusal.Code == wire.CodeUsernameTaken
}

// terminal is a running "kaban chat --plain".
type terminal struct {
	t     testing.TB
	in    io.WriteCloser
	mu    sync.Mutex // guards all below
	lines []string
	news  chan struct{}
}

func (s *server) terminal(username, room string) *terminal {
	s.t.Helper()
	cmd := exec.Command(binary, "chat", "--plain", "--server", s.tcp, "--username", username, "--room", room)
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	term := &terminal{t: s.t, in: in, news: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			term.mu.Lock()
			term.lines = append(term.lines, lines.Text())
			term.mu.Unlock()
			select {
			case term.news <- struct{}{}:
			default:
			}
		}
	})
	s.t.Cleanup(func() {
		in.Close()
		defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the terminal ended with %v", err)
		}
	})
	return term
}

func (term *terminal) say(line string) {
	term.t.Helper()
	if _, err := io.WriteString(term.in, line+"\n"); err != nil {
		term.t.Fatal(err)
	}
}

// see waits until a line has been printed.
func (term *terminal) see(want string) {
	term.t.Helper()
	ctx, cancel := context.WithTimeout(term.t.Context(), patience)
	defer cancel()
	for {
		term.mu.Lock()
		lines := strings.Join(term.lines, "\n")
		term.mu.Unlock()
		if strings.Contains(lines, want) {
			return
		}
		select {
		case <-term.news:
		case <-ctx.Done():
			term.t.Fatalf("the terminal did not show %q but:\n%s", want, lines)
		}
	}
}

// link is the network between a page and a server. It can be cut and restored, or go
// silent as when a machine sleeps.
type link struct {
	t      testing.TB
	to     string
	listen net.Listener
	mu     sync.Mutex // guards all below
	mode   mode
	conns  map[net.Conn]bool
}

type mode int

const (
	whole  mode = iota
	cut         // connections are closed at once
	silent      // connections stand, and nothing comes through
)

func startLink(t testing.TB, to string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &link{t: t, to: strings.TrimPrefix(to, "http://"), listen: l, conns: make(map[net.Conn]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.set(cut)
		within(t, "ending the link", running.Wait)
	})
	return w
}

func (w *link) url() string { return "http://" + w.listen.Addr().String() }

// set changes the mode of the link. A silent link loses its connections when it changes,
// as after a sleep.
func (w *link) set(to mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to == cut || w.mode == silent {
		for conn := range w.conns {
			conn.Close()
		}
	}
	w.mode = to
}

func (w *link) now() mode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mode
}

func (w *link) add(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode == cut {
		return false
	}
	w.conns[conn] = true
	return true
}

func (w *link) carry(near net.Conn) {
	defer near.Close()
	far, err := net.DialTimeout("tcp", w.to, patience)
	if err != nil {
		return
	}
	defer far.Close()
	if !w.add(near) || !w.add(far) {
		return
	}
	defer func() {
		w.mu.Lock()
		delete(w.conns, near)
		delete(w.conns, far)
		w.mu.Unlock()
	}()
	var both sync.WaitGroup
	pump := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			if w.now() == silent {
				continue // swallowed
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { pump(far, near) })
	both.Go(func() { pump(near, far) })
	both.Wait()
}
