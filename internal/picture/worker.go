package picture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

const (
	// step and maxSteps are how long a process may take in all: ten minutes, in which one of
	// a low priority on a busy machine gets its time of a processor. See patience.
	step     = time.Second
	maxSteps = 600
	// grace is how long the output of a process may stay open after its end.
	grace = time.Second
)

var (
	// ErrBusy means that as many callers wait as may.
	ErrBusy = errors.New("too many pictures are waiting")
	// ErrClosed means that the Worker has been closed.
	ErrClosed = errors.New("no more pictures are made")

	errHangs = errors.New("it has not ended in time, and was killed")
)

// Job names the files of a picture. The outputs are to be in directories that nobody else
// writes to.
type Job struct {
	// Source is the upload. It must not change.
	Source string
	// Picture and Thumbnail are the outputs. While they are being written, and after a crash
	// of this process, their names end in Partial.
	Picture, Thumbnail string
}

// Worker makes pictures in child processes, one at a time. All methods are safe for
// concurrent use.
type Worker struct {
	command  func() (*exec.Cmd, error)
	inherits bool // the child inherits open files
	step     time.Duration
	maxSteps int

	places chan struct{} // one for each caller
	turn   chan struct{} // full while a process runs

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // calls of Make
	closing context.Context
	stop    context.CancelFunc
}

// NewWorker returns a Worker for as many waiting callers, beside the one whose picture is
// being made. Each call of the function returns a new command that calls Serve with its
// standard input and output. The Worker sets its input, outputs and ExtraFiles.
func NewWorker(command func() (*exec.Cmd, error), waiting int) *Worker {
	closing, stop := context.WithCancel(context.Background())
	return &Worker{
		command: command, inherits: runtime.GOOS != "windows", step: step, maxSteps: maxSteps,
		places: make(chan struct{}, waiting+1), turn: make(chan struct{}, 1),
		closing: closing, stop: stop,
	}
}

// Make makes a picture. It waits for its turn, and for the end of the process, which it
// kills when the context ends.
//
// Without an error the outputs are complete, but not durable: nothing is synced. The
// thumbnail exists if there is one, and before the picture does. With an error neither
// output exists, unless one did before.
//
// The error is ErrBusy, ErrClosed, the cause of the context, a *RefusedError about the
// picture, or a *ProcessError, after which another try may go well.
func (w *Worker) Make(ctx context.Context, job Job) (Made, error) {
	if !w.enter() {
		return Made{}, ErrClosed
	}
	defer w.running.Done()
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	default:
		return Made{}, ErrBusy
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return Made{}, fmt.Errorf("wait to make a picture: %w", context.Cause(ctx))
	case <-w.closing.Done():
		return Made{}, ErrClosed
	}
	o, err := job.open()
	if err != nil {
		return Made{}, err
	}
	defer o.discard()
	a, err := w.run(ctx, o)
	if err != nil {
		return Made{}, err
	}
	return o.settle(a)
}

// enter has Close wait until running.Done is called. It reports false if it was called.
func (w *Worker) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.running.Add(1)
	}
	return !w.closed
}

// Close kills the process and returns when all calls of Make have.
func (w *Worker) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
	w.running.Wait()
}

// run has a process carry out a job, and returns its answer.
func (w *Worker) run(ctx context.Context, o *outputs) (answer, error) {
	p, err := w.start(o)
	if err != nil {
		return answer{}, &ProcessError{NotStarted, err}
	}
	until, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(w.closing, func() { end(ErrClosed) })()
	patience := newPatience(w.step, w.maxSteps, func() { end(errHangs) })
	defer patience.stop()
	select {
	case <-p.ended:
		return p.conclude(nil)
	case <-until.Done():
		_ = p.command.Process.Kill() // it may have ended
		<-p.ended
		return p.conclude(context.Cause(until))
	}
}

// start starts a process and sends it a request.
func (w *Worker) start(o *outputs) (*process, error) {
	c, err := w.command()
	if err != nil {
		return nil, err
	}
	r := request{number: rand.Uint64()}
	if w.inherits {
		c.ExtraFiles = o.descriptors()
	} else if r.source, r.picture, r.thumbnail, err = o.paths(); err != nil {
		return nil, err
	}
	return launch(c, r.append(nil))
}

// absolute returns a path that a process in another directory can use.
func absolute(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err == nil && len(path) > maxPath {
		err = fmt.Errorf("a path of %d bytes, at most %d", len(path), maxPath)
	}
	return path, err
}

// patience counts steps until it is over. A step that takes twice as long does not count:
// this process was suspended meanwhile, and perhaps all were.
type patience struct {
	step time.Duration
	over func()
	now  func() time.Time

	mu    sync.Mutex
	left  int // steps; 0 if it is over or stopped
	timer *time.Timer
}

func newPatience(step time.Duration, steps int, over func()) *patience {
	p := &patience{step: step, over: over, now: time.Now, left: steps}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextLocked()
	return p
}

func (p *patience) nextLocked() {
	began := p.now()
	p.timer = time.AfterFunc(p.step, func() { p.tick(began) })
}

func (p *patience) tick(began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return
	}
	if p.now().Sub(began) < 2*p.step {
		p.left--
	}
	if p.left == 0 {
		p.over()
		return
	}
	p.nextLocked()
}

func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = 0
	p.timer.Stop()
}
