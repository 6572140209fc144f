package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kaban/internal/store"
)

func TestRefusing(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	now := began
	s := &Store{database: &database{now: func() time.Time { return now }}}
	full := fmt.Errorf("append: %w", store.ErrFull)
	want := func(what string, since time.Time) {
		t.Helper()
		got, err := s.Refusing()
		if !got.Equal(since) || errors.Is(err, store.ErrFull) == since.IsZero() {
			t.Errorf("%s: since %v, %v", what, got, err)
		}
	}
	want("at first", time.Time{})
	s.full.note(full, now)
	want("once full", began)
	now = began.Add(50 * time.Second)
	s.full.note(full, now)
	s.full.note(store.ErrClosed, now) // says nothing about it
	now = now.Add(fullMemory)
	want("full for long", began)
	now = now.Add(time.Second)
	want("when nobody tries any more", time.Time{})
	s.full.note(full, now)
	want("when somebody tries again", began)
	s.full.note(nil, now)
	want("with room", time.Time{})
}
