// Package local is a bus within one process, between handles: one for each node. A
// server that is alone needs no bus; nodes of one process, such as those of tests, have this one.
//
// Each handle has a bounded queue of what it was sent, and one goroutine that gives it to
// the receiver.
package local

import (
	"slices"
	"sync"

	"kaban/internal/bus"
)

// Network connects handles. The zero value is ready to use. It is safe for concurrent use.
type Network struct {
	mu      sync.RWMutex // guards handles
	handles []*handle
}

// Open returns a handle for one more node.
func (n *Network) Open() bus.Bus { return &handle{network: n} }

// handle is the bus of one node.
type handle struct {
	network *Network
	queue   *bus.Queue // what the receiver is to be given; nil without one
	counter bus.Counter
	group   sync.WaitGroup // for the goroutine that delivers

	mu       sync.Mutex // guards all below
	receiver bus.Receiver
	lost     bool // the queue was full since the receiver was told last
	closed   bool
}

// Publish implements bus.Bus.
func (h *handle) Publish(hint *bus.Hint) { h.send(hint) }

// Say implements bus.Bus.
func (h *handle) Say(m bus.Message) { h.send(m) }

func (h *handle) send(m interface{ Append([]byte) []byte }) {
	if h.isClosed() {
		h.counter.Dropped.Add(1)
		return
	}
	encoded := m.Append(nil)
	h.network.mu.RLock()
	defer h.network.mu.RUnlock()
	for _, other := range h.network.handles {
		if other != h && !other.queue.Put(encoded) {
			other.lose()
		}
	}
	h.counter.Published.Add(1)
}

// lose notes that the receiver is to be told of a loss.
func (h *handle) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.lost && !h.closed {
		h.lost = true
		h.counter.Slow.Add(1)
	}
}

// takeLost reports whether something was lost since the last call.
func (h *handle) takeLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	lost := h.lost
	h.lost = false
	return lost
}

func (h *handle) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// Subscribe implements bus.Bus.
func (h *handle) Subscribe(r bus.Receiver) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return bus.ErrClosed
	case h.receiver != nil:
		return bus.ErrSubscribed
	}
	h.receiver, h.queue = r, bus.NewQueue()
	h.counter.Connects.Add(1)
	h.counter.Connected.Store(true)
	h.group.Go(h.deliver)
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	h.network.handles = append(h.network.handles, h)
	return nil
}

// deliver gives the receiver what comes.
func (h *handle) deliver() {
	h.receiver.Lost(bus.Connected)
	var items [][]byte
	for {
		clear(items)
		if items = h.queue.Take(items); items == nil {
			return
		}
		if h.takeLost() {
			h.receiver.Lost(bus.Slow)
		}
		for _, encoded := range items {
			if h.isClosed() {
				return
			}
			h.counter.Deliver(h.receiver, nil, encoded)
		}
	}
}

// Stats implements bus.Bus.
func (h *handle) Stats() bus.Stats { return h.counter.Stats() }

// Close implements bus.Bus.
func (h *handle) Close() error {
	h.network.mu.Lock()
	h.network.handles = slices.DeleteFunc(h.network.handles, func(other *handle) bool { return other == h })
	h.network.mu.Unlock()
	h.mu.Lock()
	h.closed = true
	queue := h.queue
	h.mu.Unlock()
	h.counter.Connected.Store(false)
	if queue != nil {
		queue.Close()
	}
	h.group.Wait()
	return nil
}
