package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPathsLike(t *testing.T) {
	home := t.TempDir()
	for _, variable := range []string{"HOME", "USERPROFILE"} {
		t.Setenv(variable, home)
	}
	for _, name := range []string{"plan.pdf", "plan 2.pdf", "other.txt", ".hidden"} {
		if err := os.WriteFile(filepath.Join(home, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "plan\x1b[2J"), nil, 0o600); err != nil {
		t.Log("the system has no such names:", err)
	}
	if err := os.Mkdir(filepath.Join(home, "plans"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(home, "plans"), filepath.Join(home, "planned")); err != nil {
		t.Skip("no links here:", err)
	}
	slash := string(filepath.Separator)
	for typed, want := range map[string][]string{
		"~":                              {"~" + slash},
		"~" + slash + "pl":               {"~" + slash + "plan 2.pdf", "~" + slash + "plan.pdf", "~" + slash + "planned" + slash, "~" + slash + "plans" + slash},
		home + slash + "o":               {home + slash + "other.txt"},
		home + slash + ".":               {home + slash + ".hidden"},
		home + slash + "none":            nil,
		home + slash + "x" + slash + "y": nil,
		home + slash + "plans" + slash:   nil,
	} {
		if got := pathsLike(typed); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	if all := pathsLike(home + slash); len(all) != 5 {
		t.Errorf("of all names there are %q", all)
	}
}
