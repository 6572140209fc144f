package conn

import (
	"runtime"
	"sync"
)

// How many calls of each kind run at a time.
var (
	// maxReaders is for reads of the log. One processor is left for live traffic:
	// readers that catch up must not hold it up.
	maxReaders = max(1, runtime.GOMAXPROCS(0)-1)
	// maxAnswerers is for what peers ask. Such a call mostly waits, so one that is slow
	// must not hold up the others.
	maxAnswerers = max(4, maxReaders)
	// maxCheckers is for what may take long on purpose, such as checking a password.
	maxCheckers = 16
	// maxSeekers is for what waits for its turn elsewhere, such as a search.
	maxSeekers = 1000
)

// workers run calls that may block, so that no loop does. A worker lives while
// there is work.
type workers struct {
	group *sync.WaitGroup
	most  int // at a time

	mu      sync.Mutex // guards all below
	waiting []func()
	running int
}

func newWorkers(group *sync.WaitGroup) (readers, answerers, checkers, seekers *workers) {
	return &workers{group: group, most: maxReaders}, &workers{group: group, most: maxAnswerers}, &workers{group: group, most: maxCheckers}, &workers{group: group, most: maxSeekers}
}

// run has a worker make a call soon, in the order of the calls to run.
func (w *workers) run(call func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, call)
	if w.running < w.most {
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
