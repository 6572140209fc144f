package dispatch

import (
	"errors"
	"testing"

	"kaban"
	"kaban/internal/store/storetest"
)

// A subscription begins in memory of its owner's, which a Join that fails leaves as it was, and
// which is not new again when the subscription has ended.
func TestASubscriptionInMemoryOfItsOwner(t *testing.T) {
	d := newDispatcher(t, nil, Options{})
	ann := newReader(t)
	var memory Subscription
	enter := func(start Start) (*Subscription, error) {
		place, err := d.Find(t.Context(), storetest.RoomName(t, "lobby"), start)
		if err != nil {
			t.Fatal(err)
		}
		place.Memory = &memory
		s, _, err := d.Join(ann, ann, plain, &kaban.Peer{Identity: kaban.Visitor(storetest.Username(t, "ann"))}, place)
		return s, err
	}
	if _, err := enter(Start{Epoch: "another"}); err == nil || !memory.IsNew() {
		t.Fatalf("after a foreign epoch: %v; the memory is new: %t, want it to be", err, memory.IsNew())
	} else if _, ok := errors.AsType[*ResyncError](err); !ok {
		t.Fatalf("got %v, want a *ResyncError", err)
	}
	s, err := enter(Start{})
	if err != nil || s != &memory || memory.IsNew() || memory.Watches() {
		t.Fatalf("got %p in memory %p, %v; the memory is new: %t", s, &memory, err, memory.IsNew())
	}
	d.Leave(s)
	if memory.IsNew() {
		t.Error("the memory of a subscription that has ended is new: whoever still knows it would know another")
	}
}
