package picture

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
)

// Failure is what went wrong with a child process.
type Failure uint8

const (
	// NotStarted: the program or the system refused.
	NotStarted Failure = iota + 1
	// Disk: the upload could not be read, or an output not be written. The error wraps a
	// syscall.Errno if the system gave one, such as ENOSPC.
	Disk
	// Crashed: it ended by itself and has no answer.
	Crashed
	// Killed: somebody else ended it, perhaps the system for want of memory.
	Killed
	// Hung: it took more than ten minutes.
	Hung
	// Garbled: it answered something that makes no sense.
	Garbled
	// NoMemory: the machine, or a limit that the server was started with, has not the memory that
	// a picture within the limits may take. Another try may go well.
	NoMemory
)

var failures = map[Failure]string{
	NotStarted: "the process does not start",
	Disk:       "reading or writing",
	Crashed:    "the process crashed",
	Killed:     "the process was killed",
	Hung:       "the process hung",
	Garbled:    "the process answered nonsense",
	NoMemory:   "the machine has not enough memory",
}

func (f Failure) String() string {
	if text, ok := failures[f]; ok {
		return text
	}
	return fmt.Sprintf("Failure(%d)", uint8(f))
}

// ProcessError means that nobody knows whether a picture can be shown.
type ProcessError struct {
	Failure Failure
	Err     error
}

func (e *ProcessError) Error() string {
	return fmt.Sprintf("make a picture: %s: %v", e.Failure, e.Err)
}

func (e *ProcessError) Unwrap() error { return e.Err }

// systemError is an error of the system in another process.
type systemError struct {
	text   string
	number syscall.Errno
}

func (e *systemError) Error() string { return e.text }
func (e *systemError) Unwrap() error { return e.number }

// maxComplaint bounds what is kept of the standard error of a process, in bytes.
const maxComplaint = 1 << 10

// process is a running child process.
type process struct {
	command           *exec.Cmd
	frame             []byte // the request
	output, complaint beginning
	ended             chan struct{} // closed after the process and its output
	waiting           sync.WaitGroup
	hasMemory         func() bool // see the function of that name
}

// launch starts a command and sends it a request. Its input stays open until it ends.
func launch(c *exec.Cmd, frame []byte) (*process, error) {
	p := &process{command: c, frame: frame, ended: make(chan struct{}), hasMemory: hasMemory}
	p.output.max, p.complaint.max = maxAnswer+1, maxComplaint
	c.Stdout, c.Stderr, c.WaitDelay = &p.output, &p.complaint, grace
	requests, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	_, _ = requests.Write(frame) // if it has ended, that says more
	p.waiting.Go(func() {
		_ = c.Wait() // see conclude
		close(p.ended)
	})
	return p, nil
}

// conclude returns the answer of a process that has ended. The cause is why it was killed,
// or nil.
func (p *process) conclude(cause error) (answer, error) {
	p.waiting.Wait()
	state := p.command.ProcessState
	if state.Success() {
		a, err := readAnswer(p.output.kept, p.frame)
		if err == nil {
			return a, nil
		}
		if cause == nil {
			return answer{}, &ProcessError{Garbled, err}
		}
	}
	complaint := bytes.TrimSpace(p.complaint.kept)
	switch {
	case errors.Is(cause, errHangs):
		return answer{}, &ProcessError{Hung, cause}
	case cause != nil:
		return answer{}, fmt.Errorf("make a picture: %w", cause)
	case ranOut(complaint) && !p.hasMemory():
		return answer{}, &ProcessError{NoMemory, fmt.Errorf("%s: %s", state, complaint)}
	case ranOut(complaint):
		// The process had all of its memory to itself, see confineProcess, and used it up.
		return answer{}, &RefusedError{Reason: TooMuchMemory}
	case state.ExitCode() < 0:
		return answer{}, &ProcessError{Killed, fmt.Errorf("%s: %s", state, complaint)}
	}
	return answer{}, &ProcessError{Crashed, fmt.Errorf("%s: %s", state, complaint)}
}

// ranOut reports whether the runtime of Go complains that there is no memory.
func ranOut(complaint []byte) bool {
	return bytes.Contains(complaint, []byte("out of memory")) || bytes.Contains(complaint, []byte("cannot allocate memory")) ||
		// What the garbage collector of Go 1.26 ends with if it gets no memory for its own queue.
		bytes.Contains(complaint, []byte("runtime.(*spanQueue)"))
}

// beginning keeps the first bytes that are written.
type beginning struct {
	kept []byte
	max  int
}

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), b.max-len(b.kept))]...)
	return len(p), nil
}
