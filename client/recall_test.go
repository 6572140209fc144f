package client_test

import (
	"strings"
	"testing"

	"kaban"
	"kaban/client"
)

// A message that is stored is acknowledged, even if its author lost the connection
// before the ack, was removed from the room meanwhile and cannot join it any more.
func TestAckAfterRemoval(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	gate := newGate()
	options := w.options("bob")
	options.Dial = gate.dialer(w.addr)
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	if _, err := ann.Create(ctx, client.NewRoom{Name: "den", Kind: kaban.RoomPrivate}); err != nil {
		t.Fatal(err)
	}
	if _, err := ann.Invite(ctx, client.Moderation{Room: "den", Username: "bob"}); err != nil {
		t.Fatal(err)
	}
	r, seen := enter(t, bob, "den", client.From{}), enter(t, ann, "den", client.From{})
	cut := make(chan struct{})
	gate.mu.Lock()
	gate.watch = func(line string) bool {
		if !strings.Contains(line, `"type":"ack"`) {
			return false
		}
		gate.mu.Lock()
		defer gate.mu.Unlock()
		if !gate.closed {
			gate.closed = true
			close(cut)
		}
		return true
	}
	gate.mu.Unlock()
	pending, err := r.Post(ctx, "the last word")
	if err != nil {
		t.Fatal(err)
	}
	var seq uint64
	for e, err := range seen.Entries(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Message != nil && e.Message.Content == "the last word" {
			seq = e.Seq
			break
		}
	}
	if _, err := ann.Kick(ctx, client.Moderation{Room: "den", Username: "bob"}); err != nil {
		t.Fatal(err)
	}
	<-cut
	gate.mu.Lock()
	gate.watch = nil
	gate.mu.Unlock()
	gate.set(false)
	receipt, err := pending.Wait(ctx)
	if err != nil || receipt.Seq != seq || !receipt.Duplicate {
		t.Errorf("got %+v, %v; it is stored as %d", receipt, err, seq)
	}
}
