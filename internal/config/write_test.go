package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var tabled = append(keys, "limits.rate")

// A mistake in a table has its line, and the keys of the table.
func TestErrorsInTables(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a key of a known table", "max_clients = 1\n[limits]\nrat = 1", `line 3: unknown key "limits.rat", did you mean "limits.rate"?`},
		{"a key of an inline table", "\nlimits = { rate = 1, colour = 2 }", `line 2: unknown key "limits.colour"; the keys are limits.rate`},
		{"a table of a table", "[limits.deep]\nx = 1", `line 1: unknown key "limits.deep"`},
		{"an unknown table", "[limit]\nrate = 1\nx = 1", `line 1: unknown key "limit", did you mean "limits"?`},
		{"a text like a key", "heartbeat = \"\"\"\nmax_client = 1\n\"\"\"\n'max_client' = 1", `line 4: unknown key "max_client"`},
		{"a value for a table", "limits = 1", `line 1: unknown key "limits"`},
		{"the last of several mistakes", "a = 1\nb = 1\nc = 1\nd = 1", `line 4: unknown key "d"`},
		{"far from all", "colour = 1", "the keys are limits, listen, max_clients, heartbeat"},
	} {
		values, err := Load(write(t, test.text), tabled)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", test.name, values, err, test.want)
		}
	}
}

// The line of a value is its own, even if another table has the name, or a text.
func TestLines(t *testing.T) {
	got, err := Load(write(t, "heartbeat = \"\"\"\nmax_clients = 1\n\"\"\"\n[a]\nrate = 1\n[limits]\n\nrate = 2\n"), append(tabled, "a.rate"))
	want := map[string]Value{"heartbeat": {[]string{"max_clients = 1\n"}, 1}, "a.rate": {[]string{"1"}, 5}, "limits.rate": {[]string{"2"}, 8}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// What is right is there beside the mistakes.
func TestLoadGoesOnAfterAMistake(t *testing.T) {
	got, err := Load(write(t, "a = 1\nmax_clients = 5\nlisten = [1]\n"), keys)
	want := map[string]Value{"max_clients": {[]string{"5"}, 2}}
	if diff := cmp.Diff(want, got); err == nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// What Write writes is what Load reads.
func TestWriteAndLoad(t *testing.T) {
	written := []Key{
		{Name: "limits.rate", Help: "A rate.", Kind: Bare, Default: []string{"7"}},
		{Name: "name", Help: strings.Repeat("long words ", 30), Default: []string{"a \"b\" \\ ü\t\u2028"}},
		{Name: "list", Help: "A list.", Kind: List, Default: []string{"x", "y"}},
		{Name: "none", Help: "None.", Kind: List},
		{Name: "limits.deep.on", Help: "On.", Kind: Bare, Default: []string{"true"}},
		{Name: "empty", Help: "Empty."},
	}
	text := string(Write("An intro.\n\nIt has paragraphs.", map[string]string{"limits": "About limits."}, written))
	var names []string
	for _, k := range written {
		names = append(names, k.Name)
	}
	values, err := Load(write(t, text), names)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, k := range written {
		want := k.Default
		switch {
		case want == nil && k.Kind == List:
			want = []string{}
		case want == nil:
			want = []string{""}
		}
		if diff := cmp.Diff(want, values[k.Name].Texts); diff != "" {
			t.Errorf("%s: %s", k.Name, diff)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > column || strings.TrimRight(line, " ") != line {
			t.Errorf("the line %q is too long or ends with a blank", line)
		}
	}
	for _, want := range []string{"# An intro.\n#\n# It has paragraphs.\n\n# long", "\n# About limits.\n[limits]\n\n# A rate.\nrate = 7\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// Errors are about the file, and values are in its lines.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"max_clients = 5", "[limits]\nrate = 1", "limits = {rate = [1]}", "a.b.'c.d' = 1\n[[limits]]\nx=1", "limits.rate.x = 1", "'' = 1"} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "kaban.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		values, err := Load(path, tabled)
		if err != nil && !strings.HasPrefix(err.Error(), "configuration file") {
			t.Errorf("got %v", err)
		}
		for key, value := range values {
			if !slices.Contains(tabled, key) || value.Line < 1 || value.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%s is in line %d", key, value.Line)
			}
		}
	})
}
