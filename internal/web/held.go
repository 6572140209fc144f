package web

import (
	"context"
	"errors"
)

// Bounds of what requests and answers hold in memory, in bytes.
const (
	// maxHeld bounds the content of the pages of messages that wait to be read, and of
	// the bodies of requests until they are served, of all connections together. What is
	// made of it takes about three times as much memory. Other answers are small, or the
	// same bytes for all; streams write little at a time.
	maxHeld = 32 << 20
	// maxBodies bounds the bodies of the requests on one connection of HTTP/2.
	maxBodies = 1 << 20
	// maxUnread bounds what such a connection has sent of bodies that are not read yet.
	// It is the least that RFC 9113, section 6.9.2, allows.
	maxUnread = 64 << 10
)

// heldKey finds an int in the context of a request: how many bytes of content its
// answer holds.
type heldKey struct{}

// hold notes the content of the answer to a request until it is served. Where that
// is too much in all, it closes connections that have kept the server waiting longest.
func hold(ctx context.Context, bytes int) {
	if own, ok := ctx.Value(heldKey{}).(*int); ok {
		*own += bytes
	}
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		for _, victim := range c.all.hold(c, bytes) {
			victim.Conn.Close()
		}
	}
}

// hold does that, and returns the connections that are to be closed.
func (all *connections) hold(c *connection, bytes int) (victims []*connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if c.isGone {
		return nil
	}
	return all.holdLocked(c, bytes)
}

func (all *connections) holdLocked(c *connection, bytes int) (victims []*connection) {
	c.held, all.held = c.held+bytes, all.held+bytes
	for e := all.waiting.Front(); e != nil && all.held > maxHeld; {
		victim := e.Value.(*connection)
		e = e.Next()
		if victim.held > 0 && victim != c {
			all.removeLocked(victim)
			victims = append(victims, victim)
		}
	}
	return victims
}

// errManyBodies means that a connection has as much of bodies as it may have.
var errManyBodies = errors.New("the requests on one connection have too much in their bodies")

// holdBody notes what has come of the body of a request until it is served, as hold does
// for an answer. The error is errManyBodies, and then it is not noted.
func (c *connection) holdBody(bytes int) error {
	victims, err := c.all.holdBody(c, bytes)
	for _, victim := range victims {
		victim.Conn.Close()
	}
	return err
}

func (all *connections) holdBody(c *connection, bytes int) (victims []*connection, err error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case c.isGone: // reads fail from now on
		return nil, nil
	case c.bodies+bytes > maxBodies:
		return nil, errManyBodies
	}
	c.bodies += bytes
	return all.holdLocked(c, bytes), nil
}

// letGoBody notes that the request with a body is served.
func (all *connections) letGoBody(c *connection, bytes int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c.bodies -= bytes
	all.letGoLocked(c, bytes)
}

// letGo notes that some of what a connection holds is served.
func (all *connections) letGo(c *connection, bytes int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.letGoLocked(c, bytes)
}

func (all *connections) letGoLocked(c *connection, bytes int) {
	bytes = min(bytes, c.held) // it may be gone meanwhile
	all.held -= bytes
	c.held -= bytes
}
