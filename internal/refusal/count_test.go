package refusal_test

import (
	"testing"

	"kaban/internal/refusal"
	"kaban/wire"
)

func TestEveryCodeIsCounted(t *testing.T) {
	var c refusal.Counter
	for i, code := range wire.Codes() {
		for range i + 1 {
			c.Add(code)
		}
	}
	c.Add("no code")
	counts := c.Counts()
	if len(counts) != len(wire.Codes()) {
		t.Errorf("%d codes are counted, want %d", len(counts), len(wire.Codes()))
	}
	for i, code := range wire.Codes() {
		if got := counts[code]; got != uint64(i+1) {
			t.Errorf("%s: counted %d times, want %d", code, got, i+1)
		}
	}
}
