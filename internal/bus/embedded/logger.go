package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// hidden stands for a secret in the log.
const hidden = "..."

// logger takes what the server says: warnings and errors go to the log, without secrets. The rest
// is the server's own business.
type logger struct {
	log     *slog.Logger
	secrets *strings.Replacer
}

func (l *logger) warn(format string, v []any) {
	l.log.Warn("the bus between nodes has a problem", "detail", l.secrets.Replace(fmt.Sprintf(format, v...)))
}

// Noticef implements server.Logger.
func (l *logger) Noticef(string, ...any) {}

// Warnf implements server.Logger.
func (l *logger) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, plaintext) {
		l.warn(format, v)
	}
}

// plaintext begins a warning about passwords that are in a file usually. Here they are in memory only.
const plaintext = "Plaintext passwords detected"

// Fatalf implements server.Logger. It does not end the process.
func (l *logger) Fatalf(format string, v ...any) { l.warn(format, v) }

// unreached begins a warning about a node that is not there. So it is while the first nodes start.
const unreached = "Error trying to connect to route"

// Errorf implements server.Logger.
func (l *logger) Errorf(format string, v ...any) {
	if strings.HasPrefix(format, unreached) && len(v) > 0 {
		why := l.secrets.Replace(fmt.Sprint(v[len(v)-1]))
		l.log.Warn("another node is not reached, which is tried again every second; nothing is wrong if it is stopped, or starts now", "error", why)
		return
	}
	l.warn(format, v)
}

// Debugf implements server.Logger.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *logger) Tracef(string, ...any) {}
