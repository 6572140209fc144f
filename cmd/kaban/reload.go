package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"kaban/internal/limit"
	"kaban/internal/logs"
)

// reloader is a part of a running server that can take a new configuration.
type reloader struct {
	name string
	// keys are those of the configuration file that it takes; one that ends with a dot
	// is a table.
	keys []string
	// reload takes them from next, or keeps what it has and returns why. It also reads
	// again what keys only name, such as files.
	reload func(next *serveCommand) error
}

func (r *reloader) takes(key string) bool {
	return slices.ContainsFunc(r.keys, func(k string) bool { return k == key || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k) })
}

// reloading has a running server take a configuration that has changed. It is used by
// one goroutine.
type reloading struct {
	args    commandLine
	log     *slog.Logger
	parts   []*reloader
	current map[string]string // the values of all keys that are in effect
}

// newReloading returns what a running server can reload.
func (c *serveCommand) newReloading(around *surroundings, limits *limit.Limits, run *running) *reloading {
	r := &reloading{
		args: around.args, log: around.log, current: maps.Clone(c.values),
		parts: []*reloader{
			{"the log level", []string{"log_level"}, func(next *serveCommand) error {
				level, err := logs.ParseLevel(next.LogLevel)
				if err == nil {
					around.level.Set(level)
				}
				return err
			}},
			{"the limits", []string{limitsTable + "."}, func(next *serveCommand) error { return limits.Set(next.limits) }},
			{"the drain timeout", []string{"drain_timeout"}, func(next *serveCommand) error {
				c.DrainTimeout = next.DrainTimeout
				return nil
			}},
			// Its settings are in the database and take effect at once. This is for those of
			// the provider, which the server remembers.
			{"single sign-on", nil, func(*serveCommand) error {
				if run.provider != nil {
					run.provider.Refresh()
				}
				return nil
			}},
		},
	}
	if around.certs != nil {
		r.parts = append(r.parts, &reloader{"the certificates", []string{"tls.cert", "tls.key"}, func(next *serveCommand) error {
			return around.certs.ReloadFrom(next.tlsSettings())
		}})
	}
	return r
}

// do reads the command line, the environment and the configuration file again. A mistake
// in it changes nothing. Otherwise each part takes what is new to it, or keeps what it
// has. The log says what happened, but not the values of keys.
func (r *reloading) do() {
	next, err := r.read()
	if err != nil {
		for _, text := range parts(err) {
			r.log.Error("the configuration is not reloaded, and everything stays as it was", "error", text)
		}
		return
	}
	var changed, failed, restart []string
	for _, part := range r.parts {
		if err := part.reload(next); err != nil {
			r.log.Error("a part of the configuration is not reloaded, and stays as it was", "part", part.name, "error", err)
			failed = append(failed, part.name)
			continue
		}
		for key, value := range next.values {
			if part.takes(key) && r.current[key] != value {
				changed = append(changed, key)
				r.current[key] = value
			}
		}
	}
	for key, value := range next.values {
		taken := slices.ContainsFunc(r.parts, func(part *reloader) bool { return part.takes(key) })
		if !taken && r.current[key] != value {
			restart = append(restart, key)
		}
	}
	slices.Sort(changed)
	slices.Sort(restart)
	if len(restart) > 0 {
		r.log.Warn("these keys of the configuration have changed and need a restart", "keys", strings.Join(restart, " "))
	}
	if len(failed) > 0 && len(changed) == 0 {
		return // nothing else has happened
	}
	r.log.Info("reloaded the configuration", "changed", strings.Join(changed, " "), "failed", strings.Join(failed, ", "))
}

// read returns the configuration that a server would start with now.
func (r *reloading) read() (*serveCommand, error) {
	var commands cli
	parser, err := newParser(&commands, r.args, streams{}, func(int) {})
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(r.args); err != nil {
		return nil, err
	}
	_, _, err = commands.Serve.validate()
	return &commands.Serve, err
}
