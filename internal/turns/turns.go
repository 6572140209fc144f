// Package turns bounds how many handshakes of TLS compute at a time, over all listeners.
// A handshake costs more than anything else that a peer gets without having proven who it
// is, so a crowd of them must leave processors to live traffic.
package turns

import (
	"io"
	"runtime"
	"sync/atomic"
)

// Turns are shared by handshakes. All methods are safe for concurrent use.
type Turns struct{ working chan struct{} } // has an element for each that computes

// New returns turns of which most are taken at a time, at least one.
func New(most int) *Turns { return &Turns{make(chan struct{}, max(most, 1))} }

// ForProcessors returns turns for half of the processors.
func ForProcessors() *Turns { return New(runtime.GOMAXPROCS(0) / 2) }

// Most returns how many handshakes compute at a time.
func (t *Turns) Most() int { return cap(t.working) }

// States of a turn.
const (
	none  int32 = iota // there is no handshake, or it is done
	waits              // for the peer, or for its turn
	works              // and has an element in Turns.working
)

// Turn is that of one handshake. The zero Turn is that of a connection without one, and
// bounds nothing. One goroutine makes the handshake; any may call End.
type Turn struct {
	of    *Turns
	state atomic.Int32
}

// Enter begins a handshake. It waits for its peer at first. Nothing else may use the Turn
// at this moment.
func (t *Turn) Enter(of *Turns) {
	t.of = of
	t.state.Store(waits)
}

// Work waits until the handshake may compute.
func (t *Turn) Work() {
	if t.state.Load() != waits {
		return
	}
	t.of.working <- struct{}{}
	if !t.state.CompareAndSwap(waits, works) { // it has ended
		<-t.of.working
	}
}

// Rest gives others the turn: the handshake waits for its peer from now on. Without a
// turn it costs a load.
func (t *Turn) Rest() {
	if t.state.Load() == works && t.state.CompareAndSwap(works, waits) {
		<-t.of.working
	}
}

// End ends the handshake. It reports whether there was one.
func (t *Turn) End() bool {
	before := t.state.Swap(none)
	if before == works {
		<-t.of.working
	}
	return before != none
}

// Read reads from what carries the bytes. During a handshake others compute while it
// waits for the peer, and then it waits until it may compute.
func (t *Turn) Read(carrier io.Reader, p []byte) (int, error) {
	if t.state.Load() == none {
		return carrier.Read(p)
	}
	t.Rest()
	n, err := carrier.Read(p)
	if err == nil {
		t.Work()
	}
	return n, err
}
