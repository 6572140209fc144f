// Package hashing computes Argon2id, RFC 9106, in processes of their own. The system can
// give those a lower priority than the server. A goroutine or thread cannot have one,
// because argon2 starts goroutines.
package hashing

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// idleTime is how long a process lives without a request.
	idleTime = 20 * time.Second
	// patience is how long an answer may take before the key is computed here, too.
	patience = time.Second
	// maxPatience is how often a process gets that time before it is killed.
	maxPatience = 30
	// maxSlow is after how many slow answers in a row no process is asked for a while.
	maxSlow = 3
	// attempts is how many new processes may fail before the key is computed here.
	attempts = 2
	// Bounds of the time in which no process is asked. It doubles until one answers in time.
	firstRest = time.Minute
	maxRest   = 15 * time.Minute
	// grace is how long processes have to end by themselves.
	grace = time.Second
)

var (
	// errUnavailable means that no process can be asked now.
	errUnavailable = errors.New("no process is to be asked now")
	errHangs       = errors.New("it has not answered for 30 s, and was killed")
)

// Processes computes keys in processes, which start when they are needed and end when
// they are idle. All methods are safe for concurrent use.
type Processes struct {
	start func() (*Process, error)
	max   int
	log   *slog.Logger
	now   func() time.Time
	// patience is the constant, but in tests that are not about it.
	patience time.Duration

	here    chan struct{} // full during a hash in this process
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	failing bool                  // and logged
	slow    int                   // answers that took too long, since one that did not
	rest    time.Duration         // the last one, since an answer in time
	rested  time.Time             // no process is asked before
	count   int                   // of processes that start or have not ended
	all     map[*Process]struct{} // that have not ended
	idle    []*Process            // the one that was used last is the last
}

// New returns Processes that start each process with a function, such as Launch, and have
// a maximum of them at a time.
func New(start func() (*Process, error), max int, log *slog.Logger) *Processes {
	return &Processes{
		start: start, max: max, log: log, now: time.Now, patience: patience,
		here: make(chan struct{}, 1), all: make(map[*Process]struct{}),
	}
}

// Key returns what argon2.IDKey returns for the same arguments; memory is in KiB. It
// computes the key in this process, one at a time, if processes fail, all of them are
// busy, or one has not answered for 1 s.
func (p *Processes) Key(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
	r := request{password: password, salt: salt, passes: passes, memory: memory, lanes: lanes, length: length}
	var answers <-chan answer
	if r.isValid() && p.enter() {
		defer p.running.Done()
		var key []byte
		if key, answers = p.apart(r); key != nil {
			return key
		}
	}
	for {
		select {
		case p.here <- struct{}{}:
			defer func() { <-p.here }()
			return r.key()
		case a := <-answers:
			if a.err == nil {
				return a.key
			}
			answers = nil
		}
	}
}

// enter has Close wait until running.Done is called. It reports false if it was called.
func (p *Processes) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.running.Add(1)
	}
	return !p.closed
}

// apart has a process compute a key. Without one in time it returns nil, and where the key
// may come from later.
func (p *Processes) apart(r request) (key []byte, later <-chan answer) {
	for failures, used := 0, true; failures < attempts; {
		process, err := p.take(used)
		if errors.Is(err, errUnavailable) {
			return nil, nil
		}
		if err != nil {
			p.complain(err, false)
			failures++
			continue
		}
		used = process.used
		answers, late := p.ask(process, r)
		select {
		case a := <-answers:
			if a.err == nil {
				return a.key, nil
			}
			if !used { // see complain
				failures++
			}
			used = false
		case <-late:
			return nil, answers
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restLocked()
	return nil, nil
}

// answer is what comes of a request to a process.
type answer struct {
	key []byte
	err error
}

// ask has a process answer a request. late is closed when that takes more than patience.
// The process is idle, or has been killed and closed, before the answer comes.
func (p *Processes) ask(process *Process, r request) (answers <-chan answer, late <-chan struct{}) {
	to, frame, used := make(chan answer, 1), r.append(nil), process.used
	w := p.watch(process)
	p.running.Go(func() {
		defer clear(frame)
		key, err := process.ask(frame, r.length)
		if steps := p.stop(w); err == nil {
			p.give(process, steps == 0)
		} else {
			if steps == maxPatience {
				err, used = errHangs, false
			}
			err = fmt.Errorf("%w (%w)", err, process.kill())
			process.close()
			p.complain(err, used)
		}
		to <- answer{key, err}
	})
	return to, w.late
}

// complain logs the first failure since an answer in time. That of a used process is none,
// because it may have ended before it was asked.
func (p *Processes) complain(err error, used bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.failing {
		return
	}
	if used {
		p.log.Debug("a process that hashes passwords had ended", "error", err)
		return
	}
	p.failing = true
	p.log.Warn("a process that hashes passwords failed; without one sign-ins work, but messages are slower meanwhile", "error", err)
}

// restLocked has no process asked for a while, longer each time.
func (p *Processes) restLocked() {
	if now := p.now(); !p.closed && !now.Before(p.rested) {
		p.rest = min(max(firstRest, 2*p.rest), maxRest)
		p.rested = now.Add(p.rest)
	}
}

// slowLocked counts an answer that does not come in time.
func (p *Processes) slowLocked() {
	p.slow++
	if p.slow < maxSlow || p.closed {
		return
	}
	p.restLocked()
	if !p.failing {
		p.failing = true
		p.log.Warn("processes that hash passwords take over 1 s each, so the server does it itself for a while; messages are slower meanwhile", "rest", p.rest)
	}
}

// take returns a process that is idle, if one may be used, or else a new one. The error is
// errUnavailable if there can be none.
func (p *Processes) take(used bool) (*Process, error) {
	p.mu.Lock()
	if p.closed || p.now().Before(p.rested) {
		p.mu.Unlock()
		return nil, errUnavailable
	}
	if last := len(p.idle) - 1; last >= 0 && (used || p.count >= p.max) {
		process := p.idle[last]
		p.idle = p.idle[:last]
		process.expiry.Stop() // if it is too late, expire does not find it
		process.asked = true
		p.mu.Unlock()
		return process, nil
	}
	if p.count >= p.max {
		p.mu.Unlock()
		return nil, errUnavailable
	}
	p.count++
	p.mu.Unlock()
	process, err := p.start()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.count--
		return nil, err
	}
	if p.closed {
		p.count--
		return nil, errors.Join(errUnavailable, process.discard())
	}
	process.asked, process.ended = true, make(chan struct{})
	p.all[process] = struct{}{}
	p.running.Go(func() { p.reap(process) })
	return process, nil
}

// give takes back a process that has answered.
func (p *Processes) give(process *Process, inTime bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if inTime && !p.now().Before(p.rested) {
		p.slow, p.rest = 0, 0
		if p.failing {
			p.failing = false
			p.log.Info("processes that hash passwords work again")
		}
	}
	process.asked, process.used = false, true
	if _, alive := p.all[process]; !alive {
		process.close()
		return
	}
	if p.closed {
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
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, process)
	p.count--
	p.removeLocked(process)
	close(process.ended)
	if !process.asked { // or else an answer may be in the pipe
		process.close()
	}
}

// Close ends all processes, and returns when they have ended and calls of Key have
// returned. Keys are computed in this process after that.
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
