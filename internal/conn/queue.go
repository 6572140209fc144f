package conn

// queue is handlers in the order in which they came.
type queue struct {
	handlers []*Handler
	first    int
}

func (q *queue) len() int { return len(q.handlers) - q.first }

func (q *queue) push(h *Handler) {
	if len(q.handlers) == cap(q.handlers) && q.first > 0 { // there is room in front
		n := copy(q.handlers, q.handlers[q.first:])
		clear(q.handlers[n:])
		q.handlers, q.first = q.handlers[:n], 0
	}
	q.handlers = append(q.handlers, h)
}

func (q *queue) pop() *Handler {
	h := q.handlers[q.first]
	q.handlers[q.first] = nil
	if q.first++; q.first == len(q.handlers) {
		q.handlers, q.first = q.handlers[:0], 0
	}
	return h
}
