package bus

import "sync"

// Bounds of a Queue: together enough for some tenths of a second of a busy node.
const (
	QueueHints = 8192
	QueueBytes = 8 << 20
)

// Queue holds encoded hints on their way from those that must not wait to one goroutine that
// may. It holds up to QueueHints of them, and QueueBytes. All methods are safe for
// concurrent use. Drivers use it.
type Queue struct {
	mu     sync.Mutex // guards all below
	more   sync.Cond  // on mu: there is something, or the queue was closed
	items  [][]byte
	bytes  int
	closed bool
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := new(Queue)
	q.more.L = &q.mu
	return q
}

// Put queues a hint and keeps it. It returns false if there is no room, or the queue was
// closed.
func (q *Queue) Put(encoded []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items) >= QueueHints || q.bytes+len(encoded) > QueueBytes {
		return false
	}
	q.items = append(q.items, encoded)
	q.bytes += len(encoded)
	q.more.Signal()
	return true
}

// Take waits and returns everything queued, in order, or nil once the queue was closed. What is
// queued then is dropped. The queue goes on in the memory of empty, which may be nil.
func (q *Queue) Take(empty [][]byte) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return nil
	}
	items := q.items
	q.items, q.bytes = empty[:0], 0
	return items
}

// Close ends the queue. It reports whether this was the first call.
func (q *Queue) Close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.closed
	q.closed, q.items, q.bytes = true, nil, 0
	q.more.Broadcast()
	return first
}
