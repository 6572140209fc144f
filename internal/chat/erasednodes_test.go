package chat

import (
	"context"
	"sync"
	"testing"

	"kaban"
)

// leftovers are what a node has of an account beside the store.
type leftovers struct {
	mu      sync.Mutex
	uploads map[string]int // by account: how often one is in use before it is removed
	indexed int            // how often the index has erased
}

func (l *leftovers) erase(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.indexed++
	return nil
}

func (l *leftovers) Delete(context.Context, string, func(context.Context) (bool, error)) error {
	return nil
}

func (l *leftovers) DeleteUploads(account string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch busy, is := l.uploads[account]; {
	case is && busy > 0:
		l.uploads[account]--
		return ErrUploading
	default:
		delete(l.uploads, account)
		return nil
	}
}

func (l *leftovers) left() (uploads, indexed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.uploads), l.indexed
}

// When one node has erased an account, nothing of it is left in the search index and the uploads of another. The same
// goes for one that was away meanwhile.
func TestErasedOnAnotherNode(t *testing.T) {
	t.Parallel()
	one, two := twoNodes(t, true)
	one.create("ann", "hall", kaban.RoomPublic)
	l := &leftovers{uploads: map[string]int{"id-ann": 1, "id-bob": 0}}
	two.chat.eraseIndex, two.chat.blobs = l.erase, l
	one.giveErasure(kaban.Account("id-ann", kaban.Username{}).ID())
	one.erasure(true)
	eventually(t, "the upload is removed once nobody uses it any more", func() bool { n, _ := l.left(); return n == 1 })
	_, before := l.left()
	if before == 0 {
		t.Error("nothing was erased in the index")
	}
	l.mu.Lock()
	l.uploads["id-ann"] = 0
	l.mu.Unlock()
	if err := two.chat.erasedMissed(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is found later is removed, too", func() bool {
		n, indexed := l.left()
		return n == 1 && indexed > before
	})
}
