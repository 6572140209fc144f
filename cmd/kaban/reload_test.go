package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// A part that refuses its new configuration takes one line of the log, and hides nothing
// that another part has taken.
func TestReloadLogsAFaultOnce(t *testing.T) {
	refuse := func(*serveCommand) error { return errors.New("no usable certificate") }
	take := func(*serveCommand) error { return nil }
	for _, test := range []struct {
		name  string
		level string // of the log, in the new configuration
		parts []*reloader
		want  []string // parts of the lines
	}{
		{"nothing else has changed", "info", []*reloader{{"the log level", []string{"log_level"}, take}, {"the certificates", nil, refuse}}, []string{`part="the certificates"`}},
		{"the log level has changed", "debug", []*reloader{{"the log level", []string{"log_level"}, take}, {"the certificates", nil, refuse}}, []string{`part="the certificates"`, `changed=log_level failed="the certificates"`}},
		{"all is well", "info", []*reloader{{"the log level", []string{"log_level"}, take}, {"the certificates", nil, take}}, []string{`changed="" failed=""`}},
	} {
		var log strings.Builder
		args := func(level string) commandLine {
			return commandLine{"serve", "--data", t.TempDir(), "--log-level", level}
		}
		r := &reloading{args: args("info"), log: slog.New(slog.NewTextHandler(&log, nil)), parts: test.parts}
		now, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		r.current = now.values
		r.args = args(test.level)
		r.args[2] = now.Data
		r.do()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != len(test.want) {
			t.Errorf("%s: the log has %d lines, want %d\n%s", test.name, len(lines), len(test.want), &log)
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%s: line %d is %s, want %s", test.name, i, lines[i], want)
			}
		}
	}
}
