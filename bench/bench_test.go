package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample returns a record with data in every section.
func sample() *record {
	r := &record{Machine: machine{CPU: "a CPU", Commit: "abc"}, Runs: 3, Seconds: 1, Figures: make(figures)}
	for _, w := range works() {
		for i, server := range w.servers {
			for _, metric := range []string{perSecond, microsPerDelivery, p50, p99, p999, peakMiB, kibPerConnection, joinSeconds} {
				for _, v := range []float64{3, 1, 2} {
					r.Figures.add(w.name, server, metric, v*float64(i+1))
				}
			}
		}
	}
	for _, n := range batches {
		r.Figures.add(diskName(n), plainSQLite, perSecond, 1000)
	}
	r.Figures.add(storeName(10_000), kabanDurable, startMillis, 12)
	r.Figures.add(startNew, kabanDurable, startMillis, 34.5)
	return r
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{5}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v", got)
	}
}

// TestThePageKeepsItsProse fills the real page, twice.
func TestThePageKeepsItsProse(t *testing.T) {
	text, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Replace(string(text), "## How it is measured\n", "## How it is measured\n\nA sentence by hand.\n", 1)
	first, err := sample().fillPage(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A sentence by hand.", "100 rooms × 10, all talk", "**2.00**", "`abc`", "| 10,000 |", "| 1 room × 1,000, 1 in flight | 2.00 | 4.00 | 2.00 | ≤ 1.6 |", "| a new server | 34.5 | – |"} {
		if !strings.Contains(first, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	second, err := sample().fillPage(first)
	if err != nil || second != first {
		t.Errorf("the second time it differs: %v", err)
	}
	if _, err := sample().fillPage("no places"); err == nil {
		t.Error("a page without sections is filled")
	}
}

func TestPlotsAreXML(t *testing.T) {
	plots := sample().plots()
	plots["empty.svg"] = (&chart{title: "nothing & <nobody>"}).svg()
	for name, svg := range plots {
		decoder := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, svg)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s has invalid numbers:\n%s", name, svg)
		}
	}
}

func TestCompare(t *testing.T) {
	earlier, now := sample(), sample()
	if changes := now.compare(earlier); len(changes) != 0 {
		t.Errorf("the same is different: %q", changes)
	}
	now.Figures["latency-1000-20"][kabanMemory][p99] = []float64{2.2} // within the noise
	now.Figures["fanout-1000-32"][kabanMemory][microsPerDelivery] = []float64{3}
	now.Figures.add("new", kabanMemory, p99, 1)
	changes := now.compare(earlier)
	if len(changes) != 1 || !strings.Contains(changes[0], "3.00, was 2.00 (+50 %)") {
		t.Errorf("got %q, want the one that changed", changes)
	}
}

func TestPublish(t *testing.T) {
	docs := t.TempDir()
	text, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(docs, "performance.md"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is a record to compare with
		if err := sample().publish(docs); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(filepath.Join(docs, "performance", "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(kept, &r); err != nil {
		t.Fatalf("%v\n%s", err, kept)
	}
	if !reflect.DeepEqual(&r, sample()) {
		t.Errorf("the stored record differs: %s", kept)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0.0612: "0.061", 0.38: "0.38", 1.7: "1.70", 13.46: "13.5", 238.4: "238", 9_994: "9994", 238_400: "238 k", 1_930_000: "1.93 M", 25e6: "25 M"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %s, want %s", v, got, want)
		}
	}
	if got := thousands(10_000_000) + " " + thousands(1_024) + " " + thousands(16); got != "10,000,000 1,024 16" {
		t.Errorf("thousands: %s", got)
	}
}

// A record that is completed keeps what was not measured again.
func TestWith(t *testing.T) {
	last, later := sample(), &record{Machine: machine{Commit: "later"}, Figures: make(figures)}
	later.Figures.add(storeName(10_000), kabanDurable, startMillis, 99)
	all := last.with(later)
	if got := all.Figures.median(storeName(10_000), kabanDurable, startMillis); got != 99 {
		t.Errorf("the later figure is %v, want 99", got)
	}
	if got := last.Figures.median(storeName(10_000), kabanDurable, startMillis); got != 12 {
		t.Errorf("the last record has %v now, want 12", got)
	}
	if err := last.takes(&record{Machine: last.Machine, Seconds: last.Seconds}); err != nil {
		t.Errorf("figures of the same machine: %v", err)
	}
	for name, other := range map[string]*record{"another machine": {Machine: machine{CPU: "b"}, Seconds: last.Seconds}, "another duration": {Machine: last.Machine, Seconds: 9}} {
		if last.takes(other) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if new(record).takes(last) == nil {
		t.Error("without a record: no error")
	}
	all.Figures[storeName(10_000)] = last.Figures[storeName(10_000)]
	if !reflect.DeepEqual(all, last) {
		t.Error("what was not measured again is different")
	}
}
