package kaban

import (
	"strings"
	"testing"
)

// The short way of folding ASCII must give what the long one gives.
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
