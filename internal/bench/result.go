package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is the result of a run. Values that were not measured are absent.
type Result struct {
	Workload Workload `json:"workload"`
	Options  Options  `json:"options"`

	Seconds             float64 `json:"seconds,omitempty"` // of the measurement
	Messages            uint64  `json:"messages,omitempty"`
	Deliveries          uint64  `json:"deliveries,omitempty"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second,omitempty"`
	// Lost and Repeated count the whole run, including the warm-up.
	Lost     uint64 `json:"lost"`
	Repeated uint64 `json:"repeated"`
	Foreign  uint64 `json:"foreign,omitempty"` // messages that this run did not send
	Sampled  int    `json:"sampled,omitempty"` // connections with a checked order

	Server    *ServerUse `json:"server,omitempty"`
	Generator float64    `json:"generator_cpu_seconds,omitempty"`

	Latency *Percentiles  `json:"latency,omitempty"`
	Series  []float64     `json:"series,omitempty"` // deliveries a second, over time
	Idle    *IdleResult   `json:"idle,omitempty"`
	Stalled *StallResult  `json:"stalled,omitempty"`
	Join    *JoinResult   `json:"join,omitempty"`
	Durable *DurableShown `json:"durable,omitempty"`
}

// ServerUse is the resource usage of the server during the measurement.
type ServerUse struct {
	CPUSeconds        float64 `json:"cpu_seconds"`
	MicrosPerDelivery float64 `json:"micros_per_delivery,omitempty"`
	AnonKiB           int64   `json:"rss_anon_kib"` // at the end
	PeakKiB           int64   `json:"vm_hwm_kib"`   // of its life
	// WholeMicrosPerMessage is all CPU from the first message until the server was idle
	// again, with the work that it leaves for later, by all messages. Only with Options.Settle,
	// and 0 if the server was not idle within MaxTime.
	WholeMicrosPerMessage float64 `json:"whole_micros_per_message,omitempty"`
}

// IdleResult is the cost of idle connections.
type IdleResult struct {
	Connections      int     `json:"connections"`
	BeforeKiB        int64   `json:"rss_anon_before_kib,omitempty"`
	AfterKiB         int64   `json:"rss_anon_after_kib,omitempty"`
	KiBPerConnection float64 `json:"kib_per_connection,omitempty"`
	CPUPercent       float64 `json:"cpu_percent,omitempty"` // of one core
	LoginsPerSecond  float64 `json:"logins_per_second"`
}

// StallResult compares a conversation while other connections are idle with one
// while as many members are stalled.
type StallResult struct {
	Connections int         `json:"connections"`
	IdleKiB     int64       `json:"idle_rss_anon_kib,omitempty"`
	StalledKiB  int64       `json:"stalled_rss_anon_kib,omitempty"`
	Idle        Percentiles `json:"latency_beside_idle"`
	Stalled     Percentiles `json:"latency_beside_stalled"`
}

// JoinResult is the result of a storm.
type JoinResult struct {
	Connections       int     `json:"connections"`
	LoginSeconds      float64 `json:"login_seconds"`
	LoginsPerSecond   float64 `json:"logins_per_second"`
	JoinSeconds       float64 `json:"join_seconds"`
	LeaveSeconds      float64 `json:"leave_seconds"`
	PresenceWhileJoin float64 `json:"presence_per_member_joining"`
	PresenceWhilePart float64 `json:"presence_per_member_leaving"`
}

// DurableShown is the result for senders that wait for each ack.
type DurableShown struct {
	Senders       int         `json:"senders"`
	AcksPerSecond float64     `json:"acks_per_second"`
	Latency       Percentiles `json:"latency"`
}

// Percentiles are percentiles of a latency, in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
	// Curve has the latencies at curveQuantiles.
	Curve []float64 `json:"curve_ms,omitempty"`
}

// curveQuantiles are evenly spaced in the number of nines.
var curveQuantiles = []float64{10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95, 99.99, 100}

// newHistogram returns a histogram for latencies in nanoseconds, from a
// microsecond to ten minutes, with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(MaxTime), 3)
}

func record(h *hdrhistogram.Histogram, nanoseconds int64) {
	// It cannot fail within these bounds.
	_ = h.RecordValue(min(max(nanoseconds, int64(time.Microsecond)), int64(MaxTime)))
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	p := Percentiles{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e6}
	for _, q := range curveQuantiles {
		p.Curve = append(p.Curve, at(q))
	}
	return p
}

// Failed reports whether messages were lost, repeated or foreign.
func (r *Result) Failed() bool { return r.Lost > 0 || r.Repeated > 0 || r.Foreign > 0 }
