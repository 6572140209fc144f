package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"kaban/internal/people"
	"kaban/internal/store"
)

// forgetting is a search index that notes what it forgets, and fails at first.
type forgetting struct {
	mu     sync.Mutex
	fails  int
	forgot []string
}

func (f *forgetting) forget(_ context.Context, runs []store.Run) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return errors.New("the index is busy")
	}
	for _, run := range runs {
		f.forgot = append(f.forgot, runText(run))
	}
	return nil
}

func runText(run store.Run) string { return fmt.Sprint(run.Room, " ", run.After, " ", run.Last) }

func (f *forgetting) has(run string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.forgot, run)
}

// What one node has cut and forgotten, the search indexes of others forget, too, each message once; those of rooms
// without readers as well, and those of a node that was away. A damaged note holds up none of the others.
func TestCutOnAnotherNode(t *testing.T) {
	t.Parallel()
	one, two := twoNodes(t, true)
	f := new(forgetting)
	two.chat.forgetIndex = f.forget
	cut := func(w *town, room string, seq uint64) {
		w.update(func(tx store.Tx) error { return people.Cuts.Put(tx, &people.Cut{Room: room, Seq: seq}) })
	}
	cut(one, "hall", 3)
	eventually(t, "what was cut is forgotten", func() bool { return f.has("hall 0 3") })
	cut(one, "hall", 7)
	eventually(t, "what was cut later is forgotten", func() bool { return f.has("hall 3 7") })

	// Without news.
	cut(two, "den", 2)
	cut(two, "attic", 5)
	one.damage("cut/attic")
	want(t, "look", two.chat.cutsMissed(t.Context()), nil)
	eventually(t, "what was missed is forgotten", func() bool { return f.has("den 0 2") })

	f.mu.Lock()
	f.fails = 1
	f.mu.Unlock()
	one.update(func(tx store.Tx) error { return tx.Put("cut/attic", []byte(`{"room":"attic","seq":6}`)) })
	eventually(t, "what the index has refused is forgotten later", func() bool { return f.has("attic 0 6") })
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.forgot)
	if all := []string{"attic 0 6", "den 0 2", "hall 0 3", "hall 3 7"}; !slices.Equal(f.forgot, all) {
		t.Errorf("the index was told to forget %q, want %q", f.forgot, all)
	}
}
