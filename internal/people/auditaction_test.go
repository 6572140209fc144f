package people

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"testing"
)

// The documentation has every action of the audit, once, sorted, and no other.
func TestAuditActionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/administration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n## The audit\n"))
	text, _, _ = bytes.Cut(text, []byte("\n## "))
	var documented, actions []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\| .+ \\|$").FindAllSubmatch(text, -1) {
		documented = append(documented, string(row[1]))
	}
	for _, a := range AuditActions {
		actions = append(actions, a.String())
	}
	if !slices.Equal(documented, actions) {
		t.Errorf("documented are\n%q, and there are\n%q", documented, actions)
	}
	if !slices.IsSorted(actions) {
		t.Errorf("%q are not sorted", actions)
	}
}
