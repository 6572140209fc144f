// Package torture proves the guarantees under failures: servers are killed, disks
// lose unsynced data, connections break. Clients record the messages they send,
// the acks, and the messages they read (History), and a checker compares them with
// the stored messages. The campaigns are the tests of this package; "make torture"
// runs them for longer.
package torture

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Message is a message as a client saw it. Contents are unique in a campaign, so a
// content identifies its message. One without a content is an entry of an unknown
// kind: only its number counts.
type Message struct {
	Seq      uint64
	Username string
	Content  string
}

// History records the actions and observations of the clients in one room. It is
// safe for concurrent use.
type History struct {
	mu         sync.Mutex
	sent       map[string]string // authors by content
	acked      map[string]uint64
	seen       map[string][]Message // by reader
	violations []string
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{sent: make(map[string]string), acked: make(map[string]uint64), seen: make(map[string][]Message)}
}

// Sent records that a message is about to be sent.
func (h *History) Sent(username, content string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[content] = username
}

// Acked records an ack.
func (h *History) Acked(content string, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.acked[content]; ok && before != seq {
		h.violations = append(h.violations, fmt.Sprintf("%s was acknowledged as %d and as %d", short(content), before, seq))
	}
	h.acked[content] = seq
}

// Saw records that a reader received a message. A reader that starts over uses a
// new name.
func (h *History) Saw(reader string, m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[reader] = append(h.seen[reader], m)
}

// Violation records something that must not happen.
func (h *History) Violation(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violations = append(h.violations, fmt.Sprintf(format, args...))
}

// InFlight returns the number of sent messages without an ack.
func (h *History) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sent) - len(h.acked)
}

// Acks returns the number of acknowledged messages.
func (h *History) Acks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acked)
}

// Last returns the last number that a reader saw.
func (h *History) Last(reader string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seen := h.seen[reader]; len(seen) > 0 {
		return seen[len(seen)-1].Seq
	}
	return 0
}

// Violations returns the violations recorded so far.
func (h *History) Violations() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.violations)
}

// Check compares the history with all stored messages, in order, and returns the
// violations of these rules:
//
//   - stored messages have the numbers 1, 2, 3 … and were sent, once, by their
//     authors
//   - acknowledged messages are stored, under the number of their acks
//   - the messages of a reader are one run without gaps or repeats, and equal the
//     stored messages with the same numbers
func (h *History) Check(stored []Message) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	problems := slices.Clone(h.violations)
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	at := make(map[string]uint64, len(stored))
	for i, m := range stored {
		if want := uint64(i) + 1; m.Seq != want {
			report("gap: %d is stored instead of %d", m.Seq, want)
		}
		if m.Content == "" {
			continue
		}
		if before, ok := at[m.Content]; ok {
			report("duplicate: %s is stored as %d and as %d", short(m.Content), before, m.Seq)
		}
		at[m.Content] = m.Seq
		if author, ok := h.sent[m.Content]; !ok {
			report("changed: %d is %s, which nobody sent", m.Seq, short(m.Content))
		} else if author != m.Username {
			report("changed: %d is stored for %s, but %s sent it", m.Seq, m.Username, author)
		}
	}
	for content, seq := range h.acked {
		switch stored, ok := at[content]; {
		case !ok:
			report("lost: %s was acknowledged as %d and is not stored", short(content), seq)
		case stored != seq:
			report("renumbered: %s was acknowledged as %d and is stored as %d", short(content), seq, stored)
		}
	}
	for reader, seen := range h.seen {
		for i, m := range seen {
			if i > 0 && m.Seq != seen[i-1].Seq+1 {
				report("order: %s saw %d after %d", reader, m.Seq, seen[i-1].Seq)
			}
			if m.Seq == 0 || m.Seq > uint64(len(stored)) {
				report("lost: %s saw %d, but only %d are stored", reader, m.Seq, len(stored))
			} else if is := stored[m.Seq-1]; is != m {
				report("changed: %s saw %d as %s: %s, but %s: %s is stored", reader, m.Seq, m.Username, short(m.Content), is.Username, short(is.Content))
			}
		}
	}
	return problems
}

// CheckComplete returns the unacknowledged messages at the end of a campaign with
// a graceful shutdown.
func (h *History) CheckComplete() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var problems []string
	for content := range h.sent {
		if _, ok := h.acked[content]; !ok {
			problems = append(problems, fmt.Sprintf("%s was never acknowledged", short(content)))
		}
	}
	return problems
}

func short(content string) string {
	if first, _, ok := strings.Cut(content, " "); ok {
		return first + "…"
	}
	return content
}

// Readers returns the number of readers.
func (h *History) Readers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}
