package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// fillPage replaces the generated parts of the page and keeps the text between
// them.
func (r *record) fillPage(page string) (string, error) {
	sections := r.sections()
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end: "+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, ended := strings.Cut(rest, end)
		if !ok || !ended {
			return "", fmt.Errorf("the page has no section %s: lines %q and %q", name, strings.TrimSpace(begin), end)
		}
		page = before + begin + "\n" + strings.TrimSpace(sections[name]) + "\n\n" + end + after
	}
	return page, nil
}

// sections returns the generated parts by name.
func (r *record) sections() map[string]string {
	return map[string]string{
		"machine":   r.machineSection(),
		"fanout":    r.serverTable("deliveries/s, server CPU µs per delivery, peak MiB", floods, r.floodCell, microsPerDelivery),
		"latency":   r.serverTable("p50 / p99 / p99.9 ms, server CPU µs per delivery", steadies, r.steadyCell, microsPerDelivery),
		"idle":      r.idleSection(),
		"websocket": r.webSection(),
		"tls":       r.tlsSection(),
		"curves":    r.curveSection(),
		"durable":   r.durableSection(),
		"store":     r.storeSection(),
		"start":     r.startSection(),
	}
}

func (r *record) machineSection() string {
	m := r.Machine
	return fmt.Sprintf("Measured on %s with commit `%s`: %d cores (%s), %s of memory, %s, %s; load of the machine at the start %s. "+
		"Medians of %d, each of %g seconds. All figures are in [results.json](performance/results.json).",
		m.Date, m.Commit, m.Cores, m.CPU, m.Memory, m.System, m.Go, m.Load, r.Runs, r.Seconds)
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func header(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
}

// serverTable has a row for each work and a column for each server, and the cost
// of a delivery as a multiple of the floors.
func (r *record) serverTable(what string, works []work, cell func(work, server string) string, metric string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", what)
	header(&b, append(append([]string{""}, everyServer...), "kaban memory ÷ loop / goroutines", "kaban durable ÷ loop / goroutines")...)
	for _, w := range works {
		cells := []string{w.title}
		for _, server := range everyServer {
			cells = append(cells, cell(w.name, server))
		}
		for _, server := range []string{kabanMemory, kabanDurable} {
			cells = append(cells, r.ratio(w.name, server, floorLoop, metric)+" / "+r.ratio(w.name, server, floorGoroutines, metric))
		}
		row(&b, cells...)
	}
	return b.String()
}

func (r *record) ratio(work, server, floor, metric string) string {
	return times(r.Figures.median(work, server, metric), r.Figures.median(work, floor, metric))
}

func times(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return figure(a / b)
}

func (r *record) floodCell(work, server string) string {
	f := r.Figures
	return fmt.Sprintf("%s, **%s**, %s", figure(f.median(work, server, perSecond)), figure(f.median(work, server, microsPerDelivery)), figure(f.median(work, server, peakMiB)))
}

func (r *record) steadyCell(work, server string) string {
	f := r.Figures
	return fmt.Sprintf("%s / %s / %s, **%s**", figure(f.median(work, server, p50)), figure(f.median(work, server, p99)), figure(f.median(work, server, p999)), figure(f.median(work, server, microsPerDelivery)))
}

func (r *record) idleSection() string {
	var b strings.Builder
	f := r.Figures
	header(&b, idle.title, "KiB each", "CPU, % of a core", "logins/s")
	for _, server := range everyServer {
		row(&b, server, figure(f.median(idle.name, server, kibPerConnection)), figure(f.median(idle.name, server, cpuPercent)), figure(f.median(idle.name, server, loginsPerSecond)))
	}
	b.WriteString("\n")
	header(&b, storm.title, "join, s", "leave, s", "presence frames a member while joining", "logins/s")
	for _, server := range storm.servers {
		row(&b, server, figure(f.median(storm.name, server, joinSeconds)), figure(f.median(storm.name, server, leaveSeconds)),
			figure(f.median(storm.name, server, presenceFrames)), figure(f.median(storm.name, server, loginsPerSecond)))
	}
	b.WriteString("\n")
	header(&b, stalled.title, "server memory, MiB, if they are idle elsewhere", "if they stall", "p50 / p99 ms, if they are idle", "if they stall")
	for _, server := range stalled.servers {
		at := func(metric string) string { return figure(f.median(stalled.name, server, metric)) }
		row(&b, server, at(besideIdle+anonMiB), at(besideStalled+anonMiB), at(besideIdle+p50)+" / "+at(besideIdle+p99), at(besideStalled+p50)+" / "+at(besideStalled+p99))
	}
	return b.String()
}

// webSection compares WebSocket with TCP.
func (r *record) webSection() string {
	var b strings.Builder
	f := r.Figures
	header(&b, "server CPU, µs per delivery", "TCP", "WebSocket", "WebSocket ÷ TCP")
	for _, w := range floods {
		row(&b, w.title, figure(f.median(w.name, kabanMemory, microsPerDelivery)), figure(f.median(w.name, kabanWeb, microsPerDelivery)), r.ratio(w.name, kabanWeb, kabanMemory, microsPerDelivery))
	}
	b.WriteString("\n")
	header(&b, "KiB of server memory for each", "TCP", "WebSocket", "WebSocket ÷ TCP")
	for _, w := range []work{few, idle} {
		row(&b, w.title, figure(f.median(w.name, kabanMemory, kibPerConnection)), figure(f.median(w.name, kabanWeb, kibPerConnection)), r.ratio(w.name, kabanWeb, kabanMemory, kibPerConnection))
	}
	return b.String()
}

// curveSection shows how the cost of a delivery grows.
func (r *record) curveSection() string {
	var b strings.Builder
	table := func(what string, sizes []int, name func(int) string) {
		header(&b, append([]string{what}, curves...)...)
		for _, n := range sizes {
			cells := []string{thousands(n)}
			for _, server := range curves {
				cells = append(cells, figure(r.Figures.median(name(n), server, microsPerDelivery)))
			}
			row(&b, cells...)
		}
		b.WriteString("\n")
	}
	table("µs per delivery, receivers in one room", receivers, receiversName)
	b.WriteString("![Server CPU per delivery by the number of receivers in one room](performance/receivers.svg)\n\n")
	table("µs per delivery, rooms of 10", rooms, roomsName)
	b.WriteString("![Server CPU per delivery by the number of rooms](performance/rooms.svg)\n")
	return b.String()
}

func (r *record) durableSection() string {
	var b strings.Builder
	f := r.Figures
	header(&b, "senders", "acks/s", "p50 ms", "p99 ms", "÷ file and fsync", "÷ plain SQLite")
	senderRow := func(title, name string, batch int) {
		acks := f.median(name, kabanDurable, perSecond)
		row(&b, title, figure(acks), figure(f.median(name, kabanDurable, p50)), figure(f.median(name, kabanDurable, p99)),
			times(acks, f.median(diskName(batch), plainFile, perSecond)), times(acks, f.median(diskName(batch), plainSQLite, perSecond)))
	}
	for _, n := range senders {
		senderRow(thousands(n), durableName(n), n)
	}
	senderRow("256, each in a room of its own", ownRooms, 256)
	b.WriteString("\n")
	header(&b, "rows/s, in batches of", plainFile, plainSQLite)
	for _, n := range batches {
		row(&b, thousands(n), figure(f.median(diskName(n), plainFile, perSecond)), figure(f.median(diskName(n), plainSQLite, perSecond)))
	}
	b.WriteString("\n![Durable messages a second by senders, beside the floors in batches as large](performance/durable.svg)\n")
	return b.String()
}

func (r *record) storeSection() string {
	var b strings.Builder
	f := r.Figures
	header(&b, "messages", "size, MiB", "start, ms", "join with the last 50, ms", "50 from the middle, ms")
	for _, n := range r.storeSizes() {
		at := func(metric string) string { return figure(f.median(storeName(n), kabanDurable, metric)) }
		row(&b, thousands(n), at(sizeMiB), at(startMillis), at(joinMillis), at(pageMillis))
	}
	b.WriteString("\n![Milliseconds by the number of messages](performance/store.svg)\n")
	return b.String()
}

// storeSizes returns the measured sizes.
func (r *record) storeSizes() (sizes []int) {
	for n := 10_000; n <= 10_000_000; n *= 10 {
		if r.Figures[storeName(n)] != nil {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// thousands formats 10000 as 10,000.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// plots returns the SVG files.
func (r *record) plots() map[string]string {
	cost := func(title, across string, sizes []int, name func(int) string) string {
		c := chart{title: title, across: across, up: "µs"}
		for _, server := range curves {
			c.add(server, sizes, func(n int) float64 { return r.Figures.median(name(n), server, microsPerDelivery) })
		}
		return c.svg()
	}
	durable := chart{title: "Durable messages per second", across: "senders, rows in a batch", up: "1/s"}
	durable.add("kaban, acks", senders, func(n int) float64 { return r.Figures.median(durableName(n), kabanDurable, perSecond) })
	durable.add(plainSQLite, batches, func(n int) float64 { return r.Figures.median(diskName(n), plainSQLite, perSecond) })
	durable.add(plainFile, batches, func(n int) float64 { return r.Figures.median(diskName(n), plainFile, perSecond) })
	stored := chart{title: "What a large database costs", across: "messages", up: "ms"}
	for metric, name := range map[string]string{startMillis: "start", joinMillis: "join with the last 50", pageMillis: "50 from the middle"} {
		stored.add(name, r.storeSizes(), func(n int) float64 { return r.Figures.median(storeName(n), kabanDurable, metric) })
	}
	slices.SortFunc(stored.lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	return map[string]string{
		"receivers.svg": cost("Server CPU per delivery, one room, 256 in flight", "receivers", receivers, receiversName),
		"rooms.svg":     cost("Server CPU per delivery, rooms of 10, 16 in flight each", "rooms", rooms, roomsName),
		"durable.svg":   durable.svg(),
		"store.svg":     stored.svg(),
	}
}

// point is a value of a chart.
type point struct{ x, y float64 }

func (c *chart) add(name string, sizes []int, value func(int) float64) {
	l := line{name: name}
	for _, n := range sizes {
		if v := value(n); !math.IsNaN(v) && v > 0 {
			l.points = append(l.points, point{float64(n), v})
		}
	}
	c.lines = append(c.lines, l)
}
