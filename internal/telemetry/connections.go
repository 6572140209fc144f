package telemetry

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections bounds those of the listeners. Where there is no room for another one, the
// connection that has kept the server waiting longest for a request is closed, so that
// connections without requests never keep a scraper out.
type connections struct {
	mu      sync.Mutex // guards all below
	open    map[net.Conn]*list.Element
	waiting list.List // of net.Conn: those without a request, the longest first; open has their places
}

// watch follows what net/http says of a connection.
func (all *connections) watch(c net.Conn, state http.ConnState) {
	all.mu.Lock()
	defer all.mu.Unlock()
	place, isOpen := all.open[c]
	switch {
	case state == http.StateNew:
		all.admitLocked(c)
	case !isOpen: // it was closed to make room
	case state == http.StateIdle && place == nil:
		all.open[c] = all.waiting.PushBack(c)
	case state == http.StateIdle:
	default:
		if place != nil {
			all.waiting.Remove(place)
		}
		if all.open[c] = nil; state != http.StateActive {
			delete(all.open, c)
		}
	}
}

// admitLocked counts a connection, or closes it if all others have a request under way.
func (all *connections) admitLocked(c net.Conn) {
	if len(all.open) >= maxConnections {
		longest := all.waiting.Front()
		if longest == nil {
			c.Close()
			return
		}
		victim := all.waiting.Remove(longest).(net.Conn)
		delete(all.open, victim)
		victim.Close()
	}
	if all.open == nil {
		all.open = make(map[net.Conn]*list.Element)
	}
	all.open[c] = all.waiting.PushBack(c)
}
