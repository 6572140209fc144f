package web_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// The page has a name and an explanation in each of its languages for every setting of the
// server.
func TestThePageKnowsEverySetting(t *testing.T) {
	files, err := filepath.Glob("page/src/texts.admin.*.ts")
	if err != nil || len(files) < 2 {
		t.Fatalf("got the files %q (error: %v), want one for each language", files, err)
	}
	f := serve(t)
	f.claim("open")
	listed, ok := f.asOperator("GET", "/v1/admin/settings", "").has(t, 200).json["settings"].([]any)
	if !ok || len(listed) == 0 {
		t.Fatal("the server has no settings")
	}
	var keys []string
	for _, setting := range listed {
		keys = append(keys, setting.(map[string]any)["key"].(string))
	}
	table := regexp.MustCompile(`(?s)\n  settings: \{\n.*?\n  \},\n`)
	text := regexp.MustCompile(`(?m)^    '?([a-z_.]+)'?: \{ label: '.+', help: '.+' \},$`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		for _, m := range text.FindAllSubmatch(table.Find(source), -1) {
			known = append(known, string(m[1]))
		}
		if !slices.Equal(known, keys) {
			t.Errorf("%s has texts for the settings\n%q, the server has\n%q", file, known, keys)
		}
	}
}
