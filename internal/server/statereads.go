package server

import (
	"context"
	"sync"

	"kaban"
	"kaban/internal/chat"
)

// stateReads has one read of a room's state serve all connections of an account that wait
// for it. The zero value is ready to use, and safe for concurrent use.
//
// A program may have many connections with one token, and each room that one of them enters
// is news to all: without this, n of them that enter n rooms read n×n states.
type stateReads struct {
	mu sync.Mutex
	// waiting are the connections for which a read is queued that has not begun. Each
	// connection waits for one state at a time, so they are no more than connections.
	waiting map[stateKey][]stateWaiter
}

// stateKey is everything that chat.User.State depends on.
type stateKey struct {
	identity, room   string
	readOnly, device bool
	// credential is set if it is valid in some rooms only: what its connections may know is
	// shared with no other's.
	credential *chat.Credential
}

// stateKeyOf returns the key of a room's state for the session of an account.
func stateKeyOf(s *chat.Session, room kaban.RoomName) stateKey {
	used := s.Credential
	key := stateKey{identity: s.ID(), room: room.Key(), readOnly: used.ReadOnly, device: used.Device}
	if used.Rooms != nil {
		key.credential = used
	}
	return key
}

type stateWaiter struct {
	client *client
	done   func(*stateRead)
}

// stateRead is the result of a read. It is shared: nobody changes it.
type stateRead struct {
	state chat.RoomState
	in    bool
	err   error
}

// read has a worker read the state of a room, and then the loop of the connection call
// done, unless the connection is closed by then. The read begins after this call, so it
// has everything that was stored before.
func (s *stateReads) read(c *client, room kaban.RoomName, done func(*stateRead)) {
	key := stateKeyOf(c.session, room)
	if !s.wait(key, stateWaiter{c, done}) {
		return
	}
	user := c.user()
	c.handler.Background(func(ctx context.Context) {
		waiters := s.begin(key)
		var read stateRead
		read.state, read.in, read.err = user.State(ctx, room)
		for _, w := range waiters {
			w.client.handler.Post(func() { w.done(&read) })
		}
	}, func() {})
}

// wait adds a waiter. It reports whether the read has to be queued.
func (s *stateReads) wait(key stateKey, w stateWaiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(map[stateKey][]stateWaiter)
	}
	s.waiting[key] = append(s.waiting[key], w)
	return len(s.waiting[key]) == 1
}

// begin returns those that a read is for. Connections that ask from now on may have heard
// of something that it misses, and wait for another.
func (s *stateReads) begin(key stateKey) []stateWaiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiters := s.waiting[key]
	if delete(s.waiting, key); len(s.waiting) == 0 {
		s.waiting = nil // a map keeps the memory of its largest size
	}
	return waiters
}
