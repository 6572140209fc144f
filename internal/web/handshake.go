package web

import "math/rand/v2"

// net/http does the handshakes of TLS, each in a goroutine of its own, and gives them
// headerTimeout. Here they are bounded: by places, and by Config.Turns to compute. Where
// there is no place, a random one makes room: if the first to come did, a flood would
// take the place of each client that is farther away than the flood needs to fill them
// all. A connection is in a handshake until its first request.

// handshakeShare is the part of all connections that may be in a handshake.
const handshakeShare = 2

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) { return c.turn.Read(c.Conn, p) }

// shaken notes that a connection is no longer in a handshake.
func (all *connections) shaken(c *connection) {
	if !c.turn.End() {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.shakenLocked(c)
}

func (all *connections) shakeLocked(c *connection) {
	all.shaking = append(all.shaking, c)
	c.shaking = len(all.shaking)
}

func (all *connections) shakenLocked(c *connection) {
	if c.shaking == 0 {
		return
	}
	last := all.shaking[len(all.shaking)-1]
	all.shaking[c.shaking-1], last.shaking = last, c.shaking
	all.shaking[len(all.shaking)-1] = nil
	all.shaking = all.shaking[:len(all.shaking)-1]
	c.shaking = 0
}

// anyShakingLocked returns one of the connections in a handshake; there must be one.
func (all *connections) anyShakingLocked() *connection {
	return all.shaking[rand.IntN(len(all.shaking))]
}
