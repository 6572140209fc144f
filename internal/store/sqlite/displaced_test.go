package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// Checkpoints, new segments and recycled ones displace nothing.
func TestUseDisplacesNothing(t *testing.T) {
	s := open(t, t.TempDir(), Options{walPages: 1})
	content := strings.Repeat("x", 4000)
	batch := make([]kaban.Draft, 100)
	for i := range 3 * journal.SegmentSize / len(content) / len(batch) {
		for k := range batch {
			batch[k] = storetest.Draft(t, "lobby", "ann", fmt.Sprint(i*len(batch)+k), content)
		}
		storetest.Append(t, s, batch...)
		if err := s.Displaced(); err != nil {
			t.Fatalf("after %d batches: %v", i+1, err)
		}
	}
	if err := s.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Displaced(); err != nil {
		t.Fatal(err)
	}
}
