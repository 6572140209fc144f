package server

import (
	"runtime"
	"sync"
)

// maxWorkers is how many calls that may block run at a time. One processor is
// left for what is live: who catches up must not hold up who has.
var maxWorkers = max(1, runtime.GOMAXPROCS(0)-1)

// workers run what may block, so that no loop does. A worker lives while there
// is work.
type workers struct {
	group *sync.WaitGroup

	mu      sync.Mutex // guards all below
	waiting []func()
	running int
}

// run has a worker call something soon, in the order of the calls of run.
func (w *workers) run(call func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, call)
	if w.running < maxWorkers {
		w.running++
		w.group.Go(w.work)
	}
}

func (w *workers) work() {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		call := w.waiting[0]
		w.waiting[0] = nil
		w.waiting = w.waiting[1:]
		w.mu.Unlock()
		call()
		runtime.Gosched() // live traffic goes first
	}
}
