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
	held    *holding
	control *http.ResponseController // of ResponseWriter

	mu        sync.Mutex // guards the rest, and the deadline for writing
	final     time.Time  // the deadline for writing that somebody has set
	isWriting bool
	isOver    bool // it is served, or was cut
}

// pieceSize is how many bytes a client must take within the time for a step.
const pieceSize = 16 << 10

func newMultiplexed(w http.ResponseWriter, h *holding) *multiplexed {
	return &multiplexed{ResponseWriter: w, held: h, control: http.NewResponseController(w)}
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
	m.held.stall()
	m.set(true)
}

func (m *multiplexed) end() {
	m.set(false)
	m.held.unstall()
}

// finish gives the client a last step for what is in buffers.
func (m *multiplexed) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isWriting = true
	m.setLocked()
	m.isOver = true
}

// cut ends the request from another goroutine, whatever it waits for. Others on the
// connection go on.
func (m *multiplexed) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isOver { // net/http may have taken the writer back
		return
	}
	m.isOver = true
	m.control.SetReadDeadline(past)
	m.control.SetWriteDeadline(past)
}

func (m *multiplexed) set(isWriting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isWriting = isWriting
	m.setLocked()
}

func (m *multiplexed) setLocked() error {
	if m.isOver {
		return nil
	}
	deadline := m.final
	if next := time.Now().Add(m.held.conn.all.stallStep * stallSteps); m.isWriting && (deadline.IsZero() || next.Before(deadline)) {
		deadline = next
	}
	return m.control.SetWriteDeadline(deadline)
}

// stall notes that a request of HTTP/2 waits for its client. The connection may have to
// make room meanwhile, unless it is a proxy's: then others share it.
func (h *holding) stall() {
	c, all := h.conn, h.conn.all
	all.mu.Lock()
	defer all.mu.Unlock()
	all.waits++
	if h.waits++; h.waits == 1 {
		h.since = all.waits
	}
	if c.from.Proxy {
		return
	}
	if c.stalled++; c.place == nil && !c.isGone {
		all.waitLocked(c)
	}
}

// unstall notes that it does not any more.
func (h *holding) unstall() {
	c, all := h.conn, h.conn.all
	all.mu.Lock()
	defer all.mu.Unlock()
	h.waits--
	if c.from.Proxy {
		return
	}
	c.stalled--
	all.resumeLocked(c)
}
