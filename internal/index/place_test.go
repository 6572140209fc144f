package index

import (
	"math/rand/v2"
	"testing"
)

// TestItems finds each item of a chunk alone as it is among all.
func TestItems(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var data []byte
	var want []item
	for range 300 {
		i := item{random.Uint32() >> random.IntN(32), random.Uint64() >> random.IntN(64)}
		want, data = append(want, i), appendItem(data, i)
	}
	all, err := decodeItems(data)
	if err != nil || len(all) != len(want) || cap(all) != len(want) {
		t.Fatalf("%d items, room for %d, %v; want %d", len(all), cap(all), err, len(want))
	}
	for at := range want {
		got, ok, err := itemAt(data, at)
		if got != want[at] || all[at] != want[at] || !ok || err != nil {
			t.Fatalf("item %d is %v, %v, %v, and %v among all, want %v", at, got, ok, err, all[at], want[at])
		}
	}
	if got, ok, err := itemAt(data, len(want)); ok || err != nil {
		t.Errorf("behind the last item: %v, %v, %v", got, ok, err)
	}
	for cut := 1; cut < 3; cut++ { // the last number is not whole
		if _, ok, err := itemAt(appendItem(nil, item{1 << 20, 1 << 20})[:6-cut], 0); ok || err == nil {
			t.Errorf("%d bytes less than an item: %v, %v", cut, ok, err)
		}
	}
}
