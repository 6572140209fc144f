package web_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The page has a name and an explanation in its languages for every setting of the
// server. That the texts exist in each language is for its compiler to check.
func TestThePageKnowsEverySetting(t *testing.T) {
	source, err := os.ReadFile("page/src/adminserver.tsx")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?s)const known: .*?\n}\n`).Find(source)
	var known, keys []string
	for _, m := range regexp.MustCompile(`(?m)^  '?([a-z_.]+)'?: \{ label: '\w+', help: '\w+'`).FindAllSubmatch(table, -1) {
		known = append(known, string(m[1]))
	}
	f := serve(t)
	f.claim("open")
	listed, ok := f.asOperator("GET", "/v1/admin/settings", "").has(t, 200).json["settings"].([]any)
	if !ok || len(listed) == 0 {
		t.Fatal("the server has no settings")
	}
	for _, setting := range listed {
		keys = append(keys, setting.(map[string]any)["key"].(string))
	}
	if !slices.Equal(known, keys) {
		t.Errorf("the page knows the settings\n%q, the server has\n%q", known, keys)
	}
}
