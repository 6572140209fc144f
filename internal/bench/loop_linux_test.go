package bench

import (
	"context"
	"strings"
	"testing"
)

func TestTooManyFiles(t *testing.T) {
	err := raiseFiles(1 << 30) // more than any kernel allows
	if err == nil || !strings.Contains(err.Error(), "raise the limit (ulimit -n 1073741824)") {
		t.Errorf("got %v", err)
	}
	if err := raiseFiles(10); err != nil {
		t.Errorf("10 files: %v", err)
	}
}

// TestWindow checks that messages are in flight until everyone has them.
func TestWindow(t *testing.T) {
	l, err := newLoop(context.Background(), valid(), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	r := l.addRoom(4, 2)
	r.sent = 10
	for _, test := range []struct {
		events uint64
		want   int
	}{{0, 10}, {3, 10}, {4, 9}, {39, 1}, {40, 0}} {
		if r.events = test.events; r.inFlight() != test.want {
			t.Errorf("10 sent to 4, %d arrived: %d in flight, want %d", test.events, r.inFlight(), test.want)
		}
	}
	if l.rooms[0].senders[0].name == l.rooms[0].senders[1].name {
		t.Error("two connections have one name")
	}
}
