package web

// net/http does the handshakes of TLS, each in a goroutine of its own, and gives them
// headerTimeout. Here they are bounded: by places, of which those that have waited longest
// make room, and by how many compute at a time.

const (
	// handshakeShare is the part of all connections that may be in a handshake.
	handshakeShare = 2
	// handshakesAtWork is how many handshakes compute at a time; the others wait for their
	// peers, or for their turn. Requests must not wait for a crowd of them.
	handshakesAtWork = 4
)

// States of connection.turn. A handshake computes between a read that has returned and
// the next read or write.
const (
	turnNone  int32 = iota // there is no handshake, or it is done
	turnWaits              // for the peer, or for a turn
	turnWorks              // and has an element in connections.work
)

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	if c.turn.Load() == turnNone {
		return c.Conn.Read(p)
	}
	c.rest()
	n, err := c.Conn.Read(p)
	if err == nil {
		c.work()
	}
	return n, err
}

// work waits for the turn to compute.
func (c *connection) work() {
	c.all.work <- struct{}{}
	if !c.turn.CompareAndSwap(turnWaits, turnWorks) { // the handshake is done
		<-c.all.work
	}
}

// rest gives others a turn.
func (c *connection) rest() {
	if c.turn.CompareAndSwap(turnWorks, turnWaits) {
		<-c.all.work
	}
}

// shaken notes that a connection is no longer in a handshake.
func (all *connections) shaken(c *connection) {
	switch c.turn.Swap(turnNone) {
	case turnNone:
		return
	case turnWorks:
		<-all.work
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.shakenLocked(c)
}

func (all *connections) shakenLocked(c *connection) {
	if c.isShaking {
		c.isShaking = false
		all.shaking--
	}
}
