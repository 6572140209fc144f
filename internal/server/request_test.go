package server

import (
	"testing"

	"kaban/wire"
)

// A type of request without a row would end the connection of whoever sends it.
func TestEveryRequestHasARow(t *testing.T) {
	n := 0
	for kind := range wire.Type(255) {
		if !kind.IsRequest() {
			continue
		}
		if n++; int(kind) >= len(requests) || requests[kind].cost == nil || requests[kind].do == nil {
			t.Errorf("%s has no row", kind)
		}
	}
	if n < 9 {
		t.Errorf("there are %d types of requests", n)
	}
}
