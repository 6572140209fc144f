package web

import (
	"net/http"
	"sync"
	"time"
)

// multiplexed writes the answer to one of several requests on a connection of HTTP/2.
// A client can stop taking one answer while it takes others, so each has a time of its
// own: a piece that the client takes nothing of ends the answer.
type multiplexed struct {
	http.ResponseWriter
	conn    *connection
	control *http.ResponseController // of ResponseWriter

	mu        sync.Mutex // guards the rest, and the deadline for writing
	final     time.Time  // the deadline for writing that somebody has set
	isWriting bool
}

// pieceSize is how many bytes a client must take within the time for a step.
const pieceSize = 16 << 10

func newMultiplexed(w http.ResponseWriter, c *connection) *multiplexed {
	return &multiplexed{ResponseWriter: w, conn: c, control: http.NewResponseController(w)}
}

// Unwrap is for http.ResponseController.
func (m *multiplexed) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// Write implements http.ResponseWriter.
func (m *multiplexed) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+pieceSize)]
		m.begin()
		n, err := m.ResponseWriter.Write(piece)
		m.end()
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// FlushError is for http.ResponseController.
func (m *multiplexed) FlushError() error {
	m.begin()
	defer m.end()
	return m.control.Flush()
}

// SetWriteDeadline is for http.ResponseController.
func (m *multiplexed) SetWriteDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.final = t
	return m.setLocked()
}

// begin begins a wait for the client. Meanwhile its connection may have to make room.
func (m *multiplexed) begin() {
	m.conn.all.stall(m.conn)
	m.set(true)
}

func (m *multiplexed) end() {
	m.set(false)
	m.conn.all.unstall(m.conn)
}

// finish gives the client a last step for what is in buffers.
func (m *multiplexed) finish() { m.set(true) }

func (m *multiplexed) set(isWriting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isWriting = isWriting
	m.setLocked()
}

func (m *multiplexed) setLocked() error {
	deadline := m.final
	if next := time.Now().Add(m.conn.all.stallStep * stallSteps); m.isWriting && (deadline.IsZero() || next.Before(deadline)) {
		deadline = next
	}
	return m.control.SetWriteDeadline(deadline)
}

// stall notes that an answer of HTTP/2 waits for the client.
func (all *connections) stall(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c.stalled++
	if c.place == nil && !c.isGone {
		c.place = all.waiting.PushBack(c)
	}
}

// unstall notes that it does not any more.
func (all *connections) unstall(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c.stalled--
	all.resumeLocked(c)
}
