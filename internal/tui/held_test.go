package tui

import (
	"testing"
	"testing/synctest"
	"time"

	"kaban/client"
	"kaban/wire"
)

// A server that has no room for messages is reported once, however often it refuses them, and
// again when that is long ago. One that cannot store them for another reason is reported again when it has stored some.
func TestAFullServerIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(Options{})
		defer s.Close()
		reported := func(want int) {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			n := 0
			for _, e := range s.events {
				if _, ok := e.(heldEvent); ok {
					n++
				}
			}
			if n != want {
				t.Errorf("it is reported %d times, want %d", n, want)
			}
		}
		s.onHeld(&client.Error{Code: wire.CodeRateLimited})
		reported(0)
		for range 1000 {
			s.onHeld(&client.Error{Code: wire.CodeStorageFull})
			time.Sleep(time.Second)
		}
		reported(1)
		time.Sleep(heldAgain)
		s.onHeld(&client.Error{Code: wire.CodeStorageFull})
		reported(2)
		s.onHeld(&client.Error{Code: wire.CodeUnavailable})
		s.onHeld(&client.Error{Code: wire.CodeUnavailable})
		reported(3)
		s.stored()
		s.onHeld(&client.Error{Code: wire.CodeUnavailable})
		s.onHeld(&client.Error{Code: wire.CodeStorageFull})
		reported(4)
	})
}

func TestAFullServerIsShown(t *testing.T) {
	d := newDesk(t, 120, 12)
	d.keys("hello", "enter")
	d.happens(heldEvent{code: wire.CodeStorageFull})
	d.shows("the server's disk is full; what you send is kept")
	d.happens(heldEvent{code: wire.CodeUnavailable})
	d.shows("the server cannot store messages at the moment; what you send")
}
