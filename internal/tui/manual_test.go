package tui

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// manual makes the tables of docs/terminal.md from the code.
func manual() map[string]string {
	var keys, picked, orders, config strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&keys, "**%s**\n\n| key | action | |\n|---|---|---|\n", group)
		for _, a := range actions() {
			if a.group == group {
				fmt.Fprintf(&keys, "| %s | `%s` | %s |\n", labels(a.keys), a.name, cellOf(a.help))
			}
		}
		keys.WriteByte('\n')
	}
	picked.WriteString("| key | |\n|---|---|\n")
	for _, p := range picks() {
		fmt.Fprintf(&picked, "| %s | %s |\n", labels(p.keys), cellOf(p.help))
	}
	orders.WriteString("| command | |\n|---|---|\n")
	for _, c := range commands() {
		fmt.Fprintf(&orders, "| `%s` | %s |\n", cellOf(strings.TrimSpace(c.names()+" "+c.usage)), cellOf(c.help))
	}
	config.WriteString("| key | default | |\n|---|---|---|\n")
	for _, s := range settings() {
		if !strings.HasPrefix(s.name, "key_") {
			fmt.Fprintf(&config, "| `%s` | `%s` | %s |\n", s.name, s.initial, cellOf(s.help))
		}
	}
	config.WriteString("| `key_…` | see above | A key, or a list of keys, for an action: `key_switcher = [\"ctrl+g\", \"f5\"]` |\n")
	return map[string]string{"keys": strings.TrimSuffix(keys.String(), "\n"), "selection": picked.String(), "commands": orders.String(), "settings": config.String()}
}

// cellOf writes a text for a table.
func cellOf(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}

// The manual says what the code does.
func TestManual(t *testing.T) {
	const path = "../../docs/terminal.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, table := range manual() {
		begin := "<!-- generated: " + name + " -->\n"
		before, rest, ok := strings.Cut(want, begin)
		_, after, ends := strings.Cut(rest, "<!-- end -->")
		if !ok || !ends {
			t.Fatalf("%s has no place for %s", path, name)
		}
		want = before + begin + "\n" + table + "\n<!-- end -->" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not what the code does; \"make golden\" writes it anew", path)
	}
}
