package hashing

import "time"

// watch counts the time that a process takes for an answer, in steps of patience. A step
// that takes twice as long does not count: this process was suspended meanwhile, and
// perhaps all processes were.
type watch struct {
	process *Process
	late    chan struct{} // closed after the first step
	passed  bool          // late is closed
	steps   int           // that count
	over    bool          // the answer has come
	timer   *time.Timer   // of the next step
}

// watch begins the first step.
func (p *Processes) watch(process *Process) *watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &watch{process: process, late: make(chan struct{})}
	p.stepLocked(w)
	return w
}

// stop ends a watch, and returns how many steps the answer took.
func (p *Processes) stop(w *watch) (steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.over = true
	w.timer.Stop()
	return w.steps
}

func (p *Processes) stepLocked(w *watch) {
	began := p.now()
	w.timer = time.AfterFunc(p.patience, func() { p.step(w, began) })
}

// step ends a step, and perhaps begins the next one.
func (p *Processes) step(w *watch, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.over {
		return
	}
	if !w.passed {
		w.passed = true
		close(w.late)
	}
	if p.now().Sub(began) < 2*p.patience {
		w.steps++
		if w.steps == 1 {
			p.slowLocked()
		}
	}
	if w.steps == maxPatience {
		_ = w.process.Kill() // which ends the wait for an answer
		return
	}
	p.stepLocked(w)
}
