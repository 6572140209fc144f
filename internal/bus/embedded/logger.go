package embedded

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// hidden stands for a secret in the log.
const hidden = "..."

const (
	// quiet is how long a problem is not said again. The server says that of a node which does not answer every
	// few seconds, for as long as that is away.
	quiet = 10 * time.Minute
	// maxProblems is how many problems are told apart. The others count as one.
	maxProblems = 100
)

// logger takes what the server says: warnings and errors go to the log, without secrets, and each no more than once
// in a while. The rest is the server's own business.
type logger struct {
	log     *slog.Logger
	secrets *strings.Replacer
	now     func() time.Time

	mu       sync.Mutex // guards problems
	problems map[string]*problem
}

// problem is what was said of one, and how often it was not said since.
type problem struct {
	said    time.Time
	leftOut int
}

func newLogger(log *slog.Logger, secrets ...string) *logger {
	var hiding []string
	for _, secret := range secrets {
		hiding = append(hiding, secret, hidden)
	}
	return &logger{log: log, secrets: strings.NewReplacer(hiding...), now: time.Now, problems: make(map[string]*problem)}
}

func (l *logger) warn(format string, v []any) {
	detail := l.secrets.Replace(fmt.Sprintf(format, v...))
	leftOut, says := l.says(detail)
	switch {
	case !says:
	case leftOut > 0:
		l.log.Warn("the bus between nodes has a problem", "detail", detail, "repeated", leftOut)
	default:
		l.log.Warn("the bus between nodes has a problem", "detail", detail)
	}
}

// numbers are those that differ each time a problem is said: ports, and numbers of connections and attempts.
var numbers = regexp.MustCompile(`:[0-9]+|attempt [0-9]+`)

// says reports whether a problem is to be said now, and how often it was not said before.
func (l *logger) says(detail string) (leftOut int, says bool) {
	key := numbers.ReplaceAllString(detail, "")
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	p := l.problems[key]
	if p == nil && len(l.problems) >= maxProblems {
		for old, p := range l.problems {
			if now.Sub(p.said) >= quiet {
				delete(l.problems, old)
			}
		}
	}
	if p == nil && len(l.problems) >= maxProblems {
		key = ""
		p = l.problems[key]
	}
	switch {
	case p == nil:
		l.problems[key] = &problem{said: now}
		return 0, true
	case now.Sub(p.said) < quiet:
		p.leftOut++
		return 0, false
	}
	leftOut = p.leftOut
	*p = problem{said: now}
	return leftOut, true
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
