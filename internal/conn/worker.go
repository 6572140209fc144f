package conn

import (
	"runtime"
	"sync"
)

// maxWorkers is how many blocking calls run at a time. One processor is left for
// live traffic: readers that catch up must not hold it up.
var maxWorkers = max(1, runtime.GOMAXPROCS(0)-1)

// workers run calls that may block, so that no loop does. A worker lives while
// there is work.
type workers struct {
	group *sync.WaitGroup

	mu      sync.Mutex // guards all below
	waiting []func()
	running int
}

// run has a worker make a call soon, in the order of the calls to run.
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
