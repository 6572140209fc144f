package memory

import (
	"slices"
	"testing"

	"kaban/internal/store"
)

// The places and blocks of a log against a slice, through many turns of
// filling and emptying.
func TestLogIsFirstInFirstOut(t *testing.T) {
	var l log
	var model []uint64
	next := uint64(0)
	for turn := range 50 {
		for range turn * 11 {
			if place := l.push(kept{Entry: store.Entry{Seq: next}}); place != next {
				t.Fatalf("the place is %d, want %d", place, next)
			}
			model = append(model, next)
			next++
		}
		for range turn * 13 % (len(model) + 1) {
			if e := l.pop(); e.Seq != model[0] {
				t.Fatalf("popped %d, want %d", e.Seq, model[0])
			}
			model = model[1:]
		}
		if l.len() != len(model) {
			t.Fatalf("the length is %d, want %d", l.len(), len(model))
		}
		for _, place := range model {
			if e := l.at(place); e.Seq != place {
				t.Fatalf("at %d is %d", place, e.Seq)
			}
		}
		if most := len(model)/blockSize + 2; len(l.blocks) > most {
			t.Fatalf("%d blocks for %d entries, want at most %d", len(l.blocks), len(model), most)
		}
	}
	if next < 10*blockSize {
		t.Fatalf("only %d entries", next)
	}
}

// Entries whose hashes are equal are told apart, and forgotten oldest first.
func TestIndexWithEqualHashes(t *testing.T) {
	x := newIndex()
	const hash = 7
	found := func() (places []uint64) {
		for place := range uint64(5) {
			if got, ok := x.find(hash, func(p uint64) bool { return p == place }); ok {
				if got != place {
					t.Fatalf("find(%d) = %d", place, got)
				}
				places = append(places, place)
			}
		}
		return places
	}
	var want []uint64
	for place := range uint64(4) {
		x.add(hash, place)
		want = append(want, place)
		if got := found(); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	for range 4 {
		x.remove(hash)
		want = want[1:]
		if got := found(); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	if len(x.places)+len(x.others) != 0 {
		t.Errorf("%v and %v are left", x.places, x.others)
	}
}
