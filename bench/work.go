package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"kaban/internal/bench"
	"kaban/internal/tlstest"
)

// work is something to measure.
type work struct {
	name    string
	title   string // in the tables
	kind    bench.Workload
	options bench.Options
	servers []string
	most    int // maximum number of runs; 0 is all
}

// curveRuns is the maximum number of measurements of a point of a curve, which
// only has to show the shape.
const curveRuns = 2

func flood(name, title string, rooms, members, senders, inFlight int, servers []string) work {
	return work{name, title, bench.Flood, bench.Options{Rooms: rooms, Members: members, Senders: senders, InFlight: inFlight, Payload: 100}, servers, 0}
}

func steady(name, title string, rooms, members int, rate float64) work {
	return work{name, title, bench.Latency, bench.Options{Rooms: rooms, Members: members, Rate: rate, Payload: 100}, everyServer, 0}
}

// overBoth is every server, including kaban over WebSocket, and overAll over TLS too.
// What is compared takes turns without others between, as far as it can be.
var (
	overBoth = append(slices.Clone(everyServer), kabanWeb)
	overAll  = append([]string{kabanMemory, kabanTLS}, overBoth[1:]...)
)

// The works of the tables.
var (
	floods = []work{
		flood("fanout-1000-1024", "1 room × 1,000, 4 senders, 1,024 in flight", 1, 1000, 4, 1024, overAll),
		flood("fanout-1000-32", "1 room × 1,000, 4 senders, 32 in flight", 1, 1000, 4, 32, overAll),
		flood("fanout-5000-256", "1 room × 5,000, 4 senders, 256 in flight", 1, 5000, 4, 256, overBoth),
		flood("rooms-100-16", "100 rooms × 10, all talk, 16 in flight each", 100, 10, 10, 16, overAll),
	}
	single          = flood("fanout-1000-1", "1 room × 1,000, 1 in flight", 1, 1000, 1, 1, []string{kabanMemory, kabanTLS})
	encryptedFloods = []work{single, floods[1], floods[0], floods[3]}

	steadies = []work{
		steady("latency-1000-20", "1 room × 1,000, 20 messages/s", 1, 1000, 20),
		steady("latency-100-2000", "100 rooms × 10, 2,000 messages/s", 100, 10, 2000),
	}
	idle  = work{"idle-10000", "10,000 idle connections in 1,000 rooms", bench.Idle, bench.Options{Rooms: 1000, Members: 10}, overAll, 0}
	few   = work{"idle-1000", "1,000 idle connections in 100 rooms", bench.Idle, bench.Options{Rooms: 100, Members: 10}, []string{kabanMemory, kabanTLS, kabanWeb}, 0}
	storm = work{"join-5000", "5,000 join one room, then leave", bench.Join, bench.Options{Members: 5000}, []string{kabanMemory, kabanDurable}, 0}

	stalled = work{
		"stalled-10000", "ten talk, 100 messages/s, while 9,990 members of the room do not read", bench.Stalled,
		bench.Options{Rooms: 1, Members: 10, Stalled: 9990, Rate: 100, Payload: 100, Duration: 10 * time.Second}, // twice the time that the server needs to free memory, and between two bursts of window probes
		[]string{kabanMemory, kabanDurable},
		0,
	}

	receivers = []int{10, 100, 1000, 10_000}
	rooms     = []int{1, 10, 100, 1000}
	senders   = []int{1, 16, 256}
	curves    = []string{kabanMemory, kabanDurable, floorLoop, floorGoroutines}
)

func (w work) atMost(runs int) work {
	w.most = runs
	return w
}

func receiversName(n int) string { return fmt.Sprintf("receivers-%d", n) }
func roomsName(n int) string     { return fmt.Sprintf("rooms-%d", n) }
func durableName(n int) string   { return fmt.Sprintf("durable-%d", n) }

// ownRooms is 256 senders in rooms of their own: each commit writes to 256 rooms.
const ownRooms = "durable-own-rooms"

func durable(name string, senders, rooms int) work {
	return work{name, "", bench.Durable, bench.Options{Rooms: rooms, Members: 1, Senders: senders, Payload: 100}, []string{kabanDurable}, 0}
}

// works returns everything that is measured with the load generator.
func works() []work {
	all := slices.Concat(floods, steadies, []work{single, idle, few, storm, stalled})
	for _, n := range receivers {
		all = append(all, flood(receiversName(n), "", 1, n, min(n, 4), 256, curves).atMost(curveRuns))
	}
	for _, n := range rooms {
		all = append(all, flood(roomsName(n), "", n, 10, 10, 16, curves).atMost(curveRuns))
	}
	for _, n := range senders {
		all = append(all, durable(durableName(n), n, min(n, 16)))
	}
	return append(all, durable(ownRooms, 256, 256))
}

// meter runs the measurements.
type meter struct {
	plan
	ctx     context.Context
	scratch string
	record  *record
}

func (m *meter) wants(name string) bool { return m.only == nil || m.only.MatchString(name) }

// all runs all selected measurements, several times. A failed measurement does not
// stop the others; the errors are returned at the end.
func (m *meter) all() error {
	var failed []error
	try := func(what string, err error) {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			fmt.Fprintln(os.Stderr, err)
			failed = append(failed, err)
		}
	}
	for i := range m.runs {
		for _, w := range works() {
			for _, server := range w.servers {
				if m.ctx.Err() != nil {
					return context.Cause(m.ctx)
				}
				if m.wants(w.name) && (w.most == 0 || i < w.most) {
					try(w.name+", "+server, m.one(i, w, server))
				}
			}
		}
		if m.wants("disk") {
			try("disk", m.disk())
		}
		if m.wants("start") {
			try("start", m.starts())
		}
	}
	if m.wants("store") {
		try("store", m.store())
	}
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return errors.Join(failed...)
}

// one measures one work on one server once.
func (m *meter) one(run int, w work, server string) error {
	o := w.options
	o.Raw = isFloor(server)
	o.Warmup, o.Duration = max(m.duration/3, 500*time.Millisecond), max(m.duration, o.Duration)
	if w.kind == bench.Idle {
		o.Warmup = 2 * time.Second
	}
	return m.with(server, func(p *process) error {
		o.Server, o.PID = p.address, p.pid
		if server == kabanTLS {
			o.TLS = tlstest.Client()
		}
		r, err := bench.Run(m.ctx, w.kind, o)
		if err != nil {
			return err
		}
		if r.Failed() {
			return fmt.Errorf("%d deliveries were lost, %d repeated, %d not of this run", r.Lost, r.Repeated, r.Foreign)
		}
		m.note(r, w.name, server)
		f := m.record.Figures[w.name][server]
		fmt.Fprintf(os.Stderr, "run %d of %d  %-18s %-17s%s\n", run+1, m.runs, w.name, server, f.last())
		return nil
	})
}

// note records the figures of a result.
func (m *meter) note(r *bench.Result, name, server string) {
	add := func(metric string, value float64) { m.record.Figures.add(name, server, metric, value) }
	if s := r.Server; s != nil {
		if r.Deliveries > 0 && r.Stalled == nil { // of the last phase only
			add(microsPerDelivery, s.MicrosPerDelivery)
		}
		add(peakMiB, float64(s.PeakKiB)/1024)
	}
	switch {
	case r.Latency != nil:
		add(p50, r.Latency.P50)
		add(p99, r.Latency.P99)
		add(p999, r.Latency.P999)
	case r.Idle != nil:
		add(kibPerConnection, r.Idle.KiBPerConnection)
		add(cpuPercent, r.Idle.CPUPercent)
		add(loginsPerSecond, r.Idle.LoginsPerSecond)
	case r.Stalled != nil:
		s := r.Stalled
		for what, p := range map[string]bench.Percentiles{besideIdle: s.Idle, besideStalled: s.Stalled} {
			add(what+p50, p.P50)
			add(what+p99, p.P99)
		}
		add(besideIdle+anonMiB, float64(s.IdleKiB)/1024)
		add(besideStalled+anonMiB, float64(s.StalledKiB)/1024)
	case r.Join != nil:
		add(joinSeconds, r.Join.JoinSeconds)
		add(leaveSeconds, r.Join.LeaveSeconds)
		add(presenceFrames, r.Join.PresenceWhileJoin)
		add(loginsPerSecond, r.Join.LoginsPerSecond)
	case r.Durable != nil:
		add(perSecond, r.Durable.AcksPerSecond)
		add(p50, r.Durable.Latency.P50)
		add(p99, r.Durable.Latency.P99)
	default:
		add(perSecond, r.DeliveriesPerSecond)
		add("generator % of a core", 100*r.Generator/r.Seconds)
	}
}

// The names of figures in the results.
const (
	perSecond         = "per second"
	microsPerDelivery = "server CPU µs per delivery"
	peakMiB           = "server peak MiB"
	p50               = "p50 ms"
	p99               = "p99 ms"
	p999              = "p99.9 ms"
	anonMiB           = "RssAnon MiB"
	besideIdle        = "beside idle, " // before another name
	besideStalled     = "beside stalled, "
	kibPerConnection  = "KiB per connection"
	cpuPercent        = "CPU % of a core"
	loginsPerSecond   = "logins per second"
	joinSeconds       = "join s"
	leaveSeconds      = "leave s"
	presenceFrames    = "presence frames per member"
	startMillis       = "start ms"
	readyMiB          = "RssAnon MiB when ready"
	quietMiB          = "RssAnon MiB when quiet"
	afterMiB          = "RssAnon MiB after clients"
	joinMillis        = "join with the last 50 ms"
	pageMillis        = "page of 50 ms"
	sizeMiB           = "size MiB"
)

func describeMachine(ctx context.Context) machine {
	return machine{
		CPU:    lineOf("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		Memory: lineOf("/proc/meminfo", "MemTotal"),
		System: output(ctx, "uname", "-sr"),
		Go:     runtime.Version(),
		Commit: output(ctx, "git", "describe", "--always", "--dirty"),
		Date:   time.Now().UTC().Format(time.DateOnly),
		Load:   strings.Join(strings.Fields(lineOf("/proc/loadavg", ""))[:1], ""),
	}
}
