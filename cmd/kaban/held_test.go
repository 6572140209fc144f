package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"kaban/client"
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
			return joined(a)
		case a.Type == "send" && refused.Add(1) <= 2:
			return failing(a, wire.CodeStorageFull)
		case a.Type == "send":
			return acknowledged(a)
		}
		return failing(a, wire.CodeUnavailable)
	})
	code, stdout, stderr := kabanRuns("", "send", "--join", "square", "hello", "--server", addr, "--token-file", file(t, "kaban_token_x"))
	if n := strings.Count(stderr, "disk is full; the message is kept"); code != exitDone || stdout != "" || n != 1 || refused.Load() != 3 {
		t.Errorf("got %d %q %q after %d sends", code, stdout, stderr, refused.Load())
	}
}

// A filter whose server cannot store anything for a while says so, unless it is over at once, and when it is over. It ends
// once all is stored.
func TestChatWithAServerThatStoresNothing(t *testing.T) {
	newTown(t) // an empty home
	lasting := "kaban: the server cannot store messages at the moment; yours are kept and tried again until it can (Ctrl-C gives up)\n" +
		"kaban: the server stores messages again\n"
	for times, want := range map[int32]string{1: "", 3: lasting} {
		var refused, asked atomic.Int32
		addr := newFake(t, func(a asking) string {
			switch {
			case a.Type == "hello":
				return fakeWelcome
			case a.Type == "join":
				return joined(a)
			case a.Type == "send" && refused.Add(1) > times:
				return acknowledged(a)
			case a.Type == "history" && asked.Add(1) > 1:
				return fmt.Sprintf(`{"type":"history","room":%q,"epoch":"e","first":0,"last":0,"as_of":0,"more":false,"messages":[],"ref":%q}`, a.Room, a.Ref)
			}
			return failing(a, wire.CodeUnavailable)
		})
		code, _, stderr := kabanRuns("hello\n", "chat", "--plain", "square", "--server", addr, "--token-file", file(t, "kaban_token_x"))
		if code != exitDone || stderr != want || refused.Load() != times+1 {
			t.Errorf("%d times: got %d after %d sends:\n%s", times, code, refused.Load(), stderr)
		}
	}
}

// A filter waits as long as the server says that it stores nothing for now, and no longer.
func TestWhatPutsAMessageOff(t *testing.T) {
	n := &notices{out: io.Discard}
	state, held := n.onState(), n.onHeld()
	puts := func(what string, want bool) {
		t.Helper()
		if got := n.putsOff.Load(); got != want {
			t.Errorf("%s: put off %v, want %v", what, got, want)
		}
	}
	puts("nothing", false)
	held(&client.Error{Code: wire.CodeRateLimited})
	puts("too many", false)
	held(&client.Error{Code: wire.CodeUnavailable})
	puts("unavailable", true)
	n.stored()
	puts("stored", false)
	held(&client.Error{Code: wire.CodeStorageFull})
	puts("a full disk", true)
	state(client.State{Status: client.Silent})
	puts("silence", false)
	state(client.State{Status: client.Offline, Err: &client.Error{Code: wire.CodeUnavailable}})
	puts("a refused hello", true)
	state(client.State{Status: client.Offline, Err: errors.New("connection refused")})
	puts("no connection", false)
	held(&client.Error{Code: wire.CodeUnavailable})
	state(client.State{Status: client.Online})
	puts("a new connection", false)
}

// When a session is over, the messages under way are counted. Nobody knows whether they are stored.
func TestChatWhoseSessionEnds(t *testing.T) {
	newTown(t) // an empty home
	addr := newFake(t, func(a asking) string {
		switch a.Type {
		case "hello":
			return fakeWelcome
		case "join":
			return joined(a)
		}
		return `{"type":"goodbye","reason":"replaced"}` + "\ngone"
	})
	code, _, stderr := kabanRuns("hello\nagain\n", "chat", "--plain", "square", "--server", addr, "--token-file", file(t, "kaban_token_x"))
	if code != exitFailed || strings.Contains(stderr, "was not sent") || !strings.Contains(stderr, "not acknowledged") {
		t.Errorf("got %d %q", code, stderr)
	}
}
