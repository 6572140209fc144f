package client

import (
	"testing"

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
