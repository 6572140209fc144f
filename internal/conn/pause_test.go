package conn

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Pauses end in the order of their times, one that is lengthened included, and a
// handler that is taken out is forgotten.
func TestPausesAreAHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p pauses
		handlers := make([]*Handler, 12)
		for i := range handlers {
			handlers[i] = new(Handler)
		}
		until := make(map[*Handler]time.Duration)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			h := rapid.SampledFrom(handlers).Draw(t, "handler")
			if rapid.IntRange(0, 3).Draw(t, "action") == 0 {
				p.remove(h)
				delete(until, h)
			} else {
				at := time.Duration(rapid.IntRange(1, 50).Draw(t, "until"))
				p.put(h, at)
				until[h] = max(until[h], at)
			}
			if len(p) != len(until) {
				t.Fatalf("%d pauses, want %d", len(p), len(until))
			}
			for i := range p {
				if p[i].until != until[p[i].handler] || int(p[i].handler.paused) != i+1 || i > 0 && p[(i-1)/2].until > p[i].until {
					t.Fatalf("place %d of %v is wrong", i, p)
				}
			}
		}
		for last := time.Duration(0); len(p) > 0; {
			if p[0].until < last {
				t.Fatalf("a pause until %d ends after one until %d", p[0].until, last)
			}
			last = p[0].until
			p.remove(p[0].handler)
		}
		for _, h := range handlers {
			if h.isPaused() {
				t.Fatal("a handler is paused that has no place")
			}
		}
	})
}
