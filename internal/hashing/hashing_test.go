package hashing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"kaban/internal/logs/logstest"
)

// fakes start processes that are goroutines. Each behaves as the next function says, or
// else serves.
type fakes struct {
	mu      sync.Mutex
	next    []func(in io.Reader, out io.Writer) error // nil: it cannot be started
	started int
	alive   atomic.Int32
	bodies  sync.WaitGroup
}

var errStart, errExit, errKilled = errors.New("cannot start"), errors.New("exit status 3"), errors.New("killed")

func (f *fakes) start() (*Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run := func(in io.Reader, out io.Writer) error { return Serve(in, out) }
	if len(f.next) > 0 {
		run, f.next = f.next[0], f.next[1:]
	}
	if run == nil {
		return nil, errStart
	}
	f.started++
	f.alive.Add(1)
	requests, in := net.Pipe()
	answers, out := net.Pipe()
	ended, killed := make(chan error, 1), make(chan struct{})
	f.bodies.Go(func() {
		err := run(in, out)
		ended <- err
		in.Close()
		out.Close()
	})
	return &Process{
		Requests: requests, Answers: answers,
		Wait: func() error {
			defer f.alive.Add(-1)
			select {
			case <-killed:
			case err := <-ended:
				return err
			}
			select {
			case err := <-ended: // before
				return err
			default:
				return errKilled
			}
		},
		Kill: sync.OnceValue(func() error { in.Close(); out.Close(); close(killed); return nil }),
	}, nil
}

// die reads a request and ends.
func die(in io.Reader, _ io.Writer) error {
	var r request
	r.read(in, nil)
	return errExit
}

// babble answers a request with something else.
func babble(in io.Reader, out io.Writer) error {
	var r request
	r.read(in, nil)
	fmt.Fprint(out, strings.Repeat("warning: something is odd\n", 10))
	return nil
}

// hang reads and never answers.
func hang(in io.Reader, _ io.Writer) error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// maxTest is how many processes there are at most in a test.
const maxTest = 4

// hasher is Processes in a test.
type hasher struct {
	*Processes
	t *testing.T
	*fakes
	log *logstest.Buffer
}

// within runs a test in which time is simulated.
func within(t *testing.T, next []func(io.Reader, io.Writer) error, run func(h hasher)) {
	synctest.Test(t, func(t *testing.T) {
		f, log := &fakes{next: next}, new(logstest.Buffer)
		h := hasher{New(f.start, maxTest, slog.New(slog.NewTextHandler(log, nil))), t, f, log}
		defer f.bodies.Wait()
		defer h.Close()
		run(h)
	})
}

// works has a key computed, and compares it.
func (h hasher) works(password string) {
	h.t.Helper()
	salt := []byte("0123456789abcdef")
	got := h.Key([]byte(password), salt, 1, 8, 1, 32)
	if want := argon2.IDKey([]byte(password), salt, 1, 8, 1, 32); !bytes.Equal(got, want) {
		h.t.Errorf("%q: got %x, want %x", password, got, want)
	}
}

func (h hasher) expect(step string, started, alive, warnings int) {
	h.t.Helper()
	synctest.Wait()
	if h.started != started || int(h.alive.Load()) != alive || strings.Count(h.log.String(), "level=WARN") != warnings {
		h.t.Errorf("%s: %d processes have started and %d are alive, want %d and %d; want %d warnings in %q",
			step, h.started, h.alive.Load(), started, alive, warnings, h.log)
	}
}

func TestAProcessIsUsedAgainAndEndsWhenIdle(t *testing.T) {
	within(t, nil, func(h hasher) {
		h.expect("before the first hash", 0, 0, 0)
		for i := range 10 {
			h.works(fmt.Sprint("password ", i))
			time.Sleep(idleTime - 1)
		}
		h.expect("in use", 1, 1, 0)
		time.Sleep(2 * time.Nanosecond)
		h.expect("idle", 1, 0, 0)
		h.works("again")
		h.expect("in use again", 2, 1, 0)
		h.Close()
		h.expect("closed", 2, 0, 0)
		h.works("after the end")
		h.expect("after the end", 2, 0, 0)
	})
}

func TestAsManyProcessesAsCalls(t *testing.T) {
	within(t, nil, func(h hasher) {
		var meeting sync.WaitGroup
		meeting.Add(3)
		together := func(in io.Reader, out io.Writer) error {
			meeting.Done()
			meeting.Wait()
			return Serve(in, out)
		}
		h.next = []func(io.Reader, io.Writer) error{together, together, together}
		var calls sync.WaitGroup
		for i := range 3 {
			calls.Go(func() { h.works(fmt.Sprint(i)) })
		}
		calls.Wait()
		h.expect("three calls at once", 3, 3, 0)
		for range 10 { // one of them goes on, and the others are idle
			time.Sleep(idleTime / 4)
			h.works("one")
		}
		h.expect("one call at a time", 3, 1, 0)
	})
}

func TestFailures(t *testing.T) {
	type behaviours []func(io.Reader, io.Writer) error
	for _, test := range []struct {
		name           string
		next           behaviours
		started, alive int
		took           time.Duration
		warning        string
	}{
		{"one dies", behaviours{die}, 2, 1, 0, "unexpected EOF (exit status 3)"},
		{"two die", behaviours{die, die}, 2, 0, 0, "unexpected EOF (exit status 3)"},
		{"one cannot start", behaviours{nil}, 1, 1, 0, "cannot start"},
		{"two cannot start", behaviours{nil, nil}, 0, 0, 0, "cannot start"},
		{"one babbles", behaviours{babble}, 2, 1, 0, "the answer does not fit the request"},
		{"all die", behaviours{die, die, die, die}, 2, 0, 0, "unexpected EOF (exit status 3)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			within(t, test.next, func(h hasher) {
				began := time.Now()
				h.works("secret")
				if took := time.Since(began); took != test.took {
					h.t.Errorf("it takes %s, want %s", took, test.took)
				}
				h.expect("after the failure", test.started, test.alive, 1)
				if !strings.Contains(h.log.String(), test.warning) || strings.Contains(h.log.String(), "secret") {
					h.t.Errorf("want %s in %q", test.warning, h.log)
				}
			})
		})
	}
}

// A process that ends while it is idle is not asked.
func TestAnIdleProcessEnds(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{func(in io.Reader, out io.Writer) error {
		var r request
		frame, err := r.read(in, nil)
		if err != nil {
			return err
		}
		_, err = out.Write(appendAnswer(nil, frame, r.key()))
		return err
	}}, func(h hasher) {
		h.works("one")
		h.expect("it has ended", 1, 0, 0)
		h.works("two")
		h.expect("another one", 2, 1, 0)
		process, err := h.take(true)
		if err != nil {
			t.Fatal(err)
		}
		process.kill()
		synctest.Wait()
		h.give(process, true)
		h.works("three")
		h.expect("it ended after its answer", 3, 1, 0)
	})
}

// A close in the middle of a hash ends the process that computes it, without a warning.
func TestCloseInTheMiddle(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{func(in io.Reader, out io.Writer) error {
		err := hang(in, out)
		time.Sleep(2 * grace) // it does not end by itself, either
		return err
	}}, func(h hasher) {
		var call sync.WaitGroup
		call.Go(func() { h.works("one") })
		synctest.Wait()
		began := time.Now()
		h.Close()
		call.Wait()
		if took := time.Since(began); took != grace {
			t.Errorf("it takes %s, want %s", took, grace)
		}
		h.expect("closed", 1, 0, 0)
	})
}

// What is out of the bounds of a request is computed here.
func TestKeyOutOfBounds(t *testing.T) {
	within(t, nil, func(h hasher) {
		salt := make([]byte, maxField+1)
		if got, want := h.Key(nil, salt, 1, 8, 1, 32), argon2.IDKey(nil, salt, 1, 8, 1, 32); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
		h.expect("a long salt", 0, 0, 0)
	})
}

// servesHere makes the test binary a process that serves.
const (
	servesHere = "HASHING_TEST_SERVE=1"
	complains  = "HASHING_TEST_COMPLAIN=1" // instead, and fails
)

func TestMain(m *testing.M) {
	if os.Getenv("HASHING_TEST_COMPLAIN") != "" {
		fmt.Fprintln(os.Stderr, strings.Repeat("out of everything ", 10_000))
		os.Exit(1)
	}
	if os.Getenv("HASHING_TEST_SERVE") != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// realProcesses starts the test binary as processes that serve, with more variables.
func realProcesses(t *testing.T, variables ...string) (all hasher, commands func() []*exec.Cmd, log *logstest.Buffer) {
	t.Helper()
	var mu sync.Mutex
	var started []*exec.Cmd
	log = new(logstest.Buffer)
	h := New(func() (*Process, error) {
		c := exec.Command(os.Args[0])
		c.Env = append([]string{servesHere, "GORACE=atexit_sleep_ms=0"}, variables...)
		mu.Lock()
		defer mu.Unlock()
		started = append(started, c)
		return Launch(c)
	}, 20, slog.New(slog.NewTextHandler(log, nil)))
	h.patience = time.Hour // a busy machine is no failure
	t.Cleanup(h.Close)
	return hasher{Processes: h, t: t}, func() []*exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(started)
	}, log
}

// Real processes compute keys and end.
func TestRealProcesses(t *testing.T) {
	all, commands, log := realProcesses(t)
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() { all.works(fmt.Sprint("password ", i)) })
	}
	calls.Wait()
	all.Close()
	if text := log.String(); text != "" {
		t.Errorf("logged %s", text)
	}
	for _, c := range commands() {
		if c.ProcessState == nil {
			t.Errorf("%v has not ended", c)
		}
	}
}

// Another process is started after the death of a real one.
func TestARealProcessIsKilled(t *testing.T) {
	all, commands, log := realProcesses(t)
	all.works("before")
	if n := len(commands()); n != 1 {
		t.Fatalf("%d processes have started, want one", n)
	}
	if err := commands()[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	all.works("after the death")
	if n := len(commands()); n != 2 {
		t.Errorf("%d processes have started, want another one", n)
	}
	all.Close()
	if text := log.String(); text != "" {
		t.Errorf("logged %s", text)
	}
}

// The log has what a process complains of when it fails, and not much of it.
func TestARealProcessComplains(t *testing.T) {
	all, _, log := realProcesses(t, complains)
	all.works("secret")
	all.Close()
	if text := log.String(); !strings.Contains(text, "(exit status 1: out of everything ") || len(text) > 2*maxComplaint || strings.Count(text, "\n") != 1 {
		t.Errorf("logged %s", log)
	}
}

func TestLaunchFails(t *testing.T) {
	p, err := Launch(exec.Command("/nonexistent"))
	if p != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, %v", p, err)
	}
}
