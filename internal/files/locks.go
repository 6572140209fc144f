package files

import (
	"context"
	"sync"
)

// Locks orders the work on each blob. Whoever adds a blob holds its lock from before Add
// until the reference to it is committed. Whoever removes one holds it while it makes sure
// that nothing refers to the blob, and removes it. So no blob goes that is just being
// referred to. Different blobs do not wait for each other. The zero value is ready.
type Locks struct {
	mu   sync.Mutex
	held map[Hash]*turn // guarded by mu
}

type turn struct {
	free chan struct{} // has a value while nobody holds the lock
	in   int           // how many hold it or wait for it; guarded by Locks.mu
}

// Lock waits for the lock of a blob and its thumbnail, and returns what releases it, or the
// context's error.
func (l *Locks) Lock(ctx context.Context, h Hash) (unlock func(), err error) {
	l.mu.Lock()
	t, ok := l.held[h]
	if !ok {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		if l.held == nil {
			l.held = make(map[Hash]*turn)
		}
		l.held[h] = t
	}
	t.in++
	l.mu.Unlock()
	select {
	case <-t.free:
		return sync.OnceFunc(func() {
			t.free <- struct{}{}
			l.leave(h, t)
		}), nil
	case <-ctx.Done():
		l.leave(h, t)
		return nil, context.Cause(ctx)
	}
}

func (l *Locks) leave(h Hash, t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.in--; t.in == 0 {
		delete(l.held, h)
	}
}
