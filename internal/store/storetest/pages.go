package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban/internal/store"
)

func testPages(t *testing.T, s store.Store) {
	const head = 25
	for i := range head {
		Append(t, s, Draft(t, "lobby", "alice", fmt.Sprint("id", i), "hi"))
	}
	span := func(first, last uint64) []uint64 {
		var seqs []uint64
		for seq := first; seq <= last; seq++ {
			seqs = append(seqs, seq)
		}
		return seqs
	}
	tests := []struct {
		name string
		page store.Page
		want []uint64
	}{
		{"from the start", store.Page{Limit: 10}, span(1, 10)},
		{"after", store.Page{After: 10, Limit: 10}, span(11, 20)},
		{"after, the last few", store.Page{After: 20, Limit: 10}, span(21, 25)},
		{"after the head", store.Page{After: head, Limit: 10}, nil},
		{"after beyond the head", store.Page{After: head + 100, Limit: 10}, nil},
		{"all", store.Page{Limit: 500}, span(1, head)},
		{"the newest", store.Page{Last: true, Limit: 10}, span(16, 25)},
		{"before", store.Page{Before: 16, Last: true, Limit: 10}, span(6, 15)},
		{"before, the first few", store.Page{Before: 6, Last: true, Limit: 10}, span(1, 5)},
		{"before the first", store.Page{Before: 1, Last: true, Limit: 10}, nil},
		{"before beyond the head", store.Page{Before: 1000, Last: true, Limit: 2}, span(24, 25)},
		{"between, oldest first", store.Page{After: 5, Before: 20, Limit: 3}, span(6, 8)},
		{"between, newest", store.Page{After: 5, Before: 20, Last: true, Limit: 3}, span(17, 19)},
		{"between, all", store.Page{After: 5, Before: 9, Limit: 100}, span(6, 8)},
		{"between, none", store.Page{After: 5, Before: 6, Limit: 100}, nil},
		{"between, crossed", store.Page{After: 9, Before: 3, Limit: 100}, nil},
	}
	for _, test := range tests {
		entries, err := s.Read(t.Context(), RoomName(t, "lobby"), test.page)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []uint64
		for _, e := range entries {
			got = append(got, e.Seq)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func testPageBytes(t *testing.T, s store.Store) {
	for i := range 10 {
		Append(t, s, Draft(t, "lobby", "alice", fmt.Sprint("id", i), strings.Repeat("x", 100)))
	}
	tests := []struct {
		page        store.Page
		first, last uint64
	}{
		{store.Page{Limit: 10, Bytes: 300}, 1, 3},
		{store.Page{Limit: 10, Bytes: 399}, 1, 3},
		{store.Page{Limit: 10, Bytes: 1}, 1, 1},
		{store.Page{Limit: 2, Bytes: 300}, 1, 2},
		{store.Page{Last: true, Limit: 10, Bytes: 300}, 8, 10},
		{store.Page{Last: true, Limit: 10, Bytes: 1}, 10, 10},
	}
	for _, test := range tests {
		entries, err := s.Read(t.Context(), RoomName(t, "lobby"), test.page)
		if err != nil || len(entries) == 0 {
			t.Errorf("%+v: %v, %v; want %d to %d", test.page, entries, err, test.first, test.last)
			continue
		}
		if first, last := entries[0].Seq, entries[len(entries)-1].Seq; first != test.first || last != test.last {
			t.Errorf("%+v: got %d to %d, want %d to %d", test.page, first, last, test.first, test.last)
		}
	}
}
