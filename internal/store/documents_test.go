package store

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestKeysAreDistinct(t *testing.T) {
	for _, c := range []struct {
		parts []string
		want  string
	}{
		{[]string{"member", "lobby", "a1"}, "member/lobby/a1"},
		{[]string{"a/b", "c"}, "a%2Fb/c"},
		{[]string{"a", "b/c"}, "a/b%2Fc"},
		{[]string{"a%2Fb", "c\x00"}, "a%252Fb/c%00"},
		{[]string{"", ""}, "/"},
	} {
		before := slices.Clone(c.parts)
		if got := Key(c.parts...); got != c.want {
			t.Errorf("Key(%q) = %q, want %q", c.parts, got, c.want)
		}
		if !slices.Equal(before, c.parts) {
			t.Errorf("Key changed its arguments to %q", c.parts)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "parts")
		key := Key(parts...)
		if got := KeyParts(key); !slices.Equal(got, parts) {
			t.Fatalf("KeyParts(%q) = %q, want %q", key, got, parts)
		}
	})
}

func TestKeysUnderAKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "parts")
		other := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "other")
		from, to := KeysUnder(Key(parts...))
		key := Key(other...)
		want := len(other) > len(parts) && slices.Equal(other[:len(parts)], parts)
		if got := from <= key && key < to; got != want {
			t.Fatalf("%q is under %q: %v, want %v", other, parts, got, want)
		}
	})
}
