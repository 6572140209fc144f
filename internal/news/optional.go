package news

import (
	"context"

	"kaban"
	"kaban/internal/store"
)

// Instant implements store.Instant.
func (s *Store) Instant() bool { return store.IsInstant(s.Store) }

// Alarm implements store.Alarming.
func (s *Store) Alarm(call func(error)) {
	if a, ok := s.Store.(store.Alarming); ok {
		a.Alarm(call)
	}
}

// Appends implements store.Parallel.
func (s *Store) Appends() int { return store.Appends(s.Store) }

// States returns the states of some rooms, and perhaps of others, in one query.
func (s *Store) States(ctx context.Context, rooms []kaban.RoomName) ([]store.Room, error) {
	if inner, ok := s.Store.(interface {
		States(ctx context.Context, rooms []kaban.RoomName) ([]store.Room, error)
	}); ok {
		return inner.States(ctx, rooms)
	}
	return s.Rooms(ctx)
}
