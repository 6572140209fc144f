package main

import (
	"testing"
	"time"
)

// What is wanted is given where the limit of open files allows it; else newcomers
// keep an eighth, and the rest of the program its own.
func TestFitFiles(t *testing.T) {
	for _, c := range []struct{ clients, newcomers, limit, wantClients, wantNewcomers int }{
		{10_000, 2500, 1 << 20, 10_000, 2500},
		{10_000, 2500, 20_000, 10_000, 2500},
		{15_000, 3750, 20_000, 15_000, 2800},
		{18_000, 4500, 20_000, 15_575, 2225},
		{10_000, 2500, 1024, 672, 96},
		{100, 64, 1024, 100, 64},
		{10_000, 2500, 256, 168, 24},
		{1, 64, 10, 1, 7},
		{10_000, 2500, 0, 1, 1},
	} {
		clients, newcomers := fitFiles(c.clients, c.newcomers, c.limit)
		if clients != c.wantClients || newcomers != c.wantNewcomers {
			t.Errorf("%d clients and %d newcomers with %d files: got %d and %d, want %d and %d", c.clients, c.newcomers, c.limit, clients, newcomers, c.wantClients, c.wantNewcomers)
		}
		if c.limit > 10 && clients+newcomers > c.limit-min(otherFiles, c.limit/4) {
			t.Errorf("%d clients and %d newcomers leave too little of %d files", clients, newcomers, c.limit)
		}
	}
}

func TestFitRequests(t *testing.T) {
	for limit, want := range map[int]int{1 << 20: 2000, 20_000: 2000, 8800: 2000, 4096: 824, 1024: 128, 256: 32, 4: 1, 0: 1} {
		if got := fitRequests(limit); got != want {
			t.Errorf("%d files: got %d, want %d", limit, got, want)
		}
	}
}

func TestSince(t *testing.T) {
	here := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, here)
	day := func(d, hour, minute int) time.Time { return time.Date(2026, 11, d, hour, minute, 0, 0, here) }
	for text, want := range map[string]since{
		"":                     {},
		"0":                    {bySeq: true},
		"120":                  {after: 120, bySeq: true},
		"90m":                  {at: day(26, 10, 30)},
		"24h":                  {at: day(25, 12, 0)},
		"7d":                   {at: day(19, 12, 0)},
		"2026-11-25":           {at: day(25, 0, 0)},
		"2026-11-25T14:30":     {at: day(25, 14, 30)},
		"2026-11-25 14:30:00":  {at: day(25, 14, 30)},
		"2026-11-25T14:30:00Z": {at: day(25, 15, 30)},
	} {
		got, err := parseSince(text, now)
		if err != nil || got.after != want.after || got.bySeq != want.bySeq || !got.at.Equal(want.at) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-5m", "2026-13-01", "2026-11-25T", "7dd", "-1d", "1e3"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func TestOwnNames(t *testing.T) {
	for _, test := range []struct{ user, logname, want string }{
		{"ann", "ben", "ann"},
		{"", "ben", "ben"},
		{"not a name", "ben", "ben"},
		{"", "", "guest"},
		{"a-name-that-is-far-too-long-to-have-a-number", "", "guest"},
	} {
		t.Setenv("USER", test.user)
		t.Setenv("LOGNAME", test.logname)
		if got := ownNames()[0]; got != test.want {
			t.Errorf("USER=%q LOGNAME=%q: got %q, want %q", test.user, test.logname, got, test.want)
		}
	}
}
