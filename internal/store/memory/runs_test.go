package memory

import (
	"slices"
	"testing"

	"kaban"
)

func TestRuns(t *testing.T) {
	var r runs
	seq := uint64(0)
	add := func(kind kaban.Kind, n int) {
		for range n {
			seq++
			r.add(seq, kind)
		}
	}
	add(kaban.KindEdit, shortestRun)    // 1 to 64
	add(kaban.KindMessage, 2)           // 65, 66
	add(kaban.KindReact, shortestRun-1) // to 129: too short
	add(kaban.KindMessage, 1)           // 130
	add(kaban.KindPin, 3*shortestRun)   // 131 to 322
	add(kaban.KindMessage, 1)           // 323
	add(kaban.KindDelete, 5)            // 324 to 328: goes on
	want := runs{{1, 64}, {131, 322}, {324, 328}}
	if !slices.Equal(r, want) {
		t.Fatalf("got %v, want %v", r, want)
	}
	for _, c := range []struct{ seq, end, begin uint64 }{
		{1, 64, 1}, {64, 64, 1}, {65, 65, 65}, {100, 100, 100}, {131, 322, 131}, {200, 322, 131}, {322, 322, 131}, {323, 323, 323}, {326, 328, 324}, {400, 400, 400},
	} {
		if end, begin := r.end(c.seq, false), r.end(c.seq, true); end != c.end || begin != c.begin {
			t.Errorf("of %d: %d to %d, want %d to %d", c.seq, begin, end, c.begin, c.end)
		}
	}
	if r.drop(63); len(r) != 3 {
		t.Errorf("a run that is kept in part is gone: %v", r)
	}
	if r.drop(64); !slices.Equal(r, want[1:]) {
		t.Errorf("after a cut: %v", r)
	}
	if r.drop(seq); r != nil {
		t.Errorf("after everything is cut: %v", r)
	}
}
