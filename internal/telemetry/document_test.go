package telemetry_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write docs/metrics.md; read the diff")

const (
	document = "../../docs/metrics.md"
	begin    = "up to the end of the table. -->\n"
	end      = "\n## What to do when an alert fires"
)

// table returns the metrics as a table of Markdown.
func table(all map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("\n| metric | type | labels | what it says |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		family := all[name]
		if !strings.HasPrefix(name, "kaban_") {
			continue
		}
		var labels []string
		for _, l := range family.Metric[0].Label {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(family.GetType().String()), strings.Join(labels, ", "), family.GetHelp())
	}
	return b.String()
}

func TestTheDocumentExplainsEachMetric(t *testing.T) {
	text := read(t, document)
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", document)
	}
	wanted := before + begin + table(families(t, start(t).registry)) + end + after
	if *update {
		must(t, os.WriteFile(document, []byte(wanted), 0o644))
	} else if text != wanted {
		t.Errorf("%s is not up to date; run \"make golden\"", document)
	}
	for _, alert := range matches(read(t, rulesFile), `alert: (\w+)`) {
		if !strings.Contains(after, "| `"+alert+"` |") {
			t.Errorf("%s does not say what to do when %s fires", document, alert)
		}
	}
}
