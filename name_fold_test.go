package kaban

import (
	"strings"
	"testing"
)

// The fast path for ASCII returns the same as the full algorithm.
func TestFoldOfASCII(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	for _, a := range letters {
		for _, b := range letters {
			name := string(a) + string(b)
			if got, want := fold(name), foldFully(name); got != want {
				t.Errorf("fold(%q) = %q, want %q", name, got, want)
			}
		}
	}
	for _, name := range []string{strings.Repeat("rn", 16), "lobby", "O0oIl1", "clvvdj"} {
		if got, want := fold(name), foldFully(name); got != want {
			t.Errorf("fold(%q) = %q, want %q", name, got, want)
		}
	}
}
