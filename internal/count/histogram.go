// Package count has what packages count with and telemetry reads: a histogram that is
// safe for concurrent use, without a lock. It knows no library of metrics.
package count

import (
	"math"
	"sync/atomic"
)

// Each power of two has 8 buckets, so a value is known to 9 percent. This is schema 3
// of Prometheus' native histograms: bucket i has the values in (2^((i-1)/8), 2^(i/8)].
const (
	// Schema is the number of the schema.
	Schema = 3
	// PerPower is how many buckets a power of two has.
	PerPower = 1 << Schema
	// minPower and maxPower are the powers of two between which values are told apart:
	// from a nanosecond, in seconds, to about a million.
	minPower = -30
	maxPower = 20
	buckets  = (maxPower - minPower) * PerPower
)

// bounds are the upper bounds of the buckets from 0.5 to 1.
var bounds = func() (b [PerPower]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i+1)/PerPower - 1)
	}
	return b
}()

// Histogram counts how often values occurred, such as seconds or sizes. The zero
// Histogram is empty. It takes about 3 KiB and must not be copied. A value below
// 2^-30 counts as that, one above 2^20 as that.
type Histogram struct {
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Uint64 // the bits of a float64
}

// Observe counts n times a value. n may be 0. It allocates nothing.
func (h *Histogram) Observe(value float64, n int) {
	if n <= 0 {
		return
	}
	h.counts[slot(value)].Add(uint64(n))
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+value*float64(n))) {
			return
		}
	}
}

// slot returns the place of the bucket of a value.
func slot(value float64) int {
	if !(value > math.Ldexp(1, minPower)) { // NaN, too
		return 0
	}
	fraction, power := math.Frexp(min(value, 1<<maxPower))
	i := 0
	for i < PerPower-1 && bounds[i] < fraction {
		i++
	}
	if fraction == 0.5 { // the last bucket of the power below
		i = -1
	}
	return (power-1-minPower)*PerPower + i + 1
}

// Snapshot is what a Histogram has counted.
type Snapshot struct {
	Count uint64
	Sum   float64
	// Buckets are the counts by the number of the bucket; see Schema. None is 0.
	Buckets map[int]uint64
}

// Snapshot returns what was counted. A value that is counted at the same time may be
// missing from the sum.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: math.Float64frombits(h.sum.Load()), Buckets: make(map[int]uint64)}
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			s.Count += n
			s.Buckets[i+minPower*PerPower] = n
		}
	}
	return s
}
