package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/guptarohit/asciigraph"
)

// human formats a number for people: 8.1 M.
func human(n float64) string {
	switch {
	case n >= 1e8:
		return fmt.Sprintf("%.0f M", n/1e6)
	case n >= 1e6:
		return fmt.Sprintf("%.3g M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.3g k", n/1e3)
	}
	return fmt.Sprintf("%.4g", n)
}

// Print writes results for people: a table, and a curve if there is one.
func Print(out io.Writer, results ...*Result) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for i, r := range results {
		if i > 0 {
			fmt.Fprintln(table)
		}
		r.rows(func(name, format string, args ...any) {
			fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
		})
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if plot := r.plot(); plot != "" {
			if _, err := fmt.Fprintf(out, "\n%s\n", plot); err != nil {
				return err
			}
		}
	}
	return nil
}

// what describes the run in one line.
func (r *Result) what() string {
	o := &r.Options
	rooms := fmt.Sprintf("%d rooms x %d", o.Rooms, o.Members)
	if o.Rooms == 1 {
		rooms = fmt.Sprintf("1 room x %d", o.Members)
	}
	switch r.Workload {
	case Flood:
		return fmt.Sprintf("%s, %d senders each, %d in flight each, %s", rooms, o.Senders, o.InFlight, o.sent())
	case Latency:
		return fmt.Sprintf("%s, %g messages/s, %d bytes", rooms, o.Rate, o.Payload)
	case Idle:
		return rooms + ", silent"
	case Stalled:
		return fmt.Sprintf("%s, %g messages/s of %d bytes, with %d others", rooms, o.Rate, o.Payload, o.Stalled)
	case Join:
		return fmt.Sprintf("%d join one room, then leave it", o.Members)
	}
	return fmt.Sprintf("%d senders in %d rooms, %s", o.Senders, o.Rooms, o.sent())
}

// sent describes what is sent.
func (o *Options) sent() string {
	if o.React {
		return "reactions"
	}
	return fmt.Sprintf("%d bytes", o.Payload)
}

// Command returns the command that repeats the run.
func (r *Result) Command() string {
	o := &r.Options
	var b strings.Builder
	flag := func(name string, value any) { fmt.Fprintf(&b, " --%s %v", name, value) }
	b.WriteString("kaban bench ")
	switch r.Workload {
	case Flood:
		if o.Rooms == 1 {
			b.WriteString("fanout")
		} else {
			b.WriteString("rooms")
			flag("rooms", o.Rooms)
		}
		flag("members", o.Members)
		flag("senders", o.Senders)
		flag("in-flight", o.InFlight)
	case Latency:
		b.WriteString("latency")
		flag("rooms", o.Rooms)
		flag("members", o.Members)
		flag("senders", o.Senders)
		flag("rate", o.Rate)
	case Idle:
		b.WriteString("idle")
		flag("connections", o.Rooms*o.Members)
		flag("rooms", o.Rooms)
	case Stalled:
		b.WriteString("idle")
		flag("stalled", o.Stalled)
	case Join:
		b.WriteString("join")
		flag("members", o.Members)
	case Durable:
		b.WriteString("durable")
		flag("senders", o.Senders)
		flag("rooms", o.Rooms)
	}
	if o.Payload > 0 {
		flag("payload", o.Payload)
	}
	if r.Workload != Join {
		flag("warm-up", o.Warmup)
		flag("duration", o.Duration)
	}
	flag("server", o.Server)
	if o.SendersAt != "" {
		flag("senders-at", o.SendersAt)
	}
	if o.React {
		b.WriteString(" --react")
	}
	if o.Settle {
		b.WriteString(" --settle --pid PID")
	}
	if o.Raw {
		b.WriteString(" --raw")
	}
	return b.String()
}

// PrintJSON writes each result as one line of JSON.
func PrintJSON(out io.Writer, results ...*Result) error {
	encoder := json.NewEncoder(out)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

type addRow func(name, format string, args ...any)

func (r *Result) rows(add addRow) {
	add("work", "%s", r.what())
	if r.DeliveriesPerSecond > 0 {
		add("deliveries/s", "%s (%d in %.2f s)", human(r.DeliveriesPerSecond), r.Deliveries, r.Seconds)
		name := "messages/s"
		if r.Options.React {
			name = "reactions/s"
		}
		add(name, "%s", human(float64(r.Messages)/r.Seconds))
	}
	if d := r.Durable; d != nil {
		add("acks/s", "%s", human(d.AcksPerSecond))
		d.Latency.rows("ack latency", add)
	}
	if r.Latency != nil {
		r.Latency.rows("latency", add)
	}
	if j := r.Join; j != nil {
		add("log in", "%.3f s, %s logins/s", j.LoginSeconds, human(j.LoginsPerSecond))
		add("join", "%.3f s, %.1f presence frames per member", j.JoinSeconds, j.PresenceWhileJoin)
		add("leave", "%.3f s, %.1f presence frames per member", j.LeaveSeconds, j.PresenceWhilePart)
	}
	if s := r.Stalled; s != nil {
		s.Idle.rows("with idle ones", add)
		s.Stalled.rows("with stalled ones", add)
		if s.IdleKiB > 0 {
			add("server memory", "%s with idle ones, %s with stalled ones", mebibytes(s.IdleKiB), mebibytes(s.StalledKiB))
		}
	}
	if i := r.Idle; i != nil {
		add("logins/s", "%s", human(i.LoginsPerSecond))
		if i.AfterKiB > 0 {
			add("memory", "%.2f KiB per connection (%s before, %s with them)", i.KiBPerConnection, mebibytes(i.BeforeKiB), mebibytes(i.AfterKiB))
			add("server CPU", "%.2f %% of a core while idle", i.CPUPercent)
		}
	}
	if s := r.Server; s != nil && r.Idle == nil && r.Stalled == nil {
		if s.MicrosPerDelivery > 0 {
			add("server CPU", "%.3f µs per delivery (%.2f s)", s.MicrosPerDelivery, s.CPUSeconds)
		} else {
			add("server CPU", "%.2f s", s.CPUSeconds)
		}
		if s.WholeMicrosPerMessage > 0 {
			add("until it is idle", "%.2f µs per message, with the work that the server leaves for later", s.WholeMicrosPerMessage)
		}
		add("server memory", "%s, %s at the peak", mebibytes(s.AnonKiB), mebibytes(s.PeakKiB))
	}
	if r.Generator > 0 && r.Seconds > 0 {
		add("generator CPU", "%.0f %% of a core", 100*r.Generator/r.Seconds)
	}
	r.verdict(add)
	add("repeat with", "%s", r.Command())
}

func (r *Result) verdict(add addRow) {
	switch {
	case r.Failed():
		add("FAILED", "%d deliveries lost, %d repeated, %d foreign", r.Lost, r.Repeated, r.Foreign)
	case r.Messages > 0 || r.Durable != nil:
		add("checked", "nothing lost, nothing repeated; order checked on %d connections", r.Sampled)
	}
}

func (p *Percentiles) rows(name string, add addRow) {
	add(name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", milliseconds(p.P50), milliseconds(p.P90), milliseconds(p.P99), milliseconds(p.P999), milliseconds(p.Max))
}

func milliseconds(ms float64) string {
	return time.Duration(ms * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}

func mebibytes(kib int64) string { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }

// plot returns the curve as text, or "".
func (r *Result) plot() string {
	const width, height = 60, 10
	switch p := r.Latency; {
	case p != nil && p.Count > 0:
		return asciigraph.Plot(p.Curve, asciigraph.Height(height), asciigraph.Width(width), asciigraph.LowerBound(0), asciigraph.Precision(2),
			asciigraph.Caption("milliseconds, from p10 over p90, p99, p99.9 to the longest"))
	case len(r.Series) > 2:
		series := make([]float64, len(r.Series))
		unit, name := 1.0, "deliveries/s"
		if r.DeliveriesPerSecond > 1e6 {
			unit, name = 1e6, "million deliveries/s"
		} else if r.DeliveriesPerSecond > 1e4 {
			unit, name = 1e3, "thousand deliveries/s"
		}
		for i, v := range r.Series {
			series[i] = v / unit
		}
		return asciigraph.Plot(series, asciigraph.Height(height), asciigraph.Width(width), asciigraph.LowerBound(0), asciigraph.Precision(1),
			asciigraph.Caption(strings.TrimSpace(fmt.Sprintf("%s over %.1f s", name, r.Seconds))))
	}
	return ""
}
