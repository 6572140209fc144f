package client

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kaban"
)

// A client makes UUIDs of version 7 that ascend, and knows them from those of others.
func TestIDs(t *testing.T) {
	own, other := newIDs(), newIDs()
	last := ""
	for range 5000 {
		id, err := own.next()
		if err != nil {
			t.Fatal(err)
		}
		if made, err := uuid.Parse(id.String()); err != nil || made.String() != id.String() || made.Version() != 7 || made.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is no UUID of version 7: %v", id, err)
		}
		if id.String() <= last {
			t.Fatalf("%s follows %s", id, last)
		}
		if last = id.String(); !own.made(last) || other.made(last) {
			t.Fatalf("%s: its client says %t, another one %t", last, own.made(last), other.made(last))
		}
	}
	for _, foreign := range []string{"", own.tail, last + "0", "0" + last, kaban.NewMessageID().String()} {
		if own.made(foreign) {
			t.Errorf("the client thinks that it made %q", foreign)
		}
	}
}

// A message that comes back on a later connection is stored: it needs no ack, and readers
// do not see it.
func TestAnOwnMessageComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Pointer[string]
		c := dialed(t, piped(func(number int, conn net.Conn) {
			serveFake(conn, func(a asking) (string, bool) {
				line := usual(a)
				switch {
				case number == 1 && a.Type == "send":
					sent.Store(&a.ID)
					return "", true // breaks
				case number > 1 && a.Type == "join":
					own := fmt.Sprintf(`{"type":"message","room":"lobby","seq":1,"id":%q,"username":"ann","content":"mine","time":"2026-11-24T02:35:37.101Z"}`, *sent.Load())
					theirs := `{"type":"message","room":"lobby","seq":2,"id":"2","username":"ben","content":"theirs","time":"2026-11-24T02:35:37.101Z"}`
					line += "\n" + own + "\n" + theirs
				}
				return line, false
			})
		}))
		r, err := c.Join(t.Context(), "lobby", From{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if receipt, err := r.Send(ctx, "mine"); err != nil || receipt.Seq != 1 || !receipt.Duplicate || receipt.ID != *sent.Load() {
			t.Fatalf("got %+v, %v, want the message that came back", receipt, err)
		}
		for m, err := range r.Messages(ctx) {
			if err != nil || m.Content != "theirs" {
				t.Errorf("read %q, %v, want the message of the other", m.Content, err)
			}
			break
		}
	})
}
