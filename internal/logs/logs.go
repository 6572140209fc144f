// Package logs makes the logger of the server: text or JSON, with a level that can
// change while the server runs, and with floods summed up, so that nobody can fill a
// disk by having the same line written over and over.
package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Format is how a line is written.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
)

// Options are those of New.
type Options struct {
	Format Format
	// Level is the least level that is written; it may be set at any time. Nil is
	// info.
	Level *slog.LevelVar
	// Journal is set if the lines go to the journal of systemd. It has the time of each
	// line, and its level from a prefix, see sd-daemon(3).
	Journal bool
}

// Log is a logger that can be closed.
type Log struct {
	*slog.Logger
	floods *floods
}

// New returns a logger. The caller closes it.
func New(out io.Writer, o Options) *Log {
	if o.Level == nil {
		o.Level = new(slog.LevelVar)
	}
	handler := newHandler(out, o)
	if o.Journal {
		handler = newPrefixed(out, o)
	}
	f := newFloods()
	return &Log{slog.New(&summing{handler, f}), f}
}

// Close writes what was left out. Lines after it are written as they come.
func (l *Log) Close() { l.floods.close() }

func newHandler(out io.Writer, o Options) slog.Handler {
	options := &slog.HandlerOptions{Level: o.Level}
	if o.Journal {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if o.Format == JSON {
		return slog.NewJSONHandler(out, options)
	}
	return slog.NewTextHandler(out, options)
}

// ParseLevel returns the level with a name: debug, info, warn or error.
func ParseLevel(name string) (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(name)); err != nil || strings.ContainsAny(name, "+-") {
		return level, fmt.Errorf("%q is no level of the log: debug, info, warn, error", name)
	}
	return level, nil
}

// prefixed writes a line with the prefix of its level.
type prefixed struct{ debug, info, warn, err slog.Handler }

// newPrefixed returns a handler for the journal. The prefixes are priorities of
// syslog(3).
func newPrefixed(out io.Writer, o Options) slog.Handler {
	of := func(prefix string) slog.Handler { return newHandler(&prefixer{out, prefix}, o) }
	return &prefixed{debug: of("<7>"), info: of("<6>"), warn: of("<4>"), err: of("<3>")}
}

func (p *prefixed) of(level slog.Level) slog.Handler {
	switch {
	case level >= slog.LevelError:
		return p.err
	case level >= slog.LevelWarn:
		return p.warn
	case level >= slog.LevelInfo:
		return p.info
	}
	return p.debug
}

// each returns the handler with a change to each of its parts.
func (p *prefixed) each(change func(slog.Handler) slog.Handler) slog.Handler {
	return &prefixed{change(p.debug), change(p.info), change(p.warn), change(p.err)}
}

// Enabled implements slog.Handler.
func (p *prefixed) Enabled(ctx context.Context, level slog.Level) bool {
	return p.of(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (p *prefixed) Handle(ctx context.Context, r slog.Record) error {
	return p.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (p *prefixed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (p *prefixed) WithGroup(name string) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

// prefixer writes something before each line. The handlers of slog write a line with one
// call, and so does it.
type prefixer struct {
	out    io.Writer
	prefix string
}

// Write implements io.Writer.
func (p *prefixer) Write(line []byte) (int, error) {
	n, err := p.out.Write(append([]byte(p.prefix), line...))
	return max(n-len(p.prefix), 0), err
}
