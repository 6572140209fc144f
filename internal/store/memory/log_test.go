package memory

import (
	"slices"
	"testing"

	"kaban/internal/store"
)

// Positions and blocks of a log are compared with a slice while it fills and empties
// many times.
func TestLogIsFirstInFirstOut(t *testing.T) {
	var l log
	var model []uint64
	next := uint64(0)
	for turn := range 50 {
		for range turn * 11 {
			if position := l.push(kept{Entry: store.Entry{Seq: next}}); position != next {
				t.Fatalf("the position is %d, want %d", position, next)
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
		for _, position := range model {
			if e := l.at(position); e.Seq != position {
				t.Fatalf("at %d is %d", position, e.Seq)
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

// Entries with equal hashes are distinguished.
func TestIndexWithEqualHashes(t *testing.T) {
	x := newIndex()
	const hash = 7
	found := func() (positions []uint64) {
		for position := range uint64(5) {
			if got, ok := x.find(hash, func(p uint64) bool { return p == position }); ok {
				if got != position {
					t.Fatalf("find(%d) = %d", position, got)
				}
				positions = append(positions, position)
			}
		}
		return positions
	}
	var want []uint64
	for position := range uint64(4) {
		x.add(hash, position)
		want = append(want, position)
		if got := found(); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	for _, at := range []int{1, 0, 1, 0} { // in any order
		x.remove(hash, want[at])
		want = slices.Delete(want, at, at+1)
		if got := found(); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	if len(x.positions)+len(x.others) != 0 {
		t.Errorf("%v and %v are left", x.positions, x.others)
	}
}
