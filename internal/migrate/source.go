package migrate

import (
	"context"
	"sync"
)

// source is what a goroutine reads ahead, some at a time.
type source[T any] struct {
	reading sync.WaitGroup
	sent    chan []T
	err     error // set before sent is closed
	rest    []T   // what next returns again
}

// begin begins to read, until everything is read or the context ends. The caller waits for reading
// then.
func begin[T any](ctx context.Context, read func(ctx context.Context, send func([]T) error) error) *source[T] {
	s := &source[T]{sent: make(chan []T, 1)}
	s.reading.Go(func() {
		defer close(s.sent)
		s.err = read(ctx, func(some []T) error {
			select {
			case s.sent <- some:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return s
}

// next returns what comes next, and nothing at the end.
func (s *source[T]) next() ([]T, error) {
	if len(s.rest) > 0 {
		return s.rest, nil
	}
	some, ok := <-s.sent
	if !ok {
		return nil, s.err
	}
	s.rest = some
	return some, nil
}
