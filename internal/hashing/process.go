package hashing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// maxComplaint bounds what is kept of the standard error of a process, in bytes.
const maxComplaint = 1 << 10

// Process is a running process that serves requests. The zero value is invalid.
type Process struct {
	// Requests is its standard input. It ends after this is closed.
	Requests io.WriteCloser
	// Answers is its standard output.
	Answers io.ReadCloser
	// Wait returns when it has ended. It is called once.
	Wait func() error
	// Kill ends it whatever it does.
	Kill func() error

	expiry *time.Timer   // while it is idle
	used   bool          // it has answered
	asked  bool          // it has been taken, and not given back
	ended  chan struct{} // closed after state is set
	state  error         // in which it ended; nil if all is well
}

// Launch starts a command that runs Serve. Wait of the process returns what the command
// has written to its standard error, too, up to 1 KiB.
func Launch(c *exec.Cmd) (*Process, error) {
	requests, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	answers, theirs, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a pipe: %w", err), requests.Close(), ours.Close())
	}
	var complaint beginning
	c.Stdin, c.Stdout, c.Stderr = requests, theirs, &complaint
	c.WaitDelay = grace
	err = c.Start()
	err = errors.Join(err, requests.Close(), theirs.Close())
	if err != nil {
		return nil, errors.Join(err, ours.Close(), answers.Close())
	}
	wait := func() error {
		err := c.Wait()
		if text := bytes.TrimSpace(complaint.kept); len(text) > 0 {
			return fmt.Errorf("%w: %s", ending(err), text)
		}
		return err
	}
	return &Process{Requests: ours, Answers: answers, Wait: wait, Kill: c.Process.Kill}, nil
}

// errEnded is how a process has ended by itself.
var errEnded = errors.New("it has ended")

// ending returns how a process has ended, from the error of Wait.
func ending(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// beginning keeps the first maxComplaint bytes that are written.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), maxComplaint-len(b.kept))]...)
	return len(p), nil
}

// ask returns the answer to a request. After an error the process is of no use.
func (p *Process) ask(frame []byte, length uint32) (key []byte, err error) {
	if _, err := p.Requests.Write(frame); err != nil {
		return nil, err
	}
	return readAnswer(p.Answers, frame, length)
}

// end has a process end by itself. It may have ended.
func (p *Process) end() { _ = p.Requests.Close() }

// close closes the pipes. Nobody has the other ends.
func (p *Process) close() { _, _ = p.Requests.Close(), p.Answers.Close() }

// discard ends a process that nobody else knows.
func (p *Process) discard() error {
	p.close()
	return errors.Join(p.Kill(), p.Wait())
}

// kill ends a process that has failed, and returns how it ended.
func (p *Process) kill() error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	overdue := time.NewTimer(grace)
	defer overdue.Stop()
	select {
	case <-p.ended:
		return ending(p.state)
	case <-overdue.C:
		return errors.New("it does not end")
	}
}
