package tui

import (
	"fmt"
	"testing"
	"time"

	"kaban/client"
)

// said has a room with messages and a session in it.
func said(t testing.TB, n int, content func(int) string) *Session {
	t.Helper()
	addr := host(t)
	c, err := client.Dial(t.Context(), addr, client.Options{Username: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Join(t.Context(), "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := r.Post(t.Context(), content(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newSession(Options{})
	t.Cleanup(s.Close)
	s.connect(addr, []string{"ann"})
	for {
		for _, e := range s.take() {
			if state, ok := e.(stateEvent); ok && state.username != "" {
				return s
			}
		}
	}
}

// scanned runs a search and returns how it ended, and how often it told how far
// it was.
func (s *Session) scanned(q scan) (end scanEvent, told int) {
	s.search("lobby", q)
	for {
		for _, e := range s.take() {
			if e, ok := e.(scanEvent); ok && e.number == q.number {
				if e.done || e.err != nil || e.found > 0 {
					return e, told
				}
				told++
			}
		}
	}
}

func TestScan(t *testing.T) {
	const n = 5000
	s := said(t, n, func(i int) string {
		switch i {
		case 1:
			return "the very first"
		case 777, 778:
			return "a NEEDLE"
		}
		return fmt.Sprint("message ", i)
	})
	number := uint64(0)
	for name, test := range map[string]struct {
		q       scan
		found   uint64
		scanned int // at most, 0 for any
	}{
		"the nearest of two":     {scan{query: "needle", direction: -1, from: n + 1}, 778, 0},
		"the next":               {scan{query: "needle", direction: -1, from: 778}, 777, 778},
		"the first message":      {scan{query: "very first", direction: -1, from: n + 1}, 1, n},
		"forward":                {scan{query: "needle", direction: 1, from: 100}, 777, 678 + scanBlock},
		"the last, forward":      {scan{query: "message 5000", direction: 1, from: 1}, n, n},
		"none":                   {scan{query: "nowhere", direction: -1, from: n + 1}, 0, n},
		"none, forward":          {scan{query: "needle", direction: 1, from: 778}, 0, n - 778},
		"nothing before the 1st": {scan{query: "message", direction: -1, from: 1}, 0, 1},
		"by author":              {scan{query: "ben", direction: -1, from: 10}, 9, 10},
		"of an ignored author":   {scan{query: "message", ignored: []string{"ben"}, direction: -1, from: n + 1}, 0, n},
		"goes on counting":       {scan{query: "nowhere", direction: -1, from: 11, scanned: 4990}, 0, n},
	} {
		number++
		test.q.number = number
		e, _ := s.scanned(test.q)
		if e.found != test.found || e.err != nil || e.done == (e.found > 0) || test.scanned > 0 && e.scanned > test.scanned {
			t.Errorf("%s: got %+v, want %d within %d messages", name, e, test.found, test.scanned)
		}
		if test.found == 0 && len(test.q.ignored) == 0 && test.scanned > 1 && e.scanned != test.scanned {
			t.Errorf("%s: it has read %d messages, want %d", name, e.scanned, test.scanned)
		}
	}
}

// The person sees how far a search is, and none goes on that was stopped.
func TestScanTellsAndStops(t *testing.T) {
	s := said(t, 10*scanBlocks*scanBlock, func(i int) string { return fmt.Sprint("message ", i) })
	_, told := s.scanned(scan{number: 1, query: "nowhere", direction: -1, from: 1 << 40})
	if told < 5 {
		t.Errorf("it told %d times how far it is", told)
	}
	s.search("lobby", scan{number: 2, query: "nowhere", direction: -1, from: 10*scanBlocks*scanBlock + 1})
	s.stopSearch()
	// A search that follows takes the place of one before it.
	s.search("lobby", scan{number: 3, query: "nowhere", direction: -1, from: 10*scanBlocks*scanBlock + 1})
	e, _ := s.scanned(scan{number: 4, query: "message 16000", direction: -1, from: 16_001})
	if e.found != 16_000 {
		t.Errorf("got %+v", e)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.Close() }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("a search keeps the session from ending")
	}
}

// BenchmarkScan searches 20,000 messages for what nobody said.
func BenchmarkScan(b *testing.B) {
	const n = 20_000
	s := said(b, n, func(i int) string {
		return fmt.Sprintf("message %d of many, with *some* emphasis and https://example.org/%d", i, i)
	})
	number := uint64(0)
	for b.Loop() {
		number++
		s.scanned(scan{number: number, query: "nowhere", direction: -1, from: n + 1})
	}
}
