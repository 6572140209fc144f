package client

import (
	"strings"
	"testing"

	"kaban/wire"
)

// Long edits of messages that a Fold does not have are bounded by their text.
func TestAFoldBoundsTheTextOfEdits(t *testing.T) {
	var f Fold
	text := strings.Repeat("x", 100_000)
	for seq := uint64(100); seq < 200; seq++ {
		f.Add(Entry{Seq: seq, Change: &wire.Change{Type: wire.TypeEdit, Seq: seq, Target: seq - 90, Content: text}})
		if f.bytes > maxRecentBytes || f.bytes != len(f.recent)*len(text) {
			t.Fatalf("after %d it holds %d bytes in %d edits", seq, f.bytes, len(f.recent))
		}
	}
	f.Add(Entry{Seq: 109, Message: &wire.Message{Seq: 109, Content: "old"}})
	if m, ok := f.Message(109); !ok || m.Content != text {
		t.Errorf("the newest edit was forgotten: %.10q, %t", m.Content, ok)
	}
	f.Add(Entry{Seq: 10, Message: &wire.Message{Seq: 10, Content: "old"}})
	if m, _ := f.Message(10); m.Content != "old" {
		t.Error("the oldest edit is still there")
	}
}
