package people

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"kaban/internal/store/memory"
)

// All nodes get the same secret, which one of them has made.
func TestCommon(t *testing.T) {
	documents := memory.New(0)
	t.Cleanup(func() { _ = documents.Close() })
	failed := errors.New("no random bytes")
	if _, err := Common(t.Context(), documents, "secret", func() ([]byte, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("one that cannot be made: %v", err)
	}
	got := make([]string, 8)
	var nodes sync.WaitGroup
	for i := range got {
		nodes.Go(func() {
			value, err := Common(t.Context(), documents, "secret", func() ([]byte, error) { return fmt.Append(nil, "of ", i), nil })
			if err != nil {
				t.Error(err)
			}
			got[i] = string(value)
		})
	}
	nodes.Wait()
	for _, value := range got {
		if value != got[0] || value == "" {
			t.Errorf("nodes have %q", got)
		}
	}
	other, err := Common(t.Context(), documents, "another", func() ([]byte, error) { return []byte("x"), nil })
	if err != nil || string(other) != "x" {
		t.Errorf("another one: %q, %v", other, err)
	}
}
