// Package hashing computes Argon2id, RFC 9106, in processes of their own. The system can
// give those a lower priority than the server. A goroutine or thread cannot have one,
// because argon2 starts goroutines.
package hashing

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// idleTime is how long a process lives without a request.
	idleTime = 20 * time.Second
	// patience is how long an answer may take. A hash of 25 ms takes 3 s where two
	// threads of normal priority want the processor all the time.
	patience = 10 * time.Second
	// attempts is how many processes are asked before the hash is computed here.
	attempts = 2
	// restTime is how long no process is asked after that.
	restTime = time.Minute
	// grace is how long processes have to end by themselves.
	grace = time.Second
)

var (
	errClosed  = errors.New("the hashing processes have been closed")
	errResting = errors.New("hashing processes have failed within the last minute")
)

// Processes computes keys in processes, which start when they are needed and end when
// they are idle. All methods are safe for concurrent use.
type Processes struct {
	start func() (*Process, error)
	log   *slog.Logger

	here    sync.Mutex // held during a hash in this process
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	failing bool                  // and logged
	rested  time.Time             // no process is asked before
	all     map[*Process]struct{} // that have not ended
	idle    []*Process            // the one that was used last is the last
}

// New returns Processes that start each process with a function, such as Launch. There
// are as many as calls of Key at a time.
func New(start func() (*Process, error), log *slog.Logger) *Processes {
	return &Processes{start: start, log: log, all: make(map[*Process]struct{})}
}

// Key returns what argon2.IDKey returns for the same arguments; memory is in KiB. If
// processes fail, or take longer than 10 s, it computes the key in this process, one at a
// time.
func (p *Processes) Key(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
	r := request{password: password, salt: salt, passes: passes, memory: memory, lanes: lanes, length: length}
	if r.isValid() {
		for attempt := 1; ; attempt++ {
			key, err := p.ask(r)
			if err == nil {
				return key
			}
			if p.giveUp(err, attempt) {
				break
			}
		}
	}
	p.here.Lock()
	defer p.here.Unlock()
	return r.key()
}

// ask has a process answer a request.
func (p *Processes) ask(r request) ([]byte, error) {
	process, err := p.take()
	if err != nil {
		return nil, err
	}
	key, err := process.ask(r, patience)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", err, process.kill())
	}
	p.give(process)
	return key, nil
}

// giveUp reports whether no other process is to be asked after an error. It logs the
// first error since an answer.
func (p *Processes) giveUp(err error, attempt int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || errors.Is(err, errResting) {
		return true
	}
	if !p.failing {
		p.failing = true
		p.log.Warn("a process that hashes passwords failed; without one sign-ins work, but messages are slower meanwhile", "error", err)
	}
	if attempt < attempts && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	p.rested = time.Now().Add(restTime)
	return true
}

// take returns an idle process, or else a new one.
func (p *Processes) take() (*Process, error) {
	p.mu.Lock()
	if err := p.unusableLocked(); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	if last := len(p.idle) - 1; last >= 0 {
		process := p.idle[last]
		p.idle = p.idle[:last]
		process.expiry.Stop() // if it is too late, expire does not find it
		p.mu.Unlock()
		return process, nil
	}
	p.mu.Unlock()
	process, err := p.start()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(errClosed, process.discard())
	}
	process.ended = make(chan struct{})
	p.all[process] = struct{}{}
	p.running.Go(func() { p.reap(process) })
	return process, nil
}

func (p *Processes) unusableLocked() error {
	switch {
	case p.closed:
		return errClosed
	case time.Now().Before(p.rested):
		return errResting
	}
	return nil
}

// give takes back a process that has answered.
func (p *Processes) give(process *Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = false
	if _, alive := p.all[process]; !alive || p.closed {
		return
	}
	process.expiry = time.AfterFunc(idleTime, func() { p.expire(process) })
	p.idle = append(p.idle, process)
}

// expire ends a process that is idle.
func (p *Processes) expire(process *Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removeLocked(process) {
		process.end()
	}
}

// removeLocked takes a process out of the idle ones.
func (p *Processes) removeLocked(process *Process) (found bool) {
	at := slices.Index(p.idle, process)
	if at < 0 {
		return false
	}
	process.expiry.Stop()
	p.idle = slices.Delete(p.idle, at, at+1)
	return true
}

// reap waits for the end of a process.
func (p *Processes) reap(process *Process) {
	process.state = process.Wait()
	close(process.ended)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, process)
	p.removeLocked(process)
	_, _ = process.Requests.Close(), process.Answers.Close() // nobody has the other ends
}

// Close ends all processes, and returns when they have ended. Keys are computed in this
// process after that.
func (p *Processes) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for process := range p.all {
			process.end()
		}
	}
	p.mu.Unlock()
	overdue := time.AfterFunc(grace, p.killAll)
	defer overdue.Stop()
	p.running.Wait()
}

func (p *Processes) killAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for process := range p.all {
		_ = process.Kill() // reap waits for it in any case
	}
}
