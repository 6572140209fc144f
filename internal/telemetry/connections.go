package telemetry

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds those of the listeners. Where there is no room for another one, the
// connection that has kept the server waiting longest for a request, or for the body of
// one that has its answer, is closed, so that neither keeps a scraper out.
type connections struct {
	mu      sync.Mutex // guards all below
	open    map[net.Conn]*list.Element
	waiting list.List // of net.Conn: those that the server waits for, the longest first; open has their places
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

// connectionKey finds the net.Conn in the context of a request.
type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// withoutBody answers requests without waiting for their bodies, which nobody asked for.
// net/http waits for the rest of one behind the answer, up to headerTimeout; meanwhile the
// connection may have to make room.
func (all *connections) withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close") // or it waits before the answer
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTimeout))
		next.ServeHTTP(w, r)
		if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
			all.await(c)
		}
	})
}

// await notes that the server waits for a connection that has its answer.
func (all *connections) await(c net.Conn) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if place, isOpen := all.open[c]; isOpen && place == nil {
		all.open[c] = all.waiting.PushBack(c)
	}
}
