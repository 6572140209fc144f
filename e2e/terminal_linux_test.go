package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a terminal with a size.
func openTerminal(t *testing.T, columns, rows uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	if theirs, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// beginOnTerminal starts a command on a terminal of a size, as a person does. It returns the
// keyboard.
func (r *running) beginOnTerminal(columns, rows uint16) (keys *os.File) {
	r.t.Helper()
	ours, theirs := openTerminal(r.t, columns, rows)
	r.Stdin, r.Stdout, r.Stderr = theirs, theirs, theirs
	r.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	r.begin()
	go r.watch(ours)
	return ours
}

// The client works on a terminal that answers no queries.
func TestATerminalThatAnswersNothing(t *testing.T) {
	for name, c := range map[string]struct {
		term          string
		columns, rows uint16
		draws         bool
	}{
		"xterm": {"TERM=xterm", 80, 24, true},
		"tiny":  {"TERM=xterm", 1, 1, true},
		"dumb":  {"TERM=dumb", 80, 24, false},
		"empty": {"TERM=", 80, 24, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, joined := make(chan string, 10), make(chan struct{}, 10)
			addr := fake(t, func(r request) ([]string, bool) {
				if r.Type == "members" { // requested after joining a room
					joined <- struct{}{}
				}
				if r.Type != "send" {
					return nil, false
				}
				sent <- r.Content
				return []string{fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":1,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":"REF"}`, r.ID)}, true
			})
			r := command(t, "chat", "--server", addr, "--username", "ann")
			r.Env = append(os.Environ(), c.term)
			ours := r.beginOnTerminal(c.columns, c.rows)
			if c.draws {
				r.await("\x1b[?1049h") // the alternate screen
				receive(t, joined, "request for the members")
			}
			fmt.Fprint(ours, "hello\r")
			if got := receive(t, sent, "message"); got != "hello" {
				t.Errorf("it sent %q", got)
			}
			fmt.Fprint(ours, "\x04")
			if code := r.finish(); code != 0 {
				t.Errorf("exit code %d: %q", code, r)
			}
			if strings.Contains(r.String(), "\x1b[6n") {
				t.Errorf("the client queries the cursor position: %q", r)
			}
			if draws := strings.Contains(r.String(), "\x1b["); draws != c.draws {
				t.Errorf("drawing: %v, want %v: %q", draws, c.draws, r)
			}
		})
	}
}

// chatInTerminal runs the full-screen client on a terminal, with a fake server.
// joined receives each request for the members of a room.
func chatInTerminal(t *testing.T, attr *syscall.SysProcAttr) (r *running, joined chan struct{}, ours, theirs *os.File) {
	t.Helper()
	joined = make(chan struct{}, 10)
	addr := fake(t, func(r request) ([]string, bool) {
		if r.Type == "members" {
			joined <- struct{}{}
		}
		return nil, false
	})
	ours, theirs = openTerminal(t, 80, 24)
	r = command(t, "chat", "--server", addr, "--username", "ann")
	r.Stdin, r.Stdout, r.Stderr = theirs, theirs, theirs
	r.Env = append(os.Environ(), "TERM=xterm")
	r.SysProcAttr = attr
	r.begin()
	return r, joined, ours, theirs
}

// A client exits when its terminal is gone, even without SIGHUP.
func TestATerminalThatIsGone(t *testing.T) {
	t.Parallel()
	// Setsid without Setctty: there is no controlling terminal.
	r, joined, ours, theirs := chatInTerminal(t, &syscall.SysProcAttr{Setsid: true})
	go io.Copy(io.Discard, ours)
	receive(t, joined, "request for the members")
	theirs.Close()
	ours.Close()
	if code := r.finish(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// watch keeps what a command shows on a terminal, until the terminal is closed.
func (r *running) watch(terminal *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		if err != nil {
			return
		}
		r.Write(buffer[:n])
	}
}

// A paste without an end does not block the keyboard: Ctrl-C still clears the
// input, and quits.
func TestATerminalWithAPasteWithoutAnEnd(t *testing.T) {
	t.Parallel()
	r, joined, ours, _ := chatInTerminal(t, &syscall.SysProcAttr{Setsid: true, Setctty: true})
	go r.watch(ours)
	r.await("\x1b[?1049h") // from here on Ctrl-C is a key, not a signal
	receive(t, joined, "request for the members")
	fmt.Fprint(ours, "\x1b[200~ab")
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		fmt.Fprint(ours, "\x03") // one that is read together with the paste is part of it
		select {
		case <-r.ended:
			deadline = time.Time{}
		case <-time.After(100 * time.Millisecond):
		}
	}
	if code := r.finish(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
