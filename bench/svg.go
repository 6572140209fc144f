package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a plot with logarithmic axes.
type chart struct {
	title, across, up string
	lines             []line
}

type line struct {
	name   string
	points []point
}

// The dimensions of a chart, in pixels.
const (
	chartWidth, chartHeight = 720, 380
	left, right, top, low   = 64, 150, 44, 48
)

// chartStyle has colors for light and dark pages that color-blind people can
// distinguish, too.
const chartStyle = `<style>
	text { font: 13px system-ui, sans-serif; fill: #444 }
	.title { font-size: 15px; font-weight: 600; fill: #111 }
	.grid { stroke: #ddd; stroke-width: 1 }
	.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
	.s0 { stroke: #0060c0 } .d0 { fill: #0060c0 }
	.s1 { stroke: #d05000 } .d1 { fill: #d05000 }
	.s2 { stroke: #777; stroke-dasharray: 6 4 } .d2 { fill: #777 }
	.s3 { stroke: #00806a; stroke-dasharray: 2 4 } .d3 { fill: #00806a }
	@media (prefers-color-scheme: dark) {
		text { fill: #bbb } .title { fill: #eee } .grid { stroke: #3a3a3a }
		.s0 { stroke: #5aa9ff } .d0 { fill: #5aa9ff }
		.s1 { stroke: #ff9a4d } .d1 { fill: #ff9a4d }
		.s2 { stroke: #aaa } .d2 { fill: #aaa }
		.s3 { stroke: #3fcfb4 } .d3 { fill: #3fcfb4 }
	}
</style>
`

// scale maps values to pixels.
type scale struct{ low, high, from, to float64 }

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// scales returns scales for the values, rounded outwards to decades.
func (c *chart) scales() (x, y scale) {
	x, y = scale{low: math.Inf(1), high: math.Inf(-1)}, scale{low: math.Inf(1), high: math.Inf(-1)}
	for _, l := range c.lines {
		for _, p := range l.points {
			x.low, x.high = min(x.low, math.Log10(p.x)), max(x.high, math.Log10(p.x))
			y.low, y.high = min(y.low, math.Floor(math.Log10(p.y))), max(y.high, math.Ceil(math.Log10(p.y)))
		}
	}
	for _, s := range []*scale{&x, &y} {
		if math.IsInf(s.low, 0) {
			s.low, s.high = 0, 1
		}
		if s.low == s.high {
			s.high++
		}
	}
	x.from, x.to = left, chartWidth-right
	y.from, y.to = chartHeight-low, top
	return x, y
}

// svg draws the chart.
func (c *chart) svg() string {
	var b strings.Builder
	x, y := c.scales()
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>%s</title>\n", chartWidth, chartHeight, chartWidth, chartHeight, html.EscapeString(c.title))
	b.WriteString(chartStyle)
	text := func(class, anchor string, px, py float64, content string) {
		fmt.Fprintf(&b, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, anchor, px, py, html.EscapeString(content))
	}
	rule := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(&b, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1, y1, x2, y2)
	}
	text("title", "start", left, 24, c.title)
	for decade := y.low; decade <= y.high; decade++ {
		py := y.at(math.Pow(10, decade))
		rule(x.from, py, x.to, py)
		text("", "end", left-8, py+4, tick(decade))
	}
	for decade := math.Ceil(x.low); decade <= x.high; decade++ {
		px := x.at(math.Pow(10, decade))
		rule(px, y.from, px, y.to)
		text("", "middle", px, y.from+18, tick(decade))
	}
	text("", "middle", (x.from+x.to)/2, chartHeight-10, c.across)
	text("", "end", left-8, 24, c.up) // a short unit
	beside := c.labels(y)
	for i, l := range c.lines {
		var path strings.Builder
		for _, p := range l.points {
			fmt.Fprintf(&path, "%.1f,%.1f ", x.at(p.x), y.at(p.y))
			fmt.Fprintf(&b, "<circle class=\"d%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>%s: %s</title></circle>\n", i%4, x.at(p.x), y.at(p.y), html.EscapeString(l.name), figure(p.y))
		}
		if len(l.points) == 0 {
			continue
		}
		fmt.Fprintf(&b, "<polyline class=\"line s%d\" points=\"%s\"/>\n", i%4, strings.TrimSpace(path.String()))
		text(fmt.Sprintf("d%d", i%4), "start", x.to+12, beside[i]+4, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// labels puts the names at the ends of their lines, far enough apart to be
// readable.
func (c *chart) labels(y scale) []float64 {
	const apart = 16
	places := make([]float64, len(c.lines))
	for i, l := range c.lines {
		if len(l.points) > 0 {
			places[i] = y.at(l.points[len(l.points)-1].y)
		}
	}
	for range 100 { // push neighbors apart until none is too close
		moved := false
		for i := range places {
			for j := range places[:i] {
				if gap := places[i] - places[j]; math.Abs(gap) < apart {
					push := (apart - math.Abs(gap) + 0.1) / 2
					if gap < 0 {
						push = -push
					}
					places[i], places[j], moved = places[i]+push, places[j]-push, true
				}
			}
		}
		if !moved {
			break
		}
	}
	return places
}

// tick names a decade.
func tick(decade float64) string {
	switch {
	case decade >= 6:
		return fmt.Sprintf("%.0f M", math.Pow(10, decade-6))
	case decade >= 0:
		return thousands(int(math.Pow(10, decade)))
	}
	return fmt.Sprintf("%.*f", int(-decade), math.Pow(10, decade))
}
