package bench

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestReactions wants a sender to react to each of the messages, and then to take all
// reactions back, beginning with the first that it sends.
func TestReactions(t *testing.T) {
	who := alice
	who.first, who.before = 7, 5
	seen := map[uint64]bool{}
	for n := range uint64(4 * targets) {
		line := string(reactions{dialect: kabanLines{}}.appendSend(nil, &who, who.before+1+n, 0, 0))
		var got struct {
			Type, Room, ID, Emoji string
			Target                uint64
			On                    bool
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("%q: %v", line, err)
		}
		on := n < targets || 2*targets <= n && n < 3*targets
		if got.Type != "react" || got.Room != who.room || got.Emoji != reaction || got.On != on || got.Target < 7 || got.Target >= 7+targets || !anID.MatchString(line) {
			t.Fatalf("reaction %d is %s", n, line)
		}
		if seen[got.Target] == on {
			t.Fatalf("reaction %d changes nothing: %s", n, line)
		}
		seen[got.Target] = on
	}
	web := string(reactions{kabanMessages{}, true}.appendSend(nil, &who, 6, 0, 0))
	if !strings.Contains(web, `{"type":"react","room":"`) || !strings.HasSuffix(web, "}") {
		t.Errorf("over WebSocket: %q", web)
	}
}

// TestReactionsCount wants reactions to count as messages, and messages as foreign.
func TestReactionsCount(t *testing.T) {
	react := `{"type":"react","room":"bench-1-0","seq":65,"id":"x","username":"a","target":1,"emoji":"` + reaction + `","on":true}` + "\n"
	stream := react + `{"type":"ping"}` + "\n" + react + `{"type":"ack","room":"bench-1-0","id":"y","seq":66}` + "\n" + message(1) + "\n" + react
	for cut := range len(stream) {
		var c counter
		c.take(reactions{dialect: kabanLines{}}, []byte(stream[:cut]), nil)
		c.take(reactions{dialect: kabanLines{}}, []byte(stream[cut:]), nil)
		if c.messages != 3 || c.acks != 1 || c.foreign != 1 {
			t.Fatalf("cut at %d: got %d reactions, %d acks, %d foreign; want 3, 1, 1", cut, c.messages, c.acks, c.foreign)
		}
	}
}
