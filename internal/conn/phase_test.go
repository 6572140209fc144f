package conn

import (
	"testing"
	"time"
)

// A life goes forward only, but for a doubt that ends, and keeps its first reason.
func TestALifeGoesForward(t *testing.T) {
	steps := map[string]func(*life){
		"doubt": func(l *life) { l.doubt() }, "trust": func(l *life) { l.trust() },
		"end":   func(l *life) { l.end(Idle, time.Second, 7) },
		"hurry": func(l *life) { l.hurry() }, "say": func(l *life) { l.say() },
		"linger": func(l *life) { l.linger(9) }, "close": func(l *life) { l.close() },
	}
	want := map[phase]map[string]phase{ // where a step changes the phase
		serving:   {"doubt": doubted, "end": owing, "say": said, "linger": lingering, "close": closed},
		doubted:   {"trust": serving, "end": owing, "say": said, "linger": lingering, "close": closed},
		owing:     {"hurry": hurried, "say": said, "linger": lingering, "close": closed},
		hurried:   {"say": said, "linger": lingering, "close": closed},
		said:      {"linger": lingering, "close": closed},
		lingering: {"close": closed},
		closed:    {},
	}
	for from, changes := range want {
		for name, step := range steps {
			l := life{phase: from, reason: Replaced, since: 3}
			step(&l)
			to, changed := changes[name]
			if !changed {
				to = from
			}
			if l.phase != to {
				t.Errorf("phase %d: %s leads to %d, want %d", from, name, l.phase, to)
			}
			if began := name == "end" && changed; began != (l.reason == Idle) {
				t.Errorf("phase %d: after %s the reason is %d", from, name, l.reason)
			}
		}
	}
}
