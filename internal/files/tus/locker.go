package tus

import (
	"context"
	"sync"

	"github.com/tus/tusd/v2/pkg/handler"
)

// locker is a handler.Locker: one request at a time works on an upload. A later one
// interrupts it while it reads its body, and at no other time: tusd sets the body and
// closes it in different goroutines, and what comes after the body is to be finished.
type locker struct {
	mu   sync.Mutex
	held map[string]*holding // by upload; guarded by mu
}

// holding is a lock that a request has. locker.mu guards it.
type holding struct {
	interrupt func()
	reading   bool          // it reads its body
	wanted    bool          // another request waits
	free      chan struct{} // closed when the lock is released
}

// NewLock is that of handler.Locker.
func (l *locker) NewLock(id string) (handler.Lock, error) { return &lock{l, id}, nil }

// lock is a handler.Lock.
type lock struct {
	l  *locker
	id string
}

// Lock is that of handler.Lock.
func (k *lock) Lock(ctx context.Context, interrupt func()) error {
	for {
		before := k.l.take(k.id, interrupt)
		if before == nil {
			return nil
		}
		select {
		case <-before.free:
		case <-ctx.Done():
			return handler.ErrLockTimeout
		}
	}
}

// take takes a lock, or interrupts whoever has it and returns that.
func (l *locker) take(id string, interrupt func()) *holding {
	l.mu.Lock()
	before, ok := l.held[id]
	if !ok {
		l.held[id] = &holding{interrupt: interrupt, free: make(chan struct{})}
		l.mu.Unlock()
		return nil
	}
	before.wanted = true
	reading := before.reading
	l.mu.Unlock()
	if reading {
		before.interrupt()
	}
	return before
}

// Unlock is that of handler.Lock.
func (k *lock) Unlock() error {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	if h, ok := k.l.held[k.id]; ok {
		delete(k.l.held, k.id)
		close(h.free)
	}
	return nil
}

// read notes that the request with the lock of an upload begins to read its body, and
// returns what notes the end.
func (l *locker) read(id string) (end func()) {
	l.mu.Lock()
	h, ok := l.held[id]
	if !ok {
		l.mu.Unlock()
		return func() {}
	}
	h.reading = true
	wanted := h.wanted
	l.mu.Unlock()
	if wanted {
		h.interrupt()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		h.reading = false
	}
}
