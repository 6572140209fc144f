package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"kaban/internal/tcp"
)

// Bounds of what requests and answers hold in memory, in bytes.
const (
	// maxHeld bounds the content of the pages of messages that wait to be read, and of
	// the bodies of requests until they are served, of all connections together. What is
	// made of it takes about three times as much memory. Other answers are small, or the
	// same bytes for all; streams write little at a time.
	maxHeld = 32 << 20
	// maxBodies bounds the bodies of the requests on one connection, and of those over
	// HTTP/2 that a proxy brings from one address.
	maxBodies = 1 << 20
	// maxSignInBody bounds the body of a request that signs in. Many of them may wait for
	// the hash of a password, and nothing of them can be given up meanwhile.
	maxSignInBody = 8 << 10
	// maxUnread bounds what such a connection has sent of bodies that are not read yet.
	// It is the least that RFC 9113, section 6.9.2, allows.
	maxUnread = 64 << 10
)

// Why a request may not hold more.
var (
	errManyBodies = errors.New("the requests of one client have too much in their bodies")
	errHeld       = errors.New("requests and answers hold as much memory as they may")
)

// owner is whom the bytes of a request count for: the network of an address, or a
// connection where that says nothing.
type owner struct {
	network netip.Prefix
	conn    *connection
}

// holding is what one request holds of maxHeld.
type holding struct {
	conn          *connection
	of            owner        // whom it counts for when room is made
	bodiesOf      owner        // whom it counts for in maxBodies
	isMultiplexed bool         // it is one of several on a connection of HTTP/2
	stream        *multiplexed // ends alone to make room; nil: its connection does

	// Guarded by conn.all.mu.
	bytes  int
	body   int    // those of them that are in its body
	waits  int    // for the client, of HTTP/2
	since  uint64 // when they began
	isOver bool   // nothing more counts
}

// heldKey finds the *holding in the context of a request.
type heldKey struct{}

// newHolding returns what a request holds: nothing yet.
func newHolding(c *connection, r *http.Request) *holding {
	own := owner{conn: c}
	h := &holding{conn: c, of: own, bodiesOf: own, isMultiplexed: r.ProtoMajor > 1}
	from := c.from
	if c.from.Proxy {
		a, err := peerIn(r)
		if err != nil || a.peer.Proxy { // nobody knows the client
			return h
		}
		from = a.peer
	}
	if network := tcp.NetworkOf(from.Addr); network.IsValid() {
		h.of = owner{network: network}
	}
	if c.from.Proxy && h.isMultiplexed { // all clients of the proxy may share the connection
		h.bodiesOf = h.of
	}
	return h
}

// hold notes the content of the answer to a request until it is served. Where that is too
// much in all, requests end that keep the server waiting. The error is errHeld, and then
// it is not noted.
func hold(ctx context.Context, bytes int) error {
	if h, ok := ctx.Value(heldKey{}).(*holding); ok {
		return h.hold(bytes, false)
	}
	return nil
}

// holdBody does that for what has come of the body of a request. The error is
// errManyBodies or errHeld.
func (h *holding) holdBody(bytes int) error { return h.hold(bytes, true) }

func (h *holding) hold(bytes int, isBody bool) error {
	victims, err := h.conn.all.hold(h, bytes, isBody)
	for _, victim := range victims {
		if victim.stream != nil {
			victim.stream.cut()
		} else {
			victim.conn.Conn.Close()
		}
	}
	return err
}

// hold does what the others say, and returns what is to end.
func (all *connections) hold(h *holding, bytes int, isBody bool) (victims []*holding, err error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if bytes == 0 || h.isOver || h.conn.isGone { // reads and writes fail from now on
		return nil, nil
	}
	if isBody && all.bodies[h.bodiesOf]+bytes > maxBodies {
		return nil, errManyBodies
	}
	if excess := all.held + bytes - maxHeld; excess > 0 {
		var ok bool
		if victims, ok = all.victimsLocked(h, excess); !ok {
			return nil, errHeld
		}
	}
	if h.bytes == 0 {
		all.holdings[h] = struct{}{}
		h.conn.holdings++
	}
	all.held += bytes
	all.byOwner[h.of] += bytes
	h.bytes += bytes
	if isBody {
		all.bodies[h.bodiesOf] += bytes
		h.body += bytes
	}
	return victims, nil
}

// victimsLocked ends what keeps the server waiting until so many bytes are free: of the
// owner that holds the most what has kept it waiting longest. It ends nothing and reports
// false if that cannot be enough.
func (all *connections) victimsLocked(own *holding, excess int) (victims []*holding, ok bool) {
	free := 0
	for h := range all.holdings {
		if h != own && h.isWaitingLocked() {
			free += h.bytes
		}
	}
	if free < excess {
		return nil, false
	}
	for target := all.held - excess; all.held > target; {
		var victim *holding
		for h := range all.holdings {
			if h != own && h.isWaitingLocked() && (victim == nil || h.goesBeforeLocked(victim)) {
				victim = h
			}
		}
		if victim == nil { // own is on the connection that ended
			break
		}
		if victims = append(victims, victim); victim.stream != nil {
			all.letGoLocked(victim)
		} else {
			all.removeLocked(victim.conn)
		}
	}
	return victims, true
}

// isWaitingLocked reports whether the client keeps the server waiting.
func (h *holding) isWaitingLocked() bool {
	if h.isMultiplexed {
		return h.waits > 0
	}
	return h.conn.place != nil
}

func (h *holding) goesBeforeLocked(o *holding) bool {
	byOwner := h.conn.all.byOwner
	if mine, others := byOwner[h.of], byOwner[o.of]; mine != others {
		return mine > others
	}
	return h.sinceLocked() < o.sinceLocked()
}

func (h *holding) sinceLocked() uint64 {
	if h.isMultiplexed {
		return h.since
	}
	return h.conn.since
}

// letGo notes that a request is served.
func (h *holding) letGo() {
	h.conn.all.mu.Lock()
	defer h.conn.all.mu.Unlock()
	h.conn.all.letGoLocked(h)
}

func (all *connections) letGoLocked(h *holding) {
	h.isOver = true
	if h.bytes == 0 {
		return
	}
	delete(all.holdings, h)
	h.conn.holdings--
	all.held -= h.bytes
	reduce(all.byOwner, h.of, h.bytes)
	reduce(all.bodies, h.bodiesOf, h.body)
	h.bytes, h.body = 0, 0
}

// letGoOfLocked lets go of what the requests on a connection hold.
func (all *connections) letGoOfLocked(c *connection) {
	for h := range all.holdings {
		if c.holdings == 0 {
			return
		}
		if h.conn == c {
			all.letGoLocked(h)
		}
	}
}

// reduce takes from a count, and forgets it at 0.
func reduce(counts map[owner]int, of owner, n int) {
	if counts[of] -= n; counts[of] == 0 {
		delete(counts, of)
	}
}
