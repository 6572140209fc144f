package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"kaban/internal/childtest"
)

// request has the fields of a request that fakes use.
type request struct{ Type, Ref, Room, ID, Content string }

// fake runs a server with scripted answers. answer returns the lines for a
// request, or false for the default answers, which acknowledge no sends.
func fake(t *testing.T, answer func(r request) (lines []string, ok bool)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					var r request
					if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
						t.Errorf("the client sent %s: %v", lines.Text(), err)
						return
					}
					answers, ok := answer(r)
					if !ok {
						answers = usual(r)
					}
					for _, a := range answers {
						fmt.Fprintln(conn, strings.ReplaceAll(a, "REF", r.Ref))
					}
				}
			})
		}
	})
	return l.Addr().String()
}

func usual(r request) []string {
	switch r.Type {
	case "hello":
		return []string{`{"type":"welcome","version":1,"session":"s","username":"ann","server":"fake","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30,"ref":"REF"}`}
	case "join":
		return []string{`{"type":"joined","room":"lobby","epoch":"e","head":0,"members":1,"ref":"REF"}`}
	case "history":
		return []string{`{"type":"history","room":"lobby","messages":[],"more":false,"ref":"REF"}`}
	case "ping":
		return []string{`{"type":"pong","ref":"REF"}`}
	}
	return nil
}

// running is a command under test.
type running struct {
	*exec.Cmd
	t      *testing.T
	mu     sync.Mutex
	output bytes.Buffer
	ended  chan struct{}
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.Write(p)
}

func (r *running) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.String()
}

// receive waits for a value from another goroutine.
func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
	return v
}

// command prepares "kaban ARGS…" with its standard output and errors in one
// buffer.
func command(t *testing.T, args ...string) *running {
	r := &running{Cmd: exec.CommandContext(t.Context(), binary, args...), t: t, ended: make(chan struct{})}
	if found := stateOf(args); found != nil {
		r.Env = append(os.Environ(), found...)
	}
	r.Stdout, r.Stderr = r, r
	r.WaitDelay = patience
	return r
}

// begin starts it.
func (r *running) begin() {
	r.t.Helper()
	childtest.Bind(r.Cmd, syscall.SIGKILL)
	if err := r.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { r.Wait(); close(r.ended) }()
	r.t.Cleanup(func() { r.Process.Kill(); <-r.ended }) // SIGKILL also ends a stopped process
}

// await waits for a text in the output.
func (r *running) await(text string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(r.String(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%q does not come in %q", text, r)
		}
	}
}

// until waits until a condition holds.
func (r *running) until(holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain; the command has printed %q", r)
		}
	}
}

func (r *running) finish() (code int) {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatalf("the command does not end: %q", r)
	}
	return r.ProcessState.ExitCode()
}

// A second interrupt ends a chat that waits for acks.
func TestASecondInterruptGivesUp(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	addr := fake(t, func(r request) ([]string, bool) {
		if r.Type == "send" {
			close(read)
		}
		return nil, false
	})
	r := command(t, "chat", "--plain", "--server", addr, "--username", "ann")
	stdin, err := r.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	r.begin()
	fmt.Fprintln(stdin, "never acknowledged")
	receive(t, read, "send")
	r.Process.Signal(os.Interrupt)
	r.await("interrupt again to give up")
	r.Process.Signal(os.Interrupt)
	r.finish()
	if status := r.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
		t.Errorf("the command exited with %d instead of a signal: %q", status.ExitStatus(), r)
	}
}

// hostile is a text with terminal control sequences, as JSON. None of them may
// appear in the output.
const hostile = `\u001b[2J\u001b]0;owned\u0007\u009b31m\u202eevil\r\nkaban: all is well`

// An error text from a server cannot control the terminal.
func TestErrorsOfAServerAreClean(t *testing.T) {
	refuse := func(kind, code string) func(r request) ([]string, bool) {
		return func(r request) ([]string, bool) {
			if r.Type != kind {
				return nil, false
			}
			lines := []string{fmt.Sprintf(`{"type":"error","code":"%s","message":"%s","room":"lobby","id":"%s","ref":"REF"}`, code, hostile, r.ID)}
			if kind == "hello" {
				lines = append(lines, `{"type":"goodbye","reason":"protocol"}`)
			}
			return lines, true
		}
	}
	for name, c := range map[string]struct {
		kind string
		args []string
	}{
		"chat, refused at hello":   {"hello", []string{"chat", "--plain"}},
		"chat, refused at join":    {"join", []string{"chat", "--plain"}},
		"chat, a message refused":  {"send", []string{"chat", "--plain"}},
		"send, refused at hello":   {"hello", []string{"send", "lobby", "x"}},
		"send, refused at join":    {"join", []string{"send", "lobby", "x"}},
		"send, a message refused":  {"send", []string{"send", "lobby", "x"}},
		"tail, refused at hello":   {"hello", []string{"tail", "lobby"}},
		"tail, refused at history": {"history", []string{"tail", "lobby"}},
	} {
		for _, code := range []string{"internal", "new_" + hostile} {
			t.Run(name+", "+code[:3], func(t *testing.T) {
				t.Parallel()
				r := command(t, append(c.args, "--server", fake(t, refuse(c.kind, code)), "--username", "ann")...)
				r.Stdin = strings.NewReader("x\n")
				r.begin()
				if code := r.finish(); code != 1 {
					t.Errorf("exit code %d, want 1: %q", code, r)
				}
				lines := strings.Split(strings.TrimSuffix(r.String(), "\n"), "\n")
				for _, line := range lines {
					if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
						t.Errorf("the output has %q", line)
					}
					if strings.HasPrefix(line, "kaban: all is well") {
						t.Errorf("the output has a forged line: %q", lines)
					}
				}
				if !strings.Contains(r.String(), "<U+001B>") {
					t.Errorf("the error is not reported: %q", r)
				}
			})
		}
	}
}

// Contents are escaped in JSON output.
func TestJSONIsClean(t *testing.T) {
	t.Parallel()
	addr := fake(t, func(r request) ([]string, bool) {
		return []string{`{"type":"history","room":"lobby","messages":[{"seq":1,"id":"1","username":"bob","content":"\u009b31m\u007f\u202e\u2028é","time":"2026-11-24T02:35:37.101Z"}],"more":false,"ref":"REF"}`}, r.Type == "history"
	})
	r := command(t, "tail", "lobby", "--json", "--server", addr, "--username", "ann")
	r.begin()
	if code := r.finish(); code != 0 || !strings.Contains(r.String(), `"content":"\u009b31m\u007f\u202e\u2028é"`) {
		t.Errorf("exit code %d: %q", code, r)
	}
}
