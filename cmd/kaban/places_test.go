package main

import "testing"

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
