package hashing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Process is a running process that serves requests. The zero value is invalid.
type Process struct {
	// Requests is its standard input. It ends after this is closed.
	Requests interface {
		io.WriteCloser
		SetWriteDeadline(time.Time) error
	}
	// Answers is its standard output.
	Answers interface {
		io.ReadCloser
		SetReadDeadline(time.Time) error
	}
	// Wait returns when it has ended. It is called once.
	Wait func() error
	// Kill ends it whatever it does.
	Kill func() error

	expiry *time.Timer   // while it is idle
	ended  chan struct{} // closed after state is set
	state  error         // in which it ended; nil if all is well
}

// Launch starts a command that runs Serve. A start that is given replaces
// [exec.Cmd.Start].
func Launch(c *exec.Cmd, start func() error) (*Process, error) {
	requests, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	answers, theirs, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a pipe: %w", err), requests.Close(), ours.Close())
	}
	c.Stdin, c.Stdout = requests, theirs
	if start == nil {
		start = c.Start
	}
	err = start()
	err = errors.Join(err, requests.Close(), theirs.Close())
	if err != nil {
		return nil, errors.Join(err, ours.Close(), answers.Close())
	}
	return &Process{Requests: ours, Answers: answers, Wait: c.Wait, Kill: c.Process.Kill}, nil
}

// ask returns the answer to a request. After an error, including
// os.ErrDeadlineExceeded, the process is of no use.
func (p *Process) ask(r request, patience time.Duration) (key []byte, err error) {
	deadline := time.Now().Add(patience)
	if err := errors.Join(p.Requests.SetWriteDeadline(deadline), p.Answers.SetReadDeadline(deadline)); err != nil {
		return nil, err
	}
	frame := r.append(nil)
	defer clear(frame)
	if _, err := p.Requests.Write(frame); err != nil {
		return nil, err
	}
	return readAnswer(p.Answers, frame, r.length)
}

// end has a process end by itself. It may have ended.
func (p *Process) end() { _ = p.Requests.Close() }

// discard ends a process that nobody else knows.
func (p *Process) discard() error {
	p.end()
	return errors.Join(p.Kill(), p.Answers.Close(), p.Wait())
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
		if p.state == nil {
			return errors.New("it has ended")
		}
		return p.state
	case <-overdue.C:
		return errors.New("it does not end")
	}
}
