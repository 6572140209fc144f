package limit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// retryQueue is when to try again after too much of a key waits. Nobody knows when it is done.
const retryQueue = time.Second

// Queue lets a few calls run at a time, and at most one for each key. The others wait: those of a
// key in their order, and keys in turn, so a key with many calls keeps no other key waiting for
// more than one of them. All methods are safe for concurrent use.
type Queue struct {
	most int // calls of a key that wait

	mu    sync.Mutex // guards all below
	free  int        // how many more may run
	lines map[Key]*line
	next  []*line // those with a call that may run once another ends, in order
}

// line is the calls of a key, of which one runs or the first is due. The zero Key has a line for
// each call.
type line struct {
	key     Key
	running bool
	waiting []chan struct{} // one is closed when its call may run
}

// NewQueue returns a queue in which so many calls run at a time, and of each key so many wait.
func NewQueue(running, waiting int) *Queue {
	return &Queue{most: waiting, free: running, lines: make(map[Key]*line)}
}

// HalfOfProcessors returns half of the processors, but 2 at least: one call that takes long must
// not keep all others waiting.
func HalfOfProcessors() int { return max(2, runtime.GOMAXPROCS(0)/2) }

// Enter waits until a call may run, which ends with leave. The zero Key counts for nobody. It
// returns an *ExceededError if too many calls of the key wait, and the error of a context that
// ends before.
func (q *Queue) Enter(ctx context.Context, key Key) (leave func(), err error) {
	q.mu.Lock()
	l := q.lines[key]
	switch {
	case l == nil:
		l = &line{key: key}
		if key != 0 {
			q.lines[key] = l
		}
	case len(l.waiting) >= q.most:
		q.mu.Unlock()
		return nil, &ExceededError{RetryAfter: retryQueue}
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	if !l.running && len(l.waiting) == 1 {
		q.next = append(q.next, l)
		q.startLocked()
	}
	q.mu.Unlock()
	select {
	case <-turn:
		return sync.OnceFunc(func() { q.leave(l) }), nil
	case <-ctx.Done():
		q.cancel(l, turn)
		return nil, ctx.Err()
	}
}

// startLocked has calls run while they may.
func (q *Queue) startLocked() {
	for q.free > 0 && len(q.next) > 0 {
		l := q.next[0]
		q.next = q.next[1:]
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.running = true
		q.free--
	}
}

// leave ends a call of a line.
func (q *Queue) leave(l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	l.running = false
	if len(l.waiting) > 0 {
		q.next = append(q.next, l) // behind all other keys
	} else {
		q.forgetLocked(l)
	}
	q.startLocked()
}

// cancel takes back a call that waits, or ends it if it runs by now.
func (q *Queue) cancel(l *line, turn chan struct{}) {
	q.mu.Lock()
	i := slices.Index(l.waiting, turn)
	if i < 0 {
		q.mu.Unlock()
		q.leave(l)
		return
	}
	defer q.mu.Unlock()
	l.waiting = slices.Delete(l.waiting, i, i+1)
	if !l.running && len(l.waiting) == 0 {
		q.next = slices.DeleteFunc(q.next, func(other *line) bool { return other == l })
		q.forgetLocked(l)
	}
}

func (q *Queue) forgetLocked(l *line) {
	if l.key != 0 {
		delete(q.lines, l.key)
	}
}

// Keys returns how many keys have calls that run or wait.
func (q *Queue) Keys() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines)
}
