package client

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// typingServer takes requests to the room lobby and keeps their types. An older one does
// not know typing.
func typingServer(old bool, taken *[]string) Options {
	seq := 0
	return piped(func(_ int, conn net.Conn) {
		serveFake(conn, func(a asking) (string, bool) {
			*taken = append(*taken, a.Type)
			switch {
			case a.Type == "typing" && old:
				return fmt.Sprintf(`{"type":"error","code":"unknown_type","message":"x","ref":%q}`, a.Ref), false
			case a.Type == "typing":
				return fmt.Sprintf(`{"type":"error","code":"forbidden","message":"x","room":"lobby","ref":%q}`, a.Ref), false
			case a.Type == "send":
				seq++
				return fmt.Sprintf(`{"type":"ack","room":"lobby","id":%q,"seq":%d,"time":"2026-11-24T02:35:37.101Z","duplicate":false,"ref":%q}`, a.ID, seq, a.Ref), false
			}
			return usual(a), false
		})
	})
}

// Typing may be called at each key: reports go out every three seconds, and at once after
// a message. An older server gets one on each connection.
func TestReportsOfTypingAreRare(t *testing.T) {
	for _, test := range []struct {
		old  bool
		want []string
	}{
		{false, []string{"hello", "join", "typing", "typing", "typing", "send", "typing", "send", "send", "typing"}},
		{true, []string{"hello", "join", "typing", "send", "send", "send"}},
	} {
		t.Run(fmt.Sprint("old ", test.old), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var taken []string
				c := dialed(t, typingServer(test.old, &taken))
				r, err := c.Join(t.Context(), "lobby", From{})
				if err != nil {
					t.Fatal(err)
				}
				write := func(d time.Duration) {
					for ; d > 0; d -= 100 * time.Millisecond {
						if err := r.Typing(t.Context()); err != nil {
							t.Fatal(err)
						}
						time.Sleep(100 * time.Millisecond)
					}
				}
				send := func() {
					if _, err := r.Send(t.Context(), "x"); err != nil {
						t.Fatal(err)
					}
				}
				write(2*typingEvery + time.Second)
				send()
				write(time.Second)
				send()
				send()
				write(time.Second)
				synctest.Wait()
				if !slices.Equal(taken, test.want) {
					t.Errorf("the server got %q, want %q", taken, test.want)
				}
			})
		})
	}
}

// A report that waits for its turn is dropped when the message comes first, and one that
// cannot be sent is not sent later.
func TestNoReportOfTypingIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var taken []string
		c := dialed(t, typingServer(false, &taken))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		l := c.link
		c.link = nil // offline
		c.mu.Unlock()
		err = r.Typing(t.Context())
		c.mu.Lock()
		if err != nil || len(l.typing) > 0 {
			t.Errorf("offline: %v, %d reports wait", err, len(l.typing))
		}
		c.link = l
		c.mu.Unlock()
		if _, err := r.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.mu.Lock()
		c.leaving[r] = true // with messages under way
		c.mu.Unlock()
		if err := r.Typing(t.Context()); !errors.Is(err, ErrParted) {
			t.Errorf("in a room that is being left: %v", err)
		}
		if want := []string{"hello", "join", "send"}; !slices.Equal(taken, want) {
			t.Errorf("the server got %q, want %q", taken, want)
		}
	})
}
