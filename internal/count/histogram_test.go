package count_test

import (
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"kaban/internal/count"
)

// upper returns the upper bound of a bucket.
func upper(i int) float64 { return math.Exp2(float64(i) / count.PerPower) }

func TestAValueIsInItsBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := math.Exp2(rapid.Float64Range(-29.9, 19.9).Draw(t, "power"))
		if rapid.Bool().Draw(t, "exact") {
			value = math.Exp2(float64(rapid.IntRange(-29, 20).Draw(t, "whole")))
		}
		var h count.Histogram
		h.Observe(value, 3)
		s := h.Snapshot()
		if s.Count != 3 || s.Sum != 3*value || len(s.Buckets) != 1 {
			t.Fatalf("%g: %+v", value, s)
		}
		for i, n := range s.Buckets {
			if n != 3 || value <= upper(i-1)*(1-1e-12) || value > upper(i)*(1+1e-12) {
				t.Fatalf("%g is %d times in bucket %d: (%g, %g]", value, n, i, upper(i-1), upper(i))
			}
			if value == math.Exp2(math.Round(math.Log2(value))) && i != count.PerPower*int(math.Round(math.Log2(value))) {
				t.Fatalf("%g, a power of two, is in bucket %d", value, i)
			}
		}
	})
}

func TestValuesOutOfRange(t *testing.T) {
	for _, test := range []struct {
		value float64
		want  int
	}{{0, -240}, {-1, -240}, {math.NaN(), -240}, {1e-300, -240}, {1 << 20, 160}, {1 << 30, 160}, {math.Inf(1), 160}} {
		var h count.Histogram
		h.Observe(test.value, 1)
		if s := h.Snapshot(); s.Buckets[test.want] != 1 {
			t.Errorf("%g: %+v, want it in bucket %d", test.value, s, test.want)
		}
	}
	var h count.Histogram
	h.Observe(1, 0)
	h.Observe(1, -1)
	if s := h.Snapshot(); s.Count != 0 || s.Sum != 0 || len(s.Buckets) != 0 {
		t.Errorf("nothing was counted as %+v", s)
	}
}

func TestManyObserveAtTheSameTime(t *testing.T) {
	var h count.Histogram
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				h.Observe(0.5, 1)
			}
		})
	}
	all.Wait()
	if s := h.Snapshot(); s.Count != 8000 || s.Sum != 4000 {
		t.Errorf("%+v, want 8000 of 0.5", s)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h count.Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(0.01, 7) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h count.Histogram
	for b.Loop() {
		h.Observe(0.0123, 5)
	}
}
