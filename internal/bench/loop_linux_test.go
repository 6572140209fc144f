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
	o := valid()
	if err := o.check(Flood); err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(context.Background(), o, 4)
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

// TestUnknownKindsAreNotLost wants an entry of an unknown kind to count in the order
// of the log, but not as a message.
func TestUnknownKindsAreNotLost(t *testing.T) {
	c := &conn{loop: &loop{dialect: kabanLines{}}}
	messages := 0
	c.loop.onMessage = func(*conn, []byte) { messages++ }
	for _, line := range []string{
		message(1), `{"type":"react","room":"bench-1-0","seq":2,"target":1}`, message(3),
		`{"type":"later","seq":9}`, `{"type":"edit","room":"bench-1-0","seq":4}`, `{"type":"presence","room":"bench-1-0","members":2}`, message(5),
	} {
		c.whole([]byte(line))
	}
	if c.order.lost != 0 || c.order.repeated != 0 || messages != 3 {
		t.Errorf("%d lost, %d repeated, %d messages; want 0, 0, 3", c.order.lost, c.order.repeated, messages)
	}
	if c.whole([]byte(message(7))); c.order.lost != 1 {
		t.Errorf("%d lost, want 1", c.order.lost)
	}
}
