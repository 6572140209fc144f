package torture

import (
	"slices"
	"strings"
	"testing"
)

// sound returns a history without violations, and the stored messages.
func sound() (*History, []Message) {
	h := NewHistory()
	stored := []Message{{1, "ann", "a1"}, {2, "bob", "b1"}, {3, "ann", "a2"}, {4, "ann", "a3"}}
	for _, m := range stored {
		h.Sent(m.Username, m.Content)
	}
	h.Sent("bob", "under way")
	h.Acked("a1", 1)
	h.Acked("b1", 2)
	h.Acked("b1", 2) // sent again
	h.Acked("a2", 3)
	for _, m := range stored[:3] {
		h.Saw("early", m)
	}
	for _, m := range stored[1:] {
		h.Saw("late", m)
	}
	return h, stored
}

func TestASoundHistoryIsSound(t *testing.T) {
	h, stored := sound()
	if problems := h.Check(stored); len(problems) > 0 {
		t.Errorf("the checker found %q", problems)
	}
	if got := h.InFlight(); got != 2 {
		t.Errorf("%d are in flight, want 2", got)
	}
	if problems := h.CheckComplete(); len(problems) != 2 {
		t.Errorf("complete: %q, want two without an ack", problems)
	}
}

// An entry of an unknown kind takes a number but is not a message.
func TestUnknownKindsAreSound(t *testing.T) {
	h := NewHistory()
	stored := []Message{{Seq: 1}, {2, "ann", "a1"}, {Seq: 3}, {Seq: 4}}
	h.Sent("ann", "a1")
	h.Acked("a1", 2)
	for _, m := range stored {
		h.Saw("reader", m)
	}
	if problems := h.Check(stored); len(problems) > 0 {
		t.Errorf("the checker found %q", problems)
	}
	h.Saw("jumper", stored[1])
	h.Saw("jumper", stored[3])
	if problems := h.Check(stored); !slices.Equal(problems, []string{"order: jumper saw 4 after 2"}) {
		t.Errorf("the checker found %q for a reader that missed 3", problems)
	}
}

// Each rule of the checker catches its violation.
func TestTheCheckerCatches(t *testing.T) {
	for name, c := range map[string]struct {
		mutate func(h *History, stored []Message) []Message
		want   string
	}{
		"a lost end": {func(_ *History, s []Message) []Message { return s[:2] }, "lost: a2 was acknowledged as 3 and is not stored"},
		"a lost end that was seen": {func(h *History, s []Message) []Message {
			delete(h.acked, "a2")
			return s[:2]
		}, "lost: early saw 3, but only 2 are stored"},
		"a gap": {func(_ *History, s []Message) []Message {
			return slices.Delete(s, 1, 2)
		}, "gap: 3 is stored instead of 2"},
		"stored twice": {func(_ *History, s []Message) []Message {
			return append(s, Message{5, "ann", "a3"})
		}, "duplicate: a3 is stored as 4 and as 5"},
		"a batch twice": {func(_ *History, s []Message) []Message {
			return append(s, Message{5, "ann", "a1"}, Message{6, "bob", "b1"})
		}, "duplicate: b1 is stored as 2 and as 6"},
		"a lost batch whose place later ones take": {func(_ *History, s []Message) []Message {
			return []Message{s[0], {2, "ann", "a2"}, {3, "ann", "a3"}}
		}, "renumbered: a2 was acknowledged as 3 and is stored as 2"},
		"nobody sent it": {func(_ *History, s []Message) []Message {
			return append(s, Message{5, "ann", "made up"})
		}, "which nobody sent"},
		"another author": {func(_ *History, s []Message) []Message {
			s[3].Username = "bob"
			return s
		}, "4 is stored for bob, but ann sent it"},
		"another number": {func(h *History, s []Message) []Message {
			s[0].Content, s[1].Content = s[1].Content, s[0].Content
			return s
		}, "renumbered: a1 was acknowledged as 1 and is stored as 2"},
		"acknowledged twice, differently": {func(h *History, s []Message) []Message {
			h.Acked("b1", 3)
			return s
		}, "b1 was acknowledged as 2 and as 3"},
		"seen twice": {func(h *History, s []Message) []Message {
			h.Saw("early", s[2])
			return s
		}, "order: early saw 3 after 3"},
		"a jump": {func(h *History, s []Message) []Message {
			h.Saw("jumper", s[0])
			h.Saw("jumper", s[2])
			return s
		}, "order: jumper saw 3 after 1"},
		"backwards": {func(h *History, s []Message) []Message {
			h.Saw("late", s[1])
			return s
		}, "order: late saw 2 after 4"},
		"another content seen": {func(h *History, s []Message) []Message {
			h.Saw("early", Message{4, "ann", "a2"})
			return s
		}, "changed: early saw 4 as ann: a2, but ann: a3 is stored"},
		"another violation": {func(h *History, s []Message) []Message {
			h.Violation("got a %s", "resync")
			return s
		}, "got a resync"},
	} {
		t.Run(name, func(t *testing.T) {
			h, stored := sound()
			problems := h.Check(c.mutate(h, stored))
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, c.want) }) {
				t.Errorf("the checker found %q, want %q", problems, c.want)
			}
		})
	}
}
