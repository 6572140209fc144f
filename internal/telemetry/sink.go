package telemetry

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"kaban/internal/count"
)

// sink takes the values of one metric.
type sink struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	to   chan<- prometheus.Metric
}

// put adds a value with its labels.
func (s sink) put(value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(s.desc, s.kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(s.desc, err)
	}
	s.to <- m
}

// each adds a value for each label.
func each[L ~string, N uint64 | int](s sink, values map[L]N) {
	for _, label := range slices.Sorted(maps.Keys(values)) {
		s.put(float64(values[label]), string(label))
	}
}

// histogram adds what a histogram has counted.
func (s sink) histogram(n count.Snapshot, from, to int) {
	s.to <- histogram{desc: s.desc, counted: n, from: from, to: to}
}

// histogram is a metric with both kinds of buckets. A scraper that takes protocol
// buffers reads the native ones, which are exact to 9 percent. All others read the
// classic ones: the powers of two from 2^from to 2^to, whose bounds are bounds of native
// ones as well.
type histogram struct {
	desc     *prometheus.Desc
	counted  count.Snapshot
	from, to int
}

// Desc implements prometheus.Metric.
func (h histogram) Desc() *prometheus.Desc { return h.desc }

// zeroThreshold is that of the library: no observation is below.
const zeroThreshold = 2.938735877055719e-39

// Write implements prometheus.Metric.
func (h histogram) Write(out *dto.Metric) error {
	to := &dto.Histogram{
		SampleCount: proto.Uint64(h.counted.Count), SampleSum: proto.Float64(h.counted.Sum),
		Schema: proto.Int32(count.Schema), ZeroThreshold: proto.Float64(zeroThreshold), ZeroCount: proto.Uint64(0),
	}
	numbers := slices.Sorted(maps.Keys(h.counted.Buckets))
	h.writeNative(to, numbers)
	sum, next := uint64(0), 0
	for power := h.from; power <= h.to; power++ {
		for ; next < len(numbers) && numbers[next] <= power*count.PerPower; next++ {
			sum += h.counted.Buckets[numbers[next]]
		}
		to.Bucket = append(to.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(sum), UpperBound: proto.Float64(math.Ldexp(1, power))})
	}
	out.Histogram = to
	return nil
}

// writeNative writes the buckets in the form of Prometheus: runs of buckets, and in
// each bucket the difference to the one before.
func (h histogram) writeNative(to *dto.Histogram, numbers []int) {
	if len(numbers) == 0 { // an empty run says that there are native buckets
		to.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
		return
	}
	next, before := 0, int64(0) // the number behind the last run
	for _, number := range numbers {
		if len(to.PositiveSpan) == 0 || number != next {
			to.PositiveSpan = append(to.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(number - next)), Length: proto.Uint32(0)})
		}
		run := to.PositiveSpan[len(to.PositiveSpan)-1]
		run.Length = proto.Uint32(run.GetLength() + 1)
		n := int64(h.counted.Buckets[number])
		to.PositiveDelta = append(to.PositiveDelta, n-before)
		next, before = number+1, n
	}
}
