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

// An own entry that comes back on a later connection is stored: it needs no ack, and
// readers do not see it.
func TestAnOwnEntryComesBack(t *testing.T) {
	for kind, c := range map[string]struct {
		fields string
		enter  func(context.Context, *Room) (Receipt, error)
	}{
		"message": {`"content":"mine"`, func(ctx context.Context, r *Room) (Receipt, error) { return r.Send(ctx, "mine") }},
		"edit":    {`"target":7,"content":"mine"`, func(ctx context.Context, r *Room) (Receipt, error) { return r.Edit(ctx, 7, "mine", 0) }},
		"delete":  {`"target":7`, func(ctx context.Context, r *Room) (Receipt, error) { return r.Delete(ctx, 7, "") }},
		"react":   {`"target":7,"emoji":"👍","on":true`, func(ctx context.Context, r *Room) (Receipt, error) { return r.React(ctx, 7, "👍", true) }},
		"pin":     {`"target":7,"on":true`, func(ctx context.Context, r *Room) (Receipt, error) { return r.Pin(ctx, 7, true) }},
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testAnOwnEntryComesBack(t, kind, c.fields, c.enter) })
		})
	}
}

func testAnOwnEntryComesBack(t *testing.T, kind, fields string, enter func(context.Context, *Room) (Receipt, error)) {
	var sent atomic.Pointer[string]
	c := dialed(t, piped(func(number int, conn net.Conn) {
		serveFake(conn, func(a asking) (string, bool) {
			line := usual(a)
			switch {
			case number == 1 && a.ID != "":
				sent.Store(&a.ID)
				return "", true // breaks
			case number > 1 && a.Type == "join":
				own := fmt.Sprintf(`{"type":%q,"room":"lobby","seq":8,"id":%q,"username":"ann",%s,"time":"2026-11-24T02:35:37.101Z"}`, kind, *sent.Load(), fields)
				theirs := `{"type":"message","room":"lobby","seq":9,"id":"2","username":"ben","content":"theirs","time":"2026-11-24T02:35:37.101Z"}`
				line += "\n" + own + "\n" + theirs
			}
			return line, false
		})
	}))
	r, err := c.Join(t.Context(), "lobby", After(Cursor{Seq: 7}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if receipt, err := enter(ctx, r); err != nil || receipt.Seq != 8 || !receipt.Duplicate || receipt.ID != *sent.Load() {
		t.Fatalf("got %+v, %v, want the entry that came back", receipt, err)
	}
	for e, err := range r.Entries(ctx) {
		if err != nil || e.Message == nil || e.Message.Content != "theirs" {
			t.Errorf("read %+v, %v, want the message of the other", e, err)
		}
		break
	}
}
