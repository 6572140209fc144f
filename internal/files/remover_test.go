package files

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// removals is a store that notes what is removed.
type removals struct {
	Store
	gone []Key
}

func (r *removals) Remove(_ context.Context, key Key) error {
	r.gone = append(r.gone, key)
	return nil
}

func TestRemover(t *testing.T) {
	var locks Locks
	var kept removals
	r := Remover{Store: &kept, Locks: &locks}
	h := Hash{1, 2, 3}
	failed := errors.New("failed")
	for _, answer := range []struct {
		unused bool
		err    error
	}{{false, nil}, {true, failed}} {
		err := r.Delete(t.Context(), h.String(), func(context.Context) (bool, error) { return answer.unused, answer.err })
		if !errors.Is(err, answer.err) || len(kept.gone) > 0 {
			t.Errorf("%+v: %v, and %v are removed", answer, err, kept.gone)
		}
	}
	// Nobody is asked while somebody else adds the blob.
	unlock, err := locks.Lock(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err = r.Delete(ended, h.String(), func(context.Context) (bool, error) {
		t.Error("it asks although the blob is locked")
		return true, nil
	})
	if unlock(); !errors.Is(err, context.Canceled) || len(kept.gone) > 0 {
		t.Errorf("a blob that is locked: %v, and %v are removed", err, kept.gone)
	}
	if err := r.Delete(t.Context(), h.String(), func(context.Context) (bool, error) { return true, nil }); err != nil {
		t.Fatal(err)
	}
	if want := []Key{{Thumbnail, h}, {Content, h}}; !slices.Equal(kept.gone, want) {
		t.Errorf("%v are removed, want %v", kept.gone, want)
	}
	if err := r.Delete(t.Context(), "x", nil); err == nil {
		t.Error("a bad hash is accepted")
	}
}
