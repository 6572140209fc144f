package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"kaban/wire"
)

// A command that waits for room on the server's disk says so, once.
func TestSendToAFullServer(t *testing.T) {
	newTown(t) // an empty home
	var refused atomic.Int32
	addr := newFake(t, func(a asking) string {
		switch {
		case a.Type == "hello":
			return fakeWelcome
		case a.Type == "join":
			return fmt.Sprintf(`{"type":"joined","room":%q,"epoch":"e","head":0,"members":1,"ref":%q}`, a.Room, a.Ref)
		case a.Type == "send" && refused.Add(1) <= 2:
			return failing(a, wire.CodeStorageFull)
		case a.Type == "send":
			return fmt.Sprintf(`{"type":"ack","room":%q,"id":%q,"seq":1,"time":"2026-11-24T02:35:37.101Z","ref":%q}`, a.Room, a.ID, a.Ref)
		}
		return failing(a, wire.CodeUnavailable)
	})
	code, stdout, stderr := kabanRuns("", "send", "--join", "square", "hello", "--server", addr, "--token-file", file(t, "kaban_token_x"))
	if n := strings.Count(stderr, "disk is full; the message is kept"); code != exitDone || stdout != "" || n != 1 || refused.Load() != 3 {
		t.Errorf("got %d %q %q after %d sends", code, stdout, stderr, refused.Load())
	}
}
