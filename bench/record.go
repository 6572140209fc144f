package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// metrics are the values of each figure, one per measurement.
type metrics map[string][]float64

// figures are indexed by work, then by server.
type figures map[string]map[string]metrics

func (f figures) add(work, server, metric string, value float64) {
	if f[work] == nil {
		f[work] = make(map[string]metrics)
	}
	if f[work][server] == nil {
		f[work][server] = make(metrics)
	}
	// More than four digits are noise.
	if rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 4, 64), 64); err == nil {
		value = rounded
	}
	f[work][server][metric] = append(f[work][server][metric], value)
}

// median returns NaN without any values.
func (f figures) median(work, server, metric string) float64 { return median(f[work][server][metric]) }

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// last returns the last value.
func (m metrics) last() string {
	var b strings.Builder
	for _, metric := range slices.Sorted(maps.Keys(m)) {
		values := m[metric]
		fmt.Fprintf(&b, "  %s %s", figure(values[len(values)-1]), metric)
	}
	return b.String()
}

// record is the result of all runs: the file results.json.
type record struct {
	Machine machine `json:"machine"`
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"` // of each measurement
	Figures figures `json:"figures"`
}

// significant is the relative change of a median that is worth reporting; less is
// noise.
const significant = 0.25

// compare describes the differences from an earlier record.
func (r *record) compare(earlier *record) []string {
	var lines []string
	for _, work := range slices.Sorted(maps.Keys(r.Figures)) {
		for _, server := range slices.Sorted(maps.Keys(r.Figures[work])) {
			for _, metric := range slices.Sorted(maps.Keys(r.Figures[work][server])) {
				was, is := earlier.Figures.median(work, server, metric), r.Figures.median(work, server, metric)
				if math.IsNaN(was) || was == is || math.Abs(is-was) < significant*math.Abs(was) {
					continue
				}
				change := "was 0"
				if was != 0 {
					change = fmt.Sprintf("%+.0f %%", 100*(is/was-1))
				}
				lines = append(lines, fmt.Sprintf("%-18s %-17s %-28s %s, was %s (%s)", work, server, metric, figure(is), figure(was), change))
			}
		}
	}
	return lines
}

// print writes all medians.
func (r *record) print(out io.Writer) error {
	for _, work := range slices.Sorted(maps.Keys(r.Figures)) {
		for _, server := range slices.Sorted(maps.Keys(r.Figures[work])) {
			for _, metric := range slices.Sorted(maps.Keys(r.Figures[work][server])) {
				if _, err := fmt.Fprintf(out, "%-18s %-17s %-28s %s\n", work, server, metric, figure(r.Figures.median(work, server, metric))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// resultsIn is the file that a record is kept in.
func resultsIn(docs string) string { return filepath.Join(docs, "performance", "results.json") }

// published returns the record that was written last, an empty one if there is none.
func published(docs string) (*record, error) {
	r := new(record)
	text, err := os.ReadFile(resultsIn(docs))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", resultsIn(docs), err)
	}
	return r, nil
}

// takes returns an error if figures that were measured later do not belong to the record.
func (r *record) takes(later *record) error {
	if r.Figures == nil {
		return errors.New("there is no record to complete; measure everything first")
	}
	if r.Machine.CPU != later.Machine.CPU || r.Machine.System != later.Machine.System || r.Seconds != later.Seconds {
		return fmt.Errorf("the record is of another machine, or of measurements of %v seconds", r.Seconds)
	}
	return nil
}

// with returns a record with the figures of another one, measured later, in place of its own
// of the same works.
func (r *record) with(later *record) *record {
	all := *r
	all.Figures = make(figures)
	maps.Copy(all.Figures, r.Figures)
	maps.Copy(all.Figures, later.Figures)
	return &all
}

// publish writes the page, the plots and the results, and reports changes.
func (r *record) publish(docs string) error {
	plots := filepath.Join(docs, "performance")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	earlier, err := published(docs)
	if err != nil {
		return err
	}
	page := filepath.Join(docs, "performance.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("the page with its text must exist: %w", err)
	}
	written, err := r.fillPage(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	for name, svg := range r.plots() {
		if err := os.WriteFile(filepath.Join(plots, name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	kept, err := r.encode()
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(page, []byte(written), 0o644), os.WriteFile(resultsIn(docs), kept, 0o644)); err != nil {
		return err
	}
	fmt.Printf("%s is written\n", page)
	if earlier.Figures == nil {
		return nil
	}
	changes := r.compare(earlier)
	fmt.Printf("%d medians changed by more than %.0f %% against %s of %s:\n", len(changes), 100*significant, earlier.Machine.Commit, earlier.Machine.Date)
	for _, line := range changes {
		fmt.Println(line)
	}
	return nil
}

// encode writes the record as JSON with a line per work and server, for readable
// diffs.
func (r *record) encode() ([]byte, error) {
	shell := *r
	shell.Figures = nil
	head, err := json.Marshal(shell)
	if err != nil {
		return nil, err
	}
	b := append(bytes.TrimSuffix(head, []byte("null}")), "{"...)
	for i, work := range slices.Sorted(maps.Keys(r.Figures)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "\n%q: {", work)
		for j, server := range slices.Sorted(maps.Keys(r.Figures[work])) {
			values, err := json.Marshal(r.Figures[work][server])
			if err != nil {
				return nil, err
			}
			if j > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, "\n\t%q: %s", server, values)
		}
		b = append(b, '}')
	}
	return append(b, "\n}}\n"...), nil
}

// figure formats a number with its significant digits.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 999_500:
		return fmt.Sprintf("%.3g M", v/1e6)
	case a >= 9_995:
		return fmt.Sprintf("%.3g k", v/1e3)
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.0995:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
